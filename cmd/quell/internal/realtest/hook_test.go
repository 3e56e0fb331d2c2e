package realtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// hooked is a repository whose hook manager runs quell.
type hooked struct {
	t    *testing.T
	dir  string
	env  []string
	page string // docs/hooks.md
}

func newHooked(t *testing.T, bin string) *hooked {
	t.Helper()
	need(t, "git")
	page, err := os.ReadFile("../../../../docs/hooks.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	home := filepath.Join(dir, "home")
	managers, err := filepath.Abs(filepath.Join(servers, "node/node_modules/.bin"))
	if err != nil {
		t.Fatal(err)
	}
	h := &hooked{t: t, dir: dir, page: string(page), env: []string{"HOME=" + home, "PRE_COMMIT_HOME=" + home,
		"PATH=" + bin + ":" + managers + ":" + os.Getenv("PATH"), "GIT_CONFIG_GLOBAL=/dev/null", "CI=",
		"GIT_AUTHOR_NAME=Alice", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=Alice", "GIT_COMMITTER_EMAIL=a@example.com"}}
	h.write("app/readme.txt", "nothing here\n")
	h.in("app", "git", "init", "-q")
	return h
}

func (h *hooked) write(name, text string) {
	h.t.Helper()
	p := filepath.Join(h.dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hooked) in(repo string, args ...string) string {
	h.t.Helper()
	return command(h.t, h.env, filepath.Join(h.dir, repo), args...)
}

// recipe is the nth block of a section of the page.
func (h *hooked) recipe(section string) string {
	h.t.Helper()
	_, rest, ok := strings.Cut(h.page, "\n## "+section+"\n")
	_, rest, ok2 := strings.Cut(rest, "\n```")
	_, rest, ok3 := strings.Cut(rest, "\n")
	text, _, ok4 := strings.Cut(rest, "\n```")
	if !ok || !ok2 || !ok3 || !ok4 {
		h.t.Fatalf("docs/hooks.md has no block below %q", section)
	}
	return text + "\n"
}

// check commits clean files, and requires that the hook stops the others: in a commit of all,
// and in one of a single file while another is staged.
func (h *hooked) check() {
	h.t.Helper()
	h.in("app", "git", "add", "-A")
	h.in("app", "git", "commit", "-q", "-m", "fine")
	h.write("app/leak.txt", "Cookie: sessionid="+session(0)+"\n")
	h.write("app/readme.txt", "nothing new\n")
	h.in("app", "git", "add", "-A")
	for _, args := range [][]string{{"commit", "-q", "-m", "leak"}, {"commit", "-q", "-m", "leak", "leak.txt"}} {
		c := exec.Command("git", args...)
		c.Dir, c.Env = filepath.Join(h.dir, "app"), append(os.Environ(), h.env...)
		out, err := c.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "leak.txt:1:19") || strings.Contains(string(out), session(0)) {
			h.t.Errorf("git %v: %v\n%s", args, err, out)
		}
	}
	h.in("app", "git", "commit", "-q", "-m", "fine", "readme.txt")
}

// preCommit is the program to test: QUELL_PRE_COMMIT names one of another version.
func preCommit() string {
	if p := os.Getenv("QUELL_PRE_COMMIT"); p != "" {
		return p
	}
	return "pre-commit"
}

// The recipes of docs/hooks.md, run by the hook managers themselves.
func TestHookManagers(t *testing.T) {
	bin := t.TempDir()
	command(t, nil, "", "go", "build", "-o", filepath.Join(bin, "quell"), "../..")
	for name, set := range map[string]func(t *testing.T, h *hooked){
		"pre-commit": func(t *testing.T, h *hooked) {
			need(t, preCommit())
			t.Log(strings.TrimSpace(h.in("app", preCommit(), "--version")))
			manifest, err := os.ReadFile("../../../../.pre-commit-hooks.yaml")
			if err != nil {
				t.Fatal(err)
			}
			// The repository that a user's configuration names, with the manifest in it.
			h.write("quell/.pre-commit-hooks.yaml", string(manifest))
			h.in("quell", "git", "init", "-q")
			h.in("quell", "git", "add", "-A")
			h.in("quell", "git", "commit", "-q", "-m", "hooks")
			rev := strings.TrimSpace(h.in("quell", "git", "rev-parse", "HEAD"))
			config := strings.ReplaceAll(h.recipe("pre-commit"), "https://github.com/quellhq/quell", filepath.Join(h.dir, "quell"))
			h.write("app/.pre-commit-config.yaml", strings.ReplaceAll(config, "<commit>", rev))
			h.in("app", preCommit(), "install")
			h.in("app", preCommit(), "run", "--all-files")
		},
		"husky": func(t *testing.T, h *hooked) {
			need(t, filepath.Join(servers, "node/node_modules/.bin/husky"))
			h.write("app/package.json", `{"name":"app","private":true}`)
			h.in("app", "sh", "-c", "husky")
			h.in("app", "sh", "-c", h.recipe("husky"))
		},
		"lefthook": func(t *testing.T, h *hooked) {
			need(t, filepath.Join(servers, "node/node_modules/.bin/lefthook"))
			h.write("app/lefthook.yml", h.recipe("lefthook"))
			h.in("app", "sh", "-c", "lefthook install")
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHooked(t, bin)
			set(t, h)
			h.check()
		})
	}
}
