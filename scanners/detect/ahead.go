package detect

import (
	"encoding/binary"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// ahead tells soon of most attempts that they fail. A name as "key" is a word of every text,
// and so is a URL: that an assignment follows within a few words, or a "?" before the URL
// ends, shows sooner in a table than in an automaton, which counts.
type ahead struct {
	kinds [256]uint8 // by byte
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
	kinds [256]uint8 // by byte: bits
	least int        // bytes of the value
	ended bool       // what is behind it is known
}

// What a byte may be of.
const (
	ofAssignment = 1 << iota
	ofValue
	behindValue
)

// What a byte does to an attempt.
const (
	ends   = iota // it can't be of a match
	skips         // it can be, and something else must follow
	passes        // what must follow
)

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
			if a.kinds[c] != skips || letter(c) && a.kinds[c&^0x20] != skips {
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
	for c := utf8.RuneSelf; c < len(a.kinds); c++ {
		a.kinds[c] = passes
	}
	passed, loop := 0, false
	for i, e := range elems {
		if zeroWidth(e) {
			continue
		}
		var first, all classSet
		must, ok := firstOf(e, &first)
		if must && ok {
			n, apart := 0, true
			for c := range utf8.RuneSelf {
				if first[c] == inside {
					n++
					apart = apart && a.kinds[c] == ends
				}
			}
			if apart && n > 0 && (passed > 0 || n <= fewBytes) {
				a.told = a.kinds['\n'] != skips && (loop && passed == 1 || !a.masks())
				a.add(&first, passes)
				a.value = valueOf(elems[i:])
				return a
			}
		}
		if !allOf(e, &all) {
			return nil
		}
		a.add(&all, skips)
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
	add := func(set *classSet, bit uint8) (any bool) {
		for c := range utf8.RuneSelf {
			if set[c] == inside {
				any = any || v.kinds[c]&ofValue != 0
				v.kinds[c] |= bit
			}
		}
		return any
	}
	for i, e := range elems {
		if zeroWidth(e) {
			continue
		}
		var all classSet
		if !allOf(e, &all) {
			return nil
		}
		if v.least = shortest(elems[i : i+1]); i == 0 || v.least < leastValue {
			add(&all, ofAssignment)
			continue
		}
		add(&all, ofValue)
		var first classSet
		if i+1 < len(elems) {
			if must, ok := firstOf(elems[i+1], &first); must && ok {
				v.ended = !add(&first, behindValue)
			}
		}
		return v
	}
	return nil
}

// masks reports whether a mask's first byte is skipped.
func (a *ahead) masks() bool {
	for _, m := range masks {
		if a.kinds[m[0]] == skips {
			return true
		}
	}
	return a.kinds['*'] == skips
}

func (a *ahead) add(set *classSet, kind uint8) {
	for c := range utf8.RuneSelf {
		if set[c] == inside {
			a.kinds[c] = kind
		}
	}
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
		switch a.kinds[c] {
		case ends:
			return false, from + i - pos
		case passes:
			if i += from; !value || a.value == nil || c >= utf8.RuneSelf {
				return true, i - pos
			}
			ok, n = a.value.may(b, i+1)
			return ok, i + 1 + n - pos
		}
	}
	return true, farAhead
}

// may reports whether a value stands at b[pos], behind what may stand before it, or may
// farther on, and how far it looked.
func (v *ahead2) may(b []byte, pos int) (ok bool, n int) {
	size, before := 0, true // of the value until now; whether all of it may stand before one
	for i, c := range b[pos:min(len(b), pos+farAhead)] {
		switch kind := v.kinds[c]; {
		case c >= utf8.RuneSelf:
			return true, i
		case kind&ofValue != 0:
			if size++; size >= v.least && !v.ended {
				return true, i
			}
			before = before && kind&ofAssignment != 0
		case size >= v.least && kind&behindValue != 0:
			return true, i
		case !before || kind&ofAssignment == 0:
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
