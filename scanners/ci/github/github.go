// Package github is the source for what GitHub keeps of an owner's or a repository's workflow
// runs, and for the owner's repositories, packages and secret-scanning alerts.
package github

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-github/v88/github"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/ci"
	"github.com/quellhq/quell/scanners/cilog"
	"github.com/quellhq/quell/scanners/github/attempt"
)

// Config is what a Source is made of.
type Config struct {
	Client  *ci.Client
	Memory  scanners.Memory
	Options ci.Options
	// Git adds the repositories, with their wikis, and an owner's gists; Cache is the folder for
	// their copies.
	Git   bool
	Cache string
	// Alerts adds the secret-scanning alerts.
	Alerts bool
	// Targets are OWNER or OWNER/REPO.
	Targets []string
	// Attempt is, with Options.Run, the last attempt of a run that is known to have ended: the
	// run itself is not asked for. 0: it is.
	Attempt int
	// Known is, with Options.Run, an attempt that is known to have ended. It counts as the last
	// one if the server does not describe the run.
	Known int
	// Installation reports that the token is a GitHub App's installation.
	Installation bool
}

// Source lists runs and what they left.
type Source struct {
	*ci.Source
	cfg Config
	api *github.Client
}

// Base gives the API's address of a server that the operator names: with or without its API
// path, or one of GitHub's own web addresses.
func Base(address string) (*url.URL, error) {
	u, err := ci.ParseBase(address)
	if err != nil {
		return nil, err
	}
	host := strings.ToLower(u.Hostname())
	switch {
	case host == "github.com" || host == "www.github.com":
		u.Host, u.Path = "api.github.com", "/"
	case strings.HasSuffix(host, ".ghe.com") && !strings.HasPrefix(host, "api."):
		u.Host, u.Path = "api."+u.Host, "/"
	case strings.HasPrefix(host, "api.") || strings.HasSuffix(u.Path, "/api/v3/"):
	default:
		u.Path += "api/v3/"
	}
	return u, nil
}

// Web gives the address of the repositories of the server whose API is at base.
func Web(base *url.URL) *url.URL {
	u := *base
	u.Path = strings.TrimSuffix(u.Path, "api/v3/")
	if rest, ok := strings.CutPrefix(u.Host, "api."); ok {
		u.Host = rest
	}
	return &u
}

// New checks the targets.
func New(c Config) (*Source, error) {
	for _, t := range c.Targets {
		owner, repo, two := strings.Cut(t, "/")
		if !plain(owner) || two && !plain(repo) {
			return nil, fmt.Errorf("%q is not OWNER or OWNER/REPO", t)
		}
		if !two && c.Options.Run != "" {
			return nil, fmt.Errorf("--run names a run of one repository: OWNER/REPO instead of %q", t)
		}
	}
	if c.Options.Run != "" {
		if n, err := strconv.ParseInt(c.Options.Run, 10, 64); err != nil || n <= 0 {
			return nil, fmt.Errorf("--run %q is not the number of a run", c.Options.Run)
		}
	}
	base := c.Client.Base.String()
	api, err := github.NewClient(github.WithHTTPClient(&http.Client{Transport: c.Client}), github.WithURLs(&base, &base), github.WithUserAgent("quell"), github.WithDisableRateLimitCheck())
	if err != nil {
		return nil, err
	}
	s := &Source{cfg: c, api: api}
	s.Source = &ci.Source{Client: c.Client, Memory: c.Memory, List: s.list, Cache: c.Cache}
	if c.Git {
		s.Source.Repositories = s.clones
	}
	return s, nil
}

// plain reports whether s consists of the characters of names on GitHub.
func plain(s string) bool {
	return s != "" && s != "." && s != ".." && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == ""
}

func (s *Source) list(ctx context.Context, l *ci.Lister) error {
	for _, t := range s.cfg.Targets {
		for r, err := range s.repositories(ctx, t) {
			if err != nil {
				if fatal(err) {
					return err
				}
				if !l.Gap(s.at(t), err) {
					return nil
				}
				continue
			}
			if err := s.repository(ctx, l, r); err != nil {
				if fatal(err) {
					return err
				}
				if !l.Gap(s.at(r.String()), err) {
					return nil
				}
			}
		}
		if s.cfg.Options.Packages {
			if err := s.packages(ctx, l, t); err != nil {
				if fatal(err) {
					return err
				}
				if !l.Gap(s.at(t+"/packages"), err) {
					return nil
				}
			}
		}
		if s.cfg.Alerts {
			if err := s.alerts(ctx, l, t); err != nil {
				if fatal(err) {
					return err
				}
				if !l.Gap(s.at(t+"/secret-scanning"), err) {
					return nil
				}
			}
		}
	}
	return nil
}

// fatal reports whether an error is about the token and not about one repository.
func fatal(err error) bool {
	return errors.As(err, new(*ci.Unauthorized)) || errors.Is(err, context.Canceled)
}

func (s *Source) at(p string) rules.Location {
	return rules.Location{Source: "log", Path: p, System: "github"}
}

// repo is a repository.
type repo struct {
	owner, name string
	wiki        bool
}

func (r repo) String() string { return r.owner + "/" + r.name }

// explain turns an error of the client library into one of this package's.
func explain(err error) error {
	var answer *github.ErrorResponse
	var limit *github.RateLimitError
	var abuse *github.AbuseRateLimitError
	var res *http.Response
	switch {
	case errors.As(err, &answer):
		res = answer.Response
	case errors.As(err, &limit):
		res = limit.Response
	case errors.As(err, &abuse):
		res = abuse.Response
	}
	if res != nil && res.Request != nil {
		return &ci.StatusError{Code: res.StatusCode, Path: res.Request.URL.Path}
	}
	var at *url.Error
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

func (s *Source) repository(ctx context.Context, l *ci.Lister, r repo) error {
	if s.cfg.Options.Run != "" {
		id, _ := strconv.ParseInt(s.cfg.Options.Run, 10, 64)
		run := &github.WorkflowRun{ID: &id, RunAttempt: &s.cfg.Attempt, Status: github.Ptr("completed")}
		if s.cfg.Attempt == 0 {
			var err error
			run, _, err = s.api.Actions.GetWorkflowRunByID(ctx, r.owner, r.name, id)
			switch {
			case err != nil && s.cfg.Known > 0 && ci.Is404(explain(err)):
				run = &github.WorkflowRun{ID: &id, RunAttempt: &s.cfg.Known, Status: github.Ptr("completed")}
			case err != nil:
				return fmt.Errorf("run %d: %w", id, explain(err))
			}
		}
		s.run(ctx, l, r, run)
		if s.cfg.Options.Artifacts {
			return s.artifactsOf(ctx, l, r, id)
		}
		return nil
	}
	if !s.cfg.Options.Logs && !s.cfg.Options.Artifacts {
		return nil
	}
	var chosen map[int64]bool
	if s.cfg.Options.Artifacts && (s.cfg.Options.Runs > 0 || !s.cfg.Options.Since.IsZero()) {
		chosen = map[int64]bool{}
	}
	if s.cfg.Options.Logs || chosen != nil {
		err := s.runs(ctx, l, r, func(run *github.WorkflowRun) bool {
			if chosen != nil {
				chosen[run.GetID()] = true
			}
			return !s.cfg.Options.Logs || s.run(ctx, l, r, run)
		})
		if err != nil {
			return err
		}
	}
	if s.cfg.Options.Artifacts {
		return s.artifacts(ctx, l, r, chosen)
	}
	return nil
}

// origin gives the Origin of something of a repository's Actions.
func (s *Source) origin(r repo, parts ...string) string {
	return s.Client.Origin("github", append([]string{"repos", r.owner, r.name, "actions"}, parts...)...)
}

func (s *Source) runPath(r repo, id int64) string {
	return fmt.Sprintf("%s/actions-run/%d", r, id)
}

// run lists the attempts of a run.
func (s *Source) run(ctx context.Context, l *ci.Lister, r repo, run *github.WorkflowRun) bool {
	if !s.cfg.Options.Logs {
		return true
	}
	ended := run.GetStatus() == "completed"
	last := max(run.GetRunAttempt(), 1)
	for n := last; n >= 1; n-- {
		at := s.at(fmt.Sprintf("%s/attempt-%d", s.runPath(r, run.GetID()), n))
		at.Run, at.Attempt = strconv.FormatInt(run.GetID(), 10), n
		at.Origin = s.origin(r, "runs", at.Run, "logs")
		at.Notes = map[string]string{"url": run.GetHTMLURL()}
		if at.Notes["url"] == "" {
			at.Notes = nil
		}
		if n == last && !ended {
			if err := s.jobs(ctx, l, r, run.GetID(), at); err != nil && !l.Gap(at, err) {
				return false
			}
			continue
		}
		ok := l.Item(ci.Item{At: at, Key: fmt.Sprintf("github/%s/%d/%d", s.Client.Base.Host, run.GetID(), n), Read: s.logs(r, run.GetID(), n), Fetch: func(ctx context.Context) (*ci.Blob, error) {
			return s.attempt(ctx, r, run.GetID(), n)
		}})
		if !ok {
			return false
		}
	}
	return true
}

// attempt downloads the archive of an attempt's logs.
func (s *Source) attempt(ctx context.Context, r repo, id int64, n int) (*ci.Blob, error) {
	u := s.Client.At("repos", r.owner, r.name, "actions", "runs", strconv.FormatInt(id, 10), "attempts", strconv.Itoa(n), "logs")
	b, err := s.Client.DownloadIf(ctx, u, "", func(b *ci.Blob) bool {
		_, err := zip.NewReader(b, b.Size)
		return err == nil
	})
	if ci.Is404(err) {
		// The logs of a run without jobs that ran were never there.
		ran := false
		jerr := s.jobsOf(r, id, n).Jobs(ctx, func(j *github.WorkflowJob) bool {
			ran = ran || j.GetStatus() != "completed" || attempt.MayLog(j)
			return !ran
		})
		if jerr == nil && !ran {
			return nil, ci.ErrNothing
		}
	}
	return b, err
}

// jobsOf are the jobs of an attempt.
func (s *Source) jobsOf(r repo, id int64, n int) attempt.Attempt {
	return attempt.Attempt{Client: s.api, Owner: r.owner, Repo: r.name, Run: id, Number: n, Explain: explain}
}

// logs reads the archive of an attempt's logs. Of a run that only Options.Run names it also reads
// those that the archive lacks; of the runs of a list or a webhook it does not ask for the jobs,
// since that would double the requests.
func (s *Source) logs(r repo, id int64, n int) func(ctx context.Context, b *ci.Blob, at rules.Location, part func(scanners.Artifact, io.Reader) error, gap func(scanners.Gap)) error {
	return func(ctx context.Context, b *ci.Blob, at rules.Location, part func(scanners.Artifact, io.Reader) error, gap func(scanners.Gap)) error {
		logs, err := ci.LogZip(ctx, b, at, part, gap)
		if err != nil || logs == nil || s.cfg.Options.Run == "" || s.cfg.Attempt != 0 {
			return err
		}
		return s.jobsOf(r, id, n).Lacking(ctx, logs, at, attempt.Reader{Part: part, Gap: gap,
			Open: func(ctx context.Context, j *github.WorkflowJob) (attempt.Log, error) {
				b, err := s.Client.Download(ctx, s.jobLog(r, j), "")
				if err != nil {
					return attempt.Log{}, err
				}
				tail := make([]byte, min(cilog.EndSize, b.Size))
				if _, err := b.ReadAt(tail, b.Size-int64(len(tail))); err != nil {
					_ = b.Close()
					return attempt.Log{}, err
				}
				return attempt.Log{ReadCloser: b, Size: b.Size, Ended: cilog.Ended(tail)}, nil
			},
			Place: func(j *github.WorkflowJob, l *rules.Location) {
				l.Origin = s.origin(r, "jobs", strconv.FormatInt(j.GetID(), 10), "logs")
			}})
	}
}

// jobLog is the address of a job's log.
func (s *Source) jobLog(r repo, j *github.WorkflowJob) *url.URL {
	return s.Client.At("repos", r.owner, r.name, "actions", "jobs", strconv.FormatInt(j.GetID(), 10), "logs")
}

// jobs lists the logs of the jobs that have ended of a run that has not.
func (s *Source) jobs(ctx context.Context, l *ci.Lister, r repo, id int64, at rules.Location) error {
	running, more := 0, true
	err := s.jobsOf(r, id, at.Attempt).Jobs(ctx, func(j *github.WorkflowJob) bool {
		switch {
		case j.GetStatus() != "completed":
			running++
			return true
		case !attempt.MayLog(j):
			return true
		}
		here := at
		here.Path, here.Job = at.Path+"/"+ci.Clean(j.GetName())+".txt", j.GetName()
		here.Origin = s.origin(r, "jobs", strconv.FormatInt(j.GetID(), 10), "logs")
		more = l.Item(ci.Item{At: here, Fetch: func(ctx context.Context) (*ci.Blob, error) {
			b, err := s.Client.Download(ctx, s.jobLog(r, j), "")
			if err != nil && !attempt.MustLog(j) && (ci.Is404(err) || ci.IsGone(err)) {
				err = ci.ErrNothing
			}
			return b, err
		}})
		return more
	})
	if !more {
		return nil
	}
	if err != nil && !l.Gap(at, explain(err)) {
		return nil
	}
	l.Gaps(at, max(running, 1), scanners.OfKind(scanners.GapNotFetched, fmt.Errorf("the run has not ended: the logs of %d jobs are not read", running)))
	return nil
}

// firstRuns is before the first run of GitHub Actions.
const firstRuns = "2018-01-01T00:00:00Z"

// maxFiltered is how many results GitHub gives of a filtered list, however many there are.
const maxFiltered = 1000

// runs lists the runs of a repository, the newest first. GitHub ends some lists before their
// end (documented for filtered ones: at 1,000): what is missing is asked for by the time of
// creation, down to the oldest.
func (s *Source) runs(ctx context.Context, l *ci.Lister, r repo, yield func(*github.WorkflowRun) bool) error {
	seen := map[int64]bool{}
	read := 0
	window := ""
	from := firstRuns
	if !s.cfg.Options.Since.IsZero() {
		from = s.cfg.Options.Since.UTC().Format(time.RFC3339)
	}
	var oldest time.Time
	for {
		got, fresh, total := 0, 0, 0
		for page := 1; ; page++ {
			opts := &github.ListWorkflowRunsOptions{ListOptions: github.ListOptions{PerPage: 100, Page: page}}
			if window != "" {
				opts.Created = window
			}
			list, _, err := s.api.Actions.ListRepositoryWorkflowRuns(ctx, r.owner, r.name, opts)
			if err != nil {
				return fmt.Errorf("the list of runs: %w", explain(err))
			}
			total = list.GetTotalCount()
			got += len(list.WorkflowRuns)
			old := 0
			for _, run := range list.WorkflowRuns {
				created := run.GetCreatedAt().Time
				if !created.IsZero() && (oldest.IsZero() || created.Before(oldest)) {
					oldest = created
				}
				if s.cfg.Options.Old(created) {
					old++
					continue
				}
				if seen[run.GetID()] {
					continue
				}
				seen[run.GetID()] = true
				fresh++
				if s.cfg.Options.Runs > 0 && read >= s.cfg.Options.Runs {
					return nil
				}
				read++
				if !yield(run) {
					return nil
				}
			}
			if s.cfg.Options.Runs > 0 && read >= s.cfg.Options.Runs || old > 0 && old == len(list.WorkflowRuns) {
				return nil
			}
			if len(list.WorkflowRuns) == 0 || got >= total {
				break
			}
		}
		whole := got >= total && (window == "" || got < maxFiltered)
		if whole || oldest.IsZero() {
			return nil
		}
		end := oldest
		if fresh == 0 {
			if got == 0 {
				return nil
			}
			// All of one second are more than GitHub lists.
			l.Gaps(s.at(r.String()), 1, scanners.OfKind(scanners.GapLimitEntries, fmt.Errorf("runs of %s: GitHub lists %d of one second, and may have more", oldest.UTC().Format(time.RFC3339), got)))
			end = oldest.Add(-time.Second)
			oldest = end
		}
		window = from + ".." + end.UTC().Format(time.RFC3339)
	}
}

// artifactNames are the paths that a repository's artifacts have, by their hash: each attempt
// of a run may upload one of the same name. Two paths of one hash cost only a longer name.
type artifactNames map[uint64]bool

var artifactSeed = maphash.MakeSeed()

// place gives the path of an artifact: with its id where its run has another of the name.
func (n artifactNames) place(run, name string, id int64) string {
	p := run + "/artifacts/" + name
	h := maphash.String(artifactSeed, p)
	if n[h] {
		return fmt.Sprintf("%s/artifacts/%d_%s", run, id, name)
	}
	n[h] = true
	return p
}

func (s *Source) artifactItem(l *ci.Lister, r repo, run int64, a *github.Artifact, names artifactNames) bool {
	at := s.at(names.place(s.runPath(r, run), ci.Clean(a.GetName()), a.GetID()))
	at.Source, at.Run = "artifact", strconv.FormatInt(run, 10)
	at.Origin = s.origin(r, "artifacts", strconv.FormatInt(a.GetID(), 10))
	if a.GetExpired() || !a.GetExpiresAt().IsZero() && a.GetExpiresAt().Before(time.Now()) {
		return l.Gap(at, ci.ErrExpired)
	}
	u := s.Client.At("repos", r.owner, r.name, "actions", "artifacts", strconv.FormatInt(a.GetID(), 10), "zip")
	return l.Item(ci.Item{At: at, Key: fmt.Sprintf("github/%s/artifact/%d", s.Client.Base.Host, a.GetID()), Fetch: func(ctx context.Context) (*ci.Blob, error) {
		return s.Client.Download(ctx, u, "")
	}})
}

func (s *Source) artifactsOf(ctx context.Context, l *ci.Lister, r repo, run int64) error {
	names := artifactNames{}
	err := attempt.Each(func(o *github.ListOptions) ([]*github.Artifact, int, int, error) {
		return artifactPage(s.api.Actions.ListWorkflowRunArtifacts(ctx, r.owner, r.name, run, o))
	}, (*github.Artifact).GetID, func(a *github.Artifact) bool { return s.artifactItem(l, r, run, a, names) })
	if err != nil {
		return fmt.Errorf("the list of artifacts of run %d: %w", run, explain(err))
	}
	return nil
}

// fewRuns is up to how many runs are asked for their artifacts one by one.
const fewRuns = 20

// artifacts lists the artifacts of the chosen runs of a repository; nil: of all.
func (s *Source) artifacts(ctx context.Context, l *ci.Lister, r repo, chosen map[int64]bool) error {
	if chosen != nil && len(chosen) <= fewRuns {
		for id := range chosen {
			if err := s.artifactsOf(ctx, l, r, id); err != nil {
				if fatal(err) || !l.Gap(s.at(s.runPath(r, id)+"/artifacts"), err) {
					return err
				}
			}
		}
		return nil
	}
	names := artifactNames{}
	err := attempt.Each(func(o *github.ListOptions) ([]*github.Artifact, int, int, error) {
		return artifactPage(s.api.Actions.ListArtifacts(ctx, r.owner, r.name, &github.ListArtifactsOptions{ListOptions: *o}))
	}, (*github.Artifact).GetID, func(a *github.Artifact) bool {
		run := a.GetWorkflowRun().GetID()
		return chosen != nil && !chosen[run] || s.artifactItem(l, r, run, a, names)
	})
	if err != nil {
		return fmt.Errorf("the list of artifacts: %w", explain(err))
	}
	return nil
}

func artifactPage(list *github.ArtifactList, res *github.Response, err error) ([]*github.Artifact, int, int, error) {
	if err != nil {
		return nil, 0, 0, err
	}
	return list.Artifacts, int(list.GetTotalCount()), res.NextPage, nil
}
