package serve

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
	"github.com/quellhq/quell/scanners/ci/citest"
)

// A job that is running in the database alone is lost after two minutes, one that runs here never.
func TestJobsThatRunNowhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &runs{}
		r.begin(1)
		db := map[int64]int{1: 1, 2: 1, 3: 1}
		for range 23 { // 115 seconds
			if lost := r.lost(db, time.Now()); len(lost) > 0 {
				t.Fatalf("lost after %s: %v", time.Now(), lost)
			}
			time.Sleep(5 * time.Second)
		}
		delete(db, 3) // its end was written
		r.lost(db, time.Now())
		db[3] = 2 // and it runs again
		time.Sleep(5 * time.Second)
		if lost := r.lost(db, time.Now()); fmt.Sprint(lost) != "[2]" {
			t.Errorf("lost: %v", lost)
		}
		time.Sleep(time.Hour)
		if lost := r.lost(map[int64]int{1: 1}, time.Now()); len(lost) > 0 {
			t.Errorf("a job that runs is lost: %v", lost)
		}
		r.end(1)
		if lost := r.lost(map[int64]int{1: 1}, time.Now()); len(lost) > 0 {
			t.Errorf("a job whose end is being written is lost: %v", lost)
		}
	})
}

// The database gave a job to this process, and the answer was lost: it is given out again.
func TestAJobThatNeverArrivedIsGivenOutAgain(t *testing.T) {
	b := newBench(t, 10)
	b.fake.Repos = []*citest.Repo{{Name: "a", Runs: []*citest.Run{{ID: 1, Attempts: 1, Created: time.Now(), Logs: leaking(10)}}}}
	r := b.start()
	db := b.db()
	b.eventually("a verdict", func() bool { return b.count(db, `SELECT count(*) FROM serve_credential WHERE state = 'live'`) == 1 })
	b.idle(db)
	r.stop()
	if _, err := db.ExecContext(t.Context(), `UPDATE river_job SET state = 'running', finalized_at = NULL WHERE kind = 'probe'`); err != nil {
		t.Fatal(err)
	}
	s := &Server{o: b.options()}
	if err := db.QueryRowContext(t.Context(), `SELECT json_extract(attempted_by, '$[#-1]') FROM river_job WHERE kind = 'probe'`).Scan(&s.worker); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.store, err = store.Open(t.Context(), b.state); err != nil {
		t.Fatal(err)
	}
	defer s.store.Close()
	for _, c := range []struct {
		passed time.Duration
		want   string
	}{{0, "running"}, {orphaned - time.Second, "running"}, {orphaned, "available"}} {
		for id := range s.runs.idle {
			s.runs.idle[id] = time.Now().Add(-c.passed)
		}
		if err := s.orphans(t.Context()); err != nil {
			t.Fatal(err)
		}
		state := ""
		if err := db.QueryRowContext(t.Context(), `SELECT state FROM river_job WHERE kind = 'probe'`).Scan(&state); err != nil || state != c.want {
			t.Errorf("after %s it is %s, want %s: %v", c.passed, state, c.want, err)
		}
	}
	b.start()
	b.eventually("its end", func() bool {
		return b.count(db, `SELECT count(*) FROM river_job WHERE kind = 'probe' AND state = 'completed'`) == 1
	})
}
