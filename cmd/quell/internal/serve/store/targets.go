package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"
)

// Cursor is how far the list of a target's repositories was read: the next page of an entry of
// its configuration. Page 0: no sweep is under way.
type Cursor struct {
	Sweep int64
	Entry int
	Page  int
}

// Due starts a sweep of a target whose time has come, and reports whether it did. Of several
// workers one gets true. insert adds the job in the same transaction.
func (s *Store) Due(ctx context.Context, name string, every time.Duration, now time.Time, insert func(*Tx) error) (due bool, err error) {
	err = s.Update(ctx, func(tx *Tx) error {
		if _, err := tx.Exec(`INSERT INTO serve_target(name, next, sweep, entry, page, ended, error) VALUES (?,0,0,0,0,0,'') ON CONFLICT(name) DO NOTHING`, name); err != nil {
			return err
		}
		// A clock that was set back must not stop the schedule.
		n, err := tx.Exec(`UPDATE serve_target SET next = ? WHERE name = ? AND (next <= ? OR next > ?)`, Millis(now.Add(every)), name, Millis(now), Millis(now.Add(every)))
		if err != nil || n == 0 {
			return err
		}
		due = true
		return insert(tx)
	})
	return due && err == nil, err
}

// Once reports whether the time for something that happens every so often has come, and adds
// its job in the same transaction.
func (s *Store) Once(ctx context.Context, key string, every time.Duration, now time.Time, insert func(*Tx) error) error {
	_, err := s.Due(ctx, "_"+key, every, now, insert)
	return err
}

// Cursor reads the cursor of a target, and begins a sweep if none is under way.
func (s *Store) Cursor(ctx context.Context, name string) (c Cursor, err error) {
	err = s.Update(ctx, func(tx *Tx) error {
		if _, err := tx.Exec(`INSERT INTO serve_target(name, next, sweep, entry, page, ended, error) VALUES (?,0,0,0,0,0,'') ON CONFLICT(name) DO NOTHING`, name); err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE serve_target SET sweep = sweep + 1, entry = 0, page = 1, error = '' WHERE name = ? AND page = 0`, name); err != nil {
			return err
		}
		return tx.QueryRow(`SELECT sweep, entry, page FROM serve_target WHERE name = ?`, name).Scan(&c.Sweep, &c.Entry, &c.Page)
	})
	return c, err
}

// Sweep is the number of a target's last sweep.
func (s *Store) Sweep(ctx context.Context, name string) (n int64, err error) {
	err = s.db.QueryRowContext(ctx, s.bind(`SELECT sweep FROM serve_target WHERE name = ?`), name).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return n, err
}

// Move writes the cursor. A cursor of page 0 ends the sweep.
func (t *Tx) Move(name string, c Cursor, now time.Time) error {
	_, err := t.Exec(`UPDATE serve_target SET entry = ?, page = ? WHERE name = ? AND sweep = ?`, c.Entry, c.Page, name, c.Sweep)
	if err != nil || c.Page != 0 {
		return err
	}
	return t.Complete(name, now)
}

// Complete records that all of a target is listed, if no sweep is under way and no entry failed.
func (t *Tx) Complete(name string, now time.Time) error {
	_, err := t.Exec(`UPDATE serve_target SET ended = ? WHERE name = ? AND page = 0 AND error = ''`, Millis(now), name)
	return err
}

// Failed records why an entry of a target could not be listed, without line breaks; empty: it could.
func (t *Tx) Failed(name, entry, why string) error {
	var have string
	if err := t.QueryRow(`SELECT error FROM serve_target WHERE name = ?`, name).Scan(&have); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	}
	var lines []string
	for line := range strings.SplitSeq(have, "\n") {
		if line != "" && !strings.HasPrefix(line, entry+": ") {
			lines = append(lines, line)
		}
	}
	if why != "" {
		lines = append(lines, entry+": "+why)
	}
	_, err := t.Exec(`UPDATE serve_target SET error = ? WHERE name = ?`, strings.Join(lines, "\n"), name)
	return err
}

// Repo is a repository of a target.
type Repo struct {
	Target, Repo string
	Public       bool
	Sweep        int64
	ReadAt       time.Time // when it was last read to its end; zero: never
	Artifacts    int64     // that were read in its last scan
	Gaps         int64     // things that could not be read, besides those of single items; see Missed
	Gap          string    // the first of them
}

// Listed records repositories that a sweep found.
func (t *Tx) Listed(repos ...Repo) error {
	for _, r := range repos {
		_, err := t.Exec(`INSERT INTO serve_repo(target, repo, public, sweep, read_at, artifacts, gaps, gap) VALUES (?,?,?,?,0,0,0,'')
ON CONFLICT(target, repo) DO UPDATE SET public = excluded.public, sweep = excluded.sweep`, r.Target, r.Repo, flag(r.Public), r.Sweep)
		if err != nil {
			return err
		}
	}
	return nil
}

// Read records the result of a scan of a repository.
func (t *Tx) Read(r Repo) error {
	_, err := t.Exec(`INSERT INTO serve_repo(target, repo, public, sweep, read_at, artifacts, gaps, gap) VALUES (?,?,?,0,?,?,?,?)
ON CONFLICT(target, repo) DO UPDATE SET read_at = excluded.read_at, artifacts = excluded.artifacts, gaps = excluded.gaps, gap = excluded.gap`,
		r.Target, r.Repo, flag(r.Public), Millis(r.ReadAt), r.Artifacts, r.Gaps, r.Gap)
	return err
}

// Missed records how many things of an item of a repository could not be read, and the first of
// them: of one run, of its git history or its alerts. n of 0 means that all was read.
func (t *Tx) Missed(target, repo, what, item string, n int64, first string, now time.Time) error {
	if n == 0 {
		_, err := t.Exec(`DELETE FROM serve_gap WHERE target = ? AND repo = ? AND what = ? AND item = ?`, target, repo, what, item)
		return err
	}
	_, err := t.Exec(`INSERT INTO serve_gap(target, repo, what, item, at, gaps, gap) VALUES (?,?,?,?,?,?,?)
ON CONFLICT(target, repo, what, item) DO UPDATE SET gaps = excluded.gaps, gap = excluded.gap`, target, repo, what, item, Millis(now), n, first)
	return err
}

// Unread lists the items of a kind of which something could not be read. It forgets those that
// were first missed before a time.
func (t *Tx) Unread(target, repo, what string, since time.Time) (items []string, err error) {
	if _, err := t.Exec(`DELETE FROM serve_gap WHERE target = ? AND repo = ? AND what = ? AND at < ?`, target, repo, what, Millis(since)); err != nil {
		return nil, err
	}
	rows, err := t.Query(`SELECT item FROM serve_gap WHERE target = ? AND repo = ? AND what = ? ORDER BY item`, target, repo, what)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var item string
		if err := rows.Scan(&item); err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, rows.Err()
}

// Repo reads a repository; the zero Repo if it is not known.
func (s *Store) Repo(ctx context.Context, target, name string) (Repo, error) {
	r := Repo{Target: target, Repo: name}
	var public int
	var read int64
	err := s.db.QueryRowContext(ctx, s.bind(`SELECT public, sweep, read_at, artifacts, gaps, gap FROM serve_repo WHERE target = ? AND repo = ?`), target, name).
		Scan(&public, &r.Sweep, &read, &r.Artifacts, &r.Gaps, &r.Gap)
	if errors.Is(err, sql.ErrNoRows) {
		return Repo{}, nil
	}
	r.Public, r.ReadAt = public != 0, Time(read)
	return r, err
}

// TargetState is what is known about a target.
type TargetState struct {
	Name   string
	Ended  time.Time // of the last sweep that listed all; zero: none did
	Error  string    // the entries that could not be listed and why, one a line
	Repos  int64     // repositories that the last sweep listed
	Unread int64     // of these, those that were never read to their end
	Gaps   int64     // things in them that could not be read
}

// Targets lists the targets that were swept or are being swept.
func (s *Store) Targets(ctx context.Context) (out []TargetState, err error) {
	rows, err := s.read.QueryContext(ctx, `SELECT t.name, t.ended, t.error, count(r.sweep), coalesce(sum(CASE WHEN r.read_at = 0 THEN 1 ELSE 0 END), 0), coalesce(sum(r.gaps), 0) + coalesce((SELECT sum(g.gaps) FROM serve_gap g WHERE g.target = t.name), 0)
FROM serve_target t LEFT JOIN serve_repo r ON r.target = t.name AND r.sweep = t.sweep WHERE substr(t.name, 1, 1) <> '_' GROUP BY t.name, t.ended, t.error ORDER BY t.name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var t TargetState
		var ended int64
		if err := rows.Scan(&t.Name, &ended, &t.Error, &t.Repos, &t.Unread, &t.Gaps); err != nil {
			return nil, err
		}
		t.Ended = Time(ended)
		out = append(out, t)
	}
	return out, rows.Err()
}

// deliveryLasts is how long the id of a webhook's delivery is kept: longer than any server
// repeats one.
const deliveryLasts = 30 * 24 * time.Hour

// Delivered records a delivery, and reports whether it is new.
func (t *Tx) Delivered(id string, now time.Time) (fresh bool, err error) {
	if _, err := t.Exec(`DELETE FROM serve_delivery WHERE at < ?`, Millis(now.Add(-deliveryLasts))); err != nil {
		return false, err
	}
	n, err := t.Exec(`INSERT INTO serve_delivery(id, at) VALUES (?,?) ON CONFLICT(id) DO NOTHING`, id, Millis(now))
	return n > 0, err
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
