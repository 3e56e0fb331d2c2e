package git

import (
	"io/fs"
	"path"
	"strings"
)

// readElsewhere reports files and folders of a store that other code reads: object stores,
// names, reflogs, other repositories, large files, and indexes.
func readElsewhere(p string) bool {
	switch p {
	case "objects", "refs", "logs", "reftable", "modules", "lfs/objects", "worktrees", "index":
		return true
	}
	return strings.HasPrefix(p, "sharedindex.")
}

// plainFiles are the files of the store with other content than objects: the configuration with
// its remotes' URLs and headers, hooks, messages of unfinished work, and any file that a user
// has put there, also among the objects.
func (r *repo) plainFiles() (out []string) {
	if r.bundle != nil {
		return nil
	}
	for _, dir := range r.heads() {
		r.plainBelow(dir, func(p string) bool { return readElsewhere(strings.TrimPrefix(p, dir+"/")) }, &out)
	}
	r.plainBelow("objects", r.isObject, &out)
	return out
}

// isObject reports what belongs in the folder of objects: either other code reads its format,
// or it contains only ids and numbers.
func (r *repo) isObject(p string) bool {
	rest := strings.TrimPrefix(p, "objects/")
	dir, name := path.Split(rest)
	switch dir {
	case "info/":
		return name == "packs" || name == "commit-graph" || name == "alternates"
	case "info/commit-graphs/":
		return true
	case "pack/":
		for _, ext := range []string{".pack", ".idx", ".rev", ".bitmap", ".mtimes", ".midx", ".promisor"} {
			if strings.HasSuffix(name, ext) {
				return true
			}
		}
		return name == "multi-pack-index" || strings.HasPrefix(name, "multi-pack-index-") || strings.HasPrefix(name, "tmp_pack_")
	case "pack/multi-pack-index.d/":
		return true
	}
	_, loose := parseID(strings.ReplaceAll(rest, "/", ""), r.hashLen)
	return loose && len(dir) == 3
}

// plainBelow adds the regular files below dir, except those for which skip is true, and except
// everything below a folder for which skip is true.
func (r *repo) plainBelow(dir string, skip func(p string) bool, out *[]string) {
	for _, e := range r.list(dir) {
		p := path.Join(dir, e.Name())
		switch {
		case skip(p):
		case e.IsDir():
			r.plainBelow(p, skip, out)
		case e.Type().IsRegular():
			*out = append(*out, p)
		case e.Type()&fs.ModeSymlink != 0:
			// A link within the store is read at its target.
			if f, err := r.Open(p); err != nil {
				r.problem(p, err)
			} else {
				_ = f.Close()
			}
		}
	}
}
