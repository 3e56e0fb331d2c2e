package detect

import (
	"encoding/binary"
	"regexp/syntax"
	"slices"
	"unicode/utf8"
)

// automaton decides whether a match of an anchor's rest may begin at a position. It is a DFA
// over bytes, built while it runs, that treats a rune beyond ASCII as one byte. Where the
// expression distinguishes such runes the automaton answers "may". An automaton belongs to one
// goroutine.
type automaton struct {
	sample []byte  // one byte of each class
	next   []int32 // by state and class: the next state's index here + first, or an outcome
	states []dstate
	class  [256]uint8 // class of each byte: no instruction distinguishes bytes of one class
	prog   *syntax.Prog
	runes  []beyond // by instruction
	ids    map[string]int32
	mark   []uint32 // by instruction: visited in generation gen
	gen    uint32
	stack  []uint32
}

type dstate struct {
	insts []uint32
	prev  prevByte
	end   int32 // the outcome where the text ends in this state
}

// Outcomes of a step. Zero is "not computed yet".
const (
	dead   = 1
	maybe  = 2 // the expression decides whether a rune beyond ASCII is taken
	first  = 3
	accept = 1 << 24 // added to an outcome: a match ends before the byte
)

// prevByte is what assertions need to know of the preceding byte.
type prevByte byte

const (
	textStart prevByte = iota
	afterLF
	afterWord
	afterOther
)

func classOf(b []byte, pos int) prevByte {
	switch {
	case pos == 0:
		return textStart
	case b[pos-1] == '\n':
		return afterLF
	case word(b[pos-1]):
		return afterWord
	}
	return afterOther
}

// maxStates limits an automaton's memory. At the limit the automaton drops all states and
// starts again.
const maxStates = 2000

func newAutomaton(p *syntax.Prog) *automaton {
	a := &automaton{prog: p, mark: make([]uint32, len(p.Inst)), runes: make([]beyond, len(p.Inst))}
	for i := range p.Inst {
		in := &p.Inst[i]
		a.runes[i] = beyondASCII(in.Op, in.Rune, syntax.Flags(in.Arg))
	}
	a.classes()
	a.reset()
	return a
}

// classes numbers the bytes so that two bytes with one number lead to the same state from every
// state.
func (a *automaton) classes() {
	group := func(c int) uint8 { // what assertions and the end of ASCII distinguish
		switch {
		case c == '\n':
			return 1
		case word(byte(c)):
			return 2
		case c == longSFirst:
			return 3
		case c == kelvinFirst:
			return 4
		case c >= utf8.RuneSelf:
			return 5
		}
		return 0
	}
	var class [256]int
	for c := range class {
		class[c] = int(group(c))
	}
	n := 6
	type kind struct {
		op   syntax.InstOp
		rune *rune
		arg  uint32
	}
	seen := map[kind]bool{}
	for i := range a.prog.Inst {
		in := &a.prog.Inst[i]
		k := kind{op: in.Op, arg: in.Arg}
		switch in.Op {
		case syntax.InstRune, syntax.InstRune1:
			if len(in.Rune) > 0 {
				k.rune = &in.Rune[0] // copies of a repeated class share it
			}
		case syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
		default:
			continue
		}
		if seen[k] {
			continue
		}
		seen[k] = true
		split := map[int]int{} // the new number of the part that the instruction takes
		for c := range utf8.RuneSelf {
			if !in.MatchRune(rune(c)) {
				continue
			}
			old := class[c]
			if split[old] == 0 {
				split[old] = n
				n++
			}
			class[c] = split[old]
		}
	}
	a.sample = make([]byte, compact(&class))
	for c, k := range class {
		a.class[c] = uint8(k)
		a.sample[k] = byte(c)
	}
}

// compact renumbers the classes without gaps; a split that took all of a class leaves a gap. It
// returns the number of classes.
func compact(class *[256]int) int {
	to := map[int]int{}
	for c, old := range class {
		if _, ok := to[old]; !ok {
			to[old] = len(to)
		}
		class[c] = to[old]
	}
	return len(to)
}

func (a *automaton) reset() {
	a.states, a.next, a.ids = a.states[:0], a.next[:0], map[string]int32{}
	for c := textStart; c <= afterOther; c++ {
		a.state([]uint32{uint32(a.prog.Start)}, c)
	}
}

func (a *automaton) state(insts []uint32, prev prevByte) int32 {
	slices.Sort(insts)
	key := make([]byte, 1, 1+4*len(insts))
	key[0] = byte(prev)
	for _, i := range insts {
		key = binary.LittleEndian.AppendUint32(key, i)
	}
	if id, ok := a.ids[string(key)]; ok {
		return id
	}
	id := int32(len(a.states))
	a.states = append(a.states, dstate{insts: insts, prev: prev})
	a.next = append(a.next, make([]int32, len(a.sample))...)
	a.ids[string(key)] = id
	return id
}

// attempt describes how an attempt to match at a position ended.
type attempt struct {
	may bool // a match may begin here
	// end is where the longest match ends. stop is the byte at which the outcome was decided:
	// the bytes before it could have begun a match. end is negative where it isn't known.
	end, stop int
}

// longestLook limits how many bytes after a first match the automaton searches for a longer
// one.
const longestLook = 1024

// try runs from b[pos] on; the preceding byte is of class prev.
func (a *automaton) try(b []byte, pos int, prev prevByte) attempt {
	n := int32(len(a.sample))
	row := int32(prev) * n
	end, limit := -1, len(b)
	for i := pos; i < limit; i++ {
		c, size := b[i], 1
		if c >= utf8.RuneSelf {
			c, size = runeAt(b[i:])
		}
		k := row + int32(a.class[c])
		t := a.next[k]
		if uint32(t-first) < accept-first { // the most common case
			row = t - first
			i += size - 1
			continue
		}
		if t == 0 {
			if len(a.states) >= maxStates {
				a.reset()
				return attempt{may: true, end: -1, stop: i}
			}
			t = a.step(row/n, int(c))
			a.next[k] = t
		}
		if t&accept != 0 {
			if end < 0 {
				limit = min(limit, i+longestLook)
			}
			end = i
			t &^= accept
		}
		switch t {
		case dead:
			return attempt{may: end >= 0, end: end, stop: i}
		case maybe:
			return attempt{may: true, end: -1, stop: i}
		}
		row = t - first
		i += size - 1
	}
	if limit < len(b) {
		return attempt{may: true, end: -1, stop: limit}
	}
	if a.ends(row / n) {
		end = len(b)
	}
	return attempt{may: end >= 0, end: end, stop: len(b)}
}

// grams lists the folded grams that a match can begin with, given the preceding byte, which
// assertions depend on. ok is false where there are more than limit, where a match can be
// shorter than a gram, and where its first four bytes can be a rune beyond ASCII.
func (a *automaton) grams(prev prevByte, limit int) (out map[uint32]struct{}, ok bool) {
	out = map[uint32]struct{}{}
	var walk func(s int32, depth int, g uint32) bool
	walk = func(s int32, depth int, g uint32) bool {
		if depth == gramLen {
			out[g] = struct{}{}
			return len(out) <= limit
		}
		for k, c := range a.sample {
			t := a.next[int(s)*len(a.sample)+k]
			if t == 0 {
				t = a.step(s, int(c))
				a.next[int(s)*len(a.sample)+k] = t
			}
			switch {
			case t&accept != 0, c >= utf8.RuneSelf && t != dead && !foldFirst(c):
				return false
			case t == dead || t == maybe:
				continue
			}
			for c := range 256 {
				if a.class[c] == uint8(k) && !walk((t-first)/int32(len(a.sample)), depth+1, g|uint32(c|0x20)<<(8*depth)) {
					return false
				}
			}
		}
		return true
	}
	ok = walk(int32(prev), 0, 0)
	return out, ok
}

// closure follows the instructions that take no byte from a state. c is the next byte, or -1 at
// the end of the text: assertions depend on both sides.
func (a *automaton) closure(s int32, c int) (runes []uint32, matched bool) {
	var flags syntax.EmptyOp
	prev := a.states[s].prev
	if prev == textStart {
		flags |= syntax.EmptyBeginText | syntax.EmptyBeginLine
	}
	if prev == afterLF {
		flags |= syntax.EmptyBeginLine
	}
	if c < 0 {
		flags |= syntax.EmptyEndText | syntax.EmptyEndLine
	}
	if c == '\n' {
		flags |= syntax.EmptyEndLine
	}
	if (prev == afterWord) != (c >= 0 && word(byte(c))) {
		flags |= syntax.EmptyWordBoundary
	} else {
		flags |= syntax.EmptyNoWordBoundary
	}
	a.gen++
	stack := append(a.stack[:0], a.states[s].insts...)
	for len(stack) > 0 {
		pc := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if a.mark[pc] == a.gen {
			continue
		}
		a.mark[pc] = a.gen
		switch in := &a.prog.Inst[pc]; in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			stack = append(stack, in.Out, in.Arg)
		case syntax.InstCapture, syntax.InstNop:
			stack = append(stack, in.Out)
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(in.Arg)&^flags == 0 {
				stack = append(stack, in.Out)
			}
		case syntax.InstMatch:
			matched = true
		case syntax.InstFail:
		default:
			runes = append(runes, pc)
		}
	}
	a.stack = stack
	return runes, matched
}

func (a *automaton) step(s int32, c int) int32 {
	runes, matched := a.closure(s, c)
	flag := int32(0)
	if matched {
		flag = accept
	}
	var next []uint32
	a.gen++
	for _, pc := range runes {
		in := &a.prog.Inst[pc]
		if c >= utf8.RuneSelf {
			switch k := a.runes[pc]; {
			case k == someRunes, foldFirst(byte(c)) && k != noRunes:
				return maybe | flag
			case k != allRunes:
				continue
			}
		} else if !in.MatchRune(rune(c)) {
			continue
		}
		if a.mark[in.Out] != a.gen {
			a.mark[in.Out] = a.gen
			next = append(next, in.Out)
		}
	}
	if len(next) == 0 {
		return dead | flag
	}
	prev := afterOther
	switch {
	case c == '\n':
		prev = afterLF
	case word(byte(c)):
		prev = afterWord
	}
	return a.state(next, prev)*int32(len(a.sample)) + first | flag
}

// beyond describes which runes beyond ASCII an instruction takes.
type beyond uint8

const (
	noRunes  beyond = iota
	folds           // one or both of those that fold into ASCII, or none
	allRunes        // all, with or without those that fold
	someRunes
)

// beyondASCII determines it for a class's pairs of runes, for a single rune, and for any rune.
func beyondASCII(op syntax.InstOp, runes []rune, flags syntax.Flags) beyond {
	switch {
	case op == syntax.InstRuneAny || op == syntax.InstRuneAnyNotNL:
		return allRunes
	case len(runes) == 1 && runes[0] >= utf8.RuneSelf:
		return someRunes
	case len(runes) == 1 && flags&syntax.FoldCase != 0:
		return folds
	}
	out, next := noRunes, rune(utf8.RuneSelf)
	for i := 0; i+1 < len(runes); i += 2 {
		lo, hi := max(runes[i], utf8.RuneSelf), runes[i+1]
		switch {
		case hi < utf8.RuneSelf:
			continue
		case lo == hi && foldsToASCII(lo):
			out = max(out, folds)
			continue
		case lo > next && (lo > next+1 || !foldsToASCII(next)):
			return someRunes
		}
		out, next = allRunes, hi+1
	}
	if out == allRunes && next <= utf8.MaxRune {
		return someRunes
	}
	return out
}

func foldsToASCII(r rune) bool { return r == longS || r == kelvin }

// The first bytes of ſ and of the Kelvin sign in UTF-8, and a byte that represents all other
// runes beyond ASCII.
const longSFirst, kelvinFirst, plain = 0xc5, 0xe2, 0xff

func foldFirst(c byte) bool { return c == longSFirst || c == kelvinFirst }

// runeAt decodes the rune beyond ASCII that b begins with. first is its first byte
// if it folds into ASCII, else plain.
func runeAt(b []byte) (first byte, size int) {
	r, n := utf8.DecodeRune(b)
	if foldsToASCII(r) {
		return b[0], n
	}
	return plain, n
}
