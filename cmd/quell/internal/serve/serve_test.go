package serve

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/scanners/ci/citest"
)

func TestOrganisationIsReadAskedEndedAndReported(t *testing.T) {
	b := newBench(t, 10, 11)
	b.head = "apply = true"
	b.fake.Repos = []*citest.Repo{
		{Name: "a", Runs: []*citest.Run{{ID: 1, Attempts: 2, Created: time.Now(), Logs: leaking(10)}}},
		{Name: "b", Runs: []*citest.Run{{ID: 2, Attempts: 1, Created: time.Now(), Logs: leaking(20)}, {ID: 3, Attempts: 1, Created: time.Now()}}},
		{Name: "c", Refuse: http.StatusForbidden},
	}
	r := b.start()
	db := b.db()
	b.eventually("three findings", func() bool { return b.count(db, `SELECT count(*) FROM serve_credential`) == 3 })
	b.idle(db)
	if n := b.count(db, `SELECT count(*) FROM serve_credential WHERE outcome = 'Confirmed' AND state = 'dead'`); n != 2 {
		t.Errorf("%d of the two live sessions are proven dead\n%s", n, dumpOf(t, db, false))
	}
	if n := b.count(db, `SELECT count(*) FROM serve_credential WHERE outcome = ''`); n != 1 {
		t.Errorf("%d sessions were left alone", n)
	}
	b.app.mu.Lock()
	if len(b.app.live) != 0 || len(b.app.ended) != 2 {
		t.Errorf("live %v, ended %v", b.app.live, b.app.ended)
	}
	b.app.mu.Unlock()
	b.eventually("messages", func() bool { return strings.Count(b.inbox.all(), `"text"`) == 4 })
	if all := b.inbox.all(); strings.Count(all, "is live") != 2 || strings.Count(all, "is dead: Confirmed") != 2 || !strings.Contains(all, "acme") {
		t.Errorf("messages: %s", all)
	}
	// The coverage names what could not be read.
	if n := b.count(db, `SELECT sum(gaps) FROM serve_gap WHERE repo = 'o/b'`); n != 1 {
		t.Errorf("%d gaps of o/b", n)
	}
	if n := b.count(db, `SELECT gaps FROM serve_repo WHERE repo = 'o/c'`); n == 0 {
		t.Error("a repository that refuses has no gap")
	}
	b.clean(db, session(10), session(11), session(20))
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ready", "/metrics": `quell_credentials{liveness="dead",outcome="Confirmed"} 2`} {
		if got := get(t, r.url+path); !strings.Contains(got, want) {
			t.Errorf("%s: %s", path, got)
		}
	}
	r.stop()
	l, err := ledger.Open(t.Context(), b.state, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if v, err := l.Verify(t.Context(), nil); err != nil || !v.OK() {
		t.Errorf("the ledger is not whole: %+v %v", v, err)
	}
}

// Without apply nothing is sent that ends a session, though the policy allows it.
func TestNothingIsEndedUnlessTheConfigurationAllowsIt(t *testing.T) {
	b := newBench(t, 10)
	b.fake.Repos = []*citest.Repo{{Name: "a", Runs: []*citest.Run{{ID: 1, Attempts: 1, Created: time.Now(), Logs: leaking(10)}}}}
	b.start()
	db := b.db()
	b.eventually("a live session", func() bool { return b.count(db, `SELECT count(*) FROM serve_credential WHERE state = 'live'`) == 1 })
	b.idle(db)
	b.app.mu.Lock()
	defer b.app.mu.Unlock()
	if !b.app.live[session(10)] || len(b.app.ended) > 0 || b.count(db, `SELECT count(*) FROM river_job WHERE kind = 'kill'`) > 0 {
		t.Error("a session was ended")
	}
}

// kill.max counts the kills of a day over all plans.
func TestKillsOfADayAreLimited(t *testing.T) {
	b := newBench(t, 10, 20, 30)
	b.head = "apply = true"
	f, err := os.OpenFile(filepath.Join(b.home, "policy.toml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, "[kill]\nmax = 1\n")
	_ = f.Close()
	r := &citest.Repo{Name: "a"}
	for n := 3; n > 0; n-- {
		r.Runs = append(r.Runs, &citest.Run{ID: int64(n), Attempts: 1, Created: time.Now(), Logs: leaking(10 * n)})
	}
	b.fake.Repos = []*citest.Repo{r}
	b.start()
	db := b.db()
	b.eventually("three decisions", func() bool { return b.count(db, `SELECT count(*) FROM serve_credential WHERE outcome <> ''`) == 3 })
	b.app.mu.Lock()
	defer b.app.mu.Unlock()
	if len(b.app.ended) != 1 || b.count(db, `SELECT count(*) FROM serve_credential WHERE outcome = 'Held'`) != 2 {
		t.Errorf("%d sessions were ended", len(b.app.ended))
	}
}

// One secret under two cookie names is one incident, and one job in a batch.
func TestOneSecretUnderTwoNames(t *testing.T) {
	b := newBench(t, 10)
	b.fake.Repos = []*citest.Repo{{Name: "a", Runs: []*citest.Run{{ID: 1, Attempts: 1, Created: time.Now(), Logs: func(int) map[string]string {
		return map[string]string{"0_build.txt": lineOf(10) + strings.Replace(lineOf(10), "connect.sid", "sessionid", 1)}
	}}}}}
	b.start()
	db := b.db()
	b.eventually("a verdict", func() bool { return b.count(db, `SELECT count(*) FROM serve_credential WHERE state <> ''`) >= 1 })
	b.idle(db)
	if n := b.count(db, `SELECT count(*) FROM river_job WHERE errors IS NOT NULL`); n > 0 {
		t.Errorf("%d jobs failed: %s", n, b.logged())
	}
}

// A server that answers nothing to a probe is asked again, and the credential stays unknown.
func TestSilenceIsUnknownAndAskedAgain(t *testing.T) {
	b := newBench(t, 10)
	b.app.refuse = http.StatusBadGateway
	b.fake.Repos = []*citest.Repo{{Name: "a", Runs: []*citest.Run{{ID: 1, Attempts: 1, Created: time.Now(), Logs: leaking(10)}}}}
	b.start()
	db := b.db()
	b.eventually("a verdict", func() bool {
		return b.count(db, `SELECT count(*) FROM serve_credential WHERE state = 'unknown' AND reason = 'unreachable'`) == 1
	})
	b.app.mu.Lock()
	b.app.refuse = 0
	b.app.mu.Unlock()
	b.eventually("the answer", func() bool { return b.count(db, `SELECT count(*) FROM serve_credential WHERE state = 'live'`) == 1 })
	b.clean(db, session(10))
}

func TestSecondProcessOfAFileAndAnotherKeyAreRefused(t *testing.T) {
	b := newBench(t)
	b.fake.Repos = []*citest.Repo{{Name: "a"}}
	r := b.start()
	if err := Run(t.Context(), b.options()); err == nil || !strings.Contains(err.Error(), "another quell serve") {
		t.Errorf("a second process: %v", err)
	}
	r.stop()
	b.env["QUELL_FINGERPRINT_KEY"] = strings.Repeat("ab", 32)
	if err := Run(t.Context(), b.options()); err == nil || !strings.Contains(err.Error(), "fingerprint.key") {
		t.Errorf("another key: %v", err)
	}
}

func TestApplyNeedsAPolicy(t *testing.T) {
	b := newBench(t)
	b.head = "apply = true"
	if err := Check(b.options()); err != nil {
		t.Errorf("with a policy: %v", err)
	}
	if err := os.Remove(filepath.Join(b.home, "policy.toml")); err != nil {
		t.Fatal(err)
	}
	if err := Check(b.options()); err == nil {
		t.Error("without a policy nothing is wrong")
	}
	delete(b.env, "TOKEN")
	if err := Check(b.options()); err == nil || !strings.Contains(err.Error(), "target acme: token: the environment has no TOKEN") {
		t.Errorf("without the token: %v", err)
	}
}

// Arguments of jobs have names, numbers and fingerprints alone.
func TestArgumentsOfJobsAreNames(t *testing.T) {
	for _, args := range []any{EnumerateArgs{}, ScanArgs{}, ProbeArgs{}, KillArgs{}, RecheckArgs{}, NotifyArgs{}, RetentionArgs{}} {
		text, err := json.Marshal(args)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]any
		if err := json.Unmarshal(text, &fields); err != nil {
			t.Fatal(err)
		}
		for name := range fields {
			if !strings.Contains(" target repo what run attempt ref fingerprint hook event ", " "+name+" ") {
				t.Errorf("%T has the argument %q: is it a secret?", args, name)
			}
		}
	}
}
