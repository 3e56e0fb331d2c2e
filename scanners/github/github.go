// Package github is the source for GitHub's data of workflow runs: the logs of all attempts,
// and artifacts.
package github

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-github/v88/github"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/cilog"
	"github.com/quellhq/quell/scanners/github/attempt"
)

// API is GitHub's REST interface.
type API struct {
	*github.Client
	Owner, Repo string
	// Wait sleeps between attempts; nil: real time.
	Wait func(ctx context.Context, d time.Duration) error

	storage *http.Client
}

// NewAPI opens the API at base, the value of GITHUB_API_URL, for a repository OWNER/NAME. An
// empty token sends requests without authentication.
func NewAPI(base, token, repository string) (*API, error) {
	owner, repo, ok := strings.Cut(repository, "/")
	if !ok || !plain(owner) || !plain(repo) {
		return nil, fmt.Errorf("%q is not OWNER/NAME", repository)
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || !private(u) {
		return nil, fmt.Errorf("%q is not an https address", base)
	}
	// A redirect to another host would send the token there: no redirect is followed.
	client := &http.Client{Timeout: 5 * time.Minute, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme || len(via) > 5 {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	base = strings.TrimSuffix(base, "/") + "/"
	opts := []github.ClientOptionsFunc{github.WithHTTPClient(client), github.WithURLs(&base, &base), github.WithUserAgent("quell")}
	if token != "" {
		opts = append(opts, github.WithAuthToken(token))
	}
	c, err := github.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	return &API{Client: c, Owner: owner, Repo: repo, storage: &http.Client{CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if !private(req.URL) || len(via) > 5 {
			return errors.New("a redirect to plain http")
		}
		return nil
	}}}, nil
}

// private reports whether the connection can't be read on the way: https, or this machine.
func private(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

// plain reports whether s has only characters that names on GitHub can have.
func plain(s string) bool {
	return s != "" && s != "." && s != ".." && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == ""
}

// tries is how often a request is sent while the server is too busy to answer.
const tries = 4

// maxWait is the longest wait that is accepted from the server.
const maxWait = time.Minute

// Again calls f until it gets an answer: requests that the server throttles or that fail with a
// server error are repeated, after the time that the server names.
func (a *API) Again(ctx context.Context, f func() error) error {
	for n := 1; ; n++ {
		err := f()
		wait, busy := busy(err)
		if !busy || n == tries || wait > maxWait {
			return err
		}
		if wait == 0 {
			wait = time.Duration(1<<n) * time.Second
		}
		sleep := a.Wait
		if sleep == nil {
			sleep = pause
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func busy(err error) (time.Duration, bool) {
	var limit *github.RateLimitError
	var abuse *github.AbuseRateLimitError
	var answer *github.ErrorResponse
	switch {
	case errors.As(err, &limit):
		return time.Until(limit.Rate.Reset.Time), true
	case errors.As(err, &abuse):
		if abuse.RetryAfter != nil {
			return *abuse.RetryAfter, true
		}
		return 0, true
	case errors.As(err, &answer):
		return 0, answer.Response.StatusCode >= 500 || answer.Response.StatusCode == http.StatusTooManyRequests
	case errors.Is(err, errBusy):
		return 0, true
	}
	return 0, false
}

var errBusy = errors.New("the server is busy")

// Source yields the logs of a run, and what it uploaded.
type Source struct {
	API *API
	Run int64
	// Attempt is the run's last attempt. All earlier ones are read too.
	Attempt int
	// Running means that the run has not ended: of its last attempt, the jobs that have ended
	// are read one by one. Runner is the name of the runner that this process runs on, whose own
	// job is no unfinished one; empty: it is not known.
	Running bool
	Runner  string
	// Uploads adds the artifacts that the run uploaded.
	Uploads bool
	// Origin is that of the findings in the run's logs, as in rules.Location; empty: none.
	Origin string
	// Temp is a folder for downloads; it is emptied again.
	Temp string
}

// Open implements scanners.Source.
func (s *Source) Open(context.Context) (scanners.Session, error) {
	return scanners.Of(s.Artifacts), nil
}

// Artifacts yields the logs of the attempts, or of the jobs that have ended, and the artifacts.
func (s *Source) Artifacts(ctx context.Context) iter.Seq2[scanners.Artifact, error] {
	return func(yield func(scanners.Artifact, error) bool) { s.all(ctx, yield) }
}

func (s *Source) all(ctx context.Context, yield func(scanners.Artifact, error) bool) {
	root := "actions-run/" + strconv.FormatInt(s.Run, 10)
	last := s.Attempt
	if s.Running {
		last--
	}
	for n := 1; n <= last; n++ {
		if !yield(s.attempt(fmt.Sprintf("%s/attempt-%d", root, n), n), nil) {
			return
		}
	}
	if s.Running && !s.jobs(ctx, fmt.Sprintf("%s/attempt-%d", root, s.Attempt), yield) {
		return
	}
	if s.Uploads {
		s.uploads(ctx, root, yield)
	}
}

func gap(name string, err error) scanners.Gap {
	return scanners.Gap{Location: rules.Location{Source: "log", Path: name}, Err: err}
}

// attempt is the zip with all logs of one attempt.
func (s *Source) attempt(name string, n int) scanners.Artifact {
	return scanners.Artifact{Location: rules.Location{Source: "log", Path: name},
		Parts: func(ctx context.Context, part func(scanners.Artifact, io.Reader) error, gap func(scanners.Gap)) error {
			f, err := s.fetch(ctx, func() (*url.URL, *github.Response, error) {
				return s.API.Actions.GetWorkflowRunAttemptLogs(ctx, s.API.Owner, s.API.Repo, s.Run, n, 0)
			})
			if err != nil {
				return err
			}
			defer f.Close()
			info, err := f.Stat()
			if err != nil {
				return err
			}
			placed := func(a scanners.Artifact, r io.Reader) error {
				a.Location.Origin = s.Origin
				return part(a, r)
			}
			logs, err := cilog.Zip(ctx, f, info.Size(), name, placed, gap)
			if err != nil || logs == nil {
				return err
			}
			at := rules.Location{Source: "log", Path: name, System: "github"}
			return s.jobsOf(n).Lacking(ctx, logs, at, attempt.Reader{Part: placed, Gap: gap, Open: s.job,
				Place: func(j *github.WorkflowJob, l *rules.Location) { l.Notes = map[string]string{"url": j.GetHTMLURL()} }})
		}}
}

// jobsOf are the jobs of an attempt.
func (s *Source) jobsOf(n int) attempt.Attempt {
	return attempt.Attempt{Client: s.API.Client, Owner: s.API.Owner, Repo: s.API.Repo, Run: s.Run, Number: n, Again: s.API.Again, Explain: Explain}
}

// jobs are the logs of the jobs of a run that has not ended.
func (s *Source) jobs(ctx context.Context, root string, yield func(scanners.Artifact, error) bool) bool {
	var running []*github.WorkflowJob
	more := true
	err := s.jobsOf(s.Attempt).Jobs(ctx, func(j *github.WorkflowJob) bool {
		switch {
		case j.GetStatus() != "completed":
			running = append(running, j)
			return true
		case !attempt.MayLog(j):
			return true
		}
		name := path.Join(root, attempt.FileName(j.GetName())+".txt")
		more = yield(scanners.Artifact{Location: rules.Location{Source: "log", Path: name, Job: j.GetName(), Notes: map[string]string{"url": j.GetHTMLURL()}},
			Open: func(ctx context.Context) (io.ReadCloser, error) {
				log, err := s.job(ctx, j)
				switch {
				case errors.Is(err, errGone) && !attempt.MustLog(j):
					return io.NopCloser(strings.NewReader("")), nil
				case err != nil:
					return nil, err
				case !log.Ended:
					return endless{log}, nil
				}
				return log, nil
			}}, nil)
		return more
	})
	if !more {
		return false
	}
	if err != nil && !yield(scanners.Artifact{}, gap(root, Explain(err))) {
		return false
	}
	if n := int64(len(running)); n > 0 && s.own(running) {
		running = running[1:]
	}
	if n := int64(len(running)); n > 0 {
		g := gap(root, scanners.OfKind(scanners.GapNotFetched, fmt.Errorf("%d jobs have not ended, and their logs are not read", n)))
		g.Count = n
		return yield(scanners.Artifact{}, g)
	}
	return true
}

// own reports whether the job that this process is part of is one of those that run. GitHub does
// not give a job its id; its runner has no other job meanwhile.
func (s *Source) own(running []*github.WorkflowJob) bool {
	return slices.ContainsFunc(running, func(j *github.WorkflowJob) bool {
		name := j.GetRunnerName()
		return j.GetStatus() == "in_progress" && (name == s.Runner || name == "" || s.Runner == "")
	})
}

// job fetches a job's log. Shortly after the job's end GitHub has only the log's beginning.
func (s *Source) job(ctx context.Context, j *github.WorkflowJob) (attempt.Log, error) {
	for n := 1; ; n++ {
		f, err := s.fetch(ctx, func() (*url.URL, *github.Response, error) {
			return s.API.Actions.GetWorkflowJobLogs(ctx, s.API.Owner, s.API.Repo, j.GetID(), 0)
		})
		if err != nil {
			return attempt.Log{}, err
		}
		ended := cilog.Ended(f.tail(cilog.EndSize))
		if ended || n == tries || j.GetConclusion() == "cancelled" {
			return attempt.Log{ReadCloser: f, Size: f.size(), Ended: ended}, nil
		}
		_ = f.Close()
		sleep := s.API.Wait
		if sleep == nil {
			sleep = pause
		}
		if err := sleep(ctx, time.Duration(n)*2*time.Second); err != nil {
			return attempt.Log{}, err
		}
	}
}

// endless is an incomplete log. That is known when it is opened, and reported once it was read.
type endless struct{ io.ReadCloser }

var errNoEnd = scanners.OfKind(scanners.GapNotFetched, errors.New("the log has no end: the job may have written more"))

func (e endless) Read(b []byte) (int, error) {
	n, err := e.ReadCloser.Read(b)
	if err == io.EOF {
		err = errNoEnd
	}
	return n, err
}

// uploads are the artifacts of the run.
func (s *Source) uploads(ctx context.Context, root string, yield func(scanners.Artifact, error) bool) {
	more := true
	err := attempt.Each(func(o *github.ListOptions) (list []*github.Artifact, total, next int, err error) {
		err = s.API.Again(ctx, func() error {
			l, res, err := s.API.Actions.ListWorkflowRunArtifacts(ctx, s.API.Owner, s.API.Repo, s.Run, o)
			if err == nil {
				list, total, next = l.Artifacts, int(l.GetTotalCount()), res.NextPage
			}
			return err
		})
		return list, total, next, err
	}, (*github.Artifact).GetID, func(u *github.Artifact) bool {
		name := path.Join(root, "artifacts", attempt.FileName(u.GetName()))
		if u.GetExpired() {
			more = yield(scanners.Artifact{}, gap(name, scanners.OfKind(scanners.GapNotFetched, errors.New("the artifact has expired"))))
			return more
		}
		more = yield(scanners.Artifact{Location: rules.Location{Source: "path", Path: name}, Open: func(ctx context.Context) (io.ReadCloser, error) {
			return s.fetch(ctx, func() (*url.URL, *github.Response, error) {
				return s.API.Actions.DownloadArtifact(ctx, s.API.Owner, s.API.Repo, u.GetID(), 0)
			})
		}}, nil)
		return more
	})
	if err != nil && more {
		yield(scanners.Artifact{}, gap(root+"/artifacts", Explain(err)))
	}
}

// MaxDownload is how many bytes of one log or artifact are fetched.
const MaxDownload = 32 << 30

// fetched is a file that is deleted when it is closed.
type fetched struct{ *os.File }

func (f fetched) Close() error {
	err := f.File.Close()
	return errors.Join(err, os.Remove(f.Name()))
}

func (f fetched) size() int64 {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// tail gives the last n bytes.
func (f fetched) tail(n int64) []byte {
	size := f.size()
	b := make([]byte, min(n, size))
	if _, err := f.ReadAt(b, size-int64(len(b))); err != nil {
		return nil
	}
	return b
}

// fetch requests the URL of a download, which is valid for a minute, and downloads it. The URL
// itself is a credential: no error contains it.
func (s *Source) fetch(ctx context.Context, where func() (*url.URL, *github.Response, error)) (fetched, error) {
	var out fetched
	err := s.API.Again(ctx, func() error {
		u, res, err := where()
		if err != nil {
			if res != nil && res.StatusCode >= 500 {
				return errBusy
			}
			if res != nil && (res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusGone) {
				return errGone
			}
			if res != nil && res.StatusCode >= 400 {
				return refused(res.StatusCode)
			}
			return Explain(err)
		}
		if !private(u) {
			return errors.New("it is kept at a plain http address")
		}
		out, err = s.download(ctx, u)
		return err
	})
	return out, err
}

var errGone = scanners.OfKind(scanners.GapNotFetched, errors.New("is gone: deleted, expired, or never there"))

func (s *Source) download(ctx context.Context, u *url.URL) (fetched, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return fetched{}, errors.New("it is kept at an address that can't be read")
	}
	res, err := s.API.storage.Do(req)
	if err != nil {
		return fetched{}, Explain(err)
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests:
		return fetched{}, errBusy
	case res.StatusCode != http.StatusOK:
		return fetched{}, fmt.Errorf("the storage answers %d", res.StatusCode)
	}
	f, err := os.CreateTemp(s.Temp, "fetched-*")
	if err != nil {
		return fetched{}, err
	}
	out := fetched{f}
	n, err := io.Copy(f, io.LimitReader(bufio.NewReader(res.Body), MaxDownload+1))
	switch {
	case err == nil && n > MaxDownload:
		err = fmt.Errorf("larger than %d bytes", int64(MaxDownload))
	case err == nil && res.ContentLength >= 0 && n != res.ContentLength:
		err = io.ErrUnexpectedEOF
	case err == nil:
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = out.Close()
		return fetched{}, Explain(err)
	}
	return out, nil
}

// Explain removes URLs from an error, since they may contain a signature, and explains what
// GitHub's refusal means.
func Explain(err error) error {
	var answer *github.ErrorResponse
	var at *url.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &answer):
		return refused(answer.Response.StatusCode)
	case errors.As(err, &at):
		return at.Err
	}
	return err
}

// refused explains a status that GitHub answers.
func refused(code int) error {
	hint := ""
	switch code {
	case http.StatusUnauthorized:
		hint = " (hint: github-token is no token, or has expired)"
	case http.StatusForbidden, http.StatusNotFound:
		hint = " (hint: the job's permissions may lack it)"
	}
	if code >= 500 || code == http.StatusTooManyRequests {
		return fmt.Errorf("GitHub answers %d: %w", code, errBusy)
	}
	return fmt.Errorf("GitHub answers %d%s", code, hint)
}
