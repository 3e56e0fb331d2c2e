package serve

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/cmd/quell/internal/notify"
	"github.com/quellhq/quell/scanners/ci/systems"
)

// Config is the file of --config. docs/serve.md documents its keys.
type Config struct {
	Version int `toml:"version"`
	// Workers is how many scans this process runs at one time; default 2.
	Workers int `toml:"workers,omitempty"`
	// Apply plans and applies what the policy allows. Without it credentials are reported only.
	Apply bool `toml:"apply,omitempty"`
	// LeaveKills keeps this process from ending anything: it reads and asks, needs no admin
	// credential, and leaves what Apply adds to other processes of the same database.
	LeaveKills bool `toml:"leave_kills,omitempty"`
	// Recheck is how often credentials are probed again that were live, had no answer, or were ended
	// by quell; default 24h.
	Recheck Period `toml:"recheck,omitempty"`
	// MetricsToken protects /metrics; without it /metrics is served to this machine only.
	MetricsToken string `toml:"metrics_token,omitempty"`
	// Retention is how long things are kept; without it, always.
	Retention Retention `toml:"retention,omitempty"`
	// Web is the web page and the API; without it neither is served.
	Web    *Web     `toml:"web,omitempty"`
	Notify []Notify `toml:"notify,omitempty"`
	Target []Target `toml:"target"`
}

// Retention is how long quell serve keeps what it can delete. The ledger is kept always.
type Retention struct {
	// Sealed is how long the sealed value of a dead credential is kept, from when it was last live
	// or found. Without its value its issuer is not asked again.
	Sealed Period `toml:"sealed,omitempty"`
	// Incidents is the same for its row in lists, and for its places.
	Incidents Period `toml:"incidents,omitempty"`
}

// Kills reports whether this process ends credentials.
func (c *Config) Kills() bool { return c.Apply && !c.LeaveKills }

// Notify is a webhook that gets messages about incidents.
type Notify struct {
	Name string `toml:"name"`
	URL  string `toml:"url"` // env:NAME or file:PATH of its address
	// Kind is the form of messages: text, slack, teams or webhook; default text.
	Kind string `toml:"kind,omitempty"`
	// Secret signs messages of kind webhook: env:NAME or file:PATH.
	Secret string `toml:"secret,omitempty"`
	// On selects events: live, ended, left, plan; default all.
	On []string `toml:"on,omitempty"`
}

// The events that Notify.On selects.
const (
	EventLive  = "live"  // an issuer accepts a leaked credential
	EventEnded = "ended" // a kill is proven
	EventLeft  = "left"  // a kill was held, failed, or could not be proven
	EventPlan  = "plan"  // a plan waits for the approval of people
)

var events = []string{EventLive, EventEnded, EventLeft, EventPlan}

// Target is an organisation, or a part of one, at one server.
type Target struct {
	Name   string   `toml:"name"`
	System string   `toml:"system"`        // a CI system of quell scan
	Of     []string `toml:"of"`            // what is scanned, as quell scan takes it
	URL    string   `toml:"url,omitempty"` // of a self-hosted server
	Token  string   `toml:"token,omitempty"`
	User   string   `toml:"user,omitempty"` // where the system's token has a user
	// App signs in as a GitHub App instead of a token.
	App *App `toml:"app,omitempty"`
	// Read selects what is read: logs, artifacts, git, alerts; default logs and artifacts.
	Read []string `toml:"read,omitempty"`
	// Every is how often all repositories are listed and compared with what was read; default 24h.
	Every Period `toml:"every,omitempty"`
	// LookBack is how old a run may be that is compared each time; default 31d, the longest
	// time after which GitHub allows to run a workflow again.
	LookBack Period `toml:"look_back,omitempty"`
	// Backfill is LookBack for a repository's first scan; default 90d, GitHub's retention.
	Backfill Period `toml:"backfill,omitempty"`
	// Webhook is the secret of the server's webhook at /hooks/NAME; without one it is refused.
	Webhook string `toml:"webhook,omitempty"`
	// Registry is the host of the images that package webhooks name; default ghcr.io for GitHub,
	// else the host of URL.
	Registry string `toml:"registry,omitempty"`
}

// App is a GitHub App.
type App struct {
	ID           string `toml:"id"`
	Key          string `toml:"key"`                    // its private key: file:PATH or env:NAME
	Installation int64  `toml:"installation,omitempty"` // default: that of the target's owner
}

// The values of a target's Read.
const (
	readLogs      = "logs"
	readArtifacts = "artifacts"
	readGit       = "git"
	readAlerts    = "alerts"
)

// Reads reports whether a target reads what.
func (t *Target) Reads(what string) bool {
	if len(t.Read) == 0 {
		return what == readLogs || what == readArtifacts
	}
	return slices.Contains(t.Read, what)
}

// Covers reports whether a repository belongs to the target.
func (t *Target) Covers(repo string) bool {
	return slices.ContainsFunc(t.Of, func(of string) bool {
		of = strings.Trim(of, "/")
		return strings.EqualFold(of, repo) || len(repo) > len(of) && repo[len(of)] == '/' && strings.EqualFold(of, repo[:len(of)])
	})
}

// Period is a time span: a Go duration, or a number of days as in 31d.
type Period time.Duration

// UnmarshalText implements encoding.TextUnmarshaler. Its error does not quote the value.
func (p *Period) UnmarshalText(b []byte) error {
	s := string(b)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseFloat(days, 64); err == nil && n > 0 && n < 1e5 {
			*p = Period(n * 24 * float64(time.Hour))
			return nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return errors.New("not a time span such as 15m, 24h or 31d")
	}
	*p = Period(d)
	return nil
}

// or returns the period, or a default.
func (p Period) or(d time.Duration) time.Duration {
	if p > 0 {
		return time.Duration(p)
	}
	return d
}

const day = 24 * time.Hour

// LoadConfig reads and checks a file.
func LoadConfig(path string) (*Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	c := &Config{}
	if err := config.ReadTOML(path, b, c); err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// plain reports whether a name has the form of those in the file: they are parts of addresses
// and of metrics.
func plain(name string) bool {
	return name != "" && len(name) <= 63 && name[0] != '-' && name[0] != '_' && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

func (c *Config) check() error {
	switch {
	case c.Version != 1:
		return fmt.Errorf("version %d is not 1, the only one that this quell reads", c.Version)
	case len(c.Target) == 0:
		return errors.New("no [[target]]: there is nothing to scan")
	case c.Workers < 0 || c.Workers > 64:
		return errors.New("workers is not between 1 and 64")
	}
	if err := reference("metrics_token", c.MetricsToken); err != nil {
		return err
	}
	seen := map[string]bool{}
	for i := range c.Target {
		t := &c.Target[i]
		if err := t.check(); err != nil {
			return fmt.Errorf("target %d: %w", i+1, err)
		}
		if seen[t.Name] {
			return fmt.Errorf("target %d: the name %q is given twice", i+1, t.Name)
		}
		seen[t.Name] = true
	}
	if c.Web != nil {
		if err := c.Web.check(); err != nil {
			return fmt.Errorf("web: %w", err)
		}
	}
	names := map[string]bool{}
	for i, n := range c.Notify {
		switch {
		case !plain(n.Name):
			return fmt.Errorf("notify %d: name is not made of a-z, 0-9, - and _", i+1)
		case names[n.Name]:
			return fmt.Errorf("notify %d: the name %q is given twice", i+1, n.Name)
		case n.URL == "":
			return fmt.Errorf("notify %d: url is missing: env:NAME or file:PATH of the webhook's address", i+1)
		}
		names[n.Name] = true
		if err := errors.Join(reference("url", n.URL), reference("secret", n.Secret)); err != nil {
			return fmt.Errorf("notify %d: %w", i+1, err)
		}
		switch {
		case n.Kind != "" && !slices.Contains(notify.Kinds(), notify.Kind(n.Kind)):
			return fmt.Errorf("notify %d: kind: %q is not text, slack, teams or webhook", i+1, n.Kind)
		case n.Kind == string(notify.Webhook) && n.Secret == "":
			return fmt.Errorf("notify %d: secret is missing: env:NAME or file:PATH of what signs the messages (hint: openssl rand -hex 32)", i+1)
		case n.Kind != string(notify.Webhook) && n.Secret != "":
			return fmt.Errorf("notify %d: secret: only messages of kind webhook are signed", i+1)
		}
		for _, e := range n.On {
			if !slices.Contains(events, e) {
				return fmt.Errorf("notify %d: on: %q is not one of %s", i+1, e, strings.Join(events, ", "))
			}
		}
	}
	return nil
}

func (t *Target) check() error {
	if !plain(t.Name) {
		return errors.New("name is not made of a-z, 0-9, - and _")
	}
	if len(t.Of) == 0 {
		return errors.New("of is empty: it has what is scanned, as OWNER or OWNER/REPO")
	}
	github := t.System == "github"
	s, known := t.system()
	if !github && !known {
		var names []string
		for _, s := range systems.All() {
			names = append(names, s.Name)
		}
		return fmt.Errorf("system %q is not one of github, %s", t.System, strings.Join(names, ", "))
	}
	for _, r := range t.Read {
		switch {
		case !slices.Contains([]string{readLogs, readArtifacts, readGit, readAlerts}, r):
			return fmt.Errorf("read: %q is not one of logs, artifacts, git, alerts", r)
		case r == readAlerts && !github:
			return errors.New("read: only github has alerts")
		case r == readGit && !github && !s.Hosts():
			return fmt.Errorf("read: %s hosts no repositories", t.System)
		case r == readArtifacts && !github && s.NoArtifacts != "":
			return errors.New("read: " + s.NoArtifacts)
		}
	}
	switch {
	case t.App != nil && !github:
		return errors.New("app: only github has Apps")
	case t.App != nil && t.Token != "":
		return errors.New("app and token are two ways to sign in: name one")
	case t.App != nil && (t.App.ID == "" || t.App.Key == ""):
		return errors.New("app: id and key are needed")
	case t.Webhook != "" && !slices.Contains([]string{"github", "gitlab", "gitea"}, t.System):
		return fmt.Errorf("webhook: quell understands those of github, gitlab and gitea, not of %s", t.System)
	case !github && !s.AddressTarget && s.Address == "" && t.URL == "":
		return fmt.Errorf("url is missing: %s has no public server", t.System)
	}
	if t.System == "gitlab" && t.Webhook != "" {
		for _, of := range t.Of {
			if _, err := strconv.ParseInt(of, 10, 64); err == nil {
				return fmt.Errorf("of: %s is a number, and webhooks name groups and projects by their paths (hint: write its path)", of)
			}
		}
	}
	for key, ref := range map[string]string{"token": t.Token, "webhook": t.Webhook} {
		if err := reference(key, ref); err != nil {
			return err
		}
	}
	if t.App != nil {
		if err := reference("app.key", t.App.Key); err != nil {
			return err
		}
	}
	_, err := t.base()
	return err
}

// reference reports an error unless ref names a secret. The value is never printed: it may be
// the secret itself.
func reference(key, ref string) error {
	if ref == "" || strings.HasPrefix(ref, "env:") || strings.HasPrefix(ref, "file:") {
		return nil
	}
	return fmt.Errorf("%s: a secret is named as env:NAME or file:PATH, never written out", key)
}
