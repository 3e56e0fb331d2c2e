package detect

import (
	"encoding/binary"
	"math/bits"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// ahead tells soon of most attempts that they fail. A name as "key" is a word of every text,
// and so is a URL: that an assignment follows within a few words, or a "?" before the URL
// ends, shows sooner in a table than in an automaton, which counts.
type ahead struct {
	// skips are the bytes that can be of a match, and something else must follow; passes
	// what must. Any other byte ends the attempt, and beyond ASCII nothing is told.
	skips, passes asciiSet
	// forms are what the literal may be, none of which begins another one; without any,
	// what it is made of is skipped.
	forms []form
	// told: an automaton goes at least as far as to the byte that ends the attempt here, or
	// it ends where neither a line break nor a mask shows why; see broke.
	told bool
	// value is what follows what must follow, where that is known.
	value *ahead2
}

// ahead2 goes on behind an assignment's first byte: a value of some length must follow it,
// and, where that is known, something behind the value.
type ahead2 struct {
	assignment, value, behind asciiSet // what each may be of
	least                     int      // bytes of the value
	ended                     bool     // what is behind it is known
}

// asciiSet is a set of bytes below 0x80, a bit for each.
type asciiSet [2]uint64

func (s *asciiSet) has(c byte) bool { return c < utf8.RuneSelf && s[c>>6&1]>>(c&63)&1 != 0 }

// add puts the class's bytes in.
func (s *asciiSet) add(class *classSet) {
	for c := range utf8.RuneSelf {
		if class[c] == inside {
			s[c/64] |= 1 << (c % 64)
		}
	}
}

func (s *asciiSet) meets(o *asciiSet) bool { return s[0]&o[0]|s[1]&o[1] != 0 }

func (s *asciiSet) size() int { return bits.OnesCount64(s[0]) + bits.OnesCount64(s[1]) }

// form is a string with its letters in lower case: its first eight bytes with bit 0x20 set
// and as far as the mask goes, and what is behind them.
type form struct {
	head, mask uint64
	rest       string
	size       int
}

// farAhead is how far is looked behind the literal at most: farther on the automaton does.
const farAhead = 64

// mostForms is how many forms are compared.
const mostForms = 4

// aheadOf is nil where the elements behind a literal, which begins with one of them, don't
// begin with what is passed over and then one of some bytes that must be there.
func aheadOf(elems []*syntax.Regexp, elem int) *ahead {
	for k := len(elems); k > elem; k-- {
		forms, ok := exact(&syntax.Regexp{Op: syntax.OpConcat, Sub: elems[elem:k]})
		if !ok || len(forms) > mostForms || !prefixFree(forms) {
			continue
		}
		a := behind(elems[k:])
		if a == nil {
			return nil
		}
		for _, f := range forms {
			var b [8]byte
			n := copy(b[:], f)
			a.forms = append(a.forms, form{head: binary.LittleEndian.Uint64(b[:]) | fold8, mask: ^uint64(0) >> (64 - 8*n), rest: f[n:], size: len(f)})
		}
		return a
	}
	a := behind(elems[elem+1:])
	all, ok := exact(elems[elem])
	if a == nil || !ok {
		return nil
	}
	for _, l := range all {
		for _, c := range []byte(l) {
			if !a.skips.has(c) || letter(c) && !a.skips.has(c&^0x20) {
				return nil
			}
		}
	}
	a.told = false
	return a
}

// prefixFree reports whether none of the strings is empty, or begins another one.
func prefixFree(list []string) bool {
	for i, s := range list {
		for k, o := range list {
			if s == "" || i != k && strings.HasPrefix(o, s) {
				return false
			}
		}
	}
	return true
}

// fewBytes is how many bytes may be those that must follow where nothing comes before them.
const fewBytes = 24

// behind tells of the elements' bytes.
func behind(elems []*syntax.Regexp) *ahead {
	a := &ahead{}
	passed, loop := 0, false
	for i, e := range elems {
		if zeroWidth(e) {
			continue
		}
		var first, all classSet
		must, ok := firstOf(e, &first)
		if must && ok {
			a.passes = asciiSet{}
			a.passes.add(&first)
			if n := a.passes.size(); n > 0 && !a.passes.meets(&a.skips) && (passed > 0 || n <= fewBytes) {
				a.told = !a.skips.has('\n') && (loop && passed == 1 || !a.masks())
				a.value = valueOf(elems[i:])
				return a
			}
		}
		if !allOf(e, &all) {
			return nil
		}
		a.skips.add(&all)
		passed++
		set := e
		loop = false
		if set.Op == syntax.OpRepeat || set.Op == syntax.OpStar || set.Op == syntax.OpPlus {
			loop = single(set.Sub[0]) != nil && (set.Op != syntax.OpRepeat || set.Max < 0 || set.Max >= farAhead)
		}
	}
	return nil
}

// leastValue is the shortest value that is looked for.
const leastValue = 4

// valueOf is nil where the elements don't begin with what is passed over and then a value.
func valueOf(elems []*syntax.Regexp) *ahead2 {
	v := &ahead2{}
	for i, e := range elems {
		if zeroWidth(e) {
			continue
		}
		var all classSet
		if !allOf(e, &all) {
			return nil
		}
		if v.least = shortest(elems[i : i+1]); i == 0 || v.least < leastValue {
			v.assignment.add(&all)
			continue
		}
		v.value.add(&all)
		var first classSet
		if i+1 < len(elems) {
			if must, ok := firstOf(elems[i+1], &first); must && ok {
				v.behind.add(&first)
				v.ended = !v.behind.meets(&v.value)
			}
		}
		return v
	}
	return nil
}

// masks reports whether a mask's first byte is skipped.
func (a *ahead) masks() bool {
	for _, m := range masks {
		if a.skips.has(m[0]) {
			return true
		}
	}
	return a.skips.has('*')
}

// firstOf adds the bytes that a match of re can begin with, unless it may be empty: then
// must is false. ok is false where that isn't told so easily.
func firstOf(re *syntax.Regexp, set *classSet) (must, ok bool) {
	if s := single(re); s != nil {
		set.join(s)
		return true, true
	}
	switch re.Op {
	case syntax.OpLiteral:
		one := *re
		one.Rune = re.Rune[:1]
		s := single(&one)
		if s == nil {
			return false, false
		}
		set.join(s)
		return true, true
	case syntax.OpCapture, syntax.OpPlus:
		return firstOf(re.Sub[0], set)
	case syntax.OpStar, syntax.OpQuest, syntax.OpRepeat:
		must, ok = firstOf(re.Sub[0], set)
		return must && re.Op == syntax.OpRepeat && re.Min > 0, ok
	case syntax.OpConcat:
		for _, s := range re.Sub {
			if must, ok = firstOf(s, set); must || !ok {
				return must, ok
			}
		}
		return false, true
	case syntax.OpAlternate:
		must = true
		for _, s := range re.Sub {
			m, ok := firstOf(s, set)
			if !ok {
				return false, false
			}
			must = must && m
		}
		return must, true
	case syntax.OpEmptyMatch:
		return false, true
	case syntax.OpEndText: // where the text ends nothing is told
		return true, true
	}
	return false, false
}

// allOf adds all bytes that a match of re can hold, and reports false where that isn't told
// so easily.
func allOf(re *syntax.Regexp, set *classSet) bool {
	if s := single(re); s != nil {
		set.join(s)
		return true
	}
	switch re.Op {
	case syntax.OpLiteral:
		for i := range re.Rune {
			one := *re
			one.Rune = re.Rune[i : i+1]
			if s := single(&one); s != nil {
				set.join(s)
			} // else beyond ASCII, where nothing is told
		}
		return true
	case syntax.OpCapture, syntax.OpPlus, syntax.OpStar, syntax.OpQuest, syntax.OpRepeat, syntax.OpConcat, syntax.OpAlternate:
		for _, s := range re.Sub {
			if !allOf(s, set) {
				return false
			}
		}
		return true
	}
	return zeroWidth(re) || re.Op == syntax.OpEmptyMatch
}

func (s *classSet) join(o *classSet) {
	for c, k := range o {
		if k == inside {
			s[c] = inside
		}
	}
}

// may reports whether something that must follow a literal at b[pos] does, or may farther
// on, and how far behind b[pos] it looked. Of a value it says nothing unless asked.
func (a *ahead) may(b []byte, pos int, value bool) (ok bool, n int) {
	from := pos
	if a.forms != nil {
		size := a.size(b, pos)
		if size == 0 {
			return true, 0
		}
		from += size
	}
	for i, c := range b[from:min(len(b), from+farAhead)] {
		if a.skips.has(c) {
			continue
		}
		n = from + i - pos
		switch {
		case c >= utf8.RuneSelf:
			return true, n
		case !a.passes.has(c):
			return false, n
		case !value || a.value == nil:
			return true, n
		}
		ok, i = a.value.may(b, pos+n+1)
		return ok, n + 1 + i
	}
	return true, farAhead
}

// may reports whether a value stands at b[pos], behind what may stand before it, or may
// farther on, and how far it looked.
func (v *ahead2) may(b []byte, pos int) (ok bool, n int) {
	size, before := 0, true // of the value until now; whether all of it may stand before one
	for i, c := range b[pos:min(len(b), pos+farAhead)] {
		switch {
		case c >= utf8.RuneSelf:
			return true, i
		case v.value.has(c):
			if size++; size >= v.least && !v.ended {
				return true, i
			}
			before = before && v.assignment.has(c)
		case size >= v.least && v.behind.has(c):
			return true, i
		case !before || !v.assignment.has(c):
			return false, i
		default:
			size = 0
		}
	}
	return true, farAhead
}

// size is the length of the form that stands at b[pos], or 0.
func (a *ahead) size(b []byte, pos int) int {
	if pos+8 > len(b) {
		return 0
	}
	head := binary.LittleEndian.Uint64(b[pos:]) | fold8
	for i := range a.forms {
		f := &a.forms[i]
		if (head^f.head)&f.mask != 0 || f.rest != "" && (pos+f.size > len(b) || !strings.EqualFold(string(b[pos+8:pos+f.size]), f.rest)) {
			continue
		}
		return f.size
	}
	return 0
}
