package git

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"path"
	"strings"
	"sync"

	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/git/pack"
)

// links checks what objects name: names of files are text, and the named objects must be
// present. Most entries of a tree are also in the preceding tree, which a small cache detects.
type links struct {
	repo   *repo
	caches sync.Pool

	mu       sync.Mutex
	missing  map[id]id   // a missing object -> what names it
	promised map[id]bool // what trees name and a partial clone lacks by design
}

// cacheBits is the size of a cache of entries: a MiB.
const cacheBits = 17

func newLinks(r *repo) *links {
	return &links{repo: r, missing: map[id]id{}, promised: map[id]bool{}, caches: sync.Pool{New: func() any { return new([1 << cacheBits]uint64) }}}
}

// object checks one object.
func (l *links) object(kind pack.Kind, i id, data []byte) {
	switch kind {
	case pack.Tree:
		l.tree(i, data)
	case pack.Commit:
		l.commit(i, data)
	case pack.Tag:
		if to, ok := tagTarget(data, l.repo.hashLen); ok {
			l.need(to, i)
		}
	}
}

func (l *links) tree(i id, data []byte) {
	cache := l.caches.Get().(*[1 << cacheBits]uint64)
	defer l.caches.Put(cache)
	seed := l.repo.names.seed
	whole := eachEntry(data, l.repo.hashLen, func(mode, name, child []byte) {
		key := binary.LittleEndian.Uint64(child) ^ maphash.Bytes(seed, name)
		slot := &cache[key>>(64-cacheBits)]
		if *slot == key {
			return
		}
		*slot = key
		l.repo.names.add(named{text: string(name), artifact: fileName})
		switch {
		case string(mode) == "160000":
		case l.repo.promisor:
			l.promise(id(child))
		default:
			l.need(id(child), i)
		}
	})
	if !whole {
		l.repo.damaged([]byte(i), scanners.OfKind(scanners.GapDamaged, errors.New("a tree that ends within an entry")))
	}
}

// commit checks the first lines of a commit: its tree, then its parents.
func (l *links) commit(i id, data []byte) {
	ends := l.repo.ends[i]
	for len(data) > 0 {
		line, rest, _ := bytes.Cut(data, []byte{'\n'})
		data = rest
		word, digits, _ := bytes.Cut(line, []byte{' '})
		to, ok := parseID(string(digits), l.repo.hashLen)
		switch {
		case ok && string(word) == "tree":
			l.need(to, i)
		case ok && string(word) == "parent":
			if !ends {
				l.need(to, i)
			}
		default:
			return
		}
	}
}

// promise records an object that a partial clone lacks.
func (l *links) promise(to id) {
	if l.repo.want != nil || l.repo.bundle != nil {
		return
	}
	l.mu.Lock()
	known := l.promised[to]
	l.mu.Unlock()
	if known || l.repo.has([]byte(to)) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.promised[to] = true
}

// need records an object that is not in the store. A partial clone lacks objects by design, and
// a scan of some objects does not check the rest: see absent and choose.
func (l *links) need(to, by id) {
	if l.repo.promisor || l.repo.want != nil || l.repo.bundle != nil || l.repo.has([]byte(to)) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if old, known := l.missing[to]; !known || by < old {
		l.missing[to] = by
	}
}

// lost reports what is missing.
func (l *links) lost() (out []problem) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var first id
	for i := range l.missing {
		if first == "" || i < first {
			first = i
		}
	}
	if first == "" {
		return nil
	}
	what := "object " + first.String()
	if n := len(l.missing); n > 1 {
		what = fmt.Sprintf("%d objects, %s the first", n, first)
	}
	by := "a ref names it"
	if o := l.missing[first]; o != "" {
		by = "object " + o.String() + " names it"
	}
	return []problem{{what, scanners.OfKind(scanners.GapMissing, fmt.Errorf("is not here, and %s", by))}}
}

// refs checks what refs and HEADs point to. A ref that git keeps next to HEAD for a while, such
// as ORIG_HEAD, may outlive its object.
func (l *links) refs() {
	for _, x := range l.repo.refs() {
		lasting := path.Base(x.name) == "HEAD" || strings.HasPrefix(x.name, "refs/") || strings.Contains(x.name, "/refs/")
		if lasting && x.id != zero(l.repo.hashLen) {
			l.need(x.id, "")
		}
	}
}

// zero is the null id.
func zero(hashLen int) id { return id(make([]byte, hashLen)) }
