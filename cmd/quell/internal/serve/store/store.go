// Package store keeps what quell serve knows besides the ledger: the queue (River's tables),
// the state of each target and repository, and one row for each leaked credential, which lists
// read. It shares the database of the ledger.
//
// No column has a secret in clear. A credential's value is sealed, and can be deleted while its
// row and the ledger stay. Times are in milliseconds since 1970, 0 for never.
package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
)

// Store is an open database.
type Store struct {
	db   *sql.DB
	pool *pgxpool.Pool // of PostgreSQL; nil: SQLite
	// read is for lists. On SQLite it has connections of its own: a list that a person looks at
	// does not delay the queue, which has one connection.
	read *sql.DB
	own  ownLimits // of SQLite
}

// Open opens the database of a ledger, and creates or migrates the tables of this package and
// of River.
func Open(ctx context.Context, state string) (*Store, error) {
	s := &Store{}
	if ledger.Remote(state) {
		u, err := ledger.PostgresURL(state)
		if err != nil {
			return nil, err
		}
		if s.pool, err = pgxpool.New(ctx, u.String()); err != nil {
			return nil, errors.New("the address of the PostgreSQL database cannot be parsed")
		}
		s.db = stdlib.OpenDBFromPool(s.pool)
		s.read = s.db
	} else {
		db, err := ledger.OpenSQLite(state)
		if err != nil {
			return nil, err
		}
		s.db = db
	}
	if err := s.migrate(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("the tables of quell serve in %s: %w", ledger.Shown(state), err)
	}
	if s.read == nil {
		var err error
		if s.read, err = ledger.OpenSQLiteReader(state); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// Close closes the database.
func (s *Store) Close() {
	if s.read != nil && s.read != s.db {
		_ = s.read.Close()
	}
	_ = s.db.Close()
	if s.pool != nil {
		s.pool.Close()
	}
}

// Shared reports whether several machines can use the database.
func (s *Store) Shared() bool { return s.pool != nil }

// Driver is River's for the database. On PostgreSQL it learns of new jobs by LISTEN.
func (s *Store) Driver() riverdriver.Driver[*sql.Tx] {
	if s.pool != nil {
		return riverdatabasesql.NewWithPgxListener(s.db, s.pool)
	}
	return riversqlite.New(s.db)
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	return s.db.QueryRowContext(ctx, `SELECT 1`).Scan(&one)
}

// Now is the time of the database, by which all workers agree who is there and what is due. A
// SQLite file has one worker, and its machine's clock.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	if s.pool == nil {
		return time.Now(), nil
	}
	var t time.Time
	err := s.db.QueryRowContext(ctx, `SELECT now()`).Scan(&t)
	return t, err
}

// migrationLock is the number of the advisory lock of PostgreSQL under which one process
// migrates.
const migrationLock int64 = 487_300_885_613

// migration leads to the next version of this package's tables.
type migration struct{ both, sqlite string } // statements for both databases, and for SQLite alone

// migrations are never changed.
var migrations = []migration{{both: `
CREATE TABLE serve_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE serve_worker (id TEXT PRIMARY KEY, host TEXT NOT NULL, started BIGINT NOT NULL, seen BIGINT NOT NULL);
CREATE TABLE serve_target (name TEXT PRIMARY KEY, next BIGINT NOT NULL, sweep BIGINT NOT NULL, entry BIGINT NOT NULL, page BIGINT NOT NULL, ended BIGINT NOT NULL, error TEXT NOT NULL);
CREATE TABLE serve_repo (target TEXT NOT NULL, repo TEXT NOT NULL, public INTEGER NOT NULL, sweep BIGINT NOT NULL, read_at BIGINT NOT NULL, artifacts BIGINT NOT NULL, gaps BIGINT NOT NULL, gap TEXT NOT NULL, PRIMARY KEY (target, repo));
CREATE TABLE serve_delivery (id TEXT PRIMARY KEY, at BIGINT NOT NULL);
CREATE INDEX serve_delivery_at ON serve_delivery(at);
CREATE TABLE serve_credential (fingerprint TEXT PRIMARY KEY, rule TEXT NOT NULL, provider TEXT NOT NULL, redacted TEXT NOT NULL, ref TEXT NOT NULL, sealed TEXT NOT NULL,
	target TEXT NOT NULL, public INTEGER NOT NULL, exposures BIGINT NOT NULL, first_at BIGINT NOT NULL, last_at BIGINT NOT NULL,
	state TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, host TEXT NOT NULL, asked_at BIGINT NOT NULL, live_at BIGINT NOT NULL, outcome TEXT NOT NULL, outcome_at BIGINT NOT NULL);
CREATE INDEX serve_credential_state ON serve_credential(state, first_at);
CREATE TABLE serve_exposure (fingerprint TEXT NOT NULL, place TEXT NOT NULL, PRIMARY KEY (fingerprint, place));
CREATE TABLE serve_kill (fingerprint TEXT PRIMARY KEY, at BIGINT NOT NULL);
CREATE INDEX serve_kill_at ON serve_kill(at);
CREATE TABLE serve_plan (fingerprint TEXT PRIMARY KEY, file TEXT NOT NULL);
`}, {both: `
CREATE TABLE serve_gap (target TEXT NOT NULL, repo TEXT NOT NULL, what TEXT NOT NULL, item TEXT NOT NULL, at BIGINT NOT NULL, gaps BIGINT NOT NULL, gap TEXT NOT NULL, PRIMARY KEY (target, repo, what, item));
`}, {both: `
CREATE INDEX serve_credential_status ON serve_credential((` + status + `), first_at DESC, fingerprint DESC);
CREATE INDEX serve_credential_first ON serve_credential(first_at DESC, fingerprint DESC, rule, provider, redacted, target, host);
CREATE INDEX serve_credential_target_first ON serve_credential(target, first_at DESC, fingerprint DESC);
CREATE INDEX serve_credential_target ON serve_credential(target, (` + status + `), first_at);
CREATE INDEX serve_job_kind ON river_job(kind, state);
CREATE INDEX serve_credential_ended ON serve_credential(outcome, outcome_at);
CREATE TABLE serve_proposal (fingerprint TEXT PRIMARY KEY, digest TEXT NOT NULL, file TEXT NOT NULL, needed BIGINT NOT NULL, at BIGINT NOT NULL);
CREATE TABLE serve_session (id TEXT PRIMARY KEY, person TEXT NOT NULL, method TEXT NOT NULL, approve INTEGER NOT NULL, created BIGINT NOT NULL, seen BIGINT NOT NULL, expires BIGINT NOT NULL);
`}, {both: `
CREATE TABLE serve_limit (name TEXT PRIMARY KEY, next BIGINT NOT NULL, held BIGINT NOT NULL);
`}, {both: `
DELETE FROM serve_session;
ALTER TABLE serve_session ADD COLUMN subject TEXT NOT NULL DEFAULT '';
`}, {sqlite: `
CREATE INDEX serve_credential_search ON serve_credential(first_at DESC, fingerprint DESC, target, (` + status + `), (` + searched + `));
`}, {both: `
CREATE INDEX serve_repo_sweep ON serve_repo(target, sweep, read_at, gaps);
`}}

func (s *Store) migrate(ctx context.Context) error {
	if s.pool != nil {
		conn, err := s.pool.Acquire(ctx)
		if err != nil {
			return errors.New("the database does not answer")
		}
		defer conn.Release()
		if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, migrationLock); err != nil {
			return err
		}
		defer conn.Exec(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, migrationLock) //nolint:errcheck // it ends with the connection
	}
	m, err := rivermigrate.New(s.Driver(), nil)
	if err != nil {
		return err
	}
	if err := s.known(ctx, m); err != nil {
		return err
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("the queue: %w", err)
	}
	return s.Update(ctx, func(tx *Tx) error {
		if _, err := tx.Exec(`CREATE TABLE IF NOT EXISTS serve_version (version INTEGER NOT NULL)`); err != nil {
			return err
		}
		var have int
		if err := tx.QueryRow(`SELECT coalesce(max(version), 0) FROM serve_version`).Scan(&have); err != nil {
			return err
		}
		for i, m := range migrations[have:] {
			statements := m.both
			if s.pool == nil {
				statements += m.sqlite
			}
			if statements != "" {
				if _, err := tx.ExecContext(ctx, statements); err != nil {
					return err
				}
			}
			if _, err := tx.Exec(`INSERT INTO serve_version(version) VALUES (?)`, have+i+1); err != nil {
				return err
			}
		}
		return nil
	})
}

// known reports an error if a newer quell has migrated the database. Nothing is changed then.
func (s *Store) known(ctx context.Context, m *rivermigrate.Migrator[*sql.Tx]) error {
	query := `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'serve_version'`
	if s.pool != nil {
		query = `SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'serve_version'`
	}
	var n, have int
	err := s.db.QueryRowContext(ctx, query).Scan(&n)
	if err == nil && n > 0 {
		err = s.db.QueryRowContext(ctx, `SELECT coalesce(max(version), 0) FROM serve_version`).Scan(&have)
	}
	if err != nil {
		return err
	}
	if have > len(migrations) {
		return fmt.Errorf("they have version %d, this quell knows versions up to %d (hint: update quell)", have, len(migrations))
	}
	if _, err := m.ExistingVersions(ctx); err != nil {
		if strings.Contains(err.Error(), "not found in migrator bundle") {
			return errors.New("the queue's tables have a version that this quell does not know (hint: update quell)")
		}
		return fmt.Errorf("the queue: %w", err)
	}
	return nil
}

// Tx is a transaction. Queries are written with ? for arguments.
type Tx struct {
	*sql.Tx
	ctx context.Context
	s   *Store
}

// Update runs f in a transaction, and commits it unless f returns an error.
func (s *Store) Update(ctx context.Context, f func(tx *Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	if err := f(&Tx{tx, ctx, s}); err != nil {
		return err
	}
	return tx.Commit()
}

// Exec runs a statement and returns how many rows it changed.
func (t *Tx) Exec(query string, args ...any) (int64, error) {
	r, err := t.ExecContext(t.ctx, t.s.bind(query), args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// QueryRow reads one row.
func (t *Tx) QueryRow(query string, args ...any) *sql.Row {
	return t.QueryRowContext(t.ctx, t.s.bind(query), args...)
}

// Query reads rows.
func (t *Tx) Query(query string, args ...any) (*sql.Rows, error) {
	return t.QueryContext(t.ctx, t.s.bind(query), args...)
}

// Query reads rows outside of a transaction.
func (s *Store) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return s.db.QueryContext(ctx, s.bind(query), args...)
}

// bind numbers the arguments for PostgreSQL.
func (s *Store) bind(query string) string {
	if s.pool == nil {
		return query
	}
	return ledger.Numbered(query)
}

// Millis is a time as columns have it.
func Millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Time reads a column.
func Time(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// NewWorker gives a name for this process, which no other has.
func NewWorker() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	return "quell-" + hex.EncodeToString(b)
}

// Exists reports whether the database of a ledger has the tables of this package.
func Exists(ctx context.Context, state string) (bool, error) {
	query := `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'serve_credential'`
	var db *sql.DB
	var err error
	if ledger.Remote(state) {
		u, err := ledger.PostgresURL(state)
		if err != nil {
			return false, err
		}
		if db, err = sql.Open("pgx", u.String()); err != nil {
			return false, errors.New("the address of the PostgreSQL database cannot be parsed")
		}
		query = `SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'serve_credential'`
	} else if db, err = ledger.OpenSQLiteReader(state); err != nil {
		return false, err
	}
	defer db.Close()
	var n int
	if err := db.QueryRowContext(ctx, query).Scan(&n); err != nil {
		return false, fmt.Errorf("the tables of quell serve in %s: %w", ledger.Shown(state), err)
	}
	return n > 0, nil
}
