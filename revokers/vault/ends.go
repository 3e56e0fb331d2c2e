package vault

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules/credential"
)

// Names of steps that end something and make nothing new.
const (
	endLease     = "revoke-lease"
	setPassword  = "set-password"
	revokeCert   = "revoke-certificate"
	rotateKey    = "rotate-key"
	raiseVersion = "raise-min-decryption-version"
	disable      = "disable-entity"
	endToken     = "revoke-accessor"
	endLogins    = "end-login-tokens"
)

// lease ends the lease that a dynamic credential came with, and with it the user or
// token at the backend. The request is synchronous: without that Vault answers
// before it has done anything.
func (j *job) lease() error {
	id := strings.Trim(j.with.Lease, "/")
	if id == "" {
		return nil
	}
	// A lease is MOUNT/PATH/ID. A shorter text could be a prefix, which would end
	// others too; prefixes and revoke-force are never used.
	if strings.Count(id, "/") < 2 || !clean(id) {
		return fmt.Errorf("lease %q is no lease id, which has a mount, a path and an id", j.with.Lease)
	}
	did := func(ctx context.Context, _ []byte) (revokers.State, error) {
		got, err := j.write(ctx, "sys/leases/lookup", map[string]any{"lease_id": id})
		switch {
		case gone(err):
			return revokers.Done, nil
		case err != nil:
			return revokers.Unsure, err
		case text(got["id"]) == id:
			return revokers.NotDone, nil
		}
		return revokers.Unsure, nil
	}
	a := act{did: did, do: checked(func(ctx context.Context) error {
		c, err := j.client()
		if err != nil {
			return err
		}
		if err := c.Sys().RevokeWithOptionsWithContext(ctx, &api.RevokeOptions{LeaseID: id, Sync: true}); err != nil && !gone(err) {
			return reason("revoke the lease", err)
		}
		return nil
	}, did)}
	a.Name, a.Ends, a.Repeats, a.Where = endLease, true, true, id[:strings.LastIndexByte(id, '/')]
	a.Effect = j.effect(put, `{"sync":true}`, "sys/leases/revoke", id)
	a.grants = []Grant{
		{"sys/leases/revoke/" + id, []string{"update"}, "end this lease"},
		{"sys/leases/lookup", []string{"update"}, "see whether it has ended"},
	}
	j.add(orderEnd, a)
	return nil
}

// userpass sets the password that KV holds by now. Vault can't show a password, so
// after a crash it is set again.
func (j *job) userpass() error {
	if j.with.UserPass == "" {
		return nil
	}
	mount, user, err := named("userpass", j.with.UserPass)
	if err != nil {
		return err
	}
	path := "auth/" + mount + "/users/" + user + "/password"
	a := act{
		do: func(ctx context.Context, fresh *credential.Secret) error {
			_, err := j.write(ctx, path, map[string]any{"password": fresh.Reveal()})
			return err
		},
		did: func(context.Context, []byte) (revokers.State, error) { return revokers.NotDone, nil },
	}
	a.Name, a.Ends, a.Needs, a.Repeats, a.Where = setPassword, true, true, true, "auth/"+mount+"/users/"+user
	a.Effect = j.effect(put, `{"password":"{new value}"}`, path)
	a.Note = "tokens that the old password issued stay alive until they are ended or expire"
	a.grants = []Grant{{path, []string{"update"}, "set the new password"}}
	j.add(orderSwap+orderWrite, a) // after KV: what is live is never lost
	if j.with.Tokens {
		j.tokens(endLogins, "auth/"+mount+"/login/"+user, map[string]string{"username": user})
	}
	return nil
}

// pki revokes the certificate whose key leaked. Who does not read the CRL or ask
// OCSP accepts it until it expires. Certificates of the SSH engine can't be revoked
// in Vault at all.
func (j *job) pki() error {
	if j.with.PKI == "" {
		return nil
	}
	mount, serial, err := named("pki", j.with.PKI)
	if err != nil {
		return err
	}
	if strings.Trim(serial, "0123456789abcdefABCDEF:-") != "" {
		return fmt.Errorf("pki %q does not end with a serial number", j.with.PKI)
	}
	did := func(ctx context.Context, _ []byte) (revokers.State, error) {
		got, err := j.read(ctx, mount+"/cert/"+serial)
		switch {
		case err != nil:
			return revokers.Unsure, err
		case number(got["revocation_time"]) > 0:
			return revokers.Done, nil
		}
		return revokers.NotDone, nil
	}
	a := act{did: did, do: checked(func(ctx context.Context) error {
		got, err := j.write(ctx, mount+"/revoke", map[string]any{"serial_number": serial})
		if err == nil && number(got["revocation_time"]) == 0 {
			return errors.New("revoke the certificate: Vault's answer has no time of revocation")
		}
		return err
	}, did)}
	a.Name, a.Ends, a.Repeats, a.Where = revokeCert, true, true, mount+"/cert/"+serial
	a.Effect = j.effect(put, `{"serial_number":"`+serial+`"}`, mount, "revoke")
	a.Note = "whoever does not check the CRL or OCSP accepts the certificate until it expires"
	a.grants = []Grant{
		{mount + "/revoke", []string{"update"}, "revoke the certificate"},
		{mount + "/cert/" + serial, []string{"read"}, "see whether it is revoked"},
	}
	j.add(orderEnd, a)
	return nil
}

// transit makes a new version of a key and refuses the older ones. Data that they
// encrypted must have been encrypted again by then; the setting can be lowered.
func (j *job) transit() error {
	if j.with.Transit == "" {
		return nil
	}
	mount, name, err := named("transit", j.with.Transit)
	if err != nil {
		return err
	}
	path := mount + "/keys/" + name
	key := func(ctx context.Context, field string) (int, error) {
		got, err := j.read(ctx, path)
		if err != nil {
			return 0, err
		}
		n := number(got[field])
		if field == "latest_version" && n < 1 {
			return 0, fmt.Errorf("read %s: Vault's answer has no version", path)
		}
		return n, nil
	}
	roll := act{
		held: func(ctx context.Context) (string, error) {
			n, err := key(ctx, "latest_version")
			return strconv.Itoa(n), err
		},
		do: func(ctx context.Context, _ *credential.Secret) error {
			_, err := j.write(ctx, path+"/rotate", nil)
			return err
		},
	}
	roll.Name, roll.Where = rotateKey, path
	roll.Effect = j.effect(put, "", path, "rotate")
	roll.grants = []Grant{
		{path, []string{"read"}, "read the key's versions"},
		{path + "/rotate", []string{"update"}, "make a new version of the key"},
	}
	j.add(orderIssue, roll)
	did := func(ctx context.Context, _ []byte) (revokers.State, error) {
		latest, err := key(ctx, "latest_version")
		if err != nil {
			return revokers.Unsure, err
		}
		low, err := key(ctx, "min_decryption_version")
		switch {
		case err != nil:
			return revokers.Unsure, err
		case low >= latest:
			return revokers.Done, nil
		}
		return revokers.NotDone, nil
	}
	raise := act{did: did, do: checked(func(ctx context.Context) error {
		n, err := key(ctx, "latest_version")
		if err != nil {
			return err
		}
		_, err = j.write(ctx, path+"/config", map[string]any{"min_decryption_version": n})
		return err
	}, did)}
	raise.Name, raise.Ends, raise.Repeats, raise.Where = raiseVersion, true, true, path
	raise.Effect = j.effect(put, `{"min_decryption_version":"{new version}"}`, path, "config")
	raise.Note = "lower min_decryption_version of the key to take it back"
	raise.Collateral = "everything that older versions of the key signed or encrypted is refused"
	raise.grants = []Grant{{path + "/config", []string{"update"}, "refuse the older versions"}}
	j.add(orderEnd, raise)
	return nil
}

// entity disables an identity entity, which refuses all of its tokens. Enabling it
// makes them work again.
func (j *job) entity() error {
	if j.with.Entity == "" {
		return nil
	}
	if !clean(j.with.Entity) || strings.Contains(j.with.Entity, "/") {
		return fmt.Errorf("entity %q is no id of an entity", j.with.Entity)
	}
	path := "identity/entity/id/" + j.with.Entity
	did := func(ctx context.Context, _ []byte) (revokers.State, error) {
		got, err := j.read(ctx, path)
		if err != nil {
			return revokers.Unsure, err
		}
		switch got["disabled"] {
		case true:
			return revokers.Done, nil
		case false:
			return revokers.NotDone, nil
		}
		return revokers.Unsure, nil
	}
	a := act{did: did, do: checked(func(ctx context.Context) error {
		_, err := j.write(ctx, path, map[string]any{"disabled": true})
		return err
	}, did)}
	a.Name, a.Ends, a.Repeats, a.Where = disable, true, true, path
	a.Effect = j.effect(put, `{"disabled":true}`, path)
	a.Note = "disabled = false of the entity takes it back, and its tokens work again"
	a.Collateral = "every token and login of the entity is refused"
	a.grants = []Grant{{path, []string{"read", "update"}, "disable the entity"}}
	j.add(orderEnd, a)
	return nil
}

// accessors ends further tokens that the operator names, such as the parent of a
// batch token, which has no revocation of its own.
func (j *job) accessors() error {
	for n, accessor := range j.with.Accessor {
		if !clean(accessor) || strings.Contains(accessor, "/") {
			return fmt.Errorf("accessors: entry %d is no accessor", n+1)
		}
		did := func(ctx context.Context, _ []byte) (revokers.State, error) {
			got, err := j.write(ctx, "auth/token/lookup-accessor", map[string]any{"accessor": accessor})
			switch {
			case gone(err):
				return revokers.Done, nil
			case err != nil:
				return revokers.Unsure, err
			case text(got["accessor"]) == accessor:
				return revokers.NotDone, nil
			}
			return revokers.Unsure, nil
		}
		a := act{did: did, do: checked(func(ctx context.Context) error { return j.endAccessor(ctx, accessor) }, did)}
		a.Name, a.Ends, a.Repeats, a.Where = fmt.Sprintf("%s-%d", endToken, n+1), true, true, "auth/token"
		a.Effect = j.effect(put, `{"accessor":"`+jsonSafe(accessor)+`"}`, "auth/token/revoke-accessor")
		a.Collateral = "the children and leases of the token end with it"
		a.grants = []Grant{
			{"auth/token/revoke-accessor", []string{"update"}, "end the token"},
			{"auth/token/lookup-accessor", []string{"update"}, "see whether it has ended"},
		}
		j.add(orderEnd, a)
	}
	return nil
}

// number reads an integer of an answer; 0 if it is none.
func number(v any) int {
	n, _ := strconv.Atoi(text(v))
	return n
}
