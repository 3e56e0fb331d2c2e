package ledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

type postgres struct{}

// appendLock is the number of the advisory lock that every writer holds.
const appendLock int64 = 487_300_885_612

var postgresMigrations = []string{
	`CREATE TABLE IF NOT EXISTS ledger (
	id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at TEXT NOT NULL, incident TEXT NOT NULL, type TEXT NOT NULL, actor TEXT NOT NULL, run TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS ledger_incident ON ledger(incident, id);
CREATE OR REPLACE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$;
CREATE OR REPLACE TRIGGER ledger_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger EXECUTE FUNCTION ledger_is_append_only();
CREATE TABLE IF NOT EXISTS sealed (incident TEXT PRIMARY KEY, rule TEXT NOT NULL, cookie TEXT NOT NULL, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS memory (scope TEXT NOT NULL, key TEXT NOT NULL, at BIGINT NOT NULL, value BYTEA NOT NULL, PRIMARY KEY (scope, key));`,

	`CREATE TABLE schema_version (version INTEGER NOT NULL);
CREATE TABLE head (key TEXT PRIMARY KEY, id BIGINT NOT NULL, hash TEXT NOT NULL, count BIGINT NOT NULL, at TEXT NOT NULL, signature TEXT NOT NULL);
CREATE TABLE lease (incident TEXT PRIMARY KEY, holder TEXT NOT NULL, fence BIGINT NOT NULL, expires BIGINT NOT NULL, boot TEXT NOT NULL, ticks BIGINT NOT NULL);
ALTER TABLE sealed ADD COLUMN ref TEXT NOT NULL DEFAULT '';`,
}

// Remote reports whether a server keeps the state, so that it outlives any machine.
func Remote(path string) bool {
	return strings.HasPrefix(path, "postgres://") || strings.HasPrefix(path, "postgresql://")
}

// Shown is a state's path or address without the password that it may contain.
func Shown(path string) string {
	if !Remote(path) {
		return path
	}
	u, err := url.Parse(path)
	if err != nil {
		return "postgres://…"
	}
	if u.RawQuery != "" {
		u.RawQuery = "…" // may contain one too
	}
	return u.Redacted()
}

// PostgresURL is the address of a PostgreSQL database (14 or later) as quell connects to it:
// encrypted, with the server's certificate and name verified, whatever the query contains,
// except on this machine.
func PostgresURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("ledger: the address of the PostgreSQL database cannot be parsed")
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
		case mode != "verify-full":
			return nil, fmt.Errorf("ledger: sslmode=%s does not verify the certificate of %s (hint: use sslmode=verify-full, with sslrootcert=FILE for a CA of your own)", mode, host)
		}
	}
	return u, nil
}

// openPostgres connects to a PostgreSQL database.
func openPostgres(address string) (*sql.DB, *url.URL, error) {
	u, err := PostgresURL(address)
	if err != nil {
		return nil, nil, err
	}
	db, err := sql.Open("pgx", u.String())
	if err != nil {
		return nil, nil, errors.New("ledger: the address of the PostgreSQL database cannot be parsed")
	}
	db.SetMaxOpenConns(4)
	return db, u, nil
}

// hide removes the password from an error, should a driver quote it.
func hide(err error, u *url.URL) error {
	pass, _ := u.User.Password()
	if pass == "" || !strings.Contains(err.Error(), pass) && !strings.Contains(err.Error(), url.QueryEscape(pass)) {
		return err
	}
	return errors.New("the connection failed")
}

// nameOf returns a name for the checkpoint file of the ledger at an address. It
// depends on what selects the database and the schema, and on nothing else.
func nameOf(u *url.URL) string {
	host := strings.ToLower(u.Hostname())
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		host = "localhost"
	}
	port := u.Port()
	if port == "" {
		port = "5432"
	}
	q := u.Query()
	s := sha256.Sum256([]byte(strings.Join([]string{host, port, strings.Trim(u.Path, "/"), q.Get("host"), q.Get("search_path"), q.Get("options")}, "\x00")))
	return "ledger-" + hex.EncodeToString(s[:8]) + ".checkpoint"
}

func (postgres) bind(query string) string     { return Numbered(query) }
func (postgres) migrations() []string         { return postgresMigrations }
func (postgres) shared() bool                 { return true }
func (postgres) snapshot() sql.IsolationLevel { return sql.LevelRepeatableRead }
func (postgres) hasTable() string {
	return `SELECT count(*) FROM pg_class WHERE oid = to_regclass(?)`
}

// The column id is GENERATED ALWAYS.
func (postgres) insert() string {
	return strings.Replace(insertEntry, " VALUES", " OVERRIDING SYSTEM VALUE VALUES", 1)
}

// inserted advances the sequence, for releases that take their ids from it.
func (postgres) inserted(ctx context.Context, tx *sql.Tx, id int64) error {
	_, err := tx.ExecContext(ctx, `SELECT setval(pg_get_serial_sequence('ledger', 'id'), $1)`, id)
	return err
}

func (postgres) lock(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, appendLock)
	return err
}

func (postgres) lockHead(ctx context.Context, tx *sql.Tx, key string) error {
	s := sha256.Sum256([]byte("quell ledger head " + key))
	_, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(binary.BigEndian.Uint64(s[:8])))
	return err
}

// now is the server's clock, which all machines share.
func (postgres) now(ctx context.Context, tx *sql.Tx) (instant, error) {
	var micros int64
	err := tx.QueryRowContext(ctx, `SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint`).Scan(&micros)
	return instant{wall: time.UnixMicro(micros).UTC()}, err
}

// A holder may be on another machine.
func (postgres) gone(string) bool { return false }

func (postgres) structure(ctx context.Context, tx *sql.Tx) ([]Problem, error) {
	triggers, err := column(ctx, tx, `SELECT tgname || ' ' || tgenabled::text || ' ' || tgtype::text FROM pg_trigger WHERE tgrelid = to_regclass('ledger') AND NOT tgisinternal ORDER BY tgname`)
	if err != nil {
		return nil, err
	}
	// Enabled; 58 = before (2) delete (8), update (16) or truncate (32), per statement.
	if want := []string{"ledger_no_change O 58"}; !slices.Equal(triggers, want) {
		return []Problem{{Kind: BadDatabase, Detail: fmt.Sprintf("the triggers are %v and not %v", triggers, want)}}, nil
	}
	return nil, nil
}
