package vault

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
)

// Finder looks for credentials in what a Vault keeps. It only reads, and it compares
// digests that are keyed by a number of this process: no value is kept or returned.
type Finder struct{ Doer issuer.Doer }

// Place is where a Vault keeps a credential.
type Place struct {
	Fingerprint string
	Where       string
}

// maxSecrets bounds the KV secrets of one search.
const maxSecrets = 1000

var errMany = fmt.Errorf("more than %d secrets: the rest is not searched", maxSecrets)

// search is one search of one Vault.
type search struct {
	*job
	key    []byte
	wanted map[[sha256.Size]byte]string // digest -> fingerprint
	found  map[Place]bool
	list   []Place
	read   int
}

// Find searches the places that the instance's Managed names. An error is about one
// place; the others are searched all the same.
func (f Finder) Find(ctx context.Context, v *issuer.Instance, creds []credential.Credential) ([]Place, error) {
	with := v.Managed
	if with == nil || len(creds) == 0 {
		return nil, nil
	}
	if v.Admin.IsZero() {
		return nil, fmt.Errorf("the Vault instance %s has neither admin nor login", v.Host())
	}
	s := &search{job: &job{r: Rotator{Doer: f.Doer}, v: v, with: &issuer.Rotation{}}, key: make([]byte, 32), wanted: map[[sha256.Size]byte]string{}, found: map[Place]bool{}}
	if _, err := rand.Read(s.key); err != nil {
		return nil, errors.New("no random numbers")
	}
	for _, c := range creds {
		if !c.Secret.IsZero() {
			s.wanted[s.digest(c.Secret.Reveal())] = c.Fingerprint
		}
	}
	var errs []error
	for _, p := range with.KV {
		err := s.kv(ctx, p, true)
		errs = append(errs, err)
		if errors.Is(err, errMany) {
			break
		}
	}
	for _, r := range with.StaticRoles {
		errs = append(errs, s.staticRole(ctx, r))
	}
	for _, r := range with.AppRoles {
		errs = append(errs, s.appRole(ctx, r, creds))
	}
	if with.Audit != "" {
		errs = append(errs, s.audit(ctx, with.Audit, creds))
	}
	return s.list, errors.Join(errs...)
}

func (s *search) digest(v string) (d [sha256.Size]byte) {
	m := hmac.New(sha256.New, s.key)
	m.Write([]byte(v))
	m.Sum(d[:0])
	return d
}

func (s *search) at(fingerprint, where string) {
	p := Place{fingerprint, where}
	if !s.found[p] {
		s.found[p] = true
		s.list = append(s.list, p)
	}
}

// compare looks for the wanted values in an answer, below any depth of it.
func (s *search) compare(v any, where string, field string) {
	switch v := v.(type) {
	case string:
		if f, ok := s.wanted[s.digest(v)]; ok {
			s.at(f, where+"#"+field)
		}
	case map[string]any:
		for k, x := range v {
			name := k
			if field != "" {
				name = field + "." + k
			}
			s.compare(x, where, name)
		}
	case []any:
		for _, x := range v {
			s.compare(x, where, field)
		}
	}
}

// kv searches a secret, or all below a path that ends with a slash, in each version
// that can be read. A path that the policy names has to hold something.
func (s *search) kv(ctx context.Context, path string, named bool) error {
	mount, rest, ok := strings.Cut(strings.TrimLeft(path, "/"), "//")
	if !ok {
		mount, rest, _ = strings.Cut(strings.TrimLeft(path, "/"), "/")
	}
	if !clean(mount) || rest != "" && !clean(strings.TrimSuffix(rest, "/")) {
		return fmt.Errorf("managed.kv %q is not mount/path", path)
	}
	if rest == "" || strings.HasSuffix(rest, "/") {
		keys, err := s.job.list(ctx, mount+"/metadata/"+rest)
		if err != nil {
			return err
		}
		if named && len(keys) == 0 {
			return fmt.Errorf("managed.kv %q holds no secret (hint: a mount of KV version 2, and a path in it)", path)
		}
		var errs []error
		for _, k := range keys {
			if !clean(strings.TrimSuffix(k, "/")) {
				errs = append(errs, fmt.Errorf("a secret below %s has a name that can't be asked about", path))
				continue
			}
			err := s.kv(ctx, mount+"//"+rest+k, false)
			errs = append(errs, err)
			if errors.Is(err, errMany) {
				break
			}
		}
		return errors.Join(errs...)
	}
	if s.read++; s.read > maxSecrets {
		return errMany
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	one := kv{s.job, mount, rest, ""}
	m, err := one.metadata(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, v := range m.Versions {
		if v.Destroyed || !v.DeletionTime.IsZero() {
			continue
		}
		got, err := c.KVv2(mount).GetVersion(ctx, rest, v.Version)
		if err != nil || got == nil {
			errs = append(errs, reason(fmt.Sprintf("read version %d of %s/%s", v.Version, mount, rest), err))
			continue
		}
		where := "kv " + mount + "/" + rest
		if v.Version != m.CurrentVersion {
			where += fmt.Sprintf(" (older version %d)", v.Version)
		}
		s.compare(got.Data, where, "")
	}
	return errors.Join(errs...)
}

func (s *search) staticRole(ctx context.Context, role string) error {
	mount, name, err := named("managed.static_roles", role)
	if err != nil {
		return err
	}
	got, err := s.job.read(ctx, mount+"/static-creds/"+name)
	if err != nil {
		return err
	}
	if f, ok := s.wanted[s.digest(text(got["password"]))]; ok {
		s.at(f, "static role "+role)
	}
	return nil
}

// appRole asks the role about each secret that has the form of a secret id. Vault
// takes the value in the body of a lookup, which changes nothing.
func (s *search) appRole(ctx context.Context, role string, creds []credential.Credential) error {
	mount, name, err := named("managed.approles", role)
	if err != nil {
		return err
	}
	for _, c := range creds {
		if c.Rule != SecretIDRule {
			continue
		}
		got, err := s.secretID(ctx, "auth/"+mount+"/role/"+name+"/", c.Secret)
		if err != nil {
			return err
		}
		if got != nil {
			s.at(c.Fingerprint, "secret id of approle "+role+", accessor "+text(got["secret_id_accessor"]))
		}
	}
	return nil
}

// SecretIDRule is the rule of AppRole secret ids.
const SecretIDRule = "vault-approle-secret-id"

// audit returns the digest by which the audit device records each credential, to be
// searched for in its log.
func (s *search) audit(ctx context.Context, device string, creds []credential.Credential) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	for _, one := range creds {
		if one.Secret.IsZero() || one.Rule != SecretIDRule && !strings.HasPrefix(one.Rule, "vault-") {
			continue
		}
		hash, err := auditHash(ctx, c, device, one.Secret)
		if err != nil {
			return err
		}
		s.at(one.Fingerprint, "in the log of audit device "+strings.Trim(device, "/")+" as "+hash)
	}
	return nil
}

// ManagedGrants are for a search.
func ManagedGrants(m *issuer.Managed) []Grant {
	var out []Grant
	const why = "find leaked secrets"
	for _, p := range m.KV {
		mount, rest, ok := strings.Cut(strings.TrimLeft(p, "/"), "//")
		if !ok {
			mount, rest, _ = strings.Cut(strings.TrimLeft(p, "/"), "/")
		}
		if rest == "" || strings.HasSuffix(rest, "/") {
			out = append(out, Grant{mount + "/metadata/" + rest + "*", []string{"list", "read"}, why}, Grant{mount + "/data/" + rest + "*", []string{"read"}, why})
			continue
		}
		out = append(out, Grant{mount + "/metadata/" + rest, []string{"read"}, why}, Grant{mount + "/data/" + rest, []string{"read"}, why})
	}
	for _, r := range m.StaticRoles {
		if mount, name, err := named("", r); err == nil {
			out = append(out, Grant{mount + "/static-creds/" + name, []string{"read"}, why})
		}
	}
	for _, r := range m.AppRoles {
		if mount, name, err := named("", r); err == nil {
			out = append(out, Grant{"auth/" + mount + "/role/" + name + "/secret-id/lookup", []string{"update"}, why})
		}
	}
	if m.Audit != "" {
		out = append(out, Grant{"sys/audit-hash/" + strings.Trim(m.Audit, "/"), []string{"update"}, "find uses in the audit log"})
	}
	return out
}
