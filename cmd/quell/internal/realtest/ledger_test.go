package realtest

import (
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/quellhq/quell/cmd/quell/internal/store"
)

// Many machines write one ledger. Each entry follows the one before, and none is changed.
func TestLedgerInPostgres(t *testing.T) {
	address := "postgres://admin:made-up-root@127.0.0.1:" + postgres(t) + "/postgres?sslmode=disable"
	var wg sync.WaitGroup
	for m := range 4 {
		wg.Go(func() {
			l, err := store.Open(address)
			if err != nil {
				t.Error(err)
				return
			}
			defer l.Close()
			for n := range 25 {
				if err := l.Append(t.Context(), store.Entry{Incident: fmt.Sprintf("%02d%02d", m, n), Type: "found", Actor: "machine"}, map[string]int{"n": n}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	l, err := store.Open(address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if all, err := l.Incident(t.Context(), ""); err != nil || len(all) != 100 {
		t.Errorf("%d entries, %v", len(all), err)
	}
	if some, err := l.Incident(t.Context(), "03"); err != nil || len(some) != 25 {
		t.Errorf("%d entries of a prefix, %v", len(some), err)
	}
	if bad, err := l.Verify(t.Context()); bad != 0 || err != nil {
		t.Errorf("entry %d, %v", bad, err)
	}
	for n := range 2 {
		if err := l.Keep(t.Context(), "a", "rule", "", fmt.Sprintf("sealed-%d", n)); err != nil {
			t.Fatal(err)
		}
	}
	if kept, err := l.Kept(t.Context()); err != nil || len(kept) != 1 || kept[0].Sealed != "sealed-1" {
		t.Errorf("%+v, %v", kept, err)
	}
	if n, err := l.Purge(t.Context()); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	m, err := l.Memory("rules", make([]byte, 32), func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{"one", "two"} {
		m.Remember(t.Context(), "key", []byte(v))
	}
	if v, ok := m.Recall(t.Context(), "key"); !ok || string(v) != "two" {
		t.Errorf("%q", v)
	}
	db, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, q := range []string{"UPDATE ledger SET body = '9'", "DELETE FROM ledger WHERE id = 2", "TRUNCATE ledger"} {
		if _, err := db.Exec(q); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", q, err)
		}
	}
	if _, err := db.Exec("DROP TRIGGER ledger_no_change ON ledger; UPDATE ledger SET body = '9' WHERE id = 50"); err != nil {
		t.Fatal(err)
	}
	if bad, err := l.Verify(t.Context()); bad != 50 || err != nil {
		t.Errorf("the change is not seen: %d %v", bad, err)
	}
	for _, bad := range []string{strings.Replace(address, "made-up-root", "wrong-password", 1), "postgres://127.0.0.1:1/x", "postgres://db.example.com/x?sslmode=disable", "postgres://%zz"} {
		if _, err := store.Open(bad); err == nil || strings.Contains(err.Error(), "wrong-password") || strings.Contains(err.Error(), "made-up") {
			t.Errorf("%v", err)
		}
	}
}
