// Package web is the web page and the JSON API of quell serve. Pages are rendered here with
// html/template and one style sheet, have no script, and show what the database and the ledger
// have, which is redacted. What comes from scanned repositories and from issuers is a stranger's
// text: it is escaped, and its control characters and bidirectional overrides are made visible.
package web

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
)

// Scopes of a user.
const (
	ScopeRead    = "read"
	ScopeApprove = "approve"
)

// People are those who may sign in.
type People struct {
	// URL is the address at which people open the page; nil: at this machine alone.
	URL     *url.URL
	Session time.Duration // how long a login lasts without use
	Users   []User
	OIDC    *OIDC // nil: tokens alone
}

// User signs in with a token.
type User struct {
	Name          string
	Token         rules.Secret
	Read, Approve bool
}

// OIDC is an OpenID provider.
type OIDC struct {
	Issuer, ClientID string
	Secret           rules.Secret
	Claim            string // default email
	Read, Approve    []string
	// Recheck is how long a login lasts until the provider is asked again; zero: RecheckDefault.
	Recheck time.Duration
	// Network is how the provider is reached.
	Network issuer.Network
}

// RecheckDefault is the default of OIDC.Recheck: who leaves a group there keeps its rights for so
// long at most.
const RecheckDefault = time.Hour

// Target is a target of the configuration.
type Target struct {
	Name, System string
	Of           []string
	Every        time.Duration
}

// Budget are the limits of this process.
type Budget struct {
	KillMax   int // kills in 24 hours
	Approvals int // people who must approve
	Apply     bool
	Scans     int // at one time
}

// The values of a Decision.
const (
	Approve = "approve"
	Hold    = "hold"
	Release = "release"
)

// Decision is what a person decides about an incident.
type Decision struct {
	Fingerprint, What string
	Digest            string // of the plan that was shown; for Approve
	Person, Method    string
	Subject           string // at the OpenID provider; empty for tokens
	Reason            string
}

// Errors of Options.Decide.
var (
	ErrGone    = errors.New("there is no plan that waits for approval")
	ErrChanged = errors.New("the plan has changed since it was shown: look at it again")
)

// Options are what a Console is made of.
type Options struct {
	People  *People
	Store   *store.Store
	Ledger  *ledger.Ledger
	Targets []Target
	Version string
	Log     func(message string, args ...any)
	// Decide records a decision and starts what follows from it.
	Decide func(ctx context.Context, d Decision) error
	// PlanKey is the key that plans are signed with.
	PlanKey ed25519.PublicKey
	Budget  Budget
}

// Console is the web page and the API.
type Console struct {
	o     Options
	pages map[string]*template.Template
	limit *limiter
	oidc  oidcClient
}

//go:embed templates style.css openapi.json
var files embed.FS

// New makes a Console.
func New(o Options) (*Console, error) {
	c := &Console{o: o, pages: map[string]*template.Template{}, limit: newLimiter()}
	if o.People.OIDC != nil {
		c.oidc = newOIDC(o.People.OIDC.Network)
	}
	if o.Log == nil {
		c.o.Log = func(string, ...any) {}
	}
	for _, name := range []string{"overview", "incidents", "incident", "plans", "coverage", "queue", "search", "login", "error"} {
		t, err := template.New("layout.html").Funcs(functions).ParseFS(files, "templates/layout.html", "templates/parts.html", "templates/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("web: %w", err)
		}
		c.pages[name] = t
	}
	return c, nil
}

// maxForm is the longest body of a request, in bytes.
const maxForm = 16 << 10

// Handler serves the page and the API.
func (c *Console) Handler() http.Handler {
	m := http.NewServeMux()
	for path, h := range map[string]func(http.ResponseWriter, *http.Request, visitor) error{
		"GET /{$}": c.overview, "GET /incidents": c.incidents, "GET /incidents/{fingerprint}": c.incident, "GET /plans": c.plans,
		"GET /coverage": c.coverage, "GET /queue": c.queue, "GET /search": c.search,
		"POST /incidents/{fingerprint}/decide": c.decideForm, "POST /logout": c.logout,
	} {
		m.Handle(path, c.signedIn(h))
	}
	m.HandleFunc("GET /login", c.loginPage)
	m.HandleFunc("POST /login", c.login)
	m.HandleFunc("GET /login/oidc", c.oidcStart)
	m.HandleFunc("GET /login/callback", c.oidcCallback)
	m.HandleFunc("GET /style.css", func(w http.ResponseWriter, r *http.Request) {
		b, _ := files.ReadFile("style.css")
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		w.Header().Set("Cache-Control", "public, max-age=3600")
		http.ServeContent(w, r, "style.css", time.Time{}, bytes.NewReader(b))
	})
	c.api(m)
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		c.fail(w, r, visitor{}, http.StatusNotFound, "There is no such page.")
	})
	cross := http.NewCrossOriginProtection()
	if u := c.o.People.URL; u != nil {
		_ = cross.AddTrustedOrigin(u.Scheme + "://" + u.Host) // its form was checked
	}
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.fail(w, r, visitor{}, http.StatusForbidden, "The request came from another site.")
	}))
	// http.MaxBytesHandler would copy the request, so that the mux could not name its route for others.
	return c.headers(cross.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		m.ServeHTTP(w, r)
	})))
}

// headers sets the headers of all answers, and refuses requests for another host: a page of a
// stranger whose name resolves to this machine (DNS rebinding) has the stranger's name as host.
func (c *Console) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		if c.secure(r) {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		if !c.hostAllowed(r.Host) {
			http.Error(w, "this address is not the one of web.url in the configuration", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (c *Console) hostAllowed(host string) bool {
	if u := c.o.People.URL; u != nil && strings.EqualFold(host, u.Host) {
		return true
	}
	return OwnHost(host)
}

// OwnHost reports whether a request's host is an address or this machine's own name. Another name
// can resolve to anything.
func OwnHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(name, "[]")
	return net.ParseIP(name) != nil || issuer.Loopback(name)
}

// secure reports whether people reach the page by TLS.
func (c *Console) secure(r *http.Request) bool {
	u := c.o.People.URL
	return r.TLS != nil || u != nil && u.Scheme == "https"
}

// page is what every template gets.
type page struct {
	Title   string
	Nav     string // the entry of the menu that is current
	Person  string
	Approve bool // the person may approve
	CSRF    string
	Version string
	Now     time.Time
	Refresh int // seconds until the page loads again; 0: never
	Waiting int // plans that wait
	Query   string
	Data    any
}

// render writes a page. It is rendered to the end first, so that an error does not leave half of it.
func (c *Console) render(w http.ResponseWriter, r *http.Request, code int, name string, v visitor, p page) error {
	p.Person, p.Approve, p.CSRF, p.Version, p.Now = v.Person, v.Approve, v.csrf, c.o.Version, time.Now()
	if v.Person != "" {
		list, err := c.o.Store.Proposals(r.Context(), 100)
		if err != nil {
			return err
		}
		p.Waiting = len(list)
	}
	var b bytes.Buffer
	if err := c.pages[name].Execute(&b, p); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes())
	return nil
}

// fail writes a page about an error; to a caller of the API, JSON.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, v visitor, code int, message string) {
	if strings.HasPrefix(r.URL.Path, "/api/") {
		writeError(w, code, message)
		return
	}
	v.Person = "" // the menu needs the database, which may be what failed
	if err := c.render(w, r, code, "error", v, page{Title: http.StatusText(code), Data: message}); err != nil {
		http.Error(w, message, code)
	}
}

// failed answers for an error of the database or of the ledger.
func (c *Console) failed(w http.ResponseWriter, r *http.Request, v visitor, err error) {
	switch {
	case errors.Is(err, store.ErrUnknown):
		c.fail(w, r, v, http.StatusNotFound, "There is no such incident.")
	case errors.Is(err, store.ErrCursor), errors.Is(err, errParameter):
		c.fail(w, r, v, http.StatusBadRequest, err.Error())
	case errors.Is(err, ErrGone), errors.Is(err, ErrChanged):
		c.fail(w, r, v, http.StatusConflict, err.Error())
	case r.Context().Err() != nil:
	default:
		c.o.Log("the web page", "path", r.URL.Path, "error", err.Error())
		c.fail(w, r, v, http.StatusServiceUnavailable, "The database does not answer.")
	}
}

var errParameter = errors.New("a parameter of the request has no such value")
