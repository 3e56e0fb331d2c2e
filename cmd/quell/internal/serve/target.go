package serve

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/ci"
	"github.com/quellhq/quell/scanners/ci/github"
	"github.com/quellhq/quell/scanners/ci/systems"
	"github.com/quellhq/quell/scanners/oci"
)

// system finds the row of a target in the table of systems; GitHub has none.
func (t *Target) system() (systems.System, bool) {
	for _, s := range systems.All() {
		if s.Name == t.System {
			return s, true
		}
	}
	return systems.System{}, false
}

// base is the address of the target's API.
func (t *Target) base() (*url.URL, error) {
	if t.System == "github" {
		address := t.URL
		if address == "" {
			address = "https://api.github.com"
		}
		u, err := github.Base(address)
		if err != nil {
			return nil, fmt.Errorf("url: %w", err)
		}
		return u, nil
	}
	s, _ := t.system()
	if s.AddressTarget {
		return s.Common(t.Of)
	}
	address := t.URL
	if address == "" {
		address = s.Address
	}
	u, err := s.Base(address)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	return u, nil
}

// registry is the host of the images that a package webhook names.
func (t *Target) registry() string {
	switch {
	case t.Registry != "":
		return t.Registry
	case t.System == "github" && t.URL == "":
		return "ghcr.io"
	case t.System == "github":
		return "" // a server's own registry has a name of its own
	}
	u, err := url.Parse(t.URL)
	if err != nil {
		return ""
	}
	return u.Host
}

// defaultPatience is the longest wait that a job spends on a server's limit. A longer one snoozes
// it, so that the worker is free for other hosts.
const defaultPatience = 20 * time.Second

// clientLasts is how long a client is used: it stops asking a server that refused its token, or
// that was down, and another one tries again.
const clientLasts = 5 * time.Minute

// source is a target in use: its secrets and its client, which all jobs share so that they
// honour the server's limits together.
type source struct {
	*Target
	token, webhook, appKey rules.Secret
	calls                  func() // counts a request to the API
	minted                 func(rules.Secret)
	patience               time.Duration
	short, long            chan struct{} // deliveries of webhooks that are in memory
	mem                    scanners.Memory
	cache                  string

	shared     ci.Holds          // of all workers; nil: this process is alone
	registries *store.Registries // as shared

	mu     sync.Mutex
	atOnce int // requests in flight at one time; 0: the client's default
	client *ci.Client
	made   time.Time
	app    *github.App
}

// secrets reads what the target names.
func (x *source) secrets(getenv func(string) string, known func(rules.Secret)) error {
	refs := []struct {
		key, ref string
		to       *rules.Secret
	}{{"token", x.Target.Token, &x.token}, {"webhook", x.Target.Webhook, &x.webhook}}
	if x.App != nil {
		refs = append(refs, struct {
			key, ref string
			to       *rules.Secret
		}{"app.key", x.App.Key, &x.appKey})
	}
	for _, r := range refs {
		s, err := config.ReadSecret(r.ref, getenv)
		if err != nil {
			return fmt.Errorf("target %s: %s: %w", x.Name, r.key, err)
		}
		*r.to = s
		if !s.IsZero() {
			known(s)
		}
	}
	return nil
}

// api returns the client. After an error it makes a new one for the next job.
func (x *source) api() (*ci.Client, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.client != nil && time.Since(x.made) < clientLasts {
		return x.client, nil
	}
	base, err := x.base()
	if err != nil {
		return nil, err
	}
	c := &ci.Client{Base: base, Memory: x.mem, Patience: x.patience, Shared: x.shared, Calls: x.atOnce}
	switch s, ok := x.system(); {
	case x.App != nil:
		if x.app == nil {
			key, err := ci.ParseKey(x.appKey)
			if err != nil {
				return nil, fmt.Errorf("target %s: app.key: %w", x.Name, err)
			}
			app := &github.App{ID: x.App.ID, Key: key, Installation: x.App.Installation, Owner: x.Of[0], Permissions: []string{"metadata", "actions"}, Minted: x.minted}
			if x.Reads(readGit) {
				app.Permissions = append(app.Permissions, "contents")
			}
			if x.Reads(readAlerts) {
				app.Permissions = append(app.Permissions, "secret_scanning_alerts")
			}
			x.app = app
		}
		c.Auth, c.Renew = x.app.Authorize(&ci.Client{Base: base, Patience: x.patience})
	case x.token.IsZero():
	case ok:
		c.Auth = s.Auth(x.User, x.token)
	default:
		c.Auth = ci.Header("Authorization", "Bearer ", x.token)
	}
	auth := c.Auth
	c.Auth = func(ctx context.Context, h http.Header) error {
		x.calls()
		if auth == nil {
			return nil
		}
		return auth(ctx, h)
	}
	x.client, x.made = c, time.Now()
	return c, nil
}

// atOnce is how many requests to the API of a target all workers may have in flight: GitHub's limit
// is 100.
const atOnce = 96

// share divides them among the workers that are there.
func (x *source) share(workers int) {
	n := min(ci.MaxCalls, max(1, atOnce/max(1, workers)))
	x.mu.Lock()
	defer x.mu.Unlock()
	if n != x.atOnce {
		x.atOnce, x.client = n, nil // the next job makes a client with it
	}
}

// failed drops the client, which may have given its server up.
func (x *source) failed(c *ci.Client) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.client == c {
		x.client = nil
	}
}

// page lists one page of the repositories of an entry of Of.
func (x *source) page(ctx context.Context, c *ci.Client, of string, page int) ([]ci.Repo, int, error) {
	ctx = ci.Conditional(ctx)
	if s, ok := x.system(); ok {
		return s.Page(ctx, c, of, page)
	}
	src, err := github.New(github.Config{Client: c, Targets: []string{of}, Installation: x.App != nil})
	if err != nil {
		return nil, 0, err
	}
	return src.Page(ctx, of, page)
}

// readable is what a job scans, and the part of it that notes what was read.
type readable struct {
	scanners.Source
	items *ci.Source // nil: it has no items
	// wait is how long a registry asks to wait: its library keeps no cause of an error.
	wait func() time.Duration // nil: it has none
}

// open makes the source of a job. since leaves out older runs; zero: none.
func (x *source) open(c *ci.Client, a ScanArgs, since time.Time) (readable, error) {
	if a.What == whatImage {
		src := &oci.Source{Targets: []string{a.Ref}, Memory: x.mem}
		var asks atomic.Int64
		if x.registries != nil {
			src.Wrap = func(next http.RoundTripper) http.RoundTripper {
				return registry{next: next, limits: *x.registries, patience: x.patience, asks: func(d time.Duration) { asks.Store(max(asks.Load(), int64(d))) }}
			}
		}
		return readable{src, nil, func() time.Duration { return time.Duration(asks.Load()) }}, nil
	}
	o := ci.Options{Run: a.Run, Since: since}
	if a.What == whatRuns {
		// A webhook's run is read at once; its artifacts are listed with the repository's, which
		// costs a request for a hundred of them instead of one for each run.
		o.Logs = x.Reads(readLogs)
		o.Artifacts = x.Reads(readArtifacts) && (a.Run == "" || !o.Logs)
		if a.Run != "" {
			o.Since = time.Time{}
		}
	}
	targets := []string{a.Repo}
	if s, ok := x.system(); ok {
		if o.Run != "" && s.AddressTarget {
			o.Run = ""
		}
		src, err := s.New(c, x.mem, o, targets)
		if err == nil && a.What == whatGit {
			s.Clones(src, x.cache, targets)
		}
		return readable{src, src, nil}, err
	}
	src, err := github.New(github.Config{Client: c, Memory: x.mem, Options: o, Attempt: a.Attempt, Alerts: a.What == whatAlerts,
		Git: a.What == whatGit, Cache: x.cache, Targets: targets, Installation: x.App != nil})
	if err != nil {
		return readable{}, err
	}
	return readable{src, src.Source, nil}, nil
}

// owner is the first part of a repository's name.
func owner(repo string) string {
	o, _, _ := strings.Cut(repo, "/")
	return o
}
