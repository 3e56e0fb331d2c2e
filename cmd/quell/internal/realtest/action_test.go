package realtest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	gha "github.com/quellhq/quell/cmd/quell/internal/action"
	"github.com/quellhq/quell/cmd/quell/internal/cli"
	"github.com/quellhq/quell/scanners/github/githubtest"
)

// workflow is what a user writes, and a look at what came of it.
const workflow = `on: [push, pull_request, pull_request_target, merge_group, schedule, workflow_dispatch, workflow_run, release]
jobs:
  quell:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v5
      - uses: quellhq/quell@0123456789012345678901234567890123456789
        id: quell
        with:
          fail-on: ${{ env.FAIL_ON }}
          verify: 'off'
      - if: always()
        env:
          REPORT: ${{ steps.quell.outputs.report }}
          CODE: ${{ steps.quell.outputs.exit-code }}
        run: |
          echo "$CODE" > "$KEEP/code"
          cp "$REPORT" "$KEEP/report.jsonl"
`

// theAction is the Action as a user's workflow gets it: the files of the repository,
// with the release that they name where it was fetched before.
func theAction(t *testing.T, cache string) string {
	t.Helper()
	top, err := filepath.Abs("../../../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for f := range strings.SplitSeq(strings.TrimRight(command(t, nil, top, "git", "ls-files", "-z", "-co", "--exclude-standard"), "\x00"), "\x00") {
		b, err := os.ReadFile(filepath.Join(top, f))
		if err != nil {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, f), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	binary := filepath.Join(t.TempDir(), "quell")
	command(t, []string{"CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false"}, dir, "go", "build", "-o", binary, "./cmd/quell")
	b, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	sources := strings.TrimSpace(command(t, nil, dir, need(t, "node"), "--input-type=module", "-e", "import {sourceDigest} from './.github/action/main.mjs'; console.log(sourceDigest('.'))"))
	release, _ := json.Marshal(map[string]any{"version": "0.0.0", "sources": sources, "sha256": map[string]string{runtime.GOOS + "-" + runtime.GOARCH: hex.EncodeToString(sum[:])}})
	if err := os.WriteFile(filepath.Join(dir, ".github/action/release.json"), release, 0o644); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(cache, "act", "tool_cache")
	if err := os.MkdirAll(kept, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(kept, "quell-"+hex.EncodeToString(sum[:])), b, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// examples are the payloads that GitHub publishes, by event and action.
func examples(t *testing.T) func(event, action string) map[string]any {
	t.Helper()
	b, err := os.ReadFile(need(t, filepath.Join(servers, "node/node_modules/@octokit/webhooks-examples/api.github.com/index.json")))
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		Name     string
		Examples []map[string]any
	}
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	return func(event, action string) map[string]any {
		if event == "pull_request_target" {
			event = "pull_request" // GitHub: the same payload
		}
		for _, e := range all {
			for _, x := range e.Examples {
				if e.Name == event && (action == "" || x["action"] == action) {
					return x
				}
			}
		}
		if event != "schedule" { // of which there is none
			t.Errorf("GitHub publishes no example of %s %s", event, action)
		}
		return nil
	}
}

// A runner for workflows, without GitHub and without containers, runs the Action for
// each event. The Action reads the commits that git lists for the event.
func TestActionInARunner(t *testing.T) {
	act := tools(t, "act-v0.2.89/act")
	example := examples(t)
	cache := t.TempDir()
	dir := theAction(t, cache)
	s := githubtest.New(t, "o", "r", "ghs_the-token-of-the-job")
	r := githubtest.NewRepository(t, s)
	flows := t.TempDir()
	for name, text := range map[string]string{"quell.yml": workflow, "no-checkout.yml": strings.Replace(workflow, "      - uses: actions/checkout@v5\n", "", 1)} {
		if err := os.WriteFile(filepath.Join(flows, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ran := 0
	run := func(t *testing.T, e githubtest.Event, env ...string) (code string, commits, paths []string, log string) {
		t.Helper()
		work, keep := t.TempDir(), t.TempDir()
		e.Checkout(work)
		// For act, to check out is to copy what is here.
		flow := filepath.Join(flows, "quell.yml")
		if _, err := os.Stat(filepath.Join(work, ".git")); err != nil {
			flow = filepath.Join(flows, "no-checkout.yml")
		}
		payload := filepath.Join(keep, "event.json")
		if err := os.WriteFile(payload, r.Fill(e, example(e.Event, e.Example)), 0o644); err != nil {
			t.Fatal(err)
		}
		args := []string{e.Event, "-W", flow, "-e", payload, "-P", "ubuntu-latest=-self-hosted", "--local-repository", "quellhq/quell@0123456789012345678901234567890123456789=" + dir,
			"-s", "GITHUB_TOKEN=" + s.Token, "--env", "GITHUB_REPOSITORY=o/r", "--env", "GITHUB_REF=" + e.Ref, "--env", "SHA_REF=" + e.SHA, "--env", "GITHUB_RUN_ID=99", "--env", "KEEP=" + keep}
		for _, kv := range append([]string{"GITHUB_SERVER_URL=" + s.URL, "GITHUB_API_URL=" + s.URL, "FAIL_ON=never"}, env...) {
			args = append(args, "--env", kv)
		}
		c := exec.Command(act, args...)
		c.Dir = work
		// act stores its own files here; Go's folders stay.
		c.Env = append(os.Environ(), "XDG_CACHE_HOME="+cache, "XDG_CONFIG_HOME="+t.TempDir(), "GOCACHE="+strings.TrimSpace(command(t, nil, "", "go", "env", "GOCACHE")), "GITHUB_ACTIONS=", "DO_NOT_TRACK=1")
		out, _ := c.CombinedOutput()
		ran++
		log = string(out)
		b, err := os.ReadFile(filepath.Join(keep, "code"))
		if err != nil {
			t.Fatalf("%v\n%s", err, tail(log))
		}
		report, _ := os.ReadFile(filepath.Join(keep, "report.jsonl"))
		for l := range strings.Lines(string(report)) {
			var f struct {
				Type     string
				Location struct{ Commit, Path string }
			}
			if json.Unmarshal([]byte(l), &f) == nil && f.Type == "finding" {
				paths = append(paths, f.Location.Path)
				if f.Location.Commit != "" && !slices.Contains(commits, f.Location.Commit) {
					commits = append(commits, f.Location.Commit)
				}
			}
		}
		slices.Sort(commits)
		slices.Sort(paths)
		for n := range 40 {
			if secret := strings.TrimPrefix(githubtest.Cookie(n), "Cookie: sessionid="); strings.Contains(log+string(report), secret) {
				t.Error("a secret stands in the log or the report")
			}
		}
		return strings.TrimSpace(string(b)), commits, paths, log
	}
	for _, e := range r.Events() {
		t.Run(e.Name, func(t *testing.T) {
			code, commits, _, log := run(t, e)
			want := r.Brought(e)
			if code != fmt.Sprint(e.Exit) || !slices.Equal(commits, want) && len(commits)+len(want) > 0 {
				t.Errorf("exit code %s; read %d commits, git says %d\n%s", code, len(commits), len(want), tail(log))
			}
		})
	}
	shallow := func(name string) githubtest.Event {
		for _, e := range r.Events() {
			if e.Name == name {
				return e
			}
		}
		t.Fatal(name)
		return githubtest.Event{}
	}
	t.Run("a finished run's logs", func(t *testing.T) {
		s.Logs[1] = map[string]string{"0_build.txt": stamp + githubtest.Cookie(30) + "\n"}
		e := githubtest.Event{Event: "workflow_run", Example: "completed", Ref: "refs/heads/main", SHA: r.At["c5"], Checkout: func(string) {},
			Payload: map[string]any{"workflow_run": map[string]any{"id": 55, "run_attempt": 1, "event": "push", "head_repository": map[string]any{"id": 1}}}}
		code, _, paths, log := run(t, e, "FAIL_ON=found")
		if code != "1" || !slices.Equal(paths, []string{"actions-run/55/attempt-1!0_build.txt"}) {
			t.Errorf("exit code %s, %q\n%s", code, paths, tail(log))
		}
	})
	t.Run("a leak fails the job", func(t *testing.T) {
		code, _, _, log := run(t, shallow("a push, shallow"), "FAIL_ON=found")
		if code != "1" || !strings.Contains(log, "Job failed") {
			t.Errorf("exit code %s\n%s", code, tail(log))
		}
	})
	t.Run("a server that is not there is never green", func(t *testing.T) {
		code, _, _, log := run(t, shallow("a push, shallow"), "GITHUB_SERVER_URL=http://127.0.0.1:1")
		if code != "4" || !strings.Contains(log, "Job failed") {
			t.Errorf("exit code %s\n%s", code, tail(log))
		}
	})
	t.Run("without a release it is built", func(t *testing.T) {
		if err := os.Remove(filepath.Join(dir, ".github/action/release.json")); err != nil {
			t.Fatal(err)
		}
		code, commits, _, log := run(t, shallow("a pull request, shallow"))
		if want := r.Brought(shallow("a pull request, shallow")); code != "0" || !slices.Equal(commits, want) {
			t.Errorf("exit code %s, %d commits\n%s", code, len(commits), tail(log))
		}
	})
	if ran < 14 {
		t.Errorf("only %d cases", ran)
	}
}

// quell reads every event that GitHub publishes, with any action.
func TestPublishedPayloads(t *testing.T) {
	var all []struct {
		Name     string
		Examples []map[string]any
	}
	b, err := os.ReadFile(need(t, filepath.Join(servers, "node/node_modules/@octokit/webhooks-examples/api.github.com/index.json")))
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]int{}
	for _, e := range all {
		for n, x := range e.Examples {
			file := filepath.Join(t.TempDir(), "event.json")
			text, _ := json.Marshal(x)
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, name := range map[string][]string{"pull_request": {"pull_request", "pull_request_target"}}[e.Name] {
				if _, err := gha.Decide(gha.Env{Event: name, Payload: file, SHA: strings.Repeat("a", 40)}); err != nil {
					t.Errorf("%s %d: %v", name, n, err)
				}
			}
			d, err := gha.Decide(gha.Env{Event: e.Name, Payload: file, SHA: strings.Repeat("a", 40)})
			if err != nil {
				t.Errorf("%s %d: %v", e.Name, n, err)
			}
			if d.What == "" {
				t.Errorf("%s %d: nothing is said of what is read", e.Name, n)
			}
			read[e.Name]++
		}
	}
	if len(read) < 50 || read["push"] < 5 || read["pull_request"] < 20 || read["workflow_run"] < 3 || read["merge_group"] < 1 {
		t.Errorf("%v", read)
	}
}

// A session leaks into the log of a build. The Action that runs after it finds it, ends
// it at the application, proves that it is dead, deletes the log, and records the incident in
// PostgreSQL, which outlives the runner.
func TestActionKills(t *testing.T) {
	need(t, "git")
	app := webapps(t)[0]
	port := freePort(t)
	app.start(t, port)
	origin := "http://127.0.0.1:" + port
	session := func() string {
		b := newBrowser(t)
		app.signIn(b, origin, "alice")
		return b.cookie(origin+app.probe, app.cookie)
	}
	leaked, control := session(), session()
	db := postgres(t)
	ledger := "postgres://admin:made-up-root@127.0.0.1:" + db + "/postgres?sslmode=disable"

	s := githubtest.New(t, "o", "r", "ghs_the-token-of-the-job")
	r := githubtest.NewRepository(t, s)
	s.Logs[1] = map[string]string{"0_build.txt": stamp + "> Cookie: " + app.cookie + "=" + leaked + "\n" + stamp + "Cleaning up orphan processes\n"}
	s.Files[r.At["c5"]+":.github/quell-policy.toml"] = fmt.Sprintf("version = 1\n[[instance]]\nprovider = %q\nurl = %q\nown = true\nprobe_path = %q\nlogout_path = %q\ncontrol = \"env:CONTROL\"\nsettle = \"1s\"\n", app.provider, origin, app.probe, app.logout)
	e := githubtest.Event{Event: "workflow_run", Ref: "refs/heads/main", SHA: r.At["c5"], Checkout: func(string) {},
		Payload: map[string]any{"workflow_run": map[string]any{"id": 55, "run_attempt": 1, "event": "push", "head_repository": map[string]any{"id": 1}}}}
	run := func(more map[string]string) (int, string, string) {
		temp := t.TempDir()
		file := func(name string, b []byte) string {
			p := filepath.Join(temp, name)
			if err := os.WriteFile(p, b, 0o600); err != nil {
				t.Fatal(err)
			}
			return p
		}
		env := map[string]string{"GITHUB_EVENT_NAME": e.Event, "GITHUB_EVENT_PATH": file("event.json", r.Fill(e, nil)), "GITHUB_REPOSITORY": "o/r", "GITHUB_REF": e.Ref, "GITHUB_SHA": e.SHA, "GITHUB_ACTOR": "alice",
			"GITHUB_SERVER_URL": s.URL, "GITHUB_API_URL": s.URL, "GITHUB_WORKSPACE": t.TempDir(), "GITHUB_RUN_ID": "99", "GITHUB_OUTPUT": file("output", nil), "GITHUB_STEP_SUMMARY": file("summary", nil), "RUNNER_TEMP": temp, "RUNNER_ENVIRONMENT": "github-hosted",
			"INPUT_GITHUB-TOKEN": s.Token, "INPUT_POLICY": ".github/quell-policy.toml", "INPUT_LEDGER": ledger, "INPUT_FINGERPRINT-KEY": strings.Repeat("ab", 32), "INPUT_KILL": "apply", "INPUT_DELETE-LOG": "true", "CONTROL": control}
		for k, v := range more {
			env[k] = v
		}
		var out, errw bytes.Buffer
		code := cli.Run(t.Context(), []string{"action"}, strings.NewReader(""), &out, &errw, func(k string) string { return env[k] })
		summary, _ := os.ReadFile(env["GITHUB_STEP_SUMMARY"])
		output, _ := os.ReadFile(env["GITHUB_OUTPUT"])
		all := out.String() + errw.String() + string(summary) + string(output)
		_ = filepath.WalkDir(temp, func(p string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				b, _ := os.ReadFile(p)
				all += string(b)
			}
			return nil
		})
		for _, secret := range []string{leaked, control, "made-up-root", s.Token} {
			if strings.Contains(all, secret) {
				t.Error("a secret stands in what the run leaves")
			}
		}
		return code, out.String() + errw.String(), string(summary) + string(output)
	}
	// A stranger's run: nothing is asked, killed or deleted.
	head := e.Payload["workflow_run"].(map[string]any)
	head["head_repository"] = map[string]any{"id": 2}
	if code, log, summary := run(nil); !strings.Contains(log, "not asked") || len(s.Deleted) != 0 || !strings.Contains(summary, "nothing is killed where the run is of a pull request from a fork") {
		t.Errorf("a stranger's: exit code %d\n%s\n%s", code, log, summary)
	}
	head["head_repository"] = map[string]any{"id": 1}
	// A plan lists what would be done.
	if code, log, summary := run(map[string]string{"INPUT_KILL": "plan", "INPUT_DELETE-LOG": "false"}); code != 1 || !strings.Contains(log, "LIVE") || !strings.Contains(summary, "### Ended, or to be ended") {
		t.Errorf("a plan: exit code %d\n%s\n%s", code, log, summary)
	}
	code, log, summary := run(nil)
	if code != 0 || !strings.Contains(log, "CONFIRMED") || !strings.Contains(summary, "killed, proven dead") || !strings.Contains(summary, "killed and proven dead") {
		t.Errorf("exit code %d\n%s\n%s", code, log, summary)
	}
	if !slices.Equal(s.Deleted, []int64{55}) || !strings.Contains(summary, "deleted, and gone") {
		t.Errorf("deleted %v\n%s", s.Deleted, summary)
	}
	status := func(value string) int {
		return newBrowser(t).do("GET", origin+app.probe, nil, "Cookie", app.cookie+"="+value).status
	}
	if status(leaked) == 200 || status(control) != 200 {
		t.Errorf("the leaked one answers %d, the control %d", status(leaked), status(control))
	}
	// Another machine reads the incident's history.
	o := newOperator(t)
	o.env["QUELL_STATE"] = ledger
	o.env["QUELL_FINGERPRINT_KEY"] = strings.Repeat("ab", 32)
	story := o.quell(0, "ledger", "--format", "jsonl")
	for _, want := range []string{"github:alice", "Confirmed", `"delete_logs"`, "deleted, and gone", "actions-run/55"} {
		if !strings.Contains(story, want) {
			t.Errorf("the ledger does not tell of %s:\n%s", want, story)
		}
	}
	o.quell(0, "ledger", "--verify")
	// The database keeps the sealed copy, with the hash that the ledger has.
	kept := regexp.MustCompile(`"evidence":"(ledger:[^"]+)","evidence_hash":"([0-9a-f]{64})"`).FindStringSubmatch(story)
	if kept == nil {
		t.Fatalf("the ledger has no copy:\n%s", story)
	}
	o.quell(0, "ledger", "--copy", kept[1], "--output", o.dir+"/copy.age")
	if b, err := os.ReadFile(o.dir + "/copy.age"); err != nil || fmt.Sprintf("%x", sha256.Sum256(b)) != kept[2] || !bytes.HasPrefix(b, []byte("age-encryption.org/v1")) {
		t.Errorf("the copy is not what the ledger says: %v", err)
	}
	// A password in an argument would be seen by everybody on the machine.
	if out := o.quell(2, "ledger", "--state", ledger); strings.Contains(out, "made-up-root") {
		t.Error(out)
	}
}

// The workflows of the repository, and those that the docs print, are clean.
func TestWorkflowsAreLinted(t *testing.T) {
	lint := tools(t, "actionlint-v1.7.12/actionlint")
	top, err := filepath.Abs("../../../..")
	if err != nil {
		t.Fatal(err)
	}
	list, err := filepath.Glob(filepath.Join(top, ".github/workflows/*.yml"))
	if err != nil || len(list) < 2 {
		t.Fatalf("%v, %v", list, err)
	}
	command(t, nil, top, append([]string{lint, "-shellcheck=", "-pyflakes="}, list...)...)
	pinned := regexp.MustCompile(`uses: (\./|[^\s@]+@[0-9a-f]{40} # v[0-9.]+)\n`)
	for _, f := range list {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if n, m := strings.Count(string(b), "uses:"), len(pinned.FindAllString(string(b), -1)); n != m {
			t.Errorf("%s: %d of %d actions are named by a commit and its version", filepath.Base(f), m, n)
		}
	}
	docs, err := os.ReadFile(filepath.Join(top, "docs/action.md"))
	if err != nil {
		t.Fatal(err)
	}
	linted := 0
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(docs), -1) {
		text := strings.ReplaceAll(m[1], "<commit>", strings.Repeat("a", 40))
		if !strings.Contains(text, "jobs:") || !strings.HasPrefix(text, "on:") && !strings.HasPrefix(text, "name:") {
			continue
		}
		c := exec.Command(lint, "-shellcheck=", "-pyflakes=", "-")
		c.Dir, c.Stdin = top, strings.NewReader(text)
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%s\n%s", text, out)
		}
		linted++
	}
	if linted < 2 {
		t.Errorf("%d workflows of the docs", linted)
	}
}
