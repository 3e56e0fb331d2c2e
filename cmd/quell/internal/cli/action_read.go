package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/action"
	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/files"
	"github.com/quellhq/quell/scanners/git"
	"github.com/quellhq/quell/scanners/github"
	"github.com/quellhq/quell/scanners/oci"
)

// configure fetches the files that the inputs name: the policy from the default
// branch, the rest from the base. The work tree is never looked at: on a pull request
// it is the stranger's.
func (j *job) configure(ctx context.Context) error {
	get := func(name, base, as string) (string, error) {
		b, err := j.content(ctx, name, base)
		if err != nil {
			return "", err
		}
		to := filepath.Join(j.scrap, "files", as)
		return to, os.WriteFile(to, b, 0o600)
	}
	var err error
	if j.in.Policy != "" {
		if j.policyFile, err = get(j.in.Policy, "", "policy.toml"); err != nil {
			return fmt.Errorf("input policy: %w", err)
		}
		j.policyNow = j.currentPolicy()
	}
	if j.in.Allow != "" {
		file, err := get(j.in.Allow, j.d.Base, "allow.toml")
		if err != nil {
			return fmt.Errorf("input allow: %w", err)
		}
		j.allow = []string{file}
	}
	for n, name := range j.in.Rules {
		f, err := get(name, j.d.Base, fmt.Sprintf("rules-%d.toml", n))
		if err != nil {
			return fmt.Errorf("input rules: %w", err)
		}
		j.ruleFiles = append(j.ruleFiles, f)
	}
	return nil
}

// policyAge is how long a policy that was read from GitHub counts as current.
const policyAge = 10 * time.Second

// currentPolicy returns a function that reads the policy of the default branch
// from GitHub, so that a commit there stops a job that has begun. While GitHub does
// not answer, the last policy that was read counts.
func (j *job) currentPolicy() func(context.Context) (*policy.Policy, error) {
	var mu sync.Mutex
	var last []byte
	var at time.Time
	return func(ctx context.Context) (*policy.Policy, error) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(at) > policyAge && j.d.Default != "" {
			if b, err := action.Content(ctx, j.api, filepath.ToSlash(filepath.Clean(j.in.Policy)), j.d.Default); err == nil {
				last = b
			}
			at = time.Now()
		}
		if last == nil {
			return policy.Load(j.policyFile, true)
		}
		return policy.Parse(j.in.Policy, last)
	}
}

// content reads a file at a commit, or of the default branch: from the clone where it
// has it, else from GitHub.
func (j *job) content(ctx context.Context, name, at string) ([]byte, error) {
	name = filepath.ToSlash(filepath.Clean(name))
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return nil, fmt.Errorf("%q is no file of the repository", name)
	}
	remote := at
	if at == "" {
		if j.d.Default == "" {
			return nil, errors.New("the event does not say which branch is the default one")
		}
		if j.env.Ref == "refs/heads/"+j.d.Default {
			at, remote = j.env.SHA, j.env.SHA
		} else {
			at, remote = "refs/remotes/origin/"+j.d.Default, j.d.Default
		}
	}
	b, err := git.File(j.dir(), at, name)
	if err == nil || errors.Is(err, fs.ErrNotExist) && git.Has(j.dir(), at) {
		return b, err
	}
	return action.Content(ctx, j.api, name, remote)
}

func (j *job) dir() string {
	return filepath.Join(j.env.Workspace, filepath.FromSlash(j.in.Repository))
}

func (j *job) source(name string, rt *run.Runtime) (scanners.Source, error) {
	switch name {
	case "git":
		return j.gitSource()
	case "logs":
		s := &github.Source{API: j.api, Run: j.env.Run, Attempt: j.env.Attempt, Running: true, Runner: j.env.Runner, Temp: j.scrap}
		if j.d.Run != 0 {
			s.Run, s.Attempt, s.Running, s.Uploads = j.d.Run, j.d.Attempt, false, true
			var err error
			if s.Origin, err = j.origin(); err != nil {
				return nil, err
			}
		}
		if s.Run == 0 {
			return nil, errors.New("input scan: logs: GITHUB_RUN_ID is not set")
		}
		return s, nil
	case "image":
		return &oci.Source{Targets: j.in.Images, Socket: strings.TrimPrefix(j.getenv("DOCKER_HOST"), "unix://"), Memory: j.memory(rt)}, nil
	default:
		return files.Source{Name: "path", Targets: j.in.Paths}, nil
	}
}

// gitSource is what the event brought of the repository; nil: nothing.
func (j *job) gitSource() (scanners.Source, error) {
	d := j.d
	if j.in.Range != "" {
		d.What, d.Range, d.Not, d.Release, d.Whole = "the range of the input", j.in.Range, nil, "", false
		j.result.Decision = d
	}
	if rel, err := filepath.Rel(j.env.Workspace, j.dir()); err != nil || !filepath.IsLocal(rel) {
		return nil, fmt.Errorf("input repository: %q lies outside of the workspace", j.in.Repository)
	}
	up := &git.Remote{URL: j.remote, Cache: filepath.Join(j.scrap, "cache"), Getenv: j.getenv, Refs: []string{"refs/heads/*", "refs/tags/*", "refs/notes/*"}}
	dir := j.dir()
	_, err := git.FindDir(dir)
	none := err != nil
	if d.Whole {
		s := &git.Source{Dir: dir}
		partial := false
		if !none {
			if partial, err = git.Partial(dir); err != nil {
				return nil, fmt.Errorf("the checkout: %w", err)
			}
		}
		if none || partial {
			// Pull requests stay where they are: they are strangers'.
			s.Dir, s.Remote = j.remote.String(), up
		}
		return s, s.Check()
	}
	if d.Range == "" && d.Release == "" {
		return nil, nil
	}
	if none {
		// Without a checkout there is nothing to add to.
		dir = filepath.Join(j.scrap, "files", "empty.git")
		if err := git.Empty(dir); err != nil {
			return nil, err
		}
	}
	s := &git.Source{Dir: dir, Upstream: up, Selection: git.Selection{Range: d.Range, Not: d.Not, Release: d.Release}}
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("input range: %w", err)
	}
	return s, nil
}
