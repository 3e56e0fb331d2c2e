// Package attempt compares the archive of the logs of one attempt of a workflow run with the
// attempt's jobs: GitHub's archives lack logs that it has.
package attempt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/go-github/v88/github"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/cilog"
)

// Attempt is one attempt of a run.
type Attempt struct {
	Client      *github.Client
	Owner, Repo string
	Run         int64
	Number      int
	// Again repeats a request while the server is busy; nil: it is sent once.
	Again func(ctx context.Context, f func() error) error
	// Explain makes an error of the client one that can be shown.
	Explain func(error) error
}

// Jobs calls yield with each of the attempt's jobs, until it returns false. If GitHub lists fewer
// than it counts, the error is of the kind GapNotFetched. Other errors are the client's.
func (a Attempt) Jobs(ctx context.Context, yield func(*github.WorkflowJob) bool) error {
	return Each(func(o *github.ListOptions) (list []*github.WorkflowJob, total int, next int, err error) {
		send := func() error {
			jobs, res, err := a.Client.Actions.ListWorkflowJobsAttempt(ctx, a.Owner, a.Repo, a.Run, int64(a.Number), o)
			if err != nil {
				return err
			}
			list, total, next = jobs.Jobs, jobs.GetTotalCount(), res.NextPage
			return nil
		}
		if a.Again != nil {
			err = a.Again(ctx, send)
		} else {
			err = send()
		}
		return list, total, next, err
	}, (*github.WorkflowJob).GetID, yield)
}

// Each reads a list to its end, and calls yield once with each entry. Entries move from page to
// page while the list changes: a list that is shorter than the server's count of it is read once
// more. If it still is, the error is of the kind GapNotFetched.
func Each[T any](page func(*github.ListOptions) (list []T, total, next int, err error), id func(T) int64, yield func(T) bool) error {
	seen := map[int64]bool{}
	total := 0
	for range 2 {
		o := &github.ListOptions{PerPage: 100}
		for {
			list, count, next, err := page(o)
			if err != nil {
				return err
			}
			total = count
			for _, x := range list {
				if seen[id(x)] {
					continue
				}
				seen[id(x)] = true
				if !yield(x) {
					return nil
				}
			}
			if next <= o.Page || len(list) == 0 {
				break
			}
			o.Page = next
		}
		if len(seen) >= total {
			return nil
		}
	}
	return scanners.OfKind(scanners.GapNotFetched, fmt.Errorf("GitHub counts %d and lists %d of them: scan again", total, len(seen)))
}

// MayLog reports whether a job that has ended can have a log: it had a runner, or a step.
func MayLog(j *github.WorkflowJob) bool {
	return j.GetConclusion() != "skipped" && (j.GetRunnerID() != 0 || len(j.Steps) > 0)
}

// MustLog reports whether a job that has ended has a log: a step of it came to its end. A job that
// is skipped, or cancelled before its first step, has none, and for one that a re-run of other
// jobs carries over GitHub lists no steps.
func MustLog(j *github.WorkflowJob) bool {
	if j.GetStatus() != "completed" || j.GetConclusion() == "skipped" {
		return false
	}
	for _, s := range j.Steps {
		switch s.GetConclusion() {
		case "", "skipped", "cancelled":
		default:
			return true
		}
	}
	return false
}

// Log is the log of one job, as GitHub gives it alone.
type Log struct {
	io.ReadCloser
	Size int64
	// Ended reports that the runner wrote it to its end.
	Ended bool
}

// Reader is what a source does with a job's log.
type Reader struct {
	// Open fetches it, and Place completes its location.
	Open  func(context.Context, *github.WorkflowJob) (Log, error)
	Place func(*github.WorkflowJob, *rules.Location)
	Part  func(scanners.Artifact, io.Reader) error
	Gap   func(scanners.Gap)
}

var (
	errLacks = errors.New("the archive of the attempt's logs lacks it, and GitHub does not give it alone")
	errCut   = errors.New("it has no end in the archive of the attempt's logs, and GitHub does not give it alone")
	errNoEnd = scanners.OfKind(scanners.GapNotFetched, errors.New("it has no end: the job wrote more"))
)

// Lacking reads the logs of jobs that the archive of an attempt lacks, or has the beginning of, and
// reports those that GitHub does not give. logs are those of the archive, and at is its place.
func (a Attempt) Lacking(ctx context.Context, logs []cilog.JobLog, at rules.Location, r Reader) error {
	var jobs []*github.WorkflowJob
	if err := a.Jobs(ctx, func(j *github.WorkflowJob) bool { jobs = append(jobs, j); return true }); err != nil {
		r.Gap(scanners.Gap{Location: at, Err: fmt.Errorf("the list of jobs, which the logs are compared with: %w", a.Explain(err))})
	}
	jobs = a.own(jobs)
	missing, n := Missing(jobs, logs)
	if n > 0 {
		missing, n = a.carried(ctx, missing, n)
	}
	cut := Cut(jobs, logs)
	lost := 0
	used := map[string]bool{}
	place := func(j *github.WorkflowJob) rules.Location {
		l := at
		l.Path, l.Job = at.Path+"!"+FileName(j.GetName())+".txt", j.GetName()
		if used[l.Path] {
			l.Path = fmt.Sprintf("%s!%d_%s.txt", at.Path, j.GetID(), FileName(j.GetName()))
		}
		used[l.Path] = true
		r.Place(j, &l)
		return l
	}
	for _, j := range missing {
		l := place(j)
		err := r.read(ctx, j, l, nil)
		if errors.As(err, new(unopened)) {
			// Some of the others may be in the archive by a name that is not recognised.
			if lost++; lost > n {
				continue
			}
			err = scanners.OfKind(scanners.GapNotFetched, fmt.Errorf("%w: %w", errLacks, err))
		}
		if err := r.report(ctx, l, err); err != nil {
			return err
		}
	}
	for _, j := range jobs {
		sizes, ok := cut[j]
		if !ok {
			continue
		}
		l := place(j)
		err := r.read(ctx, j, l, sizes)
		if errors.As(err, new(unopened)) {
			err = scanners.OfKind(scanners.GapNotFetched, fmt.Errorf("%w: %w", errCut, err))
		}
		if err := r.report(ctx, l, err); err != nil {
			return err
		}
	}
	return nil
}

// unopened is the error of a log that can't be fetched.
type unopened struct{ error }

func (u unopened) Unwrap() error { return u.error }

// slack is by how many bytes two copies of one log may differ: a byte order mark for each page.
const slack = 64

// read scans a job's log. With sizes, those of the copies in the archive, only one that has an end
// or is longer is scanned: of one that has neither, GitHub keeps no more than was read.
func (r Reader) read(ctx context.Context, j *github.WorkflowJob, l rules.Location, sizes []int64) error {
	f, err := r.Open(ctx, j)
	if err != nil {
		return unopened{err}
	}
	defer f.Close()
	if !f.Ended && slices.ContainsFunc(sizes, func(n int64) bool { return f.Size <= n+slack }) {
		return nil
	}
	if err := r.Part(scanners.Artifact{Location: l}, f.ReadCloser); err != nil {
		return err
	}
	if !f.Ended && completed(j) {
		return errNoEnd
	}
	return nil
}

// report reports an error of one log. The error that it gives ends the archive.
func (r Reader) report(ctx context.Context, l rules.Location, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil, errors.Is(err, scanners.ErrTime), errors.Is(err, scanners.ErrExpansion):
		return err
	}
	r.Gap(scanners.Gap{Location: l, Err: err})
	return nil
}

// own leaves out the jobs of other attempts.
func (a Attempt) own(jobs []*github.WorkflowJob) (out []*github.WorkflowJob) {
	for _, j := range jobs {
		if n := j.GetRunAttempt(); n == 0 || n == int64(a.Number) {
			out = append(out, j)
		}
	}
	return out
}

// carried leaves out the jobs that an earlier attempt ran: if only some jobs are run again, the
// list may have all, and the archive only has those. n is how many of missing are missing at least.
func (a Attempt) carried(ctx context.Context, missing []*github.WorkflowJob, n int) ([]*github.WorkflowJob, int) {
	for k := a.Number - 1; k >= 1 && n > 0; k-- {
		ids, runs := map[int64]bool{}, map[string]bool{}
		before := a
		before.Number = k
		// What can't be listed is not known to be carried over.
		_ = before.Jobs(ctx, func(j *github.WorkflowJob) bool {
			ids[j.GetID()], runs[times(j)] = true, true
			return true
		})
		var out []*github.WorkflowJob
		for _, j := range missing {
			if !ids[j.GetID()] && !runs[times(j)] {
				out = append(out, j)
			}
		}
		n = max(0, n-(len(missing)-len(out)))
		missing = out
	}
	if n == 0 {
		return nil, 0
	}
	return missing, n
}

// times identifies one execution of a job, whatever its id.
func times(j *github.WorkflowJob) string {
	return j.GetName() + "\n" + j.GetStartedAt().String() + "\n" + j.GetCompletedAt().String()
}

// FileName makes one part of a path from a name: names of jobs and artifacts may contain any
// character.
func FileName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || r < ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, name)
	if name == "" || name == "." || name == ".." {
		return "_"
	}
	return name
}
