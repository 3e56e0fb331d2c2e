package serve

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/cmd/quell/internal/serve/approval"
	"github.com/quellhq/quell/cmd/quell/internal/serve/web"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
)

// Web is the web page and the API.
type Web struct {
	// URL is the address at which people open the page. It is needed unless they open it at this
	// machine, and for OpenID Connect.
	URL string `toml:"url,omitempty"`
	// Session is how long a login lasts without use; default 8h, at most 24h.
	Session Period    `toml:"session,omitempty"`
	User    []WebUser `toml:"user,omitempty"`
	OIDC    *OIDC     `toml:"oidc,omitempty"`
}

// WebUser is a person or a program that signs in with a token.
type WebUser struct {
	Name  string   `toml:"name"`
	Token string   `toml:"token"` // env:NAME or file:PATH
	May   []string `toml:"may"`   // read, approve; who may approve may read
}

// OIDC is an OpenID provider that signs people in.
type OIDC struct {
	Issuer       string `toml:"issuer"`
	ClientID     string `toml:"client_id"`
	ClientSecret string `toml:"client_secret,omitempty"`
	// Claim names the person; default email, which must be verified.
	Claim string `toml:"claim,omitempty"`
	// Read and Approve list people by Claim, or groups as group:NAME of the claim groups. Those who
	// may approve may read, as with tokens.
	Read    []string `toml:"read,omitempty"`
	Approve []string `toml:"approve,omitempty"`
	// Recheck is how long a login lasts until the provider is asked again; default 1h, at most 24h.
	Recheck Period `toml:"recheck,omitempty"`
	// CA is a file of certificates (PEM) that replace the system's roots, Proxy the address of a
	// proxy, or env:NAME or file:PATH of one with a password. The environment's proxies are ignored.
	CA    string `toml:"ca,omitempty"`
	Proxy string `toml:"proxy,omitempty"`
}

func (w *Web) check() error {
	if w.URL != "" {
		u, err := url.Parse(w.URL)
		if err != nil || u.Host == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Scheme != "https" && (u.Scheme != "http" || !issuer.Loopback(u.Hostname())) {
			return errors.New("url is not https://HOST, or http to this machine, without a path")
		}
	}
	if len(w.User) == 0 && w.OIDC == nil {
		return errors.New("there is no way to sign in: add [[web.user]] or [web.oidc]")
	}
	if time.Duration(w.Session) > day {
		return errors.New("session is longer than 24h")
	}
	seen := map[string]bool{}
	for i, u := range w.User {
		switch {
		case strings.TrimSpace(u.Name) == "" || len(u.Name) > 100:
			return fmt.Errorf("user %d: name is missing or too long", i+1)
		case seen[approval.Name(u.Name)]:
			return fmt.Errorf("user %d: the name %q is given twice", i+1, u.Name)
		case u.Token == "":
			return fmt.Errorf("user %d: token is missing: env:NAME or file:PATH", i+1)
		case len(u.May) == 0:
			return fmt.Errorf("user %d: may is missing: read, approve", i+1)
		}
		for _, m := range u.May {
			if !slices.Contains([]string{web.ScopeRead, web.ScopeApprove}, m) {
				return fmt.Errorf("user %d: may: %q is not read or approve", i+1, m)
			}
		}
		seen[approval.Name(u.Name)] = true
		if err := reference("token", u.Token); err != nil {
			return fmt.Errorf("user %d: %w", i+1, err)
		}
	}
	if o := w.OIDC; o != nil {
		u, err := url.Parse(o.Issuer)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !issuer.Loopback(u.Hostname())):
			return errors.New("oidc.issuer is not https, or http to this machine")
		case o.ClientID == "":
			return errors.New("oidc.client_id is missing")
		case w.URL == "":
			return errors.New("oidc needs url: the provider sends people back there")
		case len(o.Read)+len(o.Approve) == 0:
			return errors.New("oidc: read and approve are empty: list who may sign in")
		case time.Duration(o.Recheck) > day:
			return errors.New("oidc.recheck is longer than 24h")
		case o.Proxy != "" && u.Scheme == "http":
			return errors.New("oidc.proxy: a request without TLS never goes through a proxy")
		}
		if p, err := url.Parse(o.Proxy); err == nil && p.User != nil {
			return errors.New("oidc.proxy has a user: name the address as env:NAME or file:PATH")
		}
		return reference("oidc.client_secret", o.ClientSecret)
	}
	return nil
}

// minToken is the least length of a login token in bytes: shorter ones can be guessed.
const minToken = 24

// readPeople reads the tokens of those who may sign in; nil: the configuration has no web page.
func (s *Server) readPeople() (*web.People, error) {
	w := s.o.Config.Web
	if w == nil {
		return nil, nil
	}
	p := &web.People{Session: w.Session.or(8 * time.Hour)}
	if w.URL != "" {
		p.URL, _ = url.Parse(strings.TrimSuffix(w.URL, "/")) // check has parsed it
	}
	for _, u := range w.User {
		token, err := config.ReadSecret(u.Token, s.o.Getenv)
		if err != nil {
			return nil, fmt.Errorf("web: user %s: token: %w", u.Name, err)
		}
		if token.Len() < minToken {
			return nil, fmt.Errorf("web: user %s: the token has less than %d characters (hint: openssl rand -hex 32)", u.Name, minToken)
		}
		for _, other := range p.Users {
			if other.Token.Equal(token) {
				return nil, fmt.Errorf("web: %s and %s have one token: the ledger could not record which of them approved", other.Name, u.Name)
			}
		}
		s.knows(token)
		p.Users = append(p.Users, web.User{Name: u.Name, Token: token, Read: len(u.May) > 0, Approve: slices.Contains(u.May, web.ScopeApprove)})
	}
	if o := w.OIDC; o != nil {
		secret, err := config.ReadSecret(o.ClientSecret, s.o.Getenv)
		if err != nil {
			return nil, fmt.Errorf("web: oidc: client_secret: %w", err)
		}
		if !secret.IsZero() {
			s.knows(secret)
		}
		p.OIDC = &web.OIDC{Issuer: o.Issuer, ClientID: o.ClientID, Secret: secret, Claim: o.Claim, Read: o.Read, Approve: o.Approve, Recheck: o.Recheck.or(web.RecheckDefault)}
		if p.OIDC.Network, err = s.network(o); err != nil {
			return nil, fmt.Errorf("web: oidc: %w", err)
		}
	}
	return p, nil
}

// network is how an OpenID provider is reached.
func (s *Server) network(o *OIDC) (n issuer.Network, err error) {
	if o.CA != "" {
		if n.CA, err = issuer.ReadCA(o.CA); err != nil {
			return n, err
		}
	}
	if o.Proxy == "" {
		return n, nil
	}
	address := rules.NewSecretString(o.Proxy)
	if strings.HasPrefix(o.Proxy, "env:") || strings.HasPrefix(o.Proxy, "file:") {
		if address, err = config.ReadSecret(o.Proxy, s.o.Getenv); err != nil {
			return n, fmt.Errorf("proxy: %w", err)
		}
	}
	var password rules.Secret
	if n.Proxy, password, err = issuer.ParseProxy(address); err == nil && !password.IsZero() {
		s.knows(password)
	}
	return n, err
}

// openConsole makes the web page and the API. key is known to this installation alone.
func (s *Server) openConsole(ctx context.Context, key []byte) (err error) {
	if s.people == nil {
		return nil
	}
	// Its value is the digest of names and addresses: secrets are not in it.
	var sum [sha256.Size]byte
	if o := s.o.Config.Web.OIDC; o != nil {
		sum = sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %q", o.Issuer, o.ClientID, o.Claim, o.Read, o.Approve))
	}
	if err := s.store.Configured(ctx, web.MethodOIDC, hex.EncodeToString(sum[:])); err != nil {
		return err
	}
	// Sessions of an earlier token, or of an earlier owner of a name, end. The hash is keyed, so that
	// a copy of the database can't be used to test guesses.
	tokens := hmac.New(sha256.New, key)
	for _, u := range s.people.Users {
		fmt.Fprintf(tokens, "quell login token %q %q\n", u.Name, u.Token.Reveal())
	}
	if err := s.store.Configured(ctx, web.MethodToken, hex.EncodeToString(tokens.Sum(nil))); err != nil {
		return err
	}
	var targets []web.Target
	for _, t := range s.o.Config.Target {
		targets = append(targets, web.Target{Name: t.Name, System: t.System, Of: t.Of, Every: t.Every.or(day)})
	}
	s.console, err = web.New(web.Options{
		People: s.people, Store: s.store, Ledger: s.ledger, Targets: targets, Version: s.o.Version, Log: s.log,
		Decide: s.decide, PlanKey: s.signedBy, Budget: web.Budget{KillMax: s.killMax, Approvals: s.approvals, Apply: s.o.Config.Apply, Scans: s.o.Config.scans()},
	})
	return err
}

func (c *Config) scans() int {
	if c.Workers == 0 {
		return defaultWorkers
	}
	return c.Workers
}
