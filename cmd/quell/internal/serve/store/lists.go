package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"
)

// status is the state of an incident, for lists. An index has this expression: a change needs a
// migration. A credential that its issuer accepts is live whatever was recorded before.
const status = `CASE WHEN state = 'dead' THEN 'dead' WHEN outcome IN ('StillAlive', 'Unconfirmed') THEN 'failed' WHEN outcome = 'Held' THEN 'held' WHEN state = 'live' THEN 'live' WHEN outcome = 'UntilExpiry' THEN 'until_expiry' WHEN state = '' THEN 'new' ELSE 'unknown' END`

// searched is what a search in SQLite looks at. An index has this expression: a change needs a
// migration. One comparison for each incident is eight times as fast as LIKE on five columns, and an
// index of trigrams is slow where many incidents have the text.
const searched = `lower(rule || char(10) || provider || char(10) || redacted || char(10) || target || char(10) || host)`

// Statuses are the values of Incident.Status, those that need people first.
func Statuses() []string {
	return []string{"live", "failed", "held", "until_expiry", "unknown", "new", "dead"}
}

// Incident is a credential with its status.
type Incident struct {
	Credential
	Status string
}

// Filter selects incidents. Zero values select all.
type Filter struct {
	Status, Target string
	// Text is in the rule, the provider, the redacted form, the target or the host, whatever the case
	// of its ASCII letters; or begins the fingerprint.
	Text string
	// After is the cursor that the page before ended with.
	After string
	// Limit is the length of a page, 1 to 500; 0: 50.
	Limit int
}

// ErrCursor is returned for a cursor that no page ended with.
var ErrCursor = errors.New("the cursor is not one that a page ended with")

func (f Filter) limit() int {
	if f.Limit <= 0 {
		return 50
	}
	return min(f.Limit, 500)
}

// like is the pattern of a text that LIKE looks for anywhere; \ is the escape character.
func like(text string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(text)) + "%"
}

// lower is the text as SQLite's lower has it: letters besides those of ASCII stay as they are.
func lower(text string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
}

// Incidents lists incidents, the newest first. next is the cursor of the page that follows; empty:
// there is none.
func (s *Store) Incidents(ctx context.Context, f Filter) (out []Incident, next string, err error) {
	where, args := []string{`1 = 1`}, []any{}
	add := func(clause string, values ...any) {
		where, args = append(where, clause), append(args, values...)
	}
	if f.Status != "" {
		add(`(`+status+`) = ?`, f.Status)
	}
	if f.Target != "" {
		add(`target = ?`, f.Target)
	}
	from := `serve_credential`
	switch {
	case f.Text != "" && s.pool == nil:
		// All that selects is in the index that the order follows: rows that don't fit are not read.
		from += ` INDEXED BY serve_credential_search`
		text := lower(f.Text)
		if strings.Trim(text, "0123456789abcdef") == "" {
			add(`(instr(`+searched+`, ?) > 0 OR substr(fingerprint, 1, ?) = ?)`, text, len(text), text)
		} else {
			add(`instr(`+searched+`, ?) > 0`, strings.ReplaceAll(text, "\n", " "))
		}
	case f.Text != "":
		p := like(f.Text)
		add(`(rule ILIKE ? ESCAPE '\' OR redacted ILIKE ? ESCAPE '\' OR host ILIKE ? ESCAPE '\' OR provider ILIKE ? ESCAPE '\' OR target ILIKE ? ESCAPE '\' OR fingerprint LIKE ? ESCAPE '\')`, p, p, p, p, p, p[1:])
	}
	if f.After != "" {
		at, fp, ok := strings.Cut(f.After, ".")
		ms, err := strconv.ParseInt(at, 10, 64)
		if !ok || err != nil || fp == "" {
			return nil, "", ErrCursor
		}
		add(`(first_at, fingerprint) < (?, ?)`, ms, fp)
	}
	limit := f.limit()
	rows, err := s.read.QueryContext(ctx, s.bind(`SELECT `+credentialColumns+`, (`+status+`) FROM `+from+` WHERE `+strings.Join(where, ` AND `)+` ORDER BY first_at DESC, fingerprint DESC LIMIT `+strconv.Itoa(limit+1)), args...)
	if err != nil {
		return nil, "", err
	}
	defer rows.Close()
	for rows.Next() {
		var i Incident
		i.Credential, err = scanCredential(func(dst ...any) error { return rows.Scan(append(dst, &i.Status)...) })
		if err != nil {
			return nil, "", err
		}
		out = append(out, i)
	}
	if len(out) > limit {
		out = out[:limit]
		last := out[limit-1]
		next = strconv.FormatInt(Millis(last.First), 10) + "." + last.Fingerprint
	}
	return out, next, rows.Err()
}

// Incident reads one; ErrUnknown if there is none.
func (s *Store) Incident(ctx context.Context, fingerprint string) (i Incident, err error) {
	i.Credential, err = scanCredential(func(dst ...any) error {
		return s.read.QueryRowContext(ctx, s.bind(`SELECT `+credentialColumns+`, (`+status+`) FROM serve_credential WHERE fingerprint = ?`), fingerprint).Scan(append(dst, &i.Status)...)
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrUnknown
	}
	return i, err
}

// StatusCount is how many incidents of a target have a status, and the first time of the oldest.
type StatusCount struct {
	Target, Status string
	N              int64
	Oldest         time.Time
}

// StatusCounts counts incidents by target and status.
func (s *Store) StatusCounts(ctx context.Context) (out []StatusCount, err error) {
	rows, err := s.read.QueryContext(ctx, `SELECT target, (`+status+`), count(*), min(first_at) FROM serve_credential GROUP BY target, (`+status+`)`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c StatusCount
		var oldest int64
		if err := rows.Scan(&c.Target, &c.Status, &c.N, &oldest); err != nil {
			return nil, err
		}
		c.Oldest = Time(oldest)
		out = append(out, c)
	}
	return out, rows.Err()
}

// TimesToDead are the times from the first finding to the proof, of at most 1,000 kills that were
// proven after a time, the newest first.
func (s *Store) TimesToDead(ctx context.Context, since time.Time) (out []time.Duration, err error) {
	rows, err := s.read.QueryContext(ctx, s.bind(`SELECT outcome_at - first_at FROM serve_credential WHERE outcome = 'Confirmed' AND outcome_at > ? ORDER BY outcome_at DESC LIMIT 1000`), Millis(since))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var ms int64
		if err := rows.Scan(&ms); err != nil {
			return nil, err
		}
		out = append(out, time.Duration(ms)*time.Millisecond)
	}
	return out, rows.Err()
}

// total is how many things of a repository could not be read: in its last scan, and of runs and
// images that were read by themselves.
const total = `(gaps + coalesce((SELECT sum(g.gaps) FROM serve_gap g WHERE g.target = r.target AND g.repo = r.repo), 0))`

// Repos lists repositories. show is gaps, unread or empty: all. Those with gaps are first by their
// number, others by name. text is a part of the name.
func (s *Store) Repos(ctx context.Context, target, show, text, after string, limit int) (out []Repo, next string, err error) {
	where, args := []string{`1 = 1`}, []any{}
	add := func(clause string, values ...any) {
		where, args = append(where, clause), append(args, values...)
	}
	if target != "" {
		add(`target = ?`, target)
	}
	if text != "" {
		add(`lower(repo) LIKE ? ESCAPE '\'`, like(text))
	}
	order := `target, repo`
	var cursor [3]string
	if after != "" {
		if json.Unmarshal([]byte(after), &cursor) != nil {
			return nil, "", ErrCursor
		}
	}
	switch {
	case show == "gaps":
		add(`(gaps > 0 OR (target, repo) IN (SELECT target, repo FROM serve_gap))`)
		order = `total DESC, target, repo`
		if after != "" {
			n, err := strconv.ParseInt(cursor[0], 10, 64)
			if err != nil {
				return nil, "", ErrCursor
			}
			add(`(`+total+` < ? OR `+total+` = ? AND (target, repo) > (?, ?))`, n, n, cursor[1], cursor[2])
		}
	case after != "":
		add(`(target, repo) > (?, ?)`, cursor[1], cursor[2])
	}
	if show == "unread" {
		add(`read_at = 0`)
	}
	limit = Filter{Limit: limit}.limit()
	rows, err := s.read.QueryContext(ctx, s.bind(`SELECT target, repo, public, sweep, read_at, artifacts, `+total+` AS total, CASE WHEN gap <> '' THEN gap ELSE coalesce((SELECT min(g.gap) FROM serve_gap g WHERE g.target = r.target AND g.repo = r.repo), '') END
FROM serve_repo r WHERE `+strings.Join(where, ` AND `)+` ORDER BY `+order+` LIMIT `+strconv.Itoa(limit+1)), args...)
	if err != nil {
		return nil, "", err
	}
	defer rows.Close()
	for rows.Next() {
		var r Repo
		var public int
		var read int64
		if err := rows.Scan(&r.Target, &r.Repo, &public, &r.Sweep, &read, &r.Artifacts, &r.Gaps, &r.Gap); err != nil {
			return nil, "", err
		}
		r.Public, r.ReadAt = public != 0, Time(read)
		out = append(out, r)
	}
	if len(out) > limit {
		out = out[:limit]
		last := out[limit-1]
		b, err := json.Marshal([3]string{strconv.FormatInt(last.Gaps, 10), last.Target, last.Repo})
		if err != nil {
			return nil, "", err
		}
		next = string(b)
	}
	return out, next, rows.Err()
}

// Worker is a process that shares the queue.
type Worker struct {
	ID, Host      string
	Started, Seen time.Time
}

// Workers lists the processes that showed themselves.
func (s *Store) Workers(ctx context.Context) (out []Worker, err error) {
	rows, err := s.read.QueryContext(ctx, `SELECT id, host, started, seen FROM serve_worker ORDER BY started LIMIT 200`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var w Worker
		var started, seen int64
		if err := rows.Scan(&w.ID, &w.Host, &started, &seen); err != nil {
			return nil, err
		}
		w.Started, w.Seen = Time(started), Time(seen)
		out = append(out, w)
	}
	return out, rows.Err()
}

// KillsSince counts the kills that count for kill.max after a time.
func (s *Store) KillsSince(ctx context.Context, since time.Time) (n int64, err error) {
	err = s.read.QueryRowContext(ctx, s.bind(`SELECT count(*) FROM serve_kill WHERE at > ?`), Millis(since)).Scan(&n)
	return n, err
}

// Job is a job that is not done, or that failed for good.
type Job struct {
	ID      int64
	Kind    string
	State   string
	Args    string // JSON: names, never a secret
	Attempt int
	Due     time.Time
	Error   string // of the last attempt, redacted
}

// Waiting lists the jobs that wait for a time, an attempt or a server's limit, and those that
// failed for good, at most n.
func (s *Store) Waiting(ctx context.Context, n int) (out []Job, err error) {
	args, last := `args`, `coalesce(json_extract(errors, '$[#-1].error'), '')`
	if s.pool != nil {
		args, last = `args::text`, `coalesce((errors[array_upper(errors, 1)])::json->>'error', '')`
	}
	rows, err := s.read.QueryContext(ctx, s.bind(`SELECT id, kind, state, `+args+`, attempt, scheduled_at, `+last+` FROM river_job WHERE state IN ('discarded', 'retryable', 'scheduled') ORDER BY CASE state WHEN 'discarded' THEN 0 WHEN 'retryable' THEN 1 ELSE 2 END, id DESC LIMIT ?`), n)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var j Job
		var due any
		var raw []byte
		if err := rows.Scan(&j.ID, &j.Kind, &j.State, &raw, &j.Attempt, &due, &j.Error); err != nil {
			return nil, err
		}
		j.Args = string(raw)
		switch d := due.(type) {
		case time.Time:
			j.Due = d.UTC()
		case string:
			for _, form := range []string{"2006-01-02 15:04:05.999", time.RFC3339Nano} {
				if t, err := time.Parse(form, d); err == nil {
					j.Due = t
					break
				}
			}
		}
		out = append(out, j)
	}
	return out, rows.Err()
}
