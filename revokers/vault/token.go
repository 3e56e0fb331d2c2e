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
	"github.com/quellhq/quell/revokers/interp"
	"github.com/quellhq/quell/revokers/issuer"
)

// source documents Vault's words about tokens that it does not know.
const source = "https://github.com/hashicorp/vault/blob/v1.21.1/vault/token_store.go"

// Endpoints of a token. With an operator's token quell looks up by that, since
// a lookup by the token itself uses up one of its num_uses.
const (
	lookup     = "POST /v1/auth/token/lookup"
	lookupSelf = "GET /v1/auth/token/lookup-self"
)

// Token looks tokens up.
type Token struct{ Doer issuer.Doer }

// Endpoints implements revokers.Verifier.
func (v Token) Endpoints(t revokers.Target) []string {
	if t.Instance.Admin.IsZero() {
		return []string{lookupSelf}
	}
	return []string{lookup}
}

// Verify implements revokers.Verifier.
func (v Token) Verify(ctx context.Context, t revokers.Target, endpoint string) (revokers.Answer, error) {
	token := t.Secret
	if endpoint == lookup {
		token = t.Instance.Admin
	}
	c, err := client(v.Doer, t.Instance, token)
	if err != nil {
		return revokers.Answer{}, err
	}
	var s *api.Secret
	if endpoint == lookup {
		s, err = c.Auth().Token().LookupWithContext(ctx, t.Secret.Reveal())
	} else {
		s, err = c.Auth().Token().LookupSelfWithContext(ctx)
	}
	a := revokers.Answer{Endpoint: endpoint, At: time.Now().UTC()}
	switch {
	case err != nil:
		return v.failed(ctx, c, a, t, err)
	case s == nil || len(s.Data) == 0:
		a.Class, a.Reason, a.Detail = revokers.Other, revokers.Unexpected, "Vault answered without data"
		return a, nil
	case text(s.Data["accessor"]) == "" && text(s.Data["type"]) == "":
		a.Class, a.Reason, a.Detail = revokers.Other, revokers.Unexpected, "the response describes no token"
		return a, nil
	}
	a.Class, a.Reason, a.Status, a.Detail = revokers.Accepts, revokers.Authenticated, http.StatusOK, "lookup answered"
	a.Identity = map[string]string{}
	for _, k := range []string{"display_name", "path", "type", "accessor", "entity_id", "policies", "orphan", "num_uses"} {
		if x := text(s.Data[k]); x != "" {
			a.Identity[k] = x[:min(len(x), 256)]
		}
	}
	a.Captures = map[string]string{"accessor": a.Identity["accessor"]}
	if x, err := time.Parse(time.RFC3339, text(s.Data["expire_time"])); err == nil {
		x = x.UTC()
		a.Expires = &x
	}
	return a, nil
}

// failed reads an error of a lookup. Vault answers 403 both for a token that it
// does not know and for one that may not look itself up; only its text distinguishes
// them. A sealed or standby node answers 429, 472, 473 or 503.
func (v Token) failed(ctx context.Context, c *api.Client, a revokers.Answer, t revokers.Target, err error) (revokers.Answer, error) {
	var r *api.ResponseError
	if !errors.As(err, &r) {
		return interp.NoAnswer(ctx, a.Endpoint, errors.New("no answer from Vault"))
	}
	words := strings.Join(r.Errors, "; ")
	a.Status, a.Detail = r.StatusCode, fmt.Sprintf("Vault answered %d", r.StatusCode)
	known := r.StatusCode == http.StatusForbidden && (a.Endpoint == lookupSelf && strings.Contains(words, "invalid token") || a.Endpoint == lookup && strings.Contains(words, "bad token"))
	switch {
	case known && a.Endpoint == lookup:
		// A dead operator's token also reads 403: it must prove itself first.
		if s, err := c.Auth().Token().LookupSelfWithContext(ctx); err != nil || s == nil || len(s.Data) == 0 {
			a.Class, a.Reason, a.Detail = revokers.Other, revokers.Restricted, "the operator's own token does not work"
			return a, nil
		}
		fallthrough
	case known:
		a.Class, a.Reason, a.Documented, a.Detail = revokers.Refuses, revokers.Revoked, source, "Vault does not know it"
		a.Raw = revokers.NewRefusal(r.StatusCode, "", "", []byte(words), []string{t.Secret.Reveal()})
	case r.StatusCode == http.StatusForbidden:
		a.Class, a.Reason, a.Detail = revokers.Other, revokers.Restricted, "permission denied: dead, or without the right to look itself up"
	case r.StatusCode == http.StatusTooManyRequests:
		a.Class, a.Reason, a.Detail = revokers.Silent, revokers.Throttled, "Vault answered 429: throttled, or a standby node"
	case r.StatusCode >= 500, r.StatusCode == 472, r.StatusCode == 473:
		a.Class, a.Reason = revokers.Silent, revokers.Unreachable
	default:
		a.Class, a.Reason = revokers.Other, revokers.Unexpected
	}
	return a, nil
}

// RevokeSelf ends a token, its children and its leases with a client that holds
// that token and no other.
type RevokeSelf struct{ Doer issuer.Doer }

// Batch implements revokers.Revoker.
func (RevokeSelf) Batch() int { return 1 }

// Plan implements revokers.Revoker.
func (RevokeSelf) Plan(_ context.Context, ts []revokers.Target) ([]revokers.Effect, error) {
	return []revokers.Effect{effect(ts[0], "revoke-self", "PUT", "v1/auth/token/revoke-self", "{token}")}, nil
}

func effect(t revokers.Target, name, method, path, token string) revokers.Effect {
	return revokers.Effect{Name: name, Method: method, URL: t.Instance.URL.JoinPath(path).String(), Header: map[string]string{"X-Vault-Token": token}, Elements: []string{t.Fingerprint}}
}

// Send implements revokers.Revoker.
func (v RevokeSelf) Send(ctx context.Context, ts []revokers.Target, e revokers.Effect, before func(revokers.Effect) error) (revokers.Receipt, error) {
	t := ts[0]
	if t.Secret.Equal(t.Instance.Admin) {
		return revokers.All(1, revokers.Acknowledgement{Detail: "this is the operator's own token", At: time.Now().UTC()}), nil
	}
	c, err := client(v.Doer, t.Instance, t.Secret)
	if err != nil {
		return revokers.Receipt{}, err
	}
	if err := before(effect(t, "revoke-self", "PUT", "v1/auth/token/revoke-self", "{token}")); err != nil {
		return revokers.Receipt{}, err
	}
	status := 0
	return receipt(withStatus(c, &status).Auth().Token().RevokeSelfWithContext(ctx, ""), &status)
}

// receipt reads the answer to a revocation: Vault answers 204. A page of a proxy with
// another status is no acknowledgement.
func receipt(err error, status *int) (revokers.Receipt, error) {
	var r *api.ResponseError
	switch {
	case err == nil && *status != http.StatusNoContent && *status != 0:
		return revokers.All(1, revokers.Acknowledgement{Status: *status, Detail: fmt.Sprintf("Vault answered %d, and 204 acknowledges a revocation", *status), At: time.Now().UTC()}), nil
	case err == nil:
		return revokers.All(1, revokers.Acknowledgement{Accepted: true, Status: http.StatusNoContent, At: time.Now().UTC()}), nil
	case errors.As(err, &r):
		return revokers.All(1, revokers.Acknowledgement{Status: r.StatusCode, Detail: message(r), At: time.Now().UTC()}), nil
	}
	return revokers.Receipt{}, errors.New("no answer from Vault")
}

// RevokeOrphan ends one token by the operator's, and leaves its children alive. It
// is the one sudo path that quell uses, and only where the policy names it.
type RevokeOrphan struct{ Doer issuer.Doer }

// Batch implements revokers.Revoker.
func (RevokeOrphan) Batch() int { return 1 }

// Plan implements revokers.Revoker.
func (v RevokeOrphan) Plan(_ context.Context, ts []revokers.Target) ([]revokers.Effect, error) {
	if ts[0].Instance.Settings["revoke_orphan"] == "" {
		return nil, errors.New("the policy does not allow revoke-orphan")
	}
	return []revokers.Effect{v.effect(ts[0])}, nil
}

func (RevokeOrphan) effect(t revokers.Target) revokers.Effect {
	e := effect(t, "revoke-orphan", "PUT", "v1/auth/token/revoke-orphan", "{admin}")
	e.Body = []byte(`{"token":"{token}"}`)
	return e
}

// Send implements revokers.Revoker.
func (v RevokeOrphan) Send(ctx context.Context, ts []revokers.Target, _ revokers.Effect, before func(revokers.Effect) error) (revokers.Receipt, error) {
	t := ts[0]
	switch {
	case t.Instance.Settings["revoke_orphan"] == "":
		return revokers.Receipt{}, errors.New("the policy does not allow revoke-orphan")
	case t.Secret.IsZero() || t.Secret.Equal(t.Instance.Admin):
		return revokers.All(1, revokers.Acknowledgement{Detail: "this is the operator's own token", At: time.Now().UTC()}), nil
	}
	c, err := client(v.Doer, t.Instance, t.Instance.Admin)
	if err != nil {
		return revokers.Receipt{}, err
	}
	if err := before(v.effect(t)); err != nil {
		return revokers.Receipt{}, err
	}
	status := 0
	return receipt(withStatus(c, &status).Auth().Token().RevokeOrphanWithContext(ctx, t.Secret.Reveal()), &status)
}
