package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

// Rotator replaces a credential in Vault. Vault is the exchange's instance,
// its Admin the operator's token; With says what to rotate.
type Rotator struct {
	Exchange *revokers.Exchange
	With     revokers.RotateWith
}

// Rotate implements revokers.Rotator.
func (r Rotator) Rotate(ctx context.Context, c rules.Credential) (revokers.Rotation, error) {
	if r.Exchange.Instance.Admin.IsZero() {
		return revokers.Rotation{}, errors.New("the Vault instance has no admin token")
	}
	v, err := client(r.Exchange, r.Exchange.Instance.Admin)
	if err != nil {
		return revokers.Rotation{}, err
	}
	switch {
	case r.With.StaticRole != "":
		return r.staticRole(ctx, v)
	case r.With.KV != "":
		return r.kv(ctx, v, c)
	}
	return revokers.Rotation{}, errors.New("nothing says what to rotate")
}

// staticRole has the database engine set a new password. It is not tried
// again: a second rotation would invalidate what consumers just read.
func (r Rotator) staticRole(ctx context.Context, v *api.Client) (revokers.Rotation, error) {
	mount, role, ok := cut(r.With.StaticRole)
	if !ok {
		return revokers.Rotation{}, fmt.Errorf("static role %q is not mount/role", r.With.StaticRole)
	}
	if _, err := v.Logical().WriteWithContext(ctx, mount+"/rotate-role/"+role, nil); err != nil {
		return revokers.Rotation{}, said("rotate-role", err)
	}
	s, err := v.Logical().ReadWithContext(ctx, mount+"/static-creds/"+role)
	if err != nil || s == nil {
		return revokers.Rotation{}, said("read the new credentials' age", err)
	}
	return revokers.Rotation{Where: mount + "/static-creds/" + role, Detail: "rotated at " + text(s.Data["last_vault_rotation"]) + "; open connections of the old password stay open", At: time.Now().UTC()}, nil
}

// kv writes a new version of a KV v2 secret, by check-and-set on the version
// that held the leaked value: if another wrote in between, nothing is lost.
func (r Rotator) kv(ctx context.Context, v *api.Client, c rules.Credential) (revokers.Rotation, error) {
	where, field, ok := strings.Cut(r.With.KV, "#")
	mount, path, ok2 := cut(where)
	if !ok || !ok2 || field == "" {
		return revokers.Rotation{}, fmt.Errorf("KV %q is not mount/path#field", r.With.KV)
	}
	if r.With.Value.IsZero() {
		return revokers.Rotation{}, errors.New("no new value is given")
	}
	if r.With.Value.Equal(c.Secret) {
		return revokers.Rotation{}, errors.New("the new value is the leaked one")
	}
	s, err := v.KVv2(mount).Get(ctx, path)
	if err != nil {
		return revokers.Rotation{}, said("read "+where, err)
	}
	if s == nil || s.Data == nil || s.VersionMetadata == nil {
		return revokers.Rotation{}, fmt.Errorf("read %s: the current version is deleted", where)
	}
	cur, _ := s.Data[field].(string)
	switch rules.NewSecretString(cur); {
	case r.With.Value.Equal(rules.NewSecretString(cur)):
		return revokers.Rotation{Where: r.With.KV, Detail: "the new value stands there already", At: time.Now().UTC()}, nil
	case !c.Secret.Equal(rules.NewSecretString(cur)):
		return revokers.Rotation{}, fmt.Errorf("%s does not hold the leaked value: nothing was written", r.With.KV)
	}
	data := map[string]any{}
	for k, val := range s.Data {
		data[k] = val
	}
	data[field] = r.With.Value.Reveal()
	n, err := v.KVv2(mount).Put(ctx, path, data, api.WithCheckAndSet(s.VersionMetadata.Version))
	if err != nil {
		return revokers.Rotation{}, said("write "+where, err)
	}
	return revokers.Rotation{Where: r.With.KV, Detail: fmt.Sprintf("version %d; version %d still holds the leaked value until it is destroyed", n.VersionMetadata.Version, s.VersionMetadata.Version), At: time.Now().UTC()}, nil
}

// cut splits mount/path; neither may climb.
func cut(s string) (mount, path string, ok bool) {
	mount, path, ok = strings.Cut(strings.Trim(s, "/"), "/")
	return mount, path, ok && path != "" && !strings.Contains(s, "..")
}

// said keeps Vault's own words, which hold no secret, and drops the request.
func said(op string, err error) error {
	var r *api.ResponseError
	switch {
	case err == nil:
		return fmt.Errorf("%s: Vault has no such path", op)
	case errors.Is(err, api.ErrSecretNotFound):
		return fmt.Errorf("%s: Vault has no such secret", op)
	case errors.As(err, &r) && r.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%s: permission denied", op)
	case errors.As(err, &r):
		return fmt.Errorf("%s: Vault answered %d: %s", op, r.StatusCode, strings.Join(r.Errors, "; "))
	}
	return fmt.Errorf("%s: no answer from Vault", op)
}

// Preview shows what Rotate sends.
func (r Rotator) Preview() []revokers.Preview {
	head := map[string]string{"X-Vault-Token": "{vault.admin}"}
	u := r.Exchange.Instance.URL
	if r.With.StaticRole != "" {
		mount, role, _ := cut(r.With.StaticRole)
		return []revokers.Preview{{Method: "PUT", URL: u.JoinPath("v1", mount, "rotate-role", role).String(), Header: head}}
	}
	where, field, _ := strings.Cut(r.With.KV, "#")
	mount, path, _ := cut(where)
	return []revokers.Preview{{Method: "PUT", URL: u.JoinPath("v1", mount, "data", path).String(), Header: head, Body: []byte(`{"options":{"cas":"{current version}"},"data":{"` + jsonSafe(field) + `":"{new value}"}}`)}}
}

func jsonSafe(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '"' || r == '\\' || r < 0x20 {
			return -1
		}
		return r
	}, s)
}
