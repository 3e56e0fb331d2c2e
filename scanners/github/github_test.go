package github_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
	"github.com/quellhq/quell/scanners/detect"
	"github.com/quellhq/quell/scanners/github"
	"github.com/quellhq/quell/scanners/github/githubtest"
)

const token = "the-token-of-the-job"

func line(n int) string {
	return "2026-11-01T10:00:00.0000000Z Cookie: sessionid=" + strings.Repeat(string(rune('a'+n)), 4) + "8d2k6v0x9r3t7b1n5h8j2l6p0s4w7\n"
}

const end = "2026-11-01T10:00:01.0000000Z Cleaning up orphan processes\n"

var detector = sync.OnceValue(func() *detect.Engine {
	set, err := rules.Builtin()
	if err != nil {
		panic(err)
	}
	return detect.New(set)
})

func run(t *testing.T, src scanners.Source) (paths []string, gaps []string) {
	t.Helper()
	p := scanners.Pool{Detector: detector(), Workers: 1, Unpacker: archive.New(archive.DefaultLimits)}
	var mu sync.Mutex
	_, err := p.Run(t.Context(), src, func(f rules.Finding) {
		mu.Lock()
		defer mu.Unlock()
		paths = append(paths, f.Location.Path)
	}, func(g scanners.Gap) {
		mu.Lock()
		defer mu.Unlock()
		gaps = append(gaps, g.Error())
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(paths)
	return paths, gaps
}

type source = github.Source

func setup(t *testing.T) (*githubtest.Server, *github.Source) {
	s := githubtest.New(t, "o", "r", token)
	api, err := github.NewAPI(s.URL, token, "o/r")
	if err != nil {
		t.Fatal(err)
	}
	api.Wait = func(context.Context, time.Duration) error { return nil }
	return s, &github.Source{API: api, Run: 7, Attempt: 2, Temp: t.TempDir()}
}

func TestFinishedRunIsReadWithAllAttempts(t *testing.T) {
	s, src := setup(t)
	s.Logs = map[int]map[string]string{
		1: {"0_build.txt": line(0) + end, "build/1_Set up job.txt": line(0)},
		2: {"0_build.txt": "nothing\n" + end},
	}
	s.Artifacts = []githubtest.Artifact{{ID: 5, Name: "dist/..", Members: map[string]string{"a/.env": line(1)}}, {ID: 6, Name: "old", Expired: true}}
	src.Uploads = true
	got, gaps := run(t, src)
	want := []string{"actions-run/7/artifacts/dist_..!a/.env", "actions-run/7/attempt-1!build/1_Set up job.txt"}
	if !slices.Equal(got, want) || len(gaps) != 1 || !strings.Contains(gaps[0], "artifacts/old: the artifact has expired") {
		t.Errorf("%q, %q", got, gaps)
	}
	if left, _ := os.ReadDir(src.Temp); len(left) != 0 {
		t.Errorf("%d files are left", len(left))
	}
}

func TestJobsOfARunThatGoesOn(t *testing.T) {
	s, src := setup(t)
	src.Attempt, src.Running = 1, true
	s.Jobs = []githubtest.Job{
		{ID: 1, Name: "build / linux", Status: "completed", Conclusion: "success", Log: []string{"only the beginning\n", line(0) + end}},
		{ID: 2, Name: "skipped", Status: "completed", Conclusion: "skipped"},
		{ID: 3, Name: "this one", Status: "in_progress"},
		{ID: 4, Name: "another", Status: "queued"},
		{ID: 5, Name: "cut off", Status: "completed", Conclusion: "cancelled", Log: []string{line(1)}},
		{ID: 6, Name: "endless", Status: "completed", Conclusion: "failure", Log: []string{line(2)}},
		{ID: 7, Name: "lost", Status: "completed", Conclusion: "failure"},
	}
	got, gaps := run(t, src)
	want := []string{"actions-run/7/attempt-1/build _ linux.txt", "actions-run/7/attempt-1/cut off.txt", "actions-run/7/attempt-1/endless.txt"}
	all := strings.Join(gaps, "\n")
	if !slices.Equal(got, want) || len(gaps) != 4 || !strings.Contains(all, "lost.txt: is gone") || !strings.Contains(all, "1 jobs have not ended") || strings.Count(all, "has no end") != 2 {
		t.Errorf("%q, %q", got, gaps)
	}
}

func TestMissingObjectsAreReported(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*githubtest.Server)
		want   string
	}{
		"no permission":    {func(s *githubtest.Server) { s.Deny = []string{"actions:read"} }, "403"},
		"logs are deleted": {func(s *githubtest.Server) { s.Logs = nil }, "is gone"},
		"a bad token":      {func(s *githubtest.Server) { s.Token = "another" }, "401"},
		"always busy":      {func(s *githubtest.Server) { s.Busy = 100 }, "busy"},
	} {
		t.Run(name, func(t *testing.T) {
			s, src := setup(t)
			src.Attempt, src.Uploads = 1, false
			s.Logs = map[int]map[string]string{1: {"0_a.txt": line(0)}}
			c.change(s)
			_, gaps := run(t, src)
			if len(gaps) != 1 || !strings.Contains(gaps[0], c.want) || strings.Contains(gaps[0], "sig") || strings.Contains(gaps[0], token) {
				t.Errorf("%q", gaps)
			}
		})
	}
}

func TestABusyServerIsAskedAgain(t *testing.T) {
	s, src := setup(t)
	src.Attempt = 1
	s.Logs = map[int]map[string]string{1: {"0_a.txt": line(0)}}
	s.Busy = 2
	if got, gaps := run(t, src); len(got) != 1 || len(gaps) != 0 {
		t.Errorf("%q, %q", got, gaps)
	}
}

func TestTheTokenGoesNowhereElse(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the token was sent along")
		}
		_, _ = w.Write([]byte("{}"))
	}))
	defer other.Close()
	api := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer api.Close()
	a, err := github.NewAPI(api.URL, token, "o/r")
	if err != nil {
		t.Fatal(err)
	}
	a.Wait = func(context.Context, time.Duration) error { return nil }
	src := &github.Source{API: a, Run: 1, Attempt: 1, Running: true, Uploads: true, Temp: t.TempDir()}
	if _, gaps := run(t, src); len(gaps) == 0 {
		t.Error("nothing is said")
	}
	for _, bad := range [][2]string{{"http://github.example", "o/r"}, {"https://api.github.com", "o"}, {"https://api.github.com", "o/../x"}, {"https://api.github.com", "o/.."}, {"ftp://x", "o/r"}, {"", "o/r"}, {"https://api.github.com", "o/r?x"}} {
		if _, err := github.NewAPI(bad[0], token, bad[1]); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
