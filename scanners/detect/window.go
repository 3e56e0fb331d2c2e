package detect

import (
	"slices"
	"unicode/utf8"
)

type span struct{ start, end int }

// edge is how many bytes a window has beyond what a match can reach, so that no assertion (\b,
// $) depends on the window's edge.
const edge = 8

// sliding computes how far windows reach. Unbounded loops can make a window reach far. Each
// computation continues where the preceding one ended, so that all windows together cost one
// pass and not one pass each.
type sliding struct {
	lpos, lfrom, ln int // left: the last place, its reach, bytes outside of the loop between
	rpos, rto, rn   int // right, the same
	used            bool
}

func (s *sliding) left(b []byte, pos int, x extent) int {
	limit := x.bytes + edge
	from := max(0, pos-limit)
	if x.loop == nil {
		for i := pos; i > from; i-- {
			if !x.all[b[i-1]] {
				from = max(from, i-edge)
				break
			}
		}
	} else {
		if !s.used || pos < s.lpos {
			n := 0
			for from = pos; from > 0; from-- {
				if !x.loop[b[from-1]] {
					if n == limit {
						break
					}
					n++
				}
			}
			s.ln = n
		} else {
			from = s.lfrom
			for _, c := range b[s.lpos:pos] {
				if !x.loop[c] {
					s.ln++
				}
			}
			for ; s.ln > limit; from++ {
				if !x.loop[b[from]] {
					s.ln--
				}
			}
		}
		s.lpos, s.lfrom = pos, from
	}
	return runeStart(b, from)
}

// runeStart moves back to where a rune begins: a window must not begin within a rune.
func runeStart(b []byte, i int) int {
	for k := i; k > 0 && k > i-utf8.UTFMax; k-- {
		if b[k]&0xc0 != 0x80 {
			return k
		}
	}
	return i // no rune is that long: each of these bytes counts alone
}

func (s *sliding) right(b []byte, pos int, x extent) int {
	limit := x.bytes + edge
	if x.loop == nil {
		s.used = true
		return min(len(b), pos+limit)
	}
	to := pos
	n := 0
	if s.used && pos >= s.rpos && pos <= s.rto {
		to, n = s.rto, s.rn
		for _, c := range b[s.rpos:pos] {
			if !x.loop[c] {
				n--
			}
		}
	}
	for ; to < len(b); to++ {
		if !x.loop[b[to]] {
			if n == limit {
				break
			}
			n++
		}
	}
	s.rpos, s.rto, s.rn, s.used = pos, to, n, true
	return to
}

func word(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// window is where a rule's expression is to be run, because of a literal there.
type window struct {
	span
	pos int // of the literal
	// A match begins at from and contains the literal, if that is known (clear).
	from  int
	clear bool
}

// group is windows that touch: a search in their span finds the same matches as a search over
// all of the text.
type group struct {
	span
	windows []window
	clear   bool // all of them are
}

// merge sorts windows and groups them, into out.
func merge(ws []window, out []group) []group {
	slices.SortFunc(ws, func(a, b window) int { return a.start - b.start })
	first := len(out)
	for i, w := range ws {
		if n := len(out); n > first && w.start <= out[n-1].end {
			g := &out[n-1]
			g.end, g.clear = max(g.end, w.end), g.clear && w.clear
			g.windows = g.windows[:len(g.windows)+1]
		} else {
			out = append(out, group{w.span, ws[i : i+1], w.clear})
		}
	}
	return out
}
