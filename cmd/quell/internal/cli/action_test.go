package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/quellhq/quell/scanners/github/githubtest"
)

const jobToken = "ghs_the-token-of-the-job"

// forge is a GitHub with a repository.
func forge(t *testing.T) (*githubtest.Server, *githubtest.Repository) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is missing")
	}
	s := githubtest.New(t, "o", "r", jobToken)
	return s, githubtest.NewRepository(t, s)
}

// outcome is what a job leaves.
type outcome struct {
	code     int
	log      string
	summary  string
	output   map[string]string
	findings []string // commits in which something was found, sorted
	places   []string
}

// act runs the Action in process as a runner would.
func act(t *testing.T, s *githubtest.Server, e githubtest.Event, payload []byte, env map[string]string) outcome {
	t.Helper()
	temp, work := t.TempDir(), t.TempDir()
	e.Checkout(work)
	file := func(name string, b []byte) string {
		p := filepath.Join(temp, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	vars := map[string]string{
		"GITHUB_EVENT_NAME": e.Event, "GITHUB_EVENT_PATH": file("event.json", payload), "GITHUB_REPOSITORY": "o/r", "GITHUB_REF": e.Ref, "GITHUB_SHA": e.SHA,
		"GITHUB_SERVER_URL": s.URL, "GITHUB_API_URL": s.URL, "GITHUB_WORKSPACE": work, "GITHUB_RUN_ID": "99", "GITHUB_RUN_ATTEMPT": "1",
		"GITHUB_OUTPUT": file("output", nil), "GITHUB_STEP_SUMMARY": file("summary", nil), "RUNNER_TEMP": temp, "RUNNER_ENVIRONMENT": "github-hosted", "INPUT_GITHUB-TOKEN": jobToken,
	}
	for k, v := range env {
		vars[k] = v
	}
	t.Chdir(work)
	var out, errw bytes.Buffer
	o := outcome{output: map[string]string{}}
	o.code = Run(t.Context(), []string{"action"}, strings.NewReader(""), &out, &errw, func(k string) string { return vars[k] })
	o.log = out.String() + errw.String()
	b, _ := os.ReadFile(vars["GITHUB_STEP_SUMMARY"])
	o.summary = string(b)
	b, _ = os.ReadFile(vars["GITHUB_OUTPUT"])
	lines := strings.Split(string(b), "\n")
	for k := 0; k+2 < len(lines); k += 3 {
		name, end, _ := strings.Cut(lines[k], "<<")
		if lines[k+2] != end {
			t.Errorf("the outputs are broken at %q", lines[k])
		}
		o.output[name] = lines[k+1]
	}
	if r, err := os.ReadFile(o.output["report"]); err == nil {
		for l := range strings.Lines(string(r)) {
			var f struct {
				Type     string `json:"type"`
				Location struct {
					Commit, Path string
					Notes        map[string]string
				} `json:"location"`
			}
			if json.Unmarshal([]byte(l), &f) == nil && f.Type == "finding" {
				o.places = append(o.places, f.Location.Path)
				if f.Location.Commit != "" && !slices.Contains(o.findings, f.Location.Commit) {
					o.findings = append(o.findings, f.Location.Commit)
				}
			}
		}
		slices.Sort(o.findings)
		// Nobody's secret stands in anything that the run leaves.
		all := o.log + o.summary + string(b) + string(r)
		if s, err := os.ReadFile(o.output["sarif"]); err == nil {
			all += string(s)
		}
		for _, c := range s.Comments {
			all += c.Body
		}
		for n := range 40 {
			if secret := strings.TrimPrefix(githubtest.Cookie(n), "Cookie: sessionid="); strings.Contains(all, secret) {
				t.Errorf("a secret stands in what the run leaves")
			}
		}
		if strings.Contains(all, jobToken) {
			t.Error("the job's token stands in what the run leaves")
		}
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(o.output["report"]), "scrap")); err == nil {
		t.Error("the run's own folders are left")
	}
	return o
}

// What each event brought is what git says that it brought.
func TestActionReadsWhatTheEventBrought(t *testing.T) {
	s, r := forge(t)
	for _, e := range r.Events() {
		t.Run(e.Name, func(t *testing.T) {
			o := act(t, s, e, r.Fill(e, nil), map[string]string{"INPUT_FAIL-ON": "never", "INPUT_VERIFY": "off"})
			if o.code != e.Exit {
				t.Errorf("exit code %d, not %d\n%s", o.code, e.Exit, o.log)
			}
			if want := r.Brought(e); !slices.Equal(o.findings, want) {
				t.Errorf("read %d commits, git says %d\n%s", len(o.findings), len(want), o.log)
			}
			if o.output["exit-code"] != strconv.Itoa(o.code) || !strings.Contains(o.summary, "## quell: ") {
				t.Errorf("outputs %v, summary %q", o.output, o.summary)
			}
		})
	}
}
