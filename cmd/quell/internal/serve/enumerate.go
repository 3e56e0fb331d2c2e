package serve

import (
	"context"
	"errors"
	"fmt"
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
	at, err := s.store.Cursor(ctx, a.Target)
	if err != nil {
		return err
	}
	var failed error
	for at.Page > 0 {
		var list []ci.Repo
		next := 0
		if at.Entry < len(x.Of) { // the configuration may have become shorter
			list, next, err = x.page(ctx, c, x.Of[at.Entry], at.Page)
		}
		if err == nil && next == 0 && at.Page > 1 {
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
			failed = fmt.Errorf("%s: %w", x.Of[at.Entry], err)
			why = report.Clean(s.o.Redactor.Quoted(failed.Error()))
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
			var repos []store.Repo
			var jobs []river.InsertManyParams
			for _, r := range list {
				repos = append(repos, store.Repo{Target: a.Target, Repo: r.Name, Public: r.Public, Sweep: at.Sweep})
				jobs = append(jobs, s.scansOf(x, r)...)
			}
			if why != "" {
				if err := tx.Failed(a.Target, why); err != nil {
					return err
				}
			}
			return errors.Join(tx.Listed(repos...), s.insert(ctx, tx, jobs...), tx.Move(a.Target, now, time.Now()))
		})
		if err != nil {
			return err
		}
		at = now
	}
	return failed
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
