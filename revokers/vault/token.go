// Package vault acts on HashiCorp Vault: it looks up and ends tokens, and
// rotates what Vault manages.
package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

// client makes a Vault client that holds one token and shares nothing: the
// library's SetToken on a shared client would race, and its RevokeSelf ignores
// its argument and ends the token that the client holds.
func client(x *revokers.Exchange, token rules.Secret) (*api.Client, error) {
	// A Config of our own, and not DefaultConfig: that one reads VAULT_ADDR,
	// VAULT_TOKEN and proxies from the environment.
	cfg := &api.Config{Address: x.Instance.URL.String(), HttpClient: x.Client.HTTP(x.Instance), MaxRetries: 0, DisableRedirects: true}
	c, err := api.NewClient(cfg)
	if err != nil {
		return nil, errors.New("the Vault client can't be made")
	}
	c.ClearNamespace()
	if ns := x.Instance.Settings["namespace"]; ns != "" {
		c.SetNamespace(ns)
	}
	c.SetToken(token.Reveal())
	return c, nil
}

// Token probes a token by lookup.
type Token struct{}

// Probe implements revokers.Native. With an operator's token it asks by that,
// since a lookup by the token itself uses up one of its num_uses; without one
// it asks by the token itself.
func (Token) Probe(ctx context.Context, x *revokers.Exchange) revokers.Verdict {
	self := x.Instance.Admin.IsZero()
	token := x.Instance.Admin
	if self {
		token = x.Credential.Secret
	}
	c, err := client(x, token)
	if err != nil {
		return verdict(revokers.Unknown, revokers.Unreachable, err.Error())
	}
	var s *api.Secret
	if self {
		s, err = c.Auth().Token().LookupSelfWithContext(ctx)
	} else {
		s, err = c.Auth().Token().LookupWithContext(ctx, x.Credential.Secret.Reveal())
	}
	if err != nil {
		return failed(ctx, c, err, self)
	}
	v := verdict(revokers.Live, revokers.Authenticated, "lookup answered")
	v.Identity = map[string]string{}
	for _, k := range []string{"display_name", "path", "type", "accessor", "entity_id", "policies", "orphan", "num_uses"} {
		if t := text(s.Data[k]); t != "" {
			v.Identity[k] = t
		}
	}
	if t, err := time.Parse(time.RFC3339, text(s.Data["expire_time"])); err == nil {
		t = t.UTC()
		v.Expires = &t
	}
	if x.Kept == nil {
		x.Kept = map[string]string{}
	}
	x.Kept["accessor"] = v.Identity["accessor"]
	return v
}

// failed reads an error of a lookup. Vault answers 403 both for a token that
// it does not know and for one that may not look itself up; only its text
// tells them apart. A sealed or standby node answers 429, 472, 473 or 503.
func failed(ctx context.Context, c *api.Client, err error, self bool) revokers.Verdict {
	var r *api.ResponseError
	if !errors.As(err, &r) {
		return verdict(revokers.Unknown, revokers.Unreachable, "no answer from Vault")
	}
	said := strings.Join(r.Errors, "; ")
	switch {
	case r.StatusCode == http.StatusForbidden && self && strings.Contains(said, "invalid token"):
		return verdict(revokers.Dead, revokers.Revoked, "Vault does not know it")
	case r.StatusCode == http.StatusForbidden && !self && strings.Contains(said, "bad token"):
		// A dead operator's token also reads 403: it must prove itself first.
		if _, err := c.Auth().Token().LookupSelfWithContext(ctx); err == nil {
			return verdict(revokers.Dead, revokers.Revoked, "Vault does not know it")
		}
		return verdict(revokers.Unknown, revokers.Restricted, "the operator's own token does not work")
	case r.StatusCode == http.StatusForbidden:
		return verdict(revokers.Unknown, revokers.Restricted, "permission denied: dead, or without the right to look itself up")
	case r.StatusCode == http.StatusTooManyRequests:
		return verdict(revokers.Unknown, revokers.Throttled, "Vault answered 429: throttled, or a standby node")
	}
	return verdict(revokers.Unknown, revokers.Unreachable, fmt.Sprintf("Vault answered %d", r.StatusCode))
}

func verdict(l revokers.Liveness, reason, detail string) revokers.Verdict {
	return revokers.Verdict{Liveness: l, Reason: reason, Detail: detail, At: time.Now().UTC()}
}

func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	case []any:
		out := make([]string, len(v))
		for i, e := range v {
			out[i] = text(e)
		}
		return strings.Join(out, ",")
	}
	return fmt.Sprint(v)
}

// RevokeSelf ends a token with a client that holds that token and no other.
type RevokeSelf struct{}

// Revoke implements revokers.NativeRevoke.
func (RevokeSelf) Revoke(ctx context.Context, x *revokers.Exchange) (revokers.Receipt, error) {
	if x.Credential.Secret.Equal(x.Instance.Admin) {
		return revokers.Receipt{Detail: "this is the operator's own token", At: time.Now().UTC()}, nil
	}
	c, err := client(x, x.Credential.Secret)
	if err != nil {
		return revokers.Receipt{}, err
	}
	err = c.Auth().Token().RevokeSelfWithContext(ctx, "")
	var r *api.ResponseError
	switch {
	case err == nil:
		return revokers.Receipt{Accepted: true, Status: http.StatusNoContent, At: time.Now().UTC()}, nil
	case errors.As(err, &r):
		return revokers.Receipt{Status: r.StatusCode, Detail: strings.Join(r.Errors, "; "), At: time.Now().UTC()}, nil
	}
	return revokers.Receipt{}, errors.New("no answer from Vault")
}

// Preview implements revokers.NativeRevoke.
func (RevokeSelf) Preview(x *revokers.Exchange) []revokers.Preview {
	return []revokers.Preview{{Method: "PUT", URL: x.Instance.URL.JoinPath("v1/auth/token/revoke-self").String(), Header: map[string]string{"X-Vault-Token": "{token}"}}}
}
