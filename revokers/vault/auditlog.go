package vault

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
)

// record is an entry of the log that an audit device of the kind file writes in JSON: a
// request or its response. Secrets in it are digests, which audit-hash computes too.
// https://developer.hashicorp.com/vault/docs/audit#format
type record struct {
	Type    string    `json:"type"`
	Time    time.Time `json:"time"`
	Error   string    `json:"error"`
	Auth    recordOf  `json:"auth"`
	Request struct {
		Operation string `json:"operation"`
		Path      string `json:"path"`
	} `json:"request"`
	Response struct {
		Auth   recordOf `json:"auth"`
		Secret struct {
			LeaseID string `json:"lease_id"`
		} `json:"secret"`
	} `json:"response"`

	line []byte
}

// mentions reports whether a digest is anywhere in the entry.
func (r record) mentions(hash string) bool { return bytes.Contains(r.line, []byte(hash)) }

// recordOf is the token of a request, or the one that a login has issued.
type recordOf struct {
	ClientToken string `json:"client_token"`
	Accessor    string `json:"accessor"`
	EntityID    string `json:"entity_id"`
}

// maxRecord is the length of a line of the log that is read, in bytes.
const maxRecord = 1 << 20

// auditLog reads the lines of a file from an offset on that contain one of the words, and
// returns the offset after the last whole line. A file that has become shorter is a new
// one, from its beginning.
func auditLog(file string, from int64, words func() [][]byte, each func(record)) (int64, error) {
	f, err := os.Open(file)
	if err != nil {
		return from, errors.New("the audit log can't be read (hint: reload.audit_log or managed.audit_log of the policy, and the rights of the file)")
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() < from {
		from = 0
	}
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return from, errors.New("the audit log can't be read from where it ended")
	}
	in := bufio.NewReaderSize(f, 64<<10)
	var line []byte
	long := 0
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) <= maxRecord {
			line = append(line, part...)
		}
		long += len(part)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return from, nil // the last line is not whole yet
		}
		from += int64(long)
		if slices.ContainsFunc(words(), func(w []byte) bool { return bytes.Contains(line, w) }) {
			var r record
			if json.Unmarshal(line, &r) == nil {
				r.line = line
				each(r)
			}
		}
		line, long = line[:0], 0
	}
}

// auditHash is the digest by which an audit device records a value.
func auditHash(ctx context.Context, c *api.Client, device string, value credential.Secret) (string, error) {
	device = strings.Trim(device, "/")
	if !clean(device) {
		return "", fmt.Errorf("%q is no path of an audit device", device)
	}
	hash, err := c.Sys().AuditHashWithContext(ctx, device, value.Reveal())
	var r *api.ResponseError
	switch {
	case errors.As(err, &r):
		return "", reason("audit-hash of "+device, err)
	case err != nil || !strings.HasPrefix(hash, "hmac-sha256:"):
		return "", fmt.Errorf("audit-hash of %s: Vault's answer has no hash", device)
	}
	return hash, nil
}

// Use is what a credential has used in a Vault, as the audit log shows it.
type Use struct {
	Since  time.Time // the first entry of the log that was read
	Grants []Grant
}

// Uses reads from the audit log of a Vault which paths each token used, and the tokens that
// each secret id has signed in for, with success. It knows nothing of times before the
// log's first entry, of other logs, and of what was used by a child token.
func (f Finder) Uses(ctx context.Context, v *issuer.Instance, creds []credential.Credential) (map[string]Use, error) {
	with := v.Managed
	if with == nil || with.AuditLog == "" || v.Admin.IsZero() {
		return nil, nil
	}
	c, err := client(f.Doer, v, v.Admin)
	if err != nil {
		return nil, err
	}
	tokens, ids := map[string]string{}, map[string]string{} // digest -> fingerprint
	var words [][]byte
	for _, one := range creds {
		if one.Secret.IsZero() || one.Rule != SecretIDRule && !strings.HasPrefix(one.Rule, "vault-") {
			continue
		}
		hash, err := auditHash(ctx, c, with.Audit, one.Secret)
		if err != nil {
			return nil, err
		}
		if one.Rule == SecretIDRule {
			ids[hash] = one.Fingerprint
		} else {
			tokens[hash] = one.Fingerprint
		}
		words = append(words, []byte(hash))
	}
	if len(words) == 0 {
		return nil, nil
	}
	var since time.Time
	all := [][]byte{[]byte(`"time"`)}
	out := map[string]Use{}
	_, err = auditLog(with.AuditLog, 0, func() [][]byte { return append(all, words...) }, func(r record) {
		if since.IsZero() && !r.Time.IsZero() {
			since, all = r.Time, nil
		}
		if r.Type != "response" || r.Error != "" {
			return
		}
		if token := r.Response.Auth.ClientToken; token != "" && strings.HasPrefix(r.Request.Path, "auth/") && tokens[token] == "" {
			for hash, fp := range ids {
				if r.mentions(hash) {
					tokens[token] = fp
					words = append(words, []byte(token))
				}
			}
		}
		if fp := tokens[r.Auth.ClientToken]; fp != "" {
			u := out[fp]
			u.Since = since
			u.add(r.Request.Path, r.Request.Operation)
			out[fp] = u
		}
	})
	for fp, u := range out {
		if len(u.Grants) == 0 {
			delete(out, fp)
		}
	}
	return out, err
}

// defaults are paths that Vault's policy "default" allows.
var defaults = []string{"auth/token/lookup-self", "auth/token/renew-self", "auth/token/revoke-self", "sys/capabilities-self", "sys/internal/ui/", "cubbyhole/", "sys/wrapping/", "sys/leases/renew", "sys/leases/lookup"}

// add adds a path with the capabilities that an operation needs.
func (u *Use) add(path, operation string) {
	var need []string
	switch operation {
	case "read", "list", "delete", "patch", "update":
		need = []string{operation}
	case "create":
		// The log has create for a path that did not exist: the same write again is an update.
		need = []string{"create", "update"}
	}
	if path == "" || len(need) == 0 || !clean(strings.TrimSuffix(path, "/")) || slices.ContainsFunc(defaults, func(d string) bool { return strings.HasPrefix(path, d) }) {
		return
	}
	i := slices.IndexFunc(u.Grants, func(g Grant) bool { return g.Path == path })
	if i < 0 {
		u.Grants = append(u.Grants, Grant{Path: path})
		i = len(u.Grants) - 1
	}
	for _, c := range need {
		if !slices.Contains(u.Grants[i].Capabilities, c) {
			u.Grants[i].Capabilities = append(u.Grants[i].Capabilities, c)
		}
	}
}

// Policy is the policy that allows what was used and no more.
func (u Use) Policy() string {
	list := slices.Clone(u.Grants)
	for i := range list {
		list[i].Reason = "used since " + u.Since.UTC().Format(time.RFC3339)
	}
	return Policy(list)
}

// observed reports whether a consumer has the new value: another than quell has read it or
// has used it, as the audit log shows. For a lease, another lease of its role.
func (j *job) observed(ctx context.Context, fresh credential.Secret) (func() (bool, error), error) {
	w := j.with.Reload
	c, err := j.client()
	if err != nil {
		return nil, err
	}
	self, err := j.read(ctx, "auth/token/lookup-self")
	if err != nil {
		return nil, err
	}
	own, entity := "", text(self["entity_id"])
	if a := text(self["accessor"]); a != "" {
		if own, err = auditHash(ctx, c, w.Audit, credential.NewSecretString(a)); err != nil {
			return nil, err
		}
	}
	others := func(r record) bool {
		return r.Type == "response" && r.Error == "" && r.Auth.Accessor != own && (entity == "" || r.Auth.EntityID != entity)
	}
	var word string
	var shows func(record) bool
	switch lease := strings.Trim(j.with.Lease, "/"); {
	case lease != "":
		began, role := time.Now(), lease[:strings.LastIndexByte(lease, '/')]
		word = `"` + jsonSafe(role) + `"`
		shows = func(r record) bool {
			return others(r) && r.Time.After(began) && r.Request.Path == role && r.Response.Secret.LeaseID != "" && r.Response.Secret.LeaseID != lease
		}
	case fresh.IsZero():
		return nil, errors.New("the new value is not known, so the audit log can't be searched for it (hint: kv of the rotation, or reload.url)")
	default:
		if word, err = auditHash(ctx, c, w.Audit, fresh); err != nil {
			return nil, err
		}
		shows = others
	}
	var at int64
	return func() (seen bool, err error) {
		at, err = auditLog(w.AuditLog, at, func() [][]byte { return [][]byte{[]byte(word)} }, func(r record) { seen = seen || shows(r) })
		return seen, err
	}, nil
}
