package vault

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules/credential"
)

// Names of steps.
const (
	rotateRole = "rotate-role"
	rotateRoot = "rotate-root"
	rotateNext = "rotate-other-role"
)

// engine is what one secrets engine offers. Paths are below the mount; {name} is
// the role or connection. An empty path means that the engine has no such call.
// https://developer.hashicorp.com/vault/api-docs/secret
type engine struct {
	rotate string // rotates a static role
	creds  string // reads a static role's credential and the time of its rotation
	root   string // rotates the engine's own credential
	config string // reads something that a rotation of the root changes
	field  string // of config
	always string // a field of config that is there before the first rotation too
}

// engines by name. What has no read that a rotation changes can't be settled by the
// store after a crash: then the probe of the old credential decides.
func engines() map[string]engine {
	return map[string]engine{
		"database":  {rotate: "rotate-role/{name}", creds: "static-creds/{name}", root: "rotate-root/{name}"},
		"ldap":      {rotate: "rotate-role/{name}", creds: "static-cred/{name}", root: "rotate-root", config: "config", field: "last_bind_password_rotation", always: "binddn"},
		"terraform": {rotate: "rotate-role/{name}"},
		"gcp":       {rotate: "{name}/rotate-key", root: "config/rotate-root"},
		"aws":       {root: "config/rotate-root", config: "config/root", field: "access_key", always: "access_key"},
		"azure":     {root: "rotate-root"},
	}
}

// static is the rotation of a static role: the old password ends as the new one
// begins, so consumers that do not read again fail until they do.
func (j *job) static() error {
	if j.with.StaticRole == "" {
		return nil
	}
	if j.with.Other == "" {
		return j.rotation(rotateRole, j.with.StaticRole, orderSwap)
	}
	// Two users that take turns: the other one's password is made and written while the
	// leaked one still works, so consumers have an overlap.
	if e := engines()[j.with.Engine]; e.creds == "" || j.with.KV == "" || j.with.Other == j.with.StaticRole {
		return errors.New("other_role is another static role of the engine database or ldap, and needs kv")
	}
	if err := j.rotation(rotateNext, j.with.Other, orderIssue); err != nil {
		return err
	}
	return j.rotation(rotateRole, j.with.StaticRole, orderEnd)
}

// otherPassword is the password of the other role now.
func (j *job) otherPassword(ctx context.Context) (credential.Secret, error) {
	mount, name, err := named("other role", j.with.Other)
	if err != nil {
		return credential.Secret{}, err
	}
	path := mount + "/" + strings.ReplaceAll(engines()[j.with.Engine].creds, "{name}", name)
	got, err := j.read(ctx, path)
	switch {
	case err != nil:
		return credential.Secret{}, err
	case text(got["password"]) == "" || text(got["username"]) != j.with.OtherUser:
		return credential.Secret{}, fmt.Errorf("read %s: it has no password of the user %s (hint: other_user)", path, j.with.OtherUser)
	}
	return credential.NewSecretString(text(got["password"])), nil
}

// rotation rotates one static role.
func (j *job) rotation(step, role string, order int) error {
	e := engines()[j.with.Engine]
	if j.with.Engine == "" {
		e = engines()["database"]
	}
	if e.rotate == "" {
		return fmt.Errorf("the engine %s of Vault can't rotate a static role on request", j.with.Engine)
	}
	mount, name, err := named("static role", role)
	if j.with.Engine == "gcp" && err == nil {
		// static-account/NAME or roleset/NAME
		if at := strings.LastIndexByte(mount, '/'); at > 0 {
			mount, name = mount[:at], mount[at+1:]+"/"+name
		}
		if kind, _, _ := strings.Cut(name, "/"); kind != "static-account" && kind != "roleset" {
			err = fmt.Errorf("static role %q is not mount/static-account/name or mount/roleset/name", role)
		}
	}
	if err != nil {
		return err
	}
	at := func(path string) string { return mount + "/" + strings.ReplaceAll(path, "{name}", name) }
	a := act{do: func(ctx context.Context, _ *credential.Secret) error {
		if step == rotateNext {
			// Consumers that use the other user already would lose its password.
			k, err := j.field()
			if err != nil {
				return err
			}
			v, _, err := k.get(ctx)
			switch {
			case err != nil:
				return err
			case !j.t.Secret.Equal(credential.NewSecretString(v)):
				return fmt.Errorf("%s does not hold the leaked value: nothing was rotated (%w)", j.with.KV, revokers.ErrRefused)
			}
		}
		_, err := j.write(ctx, at(e.rotate), nil)
		return err
	}}
	a.Name, a.Ends = step, step == rotateRole
	a.Effect = j.effect(put, "", at(e.rotate))
	a.Where = at(e.rotate)
	a.grants = []Grant{{at(e.rotate), []string{"update"}, "rotate the static role"}}
	if j.with.Engine == "database" || j.with.Engine == "" {
		a.Note = "open connections of the old password stay open"
		if !a.Ends {
			a.Note = "whoever uses the user " + j.with.OtherUser + " now has to read its password again"
		}
	}
	if e.creds != "" {
		a.Where = at(e.creds)
		a.grants = append(a.grants, Grant{at(e.creds), []string{"read"}, "see whether it was rotated"})
		a.held = func(ctx context.Context) (string, error) {
			got, err := j.read(ctx, at(e.creds))
			if err != nil {
				return "", err
			}
			pass, at := text(got["password"]), text(got["last_vault_rotation"])
			if pass == "" || at == "" {
				return "", fmt.Errorf("read %s: Vault's answer has no password with the time of its rotation", a.Where)
			}
			return pass + "\x00" + at, nil
		}
	}
	j.add(order, a)
	return nil
}

// root is the rotation of the credential that Vault itself uses. Afterwards Vault
// alone knows it.
func (j *job) root() error {
	if j.with.Root == "" {
		return nil
	}
	e := engines()[j.with.Engine]
	if j.with.Engine == "" {
		e = engines()["database"]
	}
	mount, name := strings.Trim(j.with.Root, "/"), ""
	switch {
	case e.root == "":
		return fmt.Errorf("the engine %s of Vault can't rotate its root credential", j.with.Engine)
	case strings.Contains(e.root, "{name}"):
		var err error
		if mount, name, err = named("root", j.with.Root); err != nil {
			return err
		}
	case !clean(mount):
		return fmt.Errorf("root %q is no mount", j.with.Root)
	}
	at := func(path string) string { return mount + "/" + strings.ReplaceAll(path, "{name}", name) }
	a := act{do: func(ctx context.Context, _ *credential.Secret) error {
		_, err := j.write(ctx, at(e.root), nil)
		return err
	}}
	a.Name, a.Ends = rotateRoot, true
	a.Effect, a.Where = j.effect(put, "", at(e.root)), at(e.root)
	a.Note = "Vault alone knows the new one"
	a.Collateral = "the new root credential can't be read by anyone: whoever else uses the old one is locked out"
	a.grants = []Grant{{at(e.root), []string{"update"}, "rotate the engine's own credential"}}
	if e.config != "" {
		a.grants = append(a.grants, Grant{at(e.config), []string{"read"}, "see whether it was rotated"})
		a.held = func(ctx context.Context) (string, error) {
			got, err := j.read(ctx, at(e.config))
			if err != nil {
				return "", err
			}
			if text(got[e.always]) == "" {
				return "", fmt.Errorf("read %s: Vault's answer has no %s", at(e.config), e.always)
			}
			return text(got[e.field]), nil
		}
	}
	j.add(orderSwap, a)
	return nil
}
