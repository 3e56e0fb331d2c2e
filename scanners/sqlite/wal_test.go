package sqlite

import (
	"bytes"
	"database/sql"
	"errors"
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
	read := func(log []byte) (string, error) {
		t.Helper()
		in, err := Read(t.Context(), bytes.Clone(file), log)
		return string(in.Rows), err
	}
	rows := func(log []byte) string {
		t.Helper()
		got, err := read(log)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := rows(log); !strings.Contains(got, "checkpointed") || !strings.Contains(got, "in the log, 0 ") || !strings.Contains(got, "in the log, 199 ") || strings.Contains(got, "not committed") {
		t.Errorf("%d bytes: %.300s", len(got), got)
	}
	if got := rows(nil); !strings.Contains(got, "checkpointed") || strings.Contains(got, "in the log") {
		t.Errorf("without a log: %.300s", got)
	}
	// Damaged or cut short: the transactions committed before are rendered, and it is an error.
	bad := bytes.Clone(log)
	bad[len(bad)/2] ^= 1
	if got, err := read(bad); !errors.Is(err, errLog) || !strings.Contains(got, "in the log, 0 ") || strings.Contains(got, "in the log, 199 ") {
		t.Errorf("damaged: %v, %d bytes", err, len(got))
	}
	for _, b := range [][]byte{log[:20], log[:40], log[:len(log)-7], log[:len(log)-4096], bytes.Repeat([]byte{0xff}, 5000)} {
		if got, err := read(b); !errors.Is(err, errLog) || !strings.Contains(got, "checkpointed") {
			t.Errorf("a log of %d bytes: %v", len(b), err)
		}
	}
	for at := range 56 { // its header and that of the first frame
		for bit := range 8 {
			b := bytes.Clone(log)
			b[at] ^= 1 << bit
			if got, err := read(b); err == nil && !strings.Contains(got, "in the log, 199 ") {
				t.Errorf("bit %d of byte %d is wrong, in silence", bit, at)
			}
		}
	}
	// Frames of an earlier generation after those of this one are no damage.
	tail := bytes.Clone(log[32 : 32+24+4096])
	for i := range 8 {
		tail[8+i] ^= 0x55
	}
	for _, b := range [][]byte{append(bytes.Clone(log), tail...), append(bytes.Clone(log), tail[:300]...), {}, make([]byte, 4096)} {
		if _, err := read(b); err != nil {
			t.Errorf("a log of %d bytes: %v", len(b), err)
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
