// Package store keeps the ledger: the append-only record of what was found,
// decided, done and proven.
package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Entry is one fact of an incident. An incident is one credential's story; its
// id is the credential's fingerprint.
type Entry struct {
	ID       int64           `json:"id"`
	At       time.Time       `json:"at"`
	Incident string          `json:"incident"`
	Type     string          `json:"type"` // found, verdict, held, intent, receipt, rotation, observation, derived, outcome, override
	Actor    string          `json:"actor"`
	Run      string          `json:"run"` // a plan's id, or a scan's
	Body     json.RawMessage `json:"body"`
	Hash     string          `json:"hash"` // over this entry and the one before: a chain
}

// Ledger is a SQLite file, or tables of a PostgreSQL database. Every Append is durable
// when it returns.
type Ledger struct {
	db     *sql.DB
	server bool // PostgreSQL
}

const schema = `
CREATE TABLE IF NOT EXISTS ledger (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	at TEXT NOT NULL, incident TEXT NOT NULL, type TEXT NOT NULL, actor TEXT NOT NULL, run TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS ledger_incident ON ledger(incident, id);
CREATE TRIGGER IF NOT EXISTS ledger_no_update BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS ledger_no_delete BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TABLE IF NOT EXISTS sealed (incident TEXT PRIMARY KEY, rule TEXT NOT NULL, cookie TEXT NOT NULL, value TEXT NOT NULL) STRICT;
`

// Remote reports whether a state is kept by a server, and outlives any machine.
func Remote(path string) bool {
	return strings.HasPrefix(path, "postgres://") || strings.HasPrefix(path, "postgresql://")
}

// Open opens or makes the ledger at path.
func Open(path string) (*Ledger, error) {
	if Remote(path) {
		return openServer(path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	// FULL: a commit is on the disk when it returns.
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("ledger %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(schema); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("ledger %s: %w", path, err)
	}
	_ = os.Chmod(path, 0o600)
	return &Ledger{db: db}, nil
}

// Close closes the file.
func (l *Ledger) Close() error { return l.db.Close() }

// Append records a fact. When it returns nil the fact survives a crash.
func (l *Ledger) Append(ctx context.Context, e Entry, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	if e.At.IsZero() {
		e.At = time.Now()
	}
	at := e.At.UTC().Format(time.RFC3339Nano)
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	if l.server {
		// One appends at a time, or two entries would follow the same one.
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, appendLock); err != nil {
			return fmt.Errorf("ledger: %w", err)
		}
	}
	var prev string
	if err := tx.QueryRow(`SELECT hash FROM ledger ORDER BY id DESC LIMIT 1`).Scan(&prev); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("ledger: %w", err)
	}
	h := link(prev, at, e.Incident, e.Type, e.Actor, e.Run, string(b))
	if _, err := tx.Exec(l.q(`INSERT INTO ledger(at, incident, type, actor, run, body, hash) VALUES (?,?,?,?,?,?,?)`), at, e.Incident, e.Type, e.Actor, e.Run, string(b), h); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

func link(prev string, fields ...string) string {
	b, _ := json.Marshal(append([]string{prev}, fields...))
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// Incident gives the entries of one incident in order; a prefix of its id
// suffices where it is unique. An empty id gives all entries.
func (l *Ledger) Incident(ctx context.Context, id string) ([]Entry, error) {
	rows, err := l.db.QueryContext(ctx, l.q(`SELECT id, at, incident, type, actor, run, body, hash FROM ledger WHERE substr(incident, 1, ?) = ? ORDER BY id`), len(id), id)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	defer rows.Close()
	var out []Entry
	for rows.Next() {
		var e Entry
		var at, body string
		if err := rows.Scan(&e.ID, &at, &e.Incident, &e.Type, &e.Actor, &e.Run, &body, &e.Hash); err != nil {
			return nil, fmt.Errorf("ledger: %w", err)
		}
		e.At, _ = time.Parse(time.RFC3339Nano, at)
		e.Body = json.RawMessage(body)
		out = append(out, e)
	}
	return out, rows.Err()
}

// Verify walks the chain and returns the id of the first entry that does not
// fit the one before it, or 0.
func (l *Ledger) Verify(ctx context.Context) (int64, error) {
	all, err := l.Incident(ctx, "")
	if err != nil {
		return 0, err
	}
	prev := ""
	for _, e := range all {
		if link(prev, e.At.UTC().Format(time.RFC3339Nano), e.Incident, e.Type, e.Actor, e.Run, string(e.Body)) != e.Hash {
			return e.ID, nil
		}
		prev = e.Hash
	}
	return 0, nil
}

// Keep stores a sealed credential, so that it can be asked about later. It
// stands outside of the ledger and can be purged.
func (l *Ledger) Keep(ctx context.Context, incident, rule, cookie, sealed string) error {
	_, err := l.db.ExecContext(ctx, l.q(`INSERT INTO sealed(incident, rule, cookie, value) VALUES (?,?,?,?) ON CONFLICT(incident) DO UPDATE SET value = excluded.value`), incident, rule, cookie, sealed)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

// Kept is a sealed credential of an incident.
type Kept struct{ Incident, Rule, Cookie, Sealed string }

// Kept lists the sealed credentials.
func (l *Ledger) Kept(ctx context.Context) ([]Kept, error) {
	rows, err := l.db.QueryContext(ctx, `SELECT incident, rule, cookie, value FROM sealed ORDER BY incident`)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	defer rows.Close()
	var out []Kept
	for rows.Next() {
		var k Kept
		if err := rows.Scan(&k.Incident, &k.Rule, &k.Cookie, &k.Sealed); err != nil {
			return nil, fmt.Errorf("ledger: %w", err)
		}
		out = append(out, k)
	}
	return out, rows.Err()
}

// Purge forgets all sealed credentials. The ledger stays.
func (l *Ledger) Purge(ctx context.Context) (int64, error) {
	r, err := l.db.ExecContext(ctx, `DELETE FROM sealed`)
	if err != nil {
		return 0, fmt.Errorf("ledger: %w", err)
	}
	return r.RowsAffected()
}
