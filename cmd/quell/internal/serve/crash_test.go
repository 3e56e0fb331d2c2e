//go:build unix

package serve

import (
	"bytes"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/scanners/ci/citest"
)

// TestMain runs a server in a process of its own for the test of kill -9.
func TestMain(m *testing.M) {
	if home := os.Getenv("QUELL_TEST_SERVE"); home != "" {
		os.Exit(child(home))
	}
	os.Exit(m.Run())
}

// A process that is killed at random moments, again and again, loses no run, and ends no session
// twice.
func TestKillNineLosesNothing(t *testing.T) {
	b := newBench(t)
	repos, rounds := 3, 3
	if os.Getenv("QUELL_REAL") == "1" {
		repos, rounds = 12, 12
	}
	for i := range repos {
		r := &citest.Repo{Name: fmt.Sprintf("r%d", i), Runs: runsOf(12, 100*i)}
		for n := range r.Runs {
			if id := int(r.Runs[n].ID); id%2 == 0 && strings.Contains(r.Runs[n].Logs(1)["0_build.txt"], "connect.sid") {
				b.app.live[session(10*id)] = true
			}
		}
		b.fake.Repos = append(b.fake.Repos, r)
	}
	live := len(b.app.live)
	leaks := 0
	for _, r := range b.fake.Repos {
		for _, x := range r.Runs {
			if strings.Contains(x.Logs(1)["0_build.txt"], "connect.sid") {
				leaks++
			}
		}
	}
	b.head = "apply = true"
	b.config()
	kills := 0
	random := rand.New(rand.NewPCG(1, 2))
	start := b.process
	ready := filepath.Join(b.home, "ready")
	started := func() { b.started() }
	for i := range rounds {
		c, _ := start()
		if i > 0 { // the first one ends while it makes its tables
			started()
		}
		time.Sleep(time.Duration(random.IntN(500)) * time.Millisecond)
		_ = c.Process.Kill()
		_ = c.Wait()
		_ = os.Remove(ready)
		kills++
	}
	c, out := start()
	defer func() { _ = c.Process.Kill(); _ = c.Wait() }()
	started()
	db := b.db()
	const done = `SELECT (SELECT count(*) FROM serve_credential WHERE state <> '') + (SELECT count(*) FROM serve_credential WHERE outcome = 'Confirmed')`
	for end := time.Now().Add(3 * time.Minute); b.count(db, done) != leaks+live; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			_ = c.Process.Kill()
			_ = c.Wait()
			t.Fatalf("%d of %d\n%s\n%s", b.count(db, done), leaks+live, out.String(), summaryOf(t, db))
		}
	}
	b.idle(db)
	_ = c.Process.Kill()
	_ = c.Wait()
	b.app.mu.Lock()
	defer b.app.mu.Unlock()
	for s, n := range b.app.ended {
		if n != 1 {
			t.Errorf("%s… was ended %d times", s[:12], n)
		}
	}
	if len(b.app.ended) != live {
		t.Errorf("%d of %d sessions were ended", len(b.app.ended), live)
	}
	for _, r := range b.fake.Repos {
		for _, x := range r.Runs {
			if b.fake.Stored()[fmt.Sprintf("logs/%s/%d/1", r.Name, x.ID)] == 0 {
				t.Errorf("run %d of %s was not read", x.ID, r.Name)
			}
		}
	}
	b.whole()
	t.Logf("%d kills, %d leaks, %d sessions ended", kills, leaks, live)
}

// process starts a server of the configuration in a process of its own.
func (b *bench) process(env ...string) (*exec.Cmd, *bytes.Buffer) {
	b.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	c := exec.CommandContext(b.t.Context(), exe)
	c.Env = append(append(os.Environ(), "QUELL_TEST_SERVE="+b.home), env...)
	for k, v := range b.env {
		c.Env = append(c.Env, k+"="+v)
	}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		b.t.Fatal(err)
	}
	return c, &out
}

// started waits for a process, and returns its address.
func (b *bench) started() string {
	b.t.Helper()
	ready := filepath.Join(b.home, "ready")
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if address, err := os.ReadFile(ready); err == nil {
			_ = os.Remove(ready)
			return "http://" + string(address)
		}
	}
	b.t.Fatal("it did not start")
	return ""
}

// whole fails unless the ledger is.
func (b *bench) whole() {
	b.t.Helper()
	l, err := ledger.Open(b.t.Context(), b.state, ledger.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	defer l.Close()
	if v, err := l.Verify(b.t.Context(), nil); err != nil || !v.OK() {
		b.t.Errorf("the ledger is not whole: %+v %v", v, err)
	}
}

// A process that is killed at any moment between the last approval and the kill ends what was
// approved once, and nothing else.
func TestKillNineAfterAnApproval(t *testing.T) {
	rounds := 3
	if os.Getenv("QUELL_REAL") == "1" {
		rounds = 25
	}
	b := newBench(t)
	b.withPeople(2)
	r := &citest.Repo{Name: "a"}
	for i := rounds + 1; i > 0; i-- { // the last one is never approved
		b.app.live[session(i)] = true
		r.Runs = append(r.Runs, &citest.Run{ID: int64(i), Attempts: 1, Created: time.Now(), Logs: leaking(i)})
	}
	b.fake.Repos = []*citest.Repo{r}
	b.config()
	start := func() (*exec.Cmd, string) {
		c, _ := b.process("QUELL_TEST_LISTEN=127.0.0.1:0")
		return c, b.started()
	}
	c, url := start()
	defer func() { _ = c.Process.Kill(); _ = c.Wait() }()
	db := b.db()
	b.eventually("all plans", func() bool { return b.count(db, `SELECT count(*) FROM serve_proposal`) == rounds+1 })
	random := rand.New(rand.NewPCG(3, 4))
	unanswered := 0
	for i := range rounds {
		fp := ""
		if err := db.QueryRowContext(t.Context(), `SELECT fingerprint FROM serve_proposal ORDER BY fingerprint LIMIT 1`).Scan(&fp); err != nil {
			t.Fatal(err)
		}
		signIn(t, url, aliceToken).decide(fp, "approve")
		if n := len(b.app.endedOnes()); n != i {
			t.Fatalf("one approval of two ended a session: %d of %d", n, i)
		}
		bob := signIn(t, url, bobToken)
		page := fields(bob.get("/incidents/" + fp))
		time.AfterFunc(time.Duration(random.IntN(12))*time.Millisecond, func() { _ = c.Process.Kill() })
		if !bob.tries("/incidents/"+fp+"/decide", map[string][]string{"csrf": {page["csrf"]}, "digest": {page["digest"]}, "what": {"approve"}}) {
			unanswered++
		}
		_ = c.Wait()
		c, url = start()
		q := fmt.Sprintf(`SELECT count(*) FROM ledger WHERE type = 'approval' AND incident = '%s'`, fp)
		if b.count(db, q) == 1 { // it ended before it had recorded bob's
			signIn(t, url, bobToken).decide(fp, "approve")
		}
		b.eventually("the kill", func() bool {
			return b.count(db, fmt.Sprintf(`SELECT count(*) FROM serve_credential WHERE outcome = 'Confirmed' AND fingerprint = '%s'`, fp)) == 1
		})
		if n := b.count(db, q); n != 2 {
			t.Errorf("%d approvals are recorded", n)
		}
	}
	_ = c.Process.Kill()
	_ = c.Wait()
	ended := b.app.endedOnes()
	for s, n := range ended {
		if n != 1 {
			t.Errorf("%s… was ended %d times", s[:12], n)
		}
	}
	if len(ended) != rounds {
		t.Errorf("%d of %d sessions were ended", len(ended), rounds)
	}
	b.whole()
	t.Logf("%d kills of the process, %d before it answered", rounds, unanswered)
}

// summaryOf counts credentials and jobs by what became of them.
func summaryOf(t *testing.T, db *sql.DB) string {
	t.Helper()
	var out strings.Builder
	for _, q := range []string{`SELECT state || ' ' || reason || ' ' || outcome || ' ' || detail, count(*) FROM serve_credential GROUP BY 1`,
		`SELECT kind || ' ' || state || ' ' || attempt || ' ' || coalesce(json(errors), ''), count(*) FROM river_job GROUP BY 1`} {
		rows, err := db.QueryContext(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var s string
			var n int
			if err := rows.Scan(&s, &n); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "%d %s\n", n, s)
		}
		_ = rows.Close()
	}
	return out.String()
}
