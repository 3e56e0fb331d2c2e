package store

import (
	"context"
	"errors"
	"time"
)

// Gone is the time after a worker's last heartbeat at which other workers take its jobs.
const Gone = 30 * time.Second

// ErrOtherKey is the error for a worker whose keys differ from those of the first worker.
var ErrOtherKey = errors.New("this machine has other keys than the workers that use this database: one credential would have two names, and what one worker seals or signs no other could use (hint: copy fingerprint.key, identity.txt and sign.key of the first worker's state folder)")

// CheckKeys compares a digest of this machine's keys with that of the first worker.
func (s *Store) CheckKeys(ctx context.Context, digest string) error {
	return s.Update(ctx, func(tx *Tx) error {
		if _, err := tx.Exec(`INSERT INTO serve_meta(key, value) VALUES ('keys', ?) ON CONFLICT(key) DO NOTHING`, digest); err != nil {
			return err
		}
		var have string
		if err := tx.QueryRow(`SELECT value FROM serve_meta WHERE key = 'keys'`).Scan(&have); err != nil {
			return err
		}
		if have != digest {
			return ErrOtherKey
		}
		return nil
	})
}

// Beat records a heartbeat of a worker.
func (s *Store) Beat(ctx context.Context, id, host string, now time.Time) error {
	return s.Update(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO serve_worker(id, host, started, seen) VALUES (?,?,?,?) ON CONFLICT(id) DO UPDATE SET seen = excluded.seen`, id, host, Millis(now), Millis(now))
		return err
	})
}

// Leave removes a worker that has ended its jobs.
func (s *Store) Leave(ctx context.Context, id string) error {
	return s.Update(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`DELETE FROM serve_worker WHERE id = ?`, id)
		return err
	})
}

// TakeOver makes the running jobs of workers that have ended available, and returns their
// number. River does the same only after the longest time that a job may take. self is the
// worker that calls it; on SQLite it is the only one.
func (s *Store) TakeOver(ctx context.Context, self string, now time.Time) (n int64, err error) {
	last := `json_extract(attempted_by, '$[#-1]')`
	if s.pool != nil {
		last = `attempted_by[array_upper(attempted_by, 1)]`
	}
	err = s.Update(ctx, func(tx *Tx) error {
		if _, err := tx.Exec(`DELETE FROM serve_worker WHERE id <> ? AND seen < ?`, self, Millis(now.Add(-Gone))); err != nil {
			return err
		}
		others := ` AND ` + last + ` NOT IN (SELECT id FROM serve_worker)`
		if s.pool == nil {
			others = ` AND ` + last + ` <> '` + self + `'`
		}
		if n, err = tx.Exec(`UPDATE river_job SET state = 'available' WHERE state = 'running'` + others); err != nil {
			return err
		}
		// River gives a new job the time of the machine that adds it. One whose clock is ahead
		// would delay it until the database gets there; a short snooze is less than a minute.
		due, late := `now()`, `now() + interval '1 minute'`
		if s.pool == nil {
			due, late = `datetime('now', 'subsec')`, `datetime('now', 'subsec', '+1 minute')`
		}
		_, err = tx.Exec(`UPDATE river_job SET scheduled_at = ` + due + ` WHERE state = 'available' AND scheduled_at > ` + late)
		return err
	})
	return n, err
}

// Running lists the jobs of a worker that are running in the database, with their attempts.
func (s *Store) Running(ctx context.Context, self string) (map[int64]int, error) {
	last := `json_extract(attempted_by, '$[#-1]')`
	if s.pool != nil {
		last = `attempted_by[array_upper(attempted_by, 1)]`
	}
	rows, err := s.Query(ctx, `SELECT id, attempt FROM river_job WHERE state = 'running' AND `+last+` = ?`, self)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[int64]int{}
	for rows.Next() {
		var id int64
		var attempt int
		if err := rows.Scan(&id, &attempt); err != nil {
			return nil, err
		}
		out[id] = attempt
	}
	return out, rows.Err()
}

// Again makes a job available that is running in the database and in no process. The attempt
// identifies the execution, so that a later one is not restarted.
func (s *Store) Again(ctx context.Context, id int64, attempt int) error {
	return s.Update(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`UPDATE river_job SET state = 'available' WHERE id = ? AND state = 'running' AND attempt = ?`, id, attempt)
		return err
	})
}

// Depth is the number of jobs of one kind in one state.
type Depth struct {
	Kind, State string
	Jobs        int64
}

// Depths counts the jobs of the queue.
func (s *Store) Depths(ctx context.Context) (out []Depth, err error) {
	rows, err := s.read.QueryContext(ctx, `SELECT kind, state, count(*) FROM river_job GROUP BY kind, state ORDER BY kind, state`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var d Depth
		if err := rows.Scan(&d.Kind, &d.State, &d.Jobs); err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, rows.Err()
}
