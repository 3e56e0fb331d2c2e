// Package detect finds credentials in bytes: one search for the literals of
// all rules, each rule's expression around its literals only, then what can
// be told of a match from its structure and its neighbourhood.
package detect

import (
	"bytes"
	"cmp"
	"iter"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
	"unsafe"

	ahocorasick "github.com/BobuSumisu/aho-corasick"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

// maxLen bounds what a match may need on either side. Longer matches (a
// private key of more than 16 KiB) may be cut where a chunk ends.
const maxLen = 16 << 10

// The runes beyond ASCII that fold into it, to s and k: a case-insensitive
// expression matches them too.
const (
	longS  = 'ſ'
	kelvin = '\u212a'
)

// Engine implements scanners.Detector for a set of rules.
type Engine struct {
	set   *rules.Set
	rules []*compiled
	trie  *ahocorasick.Trie
	// owners[i] are the anchors that the trie's literal i belongs to.
	owners  [][]owner
	scratch sync.Pool
}

type compiled struct {
	*rules.Rule
	anchors []anchor
	gate    []string // keywords, where the rule has no usable literal
	lines   bool     // the expression loops over line breaks
}

type owner struct{ rule, anchor int }

// New prepares the rules of set.
func New(set *rules.Set) *Engine {
	e := &Engine{set: set}
	e.scratch.New = func() any { return &scratch{} }
	index := map[string]int{}
	var literals []string
	add := func(lit string, o owner) {
		i, ok := index[lit]
		if !ok {
			i = len(literals)
			index[lit] = i
			literals = append(literals, lit)
			e.owners = append(e.owners, nil)
		}
		if !slices.Contains(e.owners[i], o) {
			e.owners[i] = append(e.owners[i], o)
		}
	}
	for _, r := range set.Rules {
		if r.Regex == nil || r.SkipReport {
			continue
		}
		c := &compiled{Rule: r}
		n := len(e.rules)
		e.rules = append(e.rules, c)
		if anchors, ok := analyze(r.Regex.String()); ok {
			c.anchors = anchors
			for i, a := range anchors {
				c.lines = c.lines || a.before.lines() || a.after.lines()
				for _, lit := range a.literals {
					add(lit, owner{n, i})
				}
			}
			continue
		}
		c.gate, c.lines = r.Keywords, true
		for _, k := range r.Keywords {
			add(k, owner{n, -1})
		}
	}
	e.trie = ahocorasick.NewTrieBuilder().AddStrings(literals).Build()
	return e
}

// MaxLen implements scanners.Detector.
func (e *Engine) MaxLen() int { return maxLen }

// Slow lists the rules whose expression has no usable literal: they are run
// over all text that holds one of their keywords.
func (e *Engine) Slow() []string {
	var out []string
	for _, r := range e.rules {
		if len(r.anchors) == 0 {
			out = append(out, r.ID)
		}
	}
	return out
}

type scratch struct {
	lower []byte
	win   [][]span
	gate  []bool
	act   []int
	view  view
	auto  [][]*automaton // by rule and anchor
	reach [][]sliding    // likewise
}

// raw is one match of a rule's expression: all of it, and the secret's part.
type raw struct {
	rule       *compiled
	start, end int
	secret     span
	cookie     string
	text       []byte
	confidence rules.Confidence
	offline    rules.Offline
	allowed    bool
	claims     []string
	rawStart   int // in Chunk.Data
	rawEnd     int
	decoded    []string
	run        int // of the decoded text, 0: none
	owner      int // of a decoded match: where its encoded bytes begin
}

// Detect implements scanners.Detector.
func (e *Engine) Detect(c scanners.Chunk) iter.Seq[scanners.Match] {
	return func(yield func(scanners.Match) bool) {
		s := e.scratch.Get().(*scratch)
		defer e.scratch.Put(s)
		var found []raw
		text, place := c.Data, func(start, end int) (int, int) { return start, end }
		e.find(s, c.Data, nil, func(m raw) {
			m.text, m.rawStart, m.rawEnd = c.Data, m.secret.start, m.secret.end
			if e.judge(&m, c) {
				found = append(found, m)
			}
		})
		if s.view.derive(c.Data) {
			e.find(s, s.view.data, &s.view, func(m raw) {
				m.text = s.view.data
				m.rawStart, m.rawEnd = s.view.raw(m.secret.start, m.secret.end)
				if e.judge(&m, c) {
					found = append(found, m)
				}
			})
			text, place = s.view.data, s.view.raw
		}
		d := decoder{e: e, s: s, chunk: c, budget: maxDecoded, emit: func(m raw) { found = append(found, m) }}
		d.into(text, nil, place, func(i int) int { from, _ := place(i, i+1); return from })
		for _, m := range resolve(found) {
			owner := m.rawStart
			if m.run > 0 {
				owner = m.owner
			}
			if owner < c.From || (owner >= c.To && c.To < len(c.Data)) {
				continue
			}
			out := scanners.Match{Rule: m.rule.Rule, Secret: rules.NewSecret(m.text[m.secret.start:m.secret.end]), Start: m.rawStart, End: m.rawEnd,
				Confidence: m.confidence, Decoded: m.decoded, Offline: m.offline, Cookie: m.cookie, Claims: m.claims, Allowed: m.allowed}
			if !yield(out) {
				return
			}
		}
	}
}

// find calls f for every match of every rule in b. Of a view, only what its raw
// text does not show as well is looked at: windows in which something was
// removed, and rules that match across lines.
func (e *Engine) find(s *scratch, b []byte, v *view, f func(raw)) {
	if len(s.win) == 0 {
		s.win = make([][]span, len(e.rules))
		s.gate = make([]bool, len(e.rules))
		s.auto = make([][]*automaton, len(e.rules))
		s.reach = make([][]sliding, len(e.rules))
		for i, r := range e.rules {
			for _, a := range r.anchors {
				s.auto[i] = append(s.auto[i], newAutomaton(a.rest))
			}
			s.reach[i] = make([]sliding, len(r.anchors))
		}
	}
	for _, r := range s.reach {
		clear(r)
	}
	s.lower = appendLower(s.lower[:0], b)
	e.trie.Walk(s.lower, func(end, n, pattern int64) bool {
		pos := int(end - n + 1)
		for _, o := range e.owners[pattern] {
			e.hit(s, b, o, pos)
		}
		return true
	})
	e.folded(s, b)
	for i, r := range e.rules {
		if len(r.anchors) == 0 && (s.gate[i] || len(r.gate) == 0) {
			s.gate[i] = false
			s.win[i] = append(s.win[i][:0], span{0, len(b)})
			s.act = append(s.act, i)
		}
	}
	text := unsafe.String(unsafe.SliceData(b), len(b))
	for _, i := range s.act {
		r := e.rules[i]
		for _, w := range merge(s.win[i]) {
			if v != nil && !r.lines && !v.touches(w.start, w.end) {
				continue
			}
			for _, m := range r.Regex.FindAllStringSubmatchIndex(text[w.start:w.end], -1) {
				if e.gated(r, b, w.start+m[0], w.start+m[1]) {
					f(r.match(text, m, w.start))
				}
			}
		}
		s.win[i] = s.win[i][:0]
	}
	s.act = s.act[:0]
}

// folded looks for literals that are written with one of the two runes, in the
// neighbourhood of each.
func (e *Engine) folded(s *scratch, b []byte) {
	for _, r := range []rune{longS, kelvin} {
		utf := []byte(string(r))
		for i := 0; ; {
			k := bytes.Index(b[i:], utf)
			if k < 0 {
				break
			}
			i += k
			near := b[max(0, i-2*longestLiteral):min(len(b), i+2*longestLiteral)]
			from := max(0, i-2*longestLiteral)
			var text []byte
			var at []int
			for j := 0; j < len(near); {
				c, n := utf8.DecodeRune(near[j:])
				switch c {
				case longS:
					text, at = append(text, 's'), append(at, from+j)
				case kelvin:
					text, at = append(text, 'k'), append(at, from+j)
				default:
					for k := range n {
						text, at = append(text, near[j+k]), append(at, from+j+k)
					}
				}
				j += n
			}
			e.trie.Walk(appendLower(nil, text), func(end, n, pattern int64) bool {
				for _, o := range e.owners[pattern] {
					e.place(s, b, o, at[end-n+1])
				}
				return true
			})
			i += len(utf)
		}
	}
}

// gated applies gitleaks' keyword gate to one match: a keyword must stand in
// it or near it. gitleaks asks for one anywhere in a fragment, whose cut the
// result then depends on.
func (e *Engine) gated(r *compiled, b []byte, start, end int) bool {
	if len(r.Keywords) == 0 {
		return true
	}
	near := bytes.ToLower(b[max(0, start-4096):min(len(b), end+4096)])
	for _, k := range r.Keywords {
		if bytes.Contains(near, []byte(k)) {
			return true
		}
	}
	return false
}

func (e *Engine) hit(s *scratch, b []byte, o owner, pos int) {
	if o.anchor < 0 {
		s.gate[o.rule] = true
		return
	}
	if e.rules[o.rule].anchors[o.anchor].wordBefore && pos > 0 && word(b[pos-1]) == word(b[pos]) {
		return
	}
	if s.auto[o.rule][o.anchor].may(b, pos) {
		e.place(s, b, o, pos)
	}
}

// place opens a rule's window around a literal.
func (e *Engine) place(s *scratch, b []byte, o owner, pos int) {
	if o.anchor < 0 {
		s.gate[o.rule] = true
		return
	}
	a := &e.rules[o.rule].anchors[o.anchor]
	r := &s.reach[o.rule][o.anchor]
	w := span{r.left(b, pos, a.before), r.right(b, pos, a.after)}
	if len(s.win[o.rule]) == 0 {
		s.act = append(s.act, o.rule)
	}
	s.win[o.rule] = append(s.win[o.rule], w)
}

// match picks the secret out of an expression's groups, with gitleaks' choice:
// the named group, else the first that is not empty, else all of it.
func (r *compiled) match(text string, m []int, off int) raw {
	out := raw{rule: r, start: off + m[0], end: off + m[1], confidence: r.Confidence}
	for out.end > out.start && text[out.end-1] == '\n' {
		out.end--
	}
	g := 0
	switch {
	case r.Cookie != nil:
		g = 2
		out.cookie = strings.Clone(text[off+m[2] : off+m[3]])
		if p := cookiePrefix(text[out.start : off+m[2]]); p != "" {
			out.cookie = p + out.cookie
		}
	case r.SecretGroup > 0:
		g = r.SecretGroup
	default:
		for i := 1; 2*i < len(m); i++ {
			if m[2*i] >= 0 && m[2*i+1] > m[2*i] {
				g = i
				break
			}
		}
	}
	out.secret = span{out.start, out.end}
	if g > 0 && m[2*g] >= 0 {
		out.secret = span{off + m[2*g], off + m[2*g+1]}
	}
	return out
}

func cookiePrefix(s string) string {
	for _, p := range []string{"__Host-", "__Secure-"} {
		if strings.HasSuffix(s, p) {
			return p
		}
	}
	return ""
}

// resolve keeps one match per place: of those that overlap the most specific,
// then the longer, then the one that was read from the raw bytes.
func resolve(found []raw) []raw {
	slices.SortStableFunc(found, func(a, b raw) int {
		return cmp.Or(b.rule.Specific()-a.rule.Specific(), (b.secret.end-b.secret.start)-(a.secret.end-a.secret.start))
	})
	var kept []raw
	for _, m := range found {
		if !slices.ContainsFunc(kept, func(k raw) bool { return clash(m, k) }) {
			kept = append(kept, m)
		}
	}
	slices.SortFunc(kept, func(a, b raw) int { return a.rawStart - b.rawStart })
	return kept
}

// clash reports whether two matches are of the same text, so that only one may
// be reported. Several secrets of one encoded run stand at the same raw place,
// and each is one; but a rule that told the run itself from its place only gives
// way to what was read inside.
func clash(a, b raw) bool {
	if a.rawStart >= b.rawEnd || b.rawStart >= a.rawEnd {
		return false
	}
	if a.run == b.run && a.run > 0 {
		return a.secret.start < b.secret.end && b.secret.start < a.secret.end
	}
	if a.run > 0 && b.run > 0 {
		return bytes.Equal(a.text[a.secret.start:a.secret.end], b.text[b.secret.start:b.secret.end])
	}
	return true
}

func appendLower(dst, b []byte) []byte {
	for _, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}
