package store

import (
	"testing"
	"time"
)

// A job that a machine with a fast clock added is due at once; a short snooze keeps its time, and so
// does a job that is scheduled.
func TestJobsOfAFastClockAreDue(t *testing.T) {
	s := filled(t, 1)
	add := func(state, in string) (id int64) {
		t.Helper()
		err := s.db.QueryRowContext(t.Context(), `INSERT INTO river_job(args, kind, max_attempts, state, queue, scheduled_at) VALUES ('{}', 'kill', 30, ?, 'kill', datetime('now', 'subsec', ?)) RETURNING id`, state, in).Scan(&id)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	ahead, snoozed, scheduled := add("available", "+2 days"), add("available", "+5 seconds"), add("scheduled", "+2 days")
	if _, err := s.TakeOver(t.Context(), "w", time.Now()); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[int64]bool{ahead: true, snoozed: false, scheduled: false} {
		var due bool
		if err := s.db.QueryRowContext(t.Context(), `SELECT scheduled_at <= datetime('now', 'subsec') FROM river_job WHERE id = ?`, id).Scan(&due); err != nil || due != want {
			t.Errorf("job %d: due %v, want %v (%v)", id, due, want, err)
		}
	}
}
