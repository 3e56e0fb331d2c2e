package vault

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules/credential"
)

// Names of steps.
const (
	writeKV   = "write-kv"
	labelKV   = "label-kv"
	destroyKV = "destroy-versions"
)

// kv is a field of a KV v2 secret.
type kv struct {
	j                  *job
	mount, path, field string
}

// kvPath reads mount/path#field. A mount of several segments ends with two slashes.
func kvPath(s string) (mount, path, field string, err error) {
	where, field, ok := strings.Cut(s, "#")
	where = strings.Trim(where, "/")
	mount, path, deep := strings.Cut(where, "//")
	if !deep {
		mount, path, _ = strings.Cut(where, "/")
	}
	if !ok || field == "" || !clean(mount) || !clean(path) {
		return "", "", "", fmt.Errorf("KV %q is not mount/path#field", s)
	}
	return mount, path, field, nil
}

// get reads the current version.
func (k kv) get(ctx context.Context) (value string, all *api.KVSecret, err error) {
	c, err := k.j.client()
	if err != nil {
		return "", nil, err
	}
	got, err := c.KVv2(k.mount).Get(ctx, k.path)
	if err != nil {
		return "", nil, reason("read "+k.mount+"/"+k.path, err)
	}
	if got == nil || got.Data == nil || got.VersionMetadata == nil || got.VersionMetadata.Version < 1 {
		return "", nil, fmt.Errorf("read %s/%s: the current version is deleted", k.mount, k.path)
	}
	v, _ := got.Data[k.field].(string)
	return v, got, nil
}

func (j *job) field() (kv, error) {
	mount, path, field, err := kvPath(j.with.KV)
	return kv{j, mount, path, field}, err
}

// issues reports whether an earlier step makes the new value.
func (j *job) issues() bool { return j.with.AppRole != "" || j.with.Reissue }

// kv is the write of the new value by check-and-set on the version that holds the
// leaked one: if another wrote in between, nothing is lost.
func (j *job) kv() error {
	if j.with.KV == "" {
		return nil
	}
	k, err := j.field()
	if err != nil {
		return err
	}
	switch {
	case j.issues() || j.with.Generate != "" || j.with.Other != "":
	case j.with.Value.IsZero():
		return errors.New("no new value is given")
	case j.with.Value.Equal(j.t.Secret):
		return errors.New("the new value is the leaked one")
	}
	a := act{do: k.write}
	a.Name, a.Where, a.Repeats, a.Needs = writeKV, j.with.KV, true, j.issues()
	a.Effect = j.effect(put, `{"options":{"cas":"{current version}"},"data":{"`+jsonSafe(k.field)+`":"{new value}"}}`, k.mount, "data", k.path)
	a.Note = "the old version holds the leaked value until it is destroyed"
	if j.with.Destroy {
		a.Note = "old versions are destroyed last"
	}
	a.held = func(ctx context.Context) (string, error) {
		v, all, err := k.get(ctx)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%s\x00%d", v, all.VersionMetadata.Version), nil
	}
	a.did = func(ctx context.Context, mark []byte) (revokers.State, error) { return k.wrote(ctx) }
	a.grants = []Grant{{k.mount + "/data/" + k.path, []string{"read", "update"}, "replace the value that consumers read"}}
	if j.with.Generate != "" && j.with.Generate != ownGenerator {
		if !clean(j.with.Generate) || strings.Contains(j.with.Generate, "/") {
			return fmt.Errorf("generate %q is no name of a password policy", j.with.Generate)
		}
		a.grants = append(a.grants, Grant{"sys/policies/password/" + j.with.Generate + "/generate", []string{"read"}, "make the new value"})
	}
	j.add(orderWrite, a)
	l := act{did: func(ctx context.Context, _ []byte) (revokers.State, error) { return k.labelled(ctx) }, do: func(ctx context.Context, _ *credential.Secret) error { return k.label(ctx) }}
	l.Name, l.Where, l.Repeats = labelKV, j.with.KV, true
	l.Effect = j.effect("PATCH", `{"custom_metadata":{"`+tagKey+`":"{incident}"}}`, k.mount, "metadata", k.path)
	l.grants = []Grant{{k.mount + "/metadata/" + k.path, []string{"read", "patch"}, "note the incident on the secret"}}
	j.add(orderWrite, l)
	return nil
}

// write puts the new value and leaves the other fields as they are.
func (k kv) write(ctx context.Context, fresh *credential.Secret) error {
	cur, all, err := k.get(ctx)
	if err != nil {
		return err
	}
	old, with := credential.NewSecretString(cur), k.j.with
	switch {
	case fresh.IsZero() && !with.Value.IsZero():
		*fresh = with.Value
	case fresh.IsZero() && with.Other != "" && k.j.t.Secret.Equal(old):
		if *fresh, err = k.j.otherPassword(ctx); err != nil {
			return err
		}
	case fresh.IsZero() && with.Generate != "" && k.j.t.Secret.Equal(old):
		if *fresh, err = k.j.generate(ctx); err != nil {
			return err
		}
	}
	switch {
	case !fresh.IsZero() && fresh.Equal(old):
		return nil // the new value is there already
	case !k.j.t.Secret.Equal(old):
		return fmt.Errorf("%s does not hold the leaked value: nothing was written", with.KV)
	}
	data := map[string]any{}
	for name, v := range all.Data {
		data[name] = v
	}
	data[k.field] = fresh.Reveal()
	if with.Other != "" && with.UserField != "" {
		data[with.UserField] = with.OtherUser
	}
	c, err := k.j.client()
	if err != nil {
		return err
	}
	s, err := c.KVv2(k.mount).Put(ctx, k.path, data, api.WithCheckAndSet(all.VersionMetadata.Version))
	if err != nil {
		return reason("write "+k.mount+"/"+k.path, err)
	}
	if s == nil || s.VersionMetadata == nil || s.VersionMetadata.Version <= all.VersionMetadata.Version {
		return fmt.Errorf("write %s/%s: Vault's answer names no new version", k.mount, k.path)
	}
	return nil
}

// wrote reports whether the field holds the new value. A value that is neither the
// leaked nor the new one is somebody else's.
func (k kv) wrote(ctx context.Context) (revokers.State, error) {
	cur, _, err := k.get(ctx)
	if err != nil {
		return revokers.Unsure, err
	}
	now, j := credential.NewSecretString(cur), k.j
	var mine bool
	switch {
	case j.t.Secret.Equal(now):
		return revokers.NotDone, nil
	case now.IsZero():
		return revokers.Unsure, nil
	case j.with.AppRole != "":
		mine, err = j.issuedSecretID(ctx, now)
	case j.with.Reissue:
		mine, err = j.issuedToken(ctx, now)
	case j.with.Other != "":
		var other credential.Secret
		other, err = j.otherPassword(ctx)
		mine = other.Equal(now)
	case !j.with.Value.IsZero():
		mine = j.with.Value.Equal(now)
	default:
		// A generated value has no mark of its own, but nothing else than a write
		// replaces the leaked one.
		mine = true
	}
	if err != nil || !mine {
		return revokers.Unsure, err
	}
	return revokers.Done, nil
}

// ownGenerator is the name of quell's own generator of values.
const ownGenerator = "default"

// generate makes a value by a Vault password policy, or by quell itself.
func (j *job) generate(ctx context.Context) (credential.Secret, error) {
	if j.with.Generate == ownGenerator {
		const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
		b := make([]byte, 40)
		for i := range b {
			n, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
			if err != nil {
				return credential.Secret{}, errors.New("no random numbers")
			}
			b[i] = letters[n.Int64()]
		}
		return credential.NewSecret(b), nil
	}
	path := "sys/policies/password/" + j.with.Generate + "/generate"
	got, err := j.read(ctx, path)
	if err != nil {
		return credential.Secret{}, err
	}
	v := text(got["password"])
	if len(v) < minGenerated {
		return credential.Secret{}, fmt.Errorf("read %s: Vault's answer has no password of %d characters", path, minGenerated)
	}
	return credential.NewSecretString(v), nil
}

// minGenerated is the length below which a generated value is refused.
const minGenerated = 12

// label writes the incident into the secret's own metadata. The tag is a digest.
func (k kv) label(ctx context.Context) error {
	c, err := k.j.client()
	if err != nil {
		return err
	}
	err = c.KVv2(k.mount).PatchMetadata(ctx, k.path, api.KVMetadataPatchInput{CustomMetadata: map[string]any{tagKey: k.j.tag(), "quell_rotated": time.Now().UTC().Format(time.DateOnly)}})
	if err != nil {
		return reason("label "+k.mount+"/"+k.path, err)
	}
	return nil
}

func (k kv) metadata(ctx context.Context) (*api.KVMetadata, error) {
	c, err := k.j.client()
	if err != nil {
		return nil, err
	}
	m, err := c.KVv2(k.mount).GetMetadata(ctx, k.path)
	if err != nil || m == nil {
		return nil, reason("read the metadata of "+k.mount+"/"+k.path, err)
	}
	if m.CurrentVersion < 1 || len(m.Versions) == 0 {
		return nil, fmt.Errorf("read the metadata of %s/%s: Vault's answer has no versions", k.mount, k.path)
	}
	return m, nil
}

func (k kv) labelled(ctx context.Context) (revokers.State, error) {
	m, err := k.metadata(ctx)
	if err != nil {
		return revokers.Unsure, err
	}
	if text(m.CustomMetadata[tagKey]) == k.j.tag() {
		return revokers.Done, nil
	}
	return revokers.NotDone, nil
}

// destroy ends the versions that hold the leaked value, once it is proven dead.
// Versions with other values stay.
func (j *job) destroy() error {
	if !j.with.Destroy || j.with.KV == "" {
		return nil
	}
	k, err := j.field()
	if err != nil {
		return err
	}
	a := act{
		do: func(ctx context.Context, _ *credential.Secret) error {
			old, err := k.holding(ctx)
			if err != nil || len(old) == 0 {
				return err
			}
			c, err := j.client()
			if err != nil {
				return err
			}
			if err := c.KVv2(k.mount).Destroy(ctx, k.path, old); err != nil {
				return reason("destroy versions of "+k.mount+"/"+k.path, err)
			}
			return nil
		},
		did: func(ctx context.Context, _ []byte) (revokers.State, error) {
			old, err := k.holding(ctx)
			switch {
			case err != nil:
				return revokers.Unsure, err
			case len(old) > 0:
				return revokers.NotDone, nil
			}
			return revokers.Done, nil
		},
	}
	a.Name, a.Where, a.Repeats, a.After = destroyKV, j.with.KV, true, true
	a.Effect = j.effect(put, `{"versions":"{those that hold the leaked value}"}`, k.mount, "destroy", k.path)
	a.Note = "versions that held the leaked value are destroyed"
	a.grants = []Grant{
		{k.mount + "/destroy/" + k.path, []string{"update"}, "destroy the versions that hold the leaked value"},
		{k.mount + "/metadata/" + k.path, []string{"read"}, "find them"},
	}
	j.add(orderAfter, a)
	return nil
}

// holding lists the versions before the current one that hold the leaked value.
func (k kv) holding(ctx context.Context) ([]int, error) {
	m, err := k.metadata(ctx)
	if err != nil {
		return nil, err
	}
	c, err := k.j.client()
	if err != nil {
		return nil, err
	}
	var out []int
	for _, v := range m.Versions {
		if v.Destroyed || v.Version >= m.CurrentVersion {
			continue
		}
		if !v.DeletionTime.IsZero() {
			// A deleted version can be restored and can't be read: it is destroyed
			// with the others.
			out = append(out, v.Version)
			continue
		}
		s, err := c.KVv2(k.mount).GetVersion(ctx, k.path, v.Version)
		if err != nil || s == nil {
			return nil, reason(fmt.Sprintf("read version %d of %s/%s", v.Version, k.mount, k.path), err)
		}
		for _, x := range s.Data {
			if x, ok := x.(string); ok && k.j.t.Secret.Equal(credential.NewSecretString(x)) {
				out = append(out, v.Version)
				break
			}
		}
	}
	return out, nil
}

// Replacement implements revokers.Replacer: what consumers read now in KV, or by the
// static role.
func (r Rotator) Replacement(ctx context.Context, t revokers.Target) (credential.Secret, error) {
	j, err := r.job(t)
	if err != nil {
		return credential.Secret{}, err
	}
	switch e := engines()[j.with.Engine]; {
	case j.with.KV != "":
		k, err := j.field()
		if err != nil {
			return credential.Secret{}, err
		}
		v, _, err := k.get(ctx)
		if err != nil {
			return credential.Secret{}, err
		}
		return credential.NewSecretString(v), nil
	case j.with.StaticRole != "" && e.creds != "":
		mount, name, err := named("static role", j.with.StaticRole)
		if err != nil {
			return credential.Secret{}, err
		}
		got, err := j.read(ctx, mount+"/"+strings.ReplaceAll(e.creds, "{name}", name))
		if err != nil {
			return credential.Secret{}, err
		}
		return credential.NewSecretString(text(got["password"])), nil
	}
	return credential.Secret{}, nil
}

func jsonSafe(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '"' || r == '\\' || r < 0x20 {
			return -1
		}
		return r
	}, s)
}
