// Package sqlite renders the rows of SQLite databases as text: those of browsers' cookie stores
// (Firefox's cookies.sqlite, Cookies of Chromium and its derivatives) as lines of a cookie jar,
// those of other databases as they are.
package sqlite

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	engine "modernc.org/sqlite" // registers the driver, which can deserialize a database from memory
)

const (
	// maxStore is the largest store that is read, in bytes: after years of use, a browser's has
	// some megabytes.
	maxStore = 64 << 20
	// patience is the time limit for a damaged or hostile store.
	patience = 10 * time.Second
)

// limits are how much of a database is read: cookies of a store, tables of another database.
type limits struct{ cookies, tables int }

var most = limits{cookies: 200_000, tables: 10_000}

// Magic is how a database begins.
const Magic = "SQLite format 3\x00"

// MaxSize is the maximum size of a database, in bytes.
const MaxSize = maxStore

// Text is what a database contains.
type Text struct {
	Name string // of the kind of content
	Rows []byte
	// Where describes the row that a line shows; nil: the line number is sufficient.
	Where func(line int) string
}

// Read renders the rows of a database. Those of a cookie store become lines of a Netscape
// cookie jar, which state host, path, expiry and flags. log is the write-ahead log, or nil. An
// error returned together with a text describes what could not be read. Read can modify file.
func Read(ctx context.Context, file, log []byte) (Text, error) {
	var left error
	if log != nil {
		file, left = replay(file, log)
	}
	text, err := open(ctx, file, most)
	return text, errors.Join(err, left)
}

// open reads a database. It can modify file.
func open(ctx context.Context, file []byte, most limits) (Text, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return Text{}, err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return Text{}, err
	}
	defer conn.Close()
	// Format version 2 in the header means a write-ahead log, which is a separate file. A
	// database in memory can't have one, so SQLite reads the pages alone.
	if len(file) > 20 && file[18] == 2 {
		file[18], file[19] = 1, 1
	}
	if err := conn.Raw(func(c any) error {
		d, ok := c.(interface{ Deserialize([]byte) error })
		if !ok {
			return errors.New("the driver reads no database from memory")
		}
		return d.Deserialize(file)
	}); err != nil {
		return Text{}, fmt.Errorf("database: %w", plain(err))
	}
	// A hostile schema can replace a table by an endless view, or call functions. So quell
	// reads tables only and trusts nothing in the schema.
	for _, p := range []string{"PRAGMA trusted_schema=OFF", "PRAGMA cell_size_check=ON", "PRAGMA query_only=ON"} {
		if _, err := conn.ExecContext(ctx, p); err != nil {
			return Text{}, fmt.Errorf("database: %w", plain(err))
		}
	}
	for _, s := range []store{firefox, chromium} {
		var tables int
		if err := conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master WHERE type='table' AND name=?", s.table).Scan(&tables); err != nil {
			return Text{}, fmt.Errorf("database: %w", plain(err))
		}
		if tables == 1 {
			return s.read(ctx, conn, most.cookies)
		}
	}
	return rows(ctx, conn, most.tables)
}

// rows renders the rows of all tables, one per line, with tabs between the values. In the
// file's pages, values adjoin without a separator, and long ones are split.
func rows(ctx context.Context, conn *sql.Conn, maxTables int) (Text, error) {
	out := Text{Name: "rows"}
	names, err := tables(ctx, conn, maxTables)
	if err != nil {
		return out, err
	}
	var left error
	if len(names) > maxTables {
		names, left = names[:maxTables], fmt.Errorf("rows of a database: %w: only %d tables are read", ErrLimit, maxTables)
	}
	var text shown
	out.Where = text.where
	for _, name := range names {
		err := text.table(ctx, conn, name)
		out.Rows = text.Bytes()
		if err != nil {
			return out, fmt.Errorf("rows of a database: %w", plain(err))
		}
	}
	return out, left
}

// shown is the text of the rows, and the mapping from its lines to rows.
type shown struct {
	bytes.Buffer
	lines  int
	tables []shownTable
}

type shownTable struct {
	name string
	// For each row, its first line and its rowid. ids is nil for tables without rowids, whose
	// rows are numbered.
	first []int32
	ids   []int64
}

// where describes the row that a line shows.
func (s *shown) where(line int) string {
	for i := len(s.tables) - 1; i >= 0; i-- {
		t := &s.tables[i]
		if len(t.first) == 0 || int(t.first[0]) > line {
			continue
		}
		k, exact := slices.BinarySearch(t.first, int32(line))
		if !exact {
			k--
		}
		if t.ids == nil {
			return fmt.Sprintf("table %s, row number %d", t.name, k+1)
		}
		return fmt.Sprintf("table %s, row %d", t.name, t.ids[k])
	}
	return ""
}

func tables(ctx context.Context, conn *sql.Conn, maxTables int) ([]string, error) {
	r, err := conn.QueryContext(ctx, "SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND sql NOT LIKE 'CREATE VIRTUAL%' LIMIT ?", maxTables+1)
	if err != nil {
		return nil, fmt.Errorf("rows of a database: %w", plain(err))
	}
	defer r.Close()
	var out []string
	for r.Next() {
		var name string
		if err := r.Scan(&name); err != nil {
			return nil, plain(err)
		}
		out = append(out, name)
	}
	return out, r.Err()
}

func (s *shown) table(ctx context.Context, conn *sql.Conn, name string) error {
	quoted := `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
	s.tables = append(s.tables, shownTable{name: name})
	t := &s.tables[len(s.tables)-1]
	r, err := conn.QueryContext(ctx, `SELECT rowid, * FROM `+quoted)
	if err == nil {
		t.ids = []int64{}
	} else if r, err = conn.QueryContext(ctx, `SELECT * FROM `+quoted); err != nil { // WITHOUT ROWID
		return err
	}
	defer r.Close()
	columns, err := r.Columns()
	if err != nil {
		return err
	}
	values, into := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for r.Next() {
		if err := r.Scan(into...); err != nil {
			return err
		}
		t.first = append(t.first, int32(s.lines+1))
		row := values
		if t.ids != nil {
			id, _ := strconv.ParseInt(string(row[0]), 10, 64)
			t.ids, row = append(t.ids, id), row[1:]
		}
		for i, v := range row {
			if i > 0 {
				s.WriteByte('\t')
			}
			s.Write(v)
			s.lines += bytes.Count(v, []byte{'\n'})
		}
		s.WriteByte('\n')
		s.lines++
		if s.Len() > maxStore {
			return errTooLong
		}
	}
	return r.Err()
}

// ErrLimit is wrapped by an error if a database is larger than what is read of it.
var ErrLimit = errors.New("limit reached")

var errTooLong = fmt.Errorf("%w: more than 64 MiB of them", ErrLimit)

// store describes where one kind of browser stores its cookies.
type store struct {
	name, table, query string
	end                func(int64) int64 // to seconds since 1970; 0 for a session cookie
}

var (
	firefox = store{"Firefox cookies", "moz_cookies",
		"SELECT host, path, isSecure, isHttpOnly, expiry, name, value, NULL FROM moz_cookies LIMIT ?",
		func(n int64) int64 {
			if n > 1e11 { // newer versions store milliseconds
				return n / 1000
			}
			return n
		}}
	// Chromium stores microseconds since 1601.
	chromium = store{"Chromium cookies", "cookies",
		"SELECT host_key, path, is_secure, is_httponly, expires_utc, name, value, encrypted_value FROM cookies LIMIT ?",
		func(n int64) int64 {
			if n == 0 {
				return 0
			}
			return n/1e6 - 11644473600
		}}
)

func (s store) read(ctx context.Context, conn *sql.Conn, maxCookies int) (Text, error) {
	out := Text{Name: s.name}
	rows, err := conn.QueryContext(ctx, s.query, maxCookies+1)
	if err != nil {
		return out, fmt.Errorf("%s: %w", s.name, plain(err))
	}
	defer rows.Close()
	var text bytes.Buffer
	locked, count := 0, 0
	for rows.Next() {
		if count++; count > maxCookies {
			out.Rows = text.Bytes()
			return out, fmt.Errorf("%s: %w: only %d of them are read", s.name, ErrLimit, maxCookies)
		}
		var host, path, name string
		var value, sealed []byte
		var secure, httpOnly bool
		var end int64
		if err := rows.Scan(&host, &path, &secure, &httpOnly, &end, &name, &value, &sealed); err != nil {
			return out, fmt.Errorf("%s: a row is not of the browser's form", s.name)
		}
		if len(value) == 0 && len(sealed) > 0 {
			plain, ok := unseal(sealed, host)
			if !ok {
				locked++
				continue
			}
			value = plain
		}
		prefix := ""
		if httpOnly {
			prefix = "#HttpOnly_"
		}
		fmt.Fprintf(&text, "%s%s\t%s\t%s\t%s\t%d\t%s\t%s\n", prefix, field(host), flag(strings.HasPrefix(host, ".")), field(path), flag(secure), max(0, s.end(end)), field(name), field(string(value)))
	}
	out.Rows = text.Bytes()
	if err := rows.Err(); err != nil {
		return out, fmt.Errorf("%s: %w", s.name, plain(err))
	}
	if locked > 0 {
		return out, fmt.Errorf("%s: %d are encrypted with a key that is kept elsewhere", s.name, locked)
	}
	return out, nil
}

func flag(b bool) string { return strings.ToUpper(fmt.Sprint(b)) }

// field replaces the separators of columns and rows in a value.
func field(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r == '\r' {
			return ' '
		}
		return r
	}, s)
}

// Without a keyring, as in a container, Chromium on Linux encrypts with a published key:
// components/os_crypt, os_crypt_linux.cc.
const (
	sealedBy   = "v10"
	passphrase = "peanuts"
	salt       = "saltysalt"
	iterations = 1
	keyLength  = 16
)

// unseal decrypts a value of version v10. Since version 24 of the database, the plain text
// begins with the SHA-256 of the host.
func unseal(b []byte, host string) ([]byte, bool) {
	if !bytes.HasPrefix(b, []byte(sealedBy)) {
		return nil, false
	}
	b = b[len(sealedBy):]
	key, err := pbkdf2.Key(sha1.New, passphrase, []byte(salt), iterations, keyLength)
	if err != nil || len(b) == 0 || len(b)%aes.BlockSize != 0 {
		return nil, false
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, false
	}
	out := make([]byte, len(b))
	cipher.NewCBCDecrypter(block, bytes.Repeat([]byte{' '}, aes.BlockSize)).CryptBlocks(out, b)
	pad := int(out[len(out)-1])
	if pad == 0 || pad > aes.BlockSize || !bytes.Equal(out[len(out)-pad:], bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, false
	}
	out = out[:len(out)-pad]
	if sum := sha256.Sum256([]byte(host)); bytes.HasPrefix(out, sum[:]) {
		out = out[len(sum):]
	}
	for _, c := range out { // RFC 6265's cookie-octets, and the others that browsers accept
		if c < ' ' || c == 0x7f {
			return nil, false
		}
	}
	return out, true
}

// plain reduces an error of SQLite to one line that quotes no content of the store.
func plain(err error) error {
	var e *engine.Error
	if errors.As(err, &e) {
		return fmt.Errorf("SQLite error %d", e.Code())
	}
	if errors.Is(err, errTooLong) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, driver.ErrBadConn) {
		return err
	}
	return errors.New("not readable")
}
