//go:build unix

package serve

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"modernc.org/sqlite"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/scanners/ci/citest"
)

// newer are changes that a later version may make: tables, columns and indexes are added.
const newer = `CREATE TABLE serve_later (name TEXT PRIMARY KEY);
ALTER TABLE serve_credential ADD COLUMN later TEXT NOT NULL DEFAULT '';
ALTER TABLE serve_repo ADD COLUMN later BIGINT NOT NULL DEFAULT 0;
CREATE INDEX serve_later_index ON serve_credential(later, first_at);
INSERT INTO serve_version(version) VALUES (1000);`

// A process goes on while a newer version has migrated its database, and does not start on it.
func TestOlderProcessOnNewerTables(t *testing.T) {
	b := newBench(t, 10)
	b.head = "apply = true"
	b.fake.Repos = []*citest.Repo{{Name: "a"}}
	r := b.start()
	db := b.db()
	b.eventually("a sweep", func() bool { return b.count(db, `SELECT count(*) FROM serve_repo WHERE read_at > 0`) == 1 })
	b.idle(db)
	for statement := range strings.SplitSeq(newer, ";") {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	b.fake.Repos[0].Runs = []*citest.Run{{ID: 1, Attempts: 1, Created: time.Now(), Logs: leaking(10)}}
	_ = b.fake.Address() // it is visible from here on
	if _, err := db.ExecContext(t.Context(), `UPDATE serve_target SET next = 0`); err != nil {
		t.Fatal(err)
	}
	b.eventually("a kill by the older version", func() bool {
		return b.count(db, `SELECT count(*) FROM serve_credential WHERE outcome = 'Confirmed'`) == 1
	})
	r.stop()
	for name, statement := range map[string]string{"quell's tables": ``, "the queue's": `DELETE FROM serve_version WHERE version = 1000; INSERT INTO river_migration(line, version, created_at) VALUES ('main', 99, CURRENT_TIMESTAMP)`} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := Run(ctx, b.options())
		cancel()
		if err == nil || !strings.Contains(err.Error(), "update quell") {
			t.Errorf("%s: it starts on newer tables: %v", name, err)
		}
		if name == "the queue's" {
			break
		}
	}
	b.whole()
}

// A copy that SQLite made while quell worked is whole. From it, what was read since is read again,
// and nothing is ended that was ended before.
func TestRestoreOfACopyOfTheFile(t *testing.T) {
	live := []int{}
	repo := &citest.Repo{Name: "a"}
	for i := range 9 {
		live = append(live, 10*(i+1))
		repo.Runs = append(repo.Runs, &citest.Run{ID: int64(i + 1), Attempts: 1, Created: time.Now(), Logs: leaking(10 * (i + 1))})
	}
	b := newBench(t, live...)
	b.head = "apply = true"
	b.fake.Repos = []*citest.Repo{{Name: "b", Runs: repo.Runs[:3]}, {Name: "c", Runs: repo.Runs[3:6]}, {Name: "d", Runs: repo.Runs[6:]}}
	r := b.start()
	db := b.db()
	const confirmed = `SELECT count(*) FROM serve_credential WHERE outcome = 'Confirmed'`
	b.eventually("a kill", func() bool { return b.count(db, confirmed) > 0 })
	copied := filepath.Join(b.home, "copy.db")
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = c.Raw(func(raw any) error {
		x, ok := raw.(interface {
			NewBackup(to string) (*sqlite.Backup, error)
		})
		if !ok {
			return fmt.Errorf("%T makes no backups", raw)
		}
		k, err := x.NewBackup(copied)
		if err != nil {
			return err
		}
		for more := true; more; {
			if more, err = k.Step(-1); err != nil {
				return err
			}
		}
		return k.Finish()
	})
	_ = c.Close()
	if err != nil {
		t.Fatal(err)
	}
	b.eventually("all kills", func() bool { return b.count(db, confirmed) == len(live) })
	b.idle(db)
	r.stop()
	_ = db.Close()
	b.app.mu.Lock()
	outs := b.app.outs
	b.app.mu.Unlock()
	for _, end := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(b.state + end); err != nil && end == "" {
			t.Fatal(err)
		}
	}
	if err := os.Rename(copied, b.state); err != nil {
		t.Fatal(err)
	}
	// The operator records that the copy is older than what this machine has seen.
	rt, err := b.options().Runtime(true, report.NewRedactor(), nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := rt.Ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v, err := l.Verify(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if v.OK() {
		t.Error("the copy counts as the newest ledger")
	}
	for _, p := range v.Problems {
		if p.Kind != ledger.Truncated {
			t.Errorf("the copy is damaged: %+v", p)
		}
	}
	if _, err := l.Accept(t.Context(), "operator", "restored from a made-up backup"); err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	_ = rt.Close(t.Context())
	db = b.db()
	before := b.count(db, confirmed)
	// As if the 30 seconds had passed for which the process that worked then has the file.
	for _, q := range []string{`UPDATE serve_target SET next = 0`, `DELETE FROM lease`} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	b.start()
	// What was ended after the copy is refused now: dead where the copy has the request that ended it,
	// and without a control unknown where it does not.
	b.eventually("all verdicts", func() bool {
		return b.count(db, `SELECT count(*) FROM serve_credential WHERE state IN ('dead', 'unknown') OR outcome = 'Held'`) == len(live)
	})
	b.idle(db)
	for s, n := range b.app.endedOnes() {
		if n != 1 {
			t.Errorf("%s… was ended %d times", s[:12], n)
		}
	}
	b.app.mu.Lock()
	if b.app.outs != outs {
		t.Errorf("%d kills were sent again", b.app.outs-outs)
	}
	b.app.mu.Unlock()
	t.Logf("%d of %d kills were in the copy", before, len(live))
}
