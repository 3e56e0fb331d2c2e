package oci

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/quellhq/quell/scanners"
)

// Login is a credential for registries that goes to one address alone: to a registry there, or to
// that server's endpoint for tokens, whose tokens a registry elsewhere gets (GitLab's form of it:
// docs.gitlab.com/administration/packages/container_registry).
type Login struct {
	// At is the address. Its scheme, host and port count.
	At *url.URL
	// Password gives the credential; empty: there is none.
	Password func(context.Context) string
}

// guarded is a transport with a login.
type guarded struct {
	next  http.RoundTripper
	login *Login
}

var errElsewhere = scanners.OfKind(scanners.GapNotFetched, errors.New("the registry is signed in to at another host than the named one, and the token is not sent there (hint: docker login, and quell scan image)"))

// RoundTrip implements http.RoundTripper.
func (g *guarded) RoundTrip(req *http.Request) (*http.Response, error) {
	if a := req.Header.Get("Authorization"); a != "" {
		kind, _, _ := strings.Cut(a, " ")
		switch {
		case strings.EqualFold(kind, "Basic") && place(req.URL) != place(g.login.At):
			return nil, errElsewhere
		case req.Response != nil && req.Response.Request != nil && place(req.Response.Request.URL) != place(req.URL):
			// Go's client keeps the header on a redirect to another port or a subdomain.
			req = req.Clone(req.Context())
			req.Header.Del("Authorization")
		}
	}
	return g.next.RoundTrip(req)
}

// place is the scheme, host and port of an address.
func place(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// keys gives the option with the credentials of a transport's registries.
func keys(ctx context.Context, t http.RoundTripper) remote.Option {
	g, ok := t.(*guarded)
	if !ok {
		return remote.WithAuthFromKeychain(authn.DefaultKeychain)
	}
	if p := g.login.Password(ctx); p != "" {
		// Forges take a token with any name.
		return remote.WithAuth(&authn.Basic{Username: "x-access-token", Password: p})
	}
	return remote.WithAuth(authn.Anonymous)
}
