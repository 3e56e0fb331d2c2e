package detect

import (
	"bytes"
	"regexp/syntax"
)

// A match of some expressions holds, far behind its beginning, a literal that
// little text has: the signature's name in a signed URL. Where it doesn't stand
// in reach no automaton need go through the URL.

// minNeedle is the shortest literal that is worth it.
const minNeedle = 12

// needleOf is the longest literal of the elements that must stand as it is, and of
// which both halves are soon looked for.
func needleOf(elems []*syntax.Regexp) string {
	best := ""
	for _, e := range elems {
		if e.Op != syntax.OpLiteral || e.Flags&syntax.FoldCase != 0 || len(e.Rune) < minNeedle {
			continue
		}
		if s := string(e.Rune); len(s) > len(best) && capital(s[0]) && capital(halves(s)[1][0]) {
			best = s
		}
	}
	return best
}

func capital(c byte) bool { return c >= 'A' && c <= 'Z' }

// halves cuts a needle in two, so that a line break in it leaves one of them
// whole: before a capital, which few words have, or in the middle.
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

// sought is what is known of the halves of an anchor's needle: where the next ones
// stand, or up to where there are none.
type sought struct {
	used bool
	from int // where this begins
	at   [2]int
	none [2]int
}

// within reports whether one of a needle's halves stands in reach behind b[pos], or
// may stand behind the text's end.
func (s *scratch) within(p *placed, id uint16, b []byte, pos int) bool {
	limit := len(b)
	if p.after.loop == nil {
		// Twice as far: what wraps lines may indent them.
		limit = pos + 2*p.after.bytes
	}
	if limit >= len(b) {
		return true
	}
	x := &s.sought[id]
	if !x.used || pos < x.from {
		if !x.used {
			s.seeking = append(s.seeking, id)
		}
		*x = sought{used: true, at: [2]int{-1, -1}}
	}
	x.from = pos
	for k, half := range p.needle {
		if x.at[k] >= pos {
			return true
		}
		if from := max(pos, x.none[k]); from < limit {
			if i := bytes.Index(b[from:limit], half); i >= 0 {
				x.at[k] = from + i
				return true
			}
			// The limit may cut one.
			x.none[k] = max(from, limit-len(half)+1)
		}
	}
	return false
}
