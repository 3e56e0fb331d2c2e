package ledger

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
)

// engine is the part that differs between the databases. Queries are written with ? for
// arguments and pass through bind.
type engine interface {
	bind(query string) string
	// migrations returns the statements that lead to each version of the schema.
	migrations() []string
	// hasTable is a query that counts the tables named ?.
	hasTable() string
	// snapshot is the isolation level at which a transaction sees one state.
	snapshot() sql.IsolationLevel
	// lock makes tx the only writer of the ledger until it ends.
	lock(ctx context.Context, tx *sql.Tx) error
	// lockHead makes tx the only one that replaces the checkpoint file of this key.
	lockHead(ctx context.Context, tx *sql.Tx, key string) error
	// insert is the statement that adds an entry under a given id.
	insert() string
	// inserted is called after an entry was added.
	inserted(ctx context.Context, tx *sql.Tx, id int64) error
	// now reads the clock that leases are measured by.
	now(ctx context.Context, tx *sql.Tx) (instant, error)
	// gone reports whether a holder of leases is known to have ended.
	gone(holder string) bool
	// shared reports whether machines share the database. Then an installation's key may come
	// to a machine without its checkpoint file, and installations that are not listed yet may
	// write.
	shared() bool
	// structure checks the parts of the database that don't belong to an entry: indexes,
	// triggers, pages.
	structure(ctx context.Context, tx *sql.Tx) ([]Problem, error)
}

const insertEntry = `INSERT INTO ledger(id, at, incident, type, actor, run, body, hash) VALUES (?,?,?,?,?,?,?,?)`

// Numbered replaces each ? of a query by $1, $2 …, as PostgreSQL has them.
func Numbered(query string) string {
	var b strings.Builder
	n := 0
	for _, r := range query {
		if r == '?' {
			n++
			b.WriteString("$" + strconv.Itoa(n))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// places returns n times the text, separated by commas.
func places(text string, n int) string {
	return strings.TrimSuffix(strings.Repeat(text+",", n), ",")
}
