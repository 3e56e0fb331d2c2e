package detect

import (
	"regexp/syntax"
	"slices"
	"strings"
)

// A match of some expressions contains, far after its beginning, a literal that is rare in
// text: the signature's name in a signed URL. Where that literal isn't in reach, no automaton
// needs to read the URL.

// minNeedle is the shortest literal that is worth it.
const minNeedle = 12

// needleOf is the longest literal of the elements that must occur exactly as written, and whose
// halves are both cheap to search for.
func needleOf(elems []*syntax.Regexp) string {
	best := ""
	for _, e := range elems {
		if e.Op != syntax.OpLiteral || e.Flags&syntax.FoldCase != 0 || len(e.Rune) < minNeedle {
			continue
		}
		s := string(e.Rune)
		// The part before its first capital is left out.
		s = s[max(0, strings.IndexFunc(s, func(r rune) bool { return r >= 'A' && r <= 'Z' })):]
		if len(s) >= minNeedle && len(s) > len(best) && capital(s[0]) && capital(halves(s)[1][0]) {
			best = s
		}
	}
	return best
}

func capital(c byte) bool { return c >= 'A' && c <= 'Z' }

// halves cuts a needle in two, so that a line break in it leaves one half whole: before a
// capital, which few words contain, or in the middle.
func halves(needle string) (out [2][]byte) {
	if needle == "" {
		return out
	}
	cut := len(needle) / 2
	for i := minNeedle / 3; i <= len(needle)-minNeedle/3; i++ {
		if capital(needle[i]) {
			cut = i
		}
	}
	return [2][]byte{[]byte(needle[:cut]), []byte(needle[cut:])}
}

// waiting is an attempt that is made once the positions of needles are known.
type waiting struct {
	anchor   uint16
	pos, off int
}

// wait makes the attempts that waited for the end of the search through a part of b: those
// within whose reach one of a needle's halves was seen, or may be after the part.
func (e *Engine) wait(s *scratch, b []byte, part span) {
	slices.Sort(s.needles)
	k := 0
	for _, w := range s.waiting {
		limit := len(b)
		if p := &e.anchors[w.anchor]; p.after.loop == nil {
			// Twice as far, because wrapping may add indentation.
			limit = min(limit, w.pos+2*p.after.bytes)
		}
		// The attempts are in order, except for differences of a few bytes.
		for k > 0 && s.needles[k-1] >= w.pos {
			k--
		}
		for k < len(s.needles) && s.needles[k] < w.pos {
			k++
		}
		if k < len(s.needles) && s.needles[k] < limit || limit > part.end && part.end < len(b) {
			e.attempt(s, b, w.anchor, w.pos, w.off)
		}
	}
	s.waiting, s.needles = s.waiting[:0], s.needles[:0]
}
