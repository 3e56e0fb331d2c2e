//go:build unix

package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/quellhq/quell/scanners/ci/citest"
)

// sessions is an application whose sessions are live until they log out.
type sessions struct {
	*httptest.Server
	mu       sync.Mutex
	live     map[string]bool
	stubborn map[string]bool // their logout does nothing
}

func newSessions(t *testing.T) *sessions {
	s := &sessions{live: map[string]bool{}, stubborn: map[string]bool{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		c, _ := r.Cookie("sessionid")
		switch {
		case c == nil || !s.live[c.Value]:
			http.Redirect(w, r, "/login", http.StatusFound)
		case r.URL.Path == "/logout":
			s.live[c.Value] = s.stubborn[c.Value]
			http.Redirect(w, r, "/", http.StatusFound)
		default:
			_, _ = fmt.Fprint(w, "hello, alice")
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// cookie is the n-th made-up session of citest.
func cookie(n int) string {
	_, v, _ := strings.Cut(strings.TrimSpace(citest.Cookie(n)), "sessionid=")
	return v
}

// leak is an application, a GitHub with logs that hold its sessions, and an operator.
type leak struct {
	*scanner
	fake *citest.GitHub
	app  *sessions
	urls []string
}

// newLeak leaks sessions 1 (in run 5: both attempts and an artifact, and in run 6), 2 (run 6)
// and none (run 7).
func newLeak(t *testing.T) *leak {
	t.Helper()
	fake := citest.NewGitHub(t, "o", ciToken)
	at := func(n int) time.Time { return time.Date(2026, 11, 1, 10, n, 0, 0, time.UTC) }
	text := func(sessions ...int) func(int) map[string]string {
		return func(attempt int) map[string]string {
			s := fmt.Sprintf("2026-11-01T10:00:00.0000000Z attempt %d\n", attempt)
			for _, n := range sessions {
				s += citest.Cookie(n)
			}
			return map[string]string{"0_build.txt": s}
		}
	}
	fake.Repos = []*citest.Repo{{Name: "r",
		Runs:      []*citest.Run{{ID: 7, Attempts: 1, Created: at(7), Logs: text()}, {ID: 6, Attempts: 1, Created: at(6), Logs: text(1, 2)}, {ID: 5, Attempts: 2, Created: at(5), Branch: "fix", Pull: 12, Logs: text(1)}},
		Artifacts: []*citest.Artifact{{ID: 50, Name: "dist", Run: 5, Members: map[string]string{"a/.env": "SESSION='sessionid=" + cookie(1) + "'\n"}}, {ID: 70, Name: "dist", Run: 7, Members: map[string]string{"a": "b"}}},
		Caches:    []*citest.Cache{{ID: 90, Key: "of-run-5", Ref: "refs/heads/fix", Created: at(5).Add(time.Second)}, {ID: 91, Key: "older", Ref: "refs/heads/fix", Created: at(1)}, {ID: 92, Key: "of-another", Ref: "refs/heads/main", Created: at(5)}},
	}}
	app := newSessions(t)
	for n := range 4 {
		app.live[cookie(n)] = true
	}
	l := &leak{newScanner(t, "GITHUB_TOKEN="+ciToken, "CONTROL="+cookie(3)), fake, app, []string{"--url", "github=" + fake.Address()}}
	l.policy("")
	return l
}

func (l *leak) policy(more string) {
	l.t.Helper()
	text := fmt.Sprintf("version = 1\n%s\n[[instance]]\nprovider = \"django\"\nurl = %q\nown = true\ncookie = \"sessionid\"\nprobe_path = \"/\"\nlogout_path = \"/logout\"\ncontrol = \"env:CONTROL\"\nsettle = \"50ms\"\n", more, l.app.URL)
	if err := os.WriteFile(filepath.Join(l.dir, "policy.toml"), []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// run runs quell, which must end with a code, and returns everything that it printed.
func (l *leak) run(code int, args ...string) string {
	l.t.Helper()
	c, out, errs := l.command(append(args, "--policy", "policy.toml")...)
	err := c.Run()
	all := out.String() + errs.String()
	var e *exec.ExitError
	if err != nil && !errors.As(err, &e) || c.ProcessState.ExitCode() != code {
		l.t.Fatalf("quell %s ended with %d: %v\n%s", strings.Join(args, " "), c.ProcessState.ExitCode(), err, all)
	}
	for n := range 4 {
		if strings.Contains(all, cookie(n)) {
			l.t.Errorf("quell %s printed a session", args[0])
		}
	}
	return all
}

func (l *leak) plan(args ...string) string {
	l.t.Helper()
	l.run(1, "scan", "github", "o/r", "--url", l.fake.Address(), "--format", "jsonl", "--output", "report.jsonl")
	return l.run(0, append(append([]string{"plan", "report.jsonl", "--output", "plan.json"}, l.urls...), args...)...)
}

func (l *leak) apply(code int, args ...string) string {
	l.t.Helper()
	return l.run(code, append(append([]string{"apply", "plan.json"}, l.urls...), args...)...)
}

// copies are the names and texts of the members of all sealed copies, and the hashes of the files.
func (l *leak) copies() (members []string, text string, hashes []string) {
	l.t.Helper()
	key, err := os.ReadFile(filepath.Join(l.dir, "state/quell/identity.txt"))
	if err != nil {
		l.t.Fatal(err)
	}
	id, err := age.ParseX25519Identity(strings.TrimSpace(string(key)))
	if err != nil {
		l.t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(l.dir, "state/quell/evidence/*"))
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			l.t.Fatal(err)
		}
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			l.t.Errorf("%s has the mode %v %v", name, info.Mode(), err)
		}
		sum := sha256.Sum256(b)
		hashes = append(hashes, hex.EncodeToString(sum[:]))
		r, err := age.Decrypt(bytes.NewReader(b), id)
		if err != nil {
			l.t.Fatal(err)
		}
		z, err := zstd.NewReader(r)
		if err != nil {
			l.t.Fatal(err)
		}
		for a := tar.NewReader(z); ; {
			h, err := a.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				l.t.Fatal(err)
			}
			b, _ := io.ReadAll(a)
			members, text = append(members, h.Name), text+unzipped(b)
		}
		z.Close()
	}
	slices.Sort(members)
	return members, text, hashes
}

// kinds lists the types of the ledger's entries about deletions, in order, with their outcome.
func (l *leak) kinds() (out []string) {
	for line := range strings.Lines(l.run(0, "ledger", "--format", "jsonl")) {
		var e struct {
			Type     string
			Incident string
			Body     struct{ Action, Outcome, Origin string }
		}
		if json.Unmarshal([]byte(line), &e) == nil && e.Body.Origin != "" {
			out = append(out, strings.TrimSpace(e.Type+" "+e.Body.Action+e.Body.Outcome))
		}
	}
	return out
}

// The leak is closed: what is dead is deleted after a sealed copy is kept, and a log with a
// session that is not proven dead stays.
func TestALeakIsClosed(t *testing.T) {
	l := newLeak(t)
	l.fake.Validate = true
	l.app.stubborn[cookie(2)] = true
	shown := l.plan("--delete", "logs,artifacts,caches", "--comment")
	for _, want := range []string{"DELETE " + l.fake.URL + "/api/v3/repos/o/r/actions/runs/5/logs (irreversible, tier admin; also: the logs of all jobs and attempts of the run)", "/actions/artifacts/50 (irreversible", "/actions/caches/90 (irreversible", "issues/12/comments"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the plan lacks %s", want)
		}
	}
	if strings.Contains(shown, "caches/91") || strings.Contains(shown, "caches/92") {
		t.Error("caches of other runs are planned")
	}
	if got, _ := l.fake.Changed(); len(got) > 0 {
		t.Fatalf("the plan sent %q", got)
	}
	// At the moment of each deletion its copy and its intent are in the ledger.
	var early []string
	l.fake.Change = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodDelete {
			if k := l.kinds(); len(k) < 3 || !slices.Equal(k[len(k)-3:], []string{"intent copy", "deletion copied", k[len(k)-1]}) || !strings.HasPrefix(k[len(k)-1], "intent delete_") {
				early = append(early, strings.Join(k, ", "))
			}
		}
		return false
	}
	said := l.apply(3)
	if len(early) > 0 {
		t.Errorf("deleted with this in the ledger: %q", early)
	}
	got, comments := l.fake.Changed()
	want := []string{"DELETE /repos/o/r/actions/artifacts/50", "DELETE /repos/o/r/actions/caches/90", "DELETE /repos/o/r/actions/runs/5/logs", "POST /repos/o/r/issues/12/comments"}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("sent %q\n%s", got, said)
	}
	if len(comments) != 1 || !strings.HasPrefix(comments[0], "@alice quell: ") || strings.Contains(comments[0], cookie(1)) {
		t.Errorf("comments %q", comments)
	}
	if !strings.Contains(said, "kept: the logs of run 6 of o/r") || !strings.Contains(said, "is not proven dead") {
		t.Error(said)
	}
	if strings.Contains(said, "not deleted") {
		t.Error(said)
	}
	members, text, hashes := l.copies()
	if !slices.Equal(members, []string{"1_zip", "cache.json", "o/r/actions-run/5/attempt-1", "o/r/actions-run/5/attempt-2"}) || strings.Count(text, cookie(1)) != 3 || !strings.Contains(text, "attempt 1") || !strings.Contains(text, "attempt 2") || strings.Contains(text, cookie(2)) {
		t.Errorf("the copies have %q", members)
	}
	ledger := l.run(0, "ledger", "--format", "jsonl")
	for _, h := range hashes {
		if !strings.Contains(ledger, h) {
			t.Errorf("the ledger does not have the hash %s", h)
		}
	}
	l.run(0, "ledger", "--verify")
	// A second apply repeats nothing.
	l.apply(3)
	if again, _ := l.fake.Changed(); len(again) != len(got) {
		t.Errorf("sent again: %q", again)
	}
	l.app.mu.Lock()
	delete(l.app.stubborn, cookie(2))
	l.app.mu.Unlock()
	if said := l.apply(0); !strings.Contains(said, "deleted: the logs of run 6") {
		t.Error(said)
	}
	if after, _ := l.fake.Changed(); len(after) != len(got)+1 {
		t.Errorf("sent %q", after)
	}
}

// The webhooks of the policy get a message about each deletion, and about none that did not take
// place; it is in the ledger. One that can't be sent is reported, and ends nothing.
func TestADeletionIsAnnounced(t *testing.T) {
	l := newLeak(t)
	runs := l.fake.Repos[0].Runs
	runs[1].Logs, l.fake.Repos[0].Artifacts = runs[0].Logs, nil // run 5 alone holds a session
	var mu sync.Mutex
	var got []string
	down := false
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		got = append(got, string(b))
		if down {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(hook.Close)
	sent := func() []string { mu.Lock(); defer mu.Unlock(); return slices.Clone(got) }
	l.env = append(l.env, "HOOK="+hook.URL+"/made-up-path-of-a-hook")
	l.plan("--delete", "logs")
	l.policy("notify = [\"env:HOOK\"]\nlegal_hold = true")
	l.apply(0)
	if got := sent(); len(got) > 0 {
		t.Errorf("under a legal hold: %q", got)
	}
	l.policy("notify = [\"env:HOOK\"]")
	said := l.apply(0)
	if got := sent(); len(got) != 1 || !strings.Contains(got[0], "the logs of run 5 of o/r") || !strings.Contains(got[0], "was deleted") || !regexp.MustCompile(`SHA-256 [0-9a-f]{64}`).MatchString(got[0]) || strings.Contains(got[0], cookie(1)) {
		t.Errorf("sent %q\n%s", got, said)
	}
	if ledger := l.run(0, "ledger", "--format", "jsonl"); !strings.Contains(ledger, `"kind":"deletion"`) || strings.Contains(ledger+said, "made-up-path") {
		t.Errorf("the ledger has no notice of it, or the hook's path:\n%s", ledger)
	}
	l.apply(0)
	if got := sent(); len(got) != 1 {
		t.Errorf("sent again: %q", got)
	}
	mu.Lock()
	down = true
	mu.Unlock()
	l.fake.Set(func() {
		runs[2].Attempts, runs[2].Logs = 3, func(int) map[string]string { return map[string]string{"0_build.txt": citest.Cookie(1)} }
	})
	l.run(0, "scan", "github", "o/r", "--url", l.fake.Address(), "--format", "jsonl", "--output", "report.jsonl")
	l.run(0, append([]string{"plan", "report.jsonl", "--output", "plan.json", "--delete", "logs"}, l.urls...)...)
	if said := l.apply(0); !strings.Contains(said, "the notice of a deletion") || !strings.Contains(said, "deleted: the logs of run 5") || strings.Contains(said, "made-up-path") {
		t.Errorf("a hook that fails:\n%s", said)
	}
}

// unzipped is the text of an archive's members, or b itself.
func unzipped(b []byte) string {
	if !bytes.HasPrefix(b, []byte("PK")) {
		return string(b)
	}
	return citest.Unzip(b)
}

// Each of these blocks a deletion: nothing is deleted, and the reason is printed.
func TestWhatIsNotDeleted(t *testing.T) {
	l := newLeak(t)
	runs := l.fake.Repos[0].Runs
	runs[1].Logs, l.fake.Repos[0].Artifacts = runs[0].Logs, nil // run 5 alone holds a session
	leaked, urls := runs[2].Logs, l.urls
	l.plan("--delete", "logs")
	for _, c := range []struct {
		name    string
		prepare func()
		code    int
		why     string
	}{
		{"the switch of the environment", func() { l.env = append(l.env, "QUELL_NO_KILL=1") }, 3, "kept: the logs of run 5"},
		{"a legal hold", func() { l.policy("legal_hold = true") }, 0, "legal_hold is set in the policy"},
		{"the switch in the policy", func() { l.policy("[kill]\ndisabled = true") }, 4, "kill.disabled"},
		{"a tier that is not allowed", func() { l.policy("[kill]\ntiers = [\"self\"]") }, 4, "kill.tiers"},
		{"no copy can be kept", func() { l.policy("evidence = \"/proc/nowhere\"") }, 4, "no sealed copy can be"},
		{"a server that is not the named one", func() { l.urls = []string{"--url", "github=http://127.0.0.1:9"} }, 4, "not at the address of github that you named"},
		{"the token may not", func() {
			l.fake.Change = func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusForbidden)
				_, _ = io.WriteString(w, `{"message":"Must have admin rights to Repository."}`)
				return true
			}
		}, 4, "Must have admin rights"},
		{"the server accepts and deletes nothing", func() {
			l.fake.Change = func(w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(http.StatusNoContent)
				return true
			}
		}, 4, "it can still be read"},
		{"an attempt can't be read", func() {
			l.fake.Fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
				if strings.HasSuffix(r.URL.Path, "/runs/5/attempts/1/logs") {
					w.WriteHeader(http.StatusForbidden)
					return true
				}
				return false
			}
		}, 4, "the copy would not be whole"},
		{"the log is another one now", func() {
			runs[2].Logs = func(int) map[string]string { return map[string]string{"0_build.txt": "nothing\n"} }
		}, 4, "none of the credentials is in it now"},
		{"the log holds another session now", func() {
			runs[2].Logs = func(int) map[string]string {
				return map[string]string{"0_build.txt": citest.Cookie(1) + citest.Cookie(0)}
			}
		}, 4, "it also holds django"},
		{"--only", nil, 4, "--only names items"},
	} {
		env, args := l.env, []string(nil)
		if c.prepare != nil {
			l.fake.Set(c.prepare)
		} else {
			args = []string{"--only", "1"}
		}
		said := l.apply(c.code, args...)
		if !strings.Contains(said, c.why) {
			t.Errorf("%s: it does not say %q:\n%s", c.name, c.why, said)
		}
		if got, _ := l.fake.Changed(); len(got) > 0 {
			t.Fatalf("%s: sent %q", c.name, got)
		}
		l.fake.Set(func() { l.env, l.urls, l.fake.Change, l.fake.Fault, runs[2].Logs = env, urls, nil, nil, leaked })
		l.policy("")
	}
	if said := l.apply(0); !strings.Contains(said, "deleted: the logs of run 5") {
		t.Error(said)
	}
}

// A run that is started again after its logs were deleted has new ones at the same address: an
// earlier deletion is not theirs.
func TestLogsOfARunThatWasStartedAgain(t *testing.T) {
	l := newLeak(t)
	runs := l.fake.Repos[0].Runs
	leaked := runs[2].Logs
	runs[1].Logs, l.fake.Repos[0].Artifacts = runs[0].Logs, nil
	runs[2].Upstream = true
	// The number of a pull request into another repository is that of something else here.
	if shown := l.plan("--delete", "logs", "--comment"); strings.Contains(shown, "comments") {
		t.Errorf("the plan comments on a pull request of another repository:\n%s", shown)
	}
	l.apply(0)
	runs[2].Attempts, runs[2].Logs = 3, leaked
	l.run(0, "scan", "github", "o/r", "--url", l.fake.Address(), "--format", "jsonl", "--output", "report.jsonl")
	l.run(0, append([]string{"plan", "report.jsonl", "--output", "plan.json", "--delete", "logs"}, l.urls...)...)
	said := l.apply(0)
	if got, _ := l.fake.Changed(); len(got) != 2 {
		t.Errorf("sent %q\n%s", got, said)
	}
	l.apply(0)
	if got, _ := l.fake.Changed(); len(got) != 2 {
		t.Errorf("sent again: %q", got)
	}
	if members, _, _ := l.copies(); len(members) != 5 {
		t.Errorf("the copies have %q", members)
	}
}

// An artifact that can't be searched may hold a credential that is not dead, so it is not deleted.
func TestWhatCantBeSearchedStays(t *testing.T) {
	l := newLeak(t)
	l.fake.Repos[0].Artifacts[0].Members["more.zip"] = "PK\x03\x04\x14\x00 a damaged archive"
	l.plan("--delete", "artifacts")
	if said := l.apply(4); !strings.Contains(said, "kept: artifact 50 of o/r") || !strings.Contains(said, "can't be searched") {
		t.Error(said)
	}
	if got, _ := l.fake.Changed(); len(got) > 0 {
		t.Errorf("sent %q", got)
	}
}

// The program is killed while it copies, before the request and after it: the next apply
// finishes, with one request that deletes.
func TestClosingSurvivesKills(t *testing.T) {
	for _, when := range []string{"while it copies", "before the request", "after the request"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			l := newLeak(t)
			runs := l.fake.Repos[0].Runs
			runs[1].Logs, l.fake.Repos[0].Artifacts = runs[0].Logs, nil
			l.plan("--delete", "logs")
			c, _, _ := l.command(append([]string{"apply", "plan.json", "--policy", "policy.toml"}, l.urls...)...)
			var once sync.Once
			started := make(chan struct{})
			kill := func() {
				once.Do(func() { <-started; _ = c.Process.Kill(); time.Sleep(50 * time.Millisecond) })
			}
			fault := func(_ http.ResponseWriter, r *http.Request, n int) bool {
				if when == "while it copies" && strings.HasSuffix(r.URL.Path, "/runs/5/attempts/1/logs") {
					kill()
				}
				if when == "after the request" && r.Method == http.MethodGet && slices.Contains(first(l.fake.Changed()), "DELETE /api/v3/repos/o/r/actions/runs/5/logs") {
					kill()
				}
				return false
			}
			change := func(http.ResponseWriter, *http.Request) bool {
				if when == "before the request" {
					kill()
				}
				return false
			}
			l.fake.Set(func() { l.fake.Fault, l.fake.Change = fault, change })
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			close(started)
			if err := c.Wait(); err == nil {
				t.Fatal("it was not killed")
			}
			said := l.apply(0)
			if !strings.Contains(said, "deleted: the logs of run 5") || !regexp.MustCompile(`sealed copy \S+\.tar\.zst\.age, SHA-256 [0-9a-f]{64}`).MatchString(said) {
				t.Error(said)
			}
			if got, _ := l.fake.Changed(); len(got) != 1 {
				t.Errorf("sent %q", got)
			}
			members, _, _ := l.copies()
			if !slices.Contains(members, "o/r/actions-run/5/attempt-1") || !slices.Contains(members, "o/r/actions-run/5/attempt-2") || len(members) != 2 {
				t.Errorf("the copies have %q", members)
			}
		})
	}
}

func first(a, _ []string) []string { return a }
