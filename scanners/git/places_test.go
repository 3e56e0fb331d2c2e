package git_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/detect"
	"github.com/quellhq/quell/scanners/git"
)

// expectation is the location that must be reported for a planted secret.
type expectation struct {
	what     string
	path     string            // of the finding, or
	artifact string            // the beginning of its artifact's name
	commit   string            // that introduced it; empty: none
	notes    map[string]string // a part of each
}

// run scans with the given source.
func run(t *testing.T, source *git.Source) ([]*rules.Finding, []scanners.Gap) {
	found, gaps, _ := runAll(t, source)
	return found, gaps
}

func runAll(t *testing.T, source *git.Source) ([]*rules.Finding, []scanners.Gap, []string) {
	t.Helper()
	src := opened(t, source)
	defer src.Close()
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	var found []*rules.Finding
	var gaps []scanners.Gap
	p := scanners.Pool{Detector: detect.New(set), Workers: 1}
	var mu sync.Mutex // a source reports gaps concurrently with a worker
	if _, err := p.Read(t.Context(), src, func(f rules.Finding) { found = append(found, &f) }, func(g scanners.Gap) { mu.Lock(); gaps = append(gaps, g); mu.Unlock() }); err != nil {
		t.Fatal(err)
	}
	if err := src.Attribute(t.Context(), found); err != nil {
		t.Fatal(err)
	}
	return found, gaps, src.Notices()
}

func cookie(n int) string { return "Cookie: sessionid=" + secret(n) }

// plant makes a repository with a secret in each place where git keeps bytes, and returns the
// expected findings.
func plant(t *testing.T, r *repo) map[int]expectation {
	t.Helper()
	want := map[int]expectation{}
	n := -1
	next := func() int { n++; return n }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	i := next()
	r.write("plain.txt", line(i))
	want[i] = expectation{what: "a commit", path: "plain.txt", commit: r.commit("plain"), notes: map[string]string{"in_head": "no", "refs": "refs/heads/main", "author": "Alice <a@example.com>", "subject": "plain", "first_exposed": "2026-01-01T"}}
	i = next()
	r.write("plain.txt", "gone\n")
	r.write("deep/er/still/here.txt", line(i))
	want[i] = expectation{what: "a folder of folders", path: "deep/er/still/here.txt", commit: r.commit("folders"), notes: map[string]string{"in_head": "yes"}}

	r.git("checkout", "-q", "-b", "other")
	i = next()
	r.write("branch.txt", line(i))
	want[i] = expectation{what: "another branch", path: "branch.txt", commit: r.commit("on another branch"), notes: map[string]string{"in_head": "yes", "refs": "refs/heads/other"}}
	r.git("checkout", "-q", "main")
	r.write("main.txt", "m\n")
	r.commit("main goes on")
	r.git("merge", "-q", "--no-commit", "--no-ff", "other")
	i = next()
	r.write("evil.txt", line(i))
	want[i] = expectation{what: "a merge that brings what neither side had", path: "evil.txt", commit: r.commit("merge")}

	r.git("checkout", "-q", "-b", "doomed")
	i = next()
	r.write("doomed.txt", line(i))
	want[i] = expectation{what: "a branch that was deleted", path: "doomed.txt", commit: r.commit("doomed"), notes: map[string]string{"kept_by": "no ref, the reflog alone: HEAD@{", "in_head": "no"}}
	r.git("checkout", "-q", "main")
	r.git("branch", "-q", "-D", "doomed")

	i = next()
	r.write("amended.txt", line(i))
	want[i] = expectation{what: "an amended commit", path: "amended.txt", commit: r.commit("soon amended"), notes: map[string]string{"kept_by": "reflog"}}
	r.write("amended.txt", "clean\n")
	r.git("add", "-A")
	r.git("commit", "-q", "--amend", "-m", "amended")
	i = next()
	r.write("reset.txt", line(i))
	want[i] = expectation{what: "a commit that was reset away", path: "reset.txt", commit: r.commit("soon reset"), notes: map[string]string{"kept_by": "reflog"}}
	r.git("reset", "-q", "--hard", "HEAD~1")

	i = next()
	r.write("stashed.txt", line(i))
	r.git("add", "-A")
	r.git("stash", "-q")
	want[i] = expectation{what: "a stash under another", path: "stashed.txt", commit: r.git("rev-parse", "stash^2"), notes: map[string]string{"kept_by": "refs/stash@{1}"}}
	i = next()
	r.write("untracked.txt", line(i))
	r.git("stash", "-q", "-u")
	want[i] = expectation{what: "a stash of untracked files", path: "untracked.txt", commit: r.git("rev-parse", "stash^3"), notes: map[string]string{"refs": "refs/stash"}}

	i = next()
	r.write("dangling.txt", line(i))
	r.git("hash-object", "-w", "dangling.txt")
	must(os.Remove(filepath.Join(r.dir, "dangling.txt")))
	want[i] = expectation{what: "a dangling blob", artifact: "blob ", notes: map[string]string{"kept_by": "nothing: a dangling object"}}

	i = next()
	want[i] = expectation{what: "a commit's message", artifact: "commit ", commit: r.commit(cookie(i))}
	i = next()
	r.git("tag", "-a", "v1", "-m", cookie(i))
	want[i] = expectation{what: "a tag's message", artifact: "tag ", notes: map[string]string{"refs": "refs/tags/v1"}}
	i = next()
	blob := strings.TrimSpace(r.pipe(line(i), "hash-object", "-w", "--stdin"))
	r.git("tag", "blob-tag", blob)
	want[i] = expectation{what: "a tag on a blob", artifact: "blob ", notes: map[string]string{"refs": "refs/tags/blob-tag"}}
	i = next()
	r.git("notes", "add", "-m", cookie(i))
	want[i] = expectation{what: "a note", artifact: "blob ", commit: r.git("rev-parse", "refs/notes/commits"), notes: map[string]string{"refs": "refs/notes/commits"}}
	i = next()
	c := exec.Command("git", "commit", "-q", "--allow-empty", "-m", "by somebody")
	c.Dir = r.dir
	c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME="+cookie(i), "GIT_AUTHOR_EMAIL=x@example.com", "GIT_COMMITTER_NAME=B", "GIT_COMMITTER_EMAIL=b@example.com", "GIT_AUTHOR_DATE=2026-01-01T01:00:00Z", "GIT_COMMITTER_DATE=2026-01-01T01:00:00Z")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	want[i] = expectation{what: "an author's name", artifact: "commit ", commit: r.git("rev-parse", "HEAD")}
	i = next()
	r.git("config", "http.extraheader", cookie(i))
	want[i] = expectation{what: "the configuration", artifact: "config"}
	i = next()
	r.git("update-ref", "-m", cookie(i), "refs/heads/noted", "HEAD")
	r.git("update-ref", "-m", cookie(i)+" again", "refs/heads/noted", "HEAD~1")
	want[i] = expectation{what: "a reflog's message", artifact: "reflog refs/heads/noted"}

	i = next()
	r.write("zipped.txt", base64.StdEncoding.EncodeToString([]byte(line(i)))+"\n")
	want[i] = expectation{what: "an encoded file", path: "zipped.txt", commit: r.commit("encoded")}
	i = next()
	wide := []byte{0xff, 0xfe}
	for _, c := range []byte(line(i)) {
		wide = append(wide, c, 0)
	}
	r.write("wide.txt", string(wide))
	want[i] = expectation{what: "a file in UTF-16", path: "wide.txt", commit: r.commit("wide")}

	linked := filepath.Join(t.TempDir(), "linked")
	r.git("worktree", "add", "-q", "--detach", linked)
	i = next()
	must(os.WriteFile(filepath.Join(linked, "linked.txt"), []byte(line(i)), 0o644))
	l := *r
	l.dir = linked
	want[i] = expectation{what: "a linked work tree's detached HEAD", path: "linked.txt", commit: l.commit("in a linked tree"), notes: map[string]string{"refs": "worktrees/linked/HEAD"}}

	i = next()
	r.write("staged.txt", line(i))
	r.git("add", "staged.txt")
	want[i] = expectation{what: "the index", path: "staged.txt", notes: map[string]string{"kept_by": "the index"}}

	i = next()
	must(os.MkdirAll(filepath.Join(r.dir, ".git/lfs/objects/ab/cd"), 0o755))
	oid := "abcd" + strings.Repeat("0", 60)
	must(os.WriteFile(filepath.Join(r.dir, ".git/lfs/objects/ab/cd", oid), []byte(line(i)), 0o644))
	r.write("large.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:"+oid+"\nsize 60\n")
	r.git("add", "large.bin")
	r.git("commit", "-q", "-m", "large", "large.bin")
	want[i] = expectation{what: "a large file's content", path: "large.bin", commit: r.git("rev-parse", "HEAD")}
	return want
}

func (r *repo) pipe(in string, args ...string) string {
	r.t.Helper()
	c := exec.Command("git", args...)
	c.Dir, c.Stdin = r.dir, strings.NewReader(in)
	out, err := c.Output()
	if err != nil {
		r.t.Fatal(err)
	}
	return string(out)
}

func TestASecretInEachPlace(t *testing.T) {
	for _, format := range []string{"sha1", "sha256"} {
		t.Run(format, func(t *testing.T) {
			r := newRepo(t, "--object-format="+format)
			want := plant(t, r)
			if len(want) < 20 {
				t.Fatalf("only %d places", len(want))
			}
			for _, packed := range []string{"loose", "packed", "two packs, a multi-pack index", "no index"} {
				switch packed {
				case "packed":
					r.git("repack", "-q", "-a", "-d", "--keep-unreachable", "-f")
				case "two packs, a multi-pack index":
					r.write("more.txt", "more\n")
					r.git("add", "more.txt")
					r.git("commit", "-q", "-m", "more", "more.txt")
					r.git("repack", "-q", "-d")
					r.git("multi-pack-index", "write")
				case "no index":
					idx, err := filepath.Glob(filepath.Join(r.dir, ".git/objects/pack/*.idx"))
					if err != nil || len(idx) == 0 {
						t.Fatal("no index", err)
					}
					for _, f := range append(idx, filepath.Join(r.dir, ".git/objects/pack/multi-pack-index")) {
						if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
							t.Fatal(err)
						}
					}
				}
				found, gaps := run(t, &git.Source{Dir: r.dir})
				for _, g := range gaps {
					t.Errorf("%s: %v", packed, g)
				}
				for n, w := range want {
					if why := missing(found, n, w); why != "" {
						t.Errorf("%s: %s: %s", packed, w.what, why)
					}
				}
			}
		})
	}
}

// missing describes what is wrong with the findings of a secret.
func missing(found []*rules.Finding, n int, w expectation) string {
	why := "not found"
	for _, f := range found {
		if f.Secret.Reveal() != secret(n) {
			continue
		}
		l := f.Location
		switch {
		case w.path != "" && l.Path != w.path:
			why = fmt.Sprintf("path %q, not %q (%s)", l.Path, w.path, l.Artifact)
		case w.artifact != "" && !strings.HasPrefix(l.Artifact, w.artifact):
			why = fmt.Sprintf("in %q, not %q", l.Artifact, w.artifact)
		case w.commit != "" && l.Commit != w.commit:
			why = fmt.Sprintf("commit %q, not %q", l.Commit, w.commit)
		case l.Line < 1 || l.Column < 1:
			why = fmt.Sprintf("at %d:%d", l.Line, l.Column)
		default:
			why = ""
			for k, v := range w.notes {
				if !strings.Contains(l.Notes[k], v) {
					why = fmt.Sprintf("%s is %q, not %q", k, l.Notes[k], v)
				}
			}
			if why == "" {
				return ""
			}
		}
	}
	return why
}

// A random history: branches, merges, moves, amends, resets, stashes, tags, packs. The objects
// that are read must be those that git lists, however git stores them.
func TestRandomRepositories(t *testing.T) {
	for seed := range uint64(6) {
		d := rand.New(rand.NewPCG(5, seed))
		format := []string{"sha1", "sha256"}[seed%2]
		r := newRepo(t, "--object-format="+format)
		var commits []string
		body := map[string]string{}
		for step := range 60 {
			name := fmt.Sprintf("d%d/f%d.txt", d.IntN(4), d.IntN(6))
			text := body[name]
			for range d.IntN(4) {
				at := d.IntN(len(text) + 1)
				text = text[:at] + strings.Repeat(fmt.Sprintf("step %d line %d\n", step, d.IntN(1000)), 1+d.IntN(200)) + text[at:]
			}
			body[name] = text
			r.write(name, text)
			switch d.IntN(12) {
			case 0:
				r.git("checkout", "-q", "-B", fmt.Sprintf("b%d", d.IntN(3)))
			case 1:
				if len(commits) > 0 {
					r.git("add", "-A")
					r.git("stash", "-q")
				}
			case 2:
				if len(commits) > 3 {
					r.git("add", "-A")
					r.git("commit", "-q", "--allow-empty", "--amend", "-m", fmt.Sprintf("amended %d", step))
				}
			case 3:
				r.git("repack", "-q", "-d", "--depth=50", "--window=20")
			case 4:
				r.git("repack", "-q", "-a", "-d", "-f", "--keep-unreachable")
			case 5:
				if len(commits) > 0 {
					r.git("tag", "-a", fmt.Sprintf("t%d", step), "-m", "tag", commits[d.IntN(len(commits))])
				}
			case 6:
				if len(commits) > 2 {
					r.git("add", "-A")
					r.git("commit", "-q", "--allow-empty", "-m", "x")
					r.git("merge", "-q", "-s", "ours", "--no-edit", commits[d.IntN(len(commits))])
				}
			}
			commits = append(commits, r.commit(fmt.Sprintf("step %d", step)))
		}
		var want []string
		for l := range strings.Lines(r.git("cat-file", "--batch-all-objects", "--batch-check")) {
			if f := strings.Fields(l); f[1] != "tree" {
				want = append(want, f[1]+" "+f[0])
			}
		}
		slices.Sort(want)
		if got := objects(t, &git.Source{Dir: r.dir}); !equalObjects(got, want) {
			t.Errorf("seed %d: %d objects, git has %d", seed, len(got), len(want))
		}
		// The objects that refs reach, according to git.
		want = nil
		for l := range strings.Lines(r.git("rev-list", "--objects", "--no-object-names", "--all", "HEAD")) {
			o := strings.TrimSpace(l)
			if k := r.git("cat-file", "-t", o); k != "tree" {
				want = append(want, k+" "+o)
			}
		}
		slices.Sort(want)
		if got := objects(t, &git.Source{Dir: r.dir, Selection: git.Selection{Objects: git.Refs}}); !equalObjects(got, want) {
			t.Errorf("seed %d: %d objects that refs reach, git has %d", seed, len(got), len(want))
		}
		for range 6 {
			a, b := commits[d.IntN(len(commits))], commits[d.IntN(len(commits))]
			want := strings.Fields(r.git("rev-list", a+".."+b))
			slices.Sort(want)
			var got []string
			for _, o := range objects(t, &git.Source{Dir: r.dir, Selection: git.Selection{Range: a + ".." + b}}) {
				if c, ok := strings.CutPrefix(o, "commit "); ok {
					got = append(got, c)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("seed %d: %d commits in a range, git has %d", seed, len(got), len(want))
			}
			// Every object that the range introduced must be present: all that git lists, except
			// files that only moved.
			have := map[string]bool{}
			for _, o := range objects(t, &git.Source{Dir: r.dir, Selection: git.Selection{Range: a + ".." + b}}) {
				_, i, _ := strings.Cut(o, " ")
				have[i] = true
			}
			for l := range strings.Lines(r.git("diff", "--raw", "--no-abbrev", "--no-renames", "--diff-filter=A", a+"..."+b)) {
				if f := strings.Fields(l); !have[f[3]] && !strings.Contains(r.git("ls-tree", "-r", r.git("merge-base", a, b)), f[3]) {
					t.Errorf("seed %d: %s of %s..%s is not read", seed, f[3], a, b)
				}
			}
		}
	}
}

// equalObjects compares all but the files of the store and the reflogs.
func equalObjects(got, want []string) bool {
	got = slices.DeleteFunc(slices.Clone(got), func(s string) bool {
		k, _, _ := strings.Cut(s, " ")
		return k != "blob" && k != "commit" && k != "tag"
	})
	slices.Sort(got)
	return slices.Equal(got, want)
}

func TestARangeReportsWhoAddedWhat(t *testing.T) {
	r := newRepo(t)
	r.write("old.txt", line(0))
	base := r.commit("old")
	r.write("a/new.txt", line(1))
	c1 := r.commit("new")
	r.git("mv", "old.txt", "moved.txt")
	r.commit("moved")
	r.write("a/new.txt", "x\n")
	c3 := r.commit("removed again: " + cookie(2))
	found, gaps := run(t, &git.Source{Dir: r.dir, Selection: git.Selection{Range: base + ".." + "main"}})
	if len(gaps) > 0 {
		t.Error(gaps)
	}
	for n, w := range map[int]expectation{1: {path: "a/new.txt", commit: c1, notes: map[string]string{"subject": "new"}}, 2: {artifact: "commit ", commit: c3}} {
		if why := missing(found, n, w); why != "" {
			t.Error(why)
		}
	}
	if missing(found, 0, expectation{}) == "" {
		t.Error("what was there before and only moved is shown")
	}
	for _, bad := range []string{"main", "main...HEAD"} {
		if _, gaps := run(t, &git.Source{Dir: r.dir, Selection: git.Selection{Range: bad}}); len(gaps) != 1 {
			t.Errorf("%s: %v", bad, gaps)
		}
	}
	// A base that is not in the repository can't be excluded: everything is read, and a gap
	// reports it.
	found, gaps = run(t, &git.Source{Dir: r.dir, Selection: git.Selection{Range: strings.Repeat("ab", 20) + "..HEAD"}})
	if len(gaps) != 1 || missing(found, 0, expectation{}) != "" {
		t.Errorf("%v", gaps)
	}
	// A new branch has no base.
	if found, gaps = run(t, &git.Source{Dir: r.dir, Selection: git.Selection{Range: strings.Repeat("0", 40) + "..HEAD"}}); len(gaps) != 0 || missing(found, 0, expectation{}) != "" {
		t.Errorf("%v", gaps)
	}
	for _, name := range []string{"HEAD~3..HEAD", "main~3..@", base[:8] + "..main", base + "..refs/heads/main", "HEAD^^^..HEAD"} {
		if found, gaps := run(t, &git.Source{Dir: r.dir, Selection: git.Selection{Range: name}}); len(gaps) != 0 || missing(found, 1, expectation{}) != "" {
			t.Errorf("%s: %v", name, gaps)
		}
	}
}

// A blob that is added and removed repeatedly: the first commit that introduced it, and the
// others at each path. Commits that only keep it don't count.
func TestWhoBroughtABlobAgain(t *testing.T) {
	r := newRepo(t)
	r.write("a.txt", line(0))
	first := r.commit("first")
	r.write("other.txt", "x\n")
	r.commit("keeps it")
	r.git("rm", "-q", "a.txt")
	r.commit("removes it")
	r.write("b/again.txt", line(0))
	second := r.commit("brings it again")
	r.write("other.txt", "y\n")
	r.commit("keeps it too")
	found, _ := run(t, &git.Source{Dir: r.dir})
	w := expectation{path: "a.txt", commit: first, notes: map[string]string{"also": "b/again.txt in " + second[:12], "in_head": "yes"}}
	if why := missing(found, 0, w); why != "" {
		t.Error(why)
	}
	for _, f := range found {
		if also := f.Location.Notes["also"]; f.Secret.Reveal() == secret(0) && also != "" && also != "b/again.txt in "+second[:12] {
			t.Errorf("also: %s", also)
		}
	}
}

func TestARangeThatEndsInAShallowClone(t *testing.T) {
	r := newRepo(t)
	for n := range 4 {
		r.write("f.txt", line(n))
		r.commit(fmt.Sprint(n))
	}
	base := r.git("rev-parse", "HEAD~3")
	d := filepath.Join(t.TempDir(), "shallow")
	r.git("clone", "-q", "--depth=2", "file://"+r.dir, d)
	if _, gaps := run(t, &git.Source{Dir: d, Selection: git.Selection{Range: base + "..HEAD"}}); len(gaps) == 0 {
		t.Error("a range that is not all there is called whole")
	}
	if found, gaps := run(t, &git.Source{Dir: d, Selection: git.Selection{Range: "HEAD~1..HEAD"}}); len(gaps) != 0 || missing(found, 3, expectation{}) != "" {
		t.Errorf("what is here: %v", gaps)
	}
}

func TestStaged(t *testing.T) {
	r := newRepo(t)
	for i := range 30 {
		r.write(fmt.Sprintf("d%d/f.txt", i), line(i))
	}
	r.commit("all")
	r.write("d3/f.txt", line(31)+"more\n")
	r.write("d4/new.txt", line(32))
	r.git("add", "-A")
	r.write("d5/f.txt", line(33)) // not staged
	for _, version := range []string{"2", "3", "4"} {
		r.git("update-index", "--index-version", version)
		found, gaps := run(t, &git.Source{Dir: r.dir, Selection: git.Selection{Staged: true}})
		if len(gaps) > 0 || len(found) != 2 {
			t.Errorf("version %s: %d findings, %v", version, len(found), gaps)
		}
		for n, p := range map[int]string{31: "d3/f.txt", 32: "d4/new.txt"} {
			if why := missing(found, n, expectation{path: p, notes: map[string]string{"kept_by": "index"}}); why != "" {
				t.Errorf("version %s: %s", version, why)
			}
		}
	}
	found, _ := run(t, &git.Source{Dir: r.dir, Selection: git.Selection{Staged: true, Worktree: true}})
	if why := missing(found, 33, expectation{path: "d5/f.txt", artifact: "work tree"}); why != "" || len(found) != 3 {
		t.Errorf("%d findings: %s", len(found), why)
	}
	// Before the first commit everything is new.
	e := newRepo(t)
	e.write("a.txt", line(1))
	e.git("add", "-A")
	if found, _ := run(t, &git.Source{Dir: e.dir, Selection: git.Selection{Staged: true}}); missing(found, 1, expectation{path: "a.txt"}) != "" {
		t.Error("the first commit is not seen")
	}
}

func TestBranchSinceAndReachable(t *testing.T) {
	r := newRepo(t)
	r.write("a.txt", line(0))
	r.commit("on main")
	r.git("checkout", "-q", "-b", "side")
	r.write("b.txt", line(1))
	r.commit("on side")
	r.git("checkout", "-q", "main")
	r.write("c.txt", line(2))
	r.commit("lost")
	r.git("reset", "-q", "--hard", "HEAD~1")
	r.write("d.txt", line(3))
	r.git("hash-object", "-w", "d.txt")
	for _, c := range []struct {
		name string
		src  git.Source
		want []int
	}{
		{"all", git.Source{}, []int{0, 1, 2, 3}},
		{"reachable", git.Source{Selection: git.Selection{Objects: git.Reachable}}, []int{0, 1, 2}},
		{"refs", git.Source{Selection: git.Selection{Objects: git.Refs}}, []int{0, 1, 2}}, // ORIG_HEAD names it
		{"branch", git.Source{Selection: git.Selection{Branch: "side"}}, []int{0, 1}},
		{"branch main", git.Source{Selection: git.Selection{Branch: "main"}}, []int{0}},
	} {
		c.src.Dir = r.dir
		found, gaps := run(t, &c.src)
		if len(gaps) > 0 {
			t.Errorf("%s: %v", c.name, gaps)
		}
		for n := range 4 {
			if got := missing(found, n, expectation{}) == ""; got != slices.Contains(c.want, n) {
				t.Errorf("%s: secret %d found: %v", c.name, n, got)
			}
		}
	}
	if err := (&git.Source{Selection: git.Selection{Range: "a..b", Staged: true}}).Check(); err == nil {
		t.Error("two questions at a time")
	}
	if err := (&git.Source{Selection: git.Selection{Objects: "some"}}).Check(); err == nil {
		t.Error("unknown objects")
	}
	if _, gaps := run(t, &git.Source{Dir: r.dir, Selection: git.Selection{Branch: "nobody"}}); len(gaps) != 1 {
		t.Errorf("a branch that is not there: %v", gaps)
	}
}

func TestSinceIsWhatCameLater(t *testing.T) {
	r := newRepo(t)
	r.write("a.txt", line(0))
	r.commit("early")
	for range 120 { // each call of git advances its clock by a second
		r.n++
	}
	r.write("b.txt", line(1))
	r.commit("late")
	when := mustTime(t, "2026-01-01T00:02:00Z")
	found, _ := run(t, &git.Source{Dir: r.dir, Selection: git.Selection{Since: when}})
	if missing(found, 0, expectation{}) == "" || missing(found, 1, expectation{path: "b.txt"}) != "" {
		t.Errorf("%d findings", len(found))
	}
}

func TestBundles(t *testing.T) {
	for _, format := range []string{"sha1", "sha256"} {
		r := newRepo(t, "--object-format="+format)
		for n := range 5 {
			r.write("f.txt", strings.Repeat("some text that stays\n", 100)+line(n))
			r.commit(fmt.Sprint(n))
		}
		whole, part := filepath.Join(t.TempDir(), "all.bundle"), filepath.Join(t.TempDir(), "part.bundle")
		r.git("bundle", "create", "-q", whole, "--all")
		found, gaps := run(t, &git.Source{Dir: whole})
		if len(gaps) > 0 {
			t.Error(gaps)
		}
		for n := range 5 {
			if why := missing(found, n, expectation{path: "f.txt", notes: map[string]string{"refs": "refs/heads/main"}}); why != "" {
				t.Errorf("%s: %d: %s", format, n, why)
			}
		}
		r.git("bundle", "create", "-q", part, "HEAD~2..main")
		if _, gaps := run(t, &git.Source{Dir: part}); len(gaps) == 0 {
			t.Error("a bundle that builds on others is called whole")
		}
		if err := os.WriteFile(part, []byte("# v2 git bundle\nnothing"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, gaps := run(t, &git.Source{Dir: part}); len(gaps) != 1 {
			t.Errorf("%v", gaps)
		}
	}
}

func TestPartialCloneReportsWhatItLacks(t *testing.T) {
	r := newRepo(t)
	for n := range 5 {
		r.write("f.txt", line(n))
		r.commit(fmt.Sprint(n))
	}
	r.git("config", "uploadpack.allowFilter", "true")
	d := filepath.Join(t.TempDir(), "partial")
	r.git("clone", "-q", "--filter=blob:none", "file://"+r.dir, d)
	found, gaps := run(t, &git.Source{Dir: d})
	if missing(found, 4, expectation{}) != "" || len(gaps) != 1 || !strings.Contains(gaps[0].Error(), "4 promised objects") {
		t.Errorf("%d findings, %v", len(found), gaps)
	}
}

func TestAlternates(t *testing.T) {
	r := newRepo(t)
	r.write("a.txt", line(0))
	r.commit("one")
	outside := filepath.Join(t.TempDir(), "shared")
	r.git("clone", "-q", "--shared", r.dir, outside)
	if found, gaps := run(t, &git.Source{Dir: outside}); len(found) > 0 || len(gaps) != 2 || !strings.Contains(gaps[0].Error(), "outside") || !strings.Contains(gaps[1].Error(), "is not here") {
		t.Errorf("outside: %d findings, %v", len(found), gaps)
	}
	inner := filepath.Join(r.dir, "inner")
	r.git("clone", "-q", "--bare", r.dir, inner)
	if err := os.MkdirAll(filepath.Join(r.dir, ".git/objects/info"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, ".git/objects/info/alternates"), []byte("../../inner/objects\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for i := range 256 {
		_ = os.RemoveAll(filepath.Join(r.dir, fmt.Sprintf(".git/objects/%02x", i)))
	}
	found, gaps := run(t, &git.Source{Dir: r.dir})
	if missing(found, 0, expectation{path: "a.txt"}) != "" || len(gaps) != 0 {
		t.Errorf("inside: %d findings, %v", len(found), gaps)
	}
}

func TestSubmodulesAndNestedRepositories(t *testing.T) {
	sub := newRepo(t)
	sub.write("s.txt", line(0))
	sub.commit("in the submodule")
	r := newRepo(t)
	r.write("a.txt", line(1))
	r.commit("outer")
	r.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", sub.dir, "lib/sub")
	r.commit("with a submodule")
	nested := filepath.Join(r.dir, "vendor/nested")
	if err := os.MkdirAll(nested, 0o755); err != nil {
		t.Fatal(err)
	}
	n := *r
	n.dir = nested
	n.git("init", "-q", "-b", "main")
	if err := os.WriteFile(filepath.Join(nested, "n.txt"), []byte(line(2)), 0o644); err != nil {
		t.Fatal(err)
	}
	n.commit("nested")
	found, gaps := run(t, &git.Source{Dir: r.dir})
	if len(gaps) > 0 {
		t.Error(gaps)
	}
	for k, w := range map[int]expectation{
		0: {path: "s.txt", notes: map[string]string{"repository": "modules/lib/sub", "subject": "in the submodule"}},
		1: {path: "a.txt"},
		2: {path: "n.txt", notes: map[string]string{"repository": "vendor/nested"}},
	} {
		if why := missing(found, k, w); why != "" {
			t.Errorf("%d: %s", k, why)
		}
	}
}

// shelf is a memory for tests.
type shelf map[string][]byte

func (s shelf) Get(_ context.Context, key string) ([]byte, bool) { b, ok := s[key]; return b, ok }
func (s shelf) Put(_ context.Context, key string, v []byte)      { s[key] = bytes.Clone(v) }

func TestTheSecondScanReadsWhatIsNew(t *testing.T) {
	r := newRepo(t)
	for n := range 10 {
		r.write("f.txt", strings.Repeat("text that stays\n", 50)+fmt.Sprint(n))
		r.commit(fmt.Sprint(n))
	}
	r.write("leak.txt", line(0))
	r.commit("leak")
	r.git("repack", "-q", "-a", "-d")
	m := shelf{}
	read := func() []string {
		t.Helper()
		src := opened(t, &git.Source{Dir: r.dir, Memory: m})
		defer src.Close()
		var names []string
		p := scanners.Pool{Detector: watching{detector(t), &names}, Workers: 1}
		var found []*rules.Finding
		if _, err := p.Read(t.Context(), src, func(f rules.Finding) { found = append(found, &f) }, func(g scanners.Gap) { t.Error(g) }); err != nil {
			t.Fatal(err)
		}
		if err := src.Attribute(t.Context(), found); err != nil {
			t.Fatal(err)
		}
		if why := missing(found, 0, expectation{path: "leak.txt"}); why != "" {
			t.Errorf("the leak: %s", why)
		}
		return slices.DeleteFunc(names, func(s string) bool {
			return !strings.HasPrefix(s, "blob") && !strings.HasPrefix(s, "commit")
		})
	}
	if n := len(read()); n != 22 {
		t.Errorf("first: %d objects", n)
	}
	if got := read(); len(got) != 1 {
		t.Errorf("nothing new: %v", got)
	}
	r.write("new.txt", "new\n")
	r.commit("loose")
	if got := read(); len(got) != 3 { // a blob, a commit, the leak
		t.Errorf("one commit more: %v", got)
	}
	if got := read(); len(got) != 1 {
		t.Errorf("nothing new, loose: %v", got)
	}
	r.write("newer.txt", "newer\n")
	r.commit("before all is packed anew")
	r.git("repack", "-q", "-a", "-d")
	if got := read(); len(got) != 3 {
		t.Errorf("packed anew: %v", got)
	}
	for k, v := range m {
		if bytes.Contains(v, []byte(secret(0))) {
			t.Errorf("%s holds a secret", k)
		}
	}
}

// broken is a repository with a pack that can't be read to its end.
type broken struct {
	scanners.Session
	on bool
}

func (b broken) Artifacts(ctx context.Context) iter.Seq2[scanners.Artifact, error] {
	return func(yield func(scanners.Artifact, error) bool) {
		for a, err := range b.Session.Artifacts(ctx) {
			if b.on && a.Parts != nil {
				a.Parts = func(context.Context, func(scanners.Artifact, io.Reader) error, func(scanners.Gap)) error {
					return errors.New("ends early")
				}
			}
			if !yield(a, err) {
				return
			}
		}
	}
}

// An unread object is not recorded as read, and a missing one is not recorded as reported.
func TestWhatIsIncompleteStaysSo(t *testing.T) {
	r := newRepo(t)
	r.write("leak.txt", line(0))
	r.write("large.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:"+strings.Repeat("ab", 32)+"\nsize 60\n")
	r.commit("x")
	r.git("repack", "-q", "-a", "-d")
	m := shelf{}
	scan := func(on bool) (found []*rules.Finding, gaps []scanners.Gap) {
		t.Helper()
		src := broken{opened(t, &git.Source{Dir: r.dir, Memory: m}), on}
		defer src.Close()
		p := scanners.Pool{Detector: detector(t), Workers: 1}
		var mu sync.Mutex // a source reports gaps concurrently with a worker
		if _, err := p.Read(t.Context(), src, func(f rules.Finding) { found = append(found, &f) }, func(g scanners.Gap) { mu.Lock(); gaps = append(gaps, g); mu.Unlock() }); err != nil {
			t.Fatal(err)
		}
		return found, gaps
	}
	if found, gaps := scan(true); len(gaps) == 0 || len(found) != 0 {
		t.Fatalf("%d findings, %v", len(found), gaps)
	}
	for range 3 {
		found, gaps := scan(false)
		if len(found) != 1 || len(gaps) != 1 || !strings.Contains(gaps[0].Error(), "Git LFS") {
			t.Errorf("%d findings, %v", len(found), gaps)
		}
	}
}
