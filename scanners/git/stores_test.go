package git_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/testenv"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/git"
)

// bare is a token that needs no words next to it: it can be part of a name.
func bare(n int) string {
	const a = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	r := rand.New(rand.NewPCG(uint64(n), 77))
	b := []byte("glpat" + "-")
	for range 20 {
		b = append(b, a[r.IntN(len(a))])
	}
	return string(b)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestStoresThatCannotBeReadAreReported(t *testing.T) {
	if testenv.AsOrdinaryUser(t) {
		return
	}
	for _, c := range []struct {
		name   string
		packed bool
		change func(t *testing.T, r *repo, git string)
	}{
		{"objects are a link to elsewhere", false, moved("objects")},
		{"packs are a link to elsewhere", true, moved("objects/pack")},
		{"packs are a link to nowhere", true, func(t *testing.T, r *repo, g string) {
			must(t, os.Rename(g+"/objects/pack", filepath.Join(t.TempDir(), "x")))
			must(t, os.Symlink("nowhere", g+"/objects/pack"))
		}},
		{"refs are a link to elsewhere", false, moved("refs")},
		{"the configuration is a link to elsewhere", false, moved("config")},
		{"the repository is a link to elsewhere", false, func(t *testing.T, r *repo, g string) {
			to := filepath.Join(t.TempDir(), "x")
			must(t, os.Rename(g, to))
			must(t, os.Symlink(to, g))
		}},
		{"objects can't be listed", false, locked("objects")},
		{"packs can't be listed", true, locked("objects/pack")},
		{"refs can't be listed", false, locked("refs/heads")},
		{"all objects are gone", false, func(t *testing.T, r *repo, g string) {
			must(t, os.RemoveAll(g+"/objects"))
			must(t, os.MkdirAll(g+"/objects/pack", 0o755))
		}},
		{"an index of a pack without its pack", true, func(t *testing.T, r *repo, g string) {
			list, _ := filepath.Glob(g + "/objects/pack/*.pack")
			must(t, os.Remove(list[0]))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRepo(t)
			r.write("a.txt", line(0))
			r.commit("one")
			if c.packed {
				r.git("gc", "-q")
			}
			if found, gaps := run(t, &git.Source{Dir: r.dir}); len(gaps) != 0 || missing(found, 0, expectation{}) != "" {
				t.Fatalf("as it was: %d findings, %v", len(found), gaps)
			}
			c.change(t, r, filepath.Join(r.dir, ".git"))
			if _, gaps := run(t, &git.Source{Dir: r.dir}); len(gaps) == 0 {
				t.Error("nothing is reported")
			}
		})
	}
}

func moved(what string) func(*testing.T, *repo, string) {
	return func(t *testing.T, r *repo, g string) {
		to := filepath.Join(t.TempDir(), "x")
		must(t, os.Rename(filepath.Join(g, what), to))
		must(t, os.Symlink(to, filepath.Join(g, what)))
	}
}

func locked(what string) func(*testing.T, *repo, string) {
	return func(t *testing.T, r *repo, g string) {
		p := filepath.Join(g, what)
		must(t, os.Chmod(p, 0))
		t.Cleanup(func() { _ = os.Chmod(p, 0o755) })
	}
}

// A link that stays inside of the named folder is followed.
func TestObjectsOfALinkInside(t *testing.T) {
	for _, what := range []string{"objects", "objects/pack"} {
		r := newRepo(t)
		r.write("a.txt", line(0))
		r.commit("one")
		r.git("gc", "-q")
		must(t, os.Rename(filepath.Join(r.dir, ".git", what), filepath.Join(r.dir, "kept")))
		must(t, os.Symlink(filepath.Join(r.dir, "kept"), filepath.Join(r.dir, ".git", what)))
		if found, gaps := run(t, &git.Source{Dir: r.dir}); len(gaps) != 0 || missing(found, 0, expectation{path: "a.txt"}) != "" {
			t.Errorf("%s: %d findings, %v", what, len(found), gaps)
		}
	}
}

func TestMissingObjectsAreReported(t *testing.T) {
	for _, of := range []string{"HEAD", "HEAD~1", "HEAD^{tree}", "HEAD:d", "HEAD:d/a.txt", "HEAD~1:old.txt", "v1"} {
		t.Run(of, func(t *testing.T) {
			r := newRepo(t)
			r.write("old.txt", "old\n")
			r.commit("zero")
			r.write("d/a.txt", line(0))
			r.git("rm", "-q", "old.txt")
			r.commit("one")
			r.git("tag", "-a", "-m", "a tag", "v1")
			i := r.git("rev-parse", of)
			must(t, os.Remove(filepath.Join(r.dir, ".git/objects", i[:2], i[2:])))
			_, gaps := run(t, &git.Source{Dir: r.dir})
			if len(gaps) != 1 || !strings.Contains(gaps[0].Error(), i) || gaps[0].Kind != scanners.GapMissing && scanners.KindOf(gaps[0].Err) != scanners.GapMissing {
				t.Errorf("%s: %v", i, gaps)
			}
		})
	}
}

// Objects that git itself omits by design, or that an earlier scan has seen missing, are no
// gap.
func TestWholeRepositoriesAreReportedAsWhole(t *testing.T) {
	r := newRepo(t)
	r.write("a.txt", line(0))
	r.commit("one")
	r.git("rm", "-q", "a.txt")
	r.commit("two")
	inner := filepath.Join(r.dir, "inner")
	r.git("clone", "-q", r.dir, inner)
	r.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", r.dir, "sub")
	r.commit("a gitlink names a commit of another repository")
	r.git("reset", "-q", "--hard", "HEAD~2")
	r.git("-c", "gc.reflogExpire=now", "-c", "gc.pruneExpire=now", "gc", "-q")
	if _, gaps := run(t, &git.Source{Dir: r.dir}); len(gaps) != 0 {
		t.Error(gaps)
	}
}

func TestTheObjectsDecideTheirFormat(t *testing.T) {
	for _, format := range []string{"sha1", "sha256"} {
		for _, packed := range []bool{false, true} {
			for _, config := range []string{"", "[extensions] objectformat = sha256", "[extensions]\nobjectformat = sha1 ; x\n", "[core", "\xff\x00"} {
				t.Run(fmt.Sprintf("%s, packed %v, %q", format, packed, config), func(t *testing.T) {
					r := newRepo(t, "--object-format="+format)
					r.write("a.txt", line(0))
					r.commit("one")
					if packed {
						r.git("gc", "-q")
					}
					must(t, os.WriteFile(filepath.Join(r.dir, ".git/config"), []byte(config), 0o644))
					if found, gaps := run(t, &git.Source{Dir: r.dir}); len(gaps) != 0 || missing(found, 0, expectation{path: "a.txt"}) != "" {
						t.Errorf("%d findings, %v", len(found), gaps)
					}
				})
			}
		}
	}
}

func TestPlainFilesOfAStoreAreRead(t *testing.T) {
	r := newRepo(t)
	r.write("a.txt", "a\n")
	r.commit("one")
	files := []string{"rebase-merge/message", "rebase-apply/0001", "sequencer/todo", "NOTES_EDITMSG", "EDIT_DESCRIPTION", "branches/old", "remotes/old", "hooks/pre-push", "info/sparse-checkout",
		"svn/config", "a folder/of somebody.txt", "objects/ab/tmp_obj_x1", "objects/notes.txt", "objects/pack/tmp_x", "refs/heads/broken.lock", "worktrees/w/COMMIT_EDITMSG"}
	for n, f := range files {
		r.write(".git/"+f, line(n))
	}
	found, _ := run(t, &git.Source{Dir: r.dir})
	for n, f := range files {
		if strings.HasPrefix(f, "refs/") {
			continue
		}
		if missing(found, n, expectation{}) != "" {
			t.Errorf("%s is not read", f)
		}
	}
}

func TestNamesAreText(t *testing.T) {
	r := newRepo(t)
	first := r.commit("zero")
	r.write("d/"+bare(0)+".txt", "x\n")
	r.write(bare(1)+"/b", "x\n")
	one := r.commit("one")
	r.git("mv", "d/"+bare(0)+".txt", "d/plain.txt")
	two := r.commit("moved")
	r.git("update-ref", "refs/heads/"+bare(2), first)
	r.git("update-ref", "refs/tags/x/"+bare(3), first)
	r.write(bare(4)+".env", "x\n")
	r.git("add", bare(4)+".env")
	r.write("w/"+bare(5), "x\n")
	at := func(found []*rules.Finding, n int) *rules.Finding {
		for _, f := range found {
			if f.Secret.Reveal() == bare(n) {
				return f
			}
		}
		return nil
	}
	check := func(name string, src *git.Source, want map[int]string) {
		t.Helper()
		found, gaps := run(t, src)
		if len(gaps) != 0 {
			t.Errorf("%s: %v", name, gaps)
		}
		for n := range 6 {
			f, place := at(found, n), want[n]
			switch {
			case f == nil && place == "" && !strings.HasPrefix(name, "all"):
			case f == nil:
				t.Errorf("%s: name %d is not found", name, n)
			case place == "" && !strings.HasPrefix(name, "all"):
				t.Errorf("%s: name %d is found at %s", name, n, f.Location.Path)
			case f.Location.Path+"@"+f.Location.Commit != place:
				t.Errorf("%s: name %d is at %s@%s of %s, want %s", name, n, f.Location.Path, f.Location.Commit, f.Location.Artifact, place)
			case f.Location.Line != 1:
				t.Errorf("%s: name %d is in line %d", name, n, f.Location.Line)
			}
		}
	}
	all := map[int]string{0: "d/" + bare(0) + ".txt@" + one, 1: bare(1) + "@" + one, 2: "@", 3: "@", 4: bare(4) + ".env@", 5: bare(5) + "@"}
	all[5] = "w/" + bare(5) + "@"
	m := shelf{}
	for _, again := range []string{"all", "all, again"} {
		src := &git.Source{Dir: r.dir, Memory: m, Selection: git.Selection{Worktree: true}}
		check(again, src, all)
	}
	check("a range", &git.Source{Dir: r.dir, Selection: git.Selection{Range: first + ".." + two}}, map[int]string{0: all[0], 1: all[1]})
	check("a range that moves", &git.Source{Dir: r.dir, Selection: git.Selection{Range: one + ".." + two}}, nil)
	check("staged", &git.Source{Dir: r.dir, Selection: git.Selection{Staged: true}}, map[int]string{4: all[4]})
}

func TestFewTreesWithManyPaths(t *testing.T) {
	r := newRepo(t)
	first := r.commit("zero")
	i := strings.TrimSpace(r.pipe(line(0), "hash-object", "-w", "--stdin"))
	list := func(kind, mode string) string {
		var b strings.Builder
		for k := range 10 {
			fmt.Fprintf(&b, "%s %s %s\td%d\n", mode, kind, i, k)
		}
		return strings.TrimSpace(r.pipe(b.String(), "mktree"))
	}
	i = list("blob", "100644")
	for range 12 { // 10^13 paths
		i = list("tree", "040000")
	}
	c := r.git("commit-tree", "-p", first, "-m", "many", i)
	r.git("update-ref", "refs/heads/main", c)
	for _, src := range []*git.Source{{Dir: r.dir}, {Dir: r.dir, Selection: git.Selection{Range: first + ".." + c}}, {Dir: r.dir, Selection: git.Selection{Staged: true}}, {Dir: r.dir, Selection: git.Selection{Objects: git.Refs}}} {
		found, gaps := run(t, src)
		if !src.Staged && missing(found, 0, expectation{}) != "" {
			t.Errorf("%+v: not found, %v", src, gaps)
		}
	}
}

func TestASplitIndex(t *testing.T) {
	r := newRepo(t)
	for n := range 70 {
		r.write(fmt.Sprintf("f%02d.txt", n), "x\n")
	}
	r.commit("one")
	r.git("config", "core.splitIndex", "true")
	r.git("config", "splitIndex.maxPercentChange", "100")
	r.git("update-index", "--split-index")
	r.write("f10.txt", line(0))  // replaced
	r.write("g.txt", line(1))    // new
	r.git("rm", "-q", "f20.txt") // deleted
	r.git("add", "f10.txt", "g.txt")
	if list, _ := filepath.Glob(r.dir + "/.git/sharedindex.*"); len(list) == 0 {
		testenv.Missing(t, "a git that splits an index")
	}
	found, gaps := run(t, &git.Source{Dir: r.dir, Selection: git.Selection{Staged: true}})
	if len(found) != 2 || len(gaps) != 0 || missing(found, 0, expectation{path: "f10.txt"}) != "" || missing(found, 1, expectation{path: "g.txt"}) != "" {
		t.Errorf("%d findings, %v", len(found), gaps)
	}
	list, _ := filepath.Glob(r.dir + "/.git/sharedindex.*")
	for _, f := range list {
		must(t, os.Remove(f))
	}
	if _, gaps := run(t, &git.Source{Dir: r.dir, Selection: git.Selection{Staged: true}}); len(gaps) != 1 {
		t.Errorf("without its shared part: %v", gaps)
	}
}
