package git_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/testenv"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
	"github.com/quellhq/quell/scanners/detect"
	"github.com/quellhq/quell/scanners/git"
)

// repo is a repository made by the git program.
type repo struct {
	t   *testing.T
	dir string
	n   int
}

func newRepo(t *testing.T, args ...string) *repo {
	testenv.Need(t, "git")
	r := &repo{t: t, dir: t.TempDir()}
	r.git(append([]string{"init", "-q", "-b", "main"}, args...)...)
	return r
}

func (r *repo) git(args ...string) string {
	r.t.Helper()
	r.n++
	c := exec.Command("git", args...)
	c.Dir = r.dir
	date := fmt.Sprintf("2026-01-01T00:%02d:%02dZ", r.n/60%60, r.n%60)
	c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_AUTHOR_NAME=Alice", "GIT_AUTHOR_EMAIL=a@example.com",
		"GIT_COMMITTER_NAME=Alice", "GIT_COMMITTER_EMAIL=a@example.com", "GIT_AUTHOR_DATE="+date, "GIT_COMMITTER_DATE="+date)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		r.t.Fatalf("git %v: %v %s", args, err, errs.String())
	}
	return strings.TrimSpace(out.String())
}

func (r *repo) write(name, text string) {
	r.t.Helper()
	p := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *repo) commit(message string) string {
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "-m", message)
	return r.git("rev-parse", "HEAD")
}

// secret makes the nth session cookie: 32 characters, different for each n.
func secret(n int) string {
	return strings.Map(func(c rune) rune {
		const a = "0123456789abcdefghijklmnopqrstuvwxyz"
		i := strings.IndexRune(a, c)
		return rune(a[(i*7+n*11+5)%36])
	}, "0123456789abcdefghijklmnopqrstuv")
}

func line(n int) string { return "x\nCookie: sessionid=" + secret(n) + "\n" }

// opened opens a session of src.
func opened(t testing.TB, src scanners.Source) scanners.Session {
	t.Helper()
	s, err := src.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// scan returns the findings by secret, attributed, and the gaps.
func scan(t *testing.T, dir string) (map[string]rules.Finding, []scanners.Gap) {
	t.Helper()
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	src := opened(t, &git.Source{Dir: dir})
	defer src.Close()
	var mu sync.Mutex
	var found []*rules.Finding
	var gaps []scanners.Gap
	p := scanners.Pool{Detector: detect.New(set)}
	if _, err := p.Read(t.Context(), src, func(f rules.Finding) { mu.Lock(); found = append(found, &f); mu.Unlock() }, func(g scanners.Gap) { mu.Lock(); gaps = append(gaps, g); mu.Unlock() }); err != nil {
		t.Fatal(err)
	}
	if err := src.Attribute(t.Context(), found); err != nil {
		t.Fatal(err)
	}
	out := map[string]rules.Finding{}
	for _, f := range found {
		if strings.HasPrefix(f.Location.Artifact, "reflog") || f.Location.Artifact == "COMMIT_EDITMSG" {
			continue // they quote the messages of commits
		}
		if _, dup := out[f.Secret.Reveal()]; dup {
			t.Errorf("%s is found twice", f.Location.Artifact)
		}
		out[f.Secret.Reveal()] = *f
	}
	return out, gaps
}

// objects lists the objects that a source reads, sorted.
func objects(t *testing.T, source *git.Source) (out []string) {
	t.Helper()
	src := opened(t, source)
	defer src.Close()
	for a, err := range src.Artifacts(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if a.Parts == nil {
			continue
		}
		err := a.Parts(t.Context(), func(a scanners.Artifact, b io.Reader) error {
			if !strings.HasPrefix(a.Location.Artifact, "names ") {
				out = append(out, a.Location.Artifact)
			}
			_, err := io.Copy(io.Discard, b)
			return err
		}, func(g scanners.Gap) { t.Error(g) })
		if err != nil {
			t.Fatal(err)
		}
	}
	src.Finish(t.Context(), func(g scanners.Gap) { t.Error(g) })
	slices.Sort(out)
	return out
}

// The scanned objects must be those that git itself lists.
func TestObjectsEqualGits(t *testing.T) {
	r := newRepo(t)
	for i := range 30 {
		r.write(fmt.Sprintf("d%d/f%d.txt", i%5, i), strings.Repeat(fmt.Sprintf("line %d\n", i), 50+i))
		r.commit(fmt.Sprintf("commit %d", i))
		if i == 20 {
			r.git("gc", "-q")
		}
	}
	var want []string
	for _, l := range strings.Split(r.git("cat-file", "--batch-all-objects", "--batch-check"), "\n") {
		if f := strings.Fields(l); f[1] != "tree" {
			want = append(want, f[1]+" "+f[0])
		}
	}
	got := objects(t, &git.Source{Dir: r.dir})
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d objects, git has %d", len(got), len(want))
	}
}

// A truncated pack is reported as an error for what it lacks; the rest is scanned.
func TestTruncatedPack(t *testing.T) {
	r := newRepo(t)
	r.write("a.txt", line(0))
	r.commit("one")
	r.git("repack", "-q", "-a", "-d")
	r.write("big.txt", strings.Repeat(secretless(), 4000))
	r.write("b.txt", line(1))
	r.commit("two")
	r.git("repack", "-q", "-d")
	packs, _ := filepath.Glob(filepath.Join(r.dir, ".git/objects/pack/*.pack"))
	if len(packs) != 2 {
		t.Fatalf("%d packs", len(packs))
	}
	r.write("c.txt", line(2))
	r.commit("three, loose")
	for _, p := range packs {
		if err := os.Chmod(p, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	info, _ := os.Stat(packs[0])
	if err := os.Truncate(packs[0], info.Size()/2); err != nil {
		t.Fatal(err)
	}
	found, gaps := scan(t, r.dir)
	if len(gaps) == 0 {
		t.Error("nothing is said of the cut pack")
	}
	if _, ok := found[secret(2)]; !ok {
		t.Error("the loose objects were not scanned")
	}
	_, a := found[secret(0)]
	_, b := found[secret(1)]
	if !a && !b {
		t.Error("the whole pack was not scanned")
	}
	// A damaged index, and a missing one.
	idx := strings.TrimSuffix(packs[1], ".pack") + ".idx"
	_ = os.Chmod(idx, 0o644)
	if err := os.WriteFile(idx, []byte("\xfftOc\x00\x00\x00\x02garbage"), 0o644); err != nil {
		t.Fatal(err)
	}
	if found, gaps = scan(t, r.dir); len(gaps) == 0 || len(found) == 0 {
		t.Errorf("a damaged index: %d findings, %d gaps", len(found), len(gaps))
	}
}

func secretless() string { return "a line of text without anything\n" }

func TestShallowIsReported(t *testing.T) {
	r := newRepo(t)
	r.write("a.txt", line(0))
	r.commit("one")
	r.write("a.txt", "x\n")
	r.commit("two")
	d := filepath.Join(t.TempDir(), "shallow")
	r.git("clone", "-q", "--depth=1", "file://"+r.dir, d)
	_, gaps := scan(t, d)
	if len(gaps) != 1 || !strings.Contains(gaps[0].Error(), "shallow") {
		t.Errorf("gaps: %v", gaps)
	}
}

func TestBareLinkedAndNone(t *testing.T) {
	r := newRepo(t)
	r.write("a.txt", line(0))
	r.commit("one")
	bare, linked := filepath.Join(t.TempDir(), "bare"), filepath.Join(t.TempDir(), "linked")
	r.git("clone", "-q", "--bare", r.dir, bare)
	r.git("worktree", "add", "-q", linked)
	for _, d := range []string{bare, linked} {
		if found, gaps := scan(t, d); len(found) != 1 || len(gaps) != 0 {
			t.Errorf("%s: %d findings, %v", filepath.Base(d), len(found), gaps)
		}
	}
	if _, gaps := scan(t, t.TempDir()); len(gaps) != 1 || !strings.Contains(gaps[0].Error(), "not a git repository") {
		t.Errorf("%v", gaps)
	}
}

// A .git file of a hostile tree must not lead the scan into another repository of the machine.
func TestGitFileThatPointsElsewhere(t *testing.T) {
	r := newRepo(t)
	r.write("a.txt", line(0))
	r.commit("one")
	linked := filepath.Join(t.TempDir(), "linked")
	r.git("worktree", "add", "-q", linked)
	for name, to := range map[string]string{"a repository": filepath.Join(r.dir, ".git"), "somebody's work tree": filepath.Join(r.dir, ".git/worktrees/linked")} {
		d := t.TempDir()
		if err := os.WriteFile(filepath.Join(d, ".git"), []byte("gitdir: "+to+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if found, gaps := scan(t, d); len(found) != 0 || len(gaps) != 1 {
			t.Errorf("%s: %d findings, %v", name, len(found), gaps)
		}
	}
}

// A finding in an archive in a blob has the member's name after the path.
func TestOpenedBlobsKeepTheirPath(t *testing.T) {
	r := newRepo(t)
	db, err := sql.Open("sqlite", filepath.Join(r.dir, "cookies.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, q := range []string{"CREATE TABLE log (line TEXT)", "INSERT INTO log VALUES ('" + strings.TrimSpace(line(1)) + "')"} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	commit := r.commit("x")
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	src := opened(t, &git.Source{Dir: r.dir})
	defer src.Close()
	p := scanners.Pool{Detector: detect.New(set), Workers: 1, Unpacker: archive.New(archive.DefaultLimits)}
	var found []*rules.Finding
	if _, err := p.Read(t.Context(), src, func(f rules.Finding) { found = append(found, &f) }, func(g scanners.Gap) { t.Error(g) }); err != nil {
		t.Fatal(err)
	}
	if err := src.Attribute(t.Context(), found); err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range found {
		paths = append(paths, f.Location.Path)
		if f.Location.Commit != commit {
			t.Errorf("%+v", f)
		}
	}
	if !slices.Contains(paths, "cookies.sqlite!rows") {
		t.Errorf("%q", paths)
	}
}
