package rows

import (
	"context"
	"database/sql"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
)

func store(t *testing.T, table, column string, keys ...string) (dsn string, left func() []string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sessions %41.db")
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.Exec(`CREATE TABLE "` + table + `" ("` + column + `" TEXT PRIMARY KEY, data TEXT)`); err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if _, err := db.Exec(`INSERT INTO "`+table+`" VALUES ($1, 'x')`, k); err != nil {
			t.Fatal(err)
		}
	}
	return "sqlite:" + path, func() (out []string) {
		rows, err := db.Query(`SELECT "` + column + `" FROM "` + table + `" ORDER BY 1`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var k string
			if err := rows.Scan(&k); err != nil {
				t.Fatal(err)
			}
			out = append(out, k)
		}
		return out
	}
}

func target(dsn, table, value string) revokers.Target {
	u := &url.URL{Scheme: "https", Host: "app.example"}
	return revokers.Target{
		Credential: credential.Credential{Ref: credential.Ref{Fingerprint: "f", Cookie: "sid"}, Secret: credential.NewSecretString(value)},
		Instance:   &issuer.Instance{Provider: "webapp", URL: u, Operator: true, SessionsDB: credential.NewSecretString(dsn), Settings: map[string]string{"sessions_table": table}},
	}
}

// The one row of the session goes, under each of the keys that frameworks use,
// and no other.
func TestOneRowIsDeleted(t *testing.T) {
	const digest = "2::9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" // of "test"
	for name, c := range map[string]struct {
		value, key string
	}{
		"Django":                 {"8x1k2m3n4p5q6r7s8t9u0v1w2x3y4z5a", "8x1k2m3n4p5q6r7s8t9u0v1w2x3y4z5a"},
		"express-session":        {"s%3AabcDEF_123-xyz.lr%2BSig.natu%3D", "abcDEF_123-xyz.lr+Sig"},
		"Rails":                  {"test", digest},
		"a quote is no SQL":      {`a'%20OR%20'1'='1`, `a' OR '1'='1`},
		"the value as it is":     {"a%2Fb", "a%2Fb"},
		"no row of this session": {"missing", ""},
	} {
		t.Run(name, func(t *testing.T) {
			keys := []string{"other-1", "other-2"}
			if c.key != "" {
				keys = append(keys, c.key)
			}
			dsn, left := store(t, "session", "sid", keys...)
			d := Delete{Table: "session", Column: "sid"}
			ts := []revokers.Target{target(dsn, "", c.value)}
			planned, err := d.Plan(t.Context(), ts)
			if err != nil || strings.Contains(string(planned[0].Body), c.value) {
				t.Fatalf("%v: %s", err, planned[0].Body)
			}
			receipt, err := d.Send(t.Context(), ts, planned[0], func(e revokers.Effect) error {
				if len(left()) != len(keys) {
					t.Error("deleted before it was announced")
				}
				if had := e.Late[LateRows]; had != strconv.Itoa(len(keys)-2) {
					t.Errorf("%s rows before", had)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			// After a crash, a row that was there is known to be deleted by its absence.
			for before, accepted := range map[string]bool{"1": true, "0": false, "2": false, "": false} {
				resumed := target(dsn, "", c.value)
				resumed.Captures = map[string]string{LateRows: before}
				again, err := d.Send(t.Context(), []revokers.Target{resumed}, planned[0], func(revokers.Effect) error { return nil })
				if err != nil || again.Of(0).Accepted != accepted {
					t.Errorf("%q rows before: %+v, %v", before, again.Of(0), err)
				}
			}
			if got := left(); !slices.Equal(got, []string{"other-1", "other-2"}) || receipt.Of(0).Accepted != (c.key != "") {
				t.Errorf("%v left; %+v", got, receipt.Of(0))
			}
		})
	}
}

func TestNothingIsDeletedWithoutConsent(t *testing.T) {
	dsn, left := store(t, "mine", "k", "a-session-id")
	ts := []revokers.Target{target(dsn, "mine.k", "a-session-id")}
	if _, err := (Delete{}).Send(t.Context(), ts, revokers.Effect{}, func(revokers.Effect) error { return context.Canceled }); err == nil || len(left()) != 1 {
		t.Errorf("%v, %v", err, left())
	}
	if _, err := (Delete{Offline: true}).Send(t.Context(), ts, revokers.Effect{}, func(revokers.Effect) error { return nil }); err != guard.ErrOffline || len(left()) != 1 {
		t.Errorf("%v, %v", err, left())
	}
	for _, table := range []string{"mine", "mine.k; DROP TABLE mine", `mine".k`, "a.b.c", ""} {
		ts := []revokers.Target{target(dsn, table, "a-session-id")}
		if _, err := (Delete{}).Send(t.Context(), ts, revokers.Effect{}, func(revokers.Effect) error { return nil }); err == nil || len(left()) != 1 {
			t.Errorf("%q: %v, %v", table, err, left())
		}
	}
	// No error quotes the password.
	for _, bad := range []string{"postgres://u:s3cr3tpw@127.0.0.1:1/db?connect_timeout=1", "mysql://u:s3cr3tpw@h/db", "sqlite:/does/not/exist-s3cr3tpw", "s3cr3tpw"} {
		ts := []revokers.Target{target(bad, "mine.k", "a-session-id")}
		planned, perr := (Delete{}).Plan(t.Context(), ts)
		receipt, err := (Delete{}).Send(t.Context(), ts, revokers.Effect{}, func(revokers.Effect) error { return nil })
		text := ""
		for _, e := range []error{perr, err} {
			if e != nil {
				text += e.Error()
			}
		}
		if len(planned) > 0 {
			text += planned[0].URL
		}
		if receipt.Of(0).Accepted || strings.Contains(text+receipt.Of(0).Detail, "s3cr3tpw") {
			t.Errorf("%s: %s %+v", bad, text, receipt)
		}
	}
}

// A column that is no key has the value in rows of other sessions.
func TestSeveralRowsAreLeft(t *testing.T) {
	dsn, left := store(t, "session", "sid", "one", "two")
	ts := []revokers.Target{target(dsn, "session.data", "x")}
	receipt, err := (Delete{}).Send(t.Context(), ts, revokers.Effect{}, func(revokers.Effect) error { return nil })
	if err != nil || receipt.Of(0).Accepted || !strings.Contains(receipt.Of(0).Detail, "sessions_table") || len(left()) != 2 {
		t.Errorf("%v, %+v, %v left", err, receipt.Of(0), left())
	}
}

// The password and the session's key go to the server that the address names,
// and over a connection that was checked.
func TestAStoreOnAnotherMachineIsChecked(t *testing.T) {
	for dsn, want := range map[string]string{
		"postgres://u:p@db.example/app":                                     "postgres://u:p@db.example/app?sslmode=verify-full",
		"postgres://u:p@db.example:6432/app?sslmode=verify-full":            "postgres://u:p@db.example:6432/app?sslmode=verify-full",
		"postgresql://u:p@db.example/app?connect_timeout=3":                 "postgresql://u:p@db.example/app?connect_timeout=3&sslmode=verify-full",
		"postgres://u:p@127.0.0.1,db.example/app":                           "postgres://u:p@127.0.0.1,db.example/app?sslmode=verify-full",
		"postgres://u:p@127.0.0.1:5432/app":                                 "postgres://u:p@127.0.0.1:5432/app",
		"postgres://u:p@localhost/app?sslmode=disable":                      "postgres://u:p@localhost/app?sslmode=disable",
		"postgres://u:p@[::1]:5432/app":                                     "postgres://u:p@[::1]:5432/app",
		"postgres://u:p@db.example/app?sslmode=prefer":                      "",
		"postgres://u:p@db.example/app?sslmode=verify-full&sslmode=disable": "",
		"postgres://u:p@db.example/app?sslmode=":                            "",
		"postgres://u:p@127.0.0.1/app?host=db.example":                      "",
		"postgres://u:p@127.0.0.1/app?hostaddr=192.0.2.1":                   "",
		"postgres://u:p@127.0.0.1/app?port=1":                               "",
		"postgres://u:p@127.0.0.1/app?service=x&servicefile=/tmp/x":         "",
		"postgres://u:p@db.example/app?passfile=/tmp/x":                     "",
		"postgres://u:p@127.0.0.1/app?a;host=db.example":                    "",
		"postgres://u:p@:5432/app":                                          "",
	} {
		_, got, where, err := database(dsn)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", dsn, got, err, want)
		}
		if strings.Contains(where, "u:p@") {
			t.Errorf("%s is shown as %s", dsn, where)
		}
	}
}
