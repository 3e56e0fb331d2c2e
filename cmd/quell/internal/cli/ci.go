package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/ci"
	"github.com/quellhq/quell/scanners/ci/github"
	"github.com/quellhq/quell/scanners/ci/removal"
	"github.com/quellhq/quell/scanners/ci/systems"
)

// ciFlags choose what of a CI system is read.
type ciFlags struct {
	runs      int
	since     string
	run       string
	url       string
	logs      bool
	artifacts bool
	git       bool
	packages  bool
	alerts    bool
}

// ciSources are the CI systems. docs/ci.md has the variables and least scopes of each.
func ciSources() []source {
	out := []source{
		{"github", "github OWNER[/REPO]…", "GitHub: logs of all attempts and artifacts of workflow runs, of a repository or all of an owner's", (*app).openGitHub, (*app).githubFlags},
	}
	for _, s := range systems.All() {
		out = append(out, source{s.Name, s.Name + " " + s.Target, s.About, func(a *app, rt *run.Runtime, targets []string) (scanners.Source, error) {
			return a.openSystem(rt, s, targets)
		}, func(a *app, f *pflag.FlagSet) {
			a.runFlags(f)
			if !s.AddressTarget {
				a.urlFlag(f)
			}
			if s.Hosts() {
				a.gitFlag(f)
			}
			if s.HasPackages() {
				a.packagesFlag(f)
			}
		}})
	}
	return out
}

// openSystem opens a system that the table of package systems describes.
func (a *app) openSystem(rt *run.Runtime, s systems.System, targets []string) (scanners.Source, error) {
	o, err := a.ciOptions()
	if err != nil {
		return nil, err
	}
	if s.NoArtifacts != "" && !a.ci.artifacts {
		o.Artifacts = false
	}
	mem := a.memory(rt)
	c := a.ciClient(rt, mem)
	if s.AddressTarget {
		if c.Base, err = s.Common(targets); err != nil {
			return nil, err
		}
	} else if c.Base, err = a.systemAddress(s, a.ci.url); err != nil {
		return nil, err
	}
	if err := a.systemAuth(rt, s, c); err != nil {
		return nil, err
	}
	src, err := s.New(c, mem, o, targets)
	if err == nil && a.ci.git {
		s.Clones(src, rt.Dirs.Cache, targets)
	}
	return src, err
}

// systemAuth gives a client the credential of the environment.
func (a *app) systemAuth(rt *run.Runtime, s systems.System, c *ci.Client) error {
	token, err := a.ciToken(rt, s.TokenEnv...)
	if err != nil || token.IsZero() {
		return err
	}
	user := ""
	for _, n := range s.UserEnv {
		if user = strings.TrimSpace(a.getenv(n)); user != "" {
			break
		}
	}
	c.Auth = s.Auth(user, token)
	return nil
}

// systemAddress is the operator's, that of the environment, or the public one.
func (a *app) systemAddress(s systems.System, named string) (*url.URL, error) {
	if named != "" {
		u, err := s.Base(named)
		if err != nil {
			return nil, fmt.Errorf("--url: %w", err)
		}
		return u, nil
	}
	for _, n := range s.AddressEnv {
		if v := strings.TrimSpace(a.getenv(n)); v != "" {
			u, err := s.Base(v)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", n, err)
			}
			return u, nil
		}
	}
	if s.Address == "" {
		return nil, fmt.Errorf("--url names the server of %s (or %s)", s.Name, strings.Join(s.AddressEnv, ", "))
	}
	return s.Base(s.Address)
}

// runFlags are those of every system.
func (a *app) runFlags(f *pflag.FlagSet) {
	f.IntVar(&a.ci.runs, "runs", 0, "only the newest `N` runs of each repository, project or job (default all)")
	f.StringVar(&a.ci.since, "since", "", "only runs created since `WHEN`: an age such as 30d or 12h, a date, or RFC 3339")
	f.StringVar(&a.ci.run, "run", "", "only the run `ID`, with all its attempts")
	f.BoolVar(&a.ci.logs, "logs", false, "only logs, unless other kinds are named too (default logs and artifacts)")
	f.BoolVar(&a.ci.artifacts, "artifacts", false, "artifacts")
}

func (a *app) urlFlag(f *pflag.FlagSet) {
	f.StringVar(&a.ci.url, "url", "", "`ADDRESS` of a self-hosted server")
}

// ciOptions holds the flags that select runs.
func (a *app) ciOptions() (ci.Options, error) {
	c := &a.ci
	o := ci.Options{Runs: c.runs, Run: c.run, Logs: c.logs, Artifacts: c.artifacts, Packages: c.packages}
	if !c.logs && !c.artifacts && !c.git && !c.packages && !c.alerts {
		o.Logs, o.Artifacts = true, true
	}
	switch {
	case c.runs < 0:
		return o, fmt.Errorf("--runs %d: a number of runs, from 1", c.runs)
	case c.run != "" && (c.runs > 0 || c.since != ""):
		return o, errors.New("--run names one run; leave out --runs and --since")
	}
	if c.run != "" && !o.Logs && !o.Artifacts {
		o.Logs, o.Artifacts = true, true
	}
	if c.since != "" {
		var err error
		if o.Since, err = parseAge(c.since, time.Now()); err != nil {
			return o, err
		}
	}
	return o, nil
}

// parseAge is parseSince with ages in days and weeks.
func parseAge(s string, now time.Time) (time.Time, error) {
	if n, err := strconv.ParseFloat(strings.TrimRight(s, "dw"), 64); err == nil && n > 0 && n < 1e5 {
		switch {
		case strings.HasSuffix(s, "d"):
			return now.Add(-time.Duration(n * float64(24*time.Hour))), nil
		case strings.HasSuffix(s, "w"):
			return now.Add(-time.Duration(n * float64(7*24*time.Hour))), nil
		}
	}
	t, err := parseSince(s, now)
	if err != nil {
		return t, fmt.Errorf("--since %q: an age (30d, 12h), a date (2026-01-31) or a time (RFC 3339)", s)
	}
	return t, nil
}

// ciToken reads the first of the variables that is set. Its value may name where the secret is:
// file:PATH, or vault:MOUNT/PATH#FIELD in a Vault of the policy.
func (a *app) ciToken(rt *run.Runtime, names ...string) (rules.Secret, error) {
	for _, n := range names {
		v := strings.TrimSpace(a.getenv(n))
		if v == "" {
			continue
		}
		s := rules.NewSecretString(v)
		if strings.HasPrefix(v, "file:") || strings.HasPrefix(v, "vault:") {
			var err error
			if s, err = rt.Secret(v); err != nil {
				return s, fmt.Errorf("%s: %w", n, err)
			}
		}
		a.red.Add(s)
		return s, nil
	}
	return rules.Secret{}, nil
}

// ciClient makes a client of a system's address.
func (a *app) ciClient(rt *run.Runtime, mem scanners.Memory) *ci.Client {
	if m, ok := mem.(*ledger.Memory); ok {
		m.ForgetOthers(context.Background(), ci.Answers)
	}
	return &ci.Client{Memory: mem, Waiting: func(d time.Duration) {
		if d >= 10*time.Second {
			a.printf("the server asks to wait %s", d.Round(time.Second))
		}
	}}
}

func (a *app) gitFlag(f *pflag.FlagSet) {
	f.BoolVar(&a.ci.git, "git", false, "repositories with all refs, their wikis, and snippets or gists")
}

func (a *app) packagesFlag(f *pflag.FlagSet) {
	f.BoolVar(&a.ci.packages, "packages", false, "container images with all tags, and the files of packages")
}

func (a *app) githubFlags(f *pflag.FlagSet) {
	a.runFlags(f)
	a.urlFlag(f)
	a.gitFlag(f)
	a.packagesFlag(f)
	f.BoolVar(&a.ci.alerts, "alerts", false, "secret-scanning alerts")
}

func (a *app) openGitHub(rt *run.Runtime, targets []string) (scanners.Source, error) {
	o, err := a.ciOptions()
	if err != nil {
		return nil, err
	}
	mem := a.memory(rt)
	c := a.ciClient(rt, mem)
	if c.Base, err = a.githubAddress(a.ci.url); err != nil {
		return nil, err
	}
	cfg := github.Config{Client: c, Memory: mem, Options: o, Alerts: a.ci.alerts, Git: a.ci.git, Cache: rt.Dirs.Cache, Targets: targets}
	read := []string{"metadata", "actions"}
	for name, on := range map[string]bool{"contents": a.ci.git, "packages": a.ci.packages, "secret_scanning_alerts": a.ci.alerts} {
		if on {
			read = append(read, name)
		}
	}
	slices.Sort(read)
	if cfg.Installation, err = a.githubAuth(rt, c, targets, read, nil); err != nil {
		return nil, err
	}
	return github.New(cfg)
}

// githubAddress is the API's that the operator names, that of the environment, or the public one.
func (a *app) githubAddress(named string) (*url.URL, error) {
	if named != "" {
		u, err := github.Base(named)
		if err != nil {
			return nil, fmt.Errorf("--url: %w", err)
		}
		return u, nil
	}
	u, err := ci.ParseBase(cmp.Or(a.getenv("GITHUB_API_URL"), "https://api.github.com"))
	if err != nil {
		return nil, fmt.Errorf("GITHUB_API_URL: %w", err)
	}
	return u, nil
}

// githubAuth gives a client the token of the environment, or that of an App's installation with
// the permissions read and write. It reports whether it is the latter.
func (a *app) githubAuth(rt *run.Runtime, c *ci.Client, targets, read, write []string) (installation bool, err error) {
	token, err := a.ciToken(rt, "GITHUB_TOKEN", "GH_TOKEN")
	switch {
	case err != nil:
		return false, err
	case !token.IsZero():
		c.Auth = ci.Header("Authorization", "Bearer ", token)
	case a.getenv("GITHUB_APP_ID") != "":
		return true, a.githubApp(rt, c, targets, read, write)
	}
	return false, nil
}

// servers gives the CI servers that may be asked to delete: those that urls names, by system, or
// those of the environment. comment is set if they get comments on pull requests too.
func (a *app) servers(rt *run.Runtime, urls map[string]string, comment bool) run.Servers {
	known := map[string]*removal.Server{}
	return func(system string) (*removal.Server, error) {
		if s := known[system]; s != nil {
			return s, nil
		}
		out := &removal.Server{System: system, Client: a.ciClient(rt, nil)}
		var err error
		if system == "github" {
			if out.Client.Base, err = a.githubAddress(urls[system]); err == nil {
				write := []string{"actions"}
				if comment {
					write = append(write, "pull_requests")
				}
				out.Installation, err = a.githubAuth(rt, out.Client, []string{strings.TrimSpace(a.getenv("GITHUB_REPOSITORY_OWNER"))}, []string{"metadata"}, write)
			}
		} else {
			i := slices.IndexFunc(systems.All(), func(s systems.System) bool { return s.Name == system })
			if i < 0 {
				return nil, fmt.Errorf("no CI system is called %q", scanners.Clip(system, 40))
			}
			s := systems.All()[i]
			if s.AddressTarget && urls[system] == "" {
				return nil, fmt.Errorf("no server is named (hint: --url %s=ADDRESS)", system)
			}
			if out.Client.Base, err = a.systemAddress(s, urls[system]); err == nil {
				err = a.systemAuth(rt, s, out.Client)
			}
		}
		if err != nil {
			return nil, err
		}
		known[system] = out
		return out, nil
	}
}

// githubApp signs in as a GitHub App.
func (a *app) githubApp(rt *run.Runtime, c *ci.Client, targets, read, write []string) error {
	pem, err := a.ciToken(rt, "GITHUB_APP_PRIVATE_KEY")
	if err != nil {
		return err
	}
	if pem.IsZero() {
		return errors.New("GITHUB_APP_ID is set and GITHUB_APP_PRIVATE_KEY is not: it has the App's private key, or file:PATH")
	}
	key, err := ci.ParseKey(pem)
	if err != nil {
		return fmt.Errorf("GITHUB_APP_PRIVATE_KEY: %w", err)
	}
	x := &github.App{ID: strings.TrimSpace(a.getenv("GITHUB_APP_ID")), Key: key, Owner: targets[0], Permissions: read, Write: write}
	if v := strings.TrimSpace(a.getenv("GITHUB_APP_INSTALLATION_ID")); v != "" {
		if x.Installation, err = strconv.ParseInt(v, 10, 64); err != nil || x.Installation <= 0 {
			return errors.New("GITHUB_APP_INSTALLATION_ID is not the number of an installation")
		}
	} else if targets[0] == "" {
		return errors.New("GITHUB_APP_INSTALLATION_ID is missing: it names the App's installation that deletes")
	} else {
		owner, _, _ := strings.Cut(targets[0], "/")
		for _, t := range targets {
			if o, _, _ := strings.Cut(t, "/"); !strings.EqualFold(o, owner) {
				return errors.New("an App's installation belongs to one owner: scan one owner at a time")
			}
		}
	}
	own := &ci.Client{Base: c.Base, Waiting: c.Waiting}
	c.Auth, c.Renew = x.Authorize(own)
	return nil
}
