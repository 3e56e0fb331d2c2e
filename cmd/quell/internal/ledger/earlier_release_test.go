package ledger

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"
)

// earlierSchema is the layout of the release before the table schema_version
// existed.
const earlierSchema = `
CREATE TABLE IF NOT EXISTS ledger (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	at TEXT NOT NULL, incident TEXT NOT NULL, type TEXT NOT NULL, actor TEXT NOT NULL, run TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS ledger_incident ON ledger(incident, id);
CREATE TRIGGER IF NOT EXISTS ledger_no_update BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS ledger_no_delete BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TABLE IF NOT EXISTS sealed (incident TEXT PRIMARY KEY, rule TEXT NOT NULL, cookie TEXT NOT NULL, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS memory (scope TEXT NOT NULL, key TEXT NOT NULL, at INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY (scope, key)) STRICT, WITHOUT ROWID;`

// earlierRelease writes a ledger with the statements of that release.
type earlierRelease struct{ db *sql.DB }

func openEarlier(t testing.TB, path string) earlierRelease {
	t.Helper()
	db := raw(t, path)
	if _, err := db.Exec(earlierSchema); err != nil {
		t.Fatal(err)
	}
	return earlierRelease{db}
}

func (r earlierRelease) append(ctx context.Context, incident string, kind Type, actor, run, body string) error {
	var prev string
	if err := r.db.QueryRowContext(ctx, `SELECT hash FROM ledger ORDER BY id DESC LIMIT 1`).Scan(&prev); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	w := row{time.Now().UTC().Format(time.RFC3339Nano), incident, string(kind), actor, run, body}
	_, err := r.db.ExecContext(ctx, `INSERT INTO ledger(at, incident, type, actor, run, body, hash) VALUES (?,?,?,?,?,?,?)`, w.at, w.incident, w.kind, w.actor, w.run, w.body, w.hash(prev))
	return err
}

func (r earlierRelease) keep(ctx context.Context, incident, rule, cookie, sealed string) error {
	_, err := r.db.ExecContext(ctx, `INSERT INTO sealed(incident, rule, cookie, value) VALUES (?,?,?,?) ON CONFLICT(incident) DO UPDATE SET value = excluded.value`, incident, rule, cookie, sealed)
	return err
}

// verify returns the id of the first entry that does not follow from the one
// before it, or 0.
func (r earlierRelease) verify(t testing.TB) (bad int64, entries int) {
	t.Helper()
	rows, err := r.db.Query(`SELECT id, at, incident, type, actor, run, body, hash FROM ledger ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	prev := ""
	for rows.Next() {
		var id int64
		var w row
		var hash string
		if err := rows.Scan(&id, &w.at, &w.incident, &w.kind, &w.actor, &w.run, &w.body, &hash); err != nil {
			t.Fatal(err)
		}
		if w.hash(prev) != hash && bad == 0 {
			bad = id
		}
		prev = hash
		entries++
	}
	return bad, entries
}

// earlierLedger is a ledger as that release leaves it.
func earlierLedger(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger.db")
	old := openEarlier(t, path)
	for _, c := range earlierBodies() {
		if err := old.append(t.Context(), "abc", c.kind, "somebody <a@b>", "1", c.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := old.keep(t.Context(), "abc", "express", "sid", "sealed"); err != nil {
		t.Fatal(err)
	}
	return path
}
