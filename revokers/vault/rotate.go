package vault

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
)

// Rotator replaces a credential where Vault keeps it. The target's related
// instance "vault" is that Vault; its instance's Rotate says what to rotate.
type Rotator struct {
	Doer issuer.Doer
	// Key keys the digests of what the store holds, so that they reveal nothing.
	Key []byte
}

// Names of steps.
const (
	rotateRole = "rotate-role"
	writeKV    = "write-kv"
)

// Steps implements revokers.Rotator.
func (r Rotator) Steps(_ context.Context, t revokers.Target) ([]revokers.Step, error) {
	v, err := vaultOf(t)
	if err != nil {
		return nil, err
	}
	head := map[string]string{"X-Vault-Token": "{vault.admin}"}
	with := t.Instance.Rotate
	switch {
	case with.StaticRole != "":
		mount, role, ok := cut(with.StaticRole)
		if !ok {
			return nil, fmt.Errorf("static role %q is not mount/role", with.StaticRole)
		}
		return []revokers.Step{{
			Name:   rotateRole,
			Effect: revokers.Effect{Name: rotateRole, Method: "PUT", URL: v.URL.JoinPath("v1", mount, "rotate-role", role).String(), Header: head, Elements: []string{t.Fingerprint}},
			Where:  mount + "/static-creds/" + role,
			Note:   "open connections of the old password stay open",
		}}, nil
	case with.KV != "":
		mount, path, field, err := kvPath(with.KV)
		if err != nil {
			return nil, err
		}
		if with.Value.IsZero() {
			return nil, errors.New("no new value is given")
		}
		if with.Value.Equal(t.Secret) {
			return nil, errors.New("the new value is the leaked one")
		}
		return []revokers.Step{{
			Name: writeKV,
			Effect: revokers.Effect{Name: writeKV, Method: "PUT", URL: v.URL.JoinPath("v1", mount, "data", path).String(), Header: head,
				Body: []byte(`{"options":{"cas":"{current version}"},"data":{"` + jsonSafe(field) + `":"{new value}"}}`), Elements: []string{t.Fingerprint}},
			Where: with.KV,
			Note:  "the old version holds the leaked value until it is destroyed",
		}}, nil
	}
	return nil, errors.New("nothing says what to rotate")
}

func vaultOf(t revokers.Target) (*issuer.Instance, error) {
	v := t.Related["vault"]
	switch {
	case t.Instance.Rotate == nil:
		return nil, errors.New("nothing says what to rotate")
	case v == nil:
		return nil, errors.New("the policy names no Vault instance " + t.Instance.Rotate.Vault)
	case v.Admin.IsZero():
		return nil, fmt.Errorf("the Vault instance %s has no admin token", v.Host())
	}
	return v, nil
}

func (r Rotator) client(t revokers.Target) (*api.Client, error) {
	v, err := vaultOf(t)
	if err != nil {
		return nil, err
	}
	return client(r.Doer, v, v.Admin)
}

// held reads what the store holds for a step: a static role's password and time
// of rotation, or a KV field and its version.
func (r Rotator) held(ctx context.Context, t revokers.Target, s revokers.Step) (value, at string, kv *api.KVSecret, err error) {
	c, err := r.client(t)
	if err != nil {
		return "", "", nil, err
	}
	if s.Name == rotateRole {
		mount, role, _ := cut(t.Instance.Rotate.StaticRole)
		got, err := c.Logical().ReadWithContext(ctx, mount+"/static-creds/"+role)
		if err != nil || got == nil || got.Data == nil {
			return "", "", nil, reason("read "+mount+"/static-creds/"+role, err)
		}
		return text(got.Data["password"]), text(got.Data["last_vault_rotation"]), nil, nil
	}
	mount, path, field, err := kvPath(t.Instance.Rotate.KV)
	if err != nil {
		return "", "", nil, err
	}
	got, err := c.KVv2(mount).Get(ctx, path)
	if err != nil {
		return "", "", nil, reason("read "+mount+"/"+path, err)
	}
	if got == nil || got.Data == nil || got.VersionMetadata == nil {
		return "", "", nil, fmt.Errorf("read %s/%s: the current version is deleted", mount, path)
	}
	v, _ := got.Data[field].(string)
	return v, fmt.Sprint(got.VersionMetadata.Version), got, nil
}

func (r Rotator) digest(value, at string) []byte {
	m := hmac.New(sha256.New, r.Key)
	fmt.Fprintf(m, "%d:%s%s", len(value), value, at)
	return m.Sum(nil)
}

// Mark implements revokers.Rotator.
func (r Rotator) Mark(ctx context.Context, t revokers.Target, s revokers.Step) ([]byte, error) {
	value, at, _, err := r.held(ctx, t, s)
	if err != nil {
		return nil, err
	}
	return r.digest(value, at), nil
}

// Do implements revokers.Rotator. A static role is not tried again: a second
// rotation would invalidate what consumers just read.
func (r Rotator) Do(ctx context.Context, t revokers.Target, s revokers.Step, _ *credential.Secret) error {
	c, err := r.client(t)
	if err != nil {
		return err
	}
	if s.Name == rotateRole {
		mount, role, _ := cut(t.Instance.Rotate.StaticRole)
		if _, err := c.Logical().WriteWithContext(ctx, mount+"/rotate-role/"+role, nil); err != nil {
			return reason("rotate-role", err)
		}
		return nil
	}
	cur, _, kv, err := r.held(ctx, t, s)
	if err != nil {
		return err
	}
	with := t.Instance.Rotate
	mount, path, field, _ := kvPath(with.KV)
	switch old := credential.NewSecretString(cur); {
	case with.Value.Equal(old):
		return nil // the new value is there already
	case !t.Secret.Equal(old):
		return fmt.Errorf("%s does not hold the leaked value: nothing was written", with.KV)
	}
	data := map[string]any{}
	for k, val := range kv.Data {
		data[k] = val
	}
	data[field] = with.Value.Reveal()
	// Check-and-set on the version that held the leaked value: if another wrote
	// in between, nothing is lost.
	if _, err := c.KVv2(mount).Put(ctx, path, data, api.WithCheckAndSet(kv.VersionMetadata.Version)); err != nil {
		return reason("write "+mount+"/"+path, err)
	}
	return nil
}

// Did implements revokers.Rotator: what the store holds has changed since the
// mark, or has not.
func (r Rotator) Did(ctx context.Context, t revokers.Target, s revokers.Step, mark []byte) (revokers.State, error) {
	value, at, _, err := r.held(ctx, t, s)
	if err != nil {
		return revokers.Unsure, err
	}
	if hmac.Equal(mark, r.digest(value, at)) {
		return revokers.NotDone, nil
	}
	return revokers.Done, nil
}

// Undo implements revokers.Rotator. No step of this rotator issues a secret
// outside of the store, so nothing is ever lost.
func (r Rotator) Undo(context.Context, revokers.Target, revokers.Step, []byte) error {
	return errors.New("nothing to undo: Vault itself holds what it issued")
}

// kvPath reads mount/path#field.
func kvPath(s string) (mount, path, field string, err error) {
	where, field, ok := strings.Cut(s, "#")
	mount, path, ok2 := cut(where)
	if !ok || !ok2 || field == "" {
		return "", "", "", fmt.Errorf("KV %q is not mount/path#field", s)
	}
	return mount, path, field, nil
}

// cut splits mount/path; neither may climb.
func cut(s string) (mount, path string, ok bool) {
	mount, path, ok = strings.Cut(strings.Trim(s, "/"), "/")
	return mount, path, ok && path != "" && !strings.Contains(s, "..")
}

func jsonSafe(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '"' || r == '\\' || r < 0x20 {
			return -1
		}
		return r
	}, s)
}
