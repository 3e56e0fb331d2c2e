package detect

import (
	"cmp"
	"maps"
	"math"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// anchor is what analysis finds out about one alternative of an expression:
// every match contains one of the literals, at most before bytes after its
// start, and ends at most after bytes behind the literal's first byte. Bytes
// of the loop classes don't count towards those bounds.
type anchor struct {
	literals      []string // lower case
	before, after extent
	// branch and elem are where in the expression the literal stands.
	branch, elem int
	// grams are what to search for: one of them stands in every match, off
	// bytes behind the literal's first.
	grams []placedGram
	// leading is set where the match begins with the literal.
	leading bool
	// least is the fewest bytes that a match has from the literal on.
	least int
}

type placedGram struct {
	gram uint32
	off  int16
}

type extent struct {
	bytes int
	loop  *[256]bool // bytes of unbounded repetitions; nil: none
	all   *[256]bool // every byte that can occur
}

// minLiteral is the shortest literal worth searching for.
const minLiteral = 2

// longestLiteral is how much of a literal is searched for.
const longestLiteral = 24

// maxLiterals bounds the alternatives that one place is expanded to.
const maxLiterals = 256

// analyze splits an expression into its top alternatives and finds an anchor
// for each. ok is false where one of them has none: then every byte is a
// possible place of a match.
func analyze(expr string) (anchors []anchor, ok bool) {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, false
	}
	for i, b := range alternatives(re) {
		a := bestAnchor(flatten(b, nil))
		a.branch = i
		if len(a.grams) == 0 {
			return nil, false
		}
		anchors = append(anchors, a)
	}
	return anchors, true
}

// keyword is what to search for where a keyword opens the gate to a slow rule,
// and how long the rule's match can be. A keyword shorter than a gram counts as
// present everywhere.
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

// flatten lists the elements of a concatenation, groups dissolved.
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

// bestAnchor chooses the element whose grams are the rarest, the first of
// equals. An anchor without grams: there is none.
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
		best = anchor{elem: i, literals: lits, grams: grams, before: reach(elems[:i]), after: reach(elems[i:]), leading: lead, least: shortest(elems[i:])}
	}
	return best
}

// restOf is what the elements ask for from the i-th on, assertions right before
// it included.
func restOf(elems []*syntax.Regexp, i int) (*syntax.Prog, error) {
	for i > 0 && zeroWidth(elems[i-1]) {
		i--
	}
	return syntax.Compile((&syntax.Regexp{Op: syntax.OpConcat, Sub: elems[i:]}).Simplify())
}

// program is what an expression asks for from an anchor's literal on.
func program(expr string, branch, elem int) *syntax.Prog {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		panic("detect: an expression that was analysed does not parse: " + err.Error())
	}
	p, err := restOf(flatten(alternatives(re)[branch], nil), elem)
	if err != nil {
		panic("detect: an expression that was analysed does not compile: " + err.Error())
	}
	return p
}

// laterCost is how much rarer an inner literal must be than the first one: its
// automaton says less, since it sees only the rest of a match.
const laterCost = 4

// maxGrams bounds what a short literal is expanded to.
const maxGrams = 8192

// cheapest gives the grams of the literals that occur least, with how often
// that is expected per byte. Short literals are completed by what may follow
// them, or by the byte before, which is none of a word.
func cheapest(lits []string, rest *syntax.Prog, wordBefore bool) ([]placedGram, float64) {
	var out []placedGram
	total := 0.0
	short := false
	for _, l := range lits {
		if len(l) < gramLen {
			short = true
			break
		}
		at, least := 0, 1.0
		for off := 0; off+gramLen <= len(l); off++ {
			if p := frequency(gramOf(l[off:])); p < least {
				at, least = off, p
			}
		}
		out = append(out, placedGram{gramOf(l[at:]), int16(at)})
		total += least
	}
	if !short {
		return out, total
	}
	auto := newAutomaton(rest)
	set := map[uint32]struct{}{}
	for c := textStart; c <= afterOther; c++ {
		g, ok := auto.grams(c, maxGrams)
		if !ok {
			return nil, 0
		}
		maps.Copy(set, g)
	}
	out, total = nil, 0
	for g := range set {
		out = append(out, placedGram{g, 0})
		total += frequency(g)
	}
	if !wordBefore {
		return out, total
	}
	heads := map[uint32]struct{}{}
	for g := range set {
		heads[g<<8] = struct{}{}
	}
	var before []placedGram
	rare := 0.0
	for c := range 256 {
		if word(byte(c)) {
			continue
		}
		for h := range heads {
			before = append(before, placedGram{h | uint32(c|0x20), -1})
		}
	}
	slices.SortFunc(before, func(a, b placedGram) int { return cmp.Compare(a.gram, b.gram) })
	before = slices.Compact(before)
	for _, p := range before {
		rare += frequency(p.gram)
	}
	if rare < total && len(before) <= maxGrams {
		return before, rare
	}
	return out, total
}

// rarity is -log2 of how often a byte occurs in CI logs and Go sources, with
// bit 0x20 set, for 0x20-0x3f and 0x60-0x7f.
const rarity = "" +
	"\x03\x0a\x08\x09\x0b\x09\x0b\x0a\x08\x06\x06\x0b\x07\x05\x05\x05\x05\x05\x05\x06\x06\x06\x06\x07\x06\x07\x06\x08\x0b\x09\x0a\x0c" +
	"\x0a\x05\x06\x05\x06\x04\x07\x06\x06\x05\x08\x07\x06\x06\x05\x05\x06\x0a\x05\x05\x05\x06\x07\x08\x07\x08\x08\x07\x09\x08\x0c\x08"

// frequency is how often a gram is expected per byte, its collisions in the
// bitmap included.
func frequency(g uint32) float64 {
	n := 0
	for range gramLen {
		switch c := g & 0xff; {
		case c >= utf8.RuneSelf:
			n += 12
		default:
			n += int(rarity[c&0x1f|c>>1&0x20])
		}
		g >>= 8
	}
	return math.Ldexp(1, -n) + math.Ldexp(1, -hashBits)
}

// worth is how well the literals tell places apart: the length of the shortest,
// but a run of one letter is worth no more than two.
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

// prefixes lists lower-case strings one of which begins every match of the
// concatenation.
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

// exact lists all lower-case strings that re matches, if they are few. Runes
// beyond ASCII have none, but for the two that fold into it: they are left to
// the slow path.
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

// reach is how far the elements can extend.
func reach(elems []*syntax.Regexp) extent {
	var loop, all [256]bool
	x := extent{all: &all}
	unbounded := false
	for _, e := range elems {
		n, u := length(e, &loop)
		addBytes(e, &all)
		x.bytes += n
		unbounded = unbounded || u
	}
	if unbounded {
		x.loop = &loop
	}
	return x
}

// length is the most bytes that re matches outside of unbounded loops, whose
// bytes it adds to loop.
func length(re *syntax.Regexp, loop *[256]bool) (n int, unbounded bool) {
	switch re.Op {
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			n += max(utf8.RuneLen(r), 1)
			if r < utf8.RuneSelf && re.Flags&syntax.FoldCase != 0 {
				n += 2 // k and s fold with three-byte runes
			}
		}
	case syntax.OpCharClass:
		n = 1
		if k := len(re.Rune); k > 0 && re.Rune[k-1] >= utf8.RuneSelf {
			n = utf8.UTFMax
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		n = utf8.UTFMax
	case syntax.OpCapture, syntax.OpQuest:
		return length(re.Sub[0], loop)
	case syntax.OpConcat:
		for _, s := range re.Sub {
			k, u := length(s, loop)
			n, unbounded = n+k, unbounded || u
		}
	case syntax.OpAlternate:
		for _, s := range re.Sub {
			k, u := length(s, loop)
			n, unbounded = max(n, k), unbounded || u
		}
	case syntax.OpStar, syntax.OpPlus:
		addBytes(re.Sub[0], loop)
		return 0, true
	case syntax.OpRepeat:
		if re.Max < 0 {
			addBytes(re.Sub[0], loop)
			return 0, true
		}
		n, unbounded = length(re.Sub[0], loop)
		n *= re.Max
	}
	return n, unbounded
}

// shortest is the fewest bytes that a match of the elements can have.
func shortest(elems []*syntax.Regexp) int {
	n := 0
	for _, e := range elems {
		switch e.Op {
		case syntax.OpLiteral:
			n += len(e.Rune)
		case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
			n++
		case syntax.OpConcat, syntax.OpCapture, syntax.OpPlus:
			n += shortest(e.Sub)
		case syntax.OpRepeat:
			n += e.Min * shortest(e.Sub)
		case syntax.OpAlternate:
			least := shortest(e.Sub[:1])
			for i := range e.Sub {
				least = min(least, shortest(e.Sub[i:i+1]))
			}
			n += least
		}
	}
	return n
}

// addBytes adds every byte that may occur in a match of re.
func addBytes(re *syntax.Regexp, set *[256]bool) {
	add := func(lo, hi rune) {
		for r := lo; r <= hi && r < utf8.RuneSelf; r++ {
			set[r] = true
		}
		if hi >= utf8.RuneSelf {
			for i := utf8.RuneSelf; i < 256; i++ {
				set[i] = true
			}
		}
	}
	switch re.Op {
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			add(r, r)
			if re.Flags&syntax.FoldCase != 0 {
				for _, s := range []string{strings.ToLower(string(r)), strings.ToUpper(string(r))} {
					c, _ := utf8.DecodeRuneInString(s)
					add(c, c)
				}
			}
		}
	case syntax.OpCharClass:
		for i := 0; i+1 < len(re.Rune); i += 2 {
			add(re.Rune[i], re.Rune[i+1])
		}
	case syntax.OpAnyChar:
		add(0, utf8.MaxRune)
	case syntax.OpAnyCharNotNL:
		add(0, '\n'-1)
		add('\n'+1, utf8.MaxRune)
	}
	for _, s := range re.Sub {
		addBytes(s, set)
	}
}
