package pack

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"slices"
	"strings"
)

// Index opens a pack that has no index, as bundles and fetches that broke off
// leave, and makes one: all objects are inflated once for it. from is where the
// pack begins in the file. An error beside a pack tells what of it can't be read.
func Index(fs FS, name string, hashLen int, base func(id []byte) (Kind, []byte, error)) (*Pack, error) {
	return IndexAt(fs, name, 0, hashLen, base)
}

// IndexAt is Index for a pack that begins in the middle of a file.
func IndexAt(fs FS, name string, from int64, hashLen int, base func(id []byte) (Kind, []byte, error)) (*Pack, error) {
	p := &Pack{Name: path.Base(name), HashLen: hashLen}
	var err error
	if p.data, err = openMapping(fs, name); err != nil {
		return nil, err
	}
	if err := p.data.skip(from); err != nil {
		p.Close()
		return nil, err
	}
	return index(p, base)
}

// index makes the index of a pack that has none.
func index(p *Pack, base func(id []byte) (Kind, []byte, error)) (_ *Pack, err error) {
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("the pack could not be read (%T)", x)
		}
	}()
	n, err := p.header()
	if err != nil {
		p.Close()
		return nil, err
	}
	offs, err := p.sequence(n)
	w := &Walk{p: p, large: make(chan struct{}, 1), kept: maxKept}
	w.off = offs
	w.pos = make([]int32, len(offs))
	for k := range offs {
		w.pos[k] = int32(k)
	}
	ids := w.identify(base)
	p.adopt(offs, ids)
	p.made = true
	if lost := int(n) - p.n; lost > 0 && err == nil {
		err = fmt.Errorf("%d of its %d objects can't be read", lost, n)
	}
	return p, err
}

// IndexBytes is Index for a pack that is in memory.
func IndexBytes(b []byte, hashLen int) (p *Pack, err error) {
	return index(&Pack{Name: "pack", HashLen: hashLen, data: inMemory(b)}, nil)
}

// sequence finds where the objects begin, by inflating each. Where one is damaged
// the next can't be found: the rest is lost.
func (p *Pack) sequence(n uint32) (offs []int64, err error) {
	var z inflater
	var buf []byte
	off := int64(12)
	for i := range n {
		e, err := p.entryAt(off)
		if err != nil {
			return offs, fmt.Errorf("object %d of %d and all behind it: %w", i+1, n, err)
		}
		src, err := p.compressed(e)
		var used int64
		if err == nil {
			used, err = z.measure(&buf, src, e.size)
		}
		if err != nil {
			return offs, fmt.Errorf("object %d of %d and all behind it: %w", i+1, n, err)
		}
		offs = append(offs, off)
		off = e.data + used
	}
	return offs, nil
}

// measure gives how many bytes of src the stream of size bytes that it begins with is.
func (z *inflater) measure(buf *[]byte, src []byte, size int64) (int64, error) {
	if size > deflateRatio*(int64(len(src))+1) {
		return 0, errSize
	}
	if size <= 1<<20 {
		if size+spareOut > int64(cap(*buf)) {
			*buf = make([]byte, roomFor(size))
		}
		n, err := z.into((*buf)[:size], src)
		return int64(n), err
	}
	r := bytes.NewReader(src)
	s, err := newStream(r, size)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	if _, err := io.Copy(io.Discard, s); err != nil {
		return 0, err
	}
	return s.z.Offset(), nil
}

// NewHash is the hash of ids that are n bytes long.
func NewHash(n int) hash.Hash { return newHash(n) }

// Hash begins the hash of an object with what precedes its bytes.
func Hash(h hash.Hash, kind Kind, size int64) {
	_, _ = fmt.Fprintf(h, "%s %d\x00", kind, size)
}

func newHash(n int) hash.Hash {
	if n == sha256.Size {
		return sha256.New()
	}
	return sha1.New()
}

// identify reads all objects for their ids: nil for one that can't be read. What is
// a delta of an id is made once that id is known.
func (w *Walk) identify(base func(id []byte) (Kind, []byte, error)) [][]byte {
	ids := make([][]byte, len(w.off))
	waiting := map[string][]int32{}
	w.link(func(id []byte) int32 { return none })
	w.needed = slices.Repeat([]bool{true}, len(w.off))
	w.v = Visitor{Kinds: []Kind{Commit, Tree, Blob, Tag}, Base: base}
	w.roots = slices.DeleteFunc(w.roots, func(k int32) bool {
		if w.kind[k] != refDelta {
			return false
		}
		e, err := w.p.entryAt(w.off[k])
		if err == nil {
			waiting[string(e.refID)] = append(waiting[string(e.refID)], k)
		}
		return true
	})
	h := newHash(w.p.HashLen)
	w.seen = func(k int32, kind Kind, data []byte) {
		h.Reset()
		Hash(h, kind, int64(len(data)))
		h.Write(data)
		ids[k] = h.Sum(nil)
		for _, c := range waiting[string(ids[k])] {
			w.sib[c], w.first[k] = w.first[k], c
		}
		delete(waiting, string(ids[k]))
	}
	none := func(Object) error { return nil }
	_ = w.Run(context.Background(), none)
	// What is left is made of objects that are elsewhere, and others of it.
	for base != nil && len(waiting) > 0 {
		var next []int32
		for i, list := range waiting {
			if _, _, err := base([]byte(i)); err == nil {
				next = append(next, list...)
				delete(waiting, i)
			}
		}
		if len(next) == 0 {
			break
		}
		w.roots = next
		w.next.Store(0)
		_ = w.Run(context.Background(), none)
	}
	return ids
}

// adopt makes the index of what was found.
func (p *Pack) adopt(offs []int64, ids [][]byte) {
	order := make([]int, 0, len(offs))
	for k := range offs {
		if ids[k] != nil {
			order = append(order, k)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(ids[a], ids[b]) })
	p.n, p.stride = len(order), p.HashLen
	p.fan, p.ids = make([]byte, 1024), make([]byte, 0, len(order)*p.HashLen)
	var fan [256]uint32
	for _, k := range order {
		p.ids = append(p.ids, ids[k]...)
		fan[ids[k][0]]++
		p.off32 = binary.BigEndian.AppendUint32(p.off32, 1<<31|uint32(len(p.off64)/8))
		p.off64 = binary.BigEndian.AppendUint64(p.off64, uint64(offs[k]))
	}
	var sum uint32
	for i := range fan {
		sum += fan[i]
		binary.BigEndian.PutUint32(p.fan[4*i:], sum)
	}
}

// Bundle is the head of a git bundle.
type Bundle struct {
	HashLen int
	Refs    map[string]string // name to id in hex
	// Prerequisites are commits that the reader is expected to have.
	Prerequisites []string
	Pack          int64 // where the pack begins
}

// BundleMagic is how a bundle begins.
const BundleMagic = "# v"

// ErrCut is ParseBundle's error where there is not enough of a bundle's beginning.
var ErrCut = errors.New("a bundle's head that does not end")

// ParseBundle reads a bundle's head, of which b is the beginning.
func ParseBundle(b []byte) (Bundle, error) {
	out := Bundle{HashLen: 20, Refs: map[string]string{}}
	first, rest, _ := bytes.Cut(b, []byte{'\n'})
	if s := string(first); s != "# v2 git bundle" && s != "# v3 git bundle" {
		return out, errors.New("not a git bundle of version 2 or 3")
	}
	for {
		line, next, ok := bytes.Cut(rest, []byte{'\n'})
		if !ok {
			return out, ErrCut
		}
		rest = next
		switch s := string(line); {
		case s == "":
			out.Pack = int64(len(b) - len(rest))
			return out, nil
		case s[0] == '@':
			switch {
			case s == "@object-format=sha256":
				out.HashLen = 32
			case s == "@object-format=sha1", strings.HasPrefix(s, "@filter="):
			default:
				return out, errors.New("a bundle that needs what is not known here")
			}
		case s[0] == '-':
			i, _, _ := strings.Cut(s[1:], " ")
			out.Prerequisites = append(out.Prerequisites, i)
		default:
			i, name, _ := strings.Cut(s, " ")
			out.Refs[name] = i
		}
	}
}
