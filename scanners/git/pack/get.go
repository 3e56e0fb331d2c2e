package pack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"runtime/debug"
)

// Getter reads single objects of packs. It is not safe for concurrent use.
type Getter struct {
	z     inflater
	delta []byte
}

// guard turns a fault or a panic into an error.
func guard(err *error) func() {
	old := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(old)
		if x := recover(); x != nil {
			*err = fmt.Errorf("the pack could not be read (%T)", x)
		}
	}
}

// Get reads the object at position i of the index. base returns objects that are not in the
// pack; it can be nil.
func (g *Getter) Get(p *Pack, i int, base func(id []byte) (Kind, []byte, error)) (kind Kind, data []byte, err error) {
	defer guard(&err)()
	off := p.offset(i)
	var chain []entry
	var offs []int64
	// As in a walk, the index's checksum outweighs the stream's own.
	whole := func(err error, off int64) bool { return err == nil || errors.Is(err, errAdler) && p.sound(off) }
	for {
		if off < 0 {
			return 0, nil, errors.New("its place is outside of the pack")
		}
		e, err := p.entryAt(off)
		if err != nil {
			return 0, nil, err
		}
		if e.size > MaxObject {
			return 0, nil, tooLarge(e.size)
		}
		if e.kind <= Tag {
			kind = e.kind
			src, err := p.compressed(e)
			if err != nil {
				return 0, nil, err
			}
			if data, err = g.z.bytes(nil, src, e.size); !whole(err, off) {
				return 0, nil, err
			}
			break
		}
		if len(chain) >= p.n {
			return 0, nil, errors.New("delta of itself")
		}
		chain, offs = append(chain, e), append(offs, off)
		if e.kind == ofsDelta {
			off = e.base
			continue
		}
		if k, ok := p.Find(e.refID); ok {
			off = p.offset(k)
			continue
		}
		if base == nil {
			return 0, nil, errors.New("its base is not in the pack")
		}
		if kind, data, err = base(e.refID); err != nil {
			return 0, nil, fmt.Errorf("its base is not in the pack: %w", err)
		}
		break
	}
	for k := len(chain) - 1; k >= 0; k-- {
		e := chain[k]
		src, err := p.compressed(e)
		if err != nil {
			return 0, nil, err
		}
		if g.delta, err = g.z.bytes(g.delta, src, e.size); !whole(err, offs[k]) {
			return 0, nil, err
		}
		n, d, err := resultSize(g.delta, len(data))
		if err != nil {
			return 0, nil, err
		}
		if n > MaxObject {
			return 0, nil, tooLarge(n)
		}
		out := make([]byte, n)
		if err := apply(out, data, d); err != nil {
			return 0, nil, err
		}
		data = out
	}
	return kind, data, nil
}

// sound reports whether the bytes of the object at an offset match the index's checksum. It
// scans all offsets for the object's end, so it is for damaged objects only.
func (p *Pack) sound(off int64) bool {
	if p.crcs == nil {
		return false
	}
	at, end := -1, p.end
	for i := range p.n {
		switch o := p.offset(i); {
		case o == off:
			at = i
		case o > off:
			end = min(end, o)
		}
	}
	if at < 0 {
		return false
	}
	b, err := p.data.at(off, end-off)
	return err == nil && crc32.ChecksumIEEE(b) == binary.BigEndian.Uint32(p.crcs[4*at:])
}

// Kind determines the kind of the object at position i from headers alone. It returns 0 for a
// delta whose base is not in the pack.
func (p *Pack) Kind(i int) (kind Kind, err error) {
	defer guard(&err)()
	off := p.offset(i)
	for range p.n + 1 {
		if off < 0 {
			return 0, errors.New("its place is outside of the pack")
		}
		e, err := p.entryAt(off)
		switch {
		case err != nil:
			return 0, err
		case e.kind <= Tag:
			return e.kind, nil
		case e.kind == ofsDelta:
			off = e.base
		default:
			k, ok := p.Find(e.refID)
			if !ok {
				return 0, nil
			}
			off = p.offset(k)
		}
	}
	return 0, errors.New("delta of itself")
}

// compressed returns the bytes that contain an object's stream. It bounds them by the size that
// deflate needs at most, with a stored block for each 16 KiB, rather than returning the rest of
// the pack.
func (p *Pack) compressed(e entry) ([]byte, error) {
	return p.data.at(e.data, min(p.end-e.data, e.size+e.size>>8+64<<10))
}
