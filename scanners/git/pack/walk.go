package pack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"sync/atomic"
)

const (
	// streamFrom is the size in bytes from which an object without deltas on it is streamed.
	streamFrom = 16 << 20
	// largeFrom is the size in bytes from which only one object is in memory at a time,
	// regardless of the number of goroutines.
	largeFrom = 32 << 20
	// maxKept is the default limit, in bytes, of the bases that are kept for one tree of
	// deltas.
	maxKept = 1 << 30
	// maxRatio is the maximum ratio of the size of all objects to the pack's size, beyond 1
	// GiB. A history with many similar files has a ratio of some hundreds.
	maxRatio = 10_000
)

// Object is an object as passed to the callback of Walk.Run.
type Object struct {
	ID   []byte // memory of the pack; copy it to keep it
	Kind Kind
	Size int64
	// Data is valid during the call. If it is nil, Stream returns the bytes.
	Data   []byte
	Stream io.Reader
}

// Visitor selects what a walk reads.
type Visitor struct {
	// Kinds lists the kinds to read. Of others, only the headers are read.
	Kinds []Kind
	// Want reports whether an object is wanted; nil: all are. The bases of wanted objects are
	// read too.
	Want func(id []byte) bool
	// Bad receives what can't be read. id is nil if the error concerns the pack.
	Bad func(id []byte, err error)
	// Verify is the number of bytes of objects whose hash is compared with their ids. An object
	// that differs is passed to Bad and also to the callback.
	Verify int64
	// Base returns an object that is not in the pack; nil: there are none.
	Base func(id []byte) (Kind, []byte, error)
}

// Walk is one pass over a pack.
type Walk struct {
	p *Pack
	v Visitor

	// The objects in the order of their offsets, as a forest: a delta is a child of its base.
	off    []int64
	pos    []int32 // position in the index
	kind   []Kind
	base   []int32
	first  []int32
	sib    []int32
	depth  []uint16 // of the deepest descendant
	needed []bool
	done   []bool

	roots []int32
	next  atomic.Int64
	total atomic.Int64
	// hashed counts the bytes towards Visitor.Verify.
	hashed atomic.Int64
	large  chan struct{}
	kept   int64 // maxKept
	// seen, if set, receives each object that is read, wanted or not.
	seen func(k int32, kind Kind, data []byte)
}

const none = int32(-1)

// NewWalk reads all headers of a pack.
func (p *Pack) NewWalk(v Visitor) *Walk {
	w := &Walk{p: p, v: v, large: make(chan struct{}, 1), kept: maxKept}
	w.sort()
	if n, err := p.header(); err == nil && int64(n) != int64(p.n) {
		v.bad(nil, fmt.Errorf("it says that it holds %d objects, and its index lists %d", n, p.n))
	}
	w.link(func(id []byte) int32 {
		i, ok := p.Find(id)
		if !ok {
			return none
		}
		k, ok := slices.BinarySearch(w.off, p.offset(i))
		if !ok {
			return none
		}
		return int32(k)
	})
	w.mark()
	return w
}

func (v Visitor) bad(id []byte, err error) {
	if v.Bad != nil {
		v.Bad(id, err)
	}
}

// sort lists the objects in the order of their offsets.
func (w *Walk) sort() {
	type at struct {
		off int64
		pos int32
	}
	all := make([]at, 0, w.p.n)
	for i := range w.p.n {
		if o := w.p.offset(i); o >= 0 {
			all = append(all, at{o, int32(i)})
		} else {
			w.v.bad(w.p.ID(i), errors.New("its place is outside of the pack"))
		}
	}
	slices.SortFunc(all, func(a, b at) int { return int(min(max(a.off-b.off, -1), 1)) })
	w.off, w.pos = make([]int64, len(all)), make([]int32, len(all))
	for k, a := range all {
		w.off[k], w.pos[k] = a.off, a.pos
	}
}

// link builds the forest.
func (w *Walk) link(find func(id []byte) int32) {
	n := len(w.off)
	w.kind, w.base, w.first, w.sib = make([]Kind, n), make([]int32, n), make([]int32, n), make([]int32, n)
	w.depth, w.done = make([]uint16, n), make([]bool, n)
	for k := range n {
		w.first[k], w.base[k] = none, none
	}
	for k := range n {
		e, err := w.p.entryAt(w.off[k])
		if err != nil {
			w.fail(int32(k), err)
			continue
		}
		w.kind[k] = e.kind
		switch e.kind {
		case ofsDelta:
			// A base precedes its deltas.
			b, ok := slices.BinarySearch(w.off[:k], e.base)
			if !ok {
				w.fail(int32(k), errors.New("delta of what is no object"))
				continue
			}
			w.base[k] = int32(b)
		case refDelta:
			w.base[k] = find(e.refID)
		}
		if b := w.base[k]; b >= 0 {
			w.sib[k], w.first[b] = w.first[b], int32(k)
		} else {
			w.roots = append(w.roots, int32(k))
		}
	}
	for k := n - 1; k >= 0; k-- {
		if b := w.base[k]; b >= 0 && w.depth[k] < 1<<16-1 {
			w.depth[b] = max(w.depth[b], w.depth[k]+1)
		}
	}
}

// mark determines which objects to read, and the roots that they need.
func (w *Walk) mark() {
	want := func(int32) bool { return true }
	if w.v.Want != nil {
		want = func(k int32) bool { return w.v.Want(w.p.ID(int(w.pos[k]))) }
	}
	w.needed = make([]bool, len(w.off))
	for k := range w.off {
		if w.done[k] || w.kind[k] <= Tag && !slices.Contains(w.v.Kinds, w.kind[k]) || !want(int32(k)) {
			continue
		}
		for b := int32(k); b >= 0 && !w.needed[b]; b = w.base[b] {
			w.needed[b] = true
		}
	}
	// Deltas on an object with an unreadable header are below no root.
	var failed []int32
	for k := range w.off {
		if w.done[k] {
			failed = append(failed, int32(k))
		}
	}
	for _, k := range failed {
		w.failBelow(k, errMadeOfLost)
	}
	w.roots = slices.DeleteFunc(w.roots, func(k int32) bool {
		return !w.needed[k] || w.kind[k] <= Tag && !slices.Contains(w.v.Kinds, w.kind[k])
	})
	// An object below no root is part of a cycle.
	below := make([]bool, len(w.off))
	var todo []int32
	for k := range w.off {
		if w.base[k] < 0 {
			todo = append(todo, int32(k))
		}
	}
	for len(todo) > 0 {
		k := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		below[k] = true
		for c := w.first[k]; c >= 0; c = w.sib[c] {
			todo = append(todo, c)
		}
	}
	for k := range w.off {
		if !below[k] && !w.done[k] {
			w.fail(int32(k), errors.New("delta of itself"))
		}
	}
}

// fail reports an object once.
func (w *Walk) fail(k int32, err error) {
	if !w.done[k] {
		w.done[k] = true
		w.v.bad(w.id(k), err)
	}
}

func (w *Walk) id(k int32) []byte {
	if w.p.ids == nil {
		return nil
	}
	return w.p.ID(int(w.pos[k]))
}

var errMadeOfLost = errors.New("delta of an object that can't be read")

// failBelow reports an object and all deltas on it.
func (w *Walk) failBelow(k int32, err error) {
	todo := []int32{k}
	for len(todo) > 0 {
		k := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if w.needed[k] {
			w.fail(k, err)
		}
		for c := w.first[k]; c >= 0; c = w.sib[c] {
			todo = append(todo, c)
		}
		err = errMadeOfLost
	}
}

// Run reads the remaining objects. Several goroutines can call it at once and share the work.
// object receives each object once; its error ends the walk.
func (w *Walk) Run(ctx context.Context, object func(Object) error) error {
	r := runner{Walk: w, ctx: ctx, object: object}
	// Reading a mapped file that was truncated faults. SetPanicOnFault turns the fault into a
	// panic, which tree turns into an error.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	for {
		i := int(w.next.Add(1)) - 1
		if i >= len(w.roots) {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.tree(w.roots[i]); err != nil {
			w.next.Store(int64(len(w.roots)))
			return err
		}
	}
}
