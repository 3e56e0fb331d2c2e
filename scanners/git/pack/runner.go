package pack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"slices"
)

// runner is one goroutine of a walk.
type runner struct {
	*Walk
	ctx    context.Context
	object func(Object) error
	z      inflater
	sound  bool // source's bytes match the index's checksum
	delta  []byte
	free   [][]byte
	held   bool // this goroutine holds the slot for large objects
	hash   hash.Hash
	sum    [32]byte
}

// frame is an object whose children are being read.
type frame struct {
	k     int32
	kind  Kind
	data  []byte
	child int32 // the next child
	heavy int32 // read last, because its subtree is the deepest
}

// stopped wraps the callback's error, which ends the walk.
type stopped struct{ error }

// tree reads a root and all deltas on it.
func (r *runner) tree(root int32) (err error) {
	defer func() {
		if r.held {
			<-r.large
			r.held = false
		}
		if x := recover(); x != nil {
			r.z, r.free = inflater{}, nil
			r.failBelow(root, fmt.Errorf("the pack could not be read (%T)", x))
		}
	}()
	kind, data, err := r.root(root)
	if err != nil || data == nil {
		return err
	}
	stack := []frame{r.frame(root, kind, data)}
	for len(stack) > 0 {
		top := &stack[len(stack)-1]
		c := r.step(top)
		if c < 0 {
			r.put(top.data)
			stack = stack[:len(stack)-1]
			continue
		}
		out, err := r.child(c, top.data)
		if err != nil {
			r.failBelow(c, err)
			continue
		}
		kind := top.kind
		if top.child < 0 && top.heavy < 0 {
			// Release the base after its last child, so that a chain needs only two buffers.
			r.put(top.data)
			stack = stack[:len(stack)-1]
		}
		if err := r.visit(c, kind, out, nil); err != nil {
			return err
		}
		f := r.frame(c, kind, out)
		if f.child < 0 && f.heavy < 0 {
			r.put(out)
			continue
		}
		kept := int64(len(out))
		for _, f := range stack {
			kept += int64(len(f.data))
		}
		if kept > r.kept {
			for x := r.step(&f); x >= 0; x = r.step(&f) {
				r.failBelow(x, errors.New("what it is made of is too large to keep"))
			}
			r.put(out)
			continue
		}
		stack = append(stack, f)
	}
	return nil
}

// root reads an object that is not a delta, or a delta of an object of another pack. data is
// nil if no delta needs it.
func (r *runner) root(k int32) (Kind, []byte, error) {
	e, err := r.p.entryAt(r.off[k])
	if err != nil {
		r.failBelow(k, err)
		return 0, nil, nil
	}
	if e.kind == refDelta {
		if r.v.Base == nil {
			r.failBelow(k, errors.New("its base is not in the pack"))
			return 0, nil, nil
		}
		kind, base, err := r.v.Base(e.refID)
		if err != nil {
			r.failBelow(k, fmt.Errorf("its base is not in the pack: %w", err))
			return 0, nil, nil
		}
		if !slices.Contains(r.v.Kinds, kind) {
			return 0, nil, nil
		}
		data, err := r.child(k, base)
		if err != nil {
			r.failBelow(k, err)
			return 0, nil, nil
		}
		return kind, data, r.visit(k, kind, data, nil)
	}
	src, err := r.source(k, e)
	if err != nil {
		r.failBelow(k, err)
		return 0, nil, nil
	}
	if e.size > deflateRatio*(int64(len(src))+1) {
		r.failBelow(k, errSize)
		return 0, nil, nil
	}
	alone := r.frame(k, e.kind, nil)
	if e.size > streamFrom && alone.child < 0 && alone.heavy < 0 && r.seen == nil {
		s, err := newStream(bytes.NewReader(src), e.size)
		if err != nil {
			r.fail(k, err)
			return 0, nil, nil
		}
		defer s.Close()
		return e.kind, nil, r.visit(k, e.kind, nil, &sized{s, e.size})
	}
	if e.size > MaxObject {
		r.failBelow(k, tooLarge(e.size))
		return 0, nil, nil
	}
	r.turn(e.size)
	data, err := r.inflate(k, r.get(e.size), src, e.size)
	if err != nil {
		r.failBelow(k, err)
		return 0, nil, nil
	}
	return e.kind, data, r.visit(k, e.kind, data, nil)
}

func tooLarge(n int64) error {
	return fmt.Errorf("%d bytes: larger than the %d MiB that are kept of one object", n, MaxObject>>20)
}

// sized is a stream with its size.
type sized struct {
	io.Reader
	size int64
}

// source returns an object's compressed bytes, up to the next object. The slice's capacity can
// include a few bytes of that.
func (r *runner) source(k int32, e entry) ([]byte, error) {
	end := r.p.end
	if int(k)+1 < len(r.off) {
		end = r.off[k+1]
	}
	if e.data >= end {
		return nil, errHeader
	}
	n := end - r.off[k]
	b, err := r.p.data.at(r.off[k], min(n+spareIn, r.p.data.size()-r.off[k]))
	if err != nil {
		return nil, err
	}
	b = b[:n]
	r.sound = false
	if r.p.crcs != nil {
		i := 4 * int(r.pos[k])
		want := uint32(r.p.crcs[i])<<24 | uint32(r.p.crcs[i+1])<<16 | uint32(r.p.crcs[i+2])<<8 | uint32(r.p.crcs[i+3])
		if r.sound = crc32.ChecksumIEEE(b) == want; !r.sound {
			// Continue: a stream that decodes completely is worth scanning.
			r.v.bad(r.id(k), errors.New("its bytes are not those that the index was made of"))
		}
	}
	return b[e.data-r.off[k]:], nil
}

// inflate decompresses an object's stream. If only the stream's own checksum is wrong, and the
// index's checksum matches the bytes, it reports the error and returns the content.
func (r *runner) inflate(k int32, buf, src []byte, size int64) ([]byte, error) {
	b, err := r.z.bytes(buf, src, size)
	if err == errAdler && r.sound {
		r.v.bad(r.id(k), err)
		return b, nil
	}
	return b, err
}

// child builds object k from its base.
func (r *runner) child(k int32, base []byte) ([]byte, error) {
	e, err := r.p.entryAt(r.off[k])
	if err != nil {
		return nil, err
	}
	src, err := r.source(k, e)
	if err != nil {
		return nil, err
	}
	if e.size > MaxObject {
		return nil, tooLarge(e.size)
	}
	if r.delta, err = r.inflate(k, r.delta, src, e.size); err != nil {
		return nil, err
	}
	n, d, err := resultSize(r.delta, len(base))
	if err != nil {
		return nil, err
	}
	if n > MaxObject {
		return nil, tooLarge(n)
	}
	r.turn(n)
	out := r.get(n)[:n]
	if err := apply(out, base, d); err != nil {
		r.put(out)
		return nil, err
	}
	return out, nil
}

// turn waits until no other goroutine holds a large object.
func (r *runner) turn(n int64) {
	if n >= largeFrom && !r.held {
		r.large <- struct{}{}
		r.held = true
	}
}

// visit passes an object to the callback.
func (r *runner) visit(k int32, kind Kind, data []byte, s *sized) error {
	r.done[k] = true
	size := int64(len(data))
	if s != nil {
		size = s.size
	}
	if r.total.Add(size) > 1<<30+maxRatio*r.p.end {
		return stopped{errors.New("all objects together are too large for a pack of its size: the rest is not read")}
	}
	if r.seen != nil {
		r.seen(k, kind, data)
		return nil
	}
	id := r.id(k)
	if r.v.Want != nil && !r.v.Want(id) {
		return nil
	}
	if s == nil && !r.p.made && r.hashed.Add(size) <= r.v.Verify && !r.isItself(id, kind, data) {
		r.v.bad(id, errNotItself)
	}
	o := Object{ID: id, Kind: kind, Size: size, Data: data}
	if s != nil {
		o.Stream = s
	} else if data == nil {
		o.Data = []byte{}
	}
	if err := r.object(o); err != nil {
		return stopped{err}
	}
	return r.ctx.Err()
}

var errNotItself = errors.New("its bytes are not those of its id")

// isItself reports whether an object's id matches its bytes.
func (r *runner) isItself(id []byte, kind Kind, data []byte) bool {
	if r.hash == nil {
		r.hash = newHash(r.p.HashLen)
	}
	r.hash.Reset()
	Hash(r.hash, kind, int64(len(data)))
	r.hash.Write(data)
	return bytes.Equal(r.hash.Sum(r.sum[:0]), id)
}

func (s stopped) Unwrap() error { return s.error }

// frame returns the frame of an object before its first child.
func (r *runner) frame(k int32, kind Kind, data []byte) frame {
	f := frame{k: k, kind: kind, data: data, child: none, heavy: none}
	for c := r.first[k]; c >= 0; c = r.sib[c] {
		if !r.needed[c] || r.done[c] {
			continue
		}
		if f.heavy < 0 || r.depth[c] > r.depth[f.heavy] {
			f.heavy = c
		}
	}
	f.child = r.light(r.first[k], f.heavy)
	return f
}

// light returns the next needed child other than the heavy one.
func (r *runner) light(c, heavy int32) int32 {
	for c >= 0 && (c == heavy || !r.needed[c] || r.done[c]) {
		c = r.sib[c]
	}
	return c
}

// step returns the next child, or none.
func (r *runner) step(f *frame) int32 {
	c := f.child
	if c >= 0 {
		f.child = r.light(r.sib[c], f.heavy)
		return c
	}
	c, f.heavy = f.heavy, none
	return c
}

// get and put manage reusable buffers.
func (r *runner) get(n int64) []byte {
	for i := len(r.free) - 1; i >= 0; i-- {
		if b := r.free[i]; int64(cap(b)) >= n+spareOut {
			r.free[i] = r.free[len(r.free)-1]
			r.free = r.free[:len(r.free)-1]
			return b[:0]
		}
	}
	return make([]byte, 0, roomFor(n))
}

func (r *runner) put(b []byte) {
	const most, largest = 32, 1 << 20
	if cap(b) > largest || cap(b) == 0 {
		return
	}
	if len(r.free) < most {
		r.free = append(r.free, b)
		return
	}
	// Replace the smallest one.
	i := 0
	for k := range r.free {
		if cap(r.free[k]) < cap(r.free[i]) {
			i = k
		}
	}
	if cap(r.free[i]) < cap(b) {
		r.free[i] = b
	}
}
