package store

import (
	"context"
	"time"
)

// over selects the credentials that are dead, and were neither live nor found since a time.
const over = `state = 'dead' AND live_at < ? AND last_at < ?`

// Over lists at most n credentials that are dead and were neither live nor found since a time;
// sealed: only those whose value is kept.
func (s *Store) Over(ctx context.Context, before time.Time, sealed bool, n int) (out []string, err error) {
	where := over
	if sealed {
		where += ` AND sealed <> ''`
	}
	rows, err := s.read.QueryContext(ctx, s.bind(`SELECT fingerprint FROM serve_credential WHERE `+where+` ORDER BY first_at LIMIT ?`), Millis(before), Millis(before), n)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var fp string
		if err := rows.Scan(&fp); err != nil {
			return nil, err
		}
		out = append(out, fp)
	}
	return out, rows.Err()
}

// Sealed reports whether the value of a credential is kept.
func (s *Store) Sealed(ctx context.Context, fingerprint string) (bool, error) {
	var n int
	err := s.read.QueryRowContext(ctx, s.bind(`SELECT count(*) FROM serve_credential WHERE fingerprint = ? AND sealed <> ''`), fingerprint).Scan(&n)
	return n > 0, err
}

// Forget deletes the sealed value of a credential, and the plans that have it too. Its row stays.
func (t *Tx) Forget(fingerprint string) error {
	for _, q := range []string{`UPDATE serve_credential SET sealed = '' WHERE fingerprint = ?`, `DELETE FROM serve_plan WHERE fingerprint = ?`, `DELETE FROM serve_proposal WHERE fingerprint = ?`} {
		if _, err := t.Exec(q, fingerprint); err != nil {
			return err
		}
	}
	return nil
}

// Drop deletes all that lists have of a credential.
func (t *Tx) Drop(fingerprint string) error {
	if err := t.Forget(fingerprint); err != nil {
		return err
	}
	for _, q := range []string{`DELETE FROM serve_exposure WHERE fingerprint = ?`, `DELETE FROM serve_credential WHERE fingerprint = ?`} {
		if _, err := t.Exec(q, fingerprint); err != nil {
			return err
		}
	}
	return nil
}
