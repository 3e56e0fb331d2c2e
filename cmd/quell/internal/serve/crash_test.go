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
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	kills := 0
	random := rand.New(rand.NewPCG(1, 2))
	start := func() (*exec.Cmd, *bytes.Buffer) {
		c := exec.CommandContext(t.Context(), exe)
		c.Env = append(os.Environ(), "QUELL_TEST_SERVE="+b.home)
		for k, v := range b.env {
			c.Env = append(c.Env, k+"="+v)
		}
		var out bytes.Buffer
		c.Stdout, c.Stderr = &out, &out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c, &out
	}
	ready := filepath.Join(b.home, "ready")
	started := func() {
		for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if os.Remove(ready) == nil {
				return
			}
		}
		t.Fatal("it did not start")
	}
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
	l, err := ledger.Open(t.Context(), b.state, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if v, err := l.Verify(t.Context(), nil); err != nil || !v.OK() {
		t.Errorf("the ledger is not whole: %+v %v", v, err)
	}
	t.Logf("%d kills, %d leaks, %d sessions ended", kills, leaks, live)
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
