package git

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// ref is a name of an object.
type ref struct {
	name string
	id   id
}

// reflogEntry is an entry of a reflog: a ref pointed to new after message.
type reflogEntry struct {
	name string // HEAD@{3}
	id   id
	old  id
}

// repository is a store together with its refs.
type repository struct {
	*store
	worktree string // the work tree's folder, empty for a bare one
	private  string // what is this work tree's own, below the store: "." or worktrees/NAME
	known    func() []ref
}

// openRepository opens dir: a bare repository, a work tree, or a linked work tree.
func openRepository(dir string) (*repository, error) {
	f, err := find(dir)
	if err != nil {
		return nil, err
	}
	allowed := dir
	if f.worktree == "" || !inside(f.common, dir) {
		allowed = f.common
	}
	s, err := openStore(f.common, allowed)
	if err != nil {
		return nil, err
	}
	r := &repository{store: s, worktree: f.worktree, private: f.private}
	r.known = sync.OnceValue(r.readRefs)
	return r, nil
}

// heads are the folders that have a HEAD of their own: the main work tree's, and those of the
// linked ones.
func (r *repository) heads() []string {
	out := []string{"."}
	for _, e := range r.list("worktrees") {
		if e.IsDir() {
			out = append(out, path.Join("worktrees", e.Name()))
		}
	}
	return out
}

// pseudo are the refs that git keeps next to HEAD while it works.
var pseudo = []string{"HEAD", "ORIG_HEAD", "FETCH_HEAD", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "REBASE_HEAD", "BISECT_HEAD", "AUTO_MERGE"}

// maxRefFile limits how many bytes of one file of refs are read.
const maxRefFile = 256 << 20

// maxRef limits how many bytes of one ref are read.
const maxRef = 4 << 10

// refs lists all names of objects, by name: branches, tags, remote branches, notes, the stash,
// and what HEAD and similar refs point to, each with its usual name. It reads them once;
// callers must not change the list.
func (r *repository) refs() []ref {
	if r.known == nil {
		return r.readRefs()
	}
	return r.known()
}

func (r *repository) readRefs() []ref {
	if r.bundle != nil {
		return bundleRefs(r.bundle)
	}
	byName, syms := map[string]id{}, map[string]string{}
	if b, err := r.readFile("packed-refs", maxRefFile); err != nil {
		r.problem("packed-refs", err)
	} else {
		for line := range strings.Lines(string(b)) {
			h, name, ok := strings.Cut(strings.TrimSpace(line), " ")
			if i, good := parseID(h, r.hashLen); ok && good {
				byName[name] = i
			}
		}
	}
	for _, dir := range r.heads() {
		top := path.Join(dir, "refs")
		if t, err := r.reftable(path.Join(dir, "reftable")); err == nil || len(t.refs) > 0 {
			for name, i := range t.refs {
				byName[own(dir, name)] = i
			}
			for name, to := range t.syms {
				syms[own(dir, name)] = to
			}
		}
		_ = fs.WalkDir(r.root.FS(), top, func(p string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				r.problem(p, err)
				return nil
			case d.Type()&fs.ModeSymlink != 0:
				// Old versions of git wrote symbolic refs as links.
				if _, err := r.root.Stat(p); err != nil {
					r.problem(p, err)
				}
			case d.IsDir():
				return nil
			}
			b, err := r.readFile(p, maxRef)
			if err != nil {
				r.problem(p, err)
			} else {
				if i, ok := parseID(strings.TrimSpace(string(b)), r.hashLen); ok {
					byName[own(dir, strings.TrimPrefix(p, strings.TrimPrefix(dir+"/", "./")))] = i
				}
			}
			return nil
		})
	}
	var out []ref
	for name, i := range byName {
		out = append(out, ref{name, i})
	}
	for name, to := range syms {
		if i, ok := byName[to]; ok {
			out = append(out, ref{name, i})
		}
	}
	for _, dir := range r.heads() {
		for _, name := range pseudo {
			b, err := r.readFile(path.Join(dir, name), maxRefFile)
			if err != nil {
				r.problem(path.Join(dir, name), err)
				continue
			}
			for line := range strings.Lines(string(b)) { // FETCH_HEAD has several
				field := strings.TrimSpace(line)
				if to, ok := strings.CutPrefix(field, "ref: "); ok {
					if i, ok := byName[to]; ok {
						out = append(out, ref{own(dir, name), i})
					} else if i, ok := byName[own(dir, to)]; ok {
						out = append(out, ref{own(dir, name), i})
					}
					continue
				}
				field, _, _ = strings.Cut(field, "\t")
				if i, ok := parseID(field, r.hashLen); ok {
					out = append(out, ref{own(dir, name), i})
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b ref) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(string(a.id), string(b.id)))
	})
	return out
}

// own is the name of a linked work tree's ref.
func own(dir, name string) string {
	if dir == "." {
		return name
	}
	return path.Join(dir, name)
}

// head is what HEAD of the named work tree points to.
func (r *repository) head() (id, bool) { return r.lookup(own(r.private, "HEAD")) }

// maxSymbolic limits how many symbolic refs lead to an id. Git itself follows five.
const maxSymbolic = 5

// lookup finds what one name points to. It reads no other ref where the store keeps refs as
// files.
func (r *repository) lookup(name string) (id, bool) {
	if r.bundle != nil || r.reftables() {
		return search(r.refs(), name)
	}
	dir, base := ".", name
	for _, d := range r.heads()[1:] {
		if rest, ok := strings.CutPrefix(name, d+"/"); ok {
			dir, base = d, rest
		}
	}
	for range maxSymbolic {
		if !fs.ValidPath(base) {
			return "", false
		}
		b, err := r.loose(path.Join(dir, base))
		if err == fs.ErrNotExist && dir != "." && strings.HasPrefix(base, "refs/") {
			dir = "." // work trees share all refs except a few of their own
			b, err = r.loose(base)
		}
		if err == fs.ErrNotExist {
			return r.packed(own(dir, base))
		}
		if err != nil {
			return "", false
		}
		line, _, _ := strings.Cut(string(b), "\n")
		line = strings.TrimSpace(line)
		if to, ok := strings.CutPrefix(line, "ref: "); ok {
			base = strings.TrimSpace(to)
			continue
		}
		digits, _, _ := strings.Cut(line, "\t")
		return parseID(digits, r.hashLen)
	}
	return "", false
}

// loose reads the file of one ref. Its error is fs.ErrNotExist where no file has that name; any
// other error is recorded as a problem of the store.
func (r *repository) loose(name string) ([]byte, error) {
	info, err := r.root.Stat(name)
	if err != nil && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)) || err == nil && info.IsDir() {
		return nil, fs.ErrNotExist
	}
	b, err := r.readFile(name, maxRef)
	if err != nil {
		r.problem(name, err)
	}
	return b, err
}

// reftables reports whether any work tree keeps its refs in tables instead of files.
func (r *repository) reftables() bool {
	for _, dir := range r.heads() {
		if len(r.list(path.Join(dir, "reftable"))) > 0 {
			return true
		}
	}
	return false
}

// packed finds a name in the file packed-refs, whose lines are an id, a space and a name.
func (r *repository) packed(name string) (id, bool) {
	b, err := r.readFile("packed-refs", maxRefFile)
	if err != nil {
		r.problem("packed-refs", err)
		return "", false
	}
	for key := []byte(" " + name); ; {
		k := bytes.Index(b, key)
		if k < 0 {
			return "", false
		}
		end := k + len(key)
		line := bytes.LastIndexByte(b[:k], '\n') + 1
		if i, ok := parseID(string(b[line:k]), r.hashLen); ok && (end == len(b) || b[end] == '\n' || b[end] == '\r') {
			return i, true
		}
		b = b[end:]
	}
}

// search finds a name in a list that is sorted by name; of several with one name it returns the
// last.
func search(list []ref, name string) (i id, ok bool) {
	k, _ := slices.BinarySearchFunc(list, name, func(x ref, n string) int { return strings.Compare(x.name, n) })
	for ; k < len(list) && list[k].name == name; k++ {
		i, ok = list[k].id, true
	}
	return i, ok
}

// reflogs returns all entries, the newest of each file first.
func (r *repository) reflogs() (out []reflogEntry) {
	for _, f := range r.reflogFiles() {
		b, err := r.readFile(f.file, maxRefFile)
		if err != nil {
			r.problem(f.file, err)
			continue
		}
		var list []reflogEntry
		for line := range strings.Lines(string(b)) {
			if len(line) < 4*r.hashLen+2 {
				continue
			}
			from, ok := parseID(line[:2*r.hashLen], r.hashLen)
			to, ok2 := parseID(line[2*r.hashLen+1:4*r.hashLen+1], r.hashLen)
			if ok && ok2 {
				list = append(list, reflogEntry{id: to, old: from})
			}
		}
		slices.Reverse(list)
		for i := range list {
			list[i].name = fmt.Sprintf("%s@{%d}", f.name, i)
		}
		out = append(out, list...)
	}
	for _, dir := range r.heads() {
		t, _ := r.reftable(path.Join(dir, "reftable"))
		count := map[string]int{}
		for _, l := range t.logs {
			out = append(out, reflogEntry{name: fmt.Sprintf("%s@{%d}", own(dir, l.ref), count[l.ref]), id: l.new, old: l.old})
			count[l.ref]++
		}
	}
	return out
}

type reflogFile struct{ file, name string }

func (r *repository) reflogFiles() (out []reflogFile) {
	if r.bundle != nil {
		return nil
	}
	for _, dir := range r.heads() {
		top := path.Join(dir, "logs")
		_ = fs.WalkDir(r.root.FS(), top, func(p string, d fs.DirEntry, err error) error {
			r.problem(p, err)
			if err == nil && d.Type().IsRegular() {
				out = append(out, reflogFile{p, own(dir, strings.TrimPrefix(p, top+"/"))})
			}
			return nil
		})
	}
	return out
}

// found is where the parts of a repository are.
type found struct{ common, worktree, private string }

// FindDir finds the store of a repository: a bare one, a work tree's .git folder, or the target
// of a linked work tree's .git file, if git made that repository.
func FindDir(dir string) (string, error) {
	f, err := find(dir)
	return f.common, err
}

func find(dir string) (found, error) {
	info, err := os.Stat(dir)
	if err != nil {
		if u, ok := err.(*fs.PathError); ok {
			err = u.Err
		}
		return found{}, err
	}
	if !info.IsDir() {
		return found{}, errNotFolder
	}
	if isStore(dir) {
		return found{common: dir, private: "."}, nil
	}
	dot := filepath.Join(dir, ".git")
	if isStore(dot) {
		if info, err := os.Lstat(dot); err == nil && info.Mode()&os.ModeSymlink != 0 && !inside(dot, dir) {
			return found{}, errOutside
		}
		return found{common: dot, worktree: dir, private: "."}, nil
	}
	b, err := os.ReadFile(dot)
	if err != nil {
		return found{}, errNoRepository
	}
	rest, ok := strings.CutPrefix(strings.TrimSpace(string(b)), "gitdir: ")
	if !ok {
		return found{}, errNoRepository
	}
	relative := !filepath.IsAbs(rest)
	if relative {
		rest = filepath.Join(dir, rest)
	}
	// A .git file in a hostile tree could name any repository of this machine. A linked work
	// tree counts only if its repository names it too, and a submodule's store is named
	// relative to it.
	c, err := os.ReadFile(filepath.Join(rest, "commondir"))
	private := "."
	switch back, err2 := os.ReadFile(filepath.Join(rest, "gitdir")); {
	case err == nil && (err2 != nil || !same(strings.TrimSpace(string(back)), dot)):
		return found{}, errUnknownTree
	case err == nil:
		private = "worktrees/" + filepath.Base(rest)
		rest = filepath.Join(rest, strings.TrimSpace(string(c)))
	case !relative:
		return found{}, errElsewhere
	}
	if !isStore(rest) {
		return found{}, errNoRepository
	}
	return found{common: rest, worktree: dir, private: private}, nil
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
	_, err = os.Lstat(filepath.Join(dir, "HEAD"))
	return err == nil
}
