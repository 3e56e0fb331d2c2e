package serve

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/scanners/ci/citest"
)

// policyText adds to the policy.
func (b *bench) policyText(text string) {
	b.t.Helper()
	f, err := os.OpenFile(filepath.Join(b.home, "policy.toml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	fmt.Fprint(f, text)
}

// A credential that the configuration names is quell's own: it is not ended, though it leaked, is
// live and the policy allows it. Another one of the same log is.
func TestWhatTheServerWorksWithIsNeverEnded(t *testing.T) {
	b := newBench(t, 10, 11)
	b.head, b.env["METRICS"] = "apply = true\nmetrics_token = \"env:METRICS\"", strings.ReplaceAll(session(10), "%3A", ":")
	b.fake.Repos = []*citest.Repo{{Name: "a", Runs: []*citest.Run{{ID: 1, Attempts: 2, Created: time.Now(), Logs: leaking(10)}}}}
	b.start()
	db := b.db()
	b.eventually("two decisions", func() bool { return b.count(db, `SELECT count(*) FROM serve_credential WHERE outcome <> ''`) == 2 })
	b.app.mu.Lock()
	defer b.app.mu.Unlock()
	if !b.app.live[session(10)] || b.app.live[session(11)] {
		t.Errorf("live %v, ended %v", b.app.live, b.app.ended)
	}
	if n := b.count(db, `SELECT count(*) FROM serve_credential WHERE outcome = 'Held' AND detail LIKE '%quell works with%'`); n != 1 {
		t.Errorf("%d are held as quell's own", n)
	}
}

// Held credentials do not count for kill.max: another party's live sessions do not prevent
// the operator's own ones from being ended.
func TestHeldCredentialsTakeNoPlaceOfKillMax(t *testing.T) {
	b := newBench(t, 10, 20)
	b.head = "apply = true"
	b.policyText("[kill]\nmax = 1\n")
	own := filepath.Join(b.home, "policy.toml")
	text, _ := os.ReadFile(own)
	_ = os.WriteFile(own, []byte(strings.Replace(string(text), "own = true\n", "", 1)), 0o600)
	repo := &citest.Repo{Name: "a", Runs: []*citest.Run{{ID: 1, Attempts: 1, Created: time.Now(), Logs: leaking(10)}}}
	b.fake.Repos = []*citest.Repo{repo}
	r := b.start()
	db := b.db()
	b.eventually("the stranger's is held", func() bool { return b.count(db, `SELECT count(*) FROM serve_credential WHERE outcome = 'Held'`) == 1 })
	b.idle(db)
	r.stop()
	if n := b.count(db, `SELECT count(*) FROM serve_kill`); n != 0 {
		t.Errorf("%d places are taken", n)
	}
	_ = os.WriteFile(own, text, 0o600)
	repo.Runs = append([]*citest.Run{{ID: 2, Attempts: 1, Created: time.Now(), Logs: leaking(20)}}, repo.Runs...)
	if _, err := db.ExecContext(t.Context(), `UPDATE serve_target SET next = 0`); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.eventually("the own one is ended", func() bool {
		return b.count(db, `SELECT count(*) FROM serve_credential WHERE outcome = 'Confirmed'`) == 1
	})
	if n := b.count(db, `SELECT count(*) FROM serve_kill`); n != 1 {
		t.Errorf("%d places are taken", n)
	}
}

// prependPolicy adds to the policy's first table.
func (b *bench) prependPolicy(text string) {
	b.t.Helper()
	file := filepath.Join(b.home, "policy.toml")
	have, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, []byte(strings.Replace(string(have), "version = 1\n", "version = 1\n"+text, 1)), 0o600)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// A credential that was dead and leaks at another place is asked about again.
func TestWhatWasDeadAndLeaksAnewIsAskedAgain(t *testing.T) {
	b := newBench(t)
	repo := &citest.Repo{Name: "a", Runs: []*citest.Run{{ID: 1, Attempts: 1, Created: time.Now(), Logs: leaking(10)}}}
	b.fake.Repos = []*citest.Repo{repo}
	r := b.start()
	db := b.db()
	b.eventually("it is dead", func() bool { return b.count(db, `SELECT count(*) FROM serve_credential WHERE asked_at > 0`) == 1 })
	b.idle(db)
	r.stop()
	b.app.mu.Lock()
	b.app.live[session(10)] = true
	b.app.mu.Unlock()
	repo.Runs = append([]*citest.Run{{ID: 2, Attempts: 1, Created: time.Now(), Logs: leaking(10)}}, repo.Runs...)
	for _, q := range []string{`UPDATE serve_target SET next = 0 WHERE name = 'acme'`, `UPDATE serve_credential SET state = 'dead', asked_at = asked_at - 7200000`} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	b.start()
	b.eventually("the second sweep", func() bool {
		return b.count(db, `SELECT count(*) FROM serve_target WHERE name = 'acme' AND sweep = 2 AND page = 0`) == 1
	})
	b.idle(db)
	if n := b.count(db, `SELECT count(*) FROM serve_credential WHERE state = 'live'`); n != 1 {
		t.Error("it was not asked about")
	}
}

// A credential that is held for the same reason is recorded as held once, though it is asked about each day.
func TestTheSameHoldIsRecordedOnce(t *testing.T) {
	b := newBench(t, 10)
	b.head = "apply = true"
	b.prependPolicy("approvals = 2\n")
	b.fake.Repos = []*citest.Repo{{Name: "a", Runs: []*citest.Run{{ID: 1, Attempts: 1, Created: time.Now(), Logs: leaking(10)}}}}
	b.start()
	db := b.db()
	b.eventually("it is held", func() bool { return b.count(db, `SELECT count(*) FROM serve_credential WHERE outcome = 'Held'`) == 1 })
	b.idle(db)
	for _, q := range []string{`UPDATE serve_credential SET asked_at = 1`, `UPDATE serve_target SET next = 0 WHERE name = '_recheck'`} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	b.eventually("the recheck", func() bool { return b.count(db, `SELECT count(*) FROM serve_credential WHERE asked_at > 1`) == 1 })
	b.idle(db)
	if n := b.count(db, `SELECT count(*) FROM ledger WHERE type = 'held'`); n != 1 {
		t.Errorf("%d holds", n)
	}
}
