package git

import (
	"fmt"
	"path"

	"github.com/quellhq/quell/scanners/git/pack"
)

// chooseStaged finds what the index holds and HEAD does not.
func (r *repo) chooseStaged() error {
	x, err := r.readIndex(r.private)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	r.want, r.origins = map[id]bool{}, map[id]origin{}
	committed := map[string]id{}
	if h, ok := r.head(); ok {
		if i, kind := r.tip(h); kind == pack.Commit {
			if _, b, err := r.get([]byte(i)); err == nil {
				r.flatten(parseCommit(i, b, r.hashLen).tree, "", x.trees, committed, 0)
			}
		}
	}
	for _, f := range x.files {
		if f.mode&0o170000 == 0o160000 || committed[f.path] == f.id || cachedAbove(committed, f.path) {
			continue
		}
		r.want[f.id] = true
		r.origins[f.id] = origin{path: f.path}
	}
	return nil
}

// flatten lists the files of a tree, but not of folders of which the index
// remembers that they are as they were: those are marked by their name and a slash.
func (r *repo) flatten(tree id, dir string, cached map[string]id, out map[string]id, depth int) {
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
			r.flatten(e.id, p, cached, out, depth+1)
		} else {
			out[p] = e.id
		}
	}
}

// cachedAbove reports whether a file lies in a folder that is as it was.
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
