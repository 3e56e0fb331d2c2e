package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"time"
)

// Proposal is a plan that people approve before it is sent.
type Proposal struct {
	Fingerprint string
	Digest      string // of what it would do; see plan.Digest
	File        string // the signed plan
	Needed      int    // people who must approve
	At          time.Time
}

// Propose keeps a proposal, and reports whether it is another one than before.
func (t *Tx) Propose(p Proposal) (fresh bool, err error) {
	var have string
	err = t.QueryRow(`SELECT digest FROM serve_proposal WHERE fingerprint = ?`, p.Fingerprint).Scan(&have)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	_, err = t.Exec(`INSERT INTO serve_proposal(fingerprint, digest, file, needed, at) VALUES (?,?,?,?,?)
ON CONFLICT(fingerprint) DO UPDATE SET digest = excluded.digest, file = excluded.file, needed = excluded.needed, at = excluded.at`, p.Fingerprint, p.Digest, p.File, p.Needed, Millis(p.At))
	return have != p.Digest, err
}

// Decided drops the proposal of a credential.
func (t *Tx) Decided(fingerprint string) error {
	_, err := t.Exec(`DELETE FROM serve_proposal WHERE fingerprint = ?`, fingerprint)
	return err
}

const proposalColumns = `fingerprint, digest, file, needed, at`

func scanProposal(scan func(...any) error) (p Proposal, err error) {
	var at int64
	err = scan(&p.Fingerprint, &p.Digest, &p.File, &p.Needed, &at)
	p.At = Time(at)
	return p, err
}

// Proposal reads one; ErrUnknown if there is none.
func (s *Store) Proposal(ctx context.Context, fingerprint string) (Proposal, error) {
	p, err := scanProposal(s.read.QueryRowContext(ctx, s.bind(`SELECT `+proposalColumns+` FROM serve_proposal WHERE fingerprint = ?`), fingerprint).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return p, ErrUnknown
	}
	return p, err
}

// Proposals lists at most n, the oldest first.
func (s *Store) Proposals(ctx context.Context, n int) (out []Proposal, err error) {
	rows, err := s.read.QueryContext(ctx, s.bind(`SELECT `+proposalColumns+` FROM serve_proposal ORDER BY at, fingerprint LIMIT ?`), n)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		p, err := scanProposal(rows.Scan)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, rows.Err()
}

// Session is a person's login at the web page.
type Session struct {
	Person  string
	Method  string // token or oidc
	Subject string // at the OpenID provider
	Approve bool
	Created time.Time
	Seen    time.Time
	Expires time.Time
}

// hashed is the id of a session as the database has it: a copy of the database gives no access.
func hashed(id string) string {
	sum := sha256.Sum256([]byte("quell session\n" + id))
	return hex.EncodeToString(sum[:])
}

// Begin records a session, and removes those that have expired.
func (s *Store) Begin(ctx context.Context, id string, x Session) error {
	return s.Update(ctx, func(tx *Tx) error {
		if _, err := tx.Exec(`DELETE FROM serve_session WHERE expires < ?`, Millis(x.Created)); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO serve_session(id, person, method, subject, approve, created, seen, expires) VALUES (?,?,?,?,?,?,?,?)`, hashed(id), x.Person, x.Method, x.Subject, flag(x.Approve), Millis(x.Created), Millis(x.Seen), Millis(x.Expires))
		return err
	})
}

// Session reads a session; ErrUnknown if there is none or it has expired.
func (s *Store) Session(ctx context.Context, id string, now time.Time) (x Session, err error) {
	var approve int
	var created, seen, expires int64
	err = s.read.QueryRowContext(ctx, s.bind(`SELECT person, method, subject, approve, created, seen, expires FROM serve_session WHERE id = ?`), hashed(id)).Scan(&x.Person, &x.Method, &x.Subject, &approve, &created, &seen, &expires)
	if errors.Is(err, sql.ErrNoRows) || err == nil && expires <= Millis(now) {
		return Session{}, ErrUnknown
	}
	x.Approve, x.Created, x.Seen, x.Expires = approve != 0, Time(created), Time(seen), Time(expires)
	return x, err
}

// Touch records that a session is used until a time.
func (s *Store) Touch(ctx context.Context, id string, seen, expires time.Time) error {
	return s.Update(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`UPDATE serve_session SET seen = ?, expires = ? WHERE id = ?`, Millis(seen), Millis(expires), hashed(id))
		return err
	})
}

// End removes a session.
func (s *Store) End(ctx context.Context, id string) error {
	return s.Update(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`DELETE FROM serve_session WHERE id = ?`, hashed(id))
		return err
	})
}

// Configured ends the sessions of a method if what may sign in by it has changed since the last
// start, which digest names: who may do less must sign in again.
func (s *Store) Configured(ctx context.Context, method, digest string) error {
	return s.Update(ctx, func(tx *Tx) error {
		n, err := tx.Exec(`INSERT INTO serve_meta(key, value) VALUES (?,?) ON CONFLICT(key) DO UPDATE SET value = excluded.value WHERE serve_meta.value <> excluded.value`, "people "+method, digest)
		if err != nil || n == 0 {
			return err
		}
		_, err = tx.Exec(`DELETE FROM serve_session WHERE method = ?`, method)
		return err
	})
}
