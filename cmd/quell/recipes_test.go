package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/quellhq/quell/rules/testenv"
	"github.com/quellhq/quell/scanners/github/githubtest"
)

// recipes are the shell scripts of docs/action.md, by the system.
func recipes(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile("../../docs/action.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(b), "<!-- recipes:")
	if !ok {
		t.Fatal("docs/action.md has no recipes")
	}
	out := map[string]string{}
	for _, m := range regexp.MustCompile("(?s)\n(GitLab|Jenkins|Azure|CircleCI|Buildkite)[^\n]*\n\n```(yaml|groovy)\n(.*?)```").FindAllStringSubmatch(text, -1) {
		if m[2] == "groovy" {
			out[m[1]] = strings.Split(m[3], "'''")[1]
			continue
		}
		var doc any
		if err := yaml.Unmarshal([]byte(m[3]), &doc); err != nil {
			t.Fatalf("%s: %v", m[1], err)
		}
		out[m[1]] = strings.ReplaceAll(script(doc), "$$", "$")
	}
	return out
}

// script is the only text of several lines in a document.
func script(x any) (out string) {
	switch x := x.(type) {
	case string:
		if strings.Contains(x, "quell scan") {
			return x
		}
	case []any:
		for _, v := range x {
			out += script(v)
		}
	case map[string]any:
		for _, v := range x {
			out += script(v)
		}
	}
	return out
}

// Each recipe reads what was brought, and ends as quell does.
func TestRecipes(t *testing.T) {
	testenv.Need(t, "git")
	testenv.Need(t, "bash")
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(bin, "quell"), ".").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	s := githubtest.New(t, "o", "r", "the-token")
	r := githubtest.NewRepository(t, s)
	host, none := s.URL+"/o/r", strings.Repeat("0", 40)
	whole, feature := r.At["c5"], r.At["f3"]
	gitlab := func(branch, before, sha, mr string) map[string]string {
		return map[string]string{"CI_COMMIT_BEFORE_SHA": before, "CI_COMMIT_SHA": sha, "CI_PROJECT_URL": host, "CI_COMMIT_BRANCH": branch, "CI_DEFAULT_BRANCH": "main", "CI_MERGE_REQUEST_DIFF_BASE_SHA": mr, "CI_SERVER_URL": s.URL}
	}
	all := recipes(t)
	if len(all) != 5 {
		t.Fatalf("%d recipes", len(all))
	}
	for _, c := range []struct {
		name, system string
		at           string
		depth        int
		env          map[string]string
		findings     int
	}{
		{"a push", "GitLab", whole, 1, gitlab("main", r.At["c3"], whole, ""), 2},
		{"a new branch", "GitLab", feature, 1, gitlab("feature", none, feature, ""), 3},
		{"a merge request", "GitLab", feature, 1, gitlab("", none, feature, whole), 3},
		{"a schedule", "GitLab", whole, 1, gitlab("main", none, whole, ""), 16},
		{"a push", "Jenkins", whole, 0, map[string]string{"GIT_PREVIOUS_COMMIT": r.At["c3"], "GIT_COMMIT": whole}, 2},
		{"a pull request", "Jenkins", feature, 0, map[string]string{"CHANGE_TARGET": "main", "GIT_COMMIT": feature}, 3},
		{"the first build", "Jenkins", whole, 0, map[string]string{"GIT_COMMIT": whole}, 13},
		{"a pull request", "Azure", feature, 0, map[string]string{"SYSTEM_PULLREQUEST_TARGETBRANCHNAME": "main", "BUILD_SOURCEVERSION": feature}, 3},
		{"a push", "Azure", whole, 0, map[string]string{"BUILD_SOURCEVERSION": whole}, 13},
		{"a push", "CircleCI", whole, 0, map[string]string{"BASE": r.At["c3"], "CIRCLE_SHA1": whole}, 2},
		{"a new branch", "CircleCI", whole, 0, map[string]string{"BASE": "", "CIRCLE_SHA1": whole}, 13},
		{"a pull request", "Buildkite", feature, 0, map[string]string{"BUILDKITE_PULL_REQUEST_BASE_BRANCH": "main", "BUILDKITE_COMMIT": feature}, 3},
		{"a push", "Buildkite", whole, 0, map[string]string{"BUILDKITE_PULL_REQUEST_BASE_BRANCH": "", "BUILDKITE_COMMIT": whole}, 13},
	} {
		t.Run(c.system+", "+c.name, func(t *testing.T) {
			work, home := t.TempDir(), t.TempDir()
			r.Checkout(c.at, c.depth)(work)
			run := func(failOn string) (int, string) {
				// The values that a user would set.
				text := strings.ReplaceAll(all[c.system], "quell scan", "quell --offline --show all --fail-on "+failOn+" scan")
				cmd := exec.Command("bash", "-e", "-c", text)
				cmd.Dir = work
				cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + home, "QUELL_GIT_TOKEN=" + s.Token}
				for k, v := range c.env {
					cmd.Env = append(cmd.Env, k+"="+v)
				}
				out, _ := cmd.CombinedOutput()
				return cmd.ProcessState.ExitCode(), string(out)
			}
			code, out := run("found")
			if n := strings.Count(out, "django-session"); code != 1 || n != c.findings {
				t.Errorf("exit code %d, %d findings, not %d\n%s", code, n, c.findings, out)
			}
			if code, out := run("never"); code != 0 {
				t.Errorf("never: exit code %d\n%s", code, out)
			}
			if c.depth == 1 {
				c.env["CI_PROJECT_URL"] = "http://127.0.0.1:1/o/r"
				if code, out := run("never"); code != 4 {
					t.Errorf("without its server: exit code %d\n%s", code, out)
				}
			}
		})
	}
}
