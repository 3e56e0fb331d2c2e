package git

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// lookup reads one ref and must return what the list of all refs contains.
func TestLookupEqualsTheList(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	digits := func(n int) string { return fmt.Sprintf("%040x", n) }
	write("HEAD", "ref: refs/heads/main\n")
	write("config", "[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
	write("objects/info/x", "")
	write("refs/heads/main", digits(1)+"\n")
	write("refs/heads/a/b", digits(2)+"\n")
	write("refs/remotes/origin/HEAD", "ref: refs/remotes/origin/main\n")
	write("refs/tags/both", digits(3)+"\n")
	write("packed-refs", strings.Join([]string{
		"# pack-refs with: peeled fully-peeled sorted", digits(4) + " refs/heads/main", digits(5) + " refs/heads/packed",
		digits(6) + " refs/heads/packed-too", digits(7) + " refs/remotes/origin/main", digits(8) + " refs/tags/both", digits(9) + " refs/tags/v1", "^" + digits(10), ""}, "\n"))
	write("worktrees/w/HEAD", "ref: refs/heads/packed\n")
	write("worktrees/w/refs/bisect/bad", digits(11)+"\n")
	write("ORIG_HEAD", digits(12)+"\n")
	r, err := openRepository(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"refs/heads/none", "refs/heads", "refs/heads/main/x", "origin", "", "../HEAD", "refs/heads/pack", "heads/packed"}
	for _, x := range r.refs() {
		names = append(names, x.name)
	}
	if len(names) < 18 {
		t.Fatalf("the list has %d names only", len(names))
	}
	for _, name := range names {
		want, ok := search(r.refs(), name)
		if got, found := r.lookup(name); got != want || found != ok {
			t.Errorf("%s: %q %v, want %q %v", name, got, found, want, ok)
		}
	}
	if i, ok := r.lookup("worktrees/w/HEAD"); !ok || i.String() != digits(5) {
		t.Errorf("HEAD of a work tree: %s %v", i, ok)
	}
	if list := r.takeProblems(); len(list) > 0 {
		t.Errorf("problems: %v", list)
	}
}
