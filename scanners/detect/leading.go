package detect

import (
	"regexp/syntax"
	"unicode/utf8"
)

// leadingRun is the beginning of every match of a rule without a usable literal: a run of bytes of
// one class, such as the 15 digits of an application's number. The rule's expression runs only
// around such runs, not over all of the text.
type leadingRun struct {
	class [256]bool
	least int // bytes that the run has at least
	most  int // bytes that a match has at most
}

// leastRun is the shortest run worth a search, in bytes: shorter ones are in most lines.
const leastRun = 8

// leadingRunOf returns nil where matches of the expression do not begin with a run of ASCII
// bytes, or can be of any length.
func leadingRunOf(expr string) *leadingRun {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil || len(alternatives(re)) != 1 {
		return nil
	}
	elems := flatten(re, nil)
	for len(elems) > 0 && zeroWidth(elems[0]) {
		elems = elems[1:]
	}
	if len(elems) == 0 || elems[0].Op != syntax.OpRepeat || elems[0].Min < leastRun {
		return nil
	}
	class := elems[0].Sub[0]
	for class.Op == syntax.OpCapture {
		class = class.Sub[0]
	}
	if class.Op != syntax.OpCharClass || len(class.Rune) == 0 || class.Rune[len(class.Rune)-1] >= utf8.RuneSelf {
		return nil
	}
	x := reach(elems)
	if x.loop != nil {
		return nil
	}
	r := &leadingRun{least: elems[0].Min, most: x.bytes}
	addBytes(class, &r.class)
	return r
}

// windows appends a window for each run of b. A byte is looked at only where a run that begins
// after the last byte outside of the class would have to contain it.
func (r *leadingRun) windows(b []byte, out []window) []window {
	last := -1 // the last byte that is known to be outside of the class
	for last+r.least < len(b) {
		probe := last + r.least
		if !r.class[b[probe]] {
			last = probe
			continue
		}
		from, to := probe, probe+1
		for from > last+1 && r.class[b[from-1]] {
			from--
		}
		for to < len(b) && r.class[b[to]] {
			to++
		}
		if to-from >= r.least {
			end := min(len(b), to-r.least+r.most+edge)
			out = append(out, window{span: span{runeStart(b, max(0, from-edge)), end}})
		}
		last = to
	}
	return out
}
