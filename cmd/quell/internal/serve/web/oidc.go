package web

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/time/rate"

	"github.com/quellhq/quell/revokers/issuer"
)

// oidcClient reads the provider's metadata at the first login, so that quell can start while the
// provider is unreachable.
type oidcClient struct {
	mu       sync.Mutex
	provider *oidc.Provider
	failed   time.Time     // when the provider last did not answer
	limit    *rate.Limiter // of codes that are exchanged
	client   *http.Client
}

// newOIDC makes the client of a provider. It follows no redirect, which would take the code and the
// client's secret to another host, and uses no proxy but the configured one.
func newOIDC(n issuer.Network) oidcClient {
	t := &http.Transport{
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: n.CA},
		TLSHandshakeTimeout:    oidcTime,
		ResponseHeaderTimeout:  oidcTime,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
	}
	if n.Proxy != nil {
		t.Proxy = http.ProxyURL(n.Proxy)
	}
	return oidcClient{limit: rate.NewLimiter(20, 200), client: &http.Client{
		Timeout: oidcTime, Transport: shortBodies{t},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// maxMetadata is the longest answer of a provider, in bytes.
const maxMetadata = 1 << 20

type shortBodies struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (s shortBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	a, err := s.next.RoundTrip(r)
	if err == nil {
		a.Body = http.MaxBytesReader(nil, a.Body, maxMetadata)
	}
	return a, err
}

// oidcAgain is the time until quell asks a provider again that did not answer.
const oidcAgain = 5 * time.Second

// oidcTime is the limit for one request to the provider.
const oidcTime = 10 * time.Second

func (c *oidcClient) context(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, c.client)
}

// protected returns an error unless every endpoint in the provider's metadata uses TLS, or is on
// this machine like the issuer.
func protected(p *oidc.Provider, address string) error {
	var named struct {
		Token    string `json:"token_endpoint"`
		Keys     string `json:"jwks_uri"`
		UserInfo string `json:"userinfo_endpoint"`
		Sign     string `json:"authorization_endpoint"`
	}
	if err := p.Claims(&named); err != nil {
		return err
	}
	local, _ := url.Parse(address)
	for _, e := range []string{named.Token, named.Keys, named.UserInfo, named.Sign} {
		u, err := url.Parse(e)
		if err != nil {
			return errors.New("an endpoint is no URL")
		}
		if e != "" && u.Scheme != "https" && !(u.Scheme == "http" && local != nil && local.Scheme == "http" && issuer.Loopback(u.Hostname())) {
			return errors.New("an endpoint is not https")
		}
	}
	return nil
}

func (c *Console) oidcConfig(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	o := c.o.People.OIDC
	c.oidc.mu.Lock()
	defer c.oidc.mu.Unlock()
	if c.oidc.provider == nil && time.Since(c.oidc.failed) < oidcAgain {
		return nil, nil, fmt.Errorf("the OpenID provider %s did not answer some seconds ago", hostOf(o.Issuer))
	}
	if c.oidc.provider == nil {
		// The provider's keys are read later with this context, so it must outlive the request.
		p, err := oidc.NewProvider(c.oidc.context(context.WithoutCancel(ctx)), o.Issuer)
		if err != nil {
			c.oidc.failed = time.Now()
			return nil, nil, fmt.Errorf("the OpenID provider %s does not answer as one", hostOf(o.Issuer))
		}
		if err := protected(p, o.Issuer); err != nil {
			c.oidc.failed = time.Now()
			return nil, nil, fmt.Errorf("the metadata of the OpenID provider %s: %w", hostOf(o.Issuer), err)
		}
		c.oidc.provider = p
	}
	scopes := []string{oidc.ScopeOpenID, "email", "profile"}
	if slices.ContainsFunc(append(slices.Clone(o.Read), o.Approve...), func(s string) bool { return strings.HasPrefix(s, groupPrefix) }) {
		scopes = append(scopes, "groups")
	}
	return c.oidc.provider, &oauth2.Config{
		ClientID: o.ClientID, ClientSecret: o.Secret.Reveal(), Endpoint: c.oidc.provider.Endpoint(), Scopes: scopes,
		RedirectURL: c.o.People.URL.String() + "/login/callback",
	}, nil
}

const groupPrefix = "group:"

// stateCookie keeps what binds an answer of the provider to the browser that asked: state, nonce,
// the verifier of PKCE, and where the person wanted to go.
func (c *Console) stateCookie(r *http.Request) string {
	if c.secure(r) {
		return "__Host-quell-oidc"
	}
	return "quell-oidc"
}

func (c *Console) oidcStart(w http.ResponseWriter, r *http.Request) {
	if c.o.People.OIDC == nil {
		c.fail(w, r, visitor{}, http.StatusNotFound, "There is no such page.")
		return
	}
	_, conf, err := c.oidcConfig(r.Context())
	if err != nil {
		c.o.Log("a login failed", "error", err.Error())
		c.loginForm(w, r, http.StatusBadGateway, "", "The OpenID provider does not answer.")
		return
	}
	state, nonce, verifier := random(), random(), oauth2.GenerateVerifier()
	next := r.URL.Query().Get("next")
	if !localPath(next) {
		next = "/"
	}
	c.setCookie(w, r, c.stateCookie(r), strings.Join([]string{state, nonce, verifier, next}, "|"), 600)
	http.Redirect(w, r, conf.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)), http.StatusSeeOther)
}

func (c *Console) oidcCallback(w http.ResponseWriter, r *http.Request) {
	if c.o.People.OIDC == nil {
		c.fail(w, r, visitor{}, http.StatusNotFound, "There is no such page.")
		return
	}
	refuse := func(code int, why, shown string) {
		c.o.Log("a login was refused", "from", addressOf(r.RemoteAddr), "why", why)
		c.loginForm(w, r, code, "", shown)
	}
	k, err := r.Cookie(c.stateCookie(r))
	if err != nil {
		refuse(http.StatusBadRequest, "no state", "The login took too long, or began in another browser. Begin again.")
		return
	}
	c.setCookie(w, r, c.stateCookie(r), "", -1) // it is used once
	kept := strings.SplitN(k.Value, "|", 4)
	q := r.URL.Query()
	if len(kept) != 4 || subtle.ConstantTimeCompare([]byte(kept[0]), []byte(q.Get("state"))) != 1 {
		refuse(http.StatusBadRequest, "another state", "The login took too long, or began in another browser. Begin again.")
		return
	}
	if q.Get("error") != "" || q.Get("code") == "" {
		refuse(http.StatusUnauthorized, "the provider refused", "The OpenID provider did not sign you in.")
		return
	}
	// A made-up state with its cookie causes a request to the provider. The limit is not per
	// address, since all people share one address if there is a proxy.
	if !c.oidc.limit.Allow() {
		w.Header().Set("Retry-After", "1")
		refuse(http.StatusTooManyRequests, "too many answers of the provider", "Too many people sign in. Begin again.")
		return
	}
	p, conf, err := c.oidcConfig(r.Context())
	if err != nil {
		refuse(http.StatusBadGateway, err.Error(), "The OpenID provider does not answer.")
		return
	}
	ctx, cancel := context.WithTimeout(c.oidc.context(r.Context()), oidcTime)
	defer cancel()
	token, err := conf.Exchange(ctx, q.Get("code"), oauth2.VerifierOption(kept[2]))
	if err != nil {
		refuse(http.StatusUnauthorized, "the code was not exchanged", "The OpenID provider did not sign you in.")
		return
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := p.Verifier(&oidc.Config{ClientID: conf.ClientID}).Verify(ctx, raw)
	if err != nil || subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(kept[1])) != 1 {
		refuse(http.StatusUnauthorized, "the id token is not valid", "The OpenID provider's answer is not valid.")
		return
	}
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil {
		refuse(http.StatusUnauthorized, "the id token has no claims", "The OpenID provider's answer is not valid.")
		return
	}
	// Some providers put e-mail and groups in the answer of userinfo alone.
	if info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(token)); err == nil && info.Subject == id.Subject {
		more := map[string]any{}
		if info.Claims(&more) == nil {
			join(claims, more)
		}
	}
	v, why := c.o.People.OIDC.visitor(claims)
	if why != "" {
		refuse(http.StatusForbidden, why, "You are signed in there, and may not read here: "+why+".")
		return
	}
	v.Subject = id.Subject
	c.begin(w, r, v, kept[3])
}

// join adds the claims of userinfo that the id token does not have.
func join(claims, more map[string]any) {
	if claims["email"] != nil && claims["email"] != more["email"] {
		delete(more, "email_verified") // it is about another address
	}
	for name, v := range more {
		if _, had := claims[name]; !had {
			claims[name] = v
		}
	}
}

// visitor determines from the claims who signed in and what the person may do; why is the reason
// if the person has no right.
func (o *OIDC) visitor(claims map[string]any) (v visitor, why string) {
	name := o.Claim
	if name == "" {
		name = "email"
	}
	person, _ := claims[name].(string)
	person = strings.TrimSpace(person)
	if person == "" {
		return v, "the provider does not name the claim " + name
	}
	if name == "email" {
		// An account with an unverified address must not get the rights of its owner.
		switch ok := claims["email_verified"].(type) {
		case bool:
			if !ok {
				return v, "the e-mail address is not verified"
			}
		case string:
			if ok != "true" {
				return v, "the e-mail address is not verified"
			}
		default:
			return v, "the provider does not confirm the e-mail address (hint: claim = \"sub\")"
		}
	}
	var groups []string
	if list, ok := claims["groups"].([]any); ok {
		for _, g := range list {
			if s, ok := g.(string); ok {
				groups = append(groups, s)
			}
		}
	}
	listed := func(list []string) bool {
		return slices.ContainsFunc(list, func(entry string) bool {
			if g, ok := strings.CutPrefix(entry, groupPrefix); ok {
				return slices.Contains(groups, g)
			}
			return strings.EqualFold(entry, person)
		})
	}
	v = visitor{Person: person, Method: MethodOIDC, Approve: listed(o.Approve)}
	if !v.Approve && !listed(o.Read) {
		return visitor{}, person + " is not in read or approve of the configuration"
	}
	return v, ""
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}
