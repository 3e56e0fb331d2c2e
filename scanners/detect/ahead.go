package detect

import "regexp/syntax"

// ahead says of each byte behind an anchor's literal what it does to an attempt. A name
// as "key" is a word of every text; that an assignment follows within a few words shows
// sooner in a table than in an automaton, which counts.
type ahead [256]uint8

const (
	ends   = iota // it can't be of a match
	skips         // it can be, and something else must follow
	passes        // what must follow
)

// aheadOf is nil where the elements behind the literal don't begin with what may be left
// out, classes of bytes, and then what may not, or where the literal's own bytes can't be
// passed over.
func aheadOf(literal *syntax.Regexp, behind []*syntax.Regexp) *ahead {
	var out ahead
	for i := 0x80; i < len(out); i++ {
		out[i] = passes
	}
	for _, e := range behind {
		optional := e.Op == syntax.OpStar || e.Op == syntax.OpQuest || e.Op == syntax.OpRepeat && e.Min == 0
		if optional {
			set := single(e.Sub[0])
			if set == nil {
				return nil
			}
			out.add(set, skips)
			continue
		}
		if !out.first(e) {
			return nil
		}
		all, ok := exact(literal)
		for _, l := range all {
			for _, c := range []byte(l) {
				ok = ok && out[c] == skips && (!letter(c) || out[c&^0x20] == skips)
			}
		}
		if !ok {
			return nil
		}
		return &out
	}
	return nil
}

func (a *ahead) add(set *classSet, kind uint8) {
	for c := range 0x80 {
		if set[c] == inside {
			a[c] = kind
		}
	}
}

// first adds the bytes that a match of re can begin with, and reports false where it may be
// empty, or begins with what isn't told so easily.
func (a *ahead) first(re *syntax.Regexp) bool {
	if set := single(re); set != nil {
		a.add(set, passes)
		return true
	}
	switch re.Op {
	case syntax.OpLiteral:
		one := *re
		one.Rune = re.Rune[:1]
		set := single(&one)
		if set != nil {
			a.add(set, passes)
		}
		return set != nil
	case syntax.OpConcat, syntax.OpCapture, syntax.OpPlus:
		return a.first(re.Sub[0])
	case syntax.OpRepeat:
		return re.Min > 0 && a.first(re.Sub[0])
	case syntax.OpAlternate:
		for _, s := range re.Sub {
			if !a.first(s) {
				return false
			}
		}
		return true
	}
	return false
}

// farAhead is how far is looked at most: behind it the automaton does.
const farAhead = 64

// may reports whether something that must follow a literal at b[pos] does, or may farther
// on, and how far it looked.
func (a *ahead) may(b []byte, pos int) (ok bool, n int) {
	for i, c := range b[pos:min(len(b), pos+farAhead)] {
		if a[c] != skips {
			return a[c] == passes, i
		}
	}
	return true, farAhead
}
