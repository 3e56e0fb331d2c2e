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

// Index opens a pack that has no index, as bundles and interrupted fetches leave it, and builds
// one by decompressing every object once. An error returned together with a Pack names what
// can't be read.
func Index(fs FS, name string, hashLen int, base func(id []byte) (Kind, []byte, error)) (*Pack, error) {
	return IndexAt(fs, name, 0, hashLen, base)
}

// IndexAt is Index for a pack that begins at the offset from of a file.
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

// index builds the index of a pack.
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

// IndexBytes is Index for a pack in memory.
func IndexBytes(b []byte, hashLen int) (p *Pack, err error) {
	return index(&Pack{Name: "pack", HashLen: hashLen, data: inMemory(b)}, nil)
}

// sequence locates the objects by decompressing each. After a damaged object the next one can't
// be located, so the rest is lost.
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

// measure returns the compressed size in bytes of the stream at the beginning of src, whose
// content has size bytes.
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

// NewHash returns the hash for ids of n bytes: SHA-1 for 20, SHA-256 for 32.
func NewHash(n int) hash.Hash { return newHash(n) }

// Hash writes the header that precedes an object's bytes in its hash.
func Hash(h hash.Hash, kind Kind, size int64) {
	_, _ = fmt.Fprintf(h, "%s %d\x00", kind, size)
}

func newHash(n int) hash.Hash {
	if n == sha256.Size {
		return sha256.New()
	}
	return sha1.New()
}

// identify computes the id of each object; nil for one that can't be read. It applies deltas
// that name their base by id once that id is known.
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
	// The remaining objects are deltas of objects elsewhere, directly or indirectly.
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

// adopt builds the index from these offsets and ids.
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

// Bundle is the header of a git bundle.
type Bundle struct {
	HashLen int
	Refs    map[string]string // name to id in hex
	// Prerequisites are commits that the reader must already have.
	Prerequisites []string
	Pack          int64 // offset of the pack
}

// BundleMagic is the beginning of a bundle.
const BundleMagic = "# v"

// ErrCut is the error of ParseBundle if b does not contain the whole header.
var ErrCut = errors.New("a bundle's head that does not end")

// ParseBundle parses the header of a bundle that begins with b.
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
