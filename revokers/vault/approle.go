package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules/credential"
)

// Names of steps.
const (
	issueSecretID = "issue-secret-id"
	endSecretID   = "destroy-secret-id"
	endTokens     = "end-tokens"
	endLostIDs    = "end-lost-secret-ids"
)

// approle replaces a secret id: a new one is issued next to the old one, which is
// destroyed once consumers have the new. Tokens that the old one issued survive
// that, and are ended by their accessors if the policy allows to list them.
func (j *job) approle() error {
	if j.with.AppRole == "" {
		return nil
	}
	mount, role, err := named("approle", j.with.AppRole)
	if err != nil {
		return err
	}
	base := "auth/" + mount + "/role/" + role + "/"
	issue := act{
		mark: func(ctx context.Context) ([]byte, error) {
			all, err := j.tagged(ctx, base)
			return j.marks(all), err
		},
		do: func(ctx context.Context, fresh *credential.Secret) error {
			meta, _ := json.Marshal(map[string]string{tagKey: j.tag()})
			got, err := j.write(ctx, base+"secret-id", map[string]any{"metadata": string(meta)})
			if err != nil {
				return err
			}
			id := text(got["secret_id"])
			if id == "" {
				return errors.New("issue a secret id: Vault answered without one")
			}
			*fresh = credential.NewSecretString(id)
			return nil
		},
		did: func(ctx context.Context, mark []byte) (revokers.State, error) {
			all, err := j.tagged(ctx, base)
			switch {
			case err != nil:
				return revokers.Unsure, err
			case len(j.since(all, mark)) > 0:
				return revokers.Lost, nil // Vault shows a secret id once, when it issues it
			}
			return revokers.NotDone, nil
		},
		undo: func(ctx context.Context, mark []byte) error {
			all, err := j.tagged(ctx, base)
			if err != nil {
				return err
			}
			for _, accessor := range j.since(all, mark) {
				if _, err := j.write(ctx, base+"secret-id-accessor/destroy", map[string]any{"secret_id_accessor": accessor}); err != nil {
					return err
				}
			}
			return nil
		},
	}
	issue.Name, issue.Issues, issue.Where = issueSecretID, true, "auth/"+mount+"/role/"+role
	issue.Effect = j.effect(put, `{"metadata":"{incident}"}`, base+"secret-id")
	issue.grants = []Grant{
		{base + "secret-id", []string{"update", "list"}, "issue a secret id, and find one that a crash lost"},
		{base + "secret-id-accessor/lookup", []string{"update"}, "find one that a crash lost"},
		{base + "secret-id-accessor/destroy", []string{"update"}, "end one that a crash lost"},
	}
	j.add(orderIssue, issue)
	gone := func(ctx context.Context, _ []byte) (revokers.State, error) {
		got, err := j.secretID(ctx, base, j.t.Secret)
		switch {
		case err != nil:
			return revokers.Unsure, err
		case got != nil:
			return revokers.NotDone, nil
		}
		return revokers.Done, nil
	}
	end := act{did: gone, do: checked(func(ctx context.Context) error {
		_, err := j.write(ctx, base+"secret-id/destroy", map[string]any{"secret_id": j.t.Secret.Reveal()})
		return err
	}, gone)}
	end.Name, end.Ends, end.Repeats, end.Where = endSecretID, true, true, issue.Where
	end.Effect = j.effect(put, `{"secret_id":"{token}"}`, base+"secret-id/destroy")
	end.Note = "tokens that it issued stay alive until they are ended or expire"
	end.grants = []Grant{
		{base + "secret-id/lookup", []string{"update"}, "ask whether a secret id is live"},
		{base + "secret-id/destroy", []string{"update"}, "destroy the leaked secret id"},
	}
	j.add(orderEnd, end)
	lost := act{
		did: func(context.Context, []byte) (revokers.State, error) { return revokers.NotDone, nil },
		do:  func(ctx context.Context, fresh *credential.Secret) error { return j.endLost(ctx, base, *fresh) },
	}
	lost.Name, lost.Needs, lost.Repeats, lost.After, lost.Where = endLostIDs, true, true, true, issue.Where
	lost.Effect = j.effect(put, `{"secret_id_accessor":"{each that earlier plans issued for the incident and lost}"}`, base+"secret-id-accessor/destroy")
	j.add(orderAfter, lost)
	if j.with.Tokens {
		j.tokens(endTokens, "auth/"+mount+"/login", map[string]string{"role_name": role})
	}
	return nil
}

// endLost destroys the secret ids that quell issued for this incident, except the one that
// consumers have: a plan that was given up leaves what it issued last.
func (j *job) endLost(ctx context.Context, base string, fresh credential.Secret) error {
	keep, err := j.secretID(ctx, base, fresh)
	switch {
	case err != nil:
		return err
	case keep == nil:
		return fmt.Errorf("the role does not have the new secret id: nothing was ended (%w)", revokers.ErrRefused)
	}
	all, err := j.tagged(ctx, base)
	if err != nil {
		return err
	}
	for _, accessor := range all {
		if accessor == text(keep["secret_id_accessor"]) {
			continue
		}
		if _, err := j.write(ctx, base+"secret-id-accessor/destroy", map[string]any{"secret_id_accessor": accessor}); err != nil {
			return err
		}
	}
	return nil
}

// tagged lists the accessors of the role's secret ids that quell issued for this
// incident.
func (j *job) tagged(ctx context.Context, base string) ([]string, error) {
	all, err := j.list(ctx, base+"secret-id")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, accessor := range all {
		got, err := j.write(ctx, base+"secret-id-accessor/lookup", map[string]any{"secret_id_accessor": accessor})
		if err != nil {
			if gone(err) {
				continue // it ended since it was listed
			}
			return nil, err
		}
		meta, _ := got["metadata"].(map[string]any)
		if text(meta[tagKey]) == j.tag() {
			out = append(out, accessor)
		}
	}
	return out, nil
}

// secretID looks a secret id up. It is nil if the role does not have it, about which
// Vault answers 204.
func (j *job) secretID(ctx context.Context, base string, id credential.Secret) (map[string]any, error) {
	c, err := j.client()
	if err != nil {
		return nil, err
	}
	status := 0
	s, err := withStatus(c, &status).Logical().WriteWithContext(ctx, base+"secret-id/lookup", map[string]any{"secret_id": id.Reveal()})
	switch {
	case err != nil:
		return nil, reason("look the secret id up", err)
	case s == nil && status == http.StatusNoContent:
		return nil, nil
	case s == nil || text(s.Data["secret_id_accessor"]) == "":
		return nil, reason("look the secret id up", nil)
	}
	return s.Data, nil
}

// markSize is the length of the digest of one accessor in a mark, in bytes.
const markSize = 16

// marks is a mark of what was there before: a keyed digest for each.
func (j *job) marks(all []string) []byte {
	out := make([]byte, 0, markSize*len(all))
	for _, a := range all {
		out = append(out, j.r.digest("accessor", a)[:markSize]...)
	}
	return out
}

// since leaves out what a mark contains.
func (j *job) since(all []string, mark []byte) []string {
	var out []string
	for _, a := range all {
		d, known := j.r.digest("accessor", a)[:markSize], false
		for i := 0; i+markSize <= len(mark); i += markSize {
			known = known || bytes.Equal(mark[i:i+markSize], d)
		}
		if !known {
			out = append(out, a)
		}
	}
	return out
}

// issuedSecretID reports whether quell issued a secret id for this incident.
func (j *job) issuedSecretID(ctx context.Context, id credential.Secret) (bool, error) {
	mount, role, err := named("approle", j.with.AppRole)
	if err != nil {
		return false, err
	}
	got, err := j.secretID(ctx, "auth/"+mount+"/role/"+role+"/", id)
	if err != nil {
		return false, err
	}
	meta, _ := got["metadata"].(map[string]any)
	return text(meta[tagKey]) == j.tag(), nil
}

// tokens ends the tokens that a login path issued before the old credential ended,
// one by one, and spares those of the replacement. meta is what their metadata
// contains.
func (j *job) tokens(name, path string, meta map[string]string) {
	find := func(ctx context.Context) ([]string, error) { return j.issuedBy(ctx, path, meta) }
	none := func(ctx context.Context, _ []byte) (revokers.State, error) {
		all, err := find(ctx)
		switch {
		case err != nil:
			return revokers.Unsure, err
		case len(all) > 0:
			return revokers.NotDone, nil
		}
		return revokers.Done, nil
	}
	a := act{did: none, do: checked(func(ctx context.Context) error {
		all, err := find(ctx)
		if err != nil {
			return err
		}
		for _, accessor := range all {
			if err := j.endAccessor(ctx, accessor); err != nil {
				return err
			}
		}
		return nil
	}, none)}
	a.Name, a.Ends, a.Repeats, a.Where = name, true, true, path
	a.Effect = j.effect(put, `{"accessor":"{each that it issued}"}`, "auth/token/revoke-accessor")
	a.Note = "tokens of " + path + " that were issued before are ended, with their children and leases"
	a.Collateral = "every token that " + path + " issued to the same role or user ends, except those of the replacement"
	a.grants = []Grant{
		{"auth/token/accessors", []string{"list", "sudo"}, "find the tokens that it issued"},
		{"auth/token/lookup-accessor", []string{"update"}, "find the tokens that it issued"},
		{"auth/token/revoke-accessor", []string{"update"}, "end them"},
	}
	j.add(orderTokens, a)
}

// maxAccessors bounds the tokens that are looked at one by one.
const maxAccessors = 20000

// issuedBy lists the accessors of tokens by the path and the metadata of their
// login.
func (j *job) issuedBy(ctx context.Context, path string, meta map[string]string) ([]string, error) {
	all, err := j.list(ctx, "auth/token/accessors")
	if err != nil {
		return nil, err
	}
	self, err := j.read(ctx, "auth/token/lookup-self")
	if err != nil {
		return nil, err
	}
	if own := text(self["accessor"]); own == "" || !slices.Contains(all, own) {
		return nil, errors.New("the list of tokens lacks quell's own, so it is not whole")
	}
	if len(all) > maxAccessors {
		return nil, fmt.Errorf("the Vault has %d tokens, more than the %d that are looked at one by one", len(all), maxAccessors)
	}
	var out []string
	for _, accessor := range all {
		got, err := j.write(ctx, "auth/token/lookup-accessor", map[string]any{"accessor": accessor})
		if err != nil {
			if gone(err) {
				continue
			}
			return nil, err
		}
		if text(got["accessor"]) != accessor {
			return nil, reason("look an accessor up", nil)
		}
		has, _ := got["meta"].(map[string]any)
		fits := text(got["path"]) == path && text(has[tagKey]) != j.tag()
		for k, v := range meta {
			fits = fits && text(has[k]) == v
		}
		if fits {
			out = append(out, accessor)
		}
	}
	return out, nil
}

// endAccessor revokes the token of an accessor. One that is gone has ended.
func (j *job) endAccessor(ctx context.Context, accessor string) error {
	if accessor == "" {
		return errors.New("revoke-accessor: the accessor is empty")
	}
	c, err := j.client()
	if err != nil {
		return err
	}
	if err := c.Auth().Token().RevokeAccessorWithContext(ctx, accessor); err != nil && !gone(err) {
		return reason("revoke-accessor", err)
	}
	return nil
}

// gone reports whether Vault does not know an accessor or a lease any more.
func gone(err error) bool {
	var r *api.ResponseError
	var n *notKnown
	if errors.As(err, &n) {
		return true
	}
	return errors.As(err, &r) && unknown(r)
}

// SecretID asks whether a secret id of an AppRole is live: the operator's token
// looks it up, which changes nothing. The instance's rotation names the role.
type SecretID struct{ Rotator Rotator }

// secretIDSource documents the lookup.
const secretIDSource = "https://developer.hashicorp.com/vault/api-docs/auth/approle#read-approle-secret-id"

// Endpoints implements revokers.Verifier.
func (v SecretID) Endpoints(t revokers.Target) []string {
	if t.Instance.Rotate == nil || t.Instance.Rotate.AppRole == "" || t.Instance.Admin.IsZero() {
		return nil
	}
	mount, role, err := named("approle", t.Instance.Rotate.AppRole)
	if err != nil {
		return nil
	}
	return []string{"POST /v1/auth/" + mount + "/role/" + role + "/secret-id/lookup"}
}

// Verify implements revokers.Verifier. Vault answers 204 about a secret id that the
// role does not have; only an answer to a token that may ask counts.
func (v SecretID) Verify(ctx context.Context, t revokers.Target, endpoint string) (revokers.Answer, error) {
	mount, role, err := named("approle", t.Instance.Rotate.AppRole)
	if err != nil {
		return revokers.Answer{}, err
	}
	c, err := client(v.Rotator.Doer, t.Instance, t.Instance.Admin)
	if err != nil {
		return revokers.Answer{}, err
	}
	status := 0
	s, err := withStatus(c, &status).Logical().WriteWithContext(ctx, "auth/"+mount+"/role/"+role+"/secret-id/lookup", map[string]any{"secret_id": t.Secret.Reveal()})
	a := revokers.Answer{Endpoint: endpoint, At: time.Now().UTC(), Status: status}
	switch {
	case err != nil:
		return Token{}.failed(ctx, c, a, t, err)
	case s == nil && status == http.StatusNoContent:
		a.Class, a.Reason, a.Documented, a.Detail = revokers.Refuses, revokers.Revoked, secretIDSource, "the role has no such secret id"
		a.Raw = revokers.NewRefusal(status, "", "", nil, nil)
	case s == nil || text(s.Data["secret_id_accessor"]) == "":
		a.Class, a.Reason, a.Detail = revokers.Other, revokers.Unexpected, "the response describes no secret id"
	default:
		a.Class, a.Reason, a.Detail = revokers.Accepts, revokers.Authenticated, "the role has it"
		a.Identity = map[string]string{"role": role, "accessor": text(s.Data["secret_id_accessor"])}
		if n, err := strconv.Atoi(text(s.Data["secret_id_num_uses"])); err == nil && n > 0 {
			a.Identity["num_uses"] = strconv.Itoa(n)
		}
		if x, err := time.Parse(time.RFC3339, text(s.Data["expiration_time"])); err == nil && !x.IsZero() && x.Year() > 1 {
			x = x.UTC()
			a.Expires = &x
		}
	}
	return a, nil
}
