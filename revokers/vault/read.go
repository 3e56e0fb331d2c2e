package vault

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
)

// Read returns a field of a KV secret, named as mount/path#field. Version 1 and 2
// of the engine are read; Vault reports where the mount ends.
func Read(ctx context.Context, d issuer.Doer, i *issuer.Instance, where string) (credential.Secret, error) {
	path, field, ok := strings.Cut(where, "#")
	path = strings.Trim(path, "/")
	if !ok || field == "" || !strings.Contains(path, "/") || issuer.HasDotSegment(path) {
		return credential.Secret{}, errors.New("a secret in Vault is named as mount/path#field")
	}
	if i.Admin.IsZero() {
		return credential.Secret{}, fmt.Errorf("the Vault instance %s has neither admin nor login", i.Host())
	}
	c, err := client(d, i, i.Admin)
	if err != nil {
		return credential.Secret{}, err
	}
	mount, rest, version := mountOf(ctx, c, path)
	var data map[string]any
	if version == 1 {
		s, err := c.KVv1(mount).Get(ctx, rest)
		if err != nil || s == nil {
			return credential.Secret{}, reason("read "+path, err)
		}
		data = s.Data
	} else {
		s, err := c.KVv2(mount).Get(ctx, rest)
		if err != nil || s == nil {
			return credential.Secret{}, reason("read "+path, err)
		}
		if s.Data == nil {
			return credential.Secret{}, fmt.Errorf("read %s: the current version is deleted", path)
		}
		data = s.Data
	}
	v, ok := data[field].(string)
	if !ok || v == "" {
		return credential.Secret{}, fmt.Errorf("read %s: it has no text in a field of that name", path)
	}
	return credential.NewSecretString(v), nil
}

// mountOf divides a path into its mount and the rest, and returns the version of
// the KV engine. Vault answers that to every token that may use the mount; if it
// does not, the first segment is taken for a mount of version 2.
func mountOf(ctx context.Context, c *api.Client, path string) (mount, rest string, version int) {
	mount, rest, _ = strings.Cut(path, "/")
	s, err := c.Logical().ReadWithContext(ctx, "sys/internal/ui/mounts/"+path)
	if err != nil || s == nil {
		return mount, rest, 2
	}
	at := text(s.Data["path"])
	if after, ok := strings.CutPrefix(path, at); ok && at != "" && after != "" {
		mount, rest = strings.TrimSuffix(at, "/"), after
	}
	options, _ := s.Data["options"].(map[string]any)
	if v := text(options["version"]); v != "2" {
		return mount, rest, 1
	}
	return mount, rest, 2
}
