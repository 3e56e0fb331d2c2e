// Package oauth acts on OAuth 2.0 and OpenID Connect issuers that the operator
// named: discovery (RFC 8414), introspection (RFC 7662), revocation (RFC 7009).
package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/token"
)

// Issuers remembers the metadata of issuers during a run.
type Issuers struct {
	mu   sync.Mutex
	list map[string]*metadata
}

type metadata struct {
	Issuer        string `json:"issuer"`
	Introspection string `json:"introspection_endpoint"`
	Revocation    string `json:"revocation_endpoint"`
	UserInfo      string `json:"userinfo_endpoint"`
	JWKS          string `json:"jwks_uri"`
}

// discover reads the issuer's metadata. Every endpoint must be of the issuer's
// own origin: metadata can't send a token elsewhere.
func (s *Issuers) discover(ctx context.Context, x *revokers.Exchange) (*metadata, error) {
	key := x.Instance.URL.String()
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.list[key]; m != nil {
		return m, nil
	}
	var m metadata
	var last error
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		a, err := x.Client.Do(ctx, x.Instance, http.MethodGet, path, nil, nil, nil)
		if err != nil {
			last = err
			continue
		}
		if a.Status != http.StatusOK || json.Unmarshal(a.Body, &m) != nil || m.Issuer == "" {
			last = fmt.Errorf("discovery answered %d", a.Status)
			continue
		}
		last = nil
		break
	}
	if last != nil {
		return nil, last
	}
	if strings.TrimRight(m.Issuer, "/") != strings.TrimRight(key, "/") {
		return nil, errors.New("the metadata is of another issuer than the one that was named")
	}
	for _, e := range []*string{&m.Introspection, &m.Revocation, &m.UserInfo, &m.JWKS} {
		if *e == "" {
			continue
		}
		u, err := url.Parse(*e)
		if err != nil || u.Scheme != x.Instance.URL.Scheme || u.Host != x.Instance.URL.Host {
			*e = ""
			continue
		}
		// Relative to the instance, whose path the client adds again.
		*e = "/" + strings.TrimLeft(strings.TrimPrefix(u.EscapedPath(), strings.TrimRight(x.Instance.URL.Path, "/")), "/")
	}
	if s.list == nil {
		s.list = map[string]*metadata{}
	}
	s.list[key] = &m
	return &m, nil
}

func (s *Issuers) call(ctx context.Context, x *revokers.Exchange, path, hint string) (revokers.Answer, error) {
	form := url.Values{"token": {x.Credential.Secret.Reveal()}}
	if hint != "" {
		form.Set("token_type_hint", hint)
	}
	h := http.Header{"Accept": {"application/json"}}
	r := &http.Request{Header: h}
	// RFC 6749, 2.3.1: both are form-encoded before they become a Basic header.
	r.SetBasicAuth(url.QueryEscape(x.Instance.ClientID), url.QueryEscape(x.Instance.ClientSecret.Reveal()))
	return x.Client.Do(ctx, x.Instance, http.MethodPost, path, nil, h, form)
}

func hint(k rules.Kind) string {
	if k == rules.KindRefresh {
		return "refresh_token"
	}
	return "access_token"
}

func verdict(l revokers.Liveness, reason, format string, args ...any) revokers.Verdict {
	return revokers.Verdict{Liveness: l, Reason: reason, Detail: fmt.Sprintf(format, args...), At: time.Now().UTC()}
}

// Token probes an opaque token.
type Token struct{ Issuers *Issuers }

// Probe implements revokers.Native. active is Live; userinfo that answers is
// Live too. active:false is Dead only to who saw the token live: an issuer
// also says so of a live token that is not the asking client's.
func (t Token) Probe(ctx context.Context, x *revokers.Exchange) revokers.Verdict {
	m, err := t.Issuers.discover(ctx, x)
	if err != nil {
		return verdict(revokers.Unknown, revokers.Unreachable, "discovery: %v", err)
	}
	v := verdict(revokers.Unknown, revokers.Unsupported, "the issuer offers neither introspection to a client that was named, nor userinfo")
	if m.Introspection != "" && x.Instance.ClientID != "" {
		v = t.introspect(ctx, x, m)
		if v.Liveness == revokers.Live || v.Reason != inactive {
			return v
		}
	}
	if m.UserInfo != "" && x.Credential.Kind != rules.KindRefresh {
		u := t.userinfo(ctx, x, m)
		if u.Liveness == revokers.Live {
			return u
		}
		if v.Reason != inactive {
			v = u
		}
	}
	if v.Reason == inactive && x.SeenLive {
		v.Liveness, v.Reason = revokers.Dead, revokers.Revoked
	}
	return v
}

const inactive = "inactive"

func (t Token) introspect(ctx context.Context, x *revokers.Exchange, m *metadata) revokers.Verdict {
	a, err := t.Issuers.call(ctx, x, m.Introspection, hint(x.Credential.Kind))
	if err != nil {
		return verdict(revokers.Unknown, revokers.Unreachable, "introspection: %v", err)
	}
	var r struct {
		Active   *bool   `json:"active"`
		Subject  string  `json:"sub"`
		Username string  `json:"username"`
		Client   string  `json:"client_id"`
		Scope    string  `json:"scope"`
		Expires  float64 `json:"exp"`
	}
	switch {
	case a.Status == http.StatusTooManyRequests:
		return verdict(revokers.Unknown, revokers.Throttled, "introspection answered 429")
	case a.Status == http.StatusUnauthorized:
		return verdict(revokers.Unknown, revokers.Unsupported, "the issuer refuses the client that was named")
	case a.Status >= 500:
		return verdict(revokers.Unknown, revokers.Unreachable, "introspection answered %d", a.Status)
	case a.Status != http.StatusOK || json.Unmarshal(a.Body, &r) != nil || r.Active == nil:
		return verdict(revokers.Unknown, revokers.Unexpected, "introspection answered %d without saying whether it is active", a.Status)
	case !*r.Active:
		return verdict(revokers.Unknown, inactive, "introspection says inactive, which it also says of tokens that are not this client's")
	}
	v := verdict(revokers.Live, revokers.Authenticated, "introspection says active")
	v.Identity = map[string]string{}
	for k, s := range map[string]string{"subject": r.Subject, "username": r.Username, "client": r.Client, "scopes": r.Scope} {
		if s != "" {
			v.Identity[k] = s[:min(len(s), 256)]
		}
	}
	if r.Expires > 0 && r.Expires < 253402300800 {
		t := time.Unix(int64(r.Expires), 0).UTC()
		v.Expires = &t
	}
	return v
}

func (t Token) userinfo(ctx context.Context, x *revokers.Exchange, m *metadata) revokers.Verdict {
	a, err := x.Client.Do(ctx, x.Instance, http.MethodGet, m.UserInfo, nil, http.Header{"Authorization": {"Bearer " + x.Credential.Secret.Reveal()}}, nil)
	if err != nil {
		return verdict(revokers.Unknown, revokers.Unreachable, "userinfo: %v", err)
	}
	var r struct {
		Subject string `json:"sub"`
	}
	if a.Status == http.StatusOK && json.Unmarshal(a.Body, &r) == nil && r.Subject != "" {
		v := verdict(revokers.Live, revokers.Authenticated, "userinfo answered")
		v.Identity = map[string]string{"subject": r.Subject[:min(len(r.Subject), 256)]}
		return v
	}
	// RFC 6750, 3.1: invalid_token is "expired, revoked, malformed, or invalid
	// for other reasons".
	if a.Status == http.StatusUnauthorized && strings.Contains(a.Header.Get("WWW-Authenticate"), "invalid_token") && x.SeenLive {
		return verdict(revokers.Dead, revokers.Revoked, "userinfo answered invalid_token")
	}
	return verdict(revokers.Unknown, revokers.Unexpected, "userinfo answered %d", a.Status)
}

// JWT probes a token that carries its own proof.
type JWT struct{ Issuers *Issuers }

var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}

// Probe implements revokers.Native: the signature against the issuer's keys,
// and the times. Who verifies the token that way accepts it until it expires.
func (t JWT) Probe(ctx context.Context, x *revokers.Exchange) revokers.Verdict {
	secret := x.Credential.Secret.Reveal()
	j, err := token.ParseJWT(secret)
	if err != nil {
		return verdict(revokers.Unknown, revokers.Malformed, "it is no JWT")
	}
	if !j.Expires.IsZero() && time.Now().After(j.Expires) {
		return revokers.Verdict{Liveness: revokers.Dead, Reason: revokers.Expired, Detail: "it says so itself", Expires: &j.Expires, At: time.Now().UTC()}
	}
	m, err := t.Issuers.discover(ctx, x)
	if err != nil || m.JWKS == "" {
		return verdict(revokers.Unknown, revokers.Unreachable, "the issuer's keys can't be read")
	}
	a, err := x.Client.Do(ctx, x.Instance, http.MethodGet, m.JWKS, nil, nil, nil)
	var keys jose.JSONWebKeySet
	if err != nil || a.Status != http.StatusOK || json.Unmarshal(a.Body, &keys) != nil {
		return verdict(revokers.Unknown, revokers.Unreachable, "the issuer's keys can't be read")
	}
	p, err := jwt.ParseSigned(secret, algorithms)
	if err != nil {
		return verdict(revokers.Unknown, revokers.Unsupported, "signed by %s, which the issuer's public keys can't prove", j.Algorithm)
	}
	known := false
	for _, k := range keys.Keys {
		if j.KeyID != "" && k.KeyID != j.KeyID {
			continue
		}
		known = true
		if p.Claims(k.Key, &map[string]any{}) == nil {
			v := verdict(revokers.Live, revokers.Authenticated, "signed by the issuer's key %q and not expired", j.KeyID)
			v.Identity = map[string]string{"issuer": j.Issuer, "subject": j.Subject, "client": j.ClientID, "scopes": j.Scope, "audience": strings.Join(j.Audience, ",")}
			for k, s := range v.Identity {
				if s == "" {
					delete(v.Identity, k)
				}
			}
			if !j.Expires.IsZero() {
				v.Expires = &j.Expires
			}
			return v
		}
	}
	if !known {
		return verdict(revokers.Dead, revokers.Revoked, "the issuer no longer has the key that signed it")
	}
	return verdict(revokers.Unknown, revokers.Malformed, "the issuer's key did not sign it")
}

// Revoke ends a token at the issuer's revocation endpoint, as the operator's
// client.
type Revoke struct{ Issuers *Issuers }

// Revoke implements revokers.NativeRevoke. RFC 7009 answers 200 for unknown
// tokens too: the receipt is worth no more than that.
func (r Revoke) Revoke(ctx context.Context, x *revokers.Exchange) (revokers.Receipt, error) {
	m, err := r.Issuers.discover(ctx, x)
	if err != nil {
		return revokers.Receipt{}, fmt.Errorf("discovery: %w", err)
	}
	if m.Revocation == "" {
		return revokers.Receipt{Detail: "the issuer has no revocation endpoint", At: time.Now().UTC()}, nil
	}
	a, err := r.Issuers.call(ctx, x, m.Revocation, hint(x.Credential.Kind))
	if err != nil {
		return revokers.Receipt{}, err
	}
	out := revokers.Receipt{Status: a.Status, Accepted: a.Status == http.StatusOK, At: time.Now().UTC()}
	if !out.Accepted {
		var e struct {
			Error string `json:"error"`
		}
		_ = json.Unmarshal(a.Body, &e)
		// The error codes of RFC 6749, 5.2 and RFC 7009, 2.2.1; any other text is
		// the other side's own.
		if !slices.Contains([]string{"invalid_request", "invalid_client", "unauthorized_client", "unsupported_token_type", "unsupported_grant_type", "invalid_token"}, e.Error) {
			e.Error = "an error"
		}
		out.Detail = fmt.Sprintf("the issuer answered %d: %s", a.Status, e.Error)
	}
	return out, nil
}

// Preview implements revokers.NativeRevoke.
func (r Revoke) Preview(x *revokers.Exchange) []revokers.Preview {
	body, _ := json.Marshal(map[string]string{"token": "{token}", "token_type_hint": hint(x.Credential.Kind)})
	return []revokers.Preview{{Method: http.MethodPost, URL: x.Instance.Origin() + "/{revocation_endpoint}", Header: map[string]string{"Authorization": "{client.basic}"}, Body: body}}
}
