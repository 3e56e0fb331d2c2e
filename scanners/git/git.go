// Package git is the source for repositories: every object in the store, not
// diffs, so that what a merge, an amend, a reset or a stash left behind is
// seen. Nothing of the repository is run, and its configuration is not obeyed.
package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

// MaxObject is the largest object that is read, in bytes: go-git inflates an
// object of a pack in memory.
const MaxObject = 1 << 30

// Source yields the objects of the repository at Dir.
type Source struct {
	Dir string

	// go-git's store is not safe for concurrent reads of one pack.
	mu      sync.Mutex
	store   *filesystem.Storage
	gitDir  string
	commits []plumbing.Hash
}

// Artifacts implements scanners.Source.
func (s *Source) Artifacts(ctx context.Context) iter.Seq2[scanners.Artifact, error] {
	return func(yield func(scanners.Artifact, error) bool) {
		dir, err := FindDir(s.Dir)
		if err != nil {
			yield(scanners.Artifact{}, s.gap("", err))
			return
		}
		s.gitDir = dir
		s.store = filesystem.NewStorageWithOptions(osfs.New(dir), cache.NewObjectLRU(cache.DefaultMaxSize), filesystem.Options{ExclusiveAccess: true, KeepDescriptors: true})
		if !s.notes(yield) {
			return
		}
		for h, err := range s.hashes() {
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				if !yield(scanners.Artifact{}, err) {
					return
				}
				continue
			}
			a, ok, err := s.object(h)
			if err != nil {
				err = s.gap("object "+h.String(), err)
			} else if !ok {
				continue
			}
			if !yield(a, err) {
				return
			}
		}
		for _, a := range s.files() {
			if !yield(a, nil) {
				return
			}
		}
	}
}

func (s *Source) gap(artifact string, err error) error {
	return scanners.Gap{Location: rules.Location{Source: "git", Path: filepath.ToSlash(s.Dir), Artifact: artifact}, Reason: artifact, Err: err}
}

// notes tells what the store can't hold.
func (s *Source) notes(yield func(scanners.Artifact, error) bool) bool {
	if b, err := os.ReadFile(filepath.Join(s.gitDir, "shallow")); err == nil && len(bytes.TrimSpace(b)) > 0 {
		return yield(scanners.Artifact{}, s.gap("shallow clone", fmt.Errorf("history before %d boundary commits is not here", bytes.Count(b, []byte("\n")))))
	}
	return true
}

// FindDir finds the store of a repository: a bare one, a work tree's .git
// folder, or where a linked work tree's .git file points, as long as that is a
// repository of git's own making.
func FindDir(dir string) (string, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return "", errors.Unwrap(err)
	}
	if !info.IsDir() {
		return "", errors.New("not a folder")
	}
	if isStore(dir) {
		return dir, nil
	}
	dot := filepath.Join(dir, ".git")
	if isStore(dot) {
		return dot, nil
	}
	b, err := os.ReadFile(dot)
	if err != nil {
		return "", errors.New("not a git repository")
	}
	rest, ok := strings.CutPrefix(strings.TrimSpace(string(b)), "gitdir: ")
	if !ok {
		return "", errors.New("not a git repository")
	}
	relative := !filepath.IsAbs(rest)
	if relative {
		rest = filepath.Join(dir, rest)
	}
	// A .git file in a hostile tree could name any repository of this machine:
	// a linked work tree is one only if its repository names it too, and a
	// submodule's store is named relative to it.
	c, err := os.ReadFile(filepath.Join(rest, "commondir"))
	switch back, err2 := os.ReadFile(filepath.Join(rest, "gitdir")); {
	case err == nil && (err2 != nil || !same(strings.TrimSpace(string(back)), dot)):
		return "", errors.New("the repository that .git names does not know this work tree")
	case err == nil:
		rest = filepath.Join(rest, strings.TrimSpace(string(c)))
	case !relative:
		return "", errors.New(".git names a repository elsewhere; scan that by its own path")
	}
	if !isStore(rest) {
		return "", errors.New("not a git repository")
	}
	return rest, nil
}

func same(a, b string) bool {
	x, err := os.Stat(a)
	y, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(x, y)
}

func isStore(dir string) bool {
	objects, err := os.Stat(filepath.Join(dir, "objects"))
	if err != nil || !objects.IsDir() {
		return false
	}
	_, err = os.Stat(filepath.Join(dir, "HEAD"))
	return err == nil
}

// hashes lists every object once: the loose ones, then each pack's.
func (s *Source) hashes() iter.Seq2[plumbing.Hash, error] {
	return func(yield func(plumbing.Hash, error) bool) {
		seen := map[plumbing.Hash]bool{}
		var loose []plumbing.Hash
		err := s.store.ForEachObjectHash(func(h plumbing.Hash) error {
			loose = append(loose, h)
			return nil
		})
		if err != nil && !yield(plumbing.ZeroHash, s.gap("loose objects", err)) {
			return
		}
		for _, h := range loose {
			seen[h] = true
			if !yield(h, nil) {
				return
			}
		}
		packs, err := filepath.Glob(filepath.Join(s.gitDir, "objects", "pack", "*.pack"))
		if err != nil {
			yield(plumbing.ZeroHash, s.gap("packs", err))
			return
		}
		for _, p := range packs {
			idx, err := index(strings.TrimSuffix(p, ".pack") + ".idx")
			if err != nil {
				if !yield(plumbing.ZeroHash, s.gap("pack "+filepath.Base(p), err)) {
					return
				}
				continue
			}
			entries, err := idx.EntriesByOffset()
			if err != nil {
				if !yield(plumbing.ZeroHash, s.gap("pack "+filepath.Base(p), err)) {
					return
				}
				continue
			}
			for {
				e, err := entries.Next()
				if err != nil {
					break
				}
				if seen[e.Hash] {
					continue
				}
				seen[e.Hash] = true
				if !yield(e.Hash, nil) {
					return
				}
			}
		}
	}
}

func index(path string) (idx *idxfile.MemoryIndex, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.New("has no index")
	}
	defer f.Close()
	// go-git's decoder trusts the counts of the file.
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("damaged index")
		}
	}()
	idx = idxfile.NewMemoryIndex()
	if err := idxfile.NewDecoder(f).Decode(idx); err != nil {
		return nil, fmt.Errorf("damaged index: %w", err)
	}
	return idx, nil
}

// object makes an artifact of a blob, a commit or a tag. Trees hold names only.
func (s *Source) object(h plumbing.Hash) (scanners.Artifact, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.read(h)
	if err != nil {
		return scanners.Artifact{}, false, err
	}
	loc := rules.Location{Source: "git", Artifact: o.Type().String() + " " + h.String()}
	switch o.Type() {
	case plumbing.TreeObject:
		return scanners.Artifact{}, false, nil
	case plumbing.CommitObject:
		loc.Commit = h.String()
		s.commits = append(s.commits, h)
	}
	if o.Size() > MaxObject {
		return scanners.Artifact{}, false, fmt.Errorf("%d bytes: larger than the budget of one object", o.Size())
	}
	r, err := o.Reader()
	if err != nil {
		return scanners.Artifact{}, false, err
	}
	b, err := io.ReadAll(r)
	_ = r.Close()
	if err != nil {
		return scanners.Artifact{}, false, err
	}
	return scanners.Artifact{Location: loc, Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }}, true, nil
}

// read gets an object; go-git panics on some damaged ones.
func (s *Source) read(h plumbing.Hash) (o plumbing.EncodedObject, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("damaged object")
		}
	}()
	return s.store.EncodedObject(plumbing.AnyObject, h)
}

// files are the plain files of the store that hold what objects don't: the
// reflogs' messages, and the configuration with its remotes' URLs and headers.
func (s *Source) files() []scanners.Artifact {
	var out []scanners.Artifact
	add := func(path, what string) {
		out = append(out, scanners.Artifact{
			Location: rules.Location{Source: "git", Artifact: what},
			Open:     func(context.Context) (io.ReadCloser, error) { return os.Open(path) },
		})
	}
	for _, name := range []string{"config", "FETCH_HEAD", "packed-refs", "description"} {
		if info, err := os.Lstat(filepath.Join(s.gitDir, name)); err == nil && info.Mode().IsRegular() {
			add(filepath.Join(s.gitDir, name), name)
		}
	}
	logs := filepath.Join(s.gitDir, "logs")
	_ = filepath.WalkDir(logs, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			rel, _ := filepath.Rel(logs, path)
			add(path, "reflog "+filepath.ToSlash(rel))
		}
		return nil
	})
	return out
}
