// Package oauth acts on OAuth 2.0 and OpenID Connect issuers that the operator
// named: discovery (RFC 8414), introspection (RFC 7662), userinfo, key sets and
// revocation (RFC 7009).
package oauth

import (
	"bytes"
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

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/interp"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
	"github.com/quellhq/quell/rules/token"
)

// Sources of what an issuer's words mean.
const (
	sourceIntrospection = "https://www.rfc-editor.org/rfc/rfc7662#section-2.2"
	sourceBearer        = "https://www.rfc-editor.org/rfc/rfc6750#section-3.1"
)

// Endpoints by name.
const (
	introspection = "introspection"
	userinfo      = "userinfo"
	jwks          = "jwks"
)

// Issuers keeps the metadata of issuers during a run.
type Issuers struct {
	Doer issuer.Doer

	mu   sync.Mutex
	list map[string]*metadata
}

type metadata struct {
	Issuer        string `json:"issuer"`
	Introspection string `json:"introspection_endpoint"`
	Revocation    string `json:"revocation_endpoint"`
	UserInfo      string `json:"userinfo_endpoint"`
	JWKS          string `json:"jwks_uri"`
	EndSession    string `json:"end_session_endpoint"`
	Global        string `json:"global_token_revocation_endpoint"`

	foreign map[string]bool // endpoints at another host, which are not asked
}

// discover reads the issuer's metadata. Every endpoint must have the issuer's
// own origin: metadata can't send a token elsewhere.
func (s *Issuers) discover(ctx context.Context, i *issuer.Instance) (*metadata, error) {
	name := i.URL.String()
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.list[name]; m != nil {
		return m, nil
	}
	var m metadata
	var last error
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		a, err := s.Doer.Do(ctx, i, issuer.Request{Method: http.MethodGet, Path: path, Reads: true})
		if err != nil {
			last = err
			if errors.Is(err, guard.ErrOffline) {
				break
			}
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
	if strings.TrimRight(m.Issuer, "/") != strings.TrimRight(name, "/") {
		return nil, errors.New("the metadata belongs to another issuer than the one that was named")
	}
	m.foreign = map[string]bool{}
	for name, e := range map[string]*string{introspection: &m.Introspection, "revocation": &m.Revocation, userinfo: &m.UserInfo, "jwks": &m.JWKS, "end_session": &m.EndSession, "global": &m.Global} {
		if *e == "" {
			continue
		}
		u, err := url.Parse(*e)
		if err != nil || u.Scheme != i.URL.Scheme || u.Host != i.URL.Host {
			*e, m.foreign[name] = "", true
			continue
		}
		// Relative to the instance, whose path the client adds again.
		*e = "/" + strings.TrimLeft(strings.TrimPrefix(u.EscapedPath(), strings.TrimRight(i.URL.Path, "/")), "/")
	}
	if s.list == nil {
		s.list = map[string]*metadata{}
	}
	s.list[name] = &m
	return &m, nil
}

// call sends the token to an endpoint as the operator's client.
func (s *Issuers) call(ctx context.Context, t revokers.Target, path string, reads bool) (issuer.Response, error) {
	form := url.Values{"token": {t.Secret.Reveal()}, "token_type_hint": {hint(t.Kind)}}
	h := http.Header{"Accept": {"application/json"}}
	r := &http.Request{Header: h}
	// RFC 6749, 2.3.1: both are form-encoded before they become a Basic header.
	r.SetBasicAuth(url.QueryEscape(t.Instance.ClientID), url.QueryEscape(t.Instance.ClientSecret.Reveal()))
	return s.Doer.Do(ctx, t.Instance, issuer.Request{Method: http.MethodPost, Path: path, Header: h, Body: form, Reads: reads})
}

// claims reads a token that is a JWT, unverified.
func claims(t revokers.Target) (token.JWT, error) { return token.ParseJWT(t.Secret.Reveal()) }

// logoutHint are the parameters of an RP-initiated logout by an ID token.
func logoutHint(t revokers.Target) url.Values {
	return url.Values{"id_token_hint": {t.Secret.Reveal()}, "client_id": {t.Instance.ClientID}}
}

// byAdmin is the header of a request that the operator's own token is for.
func byAdmin(i *issuer.Instance) http.Header {
	return http.Header{"Authorization": {"Bearer " + i.Admin.Reveal()}}
}

func hint(k credential.Kind) string {
	if k == credential.KindRefresh {
		return "refresh_token"
	}
	return "access_token"
}

// Token asks about an opaque token.
type Token struct{ Issuers *Issuers }

// Endpoints implements revokers.Verifier. A refresh token is sent to
// introspection alone: redeeming it would rotate it.
func (Token) Endpoints(t revokers.Target) []string {
	var out []string
	if t.Instance.ClientID != "" {
		out = append(out, introspection)
	}
	if t.Kind != credential.KindRefresh {
		out = append(out, userinfo)
	}
	return out
}

// Verify implements revokers.Verifier.
func (v Token) Verify(ctx context.Context, t revokers.Target, endpoint string) (revokers.Answer, error) {
	m, err := v.Issuers.discover(ctx, t.Instance)
	if err != nil {
		return interp.NoAnswer(ctx, endpoint, fmt.Errorf("discovery: %w", err))
	}
	a := revokers.Answer{Endpoint: endpoint, At: time.Now().UTC()}
	path := map[string]string{introspection: m.Introspection, userinfo: m.UserInfo}[endpoint]
	if path == "" {
		a.Class, a.Reason, a.Detail = revokers.Other, revokers.Unsupported, "the issuer has no "+endpoint+" endpoint"
		if m.foreign[endpoint] {
			a.Reason, a.Detail = revokers.Unexpected, "the issuer's metadata place its "+endpoint+" endpoint at another host, where no token is sent"
		}
		return a, nil
	}
	if endpoint == introspection {
		return v.introspect(ctx, t, a, path)
	}
	return v.userinfo(ctx, t, a, path)
}

// silent handles what is the same for all endpoints.
func silent(a *revokers.Answer, r issuer.Response) bool {
	a.Status, a.Detail = r.Status, fmt.Sprintf("%s answered %d", a.Endpoint, r.Status)
	a.Challenge = revokers.Schemes(r.Header.Values("WWW-Authenticate"))
	a.RetryAfter, _ = guard.RetryAfter(r.Header, time.Now())
	demand := revokers.Demand(r.Status, r.Header, r.Body)
	switch {
	case r.Cut:
		a.Class, a.Reason = revokers.Other, revokers.Unexpected
	case guard.IsThrottle(r):
		a.Class, a.Reason = revokers.Silent, revokers.Throttled
	case r.Status >= 500 || r.Status == http.StatusRequestTimeout:
		a.Class, a.Reason = revokers.Silent, revokers.Unreachable
	case demand != "":
		a.Class, a.Reason = revokers.Other, revokers.Restricted
		a.Detail += " and asks for " + demand
	default:
		return false
	}
	return true
}

func (v Token) introspect(ctx context.Context, t revokers.Target, a revokers.Answer, path string) (revokers.Answer, error) {
	resp, err := v.Issuers.call(ctx, t, path, true)
	if err != nil {
		return interp.NoAnswer(ctx, a.Endpoint, fmt.Errorf("introspection: %w", err))
	}
	if silent(&a, resp) {
		return a, nil
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
	case resp.Status == http.StatusUnauthorized || resp.Status == http.StatusForbidden:
		a.Class, a.Reason, a.Detail = revokers.Other, revokers.Restricted, "the issuer refuses the client that the policy names"
		return a, nil
	case resp.Status != http.StatusOK || json.Unmarshal(resp.Body, &r) != nil || r.Active == nil:
		a.Class, a.Reason, a.Detail = revokers.Other, revokers.Unexpected, fmt.Sprintf("introspection answered %d without saying whether it is active", resp.Status)
		return a, nil
	case !*r.Active && marked(t, resp):
		a.Class, a.Reason, a.Documented = revokers.Refuses, revokers.SignedOut, revokers.MarkerSource
		a.Raw = revokers.NewRefusal(resp.Status, "", a.Challenge, resp.Body, []string{t.Secret.Reveal()})
		return a, nil
	case !*r.Active:
		// An issuer also answers so for a live token of another client.
		a.Class, a.Reason, a.Documented, a.Also = revokers.Refuses, revokers.Revoked, sourceIntrospection, revokers.AlsoCredential
		a.Detail = "introspection answers inactive, as it also does for tokens of other clients"
		a.Raw = revokers.NewRefusal(resp.Status, "", a.Challenge, resp.Body, []string{t.Secret.Reveal()})
		return a, nil
	}
	a.Class, a.Reason, a.Detail = revokers.Accepts, revokers.Authenticated, "introspection answers active"
	a.Identity = identity(t, map[string]string{"subject": r.Subject, "username": r.Username, "client": r.Client, "scopes": r.Scope})
	a.Captures = a.Identity
	if r.Expires > 0 && r.Expires < 253402300800 {
		x := time.Unix(int64(r.Expires), 0).UTC()
		a.Expires = &x
	}
	return a, nil
}

// marked reports whether a response has the operator's dead_marker, in the body
// or in the words of a challenge.
func marked(t revokers.Target, r issuer.Response) bool {
	m := t.Instance.Settings["dead_marker"]
	return m != "" && (bytes.Contains(r.Body, []byte(m)) || strings.Contains(strings.Join(r.Header.Values("WWW-Authenticate"), ","), m))
}

// identity limits the length of an issuer's values, and drops empty ones and the token
// itself.
func identity(t revokers.Target, all map[string]string) map[string]string {
	out := map[string]string{}
	for k, s := range all {
		if s = strings.ReplaceAll(s, t.Secret.Reveal(), credential.Redacted); s != "" {
			out[k] = s[:min(len(s), 256)]
		}
	}
	return out
}

func (v Token) userinfo(ctx context.Context, t revokers.Target, a revokers.Answer, path string) (revokers.Answer, error) {
	resp, err := v.Issuers.Doer.Do(ctx, t.Instance, issuer.Request{Method: http.MethodGet, Path: path, Reads: true, Header: http.Header{"Authorization": {"Bearer " + t.Secret.Reveal()}}})
	if err != nil {
		return interp.NoAnswer(ctx, a.Endpoint, fmt.Errorf("userinfo: %w", err))
	}
	if silent(&a, resp) {
		return a, nil
	}
	var r struct {
		Subject string `json:"sub"`
	}
	auth := strings.Join(resp.Header.Values("WWW-Authenticate"), ",")
	switch {
	case resp.Status == http.StatusOK && json.Unmarshal(resp.Body, &r) == nil && r.Subject != "":
		a.Class, a.Reason, a.Detail = revokers.Accepts, revokers.Authenticated, "userinfo answered"
		a.Identity = identity(t, map[string]string{"subject": r.Subject})
		a.Captures = a.Identity
	case marked(t, resp):
		a.Class, a.Reason, a.Documented = revokers.Refuses, revokers.SignedOut, revokers.MarkerSource
		a.Raw = revokers.NewRefusal(resp.Status, "", a.Challenge+"|"+auth, resp.Body, []string{t.Secret.Reveal()})
	case strings.Contains(auth, "insufficient_scope"):
		a.Class, a.Reason, a.Detail = revokers.Other, revokers.Restricted, "userinfo demands more than the token"
	case resp.Status == http.StatusUnauthorized:
		a.Class, a.Reason = revokers.Refuses, revokers.Revoked
		a.Raw = revokers.NewRefusal(resp.Status, "", a.Challenge+"|"+auth, resp.Body, []string{t.Secret.Reveal()})
		if strings.Contains(auth, "invalid_token") {
			// "expired, revoked, malformed, or invalid for other reasons", the
			// last of which a living token of another kind meets too.
			a.Documented, a.Also, a.Detail = sourceBearer, revokers.AlsoCredential, "userinfo answered invalid_token"
		}
	default:
		a.Class, a.Reason = revokers.Other, revokers.Unexpected
	}
	return a, nil
}

// Revoke ends a token at the issuer's revocation endpoint, as the operator's
// client.
type Revoke struct{ Issuers *Issuers }

// Batch implements revokers.Revoker.
func (Revoke) Batch() int { return 1 }

// Plan implements revokers.Revoker. The issuer's metadata has the endpoint's path, which must
// be of its own origin.
func (v Revoke) Plan(ctx context.Context, ts []revokers.Target) ([]revokers.Effect, error) {
	m, err := v.Issuers.discover(ctx, ts[0].Instance)
	if err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	if m.Revocation == "" {
		return nil, errors.New("the issuer has no revocation endpoint")
	}
	return []revokers.Effect{v.effect(ts[0], m)}, nil
}

func (v Revoke) effect(t revokers.Target, m *metadata) revokers.Effect {
	body, _ := json.Marshal(map[string]string{"token": "{token}", "token_type_hint": hint(t.Kind)})
	return revokers.Effect{
		Name: "rfc7009", Method: http.MethodPost, URL: t.Instance.Origin() + strings.TrimRight(t.Instance.URL.Path, "/") + m.Revocation,
		Header: map[string]string{"Authorization": "{client.basic}"}, Body: body, Elements: []string{t.Fingerprint},
	}
}

// Send implements revokers.Revoker. RFC 7009 answers 200 for unknown tokens
// too: the receipt is worth no more than that.
func (v Revoke) Send(ctx context.Context, ts []revokers.Target, e revokers.Effect, before func(revokers.Effect) error) (revokers.Receipt, error) {
	t := ts[0]
	m, err := v.Issuers.discover(ctx, t.Instance)
	if err != nil {
		return revokers.Receipt{}, fmt.Errorf("discovery: %w", err)
	}
	if m.Revocation == "" {
		return revokers.Receipt{}, errors.New("the issuer has no revocation endpoint")
	}
	if err := before(v.effect(t, m)); err != nil {
		return revokers.Receipt{}, err
	}
	a, err := v.Issuers.call(ctx, t, m.Revocation, false)
	if err != nil {
		return revokers.Receipt{}, err
	}
	out := revokers.Acknowledgement{Status: a.Status, Accepted: a.Status == http.StatusOK, At: time.Now().UTC()}
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
	return revokers.All(1, out), nil
}
