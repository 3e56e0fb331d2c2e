// Package detect finds credentials in bytes. It searches for the literals of all rules in one
// pass, runs each rule's expression only around its literals, and judges each match by its
// structure and the text around it.
package detect

import (
	"bytes"
	"regexp/syntax"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
	"unsafe"

	"github.com/quellhq/quell/rules"
)

// maxLen is how many bytes a match may need on either side. A longer match (a private key of
// more than 32 KiB) may be cut where a chunk ends.
const maxLen = 32 << 10

// The runes beyond ASCII that fold into s and k: a case-insensitive expression matches them
// too.
const (
	longS  = 'ſ'
	kelvin = '\u212a'
)

// Engine implements scanners.Detector for a set of rules.
type Engine struct {
	allow   []*allowlist // for all rules
	rules   []*compiled
	anchors []placed // of all rules
	grams   *gramTable
	// atStart are the anchors whose grams begin before the literal: at the start of the text
	// there is no preceding byte.
	atStart []uint16
	slow    []int // rules that run around their keywords, or always
	scratch sync.Pool
	cache   *cache // nil: nothing is kept
}

type compiled struct {
	*rules.Rule
	number int // position in Engine.rules
	allow  []*allowlist
	slow   bool               // no usable literal: runs around its keywords
	run    func() *leadingRun // of a slow rule: nil: it runs over all text with a keyword
	// always is set where a slow rule has no keywords to run around.
	always bool
	leads  bool // a match begins with the expression's own literal
	// matcher finds a match whose start is known; nil: Go's regexp does.
	matcher func() *matcher
}

// placed is an anchor, or a keyword that enables a slow rule.
type placed struct {
	rule          int
	keyword       []byte
	literals      []string
	before, after extent
	leading       bool
	bound         bool
	least         int
	head          head
	needle        [2][]byte // nil: none
	rest          func() rest
	quiet         bool   // failed attempts don't depend on line breaks and masks; see broke
	mark          []byte // a mark that belongs to no rule: dumpMark, one of octetMarks, or half of a needle
	octets        bool   // the mark is one of octetMarks
}

// rest is what an expression requires from a literal on. Most attempts end at ahead, without the
// program.
type rest struct {
	prog  func() *syntax.Prog
	ahead *ahead
}

// New prepares the rules of set.
func New(set *rules.Set) *Engine {
	e := &Engine{allow: allowlists(set.Allowlists), cache: newCache()}
	e.scratch.New = func() any { return &scratch{} }
	var list []*rules.Rule
	for _, r := range set.Rules {
		if r.Regex != nil && !r.SkipReport {
			list = append(list, r)
		}
	}
	known, err := builtinPlaces()
	if err != nil {
		known = nil // analysed again; a test ensures that the files can be read
	}
	var grams []gramEntry
	for i, r := range list {
		x, ok := known[keyOf(r)]
		if !ok {
			x = analysisOf(r)
		}
		c := &compiled{Rule: r, number: i, slow: x.slow, allow: allowlists(r.Allowlists)}
		c.always = x.slow && (len(r.Keywords) == 0 || slices.ContainsFunc(r.Keywords, func(k string) bool { return len(k) < gramLen }))
		c.matcher = sync.OnceValue(func() *matcher { return newMatcher(r.Regex.String()) })
		e.rules = append(e.rules, c)
		if c.slow {
			e.slow = append(e.slow, i)
			c.run = sync.OnceValue(func() *leadingRun { return leadingRunOf(r.Regex.String()) })
		}
		for n, a := range x.anchors {
			p := placed{rule: i, literals: a.literals, before: a.before, after: a.after, leading: a.leading, bound: a.bound, least: a.least,
				head: a.head, needle: halves(a.needle)}
			if x.slow {
				p.keyword = []byte(r.Keywords[n])
			}
			p.quiet = r.Random || r.Provider == nil && !p.leading
			p.rest = sync.OnceValue(func() (x rest) {
				x.prog, x.ahead = program(r.Regex.String(), a.path, a.elem)
				return x
			})
			id := uint16(len(e.anchors))
			for _, g := range a.grams {
				grams = append(grams, gramEntry{gram: g.gram, anchor: id, off: int8(g.off), bound: a.bound})
				if g.off < 0 && (len(e.atStart) == 0 || e.atStart[len(e.atStart)-1] != id) {
					e.atStart = append(e.atStart, id)
				}
			}
			e.anchors = append(e.anchors, p)
			c.leads = c.leads || p.leading
		}
	}
	grams = sortGrams(grams)
	for i := range grams {
		grams[i].behead(e.anchors[grams[i].anchor].literals)
	}
	e.grams = newGramTable(e.mark(grams))
	return e
}

// mark adds the marks, and their grams to the sorted grams of the rules.
func (e *Engine) mark(grams []gramEntry) []gramEntry {
	var marks [][]byte
	if slices.ContainsFunc(e.rules, func(c *compiled) bool { return c.ID == dumpRule }) {
		marks = append(marks, dumpMark)
	}
	octets := len(marks)
	marks = append(marks, octetMarks...)
	notOctets := len(marks)
	for _, p := range e.anchors {
		for _, half := range p.needle {
			if half != nil && !slices.ContainsFunc(marks, func(m []byte) bool { return bytes.Equal(m, half) }) {
				marks = append(marks, half)
			}
		}
	}
	for i, m := range marks {
		literals := []string{strings.ToLower(string(m))}
		g := rarest(literals[0])
		x := gramEntry{gram: g.gram, anchor: uint16(len(e.anchors)), off: int8(g.off)}
		x.behead(literals)
		k, _ := slices.BinarySearchFunc(grams, x, gramEntry.compare)
		grams = slices.Insert(grams, k, x)
		e.anchors = append(e.anchors, placed{mark: m, octets: i >= octets && i < notOctets})
	}
	return grams
}

// MaxLen implements scanners.Detector.
func (e *Engine) MaxLen() int { return maxLen }

// Slow lists the rules whose expression has no usable literal and does not begin with a run of
// bytes of one class. They run over all text that contains one of their keywords.
func (e *Engine) Slow() []string {
	var out []string
	for _, i := range e.slow {
		if e.rules[i].run() == nil {
			out = append(out, e.rules[i].ID)
		}
	}
	return out
}

// find calls f for every match of every rule whose literal is in one of the parts of b.
func (e *Engine) find(s *scratch, b []byte, parts []span, f func(raw)) {
	if len(s.win) == 0 {
		s.win = make([][]window, len(e.rules))
		s.gate = make([]bool, len(e.rules))
		s.quick = make([]quick, len(e.anchors))
		s.reach = make([]sliding, len(e.anchors))
	}
	for _, id := range s.reached {
		s.reach[id] = sliding{}
	}
	s.reached = s.reached[:0]
	s.steps, s.open, s.dumps, s.octets = 0, s.open[:0], s.dumps[:0], s.octets[:0]
	s.waiting, s.needles, s.counted = s.waiting[:0], s.needles[:0], s.counted[:0]
	for _, p := range parts {
		e.search(s, b, p)
	}
	for _, i := range e.slow {
		if s.gate[i] || e.rules[i].always {
			s.gate[i] = false
			if run := e.rules[i].run(); run != nil {
				s.win[i] = run.windows(b, s.win[i][:0])
			} else {
				s.win[i] = append(s.win[i][:0], window{span: span{0, len(b)}})
			}
			s.act = append(s.act, i)
		}
	}
	text := unsafe.String(unsafe.SliceData(b), len(b))
	for _, i := range s.act {
		r := e.rules[i]
		s.groups = merge(s.win[i], s.groups[:0])
		done := 0 // a widened window may contain the group before it again
		for k := 0; k < len(s.groups); k++ {
			if s.groups[k].clear && e.direct(s, r, b, &s.groups[k]) {
				for _, m := range s.direct {
					done = m[1]
					if e.gated(r, b, m[0], m[1]) {
						f(r.match(text, m, 0))
					}
				}
				continue
			}
			w, found := span{}, [][]int(nil)
			w, k, found = e.inWindow(s, r, b, text, k)
			for _, m := range found {
				if w.start+m[0] < done {
					continue
				}
				done = w.start + m[1]
				if e.gated(r, b, w.start+m[0], w.start+m[1]) {
					f(r.match(text, m, w.start))
				}
			}
		}
		s.win[i] = s.win[i][:0]
	}
	s.act = s.act[:0]
}

// inWindow runs the rule's expression in the k-th group. The window may have to be widened: it
// returns the window, and the last group that is in it.
func (e *Engine) inWindow(s *scratch, r *compiled, b []byte, text string, k int) (w span, last int, found [][]int) {
	groups := s.groups
	w = groups[k].span
	for {
		found = e.all(s, r, text[w.start:w.end])
		// A match that ends at an edge may end there only because the text is cut: it is
		// searched again in a wider window.
		wider := false
		if n := len(found); n > 0 && w.end < len(b) && found[n-1][1] == w.end-w.start {
			w.end, wider = min(len(b), w.end+2*longestLook), true
		}
		if len(found) > 0 && w.start > 0 && found[0][0] == 0 {
			w.start, wider = runeStart(b, max(0, w.start-2*longestLook)), true
		}
		for k+1 < len(groups) && groups[k+1].start <= w.end {
			k++
			w.end, wider = max(w.end, groups[k].end), true
		}
		if !wider {
			return w, k, found
		}
	}
}

// direct finds the matches of a group in which every start is known, and leaves them in the
// scratch. It reports false where the matcher can't decide one of them.
func (e *Engine) direct(s *scratch, r *compiled, b []byte, g *group) bool {
	m := r.matcher()
	if m == nil {
		return false
	}
	s.direct, s.slots = s.direct[:0], s.slots[:0]
	slices.SortFunc(g.windows, func(a, b window) int { return a.from - b.from })
	from := 0
	for _, w := range g.windows {
		if w.pos < from {
			continue
		}
		found := m.match(&s.ways, b, max(from, w.from), w.end)
		if found == nil {
			return false
		}
		n := len(s.slots)
		s.slots = append(s.slots, found...)
		s.direct = append(s.direct, s.slots[n:])
		from = found[1]
	}
	return true
}

// search opens windows where a match may be whose literal is in a part of b.
func (e *Engine) search(s *scratch, b []byte, part span) {
	// Of a gram that begins before the literal, the last three bytes are here.
	if part.start == 0 && len(b) >= gramLen && e.grams.triples[tripleAt(gramAt(b))]&lastThree != 0 {
		for _, id := range e.atStart {
			e.hit(s, b, id, 0, 0)
		}
	}
	for from := part.start; from < part.end && from+gramLen <= len(b); {
		n, next := e.grams.scan(b, from, part.end, &s.passed)
		for _, pos := range s.passed.hits[:n] {
			g := gramAt(b[pos:])
			list := e.grams.at(g)
			for i := range list {
				x := &list[i]
				if x.gram != g {
					continue
				}
				if at := int(pos) - int(x.off); !x.misses(b, at) {
					e.hit(s, b, x.anchor, at, int(x.off))
				} else if s.binary && x.bound {
					e.count(s, b, x.anchor, at)
				}
			}
		}
		from = next
	}
	if len(s.waiting) > 0 {
		e.wait(s, b, part)
	}
	if !s.unfolded {
		e.folded(s, b, part)
	}
}

// folded searches for literals written with one of the two runes, around each rune.
func (e *Engine) folded(s *scratch, b []byte, part span) {
	const around = 4 * longestLiteral
	for i := part.start; i < part.end; {
		k := foldingRune(b[i:part.end])
		if k < 0 {
			return
		}
		i += k
		from := runeStart(b, max(0, i-longestLiteral))
		to := min(len(b), i+around)
		var text [around + 2*longestLiteral]byte
		var at [around + 2*longestLiteral]int
		n := 0
		put := func(c byte, j int) { text[n], at[n] = c, j; n++ }
		for j := from; j < to; {
			c, size := utf8.DecodeRune(b[j:])
			switch c {
			case longS:
				put('s', j)
			case kelvin:
				put('k', j)
			default:
				for k := range min(size, to-j) {
					put(b[j+k], j+k)
				}
			}
			j += size
		}
		for j := 0; j+gramLen <= n; j++ {
			g := gramAt(text[j:])
			if !e.grams.may(g) {
				continue
			}
			for _, x := range e.grams.at(g) {
				if k := j - int(x.off); x.gram == g && k >= 0 && e.anchors[x.anchor].mark == nil {
					e.place(s, b, x.anchor, at[k], -1)
				}
			}
		}
		// A literal that contains a later rune begins at most its length before that.
		i = max(i+1, to-longestLiteral)
	}
}

// folding are the two runes in UTF-8.
var folding = [2][]byte{[]byte(string(longS)), []byte(string(kelvin))}

// foldingRune is the position of the first of the two runes, or -1.
func foldingRune(b []byte) int {
	first := -1
	for _, r := range folding {
		if k := bytes.Index(b, r); k >= 0 {
			b, first = b[:k], k
		}
	}
	return first
}

// gateNear is the largest distance of a keyword from its match.
const gateNear = 4096

// gated applies gitleaks' keyword condition to one match: a keyword must be in it or near it.
// gitleaks accepts one anywhere in a fragment, so that its result depends on where fragments
// are cut.
func (e *Engine) gated(r *compiled, b []byte, start, end int) bool {
	if len(r.Keywords) == 0 {
		return true
	}
	for _, around := range []int{0, gateNear} {
		near := bytes.ToLower(b[max(0, start-around):min(len(b), end+around)])
		for _, k := range r.Keywords {
			if bytes.Contains(near, []byte(k)) {
				return true
			}
		}
	}
	return false
}
