// Package rows ends sessions by deleting their row in the application's session
// store, a database that the operator names.
package rows

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/issuer"
)

// Delete deletes the row of one session.
type Delete struct {
	// Offline forbids every connection.
	Offline bool
	// Table and Column are the framework's, unless the operator sets
	// sessions_table. Without either the operator has to.
	Table, Column string
}

// Batch implements revokers.Revoker.
func (Delete) Batch() int { return 1 }

const effectName = "row"

// LateRows is the late value of an effect, in decimal: how many rows the session had just before
// the statement. A target whose capture of this name is "1" had an effect without a receipt, as
// after a crash: then a row that is gone was deleted.
const LateRows = "rows_before"

// identifier is a name that is safe within double quotes.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// CheckTable reports an error unless table is TABLE.COLUMN.
func CheckTable(table string) error {
	t, c, ok := strings.Cut(table, ".")
	if !ok || !identifier.MatchString(t) || !identifier.MatchString(c) {
		return errors.New("sessions_table is not TABLE.COLUMN")
	}
	return nil
}

// place is the table and the column of the session's key.
func (d Delete) place(in *issuer.Instance) (table, column string, err error) {
	table, column = d.Table, d.Column
	if s := in.Settings["sessions_table"]; s != "" {
		if err := CheckTable(s); err != nil {
			return "", "", err
		}
		table, column, _ = strings.Cut(s, ".")
	}
	if table == "" {
		return "", "", errors.New("sessions_table = \"TABLE.COLUMN\" of the [[instance]] is not set")
	}
	return table, column, nil
}

// Plan implements revokers.Revoker.
func (d Delete) Plan(_ context.Context, ts []revokers.Target) ([]revokers.Effect, error) {
	e, err := d.effect(ts[0])
	return []revokers.Effect{e}, err
}

func (d Delete) effect(t revokers.Target) (revokers.Effect, error) {
	table, column, err := d.place(t.Instance)
	if err != nil {
		return revokers.Effect{}, err
	}
	_, _, where, err := database(t.Instance.SessionsDB.Reveal())
	if err != nil {
		return revokers.Effect{}, err
	}
	body, err := json.Marshal(map[string]string{"sql": statement(table, column, "{token}")})
	return revokers.Effect{Name: effectName, Method: "SQL", URL: where, Body: body, Elements: []string{t.Fingerprint}}, err
}

func statement(table, column, value string) string {
	return fmt.Sprintf(`DELETE FROM "%s" WHERE "%s" = %s`, table, column, value)
}

// Send implements revokers.Revoker.
func (d Delete) Send(ctx context.Context, ts []revokers.Target, _ revokers.Effect, before func(revokers.Effect) error) (revokers.Receipt, error) {
	if d.Offline {
		return revokers.Receipt{}, guard.ErrOffline
	}
	t := ts[0]
	table, column, err := d.place(t.Instance)
	if err != nil {
		return revokers.Receipt{}, err
	}
	driver, source, _, err := database(t.Instance.SessionsDB.Reveal())
	if err != nil {
		return revokers.Receipt{}, err
	}
	final, err := d.effect(t)
	if err != nil {
		return revokers.Receipt{}, err
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		return revokers.Receipt{}, errors.New("the session store can't be opened")
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	answer := func(ok bool, detail string) revokers.Receipt {
		return revokers.All(1, revokers.Acknowledgement{Accepted: ok, Detail: detail, At: time.Now().UTC()})
	}
	if err := db.PingContext(ctx); err != nil {
		return answer(false, "the session store does not answer, or refuses the sign-in"), nil
	}
	keys := Keys(t.Secret.Reveal())
	if n, err := count(ctx, db, table, column, keys); err == nil {
		final.Late = map[string]string{LateRows: strconv.FormatInt(n, 10)}
	}
	if err := before(final); err != nil {
		return revokers.Receipt{}, err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return answer(false, "the session store does not begin a transaction"), nil
	}
	defer func() { _ = tx.Rollback() }() // without effect after the commit
	deleted := int64(0)
	for _, key := range keys {
		r, err := tx.ExecContext(ctx, statement(table, column, "$1"), key)
		if err != nil {
			// A driver's error can quote the value.
			return answer(false, "the session store refused the statement: check sessions_table of the [[instance]] and the rights of its user"), nil
		}
		n, err := r.RowsAffected()
		if err != nil {
			return revokers.Receipt{}, errors.New("the session store does not say how many rows it deleted")
		}
		if deleted += n; deleted > 0 {
			break
		}
	}
	switch {
	case deleted == 0 && t.Captures[LateRows] == "1":
		return answer(true, "the row was there before an earlier request, and is gone"), nil
	case deleted == 0:
		return answer(false, fmt.Sprintf("%s has no row of this session: check sessions_table of the [[instance]]", table)), nil
	case deleted > 1:
		// The column is no key: the other rows are someone else's.
		return answer(false, fmt.Sprintf("%d rows of %s have this value in %s, and none was deleted: sessions_table of the [[instance]] has to name the session's key", deleted, table, column)), nil
	}
	if err := tx.Commit(); err != nil {
		return revokers.Receipt{}, errors.New("the session store did not confirm the deletion")
	}
	return answer(true, "1 row deleted"), nil
}

// count returns how many rows have the first of the keys that has any.
func count(ctx context.Context, db *sql.DB, table, column string, keys []string) (n int64, err error) {
	for _, key := range keys {
		query := fmt.Sprintf(`SELECT count(*) FROM "%s" WHERE "%s" = $1`, table, column)
		if err := db.QueryRowContext(ctx, query, key).Scan(&n); err != nil || n > 0 {
			return n, err
		}
	}
	return 0, nil
}

// Keys are the keys under which frameworks store the session of a cookie: the
// value itself (Django), the id within a signed value (express-session: s:ID.SIG),
// and the digest of the id (activerecord-session_store: 2::SHA256).
func Keys(value string) []string {
	plain := value
	if v, err := url.PathUnescape(value); err == nil {
		plain = v
	}
	if id, ok := strings.CutPrefix(plain, "s:"); ok {
		if dot := strings.LastIndexByte(id, '.'); dot > 0 {
			plain = id[:dot]
		}
	}
	sum := sha256.Sum256([]byte(plain))
	out := []string{plain, "2::" + hex.EncodeToString(sum[:])}
	if value != plain {
		out = append(out, value)
	}
	return out
}

// database reads the address of a store: postgres://… or sqlite:PATH. where
// names it without its password.
func database(dsn string) (driver, source, where string, err error) {
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		if _, err := os.Stat(path); err != nil {
			return "", "", "", errors.New("sessions_db: the SQLite file does not exist")
		}
		return "sqlite", "file:" + (&url.URL{Path: path}).EscapedPath() + "?_pragma=busy_timeout(5000)", "sqlite:" + path, nil
	}
	u, err := url.Parse(dsn)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Hostname() == "" {
		return "", "", "", errors.New("sessions_db is not postgres://USER:PASSWORD@HOST/DATABASE or sqlite:PATH")
	}
	if err := secure(u); err != nil {
		return "", "", "", err
	}
	return "pgx", u.String(), (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String(), nil
}

// elsewhere are parameters that let the driver connect to another place than
// the address names, or read its settings from a file.
var elsewhere = []string{"host", "hostaddr", "port", "service", "servicefile", "passfile"}

// secure makes the connection to another machine one that checks the server's
// certificate and name: the driver's usual mode falls back to plain text.
func secure(u *url.URL) error {
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errors.New("sessions_db: the parameters after ? can't be read")
	}
	for _, name := range elsewhere {
		if q.Has(name) {
			return fmt.Errorf("sessions_db: the parameter %s is not allowed: name the server in postgres://USER:PASSWORD@HOST:PORT/DATABASE", name)
		}
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	const full = "verify-full"
	for _, mode := range q["sslmode"] {
		if mode != full {
			return errors.New("sessions_db: sslmode has to be verify-full, with sslrootcert=FILE for a certificate authority of your own")
		}
	}
	q.Set("sslmode", full)
	u.RawQuery = q.Encode()
	return nil
}
