package serve

import (
	"context"
	"sync"
	"time"
)

// runs are the jobs that this process works on.
type runs struct {
	mu  sync.Mutex
	now map[int64]bool
	// idle is since when a job has been running in the database and not here. Its end may be about
	// to be written.
	idle map[int64]time.Time
}

func (r *runs) begin(id int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil {
		r.now = map[int64]bool{}
	}
	r.now[id] = true
}

func (r *runs) end(id int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.now, id)
}

// orphaned is how long a job may be running in the database and not here. River repeats the write
// of a job's end three times of ten seconds, and continues once the database answers.
const orphaned = 2 * time.Minute

// lost returns those of the jobs that have been running in the database and not here for too long.
func (r *runs) lost(jobs map[int64]int, now time.Time) (out []int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.idle
	r.idle = map[int64]time.Time{}
	for id := range jobs {
		if r.now[id] {
			continue
		}
		since, had := was[id]
		if !had {
			since = now
		}
		r.idle[id] = since
		if now.Sub(since) >= orphaned {
			out = append(out, id)
		}
	}
	return out
}

// orphans gives back jobs that the database gave to this process and whose rows never arrived: the
// connection ended between the commit and its answer. Nothing else does, since this process is there.
func (s *Server) orphans(ctx context.Context) error {
	jobs, err := s.store.Running(ctx, s.worker)
	if err != nil {
		return err
	}
	lost := s.runs.lost(jobs, time.Now())
	for _, id := range lost {
		if err := s.store.Again(ctx, id, jobs[id]); err != nil {
			return err
		}
	}
	if len(lost) > 0 {
		s.log("jobs that never arrived are given out again", "jobs", len(lost))
	}
	return nil
}
