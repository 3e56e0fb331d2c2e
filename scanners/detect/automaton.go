package detect

import (
	"encoding/binary"
	"regexp/syntax"
	"slices"
	"unicode/utf8"
)

// automaton decides whether a match of an anchor's rest may begin at a place.
// It is a DFA over bytes, built while it runs: exact for ASCII, and on any
// other byte that the expression could take it says "may". One goroutine uses
// it.
type automaton struct {
	prog   *syntax.Prog
	states []dstate
	ids    map[string]int32
	mark   []uint32 // by instruction: seen in generation gen
	gen    uint32
	stack  []uint32
}

type dstate struct {
	insts []uint32
	prev  prevByte
	next  [256]int32 // a state's number + 3, or one of the outcomes below
	end   int32      // the outcome where the text ends here
}

// Outcomes of a step. Zero is "not computed yet".
const (
	dead  = 1
	match = 2 // or may be one
	first = 3
)

// prevByte is what assertions need to know of the byte before.
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

// maxStates bounds an automaton's memory: about a kilobyte a state. Beyond it
// the automaton begins anew.
const maxStates = 2000

func newAutomaton(p *syntax.Prog) *automaton {
	a := &automaton{prog: p, mark: make([]uint32, len(p.Inst))}
	a.reset()
	return a
}

func (a *automaton) reset() {
	a.states, a.ids = a.states[:0], map[string]int32{}
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
	a.ids[string(key)] = id
	return id
}

// may reports whether a match may begin at b[pos].
func (a *automaton) may(b []byte, pos int) bool {
	s := int32(classOf(b, pos))
	for _, c := range b[pos:] {
		t := a.states[s].next[c]
		if t == 0 {
			if len(a.states) >= maxStates {
				a.reset()
				return true
			}
			t = a.step(s, int(c))
			a.states[s].next[c] = t
		}
		switch t {
		case dead:
			return false
		case match:
			return true
		}
		s = t - first
	}
	if a.states[s].end == 0 {
		a.states[s].end = dead
		if _, ok := a.closure(s, -1); ok {
			a.states[s].end = match
		}
	}
	return a.states[s].end == match
}

// closure follows what takes no byte from a state, with c (or -1, the text's
// end) to come: assertions look at both sides.
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
	if matched {
		return match
	}
	var next []uint32
	a.gen++
	for _, pc := range runes {
		in := &a.prog.Inst[pc]
		if c >= utf8.RuneSelf {
			if beyondASCII(in, byte(c)) {
				return match
			}
			continue
		}
		if in.MatchRune(rune(c)) && a.mark[in.Out] != a.gen {
			a.mark[in.Out] = a.gen
			next = append(next, in.Out)
		}
	}
	if len(next) == 0 {
		return dead
	}
	prev := afterOther
	switch {
	case c == '\n':
		prev = afterLF
	case word(byte(c)):
		prev = afterWord
	}
	return a.state(next, prev) + first
}

// beyondASCII reports whether an instruction may take a rune whose UTF-8 begins
// with, or goes on with, the byte c. Of the two runes that fold into ASCII only
// the first byte is looked for: no expression takes them alone.
func beyondASCII(in *syntax.Inst, c byte) bool {
	switch in.Op {
	case syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
		return true
	}
	folds := syntax.Flags(in.Arg)&syntax.FoldCase != 0 && len(in.Rune) == 1
	for i := 0; i < len(in.Rune); i++ {
		r := in.Rune[i]
		if r < utf8.RuneSelf {
			continue
		}
		// Classes are pairs; a lone folding rune stands twice.
		if pair := i | 1; (r == longS || r == kelvin) && pair < len(in.Rune) && in.Rune[pair] == r && in.Rune[pair&^1] == r {
			folds = true
			i = pair
			continue
		}
		return true
	}
	return folds && (c == longSFirst || c == kelvinFirst)
}

// The first bytes of ſ and of the Kelvin sign in UTF-8.
const longSFirst, kelvinFirst = 0xc5, 0xe2
