package git

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/quellhq/quell/scanners/git/pack"
	"github.com/quellhq/quell/scanners/inflate"
)

// MaxObject is the largest object, in bytes, that is kept in memory; larger ones
// are read as streams where nothing is made of them.
const MaxObject = pack.MaxObject

// store is where a repository keeps its objects. All files are opened below its
// folder: no link leads out of it.
type store struct {
	dir     string // the common folder: .git, or what a linked work tree shares
	root    *os.Root
	hashLen int
	packs   []*pack.Pack
	// problems are packs and alternates that can't be read.
	problems []problem
	others   []*store // alternates inside of the allowed folder
	promisor bool     // some objects may be fetched later
	// bundle is set where the store is one: a pack, and nothing beside it.
	bundle *pack.Bundle

	getters sync.Pool
}

type problem struct {
	what string
	err  error
}

// openStore opens the objects of the repository whose common folder is dir. Its
// alternates are followed inside of allowed only.
func openStore(dir, allowed string) (*store, error) {
	return openDepth(dir, allowed, 0)
}

// maxAlternates is git's own bound.
const maxAlternates = 5

func openDepth(dir, allowed string, depth int) (*store, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	s := &store{dir: dir, root: root, hashLen: 20}
	s.getters.New = func() any { return &pack.Getter{} }
	if s.setting("extensions", "objectformat") == "sha256" {
		s.hashLen = 32
	}
	s.openPacks()
	s.alternates(allowed, depth)
	return s, nil
}

func (s *store) close() {
	for _, p := range s.packs {
		p.Close()
	}
	for _, o := range s.others {
		o.close()
	}
	_ = s.root.Close()
}

// setting reads one value of the store's configuration. It is read, and not
// obeyed: no include is followed, and only what names a format is asked for.
func (s *store) setting(section, key string) string {
	b, err := s.readFile("config", 1<<20)
	if err != nil {
		return ""
	}
	in, value := "", ""
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			in = strings.ToLower(strings.Trim(line, "[] \t"))
			continue
		}
		k, v, ok := strings.Cut(line, "=")
		if ok && in == section && strings.EqualFold(strings.TrimSpace(k), key) {
			value = strings.ToLower(strings.Trim(strings.TrimSpace(v), `"`))
		}
	}
	return value
}

// readFile reads a file of the store of at most limit bytes.
func (s *store) readFile(name string, limit int64) ([]byte, error) {
	if s.bundle != nil {
		return nil, fs.ErrNotExist
	}
	f, err := s.root.Open(name)
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

// list gives the names in a folder of the store, sorted.
func (s *store) list(name string) []fs.DirEntry {
	if s.bundle != nil {
		return nil
	}
	f, err := s.root.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	out, _ := f.ReadDir(-1)
	slices.SortFunc(out, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return out
}

// openPacks opens all packs, those that a fetch left unfinished too.
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
		p, err := pack.Open(s.root, name, s.hashLen)
		if errors.Is(err, pack.ErrNoIndex) {
			if !errors.Is(err, fs.ErrNotExist) {
				s.problems = append(s.problems, problem{"pack " + e.Name(), err})
			}
			p, err = pack.Index(s.root, name, s.hashLen, s.get)
		}
		if err != nil {
			s.problems = append(s.problems, problem{"pack " + e.Name(), err})
		}
		if p != nil {
			s.packs = append(s.packs, p)
		}
	}
}

// alternates opens the stores that this one borrows objects from.
func (s *store) alternates(allowed string, depth int) {
	b, err := s.readFile("objects/info/alternates", 1<<20)
	if err != nil {
		return
	}
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
		// It names an objects folder; links in it are looked through.
		real, err := filepath.EvalSymlinks(filepath.Dir(dir))
		switch {
		case err != nil:
			err = errors.New("is not there")
		case filepath.Base(dir) != "objects":
			err = errors.New("is not an objects folder")
		case !inside(real, allowed):
			err = errors.New("lies outside of the repository: scan it by its own path")
		case depth >= maxAlternates:
			err = errors.New("is too deep")
		default:
			var o *store
			if o, err = openDepth(real, allowed, depth+1); err == nil {
				s.others = append(s.others, o)
				s.problems = append(s.problems, o.problems...)
				continue
			}
		}
		s.problems = append(s.problems, problem{what, err})
	}
}

// inside reports whether dir is allowed, or lies below it.
func inside(dir, allowed string) bool {
	a, err := filepath.EvalSymlinks(allowed)
	if err != nil {
		return false
	}
	a, err = filepath.Abs(a)
	if err != nil {
		return false
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return false
	}
	rel, err := filepath.Rel(a, dir)
	return err == nil && filepath.IsLocal(rel)
}

// all lists this store and those that it borrows from.
func (s *store) all() []*store {
	out := []*store{s}
	for _, o := range s.others {
		out = append(out, o.all()...)
	}
	return out
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

// has reports whether an object is here.
func (s *store) has(want []byte) bool {
	for _, o := range s.all() {
		if o.packed(want) {
			return true
		}
		if _, err := o.root.Stat(loosePath(id(want))); err == nil && o.bundle == nil {
			return true
		}
	}
	return false
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

// loose opens a loose object. Its reader ends with an error where the object has
// not the size that it says.
func (s *store) loose(i id) (pack.Kind, int64, io.ReadCloser, error) {
	if s.bundle != nil {
		return 0, 0, nil, fs.ErrNotExist
	}
	f, err := s.root.Open(loosePath(i))
	if err != nil {
		return 0, 0, nil, err
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
	return kind, size, &exact{r, size, z, f}, nil
}

// exact reads n bytes, and then asks for the end.
type exact struct {
	r    io.Reader
	left int64
	z, f io.Closer
}

func (e *exact) Read(b []byte) (int, error) {
	if e.left == 0 {
		var one [1]byte
		switch n, err := e.r.Read(one[:]); {
		case n > 0:
			return 0, errors.New("longer than its header says")
		default:
			return 0, err
		}
	}
	n, err := e.r.Read(b[:min(int64(len(b)), e.left)])
	e.left -= int64(n)
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
