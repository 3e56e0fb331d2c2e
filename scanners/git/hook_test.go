package git_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules/testenv"
	"github.com/quellhq/quell/scanners/git"
)

// A hook of git commit -a, or of git commit FILE, must check the new index and not the earlier
// one.
func TestStagedInAHook(t *testing.T) {
	r := newRepo(t)
	r.write("a.txt", "one\n")
	r.write("b.txt", "one\n")
	r.commit("one")
	hook := filepath.Join(r.dir, ".git/hooks/pre-commit")
	_ = os.MkdirAll(filepath.Dir(hook), 0o700)
	if err := os.WriteFile(hook, []byte("#!/bin/sh\necho \"$GIT_INDEX_FILE\" > where\ncp \"$GIT_INDEX_FILE\" .git/seen-index\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.write("a.txt", line(0))
	r.write("b.txt", line(1))
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"commit", "-q", "-a", "-m", "x"}, "a.txt b.txt"},
		{[]string{"commit", "-q", "-m", "x", "b.txt"}, "b.txt"},
	} {
		_ = r.try(c.args...)
		if found, _ := run(t, &git.Source{Dir: r.dir, Selection: git.Selection{Staged: true}}); len(found) != 0 {
			t.Errorf("%v: the index of before has %d findings", c.args, len(found))
		}
		found, gaps := run(t, &git.Source{Dir: r.dir, Selection: git.Selection{Staged: true, Index: filepath.Join(r.dir, ".git/seen-index")}})
		var got []string
		for _, f := range found {
			got = append(got, f.Location.Path)
		}
		if strings.Join(got, " ") != c.want || len(gaps) != 0 {
			t.Errorf("%v: %v, %v", c.args, got, gaps)
		}
	}
	outside := filepath.Join(t.TempDir(), "index")
	if err := os.WriteFile(outside, []byte("DIRC"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{outside, filepath.Join(r.dir, ".git/none")} {
		if _, gaps := run(t, &git.Source{Dir: r.dir, Selection: git.Selection{Staged: true, Index: f}}); len(gaps) != 1 {
			t.Errorf("%s: %v", f, gaps)
		}
	}
}

// A repository has no index before something is staged for the first time; later one that is
// missing is reported.
func TestStagedWithoutAnIndex(t *testing.T) {
	r := newRepo(t)
	index := filepath.Join(r.dir, ".git/index")
	if _, err := os.Stat(index); err == nil {
		t.Fatal("git init made an index")
	}
	if found, gaps := run(t, &git.Source{Dir: r.dir, Selection: git.Selection{Staged: true}}); len(found) != 0 || len(gaps) != 0 {
		t.Errorf("a new repository: %d findings, %v", len(found), gaps)
	}
	r.write("a.txt", "one\n")
	r.commit("one")
	if err := os.Remove(index); err != nil {
		t.Fatal(err)
	}
	if _, gaps := run(t, &git.Source{Dir: r.dir, Selection: git.Selection{Staged: true}}); len(gaps) != 1 {
		t.Errorf("a repository that lost its index: %v", gaps)
	}
}

// A sparse index names folders by their trees.
func TestStagedWithASparseIndex(t *testing.T) {
	r := newRepo(t)
	for _, d := range []string{"in", "out/deep", "other"} {
		r.write(d+"/a.txt", line(0))
	}
	r.commit("one")
	r.write("out/deep/b.txt", line(1))
	second := r.commit("two")
	r.git("reset", "-q", "--hard", "HEAD~1")
	r.git("sparse-checkout", "set", "--cone", "--sparse-index", "in")
	if out := r.git("ls-files", "--sparse"); !strings.Contains(out, "out/\n") && !strings.HasSuffix(out, "out/") {
		testenv.Missing(t, "a git that makes a sparse index")
	}
	if found, gaps := run(t, &git.Source{Dir: r.dir, Selection: git.Selection{Staged: true}}); len(found) != 0 || len(gaps) != 0 {
		t.Errorf("nothing is staged: %v, %v", found, gaps)
	}
	r.write("in/c.txt", line(2))
	r.git("add", "in")
	// A folder outside of the cone that belongs to another commit.
	r.git("reset", "-q", "--soft", second)
	found, gaps := run(t, &git.Source{Dir: r.dir, Selection: git.Selection{Staged: true}})
	if len(found) != 1 || found[0].Location.Path != "in/c.txt" || len(gaps) != 0 {
		t.Errorf("%v, %v", found, gaps)
	}
	r.git("reset", "-q", second)
	r.git("reset", "-q", "--soft", second+"~1")
	if out := r.git("ls-files", "-s", "--sparse"); !strings.Contains(out, "\tout/") {
		t.Errorf("the index is not sparse any more: %s", out)
	}
	found, _ = run(t, &git.Source{Dir: r.dir, Selection: git.Selection{Staged: true}})
	var got []string
	for _, f := range found {
		got = append(got, f.Location.Path)
	}
	if !strings.Contains(strings.Join(got, " "), "out/deep/b.txt") {
		t.Errorf("what a folder outside of the cone brings: %v\n%s", got, r.git("ls-files", "-s", "--sparse"))
	}
}

// try runs a git command that may fail.
func (r *repo) try(args ...string) error {
	c := exec.Command("git", args...)
	c.Dir = r.dir
	c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=Alice", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=Alice", "GIT_COMMITTER_EMAIL=a@example.com")
	return c.Run()
}
