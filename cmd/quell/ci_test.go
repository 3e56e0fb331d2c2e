//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quellhq/quell/scanners/ci/citest"
)

const ciToken = "the-token-of-the-test"

// scanner runs the program against a fake.
type scanner struct {
	t   *testing.T
	dir string
	env []string
}

func newScanner(t *testing.T, env ...string) *scanner {
	dir := t.TempDir()
	env = append(env, "PATH="+os.Getenv("PATH"), "HOME="+dir, "TMPDIR="+dir, "XDG_STATE_HOME="+dir+"/state", "XDG_CONFIG_HOME="+dir+"/config", "XDG_CACHE_HOME="+dir+"/cache")
	return &scanner{t, dir, env}
}

func (s *scanner) command(args ...string) (*exec.Cmd, *bytes.Buffer, *bytes.Buffer) {
	c := exec.Command("quell", args...)
	c.Env, c.Dir = s.env, s.dir
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	return c, &out, &errs
}

// event is a line of a report.
type event struct {
	Type     string `json:"type"`
	Message  string `json:"message"`
	Location struct {
		Path    string `json:"path"`
		System  string `json:"system"`
		Run     string `json:"run"`
		Attempt int    `json:"attempt"`
		Job     string `json:"job"`
	} `json:"location"`
	Incomplete any `json:"incomplete"`
}

func events(t *testing.T, b *bytes.Buffer, kind string) (out []event) {
	t.Helper()
	for line := range strings.Lines(b.String()) {
		var e event
		_ = json.Unmarshal([]byte(line), &e)
		if e.Type == kind {
			out = append(out, e)
		}
	}
	return out
}

func campaign(small, large int) int {
	if os.Getenv("QUELL_CAMPAIGN") != "" {
		return large
	}
	return small
}

// log is a job's log of a size, unlike that of every other run.
func log(run, size int, session bool) string {
	var b strings.Builder
	for n := 0; b.Len() < size; n++ {
		fmt.Fprintf(&b, "2026-11-01T10:00:00.%07dZ step %d of run %d: compiling the parts of the program\n", n%10_000_000, n, run)
	}
	if session {
		b.WriteString(citest.Cookie(run))
	}
	return b.String()
}

func repository(runs, size int, session func(run int) bool) *citest.Repo {
	r := &citest.Repo{Name: "r"}
	for n := runs; n > 0; n-- {
		attempts := 1
		if n%20 == 0 {
			attempts = 2
		}
		r.Runs = append(r.Runs, &citest.Run{ID: int64(n), Attempts: attempts, Created: time.Unix(1_790_000_000+int64(n), 0), Logs: func(attempt int) map[string]string {
			return map[string]string{"0_build.txt": log(n*100+attempt, size, session(n))}
		}})
	}
	return r
}

// Every run is scanned though the program is killed again and again; only what was in flight is
// fetched twice, and the last run reports all findings.
func TestScanOfRunsSurvivesKills(t *testing.T) {
	runs, kills := campaign(80, 1000), campaign(3, 20)
	fake := citest.NewGitHub(t, "o", ciToken)
	has := func(n int) bool { return n%40 == 3 }
	fake.Repos = []*citest.Repo{repository(runs, campaign(20<<10, 150<<10), has)}
	s := newScanner(t, "GITHUB_TOKEN="+ciToken)
	args := []string{"scan", "github", "o/r", "--url", fake.Address(), "--offline", "--logs", "--format", "jsonl", "--state", "state.db", "--fail-on", "found"}
	for n := range kills {
		c, _, errs := s.command(args...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		// The kill comes once this try has downloaded its share.
		goal := (n + 1) * runs / (kills + 1)
		for end := time.Now().Add(time.Minute); len(fake.Stored()) < goal+rand.IntN(3); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the scan does not go on: %s", errs)
			}
		}
		_ = c.Process.Signal(syscall.SIGKILL)
		_ = c.Wait()
	}
	c, out, errs := s.command(args...)
	_ = c.Run()
	if code := c.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit %d: %s", code, errs)
	}
	stored := fake.Stored()
	again := 0
	for run := 1; run <= runs; run++ {
		n := stored[fmt.Sprintf("logs/r/%d/1", run)]
		if n == 0 {
			t.Errorf("run %d was not read", run)
		}
		if !has(run) {
			again += n - 1
		}
	}
	// Up to eight are in flight at a kill, and as many were fetched and not scanned.
	if again > kills*9 {
		t.Errorf("%d logs without findings were read again in %d kills", again, kills)
	}
	var found []string
	for _, f := range events(t, out, "finding") {
		found = append(found, f.Location.Run)
	}
	for run := 1; run <= runs; run++ {
		if has(run) != slices.Contains(found, fmt.Sprint(run)) {
			t.Errorf("the last run does not report run %d as it should", run)
		}
	}
	// A kill may come before a download has lost its name, and then it is empty.
	if left, _ := os.ReadDir(s.dir); slices.ContainsFunc(left, func(e os.DirEntry) bool {
		i, err := e.Info()
		return err == nil && strings.HasPrefix(e.Name(), "quell-") && i.Size() > 0
	}) {
		t.Error("downloads remain")
	}
	t.Logf("%d kills, %d of %d logs were read again", kills, again, runs)
}

// Memory and counted calls.
func TestScanOfManyRuns(t *testing.T) {
	runs, size := campaign(40, 1000), campaign(100<<10, 1_500_000)
	fake := citest.NewGitHub(t, "o", ciToken)
	fake.Repos = []*citest.Repo{repository(runs, size, func(n int) bool { return n == 7 })}
	s := newScanner(t, "GITHUB_TOKEN="+ciToken)
	c, out, errs := s.command("scan", "github", "o/r", "--url", fake.Address()+"/api/v3", "--offline", "--logs", "--format", "jsonl", "--fail-on", "found")
	begin := time.Now()
	_ = c.Run()
	calls := len(fake.Seen())
	if code := c.ProcessState.ExitCode(); code != 1 || len(events(t, out, "finding")) != 1 {
		t.Errorf("exit %d: %s", code, errs)
	}
	if most := float64(runs) * 1.1; float64(calls) > most+1 {
		t.Errorf("%d counted calls for %d runs", calls, runs)
	}
	if u, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok && runtime.GOOS == "linux" {
		if u.Maxrss > 300<<10 {
			t.Errorf("%d MiB", u.Maxrss>>10)
		}
		t.Logf("%d runs of %d bytes: %d calls (%.3f a run), %d MiB, %s", runs, size, calls, float64(calls)/float64(runs), u.Maxrss>>10, time.Since(begin).Round(time.Millisecond))
	}
}

// No run of a long list is lost.
func TestScanOfALongListOfRuns(t *testing.T) {
	if os.Getenv("QUELL_CAMPAIGN") == "" {
		t.Skip("make campaign-ci; scanners/ci/github has a short form")
	}
	for _, limit := range []int{0, 1000} {
		fake := citest.NewGitHub(t, "o", ciToken)
		fake.Cap = limit
		fake.Repos = []*citest.Repo{repository(100_000, 200, func(n int) bool { return n == 3 })}
		s := newScanner(t, "GITHUB_TOKEN="+ciToken)
		c, out, errs := s.command("scan", "github", "o/r", "--url", fake.Address(), "--offline", "--logs", "--format", "jsonl", "--fail-on", "found")
		_ = c.Run()
		if n := len(fake.Stored()); c.ProcessState.ExitCode() != 1 || n != 105_000 || len(events(t, out, "finding")) != 1 {
			t.Errorf("cap %d: %d attempts read, exit %d: %s", limit, n, c.ProcessState.ExitCode(), errs)
		}
		t.Logf("cap %d: %d calls", limit, len(fake.Seen()))
	}
}

// The terminal output of a scan that can't go on.
func TestScanOfRunsEndsAsDocumented(t *testing.T) {
	fake := citest.NewGitHub(t, "o", ciToken)
	fake.Repos = []*citest.Repo{{Name: "r", Runs: []*citest.Run{{ID: 5, Attempts: 1, Created: time.Unix(1_790_000_000, 0)}}}}
	for name, x := range map[string]struct {
		env  string
		args []string
		code int
		say  string
	}{
		"a wrong token":        {"GITHUB_TOKEN=wrong", []string{"o/r", "--url", fake.Address()}, 2, "answers 401"},
		"no token":             {"X=", []string{"o/r", "--url", fake.Address()}, 2, "answers 401"},
		"a token as a flag":    {"X=", []string{"o/r", "--token", "x"}, 2, "unknown flag"},
		"an expired log":       {"GITHUB_TOKEN=" + ciToken, []string{"o/r", "--url", fake.Address()}, 4, ""},
		"a run of an owner":    {"GITHUB_TOKEN=" + ciToken, []string{"o", "--run", "5", "--url", fake.Address()}, 2, "--run names a run of one repository"},
		"no age":               {"GITHUB_TOKEN=" + ciToken, []string{"o/r", "--since", "soon", "--url", fake.Address()}, 2, "--since"},
		"plain http elsewhere": {"GITHUB_TOKEN=" + ciToken, []string{"o/r", "--url", "http://ghe.example"}, 2, "plain http"},
		"the environment's":    {"GITHUB_TOKEN=" + ciToken + "\x00GITHUB_API_URL=" + fake.Address() + "/api/v3", []string{"o/r"}, 4, ""},
		"--url before it":      {"GITHUB_TOKEN=" + ciToken + "\x00GITHUB_API_URL=http://127.0.0.1:1/api/v3", []string{"o/r", "--url", fake.Address() + "/api/v3"}, 4, ""},
		"a repository gone":    {"GITHUB_TOKEN=" + ciToken, []string{"o/none", "o/r", "--url", fake.Address()}, 4, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScanner(t, strings.Split(x.env, "\x00")...)
			c, out, errs := s.command(append([]string{"scan", "github", "--offline", "--format", "jsonl"}, x.args...)...)
			_ = c.Run()
			if code := c.ProcessState.ExitCode(); code != x.code || !strings.Contains(errs.String(), x.say) || x.code == 2 && strings.Count(errs.String(), "\n") != 1 {
				t.Errorf("exit %d: %s%s", code, errs, out)
			}
			if strings.Contains(out.String()+errs.String(), ciToken) {
				t.Error("the token is shown")
			}
			if x.code == 4 && !strings.Contains(out.String(), "actions-run/5/attempt-1") {
				t.Errorf("%s", out)
			}
		})
	}
}

// An interrupt ends the scan though the server does not answer, with what was found until then.
func TestScanOfRunsIsInterrupted(t *testing.T) {
	fake := citest.NewGitHub(t, "o", ciToken)
	fake.Repos = []*citest.Repo{repository(30, 1000, func(n int) bool { return n == 30 })}
	waiting := make(chan bool)
	var once sync.Once
	fake.Fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if strings.Contains(r.URL.Path, "/runs/20/") {
			once.Do(func() { close(waiting) })
			<-r.Context().Done()
			return true
		}
		return false
	}
	s := newScanner(t, "GITHUB_TOKEN="+ciToken)
	c, out, _ := s.command("scan", "github", "o/r", "--url", fake.Address(), "--offline", "--logs", "--format", "jsonl", "--fail-on", "found")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	<-waiting
	time.Sleep(300 * time.Millisecond)
	begin := time.Now()
	_ = c.Process.Signal(syscall.SIGINT)
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != 130 || time.Since(begin) > 5*time.Second || len(events(t, out, "finding")) != 1 {
		t.Errorf("exit %d after %s: %s", code, time.Since(begin), out)
	}
}
