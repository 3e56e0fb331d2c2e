package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/quellhq/quell/rules/testenv"
	"github.com/quellhq/quell/scanners/github/githubtest"
)

const jobToken = "ghs_the-token-of-the-job"

// forge is a GitHub with a repository.
func forge(t *testing.T) (*githubtest.Server, *githubtest.Repository) {
	t.Helper()
	testenv.Need(t, "git")
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
	return actWith(t.Context(), t, s, e, payload, env)
}

func actWith(ctx context.Context, t *testing.T, s *githubtest.Server, e githubtest.Event, payload []byte, env map[string]string) outcome {
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
	o.code = Run(ctx, []string{"action"}, strings.NewReader(""), &out, &errw, func(k string) string { return vars[k] })
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
		// No output of the run contains a secret.
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

// Each event selects the commits that git lists for it.
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

func event(t *testing.T, r *githubtest.Repository, name string) githubtest.Event {
	t.Helper()
	for _, e := range r.Events() {
		if e.Name == name {
			return e
		}
	}
	t.Fatalf("no event %q", name)
	return githubtest.Event{}
}

// A run whose history can't be fetched never succeeds.
func TestActionReportsWhatItCouldNotRead(t *testing.T) {
	s, r := forge(t)
	lost := map[string]string{"GITHUB_SERVER_URL": "http://127.0.0.1:1", "INPUT_FAIL-ON": "never", "INPUT_VERIFY": "off"}
	for _, name := range []string{"a push, shallow", "a new branch, shallow", "a forced push, shallow", "a fork's pull request on the base", "a pull request without a checkout", "a schedule, shallow", "a release, shallow", "by hand, without a checkout"} {
		e := event(t, r, name)
		o := act(t, s, e, r.Fill(e, nil), lost)
		if o.code != exitIncomplete || o.output["incomplete"] == "0" || !strings.Contains(o.log, "::error title=quell%3A incomplete::") || !strings.Contains(o.summary, "### Not read") {
			t.Errorf("%s: exit code %d, %v\n%s\n%s", name, o.code, o.output, o.log, o.summary)
		}
	}
	// Local objects need no server.
	e := event(t, r, "a push, whole")
	if o := act(t, s, e, r.Fill(e, nil), lost); o.code != exitClean {
		t.Errorf("exit code %d\n%s", o.code, o.log)
	}
	e = event(t, r, "a push, shallow")
	e.Payload["before"] = ""
	if o := act(t, s, e, r.Fill(e, nil), nil); o.code != exitFailed || !strings.Contains(o.log, "::error title=quell::event: the base of push is no commit") {
		t.Errorf("a payload without a base: exit code %d\n%s", o.code, o.log)
	}
}

// A pull request from a fork asks no issuer, honours no marker, and gets a comment if the
// token permits it.
func TestActionOnAStrangersPullRequest(t *testing.T) {
	s, r := forge(t)
	e := event(t, r, "a fork's pull request, shallow")
	o := act(t, s, e, r.Fill(e, nil), map[string]string{"INPUT_VERIFY": "on", "INPUT_FAIL-ON": "found", "INPUT_KILL": "apply"})
	if o.code != exitFindings || !strings.Contains(o.log, "not asked") || !strings.Contains(o.summary, "no issuer is asked, since the pull request comes from a fork") || !strings.Contains(o.summary, "nothing is killed on pull%5Frequest") && !strings.Contains(o.summary, "nothing is killed on pull_request") {
		t.Errorf("exit code %d\n%s\n%s", o.code, o.log, o.summary)
	}
	if len(s.Comments) != 1 || s.Comments[0].Issue != 7 || !strings.Contains(s.Comments[0].Body, "## quell: leaked credentials") {
		t.Errorf("%+v", s.Comments)
	}
	// With a read-only token the run reports that it can't comment, and nothing else changes.
	s.Deny = []string{"issues:write"}
	o = act(t, s, e, r.Fill(e, nil), map[string]string{"INPUT_FAIL-ON": "found"})
	if o.code != exitFindings || !strings.Contains(o.log, "::warning title=quell::the result is valid, but could not be reported everywhere%3A") && !strings.Contains(o.log, "::warning title=quell::the result is valid, but could not be reported everywhere:") {
		t.Errorf("exit code %d\n%s", o.code, o.log)
	}
}

func TestActionKeepsOneComment(t *testing.T) {
	s, r := forge(t)
	// Anybody may copy the marker.
	s.Comments = []githubtest.Comment{{ID: 1, Issue: 8, Login: "mallory", Type: "User", Body: "<!-- quell: this comment is kept up to date -->\nall is well"}}
	e := event(t, r, "a pull request, shallow")
	clean := map[string]string{"INPUT_FAIL-ON": "never", "INPUT_VERIFY": "off"}
	if act(t, s, e, r.Fill(e, nil), clean); len(s.Comments) != 1 {
		t.Errorf("a comment about nothing: %+v", s.Comments)
	}
	found := map[string]string{"INPUT_FAIL-ON": "found", "INPUT_VERIFY": "off"}
	for range 2 {
		act(t, s, e, r.Fill(e, nil), found)
	}
	if len(s.Comments) != 2 || !strings.Contains(s.Comments[1].Body, "leaked credentials") || s.Comments[0].Body[len(s.Comments[0].Body)-4:] != "well" {
		t.Errorf("%+v", s.Comments)
	}
	act(t, s, e, r.Fill(e, nil), clean)
	if len(s.Comments) != 2 || !strings.Contains(s.Comments[1].Body, "none that fails the job") {
		t.Errorf("%+v", s.Comments)
	}
	found["INPUT_PR-COMMENT"] = "false"
	asked := len(s.Asked)
	if act(t, s, e, r.Fill(e, nil), found); len(s.Asked) != asked {
		t.Errorf("asked without need: %v", s.Asked[asked:])
	}
}

func TestActionFilesSarif(t *testing.T) {
	s, r := forge(t)
	e := event(t, r, "a push, whole")
	env := map[string]string{"INPUT_FAIL-ON": "never", "INPUT_VERIFY": "off", "INPUT_UPLOAD-SARIF": "true"}
	o := act(t, s, e, r.Fill(e, nil), env)
	if o.code != 0 || len(s.Sarifs) != 1 || s.Sarifs[0].Ref != "refs/heads/main" || s.Sarifs[0].SHA != e.SHA {
		t.Fatalf("exit code %d, %d uploads\n%s", o.code, len(s.Sarifs), o.log)
	}
	b, _ := json.Marshal(s.Sarifs[0].Doc)
	if n := strings.Count(string(b), `"primaryLocationLineHash":"`); n != 2 {
		t.Errorf("%d hashes: %s", n, b)
	}
	s.Deny = []string{"security-events:write"}
	if o := act(t, s, e, r.Fill(e, nil), env); o.code != 0 || !strings.Contains(o.log, "::warning title=quell::") {
		t.Errorf("a refused upload: exit code %d\n%s", o.code, o.log)
	}
}

// Configuration comes from the base, never from what is brought.
func TestActionUsesTheBaseAlone(t *testing.T) {
	s, r := forge(t)
	e := event(t, r, "a pull request, shallow")
	allow := "version = 1\n[[finding]]\npath = 'src/*'\nreason = 'made up'\nexpires = 2999-01-01\n"
	env := map[string]string{"INPUT_FAIL-ON": "found", "INPUT_VERIFY": "off", "INPUT_ALLOW": ".github/quell-allow.toml"}
	checkout := e.Checkout
	e.Checkout = func(dir string) {
		checkout(dir)
		_ = os.MkdirAll(filepath.Join(dir, ".github"), 0o700)
		_ = os.WriteFile(filepath.Join(dir, ".github/quell-allow.toml"), []byte(allow), 0o600)
	}
	if o := act(t, s, e, r.Fill(e, nil), env); o.code != exitFailed || !strings.Contains(o.log, "input allow") {
		t.Errorf("a file that the base has not: exit code %d\n%s", o.code, o.log)
	}
	s.Files[r.At["f3"]+":.github/quell-allow.toml"] = allow
	if o := act(t, s, e, r.Fill(e, nil), env); o.code != exitFailed {
		t.Errorf("a file that the head has: exit code %d", o.code)
	}
	s.Files[r.At["c5"]+":.github/quell-allow.toml"] = allow
	if o := act(t, s, e, r.Fill(e, nil), env); o.code != exitClean || !strings.Contains(o.summary, "are suppressed") {
		t.Errorf("a file that the base has: exit code %d\n%s", o.code, o.log)
	}
	// The policy is the default branch's, on whatever branch.
	e = event(t, r, "a new branch, whole")
	e.Checkout = func(string) {}
	plan := map[string]string{"INPUT_FAIL-ON": "never", "INPUT_KILL": "plan", "INPUT_POLICY": "policy.toml"}
	s.Files[e.SHA+":policy.toml"] = "version = 1\n"
	if o := act(t, s, e, r.Fill(e, nil), plan); o.code != exitFailed || !strings.Contains(o.log, "input policy") {
		t.Errorf("a policy of the branch: exit code %d\n%s", o.code, o.log)
	}
	s.Files["main:policy.toml"] = "version = 1\n"
	if o := act(t, s, e, r.Fill(e, nil), plan); o.code != exitClean {
		t.Errorf("a policy of the default branch: exit code %d\n%s", o.code, o.log)
	}
	for _, bad := range []string{"../../etc/passwd", "/etc/passwd", ""} {
		env["INPUT_ALLOW"] = bad
		if o := act(t, s, e, r.Fill(e, nil), env); bad != "" && o.code != exitFailed {
			t.Errorf("%q: exit code %d", bad, o.code)
		}
	}
}

func TestActionReadsLogs(t *testing.T) {
	s, r := forge(t)
	log := func(n int) string {
		return "2026-11-01T10:00:00.0000000Z " + githubtest.Cookie(n) + "\n2026-11-01T10:00:01.0000000Z Cleaning up orphan processes\n"
	}
	s.Logs = map[int]map[string]string{1: {"0_build.txt": log(30)}, 2: {"0_build.txt": log(31)}}
	// The name of a skipped file can contain a secret, and the summary prints that name.
	quoted := strings.TrimPrefix(githubtest.Cookie(30), "Cookie: sessionid=")
	s.Artifacts = []githubtest.Artifact{{ID: 1, Name: "dist", Members: map[string]string{"env.txt": githubtest.Cookie(32)}}, {ID: 2, Name: quoted, Expired: true}}
	s.Jobs = []githubtest.Job{{ID: 1, Name: "build", Status: "completed", Conclusion: "success", Log: []string{log(33)}}, {ID: 2, Name: "quell", Status: "in_progress"}}
	run := githubtest.Event{Event: "workflow_run", Ref: "refs/heads/main", SHA: r.At["c5"], Checkout: func(string) {}, Payload: map[string]any{
		"workflow_run": map[string]any{"id": 55, "run_attempt": 2, "event": "push", "head_repository": map[string]any{"id": 1}}}}
	env := map[string]string{"INPUT_FAIL-ON": "found", "INPUT_VERIFY": "off"}
	o := act(t, s, run, r.Fill(run, nil), env)
	slices.Sort(o.places)
	want := []string{"actions-run/55/artifacts/dist!env.txt", "actions-run/55/attempt-1!0_build.txt", "actions-run/55/attempt-2!0_build.txt"}
	if o.code != exitFindings || !slices.Equal(o.places, want) {
		t.Errorf("exit code %d, %q\n%s", o.code, o.places, o.log)
	}
	e := event(t, r, "a push of a commit that is there")
	env["INPUT_SCAN"] = "git, logs"
	o = act(t, s, e, r.Fill(e, nil), env)
	if o.code != exitFindings || !slices.Equal(o.places, []string{"actions-run/99/attempt-1/build.txt"}) {
		t.Errorf("of the run itself: exit code %d, %q\n%s", o.code, o.places, o.log)
	}
	s.Deny = []string{"actions:read"}
	if o := act(t, s, e, r.Fill(e, nil), env); o.code != exitIncomplete || !strings.Contains(o.log, "permissions") {
		t.Errorf("without permission: exit code %d\n%s", o.code, o.log)
	}
	// A job that goes on, besides quell's own, and an expired artifact are not green.
	s.Deny = nil
	s.Jobs = []githubtest.Job{{ID: 1, Name: "build", Status: "in_progress"}, {ID: 2, Name: "quell", Status: "in_progress"}}
	if o := act(t, s, e, r.Fill(e, nil), env); o.code != exitIncomplete || !strings.Contains(o.summary, "### Not read") {
		t.Errorf("a job goes on: exit code %d\n%s", o.code, o.log)
	}
	s.Logs, s.Artifacts = map[int]map[string]string{1: {"0_a.txt": "2026-11-01T10:00:01.0000000Z Cleaning up orphan processes\n"}}, []githubtest.Artifact{{ID: 2, Name: "old", Expired: true}}
	run.Payload = map[string]any{"workflow_run": map[string]any{"id": 56, "run_attempt": 1, "event": "push", "head_repository": map[string]any{"id": 1}}}
	delete(env, "INPUT_SCAN")
	if o := act(t, s, run, r.Fill(run, nil), env); o.code != exitIncomplete || !strings.Contains(o.summary, "### Not read") {
		t.Errorf("an expired artifact: exit code %d\n%s", o.code, o.log)
	}
}

func TestActionReadsPaths(t *testing.T) {
	s, r := forge(t)
	e := event(t, r, "a push, whole")
	o := act(t, s, e, r.Fill(e, nil), map[string]string{"INPUT_FAIL-ON": "found", "INPUT_VERIFY": "off", "INPUT_PATH": "src/c0.txt\nsrc/c1.txt"})
	slices.Sort(o.places)
	if o.code != exitFindings || !slices.Equal(o.places, []string{"src/c0.txt", "src/c1.txt"}) || !strings.Contains(o.log, "file=src/c0.txt,line=1") {
		t.Errorf("exit code %d, %q\n%s", o.code, o.places, o.log)
	}
	o = act(t, s, e, r.Fill(e, nil), map[string]string{"INPUT_VERIFY": "off", "INPUT_PATH": "none"})
	if o.code != exitIncomplete {
		t.Errorf("a folder that is not there: exit code %d\n%s", o.code, o.log)
	}
}

// The checkout keeps the job's token in the clone's configuration. It is no leak.
func TestActionKnowsItsOwnToken(t *testing.T) {
	s, r := forge(t)
	s.Token = "ghs_" + strings.Repeat("aB3dE5gH7j", 3) + "kLmN12"
	e := event(t, r, "a schedule, whole")
	checkout := e.Checkout
	config := func(token string) {
		e.Checkout = func(dir string) {
			checkout(dir)
			githubtest.Git(t, dir, "config", "http."+s.URL+"/.extraheader", "AUTHORIZATION: bearer "+token)
		}
	}
	env := map[string]string{"INPUT_FAIL-ON": "never", "INPUT_VERIFY": "off", "INPUT_GITHUB-TOKEN": s.Token}
	config(s.Token)
	if o := act(t, s, e, r.Fill(e, nil), env); slices.Contains(o.places, "") {
		t.Errorf("its own is found\n%s", o.log)
	}
	config("ghs_" + strings.Repeat("zY9xW8vU7t", 3) + "sRqP65")
	if o := act(t, s, e, r.Fill(e, nil), env); !slices.Contains(o.places, "") {
		t.Errorf("another's is not found\n%s", o.log)
	}
}

func TestActionRefusesToKill(t *testing.T) {
	s, r := forge(t)
	e := event(t, r, "a push, whole")
	s.Files[e.SHA+":policy.toml"] = "version = 1\n"
	key := strings.Repeat("ab", 32)
	for name, env := range map[string]map[string]string{
		"no policy":                {"INPUT_KILL": "apply", "INPUT_FINGERPRINT-KEY": key, "INPUT_LEDGER": "postgres://db/x"},
		"no ledger":                {"INPUT_KILL": "apply", "INPUT_FINGERPRINT-KEY": key, "INPUT_POLICY": "policy.toml"},
		"a ledger on the runner":   {"INPUT_KILL": "apply", "INPUT_FINGERPRINT-KEY": key, "INPUT_POLICY": "policy.toml", "INPUT_LEDGER": "/var/lib/quell.db"},
		"a ledger in the checkout": {"INPUT_KILL": "apply", "INPUT_FINGERPRINT-KEY": key, "INPUT_POLICY": "policy.toml", "INPUT_LEDGER": "ledger.db", "RUNNER_ENVIRONMENT": "self-hosted"},
		"no key":                   {"INPUT_KILL": "apply", "INPUT_LEDGER": "postgres://db/x", "INPUT_POLICY": "policy.toml"},
		"nobody is asked":          {"INPUT_KILL": "plan", "INPUT_POLICY": "policy.toml", "INPUT_VERIFY": "off"},
		"a plan without a policy":  {"INPUT_KILL": "plan"},
		"a log without a ledger":   {"INPUT_DELETE-LOG": "true"},
	} {
		if o := act(t, s, e, r.Fill(e, nil), env); o.code != exitFailed || !strings.Contains(o.log, "::error title=quell::input ") {
			t.Errorf("%s: exit code %d\n%s", name, o.code, o.log)
		}
	}
}

func TestActionOutsideOfAJob(t *testing.T) {
	var out, errw bytes.Buffer
	if code := Run(t.Context(), []string{"action"}, strings.NewReader(""), &out, &errw, func(string) string { return "" }); code != exitFailed || !strings.Contains(errw.String(), "quell scan") {
		t.Errorf("exit code %d, %s", code, errw.String())
	}
}

// Names and messages of a real commit, in everything that a job leaves.
func TestActionOnHostileNames(t *testing.T) {
	s, r := forge(t)
	evil := r.Evil(r.At["c5"])
	e := githubtest.Event{Event: "push", Ref: "refs/heads/::error::evil", SHA: evil, Checkout: r.Checkout(evil, 0), Payload: map[string]any{"ref": "refs/heads/::error::evil", "before": r.At["c5"], "after": evil}}
	o := act(t, s, e, r.Fill(e, nil), map[string]string{"INPUT_FAIL-ON": "found", "INPUT_VERIFY": "off", "INPUT_UPLOAD-SARIF": "true"})
	if o.code != exitFindings || len(o.places) < 40 {
		t.Fatalf("exit code %d, %d places\n%s", o.code, len(o.places), o.log)
	}
	runner := &githubtest.Runner{}
	runner.Feed(o.log)
	for _, c := range runner.Commands {
		if !strings.HasPrefix(c, "::error file=") && !strings.HasPrefix(c, "::error title=leaked") && !strings.HasPrefix(c, "::notice title=quell::") || strings.Contains(strings.SplitN(c, "::", 3)[1], "evil::") {
			t.Errorf("%q", c)
		}
	}
	if runner.Stopped != "" || len(runner.Commands) > 11 {
		t.Errorf("%d commands, stopped %q", len(runner.Commands), runner.Stopped)
	}
	// The table has one row per finding shown, and no untrusted text outside of code spans.
	rows := 0
	for l := range strings.Lines(o.summary) {
		if strings.HasPrefix(l, "| `") {
			rows++
			if n := strings.Count(l, " | "); n != 3 {
				t.Errorf("%d cells in %q", n+1, l)
			}
		}
	}
	if rows != 50 || !strings.Contains(o.summary, "more stand in the report") {
		t.Errorf("%d rows", rows)
	}
	if len(s.Sarifs) != 1 {
		t.Errorf("%d uploads", len(s.Sarifs))
	}
}

func TestActionReadsImages(t *testing.T) {
	s, r := forge(t)
	e := event(t, r, "a push, whole")
	checkout := e.Checkout
	e.Checkout = func(dir string) {
		checkout(dir)
		img, err := mutate.Config(empty.Image, v1.Config{Env: []string{"SESSION=" + strings.TrimPrefix(githubtest.Cookie(35), "Cookie: ")}})
		if err != nil {
			t.Fatal(err)
		}
		l, err := layout.Write(filepath.Join(dir, "image"), empty.Index)
		if err == nil {
			err = l.AppendImage(img)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// The state of an image scan belongs to the job, whatever state the machine has.
	elsewhere := filepath.Join(t.TempDir(), "state.db")
	o := act(t, s, e, r.Fill(e, nil), map[string]string{"INPUT_FAIL-ON": "found", "INPUT_VERIFY": "off", "INPUT_SCAN": "git, image", "INPUT_IMAGE": "image", "QUELL_STATE": elsewhere})
	if _, err := os.Stat(elsewhere); err == nil {
		t.Error("the machine's own state was used")
	}
	if o.code != exitFindings || len(o.places) != 3 || len(o.findings) != 2 || !strings.Contains(o.log, "image config sha256") {
		t.Errorf("exit code %d, %q\n%s", o.code, o.places, o.log)
	}
}

// A plan of a job can be applied elsewhere, by who holds a recipient's key.
func TestActionPlans(t *testing.T) {
	s, r := forge(t)
	e := event(t, r, "a push, whole")
	e.Checkout = func(string) {}
	s.Files[e.SHA+":policy.toml"] = "version = 1\n"
	env := map[string]string{"INPUT_FAIL-ON": "never", "INPUT_KILL": "plan", "INPUT_POLICY": "policy.toml"}
	o := act(t, s, e, r.Fill(e, nil), env)
	if o.code != exitClean || !strings.Contains(o.summary, "### Ended, or to be ended") || !strings.Contains(o.summary, "sealed to this run alone") {
		t.Errorf("exit code %d\n%s\n%s", o.code, o.log, o.summary)
	}
	env["INPUT_RECIPIENTS"] = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
	o = act(t, s, e, r.Fill(e, nil), env)
	if b, err := os.ReadFile(o.output["plan"]); o.code != exitClean || err != nil || len(b) == 0 || !strings.Contains(o.summary, "--trust-key ") {
		t.Errorf("exit code %d, %v\n%s\n%s", o.code, err, o.log, o.summary)
	}
}

// Every output of a run that failed or was interrupted reports that, and none reports that
// nothing was found.
func TestActionThatDoesNotEnd(t *testing.T) {
	s, r := forge(t)
	e := event(t, r, "a pull request, shallow")
	s.Files[r.At["c5"]+":allow.toml"] = "version = 9\n"
	o := act(t, s, e, r.Fill(e, nil), map[string]string{"INPUT_VERIFY": "off", "INPUT_ALLOW": "allow.toml"})
	if o.code != exitFailed || strings.Contains(o.summary, "nothing found") || !strings.Contains(o.summary, "## quell: no result") || !strings.Contains(o.log, "::error title=quell::") {
		t.Errorf("failed: exit code %d\n%s\n%s", o.code, o.log, o.summary)
	}
	for _, c := range s.Comments {
		if strings.Contains(c.Body, "nothing found") {
			t.Error(c.Body)
		}
	}
	// Broken off before anything was read, with all of it there.
	e = event(t, r, "a push, whole")
	ctx, stop := context.WithCancel(t.Context())
	stop()
	o = actWith(ctx, t, s, e, r.Fill(e, nil), map[string]string{"INPUT_VERIFY": "off"})
	if o.code != exitInterrupted || strings.Contains(o.summary, "nothing found") || !strings.Contains(o.summary, "- `interrupted`") || o.output["incomplete"] == "0" {
		t.Errorf("broken off: exit code %d, %v\n%s\n%s", o.code, o.output, o.log, o.summary)
	}
}
