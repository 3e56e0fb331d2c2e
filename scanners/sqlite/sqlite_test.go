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
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// database creates a store in a file, as the browser does, and returns its bytes.
func database(t *testing.T, stmts []string, rows func(*sql.DB)) []byte {
	t.Helper()
	name := filepath.Join(t.TempDir(), "cookies")
	db, err := sql.Open("sqlite", name)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stmts {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(s, err)
		}
	}
	if rows != nil {
		rows(db)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The tables are those of Firefox 128 and of Chromium 130.
const (
	mozCookies = `CREATE TABLE moz_cookies (id INTEGER PRIMARY KEY, originAttributes TEXT NOT NULL DEFAULT '', name TEXT, value TEXT, host TEXT, path TEXT, expiry INTEGER, lastAccessed INTEGER, creationTime INTEGER, isSecure INTEGER, isHttpOnly INTEGER, inBrowserElement INTEGER DEFAULT 0, sameSite INTEGER DEFAULT 0, rawSameSite INTEGER DEFAULT 0, schemeMap INTEGER DEFAULT 0, isPartitionedAttributeSet INTEGER DEFAULT 0, CONSTRAINT moz_uniqueid UNIQUE (name, host, path, originAttributes))`
	chrCookies = `CREATE TABLE cookies(creation_utc INTEGER NOT NULL,host_key TEXT NOT NULL,top_frame_site_key TEXT NOT NULL,name TEXT NOT NULL,value TEXT NOT NULL,encrypted_value BLOB NOT NULL,path TEXT NOT NULL,expires_utc INTEGER NOT NULL,is_secure INTEGER NOT NULL,is_httponly INTEGER NOT NULL,last_access_utc INTEGER NOT NULL,has_expires INTEGER NOT NULL,is_persistent INTEGER NOT NULL,priority INTEGER NOT NULL,samesite INTEGER NOT NULL,source_scheme INTEGER NOT NULL,source_port INTEGER NOT NULL,last_update_utc INTEGER NOT NULL,source_type INTEGER NOT NULL,has_cross_site_ancestor INTEGER NOT NULL)`
)

func TestFirefox(t *testing.T) {
	for _, journal := range []string{"DELETE", "WAL"} {
		b := database(t, []string{"PRAGMA journal_mode=" + journal, mozCookies}, func(db *sql.DB) {
			for _, end := range []int64{1900000000, 1900000000000} {
				if _, err := db.Exec("INSERT INTO moz_cookies(name,value,host,path,expiry,isSecure,isHttpOnly) VALUES(?,?,?,?,?,1,1)", "sid", "abc\tdef", ".app.example", "/", end); err != nil {
					db.Exec("DELETE FROM moz_cookies")
					t.Fatal(err)
				}
				db.Exec("UPDATE moz_cookies SET host='.old.example' WHERE expiry < 1e11")
			}
		})
		in, err := open(context.Background(), b, most)
		if err != nil {
			t.Fatal(journal, err)
		}
		want := "#HttpOnly_.old.example\tTRUE\t/\tTRUE\t1900000000\tsid\tabc def\n#HttpOnly_.app.example\tTRUE\t/\tTRUE\t1900000000\tsid\tabc def\n"
		if string(in.Rows) != want || in.Name != "Firefox cookies" {
			t.Errorf("%s: %s", journal, in.Rows)
		}
	}
}

// seal encrypts as Chromium does without a keyring.
func seal(t *testing.T, value string) []byte {
	key, err := pbkdf2.Key(sha1.New, "peanuts", []byte("saltysalt"), 1, 16)
	if err != nil {
		t.Fatal(err)
	}
	pad := aes.BlockSize - len(value)%aes.BlockSize
	b := append([]byte(value), bytes.Repeat([]byte{byte(pad)}, pad)...)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	cipher.NewCBCEncrypter(block, []byte(strings.Repeat(" ", 16))).CryptBlocks(b, b)
	return append([]byte("v10"), b...)
}

func TestChromium(t *testing.T) {
	sum := sha256.Sum256([]byte("app.example"))
	b := database(t, []string{chrCookies}, func(db *sql.DB) {
		for name, v := range map[string]struct {
			value  string
			sealed []byte
		}{"a_plain": {"one", nil}, "b_sealed": {"", seal(t, "two")}, "c_bound": {"", seal(t, string(sum[:])+"three")}, "d_keyring": {"", append([]byte("v11"), make([]byte, 32)...)}, "e_broken": {"", []byte("v10short")}} {
			if _, err := db.Exec(`INSERT INTO cookies VALUES(1,'app.example','',?,?,?,'/',13544473600000000,0,0,1,1,1,1,0,1,443,1,0,0)`, name, v.value, v.sealed); err != nil && len(v.sealed) > 0 {
				t.Fatal(err)
			} else if err != nil {
				if _, err := db.Exec(`INSERT INTO cookies VALUES(1,'app.example','',?,?,x'','/',13544473600000000,0,0,1,1,1,1,0,1,443,1,0,0)`, name, v.value); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	in, err := open(context.Background(), b, most)
	if err == nil || !strings.Contains(err.Error(), "2 are encrypted") {
		t.Error(err)
	}
	for _, want := range []string{"a_plain\tone\n", "b_sealed\ttwo\n", "c_bound\tthree\n", "app.example\tFALSE\t/\tFALSE\t1900000000\t"} {
		if !strings.Contains(string(in.Rows), want) {
			t.Errorf("%q is missing in\n%s", want, in.Rows)
		}
	}
}

func TestRowsOfAnyDatabase(t *testing.T) {
	long := strings.Repeat("0123456789", 2000) // spans several pages
	b := database(t, []string{`CREATE TABLE ItemTable (key TEXT UNIQUE ON CONFLICT REPLACE, value BLOB)`, `CREATE TABLE "odd ""name"(a, b)`, "INSERT INTO \"odd \"\"name\" VALUES (7, NULL)"}, func(db *sql.DB) {
		for k, v := range map[string]string{"cursorAuth/accessToken": "value", "long": long} {
			if _, err := db.Exec("INSERT INTO ItemTable VALUES(?,?)", k, []byte(v)); err != nil {
				t.Fatal(err)
			}
		}
	})
	in, err := open(context.Background(), b, most)
	if err != nil || in.Name != "rows" {
		t.Fatal(in.Name, err)
	}
	for _, want := range []string{"cursorAuth/accessToken\tvalue\n", "long\t" + long + "\n", "7\t\n"} {
		if !strings.Contains(string(in.Rows), want) {
			t.Errorf("%.40q is missing", want)
		}
	}
}

func TestHostileStores(t *testing.T) {
	good := database(t, []string{mozCookies, "INSERT INTO moz_cookies(name,value,host,path,expiry,isSecure,isHttpOnly) VALUES('sid','v','h','/',1,1,1)"}, nil)
	endless := database(t, []string{"CREATE TABLE x(encrypted_value)", "CREATE VIEW moz_cookies AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM r) SELECT n AS host, n AS path, 1 AS isSecure, 1 AS isHttpOnly, n AS expiry, n AS name, n AS value FROM r"}, nil)
	if in, err := open(context.Background(), endless, most); err != nil || len(in.Rows) > 0 {
		t.Error("a view is no table", err)
	}
	other := database(t, []string{"CREATE TABLE moz_cookies(encrypted_value)"}, nil)
	if _, err := open(context.Background(), other, most); err == nil {
		t.Error("a table of another form is read")
	}
	for i := 0; i < len(good); i += 7 {
		b := bytes.Clone(good)
		b[i] ^= 0xff
		_, _ = open(context.Background(), b, most) // an error is fine; a hang or a crash is not
		_, _ = open(context.Background(), good[:i], most)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte("SQLite format 3\x00moz_cookies"))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = open(context.Background(), b, most) })
}

// Rows beyond a limit are an error, and the rows before it are read.
func TestLimitsAreReported(t *testing.T) {
	cookies := database(t, []string{mozCookies}, func(db *sql.DB) {
		for i := range 5 {
			if _, err := db.Exec("INSERT INTO moz_cookies(name,value,host,path,expiry,isSecure,isHttpOnly) VALUES(?,?,?,?,?,1,1)", fmt.Sprint("sid", i), "abc", ".app.example", "/", 1900000000); err != nil {
				t.Fatal(err)
			}
		}
	})
	others := database(t, []string{"CREATE TABLE a(x)", "CREATE TABLE b(x)", "CREATE TABLE c(x)", "INSERT INTO a VALUES('one')", "INSERT INTO c VALUES('three')"}, nil)
	for name, c := range map[string]struct {
		file  []byte
		most  limits
		lines int
		left  bool
	}{
		"as many cookies as are read": {cookies, limits{cookies: 5}, 5, false},
		"one more cookie":             {cookies, limits{cookies: 4}, 4, true},
		"as many tables as are read":  {others, limits{tables: 3}, 2, false},
		"one more table":              {others, limits{tables: 2}, 1, true},
	} {
		text, err := open(t.Context(), bytes.Clone(c.file), c.most)
		if errors.Is(err, ErrLimit) != c.left || err != nil && !c.left {
			t.Errorf("%s: %v", name, err)
		}
		if n := bytes.Count(text.Rows, []byte("\n")); n != c.lines {
			t.Errorf("%s: %d lines, want %d", name, n, c.lines)
		}
	}
}
