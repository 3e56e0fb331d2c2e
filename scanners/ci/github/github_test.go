package github_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
	"github.com/quellhq/quell/scanners/ci"
	"github.com/quellhq/quell/scanners/ci/citest"
	"github.com/quellhq/quell/scanners/ci/github"
	"github.com/quellhq/quell/scanners/detect"
)

const token = "the-token-of-the-test"

// memory is a scanners.Memory in memory.
type memory struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (m *memory) Get(_ context.Context, key string) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.m[key]
	return b, ok
}

func (m *memory) Put(_ context.Context, key string, value []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.m == nil {
		m.m = map[string][]byte{}
	}
	m.m[key] = value
}

type setup struct {
	t    *testing.T
	fake *citest.GitHub
	cfg  github.Config
	mem  *memory
}

func prepare(t *testing.T) *setup {
	t.Helper()
	s := &setup{t: t, fake: citest.NewGitHub(t, "o", token), mem: &memory{}}
	s.fake.Validate = true
	s.cfg = github.Config{Targets: []string{"o/r"}, Options: ci.Options{Logs: true, Artifacts: true}}
	return s
}

var detector = sync.OnceValue(func() *detect.Engine {
	set, err := rules.Builtin()
	if err != nil {
		panic(err)
	}
	return detect.New(set)
})

// run scans and gives the findings, as PATH:LINE, and what was not read.
func (s *setup) run() (places []rules.Location, gaps []string, err error) {
	s.t.Helper()
	base, err := github.Base(s.fake.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	c := &ci.Client{Base: base, Auth: ci.Header("Authorization", "Bearer ", rules.NewSecretString(token)), Memory: s.mem, Backoff: time.Millisecond, Stall: 3 * time.Second, Temp: s.t.TempDir()}
	cfg := s.cfg
	cfg.Client, cfg.Memory = c, s.mem
	src, err := github.New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	var mu sync.Mutex
	p := scanners.Pool{Detector: detector(), Workers: 2, Unpacker: archive.New(archive.DefaultLimits)}
	_, err = p.Run(s.t.Context(), src, func(f rules.Finding) {
		mu.Lock()
		defer mu.Unlock()
		places = append(places, f.Location)
	}, func(g scanners.Gap) {
		mu.Lock()
		defer mu.Unlock()
		if strings.Contains(g.Error(), token) || strings.Contains(g.Error(), "sig=") {
			s.t.Errorf("a secret in %q", g.Error())
		}
		gaps = append(gaps, g.Error())
	})
	slices.SortFunc(places, func(a, b rules.Location) int { return strings.Compare(a.Path, b.Path) })
	slices.Sort(gaps)
	return places, gaps, err
}

func paths(list []rules.Location) []string {
	var out []string
	for _, l := range list {
		out = append(out, l.Path)
	}
	return out
}

// logs are the same for every attempt, but for a session in it.
func logs(n int) func(int) map[string]string {
	return func(attempt int) map[string]string {
		l := citest.Cookie(n + attempt)
		return map[string]string{"0_build.txt": "2026-11-01T10:00:00.0000000Z start\n" + l, "build/1_Set up job.txt": l}
	}
}

func quiet(int) map[string]string {
	return map[string]string{"0_build.txt": "2026-11-01T10:00:00.0000000Z nothing\n"}
}

func at(n int) time.Time { return time.Date(2026, 11, 1, 0, 0, n, 0, time.UTC) }

func TestAllAttemptsAndArtifactsAreRead(t *testing.T) {
	s := prepare(t)
	s.fake.Repos = []*citest.Repo{{Name: "r", Runs: []*citest.Run{
		{ID: 9, Attempts: 2, Created: at(9), Logs: logs(10)},
		{ID: 8, Attempts: 1, Created: at(8)},
		{ID: 7, Attempts: 2, Created: at(7), Status: "in_progress", Logs: logs(20), Jobs: []citest.Job{{ID: 1, Name: "a/b", Status: "completed", Log: citest.Cookie(40)}, {ID: 2, Name: "c", Status: "queued"}}},
	}, Artifacts: []*citest.Artifact{
		{ID: 1, Name: "dist", Run: 9, Members: map[string]string{"a/.env": citest.Cookie(50)}},
		{ID: 2, Name: "old", Run: 8, Expired: true},
	}}}
	found, gaps, err := s.run()
	want := []string{"o/r/actions-run/7/attempt-1!build/1_Set up job.txt", "o/r/actions-run/7/attempt-2/a_b.txt",
		"o/r/actions-run/9/artifacts/dist!a/.env", "o/r/actions-run/9/attempt-1!build/1_Set up job.txt", "o/r/actions-run/9/attempt-2!build/1_Set up job.txt"}
	if err != nil || !slices.Equal(paths(found), want) {
		t.Fatalf("%q, %q, %v", paths(found), gaps, err)
	}
	if l := found[3]; l.System != "github" || l.Run != "9" || l.Attempt != 1 || l.Job != "build" || l.Step != "Set up job" {
		t.Errorf("%+v", l)
	}
	all := strings.Join(gaps, "\n")
	if len(gaps) != 3 || !strings.Contains(all, "actions-run/8/attempt-1: has expired") || !strings.Contains(all, "artifacts/old: has expired") || !strings.Contains(all, "actions-run/7/attempt-2: the run has not ended") {
		t.Errorf("%q", gaps)
	}
}

func TestChoiceOfRuns(t *testing.T) {
	for name, c := range map[string]struct {
		o    ci.Options
		want []string
	}{
		"the newest":     {ci.Options{Runs: 2, Logs: true}, []string{"8", "9"}},
		"since a time":   {ci.Options{Since: at(8), Logs: true}, []string{"8", "9"}},
		"one":            {ci.Options{Run: "7", Logs: true}, []string{"7"}},
		"all":            {ci.Options{Logs: true}, []string{"7", "8", "9"}},
		"artifacts only": {ci.Options{Artifacts: true, Runs: 2}, []string{"9"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := prepare(t)
			s.fake.Repos = []*citest.Repo{{Name: "r", Artifacts: []*citest.Artifact{{ID: 1, Name: "x", Run: 9, Members: map[string]string{"a": citest.Cookie(3)}}, {ID: 2, Name: "x", Run: 7, Members: map[string]string{"a": citest.Cookie(4)}}}}}
			for n := 9; n >= 7; n-- {
				s.fake.Repos[0].Runs = append(s.fake.Repos[0].Runs, &citest.Run{ID: int64(n), Attempts: 1, Created: at(n), Logs: logs(10 * n)})
			}
			s.cfg.Options = c.o
			found, gaps, err := s.run()
			var runs []string
			for _, l := range found {
				runs = append(runs, l.Run)
			}
			if err != nil || len(gaps) > 0 || !slices.Equal(runs, c.want) {
				t.Errorf("%q %q %v", runs, gaps, err)
			}
		})
	}
}

// An attempt that is known from an event counts only if the server does not describe the run: a
// later attempt, and a refusal, are never passed over.
func TestAnAttemptThatIsKnown(t *testing.T) {
	for name, c := range map[string]struct {
		known, status int
		attempts      []int
	}{
		"described":                {1, 0, []int{1, 2}},
		"not described":            {1, http.StatusNotFound, []int{1}},
		"not described, not known": {0, http.StatusNotFound, nil},
		"refused":                  {1, http.StatusForbidden, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := prepare(t)
			s.fake.Repos = []*citest.Repo{{Name: "r", Runs: []*citest.Run{{ID: 7, Attempts: 2, Created: at(1), Logs: logs(10)}}}}
			s.fake.Fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
				hit := c.status != 0 && strings.HasSuffix(r.URL.Path, "/actions/runs/7")
				if hit {
					w.WriteHeader(c.status)
				}
				return hit
			}
			s.cfg.Options, s.cfg.Known = ci.Options{Run: "7", Logs: true}, c.known
			found, gaps, err := s.run()
			var attempts []int
			for _, l := range found {
				attempts = append(attempts, l.Attempt)
			}
			if slices.Sort(attempts); !slices.Equal(slices.Compact(attempts), c.attempts) || (len(gaps) > 0 || err != nil) != (c.attempts == nil) {
				t.Errorf("attempts %d, %q, %v", attempts, gaps, err)
			}
		})
	}
}

func TestOwnersRepositoriesAreReadThoughOneRefuses(t *testing.T) {
	s := prepare(t)
	s.cfg.Targets = []string{"o"}
	for n := range 120 {
		r := &citest.Repo{Name: fmt.Sprintf("r%d", n), Runs: []*citest.Run{{ID: int64(n + 1), Attempts: 1, Created: at(n), Logs: logs(n)}}}
		if n == 5 {
			r.Refuse = http.StatusForbidden
		}
		s.fake.Repos = append(s.fake.Repos, r)
	}
	s.fake.Alerts = []citest.Alert{{Number: 3, Repo: "r1", Type: "github_personal_access_token", Secret: "ghp_" + "q4m8d2k6v0x9r3t7b1n5h8j2l6p0s43BBCIJ"}}
	s.cfg.Alerts = true
	found, gaps, err := s.run()
	if err != nil || len(found) < 119 || len(gaps) == 0 || !strings.Contains(strings.Join(gaps, "\n"), "o/r5: ") {
		t.Errorf("%d findings, %q, %v", len(found), gaps, err)
	}
}

func TestRefusedTokenIsNoResult(t *testing.T) {
	s := prepare(t)
	s.fake.Token = "another"
	if _, gaps, err := s.run(); err == nil || !strings.Contains(err.Error(), "401") || len(gaps) > 0 || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v, %q", err, gaps)
	}
}

func TestRunsPastTheCapOfLists(t *testing.T) {
	for name, limit := range map[string]int{"no cap without a filter": 0, "a cap for every list": 1000} {
		t.Run(name, func(t *testing.T) {
			s := prepare(t)
			s.fake.Cap, s.fake.Validate = limit, false
			s.cfg.Options.Artifacts = false
			r := &citest.Repo{Name: "r"}
			for n := 2200; n > 0; n-- {
				r.Runs = append(r.Runs, &citest.Run{ID: int64(n), Attempts: 1, Created: at(n / 7), Logs: quiet})
			}
			r.Runs[2100].Logs = logs(1)
			s.fake.Repos = []*citest.Repo{r}
			found, gaps, err := s.run()
			if err != nil || len(gaps) > 0 || len(found) != 1 || len(s.fake.Stored()) != 2200 {
				t.Errorf("%d findings, %d read, %q, %v", len(found), len(s.fake.Stored()), gaps, err)
			}
		})
	}
}

func TestWhatWasReadIsNotReadAgain(t *testing.T) {
	s := prepare(t)
	r := &citest.Repo{Name: "r", Artifacts: []*citest.Artifact{{ID: 4, Name: "x", Run: 1, Members: map[string]string{"a": "nothing"}}}}
	for n := 5; n > 0; n-- {
		r.Runs = append(r.Runs, &citest.Run{ID: int64(n), Attempts: 1, Created: at(n), Logs: quiet})
	}
	r.Runs[0].Logs = logs(3)
	r.Runs[1].Status = "in_progress"
	r.Runs[2].Logs = nil // gone
	s.fake.Repos = []*citest.Repo{r}
	first, gaps1, _ := s.run()
	s.fake.Forget()
	second, gaps2, _ := s.run()
	if len(first) != 1 || !slices.Equal(paths(first), paths(second)) || !slices.Equal(gaps1, gaps2) {
		t.Errorf("%q %q %q %q", paths(first), paths(second), gaps1, gaps2)
	}
	if got := s.fake.Stored(); len(got) != 1 || got["logs/r/5/1"] != 1 {
		t.Errorf("read again: %v", got)
	}
	for _, q := range s.fake.Seen() {
		if strings.Contains(q, "/actions/runs?") || strings.Contains(q, "runs/3/") {
			t.Errorf("counted again: %s", q)
		}
	}
	// A new attempt of what was read.
	r.Runs[4].Attempts, r.Runs[4].Logs = 2, func(n int) map[string]string { return logs(60)(n) }
	r.Runs[1].Status = ""
	r.Runs = append([]*citest.Run{{ID: 6, Attempts: 1, Created: at(6), Logs: quiet}}, r.Runs...)
	s.fake.Forget()
	third, _, _ := s.run()
	if got := s.fake.Stored(); len(third) != 2 || len(got) != 4 || got["logs/r/1/2"] != 1 || got["logs/r/1/1"] != 0 || got["logs/r/4/1"] != 1 {
		t.Errorf("%q %v", paths(third), got)
	}
}

func TestFaultsAreTriedAgainOrReported(t *testing.T) {
	for name, c := range map[string]struct {
		fault func(s *setup, w http.ResponseWriter, r *http.Request, n int) bool
		lost  string // what is reported; empty: all is read
	}{
		"5xx once": {func(_ *setup, w http.ResponseWriter, _ *http.Request, n int) bool {
			if n == 0 {
				w.WriteHeader(http.StatusBadGateway)
			}
			return n == 0
		}, ""},
		"reset once": {func(_ *setup, w http.ResponseWriter, _ *http.Request, n int) bool {
			if n == 0 {
				c, _, _ := w.(http.Hijacker).Hijack()
				_ = c.Close()
			}
			return n == 0
		}, ""},
		"5xx always for a log": {func(_ *setup, w http.ResponseWriter, r *http.Request, _ int) bool {
			bad := strings.Contains(r.URL.Path, "runs/2/attempts")
			if bad {
				w.WriteHeader(http.StatusBadGateway)
			}
			return bad
		}, "actions-run/2/attempt-1: "},
		"throttled once": {func(s *setup, w http.ResponseWriter, r *http.Request, n int) bool {
			if n == 0 && strings.Contains(r.URL.Path, "runs/2/attempts") {
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusTooManyRequests)
				time.AfterFunc(100*time.Millisecond, func() { s.fake.Hold(time.Now().Add(800 * time.Millisecond)) })
				return true
			}
			return false
		}, ""},
		"secondary limit once": {func(_ *setup, w http.ResponseWriter, r *http.Request, n int) bool {
			if n == 0 && strings.Contains(r.URL.Path, "/logs") && strings.HasPrefix(r.URL.Path, "/api") {
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusForbidden)
				_, _ = w.Write([]byte(`{"message":"You have exceeded a secondary rate limit"}`))
				return true
			}
			return false
		}, ""},
		"nothing remaining until the reset": {func(_ *setup, w http.ResponseWriter, r *http.Request, n int) bool {
			if n == 0 && strings.Contains(r.URL.Path, "runs/3/attempts") {
				w.Header().Set("X-RateLimit-Remaining", "0")
				w.Header().Set("X-RateLimit-Reset", fmt.Sprint(time.Now().Add(time.Second).Unix()))
				w.WriteHeader(http.StatusForbidden)
				return true
			}
			return false
		}, ""},
		"a cut archive once": {func(s *setup, w http.ResponseWriter, r *http.Request, n int) bool {
			if n == 0 && strings.HasPrefix(r.URL.Path, "/logs/") {
				b := citest.Zip(logs(1)(1))
				_, _ = w.Write(b[:len(b)/2])
				return true
			}
			return false
		}, ""},
		"a cut archive always": {func(s *setup, w http.ResponseWriter, r *http.Request, n int) bool {
			if strings.HasPrefix(r.URL.Path, "/logs/r/2") {
				b := citest.Zip(logs(1)(1))
				_, _ = w.Write(b[:len(b)-30])
				return true
			}
			return false
		}, "actions-run/2/attempt-1"},
		"a body that ends too early": {func(s *setup, w http.ResponseWriter, r *http.Request, n int) bool {
			if n == 0 && strings.HasPrefix(r.URL.Path, "/logs/") {
				w.Header().Set("Content-Length", "100000")
				_, _ = w.Write([]byte("PK"))
				return true
			}
			return false
		}, ""},
		"a stall": {func(s *setup, w http.ResponseWriter, r *http.Request, n int) bool {
			if strings.HasPrefix(r.URL.Path, "/logs/r/2") {
				_, _ = w.Write([]byte("PK"))
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
				return true
			}
			return false
		}, "actions-run/2/attempt-1: the answer stalled"},
		"a list that redirects elsewhere": {func(s *setup, w http.ResponseWriter, r *http.Request, n int) bool {
			if strings.HasSuffix(r.URL.Path, "/actions/artifacts") {
				http.Redirect(w, r, s.fake.Storage.URL+"/x", http.StatusTemporaryRedirect)
				return true
			}
			return false
		}, "redirects to another host"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := prepare(t)
			r := &citest.Repo{Name: "r"}
			for n := 5; n > 0; n-- {
				r.Runs = append(r.Runs, &citest.Run{ID: int64(n), Attempts: 1, Created: at(n), Logs: logs(10 * n)})
			}
			s.fake.Repos = []*citest.Repo{r}
			s.fake.Fault = func(w http.ResponseWriter, r *http.Request, n int) bool { return c.fault(s, w, r, n) }
			found, gaps, err := s.run()
			if err != nil {
				t.Fatal(err)
			}
			if c.lost == "" && (len(found) != 5 || len(gaps) > 0) {
				t.Errorf("%q %q", paths(found), gaps)
			}
			if c.lost != "" && (len(found) < 4 || len(gaps) == 0 || !strings.Contains(strings.Join(gaps, "\n"), c.lost)) {
				t.Errorf("%q %q", paths(found), gaps)
			}
		})
	}
}

func TestEqualLogsAreScannedOnceAndListedEverywhere(t *testing.T) {
	s := prepare(t)
	r := &citest.Repo{Name: "r"}
	for n := 20; n > 0; n-- {
		r.Runs = append(r.Runs, &citest.Run{ID: int64(n), Attempts: 1, Created: at(n), Logs: func(int) map[string]string {
			return map[string]string{"0_build.txt": strings.Repeat("line\n", 1000) + citest.Cookie(7)}
		}})
	}
	s.fake.Repos = []*citest.Repo{r}
	found, gaps, err := s.run()
	if err != nil || len(found) != 20 || len(gaps) > 0 {
		t.Fatalf("%q %q %v", paths(found), gaps, err)
	}
	for i, l := range found {
		if l.Line != 1001 || l.Column != 48 || !strings.Contains(l.Path, "/"+l.Run+"/attempt-1!0_build.txt") || i > 0 && l.Path == found[i-1].Path {
			t.Errorf("%+v", l)
		}
	}
}

func TestBase(t *testing.T) {
	for in, want := range map[string]string{
		"https://github.com": "https://api.github.com/", "https://api.github.com": "https://api.github.com/", "https://ghe.example": "https://ghe.example/api/v3/",
		"https://ghe.example/api/v3/": "https://ghe.example/api/v3/", "http://127.0.0.1:80/x": "http://127.0.0.1:80/x/api/v3/", "https://acme.ghe.com": "https://api.acme.ghe.com/",
		"http://ghe.example": "", "https://u:p@ghe.example": "", "ftp://x": "", "": "",
	} {
		u, err := github.Base(in)
		if got := fmt.Sprint(u); err == nil && got != want || err != nil && want != "" {
			t.Errorf("%s: %s %v", in, got, err)
		}
	}
}

// Attempts of one run may each upload an artifact of one name, and GitHub lists those of many
// runs in turns: each has its own place, and is read again only if something was found in it.
func TestArtifactsOfOneName(t *testing.T) {
	s := prepare(t)
	s.cfg.Options = ci.Options{Artifacts: true}
	s.fake.Validate = false
	s.fake.Repos = []*citest.Repo{{Name: "r", Artifacts: []*citest.Artifact{
		{ID: 3, Name: "dist", Run: 9, Members: map[string]string{"a": citest.Cookie(3)}},
		{ID: 2, Name: "dist", Run: 8, Members: map[string]string{"a": "nothing"}},
		{ID: 1, Name: "dist", Run: 9, Members: map[string]string{"a": citest.Cookie(1)}},
	}}}
	want := []string{"o/r/actions-run/9/artifacts/1_dist!a", "o/r/actions-run/9/artifacts/dist!a"}
	for range 2 {
		if found, gaps, err := s.run(); err != nil || len(gaps) > 0 || !slices.Equal(paths(found), want) {
			t.Errorf("%q %q %v", paths(found), gaps, err)
		}
	}
}

// One target that can't be listed, or gists that can't, are reported by their names, and the
// other repositories are read.
func TestTargetsOfRepositoriesAreListedOneByOne(t *testing.T) {
	for name, c := range map[string]struct {
		gists        int
		installation bool
		want         []string
	}{
		"no gists":                          {http.StatusNotFound, false, []string{"bad: "}},
		"gists that are refused":            {http.StatusForbidden, false, []string{"bad: ", "o/gists: "}},
		"gists that fail":                   {http.StatusBadGateway, false, []string{"bad: ", "o/gists: "}},
		"gists, which an App does not read": {http.StatusForbidden, true, []string{"bad: "}},
	} {
		t.Run(name, func(t *testing.T) {
			s := prepare(t)
			s.fake.Validate = false
			s.fake.Repos = []*citest.Repo{{Name: "r"}}
			s.fake.Fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
				switch {
				case strings.HasSuffix(r.URL.Path, "/users/o/gists"):
					w.WriteHeader(c.gists)
				case strings.HasSuffix(r.URL.Path, "/installation/repositories"):
					_, _ = w.Write([]byte(`{"total_count":1,"repositories":[{"id":1,"name":"r","owner":{"login":"o"}}]}`))
				default:
					return false
				}
				return true
			}
			base, err := github.Base(s.fake.URL)
			if err != nil {
				t.Fatal(err)
			}
			client := &ci.Client{Base: base, Auth: ci.Header("Authorization", "Bearer ", rules.NewSecretString(token)), Backoff: time.Millisecond}
			src, err := github.New(github.Config{Client: client, Targets: []string{"bad", "o"}, Git: true, Cache: t.TempDir(), Installation: c.installation})
			if err != nil {
				t.Fatal(err)
			}
			open, err := src.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			read, gaps := 0, []string{}
			for _, err := range open.Sources(t.Context()) {
				if err == nil {
					read++
				} else {
					gaps = append(gaps, err.Error())
				}
			}
			ok := read == 1 && len(gaps) == len(c.want)
			for i := 0; ok && i < len(gaps); i++ {
				ok = strings.HasPrefix(gaps[i], c.want[i])
			}
			if !ok {
				t.Errorf("%d repositories, %q", read, gaps)
			}
		})
	}
}

// The lists of an owner are read to their ends, and --runs counts in each repository.
func TestAThousandRepositories(t *testing.T) {
	s := prepare(t)
	s.cfg.Targets, s.cfg.Options = []string{"o"}, ci.Options{Logs: true, Runs: 1}
	for n := range 1000 {
		r := &citest.Repo{Name: fmt.Sprintf("r%d", n), Runs: []*citest.Run{{ID: int64(2*n + 2), Attempts: 1, Created: at(2), Logs: quiet}, {ID: int64(2*n + 1), Attempts: 1, Created: at(1), Logs: logs(1)}}}
		if n == 999 {
			r.Runs[0].Logs = logs(1)
		}
		s.fake.Repos = append(s.fake.Repos, r)
	}
	found, gaps, err := s.run()
	if err != nil || len(gaps) > 0 || len(found) != 1 || found[0].Run != "2000" || len(s.fake.Stored()) != 1000 {
		t.Errorf("%q %q %v, %d logs", paths(found), gaps, err, len(s.fake.Stored()))
	}
}

// With --git all refs of the repositories are read, those of pull requests too, their wikis if
// they were ever written, and the gists, from git's own server.
func TestRepositoriesWikisAndGists(t *testing.T) {
	fake := citest.NewGitHub(t, "o", token)
	fake.Repos = []*citest.Repo{{Name: "r"}, {Name: "plain"}}
	fake.Gists = []string{"aa1"}
	fake.Git = citest.NewGit(t, "x-access-token", token)
	for n, x := range [][3]string{{"o/r.git", "refs/heads/main", "a"}, {"o/r.git", "refs/pull/7/head", "pull"}, {"o/r.git", "refs/tags/v1", "tag"}, {"o/r.git", "refs/notes/commits", "note"}, {"o/r.wiki.git", "refs/heads/master", "wiki"}, {"o/plain.git", "refs/heads/main", "b"}, {"gist/aa1.git", "refs/heads/main", "gist"}} {
		fake.Git.Commit(x[0], x[1], x[2], "export A='"+strings.TrimSpace(citest.Cookie(n))+"'\n")
	}
	base, err := github.Base(fake.Address())
	if err != nil {
		t.Fatal(err)
	}
	client := &ci.Client{Base: base, Auth: ci.Header("Authorization", "Bearer ", rules.NewSecretString(token)), Backoff: time.Millisecond}
	src, err := github.New(github.Config{Client: client, Targets: []string{"o"}, Git: true, Cache: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	found, gaps := citest.Repositories(t, detector(), src)
	if want := []string{"o/gists/aa1/gist", "o/plain/b", "o/r.wiki/wiki", "o/r/a", "o/r/note", "o/r/pull", "o/r/tag"}; !slices.Equal(found, want) || len(gaps) > 0 {
		t.Errorf("found %q\nnot read %q", found, gaps)
	}
}

// The archive of a run whose runner wrote diagnostics has its logs in archives of their own.
func TestDiagnosticsOfTheRunner(t *testing.T) {
	s := prepare(t)
	inner := citest.Zip(map[string]string{"Worker_20261101-100000-utc.log": "[2026-11-01 10:00:00Z INFO HostContext] Well known directory 'Root': '/home/runner'\n[2026-11-01 10:00:01Z INFO StepsRunner] Processing step: DisplayName='Run make'\n[2026-11-01 10:00:02Z INFO ProcessInvoker] " + citest.Cookie(3)})
	s.fake.Repos = []*citest.Repo{{Name: "r", Runs: []*citest.Run{{ID: 5, Attempts: 1, Created: at(5), Logs: func(int) map[string]string {
		return map[string]string{"0_build.txt": "2026-11-01T10:00:00.0000000Z nothing\n", "runner-diagnostic-logs/UnknownBuildNumber-build (1).zip": string(inner)}
	}}}}}
	found, gaps, err := s.run()
	if err != nil || len(gaps) > 0 || len(found) != 1 {
		t.Fatalf("%q %q %v", paths(found), gaps, err)
	}
	if l := found[0]; l.Path != "o/r/actions-run/5/attempt-1!runner-diagnostic-logs/UnknownBuildNumber-build (1).zip!Worker_20261101-100000-utc.log" || l.System != "github" || l.Run != "5" || l.Step != "Run make" || l.Line != 3 || l.Notes["mask"] != scanners.MaskNone {
		t.Errorf("%+v", l)
	}
}

// The answers that hold the secrets of alerts are not kept.
func TestAlertsAreNotRemembered(t *testing.T) {
	s := prepare(t)
	s.fake.Validate = false
	s.cfg.Targets, s.cfg.Options, s.cfg.Alerts = []string{"o"}, ci.Options{}, true
	s.fake.Repos = []*citest.Repo{{Name: "r"}}
	s.fake.Alerts = []citest.Alert{{Number: 3, Repo: "r", Type: "github_personal_access_token", Secret: "ghp_" + "q4m8d2k6v0x9r3t7b1n5h8j2l6p0s43BBCIJ"}}
	asked := 0
	s.fake.Fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		w.Header().Set("ETag", `"one"`)
		if strings.HasSuffix(r.URL.Path, "/secret-scanning/alerts") {
			asked++
			if r.Header.Get("If-None-Match") != "" {
				t.Error("an answer with secrets was kept")
			}
		}
		return false
	}
	for range 2 {
		if found, gaps, err := s.run(); err != nil || len(found) != 1 {
			t.Errorf("%q %q %v", paths(found), gaps, err)
		}
	}
	if asked < 2 {
		t.Errorf("asked %d times", asked)
	}
}
