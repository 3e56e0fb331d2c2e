package detect

import (
	"regexp/syntax"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// anchor is the result of analysing one alternative of an expression: every match contains one
// of the literals, at most before bytes after its start, and ends at most after bytes after the
// literal's first byte. Bytes of the loop classes don't count towards these limits.
type anchor struct {
	literals      []string // lower case
	before, after extent
	// path and elem give the position of the literal in the expression.
	path []int
	elem int
	// grams are what to search for: each match contains one of them, off bytes after the
	// literal's first byte.
	grams []placedGram
	// leading is set where the match begins with the literal.
	leading bool
	// bound is set where the literal begins at a word boundary.
	bound bool
	// least is the smallest number of bytes that a match has from the literal on.
	least int
	head  head
	// needle is a long literal that follows later, or empty.
	needle string
}

type placedGram struct {
	gram uint32
	off  int16
}

// minLiteral is the shortest literal worth searching for.
const minLiteral = 2

// longestLiteral is how many bytes of a literal are searched for.
const longestLiteral = 24

// maxLiterals limits the number of alternatives that one position is expanded to.
const maxLiterals = 256

// analyze splits an expression into its top alternatives and finds an anchor for each. ok is
// false where one of them has none: then a match may be at any byte.
func analyze(expr string) (anchors []anchor, ok bool) {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, false
	}
	for _, b := range branches(re) {
		a := bestAnchor(b.elems)
		a.path = b.path
		if len(a.grams) == 0 {
			return nil, false
		}
		anchors = append(anchors, a)
	}
	return anchors, true
}

// keyword is what to search for where a keyword enables a slow rule, with the largest length of
// the rule's match. A keyword shorter than a gram counts as present everywhere.
func keyword(k, expr string) anchor {
	if len(k) < gramLen {
		return anchor{}
	}
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return anchor{}
	}
	x := reach([]*syntax.Regexp{re})
	return anchor{grams: []placedGram{{gramOf(k), 0}}, before: x, after: x}
}

func alternatives(re *syntax.Regexp) []*syntax.Regexp {
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	if re.Op != syntax.OpAlternate {
		return []*syntax.Regexp{re}
	}
	var out []*syntax.Regexp
	for _, s := range re.Sub {
		out = append(out, alternatives(s)...)
	}
	return out
}

// maxExpansion is how often alternatives inside a branch are expanded.
const maxExpansion = 3

// branch is one path through an expression's alternatives: the number of the top alternative,
// then for each expansion the number of the element and of its alternative.
type branch struct {
	elems []*syntax.Regexp
	path  []int
}

// branches lists the elements of each top alternative. An alternative without an anchor, such
// as a group of names that have nothing in common, is expanded: each of the group's own
// alternatives gets an anchor.
func branches(re *syntax.Regexp) []branch {
	var out []branch
	var add func(b branch)
	add = func(b branch) {
		elems := b.elems
		if len(b.path) < 1+2*maxExpansion {
			for i, e := range elems {
				list := alternatives(e)
				if len(list) < 2 || !slices.ContainsFunc(list, hasLiteral) {
					continue
				}
				// Checked last: it costs more than everything else here.
				if len(bestAnchor(elems).grams) > 0 {
					break
				}
				for k := range list {
					add(b.into(i, k))
				}
				return
			}
		}
		out = append(out, b)
	}
	for i, a := range alternatives(re) {
		add(branch{flatten(a, nil), []int{i}})
	}
	return out
}

// into puts the k-th alternative of an element in the element's place.
func (b branch) into(elem, k int) branch {
	a := alternatives(b.elems[elem])[k]
	return branch{slices.Concat(b.elems[:elem], flatten(a, nil), b.elems[elem+1:]), append(slices.Clone(b.path), elem, k)}
}

func hasLiteral(re *syntax.Regexp) bool {
	return re.Op == syntax.OpLiteral && len(re.Rune) >= minLiteral || slices.ContainsFunc(re.Sub, hasLiteral)
}

// flatten lists the elements of a concatenation, with groups expanded.
func flatten(re *syntax.Regexp, out []*syntax.Regexp) []*syntax.Regexp {
	switch re.Op {
	case syntax.OpConcat:
		for _, s := range re.Sub {
			out = flatten(s, out)
		}
		return out
	case syntax.OpCapture:
		return flatten(re.Sub[0], out)
	}
	return append(out, re)
}

// bestAnchor chooses the element whose grams are the rarest, the first of equals. An anchor
// without grams means that there is none.
func bestAnchor(elems []*syntax.Regexp) anchor {
	var best anchor
	bestCost := 1.0
	leading := true
	for i := range elems {
		if zeroWidth(elems[i]) {
			continue
		}
		lead := leading
		leading = false
		lits := prefixes(elems[i:])
		if worth(lits) < minLiteral {
			continue
		}
		rest, err := restOf(elems, i)
		if err != nil {
			continue
		}
		wordBefore := i > 0 && elems[i-1].Op == syntax.OpWordBoundary
		grams, cost := cheapest(lits, rest, wordBefore)
		if !lead {
			cost *= laterCost
		}
		if grams == nil || cost >= bestCost {
			continue
		}
		bestCost = cost
		best = anchor{elem: i, literals: lits, grams: grams, before: reach(elems[:i]), after: reach(elems[i:]), leading: lead, least: shortest(elems[i:]), head: headOf(elems[:i]), needle: needleOf(elems[i+1:])}
		best.bound = wordBefore && !slices.ContainsFunc(lits, func(l string) bool { return !word(l[0]) })
	}
	return best
}

// restOf is what the elements require from the i-th on, including assertions directly before
// it.
func restOf(elems []*syntax.Regexp, i int) (*syntax.Prog, error) {
	for i > 0 && zeroWidth(elems[i-1]) {
		i--
	}
	return syntax.Compile((&syntax.Regexp{Op: syntax.OpConcat, Sub: elems[i:]}).Simplify())
}

// program is what an expression requires from an anchor's literal on, and the condition on the
// text after the literal.
func program(expr string, path []int, elem int) (func() *syntax.Prog, *ahead) {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		panic("detect: an expression that was analysed does not parse: " + err.Error())
	}
	b := branch{elems: flatten(alternatives(re)[path[0]], nil)}
	for path = path[1:]; len(path) > 0; path = path[2:] {
		b = b.into(path[0], path[1])
	}
	return sync.OnceValue(func() *syntax.Prog {
		p, err := restOf(b.elems, elem)
		if err != nil {
			panic("detect: an expression that was analysed does not compile: " + err.Error())
		}
		return p
	}), aheadOf(b.elems, elem)
}

// worth is how selective the literals are: the length of the shortest one, but at most two for
// a run of one letter.
func worth(list []string) int {
	n := 0
	for i, s := range list {
		k := len(s)
		if s != "" && strings.Count(s, s[:1]) == k {
			k = min(k, minLiteral)
		}
		if i == 0 || k < n {
			n = k
		}
	}
	return n
}

// prefixes lists lower-case strings; every match of the concatenation begins with one of them.
func prefixes(elems []*syntax.Regexp) []string {
	cur := []string{""}
	for _, e := range elems {
		for e.Op == syntax.OpCapture {
			e = e.Sub[0]
		}
		if zeroWidth(e) {
			continue
		}
		if all, ok := exact(e); ok && len(cur)*len(all) <= maxLiterals {
			cur = cross(cur, all)
			continue
		}
		var p []string
		switch {
		case e.Op == syntax.OpConcat:
			p = prefixes(e.Sub)
		case e.Op == syntax.OpAlternate:
			for _, s := range e.Sub {
				p = append(p, prefixes([]*syntax.Regexp{s})...)
			}
		case e.Op == syntax.OpPlus, e.Op == syntax.OpRepeat && e.Min >= 1:
			p = prefixes(e.Sub[:1])
		}
		if len(p) > 0 && len(cur)*len(p) <= maxLiterals {
			cur = cross(cur, p)
		}
		break
	}
	for i, s := range cur {
		cur[i] = s[:min(len(s), longestLiteral)]
	}
	slices.Sort(cur)
	return slices.Compact(cur)
}

// exact lists all lower-case strings that re matches, if they are few. Runes beyond ASCII are
// not listed; those two that fold into ASCII are left to the slow path.
func exact(re *syntax.Regexp) ([]string, bool) {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return []string{""}, true
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			if r >= utf8.RuneSelf {
				return nil, false
			}
		}
		return []string{strings.ToLower(string(re.Rune))}, true
	case syntax.OpCharClass:
		var out []string
		for i := 0; i+1 < len(re.Rune); i += 2 {
			for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
				if r == longS || r == kelvin {
					continue
				}
				if r >= utf8.RuneSelf || len(out) > 16 {
					return nil, false
				}
				out = append(out, strings.ToLower(string(r)))
			}
		}
		slices.Sort(out)
		out = slices.Compact(out)
		return out, len(out) > 0 && len(out) <= 4
	case syntax.OpCapture:
		return exact(re.Sub[0])
	case syntax.OpConcat:
		cur := []string{""}
		for _, s := range re.Sub {
			if zeroWidth(s) {
				return nil, false
			}
			e, ok := exact(s)
			if !ok || len(cur)*len(e) > maxLiterals {
				return nil, false
			}
			cur = cross(cur, e)
		}
		return cur, true
	case syntax.OpAlternate:
		var out []string
		for _, s := range re.Sub {
			e, ok := exact(s)
			if !ok || len(out)+len(e) > maxLiterals {
				return nil, false
			}
			out = append(out, e...)
		}
		return out, true
	case syntax.OpQuest:
		e, ok := exact(re.Sub[0])
		return append([]string{""}, e...), ok
	case syntax.OpRepeat:
		if re.Min != re.Max || re.Max > 8 {
			return nil, false
		}
		e, ok := exact(re.Sub[0])
		cur := []string{""}
		for range re.Min {
			if !ok || len(cur)*len(e) > maxLiterals {
				return nil, false
			}
			cur = cross(cur, e)
		}
		return cur, true
	}
	return nil, false
}

func cross(a, b []string) []string {
	out := make([]string, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			out = append(out, x+y)
		}
	}
	return out
}

func zeroWidth(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpWordBoundary, syntax.OpNoWordBoundary, syntax.OpBeginLine, syntax.OpBeginText, syntax.OpEndLine, syntax.OpEndText:
		return true
	}
	return false
}
