package cli

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/git"
)

// gitFlags choose what of a repository is read.
type gitFlags struct {
	objects  string
	commits  string
	release  string
	upstream string
	since    string
	branch   string
	staged   bool
	worktree bool
	top      string // of the work tree; empty: the target
}

func (a *app) gitFlags(f *pflag.FlagSet) {
	f.StringVar(&a.git.objects, "objects", "all", "which objects: all that the store has, those that refs and reflogs reach, or refs alone: all|reachable|refs")
	f.StringVar(&a.git.commits, "range", "", "only content that the commits `A..B` introduced")
	f.StringVar(&a.git.release, "release", "", "only content that the tag `TAG` introduced since the tags before it")
	f.StringVar(&a.git.upstream, "upstream", "", "fetch from `URL` the objects of a range or release that a shallow clone lacks")
	f.StringVar(&a.git.since, "since", "", "only content that commits since `DATE` introduced: 2026-01-31, RFC 3339, or an age such as 72h")
	f.StringVar(&a.git.branch, "branch", "", "only what the branch `NAME` reaches")
	f.BoolVar(&a.git.staged, "staged", false, "only what is staged and not committed")
	f.BoolVar(&a.git.worktree, "worktree", false, "also the files of the work tree that are not committed")
}

func (a *app) openGit(rt *run.Runtime, targets []string) (scanners.Source, error) {
	if len(targets) != 1 {
		return nil, errors.New("scan git takes one repository")
	}
	s := &git.Source{Dir: targets[0], Selection: git.Selection{
		Objects:  git.Objects(a.git.objects),
		Range:    a.git.commits,
		Release:  a.git.release,
		Branch:   a.git.branch,
		Staged:   a.git.staged,
		Index:    a.indexFile(cmp.Or(a.git.top, targets[0])),
		Worktree: a.git.worktree,
	}}
	if a.git.since != "" {
		t, err := parseSince(a.git.since, time.Now())
		if err != nil {
			return nil, err
		}
		s.Since = t
	}
	if err := s.Check(); err != nil {
		return nil, err
	}
	if a.git.upstream != "" {
		if a.git.commits == "" && a.git.release == "" {
			return nil, errors.New("--upstream goes with --range or --release")
		}
		u, remote, err := git.ParseRemote(a.git.upstream)
		if err == nil && !remote {
			err = errors.New("not an address")
		}
		if err != nil {
			return nil, fmt.Errorf("upstream: %w", err)
		}
		s.Upstream = a.upstream(rt, u)
	}
	u, remote, err := git.ParseRemote(targets[0])
	if err != nil {
		return nil, fmt.Errorf("repository: %w", err)
	}
	if remote {
		s.Remote = a.upstream(rt, u)
	}
	if err := a.oneHost(s.Remote, s.Upstream); err != nil {
		return nil, err
	}
	// A partial selection is small, and its result does not describe the whole repository.
	if a.git.commits == "" && a.git.release == "" && !a.git.staged {
		s.Memory = a.memory(rt)
	}
	return s, nil
}

// indexFile is what GIT_INDEX_FILE names, which git sets for its hooks. It is relative
// to the top of the work tree, where hooks are run.
func (a *app) indexFile(dir string) string {
	f := a.getenv("GIT_INDEX_FILE")
	if f == "" || !a.git.staged {
		return ""
	}
	if !filepath.IsAbs(f) {
		f = filepath.Join(dir, f)
	}
	return f
}

// upstream is a repository elsewhere.
func (a *app) upstream(rt *run.Runtime, u *url.URL) *git.Remote {
	home, _ := os.UserHomeDir()
	return &git.Remote{URL: u, Cache: rt.Dirs.Cache, Getenv: a.getenv, Home: home}
}

// oneHost refuses a scan that would send QUELL_GIT_TOKEN to several hosts, unless QUELL_GIT_HOST
// names the host that it belongs to.
func (a *app) oneHost(remotes ...*git.Remote) error {
	if strings.TrimSpace(a.getenv("QUELL_GIT_TOKEN")) == "" || strings.TrimSpace(a.getenv("QUELL_GIT_HOST")) != "" {
		return nil
	}
	var first *url.URL
	for _, r := range remotes {
		switch {
		case r == nil || r.URL.Scheme != "https" && r.URL.Scheme != "http": // no token is sent there
		case first == nil:
			first = r.URL
		case first.Scheme != r.URL.Scheme || !strings.EqualFold(first.Host, r.URL.Host):
			return fmt.Errorf("QUELL_GIT_TOKEN belongs to one host, and %s and %s are fetched from: set QUELL_GIT_HOST to the one that gets it", first.Host, r.URL.Host)
		}
	}
	return nil
}

// parseSince reads a date, a time, or how long ago.
func parseSince(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly, "2006-01-02T15:04"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--since %q: a date (2026-01-31), a time (RFC 3339) or an age (72h)", s)
}

// memory is what earlier scans under the same rules, by the same build, have read.
// Without one a scan reads all.
func (a *app) memory(rt *run.Runtime) scanners.Memory {
	notice := func(err error) {
		rt.Notice("scan state can't be used, so all is read: " + err.Error())
	}
	l, err := rt.Ledger(context.Background())
	if err != nil {
		notice(err)
		return nil
	}
	m, err := a.memoryIn(rt, l)
	if err != nil {
		notice(err)
		return nil
	}
	return m
}

// memoryIn opens the memory in a ledger that the caller has open.
func (a *app) memoryIn(rt *run.Runtime, l *ledger.Ledger) (*ledger.Memory, error) {
	key := sha256.Sum256(append([]byte("quell scan memory"), rt.Keys.Fingerprint[:]...))
	return l.Memory(scope(rt), key[:], func(err error) { a.printf("scan state could not be kept: %v", err) })
}

var _ scanners.Memory = (*ledger.Memory)(nil)

// scope names what decides what is found: the rules, and the program itself.
func scope(rt *run.Runtime) string {
	h := sha256.New()
	fmt.Fprintln(h, Version(), rt.Rules.Digest())
	if exe, err := os.Executable(); err == nil {
		if info, err := os.Stat(exe); err == nil {
			fmt.Fprintln(h, info.Size(), info.ModTime().UnixNano())
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
