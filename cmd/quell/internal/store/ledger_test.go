package store

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func open(t *testing.T) (*Ledger, string) {
	t.Helper()
	p := filepath.Join(t.TempDir(), "a folder", "ledger.db")
	l, err := Open(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, p
}

func TestLedgerIsAppendOnly(t *testing.T) {
	l, p := open(t)
	for i := range 3 {
		if err := l.Append(t.Context(), Entry{Incident: "abc", Type: "found"}, i); err != nil {
			t.Fatal(err)
		}
	}
	for _, q := range []string{"UPDATE ledger SET body = '9'", "DELETE FROM ledger", "DELETE FROM ledger WHERE id = 2"} {
		if _, err := l.db.Exec(q); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", q, err)
		}
	}
	if bad, err := l.Verify(t.Context()); bad != 0 || err != nil {
		t.Errorf("%d %v", bad, err)
	}
	// Whoever drops the triggers still breaks the chain.
	db, err := sql.Open("sqlite", "file:"+strings.ReplaceAll(p, " ", "%20"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("DROP TRIGGER ledger_no_update; UPDATE ledger SET body = '9' WHERE id = 2"); err != nil {
		t.Fatal(err)
	}
	if bad, err := l.Verify(t.Context()); bad != 2 || err != nil {
		t.Errorf("the change is not seen: %d %v", bad, err)
	}
	if info, err := os.Stat(p); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read the ledger: %v", info.Mode())
	}
}

func TestIncidentByPrefix(t *testing.T) {
	l, _ := open(t)
	for _, i := range []string{"aa11", "aa22", "b%_1"} {
		if err := l.Append(t.Context(), Entry{Incident: i, Type: "found"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for prefix, want := range map[string]int{"": 3, "aa": 2, "aa1": 1, "b%": 1, "%": 0, "c": 0} {
		if got, err := l.Incident(t.Context(), prefix); err != nil || len(got) != want {
			t.Errorf("%q: %d entries %v", prefix, len(got), err)
		}
	}
}

// A disk that is full must be an error before any request leaves, and what was
// recorded before must still be there.
func TestFullDisk(t *testing.T) {
	l, _ := open(t)
	if err := l.Append(t.Context(), Entry{Incident: "abc", Type: "found"}, "first"); err != nil {
		t.Fatal(err)
	}
	var pages int
	if err := l.db.QueryRow("PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	if _, err := l.db.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(t.Context(), Entry{Incident: "abc", Type: "intent"}, strings.Repeat("x", 1<<16)); err == nil || !strings.Contains(err.Error(), "full") {
		t.Fatalf("a full disk gives %v", err)
	}
	all, err := l.Incident(t.Context(), "abc")
	if err != nil || len(all) != 1 {
		t.Errorf("%d entries, %v", len(all), err)
	}
}

// A process that is killed at any moment loses nothing that Append returned for.
func TestKilledProcessLosesNothing(t *testing.T) {
	if p := os.Getenv("QUELL_TEST_LEDGER"); p != "" {
		l, err := Open(p)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		for i := 0; ; i++ {
			if err := l.Append(context.Background(), Entry{Incident: "abc", Type: "intent"}, i); err != nil {
				os.Exit(1)
			}
			fmt.Println(i)
		}
	}
	p := filepath.Join(t.TempDir(), "ledger.db")
	c := exec.Command(os.Args[0], "-test.run=TestKilledProcessLosesNothing")
	c.Env = append(os.Environ(), "QUELL_TEST_LEDGER="+p)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	said := 0
	for lines := bufio.NewScanner(out); lines.Scan(); said++ {
		if said == 20 {
			_ = c.Process.Kill() // in the middle of whatever it does now
		}
	}
	_ = c.Wait()
	l, err := Open(p)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	all, err := l.Incident(t.Context(), "")
	if err != nil || said < 20 || len(all) < said {
		t.Errorf("%d entries were acknowledged, %d are there: %v", said, len(all), err)
	}
	if bad, err := l.Verify(t.Context()); bad != 0 || err != nil {
		t.Errorf("the chain is broken at %d: %v", bad, err)
	}
}

func TestSealedCanBePurged(t *testing.T) {
	l, _ := open(t)
	for range 2 {
		if err := l.Keep(t.Context(), "abc", "rule", "", "sealed"); err != nil {
			t.Fatal(err)
		}
	}
	if k, err := l.Kept(t.Context()); err != nil || len(k) != 1 {
		t.Errorf("%v %v", k, err)
	}
	if n, err := l.Purge(t.Context()); n != 1 || err != nil {
		t.Errorf("%d %v", n, err)
	}
}
