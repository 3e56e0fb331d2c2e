// Package git is the source for repositories. It reads every object in the store rather than
// diffs, so that it also finds what a merge, an amend, a reset or a stash left there. It runs
// no program of the repository and does not apply its configuration.
package git

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

var (
	errNotFolder    = errors.New("not a folder")
	errNoRepository = errors.New("not a git repository")
	errElsewhere    = errors.New(".git names a repository elsewhere; scan that by its own path")
	errUnknownTree  = errors.New("the repository that .git names does not know this work tree")
)

// Objects selects the objects to read.
type Objects string

const (
	All       Objects = "all"       // all in the store, reachable or not
	Reachable Objects = "reachable" // from refs, HEADs, reflogs and indexes
	Refs      Objects = "refs"      // from refs and HEADs
)

// Source yields the objects of the repository at Dir, or of a bundle.
type Source struct {
	Dir string
	Selection
	// Upstream has the objects that a range needs and a shallow or partial clone lacks: only
	// these are fetched, into its Cache, for as long as the source is open. nil: they are
	// reported as missing.
	Upstream *Remote
	// Remote is fetched first, and its copy is read in place of Dir.
	Remote *Remote
	// Memory records which objects were read completely, so that the next scan of all objects
	// reads only new ones; nil: nothing is recorded.
	Memory scanners.Memory
}

// Selection is the part of a repository that is read. The zero value selects all that its store has.
type Selection struct {
	Objects Objects // empty: All
	// Range is "A..B": what B reaches and A does not.
	Range string
	// Not are more commits whose history a range leaves out.
	Not []string
	// Release is a tag or a commit. Its range begins at the preceding tags.
	Release string
	// Since is the committer's date from which commits count; zero: all commits.
	Since time.Time
	// Branch is the only branch to read.
	Branch string
	// Staged selects only what the index contains and HEAD does not.
	Staged bool
	// Index is the file that Staged reads in place of the work tree's index: while git commit
	// -a runs its hook, another file has what will be committed.
	Index string
	// Worktree adds the files of the work tree that are in no object.
	Worktree bool
}

// Open implements scanners.Source.
func (s *Source) Open(context.Context) (scanners.Session, error) {
	return &session{Source: s}, nil
}

// session is one reading of a Source.
type session struct {
	*Source
	scanners.Idle

	repos   *repoList
	fetched []string // folders of what the upstream sent
	notices []string
}

// repo is one of the repositories to read: the named one, or one of the submodules and nested
// repositories in it.
type repo struct {
	*repository
	src  *session
	name string // its path in the named repository; empty: the named one
	// want are the requested objects; nil: all.
	want map[id]bool
	// origins is where they come from, in modes in which this is known beforehand.
	origins map[id]origin

	mu      sync.Mutex
	bad     map[string]*trouble // by what is wrong
	lfs     map[string]id       // pointers: the large file's name -> the blob
	matched map[id]bool         // objects with findings, or not readable
	memory  memory
	names   *names
	links   *links
	ends    map[id]bool // commits at which a shallow clone ends
	history *graph      // its commits, once an attribution has read them
	// promised is how many objects trees name that are not here, once they were counted.
	promised *int

	complete bool // all relevant commits were fetched: a shallow boundary does not count
}

// origin is where an object comes from.
type origin struct {
	commit commit
	path   string
}

// trouble counts objects that can't be read for one reason.
type trouble struct {
	n     int
	first string
	err   error
}

// Artifacts implements scanners.Session.
func (s *session) Artifacts(ctx context.Context) iter.Seq2[scanners.Artifact, error] {
	return func(yield func(scanners.Artifact, error) bool) {
		if err := s.Check(); err != nil {
			yield(scanners.Artifact{}, s.gap("", err))
			return
		}
		dir := s.Dir
		if s.Remote != nil {
			var err error
			if dir, err = s.Remote.Fetch(ctx); err != nil {
				yield(scanners.Artifact{}, s.gap("fetch", err))
				return
			}
		}
		if info, err := os.Stat(dir); err == nil && info.Mode().IsRegular() {
			s.bundle(dir, yield)
			return
		}
		first, err := s.open(dir, "")
		if err != nil {
			yield(scanners.Artifact{}, s.gap("", err))
			return
		}
		if !first.artifacts(ctx, yield) || s.partly() {
			return
		}
		for name, dir := range s.nested(ctx, first) {
			r, err := s.open(dir, name)
			if err != nil {
				if !yield(scanners.Artifact{}, s.gap("nested repository "+name, err)) {
					return
				}
				continue
			}
			if !r.artifacts(ctx, yield) {
				return
			}
		}
	}
}

// partly reports whether only some of the objects are requested.
func (s *session) partly() bool {
	return s.ranged() || s.Staged || s.Branch != "" || !s.Since.IsZero()
}

// ranged reports whether a list of commits is requested.
func (s *session) ranged() bool { return s.Range != "" || s.Release != "" }

// Check returns an error if the options contradict each other; it reads nothing.
func (s *Source) Check() error {
	switch s.Objects {
	case "", All, Reachable, Refs:
	default:
		return fmt.Errorf("objects %q: all, reachable or refs", s.Objects)
	}
	if s.Range != "" {
		if from, to, ok := strings.Cut(s.Range, ".."); !ok || strings.HasPrefix(to, ".") || from == "" && to == "" {
			return fmt.Errorf("range %q: it is written A..B, what B reaches and A does not", s.Range)
		}
	}
	modes := 0
	for _, on := range []bool{s.Range != "", s.Release != "", s.Staged, s.Branch != "", !s.Since.IsZero(), s.Objects != "" && s.Objects != All} {
		if on {
			modes++
		}
	}
	if modes > 1 && !(modes == 2 && s.Branch != "" && !s.Since.IsZero()) {
		return errors.New("one of a range, a release, what is staged, a branch, a date or a choice of objects at a time")
	}
	return nil
}

func (s *session) open(dir, name string) (*repo, error) {
	x, err := openRepository(dir)
	if err != nil {
		return nil, err
	}
	r := s.add(x)
	r.name = name
	return r, nil
}

// repoList is the list of opened repositories. The scan opens nested repositories while it
// already reports findings of the first one.
type repoList struct {
	mu   sync.Mutex
	list []*repo
}

// all may be called before a repository was opened.
func (l *repoList) all() []*repo {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.list)
}

// add adds a repository to those to read. The goroutine that yields artifacts calls it, the
// first time before it yields any.
func (s *session) add(x *repository) *repo {
	r := &repo{repository: x, src: s, bad: map[string]*trouble{}, lfs: map[string]id{}, matched: map[id]bool{}, names: newNames()}
	r.links = newLinks(r)
	if s.repos == nil {
		s.repos = &repoList{}
	}
	s.repos.mu.Lock()
	defer s.repos.mu.Unlock()
	s.repos.list = append(s.repos.list, r)
	return r
}

func (s *session) gap(artifact string, err error) error {
	return scanners.Gap{Location: rules.Location{Source: "git", Path: filepath.ToSlash(s.Dir), Artifact: artifact}, Reason: artifact, Err: err}
}

// location is the location of an artifact of the repository.
func (r *repo) location(artifact string) rules.Location {
	l := rules.Location{Source: "git", Artifact: artifact}
	if r.name != "" {
		l.Notes = map[string]string{"repository": r.name}
	}
	return l
}

// Matched implements scanners.Session.
func (s *session) Matched(at rules.Location) {
	if r := s.repoOf(at); r != nil {
		if k, ok := batchOf(at.Artifact); ok {
			r.names.hit(k)
			return
		}
		i, ok := objectOf(at, r.hashLen)
		if !ok && !strings.HasPrefix(at.Artifact, "pack ") && at.Artifact != "loose objects" {
			return // a file of the store, which is read each time
		}
		// Without an object it is a pack that was not read completely, and it is unknown which
		// of its objects were read.
		r.mu.Lock()
		r.matched[i] = true
		r.mu.Unlock()
	}
}

func (s *session) repoOf(at rules.Location) *repo {
	for _, r := range s.repos.all() {
		if r.name == at.Notes["repository"] {
			return r
		}
	}
	return nil
}

// objectOf is the object that contains a finding.
func objectOf(at rules.Location, hashLen int) (id, bool) {
	_, h, ok := strings.Cut(at.Artifact, " ")
	if !ok {
		return "", false
	}
	return parseID(h, hashLen)
}

// Finish implements scanners.Session: it reports unreadable objects once for each reason, and
// records which objects were read.
func (s *session) Finish(ctx context.Context, gap func(scanners.Gap)) {
	for _, r := range s.repos.all() {
		r.mu.Lock()
		for _, why := range slices.Sorted(maps.Keys(r.bad)) {
			t := r.bad[why]
			what := fmt.Sprintf("object %s", t.first)
			if t.n > 1 {
				what = fmt.Sprintf("%d objects, %s the first", t.n, t.first)
			} else if t.first == "" {
				what = "pack"
			}
			gap(scanners.Gap{Location: r.location(what), Reason: what, Err: t.err, Count: int64(t.n)})
		}
		r.mu.Unlock()
		for _, g := range slices.Concat(r.takeProblems(), r.links.lost(), r.absent(ctx)) {
			gap(scanners.Gap{Location: r.location(g.what), Reason: g.what, Err: g.err})
		}
		if ctx.Err() == nil {
			r.keep(ctx)
		}
	}
}

// Close closes the files.
func (s *session) Close() {
	for _, r := range s.repos.all() {
		r.close()
	}
	s.repos = nil
	for _, dir := range s.fetched {
		_ = os.RemoveAll(dir)
	}
	s.fetched = nil
}

func (s *session) notice(text string) { s.notices = append(s.notices, text) }

// Notices are remarks about the result that are not gaps.
func (s *session) Notices() []string { return s.notices }
