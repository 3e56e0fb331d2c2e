package detect

import (
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// extent limits how much text an expression can take on one side of a position.
type extent struct {
	bytes int
	loop  *[256]bool // bytes of unbounded repetitions; nil: none
	all   *[256]bool // every byte that can occur
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

// length is the largest number of bytes that re matches outside of unbounded loops, whose bytes
// it adds to loop.
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

// shortest is the smallest number of bytes that a match of the elements can have.
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
