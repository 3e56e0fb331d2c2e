package serve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/riverqueue/river"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
	"github.com/quellhq/quell/scanners/ci"
)

// enumerate lists the repositories of a target. Each page's repositories, their jobs and the
// cursor are written in one transaction, so that a process that ends at any moment neither
// leaves a page out nor lists one again.
func (s *Server) enumerate(ctx context.Context, a EnumerateArgs, _ *report.Redactor) error {
	x := s.sources[a.Target]
	if x == nil {
		return river.JobCancel(errors.New("the configuration no longer has this target"))
	}
	c, err := x.api()
	if err != nil {
		return err
	}
	if a.Entry != "" {
		return s.entry(ctx, x, c, a)
	}
	at, err := s.store.Cursor(ctx, a.Target)
	if err != nil {
		return err
	}
	for at.Page > 0 {
		var list []ci.Repo
		next := 0
		if at.Entry < len(x.Of) { // the configuration may have become shorter
			list, next, err = x.page(ctx, c, x.Of[at.Entry], at.Page)
		}
		if err == nil && next == 0 && at.Page > 1 && at.Entry < len(x.Of) {
			// A repository that was pushed to while the pages were listed has moved to the first
			// one from a page that was not listed yet.
			var moved []ci.Repo
			moved, _, err = x.page(ctx, c, x.Of[at.Entry], 1)
			list = append(list, moved...)
		}
		if wait, ok := throttled(err); ok {
			return river.JobSnooze(wait)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		why := ""
		if err != nil {
			// One entry that can't be listed does not keep the others from being read.
			x.failed(c)
			why = s.unlisted(err)
			s.log("a part of the target can't be listed; it is tried again by itself", "target", a.Target, "part", x.Of[at.Entry], "error", why)
			next = 0
		}
		now := at
		if now.Page = next; next == 0 {
			now.Entry, now.Page = at.Entry+1, 1
			if now.Entry >= len(x.Of) {
				now.Entry, now.Page = 0, 0
			}
		}
		err = s.store.Update(ctx, func(tx *store.Tx) error {
			repos, jobs := s.listed(x, list, at.Sweep)
			if why != "" {
				if err := tx.Failed(a.Target, x.Of[at.Entry], why); err != nil {
					return err
				}
				jobs = append(jobs, job(EnumerateArgs{Target: a.Target, Entry: x.Of[at.Entry]}, queueList, usual))
			}
			return errors.Join(tx.Listed(repos...), s.insert(ctx, tx, jobs...), tx.Move(a.Target, now, time.Now()))
		})
		if err != nil {
			return err
		}
		at = now
	}
	return nil
}

func (s *Server) unlisted(err error) string {
	return strings.ReplaceAll(report.Clean(s.o.Redactor.Quoted(err.Error())), "\n", " ")
}

// entry lists one entry of a target's list again, which a sweep could not list.
func (s *Server) entry(ctx context.Context, x *source, c *ci.Client, a EnumerateArgs) error {
	if !slices.Contains(x.Of, a.Entry) {
		return s.store.Update(ctx, func(tx *store.Tx) error { return tx.Failed(a.Target, a.Entry, "") })
	}
	sweep, err := s.store.Sweep(ctx, a.Target)
	if err != nil {
		return err
	}
	for page := 1; page > 0; {
		list, next, err := x.page(ctx, c, a.Entry, page)
		if wait, ok := throttled(err); ok {
			return river.JobSnooze(wait)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			x.failed(c)
			err = fmt.Errorf("%s: %w", a.Entry, err)
			return errors.Join(err, s.store.Update(ctx, func(tx *store.Tx) error { return tx.Failed(a.Target, a.Entry, s.unlisted(err)) }))
		}
		err = s.store.Update(ctx, func(tx *store.Tx) error {
			repos, jobs := s.listed(x, list, sweep)
			if err := errors.Join(tx.Listed(repos...), s.insert(ctx, tx, jobs...)); err != nil || next > 0 {
				return err
			}
			return errors.Join(tx.Failed(a.Target, a.Entry, ""), tx.Complete(a.Target, time.Now()))
		})
		if err != nil {
			return err
		}
		page = next
	}
	return nil
}

// listed are the rows of repositories that a sweep has listed, and the jobs that read them.
func (s *Server) listed(x *source, list []ci.Repo, sweep int64) (repos []store.Repo, jobs []river.InsertManyParams) {
	for _, r := range list {
		repos = append(repos, store.Repo{Target: x.Name, Repo: r.Name, Public: r.Public, Sweep: sweep})
		jobs = append(jobs, s.scansOf(x, r)...)
	}
	return repos, jobs
}

// scansOf are the jobs of a repository in a sweep.
func (s *Server) scansOf(x *source, r ci.Repo) []river.InsertManyParams {
	priority := usual
	if r.Public {
		priority = public
	}
	var out []river.InsertManyParams
	add := func(what string, priority int) {
		out = append(out, job(ScanArgs{Target: x.Name, Repo: r.Name, What: what}, queueScan, priority))
	}
	if x.Reads(readLogs) || x.Reads(readArtifacts) {
		add(whatRuns, priority)
	}
	if x.Reads(readAlerts) {
		add(whatAlerts, priority)
	}
	if x.Reads(readGit) {
		add(whatGit, late)
	}
	return out
}

// throttled reports how long a server asks to wait.
func throttled(err error) (time.Duration, bool) {
	var w *ci.WaitError
	if !errors.As(err, &w) {
		return 0, false
	}
	return min(w.For, 2*time.Hour) + time.Second, true
}
