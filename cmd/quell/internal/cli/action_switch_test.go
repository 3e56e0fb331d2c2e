package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/quellhq/quell/cmd/quell/internal/action"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/scanners/github"
)

// The policy of the default branch decides at the last moment whether a job kills
// and deletes. While GitHub does not answer, the one that was read first counts.
func TestTheActionReadsTheSwitchAgain(t *testing.T) {
	const on = "version = 1\n[kill]\ndisabled = true\n"
	for _, c := range []struct {
		name, first, branch string
		stopped             bool
	}{
		{"off", "version = 1\n", "version = 1\n", false},
		{"a commit turns it on", "version = 1\n", on, true},
		{"a commit turns it off", on, "version = 1\n", false},
		{"GitHub does not have the file, and it was on", on, "", true},
		{"GitHub does not have the file, and it was off", "version = 1\n", "", false},
		{"a commit breaks the policy", "version = 1\n", "version = ", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := forge(t)
			api, err := github.NewAPI(s.URL, jobToken, "o/r")
			if err != nil {
				t.Fatal(err)
			}
			if c.branch != "" {
				s.Files["main:policy.toml"] = c.branch
			}
			dir := t.TempDir()
			file := filepath.Join(dir, "policy.toml")
			if err := os.WriteFile(file, []byte(c.first), 0o600); err != nil {
				t.Fatal(err)
			}
			j := &job{app: &app{policyFile: file}, api: api, in: action.Inputs{Policy: "policy.toml"}, d: action.Decision{Default: "main"}}
			env := map[string]string{"HOME": dir}
			rt, err := run.New(run.Options{Getenv: func(k string) string { return env[k] }, Policy: file, PolicyNow: j.currentPolicy()})
			if err != nil {
				t.Fatal(err)
			}
			if h := rt.Switch(t.Context()); (h != nil) != c.stopped {
				t.Errorf("%+v", h)
			}
		})
	}
}
