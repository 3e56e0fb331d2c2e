package git_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/scanners/git"
)

// history makes branches that merge into each other, with files that are added, moved, removed
// and added again.
func history(t *testing.T, r *repo, d *rand.Rand) (commits []string) {
	t.Helper()
	for step := range 40 {
		name := fmt.Sprintf("d%d/f%d.txt", d.IntN(3), d.IntN(4))
		switch d.IntN(10) {
		case 0:
			if len(commits) > 2 {
				r.git("checkout", "-q", "-B", fmt.Sprintf("b%d", d.IntN(3)), commits[d.IntN(len(commits))])
			}
		case 1:
			if len(commits) > 2 {
				r.git("merge", "-q", "-s", "ours", "--no-edit", commits[d.IntN(len(commits))])
			}
		case 2:
			_ = os.Rename(filepath.Join(r.dir, name), filepath.Join(r.dir, "moved.txt"))
		case 3:
			_ = os.Remove(filepath.Join(r.dir, name))
		default:
			r.write(name, fmt.Sprintf("step %d\n%s", step, strings.Repeat("line\n", d.IntN(50))))
		}
		commits = append(commits, r.commit(fmt.Sprintf("step %d", step)))
	}
	return commits
}

// The part of a range that a shallow or partial clone lacks is fetched, and nothing else: what
// is read must be git's own answer in the complete repository.
func TestRangeIsFetchedWhereItIsNotHere(t *testing.T) {
	for seed := range uint64(4) {
		d := rand.New(rand.NewPCG(11, seed))
		r := newRepo(t)
		commits := history(t, r, d)
		for k, c := range commits {
			r.git("update-ref", fmt.Sprintf("refs/keep/%d", k), c)
		}
		u := forge(t, filepath.Dir(r.dir), "", "")
		u.Path = "/" + filepath.Base(r.dir) + "/.git"
		for n := range 8 {
			a, b := commits[d.IntN(len(commits))], commits[d.IntN(len(commits))]
			out := r.git("rev-list", "--objects", "--no-object-names", b, "^"+a)
			var want []string
			for l := range strings.Lines(out) {
				o := strings.TrimSpace(l)
				if k := strings.TrimSpace(r.git("cat-file", "-t", o)); k != "tree" {
					want = append(want, k+" "+o)
				}
			}
			slices.Sort(want)
			kind := []string{"--depth=1", "--depth=3", "--filter=blob:none", "--depth=2 --filter=tree:0"}[n%4]
			clone := filepath.Join(t.TempDir(), "clone")
			at := []string{a, b}[n%2]
			r.git("branch", "-q", "-f", "at", at)
			r.git(append(append([]string{"-c", "protocol.file.allow=always", "clone", "-q", "--no-checkout", "-b", "at"}, strings.Fields(kind)...), u.String(), clone)...)
			src := &git.Source{Dir: clone, Upstream: &git.Remote{URL: u, Cache: t.TempDir(), Getenv: func(string) string { return "" }}, Selection: git.Selection{Range: a + ".." + b}}
			got := objects(t, src)
			// A scan of the complete repository may read more: a file that was added again.
			local := objects(t, &git.Source{Dir: r.dir, Selection: git.Selection{Range: a + ".." + b}})
			for _, o := range want {
				if !slices.Contains(got, o) && slices.Contains(local, o) {
					t.Errorf("seed %d, %s at %s, %s..%s: %s is not read", seed, kind, at, a, b, o)
				}
			}
			// git itself sometimes sends a file that only moved; never a commit.
			moved := r.git("rev-list", "--objects", "--no-object-names", a)
			for _, o := range got {
				h, blob := strings.CutPrefix(o, "blob ")
				if !slices.Contains(want, o) && !slices.Contains(local, o) && !(blob && strings.Contains(moved, h)) {
					t.Errorf("seed %d, %s at %s, %s..%s: %s is read", seed, kind, at, a, b, o)
				}
			}
			if list, _ := os.ReadDir(src.Upstream.Cache); len(list) != 0 {
				t.Errorf("%d folders are left of what was fetched", len(list))
			}
		}
	}
}

func TestRangeWithoutItsBase(t *testing.T) {
	r := newRepo(t)
	r.write("a.txt", line(0))
	r.commit("one")
	r.write("b.txt", line(1))
	tip := r.commit("two")
	u := forge(t, filepath.Dir(r.dir), "", "")
	u.Path = "/" + filepath.Base(r.dir) + "/.git"
	clone := filepath.Join(t.TempDir(), "clone")
	r.git("clone", "-q", "--depth=1", u.String(), clone)
	up := func(u *url.URL) *git.Remote {
		return &git.Remote{URL: u, Cache: t.TempDir(), Getenv: func(string) string { return "" }}
	}
	gone := strings.Repeat("ab", 20)
	src := &git.Source{Dir: clone, Upstream: up(u), Selection: git.Selection{Range: gone + ".." + tip}}
	if found, gaps, notices := runAll(t, src); len(found) != 2 || len(gaps) != 0 || len(notices) != 1 {
		t.Errorf("a base that is gone: %d findings, %v, %v", len(found), gaps, notices)
	}
	// A tip that exists nowhere, and an upstream that does not exist, are reported.
	for what, s := range map[string]*git.Source{
		"no such tip":      {Dir: clone, Selection: git.Selection{Range: tip + ".." + gone}, Upstream: up(u)},
		"no such upstream": {Dir: clone, Selection: git.Selection{Range: gone + ".." + tip}, Upstream: up(&url.URL{Scheme: "http", Host: u.Host, Path: "/none"})},
		"ssh":              {Dir: clone, Selection: git.Selection{Range: gone + ".." + tip}, Upstream: up(&url.URL{Scheme: "ssh", Host: u.Host, Path: "/none"})},
	} {
		if _, gaps := run(t, s); len(gaps) < 2 || !strings.Contains(gaps[len(gaps)-1].Error(), "fetch what is missing") {
			t.Errorf("%s: %v", what, gaps)
		}
	}
}

// A range excludes what any of several commits reaches.
func TestRangeWithMoreBases(t *testing.T) {
	r := newRepo(t)
	r.write("a.txt", "one")
	base := r.commit("base")
	r.git("checkout", "-q", "-b", "side")
	r.write("side.txt", line(0))
	side := r.commit("side")
	r.git("checkout", "-q", "main")
	r.write("main.txt", line(1))
	r.commit("main")
	r.git("merge", "-q", "--no-edit", side)
	if found, _ := run(t, &git.Source{Dir: r.dir, Selection: git.Selection{Range: base + "..main"}}); len(found) != 2 {
		t.Errorf("%d findings", len(found))
	}
	if found, _ := run(t, &git.Source{Dir: r.dir, Selection: git.Selection{Range: base + "..main", Not: []string{side}}}); len(found) != 1 {
		t.Errorf("without the side: %d findings", len(found))
	}
	if _, gaps := run(t, &git.Source{Dir: r.dir, Selection: git.Selection{Range: base + "..main", Not: []string{"none"}}}); len(gaps) != 1 {
		t.Errorf("without what is not there: %v", gaps)
	}
}

// A release is what its tag reaches and no earlier tag does; later tags, and others at the same
// commit, exclude nothing.
func TestRelease(t *testing.T) {
	r := newRepo(t)
	for k, tags := range [][]string{{"v0.1"}, nil, {"v1.0"}, nil, {"v1.1", "v1"}, nil, {"v2.0"}} {
		r.write(fmt.Sprintf("%d.txt", k), line(k))
		r.commit(fmt.Sprintf("step %d", k))
		for _, n := range tags {
			r.git("tag", "-a", n, "-m", n)
		}
	}
	u := forge(t, filepath.Dir(r.dir), "", "")
	u.Path = "/" + filepath.Base(r.dir) + "/.git"
	shallow := filepath.Join(t.TempDir(), "clone")
	r.git("clone", "-q", "--depth=1", "-b", "v1.1", u.String(), shallow)
	up := func() *git.Remote {
		return &git.Remote{URL: u, Cache: t.TempDir(), Getenv: func(string) string { return "" }}
	}
	for _, c := range []struct {
		dir, tag string
		up       *git.Remote
		want     string
		gaps     int
	}{
		{r.dir, "v1.1", nil, "3.txt 4.txt", 0},
		{r.dir, "v0.1", nil, "0.txt", 0},
		{r.dir, "v2.0", nil, "5.txt 6.txt", 0},
		{shallow, "v1.1", up(), "3.txt 4.txt", 0},
		{shallow, r.git("rev-parse", "v2.0^{}"), up(), "5.txt 6.txt", 0},
		{shallow, r.git("rev-parse", "v2.0"), up(), "5.txt 6.txt", 0},
		{shallow, "v1.1", nil, "0.txt 1.txt 2.txt 3.txt 4.txt", 1},
		{r.dir, "v9", nil, "", 1},
	} {
		src := &git.Source{Dir: c.dir, Upstream: c.up, Selection: git.Selection{Release: c.tag}}
		found, gaps := run(t, src)
		var got []string
		for _, f := range found {
			got = append(got, f.Location.Path)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != c.want || len(gaps) != c.gaps {
			t.Errorf("%s of %s: %v, %v", c.tag, filepath.Base(c.dir), got, gaps)
		}
	}
}
