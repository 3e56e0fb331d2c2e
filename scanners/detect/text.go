package detect

import (
	"slices"
	"sort"
)

// text is bytes to be searched: a chunk itself, or bytes derived from another text, with the
// position that every byte came from.
type text struct {
	seen   survey
	parsed parsed
	nearby nearby
	data   []byte
	parent *text     // nil: the chunk
	segs   []segment // by position; none for the chunk
	cuts   []int     // where something was removed or replaced
	// payloads are the control strings that were removed, in the parent.
	payloads []span

	views   []string // what was removed or joined on the way
	decoded []string // what was decoded on the way, outermost first
	id      int      // identifies the text within one chunk
	marks   *marks   // collects those of a log; nil: not collected
	// inside is set where the text began earlier than its bytes here: an encoding may be in the
	// middle of a group.
	inside bool
	// openStart and openEnd are set where the text is a piece of a longer line: the end of the
	// piece is not the end of a match.
	openStart, openEnd bool
}

// segment is a piece of a text and the piece of its parent that it came from.
type segment struct {
	at       int // in the text
	from, to int // in the parent
	kind     segmentKind
}

type segmentKind uint8

const (
	copied segmentKind = iota // byte for byte
	whole                     // a byte of it needs all of its source
	pairs                     // two bytes each: hex, UTF-16
	quads                     // four bytes each: UTF-32
	groups                    // three of four each: base64
)

// reset prepares t for bytes derived from parent.
func (t *text) reset(parent *text) {
	t.parent, t.data, t.segs, t.cuts = parent, t.data[:0], t.segs[:0], t.cuts[:0]
	t.payloads, t.parsed, t.nearby = t.payloads[:0], parsed{}, nearby{}
	t.seen.reset() // the survey was another text's
	t.seen.unfolded = false
	t.views, t.decoded, t.inside = parent.views, parent.decoded, false
	t.id, t.openStart, t.openEnd = parent.id, false, false
	t.marks = nil
	if parent.parent == nil {
		t.marks = parent.marks
	}
}

// copy appends the parent's bytes from one position to another.
func (t *text) copy(from, to int) {
	if from >= to {
		return
	}
	if n := len(t.segs); n == 0 || t.segs[n-1].kind != copied || t.segs[n-1].to != from {
		t.segs = append(t.segs, segment{at: len(t.data), from: from, to: to})
	} else {
		t.segs[n-1].to = to
	}
	t.data = append(t.data, t.parent.data[from:to]...)
}

// put appends bytes that represent the parent's bytes from one position to another.
func (t *text) put(b []byte, from, to int, kind segmentKind) {
	if len(b) == 0 {
		return
	}
	t.segs = append(t.segs, segment{at: len(t.data), from: from, to: to, kind: kind})
	t.data = append(t.data, b...)
}

// drop removes the last byte.
func (t *text) drop() {
	n := len(t.data) - 1
	if n < 0 {
		return
	}
	t.data = t.data[:n]
	last := &t.segs[len(t.segs)-1]
	if last.at == n {
		t.segs = t.segs[:len(t.segs)-1]
	} else if last.kind == copied {
		last.to--
	}
}

// cut records that something is missing here.
func (t *text) cut() {
	if k, n := len(t.data), len(t.cuts); n == 0 || t.cuts[n-1] != k {
		t.cuts = append(t.cuts, k)
	}
}

// touched reports whether something was removed between start and end, or directly next to
// them.
func (t *text) touched(start, end int) bool {
	i := sort.SearchInts(t.cuts, start)
	return i < len(t.cuts) && t.cuts[i] <= end
}

// split reports whether something was removed between two bytes of start to end.
func (t *text) split(start, end int) bool {
	i := sort.SearchInts(t.cuts, start+1)
	return i < len(t.cuts) && t.cuts[i] < end
}

func (t *text) segmentOf(i int) int {
	return sort.Search(len(t.segs), func(k int) bool { return t.segs[k].at > i }) - 1
}

// maxWhole is the largest length of an encoded run for which a finding's position is the whole
// run. In a longer run, which a chunk may not contain completely, the position is that of the
// bytes that encode the finding.
const maxWhole = 16 << 10

// outer returns the parent's bytes that the text's bytes from start to end came from.
func (t *text) outer(start, end int) span {
	return span{t.edge(start, false), t.edge(max(end-1, start), true)}
}

// edge is where the byte i begins or ends in the parent.
func (t *text) edge(i int, end bool) int {
	s := t.segs[t.segmentOf(i)]
	k := i - s.at
	if s.to-s.from > maxWhole && s.kind == whole && end {
		return s.to
	}
	n := 0 // how many source bytes form one unit
	switch s.kind {
	case copied:
		n = 1
	case pairs:
		k, n = 2*k, 2
	case quads:
		k, n = 4*k, 4
	case groups:
		if s.to-s.from > maxWhole {
			k, n = k/3*4, 4
			break
		}
		fallthrough
	default:
		if end {
			return s.to
		}
		return s.from
	}
	if end {
		k += n
	}
	return min(s.from+k, s.to)
}

// raw returns the chunk's bytes that the text's bytes from start to end came from.
func (t *text) raw(start, end int) span {
	w := span{start, end}
	for ; t.parent != nil; t = t.parent {
		w = t.outer(w.start, w.end)
	}
	return w
}

// owner is the byte of the chunk that decides whether a match that begins at i belongs to the
// chunk or to its neighbour. It does not depend on how much of an encoded run the chunk
// contains.
func (t *text) owner(i int) int {
	for ; t.parent != nil; t = t.parent {
		s := t.segs[t.segmentOf(i)]
		k := i - s.at
		switch s.kind {
		case pairs:
			k *= 2
		case quads:
			k *= 4
		case groups:
			k = k / 3 * 4
		case whole:
			k = 0
		}
		i = min(s.from+k, s.to-1)
	}
	return i
}

// maxSpans limits the number of pieces that a finding is reported in.
const maxSpans = 64

// spans lists the pieces of the chunk that the text's bytes from start to end came from, in
// order.
func (t *text) spans(start, end int) []span {
	list := []span{{start, end}}
	for ; t.parent != nil; t = t.parent {
		var out []span
		for _, w := range list {
			for k := t.segmentOf(w.start); k < len(t.segs) && t.segs[k].at < w.end; k++ {
				until := w.end
				if k+1 < len(t.segs) {
					until = min(until, t.segs[k+1].at)
				}
				out = append(out, t.outer(max(w.start, t.segs[k].at), until))
			}
		}
		slices.SortFunc(out, func(a, b span) int { return a.start - b.start })
		list = out[:0]
		for _, w := range out {
			if n := len(list); n > 0 && w.start <= list[n-1].end {
				list[n-1].end = max(list[n-1].end, w.end)
			} else {
				list = append(list, w)
			}
		}
	}
	return list[:min(len(list), maxSpans)]
}

// place is the first byte of the text that came from the parent's byte i or a later one.
func (t *text) place(i int) int {
	k := sort.Search(len(t.segs), func(k int) bool { return t.segs[k].to > i })
	if k == len(t.segs) {
		return len(t.data)
	}
	s := t.segs[k]
	if s.kind != copied || i <= s.from {
		return s.at
	}
	return s.at + i - s.from
}

// with adds to one of the lists of how a text was derived, without changing its parent's list.
func (s *scratch) with(list []string, step string) []string {
	if len(list) > 0 {
		return append(slices.Clip(list), step)
	}
	// Most lists have one step, and few steps exist.
	for _, one := range s.firsts {
		if one[0] == step {
			return one
		}
	}
	one := []string{step}
	s.firsts = append(s.firsts, one)
	return one
}
