package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

type sqlite struct{ clock clock }

var sqliteMigrations = []string{
	// The layout of the release without versions.
	`CREATE TABLE IF NOT EXISTS ledger (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	at TEXT NOT NULL, incident TEXT NOT NULL, type TEXT NOT NULL, actor TEXT NOT NULL, run TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS ledger_incident ON ledger(incident, id);
CREATE TRIGGER IF NOT EXISTS ledger_no_update BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS ledger_no_delete BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TABLE IF NOT EXISTS sealed (incident TEXT PRIMARY KEY, rule TEXT NOT NULL, cookie TEXT NOT NULL, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS memory (scope TEXT NOT NULL, key TEXT NOT NULL, at INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY (scope, key)) STRICT, WITHOUT ROWID;`,

	`CREATE TABLE schema_version (version INTEGER NOT NULL) STRICT;
CREATE TABLE head (key TEXT PRIMARY KEY, id INTEGER NOT NULL, hash TEXT NOT NULL, count INTEGER NOT NULL, at TEXT NOT NULL, signature TEXT NOT NULL) STRICT;
CREATE TABLE lease (incident TEXT PRIMARY KEY, holder TEXT NOT NULL, fence INTEGER NOT NULL, expires INTEGER NOT NULL, boot TEXT NOT NULL, ticks INTEGER NOT NULL) STRICT;
ALTER TABLE sealed ADD COLUMN ref TEXT NOT NULL DEFAULT '';`,
}

// OpenSQLite opens a handle of one connection to the file of a ledger, for tables of other
// packages in it.
func OpenSQLite(path string) (*sql.DB, error) { return openSQLite(path) }

// OpenSQLiteReader opens the file of a ledger for reading alone, by several connections.
func OpenSQLiteReader(path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_pragma=busy_timeout(10000)&_pragma=query_only(1)")
	if err != nil {
		return nil, fmt.Errorf("ledger %s: %w", path, err)
	}
	db.SetMaxOpenConns(4)
	return db, nil
}

func openSQLite(path string) (*sql.DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	// SQLite gives its write-ahead log the mode of the file, so the file has its
	// mode before SQLite opens it.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	_ = f.Chmod(0o600)
	_ = f.Close()
	// FULL: a commit is on the disk when it returns.
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("ledger %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

func (sqlite) bind(query string) string { return query }
func (sqlite) migrations() []string     { return sqliteMigrations }
func (sqlite) insert() string           { return insertEntry }
func (sqlite) hasTable() string {
	return `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?`
}

func (sqlite) shared() bool                 { return false }
func (sqlite) snapshot() sql.IsolationLevel { return sql.LevelDefault }

// Transactions are immediate: each is the only writer from its beginning.
func (sqlite) lock(context.Context, *sql.Tx) error             { return nil }
func (sqlite) lockHead(context.Context, *sql.Tx, string) error { return nil }
func (sqlite) inserted(context.Context, *sql.Tx, int64) error  { return nil }

func (s sqlite) now(context.Context, *sql.Tx) (instant, error) {
	return s.clock.read(time.Now()), nil
}

func (s sqlite) gone(holder string) bool { return s.clock.ended(holder) }

// structure checks by SQLite that the indexes match the table, and that there are no triggers
// but the two that keep the ledger append-only.
func (sqlite) structure(ctx context.Context, tx *sql.Tx) ([]Problem, error) {
	var out []Problem
	said, err := column(ctx, tx, `PRAGMA integrity_check(3)`)
	if err != nil {
		return nil, err
	}
	for _, s := range said {
		if s != "ok" {
			out = append(out, Problem{Kind: BadDatabase, Detail: "the database is damaged: " + s})
		}
	}
	triggers, err := column(ctx, tx, `SELECT name FROM sqlite_master WHERE type = 'trigger' ORDER BY name`)
	if err != nil {
		return nil, err
	}
	if want := []string{"ledger_no_delete", "ledger_no_update"}; !slices.Equal(triggers, want) {
		out = append(out, Problem{Kind: BadDatabase, Detail: fmt.Sprintf("the triggers are %v and not %v", triggers, want)})
	}
	return out, nil
}

func column(ctx context.Context, tx *sql.Tx, query string, args ...any) ([]string, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}
