package detect

import (
	"regexp/syntax"
	"unicode"
	"unicode/utf8"
)

// matcher runs an expression at a position where a match is known to begin, because an
// automaton reached an end. It tries the expression's ways in their order; the first that
// succeeds is the match that Go's regexp returns. A loop over a class is one step. Where the
// matcher can't decide (a byte beyond ASCII that may belong to a rune of the expression, too
// many ways), it reports that, and Go's regexp runs instead.
type matcher struct {
	ops   []op
	slots int // two for each group, and two for the whole match
}

type op struct {
	kind opKind
	lazy bool
	// next is the target of a jump, and the way that a split tries first.
	next, other int
	n           int // least, of a loop; slot
	most        int // of a loop
	set         *classSet
	lit, fold   []byte // fold is combined by OR with the text's bytes before the comparison
}

type opKind uint8

const (
	opMatch opKind = iota
	opLit
	opSet
	opLoop
	opSplit
	opJump
	opSave
	opAssert
)

// classSet records for each byte whether a class takes it.
type classSet [256]uint8

const (
	outside = iota
	inside
	folded  // it begins a rune that folds into ASCII, or another one that the class does not take
	taken   // it belongs to a rune that the class takes, if it isn't one of those
	unclear // it may belong to a rune that the class takes
)

// unclear reports whether what begins at b[i], which isn't inside, may belong to a rune of the
// class that can't be determined.
func (s *classSet) unclear(b []byte, i int) bool {
	switch s[b[i]] {
	case unclear:
		return true
	case folded, taken:
		first, _ := runeAt(b[i:])
		return first != plain
	}
	return false
}

// run is how far a class's loop extends from b[at] on, at most times, and its position after
// least times: negative if it doesn't get there. runes reports whether some are beyond ASCII,
// and ok whether every byte could be decided.
func (s *classSet) run(b []byte, at, least, most int) (end, low int, runes, ok bool) {
	to := len(b)
	if most >= 0 {
		to = min(to, at+most)
	}
	end = at
	for end < to && s[b[end]] == inside {
		end++
	}
	if end == to || s[b[end]] != taken {
		low = at + least
		if end < low {
			low = -1
		}
		return end, low, false, end == to || !s.unclear(b, end)
	}
	n := end - at
	low = -1
	if n >= least {
		low = at + least
	}
	for end < len(b) && n != most {
		size := 1
		if s[b[end]] == taken {
			var first byte
			if first, size = runeAt(b[end:]); first != plain {
				return 0, 0, false, false
			}
		} else if s[b[end]] != inside {
			break
		}
		end += size
		if n++; n == least {
			low = end
		}
	}
	return end, low, true, end == len(b) || n == most || !s.unclear(b, end)
}

// maxOps limits a matcher's size: repeated groups are expanded.
const maxOps = 4000

// newMatcher returns nil where the expression needs a feature that a matcher lacks.
func newMatcher(expr string) *matcher {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil
	}
	m := &matcher{slots: 2 * (re.MaxCap() + 1)}
	if !m.add(re) {
		return nil
	}
	m.ops = append(m.ops, op{kind: opMatch})
	return m
}

func (m *matcher) add(re *syntax.Regexp) bool {
	if len(m.ops) > maxOps {
		return false
	}
	if zeroWidth(re) {
		m.ops = append(m.ops, op{kind: opAssert, n: int(re.Op)})
		return true
	}
	if set := single(re); set != nil {
		m.ops = append(m.ops, op{kind: opSet, set: set})
		return true
	}
	switch re.Op {
	case syntax.OpEmptyMatch:
		return true
	case syntax.OpLiteral:
		return m.literal(re)
	case syntax.OpCapture:
		m.ops = append(m.ops, op{kind: opSave, n: 2 * re.Cap})
		ok := m.add(re.Sub[0])
		m.ops = append(m.ops, op{kind: opSave, n: 2*re.Cap + 1})
		return ok
	case syntax.OpConcat:
		for _, s := range re.Sub {
			if !m.add(s) {
				return false
			}
		}
		return true
	case syntax.OpAlternate:
		return m.alternate(re.Sub)
	case syntax.OpStar:
		return m.repeat(re, 0, -1)
	case syntax.OpPlus:
		return m.repeat(re, 1, -1)
	case syntax.OpQuest:
		return m.repeat(re, 0, 1)
	case syntax.OpRepeat:
		return m.repeat(re, re.Min, re.Max)
	}
	return false
}

func (m *matcher) literal(re *syntax.Regexp) bool {
	o := op{kind: opLit}
	for _, r := range re.Rune {
		if r >= utf8.RuneSelf {
			return false
		}
		c, fold := byte(r), byte(0)
		if re.Flags&syntax.FoldCase != 0 && letter(c) {
			c, fold = c|0x20, 0x20
		}
		o.lit, o.fold = append(o.lit, c), append(o.fold, fold)
	}
	m.ops = append(m.ops, o)
	return true
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func (m *matcher) alternate(list []*syntax.Regexp) bool {
	var ends []int
	for i, s := range list {
		split := len(m.ops)
		if i+1 < len(list) {
			m.ops = append(m.ops, op{kind: opSplit, next: split + 1})
		}
		if !m.add(s) {
			return false
		}
		if i+1 < len(list) {
			ends = append(ends, len(m.ops))
			m.ops = append(m.ops, op{kind: opJump})
			m.ops[split].other = len(m.ops)
		}
	}
	for _, k := range ends {
		m.ops[k].next = len(m.ops)
	}
	return true
}

// repeat adds a loop over re from least to most times; most is negative where there is no
// limit.
func (m *matcher) repeat(re *syntax.Regexp, least, most int) bool {
	sub, lazy := re.Sub[0], re.Flags&syntax.NonGreedy != 0
	if set := single(sub); set != nil {
		m.ops = append(m.ops, op{kind: opLoop, set: set, n: least, most: most, lazy: lazy})
		return true
	}
	if most < 0 && shortest([]*syntax.Regexp{sub}) == 0 {
		return false // it could loop without end
	}
	for range least {
		if !m.add(sub) {
			return false
		}
	}
	split := func() int {
		k := len(m.ops)
		m.ops = append(m.ops, op{kind: opSplit, next: k + 1, lazy: lazy})
		return k
	}
	if most < 0 {
		k := split()
		ok := m.add(sub)
		m.ops = append(m.ops, op{kind: opJump, next: k})
		m.ops[k].other = len(m.ops)
		return ok
	}
	var splits []int
	for range most - least {
		splits = append(splits, split())
		if !m.add(sub) {
			return false
		}
	}
	for _, k := range splits {
		m.ops[k].other = len(m.ops)
	}
	return true
}

// single is the set for an expression that takes one rune, and nil for any other.
func single(re *syntax.Regexp) *classSet {
	var s classSet
	var runes []rune
	switch re.Op {
	case syntax.OpLiteral:
		if len(re.Rune) != 1 || re.Rune[0] >= utf8.RuneSelf {
			return nil
		}
		runes = []rune{re.Rune[0], re.Rune[0]}
		if c := re.Rune[0]; re.Flags&syntax.FoldCase != 0 {
			for r := unicode.SimpleFold(c); r != c; r = unicode.SimpleFold(r) {
				runes = append(runes, r, r)
			}
		}
	case syntax.OpCharClass:
		runes = re.Rune
	case syntax.OpAnyChar:
		runes = []rune{0, utf8.MaxRune}
	case syntax.OpAnyCharNotNL:
		runes = []rune{0, '\n' - 1, '\n' + 1, utf8.MaxRune}
	default:
		return nil
	}
	for i := 0; i+1 < len(runes); i += 2 {
		for r := runes[i]; r <= min(runes[i+1], utf8.RuneSelf-1); r++ {
			s[r] = inside
		}
	}
	kind := map[beyond]uint8{noRunes: outside, allRunes: taken, someRunes: unclear}[beyondASCII(syntax.InstRune, runes, 0)]
	for c := utf8.RuneSelf; c < len(s); c++ {
		s[c] = kind
	}
	if kind == outside {
		for i := 0; i+1 < len(runes); i += 2 {
			if foldsToASCII(runes[i]) {
				s[utf8.AppendRune(nil, runes[i])[0]] = folded
			}
		}
	}
	return &s
}

// way is an open choice: where to continue if the chosen way fails.
type way struct {
	kind    wayKind
	op      int
	pos     int // in the text; the slot's old value
	stretch int // how many bytes a loop may give back, or take; the slot
}

type wayKind uint8

const (
	waySplit wayKind = iota
	wayGreedy
	wayLazy
	// The same where there are runes beyond ASCII.
	wayGreedyRunes
	wayLazyRunes
	waySlot
)

// ways is a matcher's state while it runs.
type ways struct {
	open  []way
	slots []int
}

// A match may take a base number of steps (sixteen bytes of a loop are one step) and some more
// for each byte that it may reach: at this limit an expensive match still costs less than the
// expression does.
const (
	leastWays = 512
	moreWays  = 16
	mostWays  = 1 << 14
)

// match runs from b[at] on; a match ends at b[end] at most, which limits its steps. It returns
// the groups as Go's regexp does, and nil where it can't decide or nothing matches. The next
// call overwrites them.
func (m *matcher) match(w *ways, b []byte, at, end int) []int {
	w.open = w.open[:0]
	w.slots = w.slots[:0]
	for range m.slots {
		w.slots = append(w.slots, -1)
	}
	pos, pc := at, 0
	limit := min(leastWays+moreWays*(end-at), mostWays)
	for steps := 0; steps < limit; steps++ {
		o := &m.ops[pc]
		ok := true
		switch o.kind {
		case opMatch:
			w.slots[0], w.slots[1] = at, pos
			return w.slots
		case opLit:
			if ok = pos+len(o.lit) <= len(b); !ok {
				break
			}
			for i, c := range o.lit {
				if d := b[pos+i]; d|o.fold[i] != c {
					if d >= utf8.RuneSelf && o.fold[i] != 0 {
						if first, _ := runeAt(b[pos+i:]); first != plain {
							return nil
						}
					}
					ok = false
					break
				}
			}
			pos, pc = pos+len(o.lit), pc+1
		case opSet:
			size := 1
			switch {
			case pos == len(b):
				ok = false
			case o.set[b[pos]] == inside:
			case o.set.unclear(b, pos):
				return nil
			case o.set[b[pos]] == taken:
				_, size = runeAt(b[pos:])
			default:
				ok = false
			}
			pos, pc = pos+size, pc+1
		case opLoop:
			end, least, runes, clear := o.set.run(b, pos, o.n, o.most)
			if !clear {
				return nil
			}
			steps += (end - pos) / 16
			if ok = least >= 0; !ok {
				break
			}
			pc++
			x := way{wayGreedy, pc, end, least}
			if pos = end; o.lazy {
				x, pos = way{wayLazy, pc, least, end}, least
			}
			if runes {
				x.kind += wayGreedyRunes - wayGreedy
			}
			if end > least {
				w.open = append(w.open, x)
			}
		case opSplit:
			if o.lazy {
				w.open = append(w.open, way{kind: waySplit, op: o.next, pos: pos})
				pc = o.other
			} else {
				w.open = append(w.open, way{kind: waySplit, op: o.other, pos: pos})
				pc = o.next
			}
		case opJump:
			pc = o.next
		case opSave:
			w.open = append(w.open, way{kind: waySlot, pos: w.slots[o.n], stretch: o.n})
			w.slots[o.n] = pos
			pc++
		case opAssert:
			ok = holds(syntax.Op(o.n), b, pos)
			pc++
		}
		if ok {
			continue
		}
		if pc, pos = w.back(b); pc < 0 {
			return nil
		}
	}
	return nil
}

// back returns to the last open choice; the operation is negative where there is none.
func (w *ways) back(b []byte) (op, pos int) {
	for n := len(w.open) - 1; n >= 0; n-- {
		x := &w.open[n]
		switch x.kind {
		case waySlot:
			w.slots[x.stretch] = x.pos
			continue
		case waySplit:
			w.open = w.open[:n]
			return x.op, x.pos
		case wayGreedy:
			x.pos--
		case wayLazy:
			x.pos++
		case wayGreedyRunes:
			_, n := utf8.DecodeLastRune(b[x.stretch:x.pos])
			x.pos -= n
		case wayLazyRunes:
			_, n := utf8.DecodeRune(b[x.pos:])
			x.pos += n
		}
		op, pos = x.op, x.pos
		if x.pos == x.stretch {
			w.open = w.open[:n]
		} else {
			w.open = w.open[:n+1]
		}
		return op, pos
	}
	w.open = w.open[:0]
	return -1, 0
}

// holds reports whether an assertion is true between b[i-1] and b[i].
func holds(assertion syntax.Op, b []byte, i int) bool {
	atWord := (i > 0 && word(b[i-1])) != (i < len(b) && word(b[i]))
	switch assertion {
	case syntax.OpWordBoundary:
		return atWord
	case syntax.OpNoWordBoundary:
		return !atWord
	case syntax.OpBeginLine:
		return i == 0 || b[i-1] == '\n'
	case syntax.OpEndLine:
		return i == len(b) || b[i] == '\n'
	case syntax.OpBeginText:
		return i == 0
	}
	return i == len(b) // OpEndText
}

// head is what an expression takes before an anchor's literal: nothing, or up to most bytes of
// one class. Then the position is known at which the first match through the literal begins.
type head struct {
	known bool
	folds bool // the class takes runes beyond ASCII too
	class *[256]bool
	most  int
}

// headOf determines it from the elements before the literal.
func headOf(elems []*syntax.Regexp) head {
	h := head{known: true, class: new([256]bool)}
	for len(elems) > 0 && zeroWidth(elems[len(elems)-1]) {
		elems = elems[:len(elems)-1]
	}
	if len(elems) == 0 {
		return h
	}
	e := elems[0]
	switch {
	case len(elems) > 1:
		return head{}
	case e.Op == syntax.OpQuest:
		h.most = 1
	case e.Op == syntax.OpRepeat && e.Min == 0 && e.Max > 0:
		h.most = e.Max
	default:
		return head{}
	}
	set := single(e.Sub[0])
	if set == nil {
		return head{}
	}
	for c, in := range set {
		h.class[c] = in == inside
		h.folds = h.folds || in > inside
	}
	return h
}

// start is where the first match begins that contains the literal at b[pos]. ok is false where
// that can't be determined.
func (p *placed) start(b []byte, pos int) (start int, ok bool) {
	if !p.head.known {
		return pos, false
	}
	least := max(0, pos-p.head.most)
	start = pos
	for start > least && p.head.class[b[start-1]] {
		start--
	}
	return start, start == least || !p.head.folds || b[start-1] < utf8.RuneSelf
}
