package sqlite

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Rows that are in the log but not yet in the database are rendered.
func TestRowsOfAWriteAheadLog(t *testing.T) {
	p := filepath.Join(t.TempDir(), "x.db")
	db, err := sql.Open("sqlite", p+"?_pragma=journal_mode(WAL)&_pragma=wal_autocheckpoint(0)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	defer db.Close()
	for _, q := range []string{`CREATE TABLE log (id INTEGER PRIMARY KEY, line TEXT)`, `INSERT INTO log (line) VALUES ('checkpointed')`, `PRAGMA wal_checkpoint(TRUNCATE)`} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 200 {
		if _, err := db.Exec(`INSERT INTO log (line) VALUES (?)`, fmt.Sprintf("in the log, %d %s", i, strings.Repeat("x", 100))); err != nil {
			t.Fatal(err)
		}
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(`INSERT INTO log (line) VALUES ('not committed')`); err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	file, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(p + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	rows := func(log []byte) string {
		t.Helper()
		in, err := Read(t.Context(), bytes.Clone(file), log)
		if err != nil {
			t.Fatal(err)
		}
		return string(in.Rows)
	}
	if got := rows(log); !strings.Contains(got, "checkpointed") || !strings.Contains(got, "in the log, 0 ") || !strings.Contains(got, "in the log, 199 ") || strings.Contains(got, "not committed") {
		t.Errorf("%d bytes: %.300s", len(got), got)
	}
	if got := rows(nil); !strings.Contains(got, "checkpointed") || strings.Contains(got, "in the log") {
		t.Errorf("without a log: %.300s", got)
	}
	// Damaged in the middle: the transactions committed before are rendered.
	bad := bytes.Clone(log)
	bad[len(bad)/2] ^= 1
	if got := rows(bad); !strings.Contains(got, "in the log, 0 ") || strings.Contains(got, "in the log, 199 ") {
		t.Errorf("damaged: %d bytes", len(got))
	}
	for _, b := range [][]byte{log[:20], log[:40], bytes.Repeat([]byte{0xff}, 5000)} {
		if got := rows(b); !strings.Contains(got, "checkpointed") {
			t.Errorf("a log of %d bytes", len(b))
		}
	}
}

func TestRowsAreNamed(t *testing.T) {
	p := filepath.Join(t.TempDir(), "x.db")
	db, err := sql.Open("sqlite", p)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{`CREATE TABLE a (line TEXT)`, `INSERT INTO a VALUES ('one'), ('two' || char(10) || 'lines'), ('three')`, `DELETE FROM a WHERE line = 'one'`,
		`CREATE TABLE empty (x)`, `CREATE TABLE b (k TEXT PRIMARY KEY) WITHOUT ROWID`, `INSERT INTO b VALUES ('x'), ('y')`} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	db.Close()
	file, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	in, err := Read(t.Context(), file, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"table a, row 2", "table a, row 2", "table a, row 3", "table b, row number 1", "table b, row number 2"}
	for i, line := range strings.Split(strings.TrimSpace(string(in.Rows)), "\n") {
		if got := in.Where(i + 1); got != want[i] {
			t.Errorf("%q: %s, not %s", line, got, want[i])
		}
	}
}
