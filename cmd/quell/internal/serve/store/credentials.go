package store

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// Credential is a leaked credential. The ledger has its history.
type Credential struct {
	Fingerprint string
	Rule        string
	Provider    string
	Redacted    string
	Ref         string // credential.Ref as JSON
	Sealed      string // the value; empty once it was deleted
	Target      string // where it was first found
	Public      bool   // found where everyone can read it
	Exposures   int64
	First, Last time.Time // first and newest exposure
	State       string    // live, dead, unknown; empty: not probed yet
	Reason      string
	Detail      string
	Host        string
	ProbedAt    time.Time
	Live        time.Time // when an issuer last accepted it
	Outcome     string    // of the last kill; empty: there was none
	OutcomeAt   time.Time
}

// ErrUnknown is returned for a credential that the store does not have.
var ErrUnknown = errors.New("no such credential")

const credentialColumns = `fingerprint, rule, provider, redacted, ref, sealed, target, public, exposures, first_at, last_at, state, reason, detail, host, asked_at, live_at, outcome, outcome_at`

func scanCredential(scan func(...any) error) (c Credential, err error) {
	var public int
	var first, last, probed, live, outcome int64
	err = scan(&c.Fingerprint, &c.Rule, &c.Provider, &c.Redacted, &c.Ref, &c.Sealed, &c.Target, &public, &c.Exposures, &first, &last, &c.State, &c.Reason, &c.Detail, &c.Host, &probed, &live, &c.Outcome, &outcome)
	c.Public, c.First, c.Last, c.ProbedAt, c.Live, c.OutcomeAt = public != 0, Time(first), Time(last), Time(probed), Time(live), Time(outcome)
	return c, err
}

// Credential reads one.
func (s *Store) Credential(ctx context.Context, fingerprint string) (Credential, error) {
	c, err := scanCredential(s.db.QueryRowContext(ctx, s.bind(`SELECT `+credentialColumns+` FROM serve_credential WHERE fingerprint = ?`), fingerprint).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return c, ErrUnknown
	}
	return c, err
}

// Unseen returns which of the places of a credential are not recorded yet.
func (s *Store) Unseen(ctx context.Context, fingerprint string, places []string) ([]string, error) {
	var out []string
	for _, p := range places {
		var n int
		if err := s.db.QueryRowContext(ctx, s.bind(`SELECT count(*) FROM serve_exposure WHERE fingerprint = ? AND place = ?`), fingerprint, p).Scan(&n); err != nil {
			return nil, err
		}
		if n == 0 {
			out = append(out, p)
		}
	}
	return out, nil
}

// Found records a credential with places at which it is exposed, and returns its row as it was
// before. The row of a new one is zero. Of a known one the form that is kept stays, unless replaces
// reports that the new one is better, or its value was deleted.
func (t *Tx) Found(c Credential, places []string, now time.Time, replaces func(before Credential) bool) (before Credential, replaced bool, err error) {
	before, err = scanCredential(t.QueryRow(`SELECT `+credentialColumns+` FROM serve_credential WHERE fingerprint = ?`, c.Fingerprint).Scan)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return before, false, err
	}
	fresh := int64(0)
	for _, p := range places {
		n, err := t.Exec(`INSERT INTO serve_exposure(fingerprint, place) VALUES (?,?) ON CONFLICT(fingerprint, place) DO NOTHING`, c.Fingerprint, p)
		if err != nil {
			return before, false, err
		}
		fresh += n
	}
	last := Millis(now)
	if fresh == 0 && before.Fingerprint != "" {
		last = Millis(before.Last)
	}
	_, err = t.Exec(`INSERT INTO serve_credential(`+credentialColumns+`) VALUES (?,?,?,?,?,?,?,?,?,?,?,'','','','',0,0,'',0)
ON CONFLICT(fingerprint) DO UPDATE SET exposures = serve_credential.exposures + ?, last_at = excluded.last_at,
	public = CASE WHEN excluded.public > serve_credential.public THEN excluded.public ELSE serve_credential.public END`,
		c.Fingerprint, c.Rule, c.Provider, c.Redacted, c.Ref, c.Sealed, c.Target, flag(c.Public), fresh, Millis(now), last, fresh)
	if err != nil || before.Fingerprint == "" || before.Sealed != "" && !replaces(before) {
		return before, false, err
	}
	_, err = t.Exec(`UPDATE serve_credential SET rule = ?, provider = ?, redacted = ?, ref = ?, sealed = ? WHERE fingerprint = ?`, c.Rule, c.Provider, c.Redacted, c.Ref, c.Sealed, c.Fingerprint)
	return before, true, err
}

// Describe replaces what is known about a credential besides its value: its Ref as JSON.
func (t *Tx) Describe(fingerprint, ref string) error {
	_, err := t.Exec(`UPDATE serve_credential SET ref = ? WHERE fingerprint = ?`, ref, fingerprint)
	return err
}

// Verdict records a verdict.
func (t *Tx) Verdict(fingerprint, state, reason, detail, host string, at time.Time) error {
	live := int64(0)
	if state == "live" {
		live = Millis(at)
	}
	if state == "dead" {
		if err := t.Decided(fingerprint); err != nil {
			return err
		}
	}
	_, err := t.Exec(`UPDATE serve_credential SET state = ?, reason = ?, detail = ?, host = ?, asked_at = ?, live_at = CASE WHEN CAST(? AS BIGINT) > 0 THEN CAST(? AS BIGINT) ELSE live_at END WHERE fingerprint = ?`,
		state, reason, detail, host, Millis(at), live, live, fingerprint)
	return err
}

// Plan reads the signed plan that a kill of a credential has begun; empty: none.
func (s *Store) Plan(ctx context.Context, fingerprint string) (file string, err error) {
	err = s.db.QueryRowContext(ctx, s.bind(`SELECT file FROM serve_plan WHERE fingerprint = ?`), fingerprint).Scan(&file)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return file, err
}

// Begun lists the credentials whose kill has begun and has no outcome.
func (s *Store) Begun(ctx context.Context) (out []string, err error) {
	rows, err := s.Query(ctx, `SELECT fingerprint FROM serve_plan ORDER BY fingerprint`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var f string
		if err := rows.Scan(&f); err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, rows.Err()
}

// Plan keeps a signed plan until the kill has an outcome.
func (t *Tx) Plan(fingerprint, file string) error {
	_, err := t.Exec(`INSERT INTO serve_plan(fingerprint, file) VALUES (?,?) ON CONFLICT(fingerprint) DO UPDATE SET file = excluded.file`, fingerprint, file)
	return err
}

// Ended records the outcome of a kill, and drops its plan; and its proposal, unless it is held.
func (t *Tx) Ended(fingerprint, outcome, detail string, at time.Time) error {
	if _, err := t.Exec(`DELETE FROM serve_plan WHERE fingerprint = ?`, fingerprint); err != nil {
		return err
	}
	if outcome != "Held" {
		if err := t.Decided(fingerprint); err != nil {
			return err
		}
	}
	_, err := t.Exec(`UPDATE serve_credential SET outcome = ?, detail = ?, outcome_at = ? WHERE fingerprint = ?`, outcome, detail, Millis(at), fingerprint)
	return err
}

// DueRechecks lists the credentials that were last probed before a time and are probed again: those
// that were live, had no answer, or were ended by quell after the time ended.
func (s *Store) DueRechecks(ctx context.Context, probed, ended time.Time) (out []string, err error) {
	rows, err := s.Query(ctx, `SELECT fingerprint FROM serve_credential WHERE sealed <> '' AND asked_at < ? AND (state <> 'dead' OR outcome <> '' AND outcome_at > ?) ORDER BY CASE state WHEN 'live' THEN 0 ELSE 1 END, first_at DESC`, Millis(probed), Millis(ended))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var f string
		if err := rows.Scan(&f); err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, rows.Err()
}

// Reserve counts a kill of this day, and reports whether the policy allows it: at most most
// credentials in any 24 hours, over all workers. One that was counted in them is allowed again, and
// keeps its time. fresh is set if it was not counted; wait is the time until another kill is
// allowed, if none is now. Times are the database's: machines' clocks may differ.
func (s *Store) Reserve(ctx context.Context, fingerprint string, most int) (ok, fresh bool, wait time.Duration, err error) {
	err = s.Update(ctx, func(tx *Tx) error {
		if s.pool != nil {
			if _, err := tx.Exec(`SELECT pg_advisory_xact_lock(?)`, migrationLock+1); err != nil {
				return err
			}
		}
		now := time.Now()
		if s.pool != nil {
			// The transaction may have begun long before it got the lock.
			if err := tx.QueryRow(`SELECT clock_timestamp()`).Scan(&now); err != nil {
				return err
			}
		}
		var had bool
		if had, wait, err = room(tx.QueryRow, fingerprint, most, now); err != nil || wait > 0 {
			return err
		}
		if ok = true; had {
			return nil
		}
		fresh = true
		_, err := tx.Exec(`INSERT INTO serve_kill(fingerprint, at) VALUES (?,?) ON CONFLICT(fingerprint) DO UPDATE SET at = excluded.at`, fingerprint, Millis(now))
		return err
	})
	return ok, fresh, wait, err
}

// Room reports how long it is until a kill of a credential may be counted; zero: none.
func (s *Store) Room(ctx context.Context, fingerprint string, most int) (time.Duration, error) {
	now, err := s.Now(ctx)
	if err != nil {
		return 0, err
	}
	_, wait, err := room(func(query string, args ...any) *sql.Row { return s.db.QueryRowContext(ctx, s.bind(query), args...) }, fingerprint, most, now)
	return wait, err
}

const killDay = 24 * time.Hour

func room(query func(string, ...any) *sql.Row, fingerprint string, most int, now time.Time) (had bool, wait time.Duration, err error) {
	since := Millis(now.Add(-killDay))
	var mine, others, first int64
	err = query(`SELECT coalesce(sum(CASE WHEN fingerprint = ? THEN 1 ELSE 0 END), 0), coalesce(sum(CASE WHEN fingerprint = ? THEN 0 ELSE 1 END), 0), coalesce(min(at), 0) FROM serve_kill WHERE at > ?`, fingerprint, fingerprint, since).Scan(&mine, &others, &first)
	if err != nil || mine > 0 || others < int64(most) {
		return mine > 0, 0, err
	}
	if first == 0 { // the policy allows none at all
		return false, killDay, nil
	}
	return false, min(max(Time(first).Add(killDay).Sub(now), time.Millisecond), killDay), nil
}

// Release takes back a kill that was counted and for which nothing was sent.
func (t *Tx) Release(fingerprint string) error {
	_, err := t.Exec(`DELETE FROM serve_kill WHERE fingerprint = ?`, fingerprint)
	return err
}

// States counts the credentials by state and outcome.
func (s *Store) States(ctx context.Context) (out map[[2]string]int64, err error) {
	rows, err := s.Query(ctx, `SELECT state, outcome, count(*) FROM serve_credential GROUP BY state, outcome`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out = map[[2]string]int64{}
	for rows.Next() {
		var k [2]string
		var n int64
		if err := rows.Scan(&k[0], &k[1], &n); err != nil {
			return nil, err
		}
		out[k] = n
	}
	return out, rows.Err()
}
