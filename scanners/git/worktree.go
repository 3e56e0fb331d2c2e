package git

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/quellhq/quell/scanners"
)

// workFiles yields the files of the work tree that are in no object.
func (r *repo) workFiles(ctx context.Context, yield func(scanners.Artifact, error) bool) bool {
	if r.worktree == "" {
		return true
	}
	root, err := os.OpenRoot(r.worktree)
	if err != nil {
		return yield(scanners.Artifact{}, r.src.gap("work tree", err))
	}
	on := true
	_ = fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil || !on:
			return fs.SkipAll
		case err != nil:
			on = yield(scanners.Artifact{}, r.src.gap("work tree, "+p, err))
			return nil
		case d.IsDir() && p != "." && (d.Name() == ".git" || r.elsewhere(path.Join(p, ".git"))):
			return fs.SkipDir
		case !d.Type().IsRegular() || d.Name() == ".git":
			return nil
		}
		r.addPath(p, nil)
		if i, err := r.blobID(root, p); err == nil && r.has([]byte(i)) {
			return nil
		}
		l := r.location("work tree")
		l.Path = p
		on = yield(scanners.Artifact{Location: l, Open: func(context.Context) (io.ReadCloser, error) { return root.Open(p) }}, nil)
		return nil
	})
	return on
}

// elsewhere reports whether a folder belongs to another repository.
func (r *repo) elsewhere(dot string) bool {
	_, err := os.Lstat(filepath.Join(r.worktree, dot))
	return err == nil
}

// blobID is the id that git would give to the file's current content.
func (r *repo) blobID(root *os.Root, p string) (id, error) {
	f, err := root.Open(p)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	var h hash.Hash = sha1.New()
	if r.hashLen == sha256.Size {
		h = sha256.New()
	}
	fmt.Fprintf(h, "blob %d\x00", info.Size())
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return id(h.Sum(nil)), nil
}

// nested finds the repositories inside of one: the stores of its submodules, and those in its
// work tree.
func (s *session) nested(ctx context.Context, r *repo) iter.Seq2[string, string] {
	return func(yield func(name, dir string) bool) {
		on := true
		done := map[string]bool{}
		each := func(top, prefix string) {
			_ = filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
				if !on || ctx.Err() != nil {
					return fs.SkipAll
				}
				if err != nil || !d.IsDir() {
					return nil
				}
				if filepath.Clean(p) == filepath.Clean(r.dir) {
					return fs.SkipDir
				}
				// A store is recognised by this folder: most folders have none.
				if d.Name() != "objects" || !isStore(filepath.Dir(p)) {
					return nil
				}
				dir := filepath.Dir(p)
				rel, err := filepath.Rel(top, dir)
				if err != nil || rel == "." {
					return nil
				}
				if real, err := filepath.EvalSymlinks(dir); err == nil && !done[real] {
					done[real] = true
					on = yield(strings.TrimSuffix(path.Join(prefix, filepath.ToSlash(rel)), "/.git"), dir)
				}
				return fs.SkipDir
			})
		}
		each(filepath.Join(r.dir, "modules"), "modules")
		if r.worktree != "" && on {
			each(r.worktree, "")
		}
	}
}
