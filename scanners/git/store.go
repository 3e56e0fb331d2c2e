package git

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/git/pack"
	"github.com/quellhq/quell/scanners/inflate"
)

// MaxObject is the size, in bytes, of the largest object that is kept in memory; larger ones
// are read as streams where their content is not parsed.
const MaxObject = pack.MaxObject

// store is where a repository keeps its objects. All files are opened below its folder: no link
// leads out of it, except one to objects inside of the allowed folder.
type store struct {
	dir     string // the common folder: .git, or what a linked work tree shares
	root    *os.Root
	objects *os.Root // the objects folder, nil where it can't be opened
	packDir *os.Root // the folder of packs, likewise
	hashLen int
	packs   []*pack.Pack
	others  []*store // alternates inside of the allowed folder
	// everything lists this store and those that it borrows objects from.
	everything []*store
	promisor   bool // some objects may be fetched later
	// bundle is set where the store is a bundle: a pack, and nothing else.
	bundle *pack.Bundle

	getters sync.Pool
	own     *scanners.Bounds // counts the bytes of objects

	mu sync.Mutex
	// problems are the errors by the object, pack or ref that can't be read; takeProblems adds
	// those that it returned to reported, so that each is reported once.
	problems map[string]error
	reported map[string]bool
}

type problem struct {
	what string
	err  error
}

// problem keeps an error until it is reported, the first of each thing. A file that does not
// exist is not a problem.
func (s *store) problem(what string, err error) {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.problems[what]; !known {
		if s.problems == nil {
			s.problems = map[string]error{}
		}
		s.problems[what] = fileError(err)
	}
}

// takeProblems returns the problems that it has not returned before, including those of
// borrowed stores.
func (s *store) takeProblems() (out []problem) {
	for _, o := range s.all() {
		o.mu.Lock()
		for _, what := range slices.Sorted(maps.Keys(o.problems)) {
			if !o.reported[what] {
				if o.reported == nil {
					o.reported = map[string]bool{}
				}
				o.reported[what] = true
				out = append(out, problem{what, o.problems[what]})
			}
		}
		o.mu.Unlock()
	}
	return out
}

// fileError removes the path from an error: the message names the thing without it.
func fileError(err error) error {
	var p *fs.PathError
	switch {
	case !errors.As(err, &p):
		return err
	case errors.Is(p.Err, fs.ErrPermission):
		return scanners.OfKind(scanners.GapDenied, p.Err)
	case p.Err.Error() == errEscapes:
		return errOutside
	}
	return p.Err
}

// errEscapes is the error of os.Root for a link that leads out of it.
const errEscapes = "path escapes from parent"

var errOutside = scanners.OfKind(scanners.GapOutside, errors.New("is a link that leads out of the repository (hint: scan the folder that it leads to, or one that holds both)"))

// openStore opens the objects of the repository whose common folder is dir. Its
// alternates, and links to its objects, are followed inside of allowed only.
func openStore(dir, allowed string) (*store, error) {
	return openDepth(dir, allowed, 0)
}

// maxAlternates is git's own limit.
const maxAlternates = 5

func openDepth(dir, allowed string, depth int) (*store, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fileError(err)
	}
	s := &store{dir: dir, root: root}
	s.getters.New = func() any { return &pack.Getter{} }
	s.objects = s.folder(root, "objects", filepath.Join(dir, "objects"), allowed)
	if s.objects != nil {
		s.packDir = s.folder(s.objects, "pack", filepath.Join(dir, "objects", "pack"), allowed)
	}
	s.hashLen = s.format()
	s.openPacks()
	s.alternates(allowed, depth)
	return s, nil
}

// borrow adds a store that objects are also read from.
func (s *store) borrow(o *store) {
	s.everything = append(s.all(), o.all()...)
	s.others = append(s.others, o)
}

// folder opens a folder below root, or the target of a link in its place, if that is inside of
// allowed; nil: it can't be read.
func (s *store) folder(root *os.Root, name, file, allowed string) *os.Root {
	what := path.Join("objects", strings.TrimPrefix(name, "objects"))
	r, err := root.OpenRoot(name)
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		if real, rerr := filepath.EvalSymlinks(file); rerr == nil && inside(real, allowed) {
			r, err = os.OpenRoot(real)
		}
	}
	if _, lerr := root.Lstat(name); lerr == nil && errors.Is(err, fs.ErrNotExist) {
		err = scanners.OfKind(scanners.GapMissing, errors.New("is a link that leads nowhere"))
	}
	s.problem(what, err)
	return r
}

func (s *store) close() {
	for _, p := range s.packs {
		p.Close()
	}
	for _, o := range s.others {
		o.close()
	}
	for _, r := range []*os.Root{s.packDir, s.objects, s.root} {
		if r != nil {
			_ = r.Close()
		}
	}
}

// at is the root below which a file of the store is opened, and its name there.
func (s *store) at(name string) (*os.Root, string, error) {
	if s.bundle != nil {
		return nil, "", fs.ErrNotExist
	}
	name = path.Clean(name)
	rest, inObjects := strings.CutPrefix(name+"/", "objects/")
	if !inObjects {
		return s.root, name, nil
	}
	root := s.objects
	if in, ok := strings.CutPrefix(rest, "pack/"); ok {
		root, rest = s.packDir, in
	}
	if root == nil {
		return nil, "", fs.ErrNotExist // which was reported
	}
	if rest = strings.TrimSuffix(rest, "/"); rest == "" {
		rest = "."
	}
	return root, rest, nil
}

// Open opens a file of the store: it is a pack.FS.
func (s *store) Open(name string) (*os.File, error) {
	root, name, err := s.at(name)
	if err != nil {
		return nil, err
	}
	return root.Open(name)
}

// readFile reads a file of the store of at most limit bytes.
func (s *store) readFile(name string, limit int64) ([]byte, error) {
	f, err := s.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%d bytes: larger than is read of it", info.Size())
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

// list returns the names in a folder of the store, sorted. A folder that can't be listed is a
// problem.
func (s *store) list(name string) []fs.DirEntry {
	f, err := s.Open(name)
	if err != nil {
		s.problem(name, err)
		return nil
	}
	defer f.Close()
	out, err := f.ReadDir(-1)
	s.problem(name, err)
	slices.SortFunc(out, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return out
}

// openPacks opens all packs, including those that a fetch left unfinished.
func (s *store) openPacks() {
	for _, e := range s.list("objects/pack") {
		name := "objects/pack/" + e.Name()
		switch {
		case strings.HasSuffix(name, ".promisor"):
			s.promisor = true
			continue
		case !strings.HasSuffix(name, ".pack") && !strings.HasPrefix(e.Name(), "tmp_pack_"):
			continue
		}
		p, err := pack.Open(s, name, s.hashLen)
		if errors.Is(err, pack.ErrNoIndex) {
			if !errors.Is(err, fs.ErrNotExist) {
				s.problem("index of pack "+e.Name(), err)
			}
			p, err = pack.Index(s, name, s.hashLen, s.get)
		}
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				err = scanners.OfKind(scanners.GapMissing, errors.New("is not here"))
			}
			s.problem("pack "+e.Name(), err)
		}
		if p != nil {
			s.problem("pack "+e.Name(), p.Doubt())
			s.packs = append(s.packs, p)
		}
	}
}

// alternates opens the stores that this one borrows objects from.
func (s *store) alternates(allowed string, depth int) {
	b, err := s.readFile("objects/info/alternates", 1<<20)
	s.problem("objects/info/alternates", err)
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if q, err := strconv.Unquote(line); err == nil {
			line = q
		}
		dir := filepath.FromSlash(line)
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(s.dir, "objects", dir)
		}
		what := "alternate " + line
		// It names an objects folder; links in it are resolved.
		real, err := filepath.EvalSymlinks(filepath.Dir(dir))
		switch {
		case err != nil:
			err = scanners.OfKind(scanners.GapMissing, errors.New("is not there"))
		case filepath.Base(dir) != "objects":
			err = errors.New("is not an objects folder")
		case !inside(real, allowed):
			err = scanners.OfKind(scanners.GapOutside, errors.New("lies outside of the repository: scan it by its own path"))
		case depth >= maxAlternates:
			err = errors.New("is too deep")
		default:
			var o *store
			if o, err = openDepth(real, allowed, depth+1); err == nil {
				s.borrow(o)
				continue
			}
		}
		s.problem(what, err)
	}
}

// inside reports whether dir is allowed, or is below it, with links resolved.
func inside(dir, allowed string) bool {
	a, err := filepath.EvalSymlinks(allowed)
	if err != nil {
		return false
	}
	if a, err = filepath.Abs(a); err != nil {
		return false
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return false
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return false
	}
	rel, err := filepath.Rel(a, dir)
	return err == nil && filepath.IsLocal(rel)
}

// all lists this store and those that it borrows objects from.
func (s *store) all() []*store {
	if s.everything == nil {
		return []*store{s}
	}
	return s.everything
}

var errMissing = errors.New("is not here")

// get reads one object.
func (s *store) get(want []byte) (pack.Kind, []byte, error) {
	for _, o := range s.all() {
		for _, p := range o.packs {
			if i, ok := p.Find(want); ok {
				g := o.getters.Get().(*pack.Getter)
				kind, data, err := g.Get(p, i, s.get)
				o.getters.Put(g)
				if err == nil {
					return kind, data, nil
				}
			}
		}
		kind, size, r, err := o.loose(id(want))
		if err != nil {
			continue
		}
		defer r.Close()
		if size > MaxObject {
			return 0, nil, fmt.Errorf("%d bytes: larger than is kept of one object", size)
		}
		data, err := io.ReadAll(r)
		return kind, data, err
	}
	return 0, nil, errMissing
}

// has reports whether the store has an object.
func (s *store) has(want []byte) bool {
	for _, o := range s.all() {
		if o.packed(want) {
			return true
		}
		if o.hasLoose(id(want)) {
			return true
		}
	}
	return false
}

func (s *store) hasLoose(i id) bool {
	root, name, err := s.at(loosePath(i))
	if err != nil {
		return false
	}
	_, err = root.Stat(name)
	return err == nil
}

func (s *store) packed(want []byte) bool {
	return slices.ContainsFunc(s.packs, func(p *pack.Pack) bool { _, ok := p.Find(want); return ok })
}

func loosePath(i id) string {
	h := i.String()
	return path.Join("objects", h[:2], h[2:])
}

// looseIDs lists the loose objects in one of the 256 folders.
func (s *store) looseIDs(first int) (out []id) {
	h := fmt.Sprintf("%02x", first)
	for _, e := range s.list("objects/" + h) {
		if i, ok := parseID(h+e.Name(), s.hashLen); ok {
			out = append(out, i)
		}
	}
	return out
}

// loose opens a loose object. Its reader ends with an error where the object has another size
// than it declares.
func (s *store) loose(i id) (pack.Kind, int64, io.ReadCloser, error) {
	f, err := s.Open(loosePath(i))
	if err != nil {
		return 0, 0, nil, fileError(err)
	}
	if info, err := f.Stat(); err == nil {
		s.own.Read(info.Size())
	}
	z, err := inflate.NewZlib(f)
	if err != nil {
		f.Close()
		return 0, 0, nil, errors.New("not a zlib stream")
	}
	r := bufio.NewReaderSize(z, 4<<10)
	head, err := r.Peek(32)
	nul := bytes.IndexByte(head, 0)
	word, number, ok := bytes.Cut(head[:max(nul, 0)], []byte{' '})
	kind, known := pack.ParseKind(word)
	size, err2 := strconv.ParseInt(string(number), 10, 64)
	if nul < 0 || !ok || !known || err2 != nil || size < 0 {
		z.Close()
		f.Close()
		if err != nil && err != io.EOF {
			return 0, 0, nil, fmt.Errorf("damaged: %w", err)
		}
		return 0, 0, nil, errors.New("damaged header")
	}
	_, _ = r.Discard(nul + 1)
	h := pack.NewHash(s.hashLen)
	pack.Hash(h, kind, size)
	return kind, size, &exact{r, size, z, f, h, i}, nil
}

// exact reads n bytes, and then checks for the end. Its last error reports whether the bytes
// match the object's id.
type exact struct {
	r    io.Reader
	left int64
	z, f io.Closer
	h    hash.Hash
	want id
}

var errNotItself = scanners.OfKind(scanners.GapDamaged, errors.New("its bytes are not those of its id"))

func (e *exact) Read(b []byte) (int, error) {
	if e.left == 0 {
		var one [1]byte
		switch n, err := e.r.Read(one[:]); {
		case n > 0:
			return 0, errors.New("longer than its header says")
		case err == io.EOF && id(e.h.Sum(nil)) != e.want:
			return 0, errNotItself
		default:
			return 0, err
		}
	}
	n, err := e.r.Read(b[:min(int64(len(b)), e.left)])
	e.left -= int64(n)
	e.h.Write(b[:n])
	if err == io.EOF && e.left > 0 {
		err = errors.New("shorter than its header says")
	} else if err == io.EOF {
		err = nil
	}
	return n, err
}

func (e *exact) Close() error {
	_ = e.z.Close()
	return e.f.Close()
}
