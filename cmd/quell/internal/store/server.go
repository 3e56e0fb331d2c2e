package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// appendLock is the number that whoever appends holds; any would do. It is "quell".
const appendLock int64 = 487_300_885_612

// serverSchema is schema in PostgreSQL's words. Two machines that start at once must
// not both make the tables, hence the lock.
const serverSchema = `
SELECT pg_advisory_xact_lock(487300885612);
CREATE TABLE IF NOT EXISTS ledger (
	id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at TEXT NOT NULL, incident TEXT NOT NULL, type TEXT NOT NULL, actor TEXT NOT NULL, run TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS ledger_incident ON ledger(incident, id);
CREATE OR REPLACE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$;
CREATE OR REPLACE TRIGGER ledger_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger EXECUTE FUNCTION ledger_is_append_only();
CREATE TABLE IF NOT EXISTS sealed (incident TEXT PRIMARY KEY, rule TEXT NOT NULL, cookie TEXT NOT NULL, value TEXT NOT NULL);
`

const serverMemory = `CREATE TABLE IF NOT EXISTS memory (scope TEXT NOT NULL, key TEXT NOT NULL, at BIGINT NOT NULL, value BYTEA NOT NULL, PRIMARY KEY (scope, key));`

// openServer opens the ledger in a PostgreSQL database (14 or later). The connection is
// encrypted and the server's name checked, unless it is this machine's, or the address
// says verify-ca or require.
func openServer(address string) (*Ledger, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("ledger: that is no address of a PostgreSQL database")
	}
	if host := u.Hostname(); host != "" {
		ip := net.ParseIP(host)
		here := host == "localhost" || ip != nil && ip.IsLoopback()
		q := u.Query()
		mode := q.Get("sslmode")
		switch {
		case here:
		case mode == "":
			q.Set("sslmode", "verify-full")
			u.RawQuery = q.Encode()
		case slices.Contains([]string{"disable", "allow", "prefer"}, mode):
			return nil, fmt.Errorf("ledger: sslmode=%s would send its password in clear to %s; verify-full is asked for", mode, host)
		}
	}
	db, err := sql.Open("pgx", u.String())
	if err != nil {
		return nil, errors.New("ledger: that is no address of a PostgreSQL database")
	}
	db.SetMaxOpenConns(4)
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	tx, err := db.BeginTx(ctx, nil)
	if err == nil {
		// Several statements at once are the simple protocol's, which takes no argument.
		if _, err = tx.ExecContext(ctx, serverSchema); err == nil {
			err = tx.Commit()
		} else {
			_ = tx.Rollback()
		}
	}
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("ledger at %s: %w", u.Host, hide(err, u))
	}
	return &Ledger{db: db, server: true}, nil
}

// hide takes the password out of an error, should a driver ever quote it.
func hide(err error, u *url.URL) error {
	pass, _ := u.User.Password()
	if pass == "" || !strings.Contains(err.Error(), pass) && !strings.Contains(err.Error(), url.QueryEscape(pass)) {
		return err
	}
	return errors.New("the connection failed")
}

// q writes a query's places for arguments as the database counts them.
func (l *Ledger) q(query string) string {
	if !l.server {
		return query
	}
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
