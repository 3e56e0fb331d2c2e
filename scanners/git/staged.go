package git

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/git/pack"
)

// chooseStaged selects what the index contains and HEAD does not.
func (r *repo) chooseStaged() error {
	x, err := r.readIndex(r.private)
	if r.src.Index != "" {
		x, err = r.readIndexOf(r.src.Index)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if _, ok := r.head(); !ok { // git init makes none: nothing is staged, and nothing was committed
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	for _, f := range x.folders {
		x.trees[strings.TrimSuffix(f.path, "/")] = f.id
	}
	r.want, r.origins = map[id]bool{}, map[id]origin{}
	committed := map[string]id{}
	// Only folders that the index has too matter, and everything below those that it names by
	// their trees: these end with a slash.
	dirs := map[string]bool{"": true}
	for _, f := range x.folders {
		dirs[strings.TrimSuffix(f.path, "/")+"/"] = true
	}
	for _, f := range slices.Concat(x.files, x.folders) {
		for dir := strings.TrimSuffix(f.path, "/"); !dirs[dir]; {
			dirs[dir] = true
			if dir = path.Dir(dir); dir == "." {
				break
			}
		}
	}
	if h, ok := r.head(); ok {
		if i, kind := r.tip(h); kind == pack.Commit {
			if _, b, err := r.get([]byte(i)); err == nil {
				r.flatten(parseCommit(i, b, r.hashLen).tree, "", x.trees, dirs, committed, 0)
			}
		}
	}
	for _, f := range x.files {
		if f.mode&0o170000 == 0o160000 || committed[f.path] == f.id || cachedAbove(committed, f.path) {
			continue
		}
		r.want[f.id] = true
		r.origins[f.id] = origin{path: f.path}
		r.addPath(f.path, &origin{})
	}
	for _, f := range x.folders {
		dir := strings.TrimSuffix(f.path, "/")
		if _, ok := committed[dir+"/"]; ok || cachedAbove(committed, dir) {
			continue
		}
		inside := map[string]id{}
		r.flatten(f.id, dir, nil, nil, inside, 0)
		if len(inside) >= maxFlat {
			return scanners.OfKind(scanners.GapLimitEntries, fmt.Errorf("folder %s holds more than %d files", dir, maxFlat))
		}
		for p, i := range inside {
			if committed[p] != i {
				r.want[i] = true
				r.origins[i] = origin{path: p}
				r.addPath(p, &origin{})
			}
		}
	}
	return nil
}

// readIndexOf reads the index that git passes to a hook: one in preparation, in the
// repository's own folder.
func (r *repo) readIndexOf(file string) (stagedIndex, error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return stagedIndex{}, err
	}
	if abs, err = filepath.EvalSymlinks(abs); err != nil {
		return stagedIndex{}, errors.New("the index that GIT_INDEX_FILE names is not there")
	}
	top, err := filepath.Abs(r.dir)
	if err == nil {
		top, err = filepath.EvalSymlinks(top)
	}
	rel, err2 := filepath.Rel(top, abs)
	if err != nil || err2 != nil || !filepath.IsLocal(rel) {
		return stagedIndex{}, errors.New("the index that GIT_INDEX_FILE names lies outside of the repository's folder")
	}
	return r.readIndexFile(filepath.ToSlash(rel))
}

// maxFlat limits the number of files below a folder that the index names as a whole: a few
// trees can contain more paths than could ever be checked out.
const maxFlat = 1 << 22

// flatten lists the files of a tree, except in folders that are unchanged by the index's cache
// of trees: their entry is the name with a slash. Folders that are not in dirs are left out,
// unless a parent folder is in dirs with a slash; dirs nil: none is left out.
func (r *repo) flatten(tree id, dir string, cached map[string]id, dirs map[string]bool, out map[string]id, depth int) {
	if len(out) >= maxFlat || dirs != nil && !dirs[dir] {
		return
	}
	if dirs[dir+"/"] {
		dirs = nil
	}
	if cached[dir] == tree && depth <= maxDepth {
		out[dir+"/"] = tree
		return
	}
	_, b, err := r.get([]byte(tree))
	if err != nil || depth > maxDepth {
		return
	}
	for _, e := range entries(b, r.hashLen) {
		p := path.Join(dir, e.name)
		if e.isTree() {
			r.flatten(e.id, p, cached, dirs, out, depth+1)
		} else {
			out[p] = e.id
		}
	}
}

// cachedAbove reports whether a file is in an unchanged folder.
func cachedAbove(committed map[string]id, file string) bool {
	for dir := path.Dir(file); ; dir = path.Dir(dir) {
		if dir == "." {
			_, ok := committed["/"]
			return ok
		}
		if _, ok := committed[dir+"/"]; ok {
			return true
		}
	}
}
