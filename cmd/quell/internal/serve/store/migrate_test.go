package store

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
)

// A newer version migrates the tables while an older one uses them, and the older one goes on; an
// older one that starts later fails with the next step.
func TestMigrationsWhileAnOlderVersionRuns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l, err := ledger.Open(t.Context(), path, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	all := migrations
	t.Cleanup(func() { migrations = all })
	for n := 1; n < len(all); n++ {
		migrations = all[:n]
		older, err := Open(t.Context(), path)
		if err != nil {
			t.Fatalf("version %d: %v", n, err)
		}
		migrations = all[:n+1]
		newer, err := Open(t.Context(), path)
		if err != nil {
			t.Fatalf("version %d: %v", n+1, err)
		}
		now := time.Now()
		for _, s := range []*Store{older, newer} {
			if err := s.Beat(t.Context(), "w", "host", now); err != nil {
				t.Error(err)
			}
			if _, err := s.TakeOver(t.Context(), "w", now); err != nil {
				t.Error(err)
			}
			if _, _, _, err := s.Reserve(t.Context(), "fp", 10); err != nil {
				t.Error(err)
			}
			err := s.Update(t.Context(), func(tx *Tx) error {
				_, _, err := tx.Found(Credential{Fingerprint: "fp", Rule: "r", Sealed: "s", Target: "t"}, []string{"a place"}, now, func(Credential) bool { return false })
				if err == nil {
					err = tx.Verdict("fp", "live", "", "", "host", now)
				}
				if err == nil {
					err = tx.Read(Repo{Target: "t", Repo: "o/a", ReadAt: now})
				}
				return err
			})
			if err != nil {
				t.Errorf("version %d next to %d: %v", n, n+1, err)
			}
		}
		older.Close()
		newer.Close()
		migrations = all[:n]
		if s, err := Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "update quell") {
			t.Errorf("version %d opens tables of version %d: %v", n, n+1, err)
			s.Close()
		}
	}
}
