package realtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// pre-commit itself takes the repository's hooks, and runs one.
func TestPreCommit(t *testing.T) {
	need(t, "git")
	need(t, "pre-commit")
	manifest, err := os.ReadFile("../../../../.pre-commit-hooks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	bin, home := filepath.Join(dir, "bin"), filepath.Join(dir, "home")
	command(t, nil, "", "go", "build", "-o", filepath.Join(bin, "quell"), "../..")
	env := []string{"HOME=" + home, "PRE_COMMIT_HOME=" + home, "PATH=" + bin + ":" + os.Getenv("PATH"), "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=Alice", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=Alice", "GIT_COMMITTER_EMAIL=a@example.com"}
	write := func(name, text string) {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	in := func(repo string, args ...string) string {
		t.Helper()
		return command(t, env, filepath.Join(dir, repo), args...)
	}
	// What a user's configuration names: a repository with the manifest in it.
	write("quell/.pre-commit-hooks.yaml", string(manifest))
	in("quell", "git", "init", "-q")
	in("quell", "git", "add", "-A")
	in("quell", "git", "commit", "-q", "-m", "hooks")
	rev := strings.TrimSpace(in("quell", "git", "rev-parse", "HEAD"))
	write("app/.pre-commit-config.yaml", "repos:\n- repo: "+filepath.Join(dir, "quell")+"\n  rev: "+rev+"\n  hooks:\n  - id: quell-system\n")
	in("app", "git", "init", "-q")
	in("app", "pre-commit", "install")
	in("app", "git", "add", "-A")
	in("app", "git", "commit", "-q", "-m", "fine")
	write("app/leak.txt", "Cookie: sessionid="+session(0)+"\n")
	in("app", "git", "add", "-A")
	c := exec.Command("git", "commit", "-q", "-m", "leak")
	c.Dir, c.Env = filepath.Join(dir, "app"), append(os.Environ(), env...)
	out, err := c.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "leak.txt:1:19") || strings.Contains(string(out), session(0)) {
		t.Errorf("%v\n%s", err, out)
	}
}
