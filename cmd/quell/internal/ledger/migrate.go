package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// migrate brings the schema to the version of this release. Of two processes
// that start at once, one does it.
func migrate(ctx context.Context, db *sql.DB, e engine) error {
	want := len(e.migrations())
	if v, err := version(ctx, db, e); err != nil || v == want {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	if err := e.lock(ctx, tx); err != nil {
		return err
	}
	have, err := version(ctx, tx, e)
	if err != nil {
		return err
	}
	if have > want {
		return fmt.Errorf("the schema has version %d, this quell knows versions up to %d (hint: update quell)", have, want)
	}
	if have == want {
		return nil
	}
	for _, statements := range e.migrations()[have:] {
		if _, err := tx.ExecContext(ctx, statements); err != nil {
			return fmt.Errorf("migrate the schema: %w", err)
		}
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM schema_version`); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, e.bind(`INSERT INTO schema_version(version) VALUES (?)`), want); err != nil {
		return err
	}
	return tx.Commit()
}

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// version returns the version of the schema, 0 for a new database and for one of
// the release without versions, whose layout the first migration leaves alone.
func version(ctx context.Context, q querier, e engine) (int, error) {
	var n int
	if err := q.QueryRowContext(ctx, e.bind(e.hasTable()), "schema_version").Scan(&n); err != nil || n == 0 {
		return 0, err
	}
	var v int
	if err := q.QueryRowContext(ctx, `SELECT version FROM schema_version`).Scan(&v); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			return 0, errors.New("the table schema_version is empty: the ledger is damaged")
		}
		return 0, err
	}
	return v, nil
}
