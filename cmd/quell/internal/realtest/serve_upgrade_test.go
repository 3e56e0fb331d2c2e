package realtest

import (
	"testing"
	"time"

	"github.com/quellhq/quell/scanners/ci/citest"
)

// A process on PostgreSQL goes on while a newer version has migrated the database; another one of the
// older version does not start until it is updated.
func TestServeOnNewerTables(t *testing.T) {
	c := newCluster(t)
	repo := &citest.Repo{Name: "r0"}
	c.fake.Repos = []*citest.Repo{repo}
	p := c.start("apply = true", "")
	c.eventually(time.Minute, "the first sweep", func() bool {
		return c.number(`SELECT count(*) FROM serve_repo WHERE read_at > 0`) == 1 && c.number(`SELECT count(*) FROM river_job WHERE state NOT IN ('completed', 'discarded', 'cancelled')`) == 0
	})
	run := func(statement string) {
		t.Helper()
		if _, err := c.db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	run(`CREATE TABLE serve_later (name TEXT PRIMARY KEY); ALTER TABLE serve_credential ADD COLUMN later TEXT NOT NULL DEFAULT ''; ALTER TABLE serve_repo ADD COLUMN later BIGINT NOT NULL DEFAULT 0; INSERT INTO serve_version(version) VALUES (1000)`)
	repo.Runs = []*citest.Run{c.leaking(100, true)}
	_ = c.fake.Address() // it is visible from here on
	run(`UPDATE serve_target SET next = 0`)
	c.eventually(time.Minute, "a kill by the older version", func() bool {
		return c.number(`SELECT count(*) FROM serve_credential WHERE outcome = 'Confirmed'`) == 1
	})
	p.o.quell(2, p.args...)
	run(`DELETE FROM serve_version WHERE version = 1000; INSERT INTO river_migration(line, version) VALUES ('main', 99)`)
	p.o.quell(2, p.args...)
	run(`DELETE FROM river_migration WHERE version = 99`)
	c.start("apply = true", "")
	c.eventually(time.Minute, "a second process", func() bool { return c.number(`SELECT count(*) FROM serve_worker`) == 2 })
	c.endedOnce()
	c.first.quell(0, "ledger", "--verify")
}
