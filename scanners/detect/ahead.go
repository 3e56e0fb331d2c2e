package detect

import (
	"encoding/binary"
	"math/bits"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/quellhq/quell/scanners/cilog"
)

// ahead rejects most attempts before the automaton runs. A literal such as "key" occurs in
// every text, and so does a URL. A table checks faster than an automaton, which counts
// repetitions, whether an assignment follows within a few words or a "?" precedes the URL's
// end.
type ahead struct {
	// forms are the strings that the literal may be; none is a prefix of another one. If there
	// are none, the bytes that literals consist of are skipped as well.
	forms []form
	*follow
}

// follow describes what comes after a literal.
type follow struct {
	// skips are the bytes that may belong to a match before a required byte; passes are the
	// required bytes. Any other byte ends the attempt. A byte beyond ASCII decides nothing.
	skips, passes asciiSet
	value         *assigned // nil: no condition on it
	// covered is set if an automaton reads at least up to the byte that ends this attempt, or
	// stops at a byte that is neither a line break nor part of a mask; see broke.
	covered bool
}

// assigned is what follows an assignment's first byte: a value of a minimum length and, if
// known, a byte after it.
type assigned struct {
	before, value, after asciiSet // the bytes that each may consist of
	least                int      // minimum length of the value in bytes
	ended                bool     // the byte after the value is known
}

// asciiSet is a set of bytes below 0x80, one bit for each.
type asciiSet [2]uint64

func (s *asciiSet) has(c byte) bool { return c < utf8.RuneSelf && s[c>>6&1]>>(c&63)&1 != 0 }

// add adds the bytes of the class.
func (s *asciiSet) add(class *classSet) {
	for c := range utf8.RuneSelf {
		if class[c] == inside {
			s[c/64] |= 1 << (c % 64)
		}
	}
}

func (s *asciiSet) meets(o *asciiSet) bool { return s[0]&o[0]|s[1]&o[1] != 0 }

func (s *asciiSet) size() int { return bits.OnesCount64(s[0]) + bits.OnesCount64(s[1]) }

// form is a string with its letters in lower case: its first eight bytes, with bit 0x20 set in
// those that the mask covers, and what follows the string.
type form struct {
	head, mask uint64
	*follow    // nil: no condition on what follows this one
	rest       string
	size       int
}

// farAhead is how many bytes after the literal are checked at most; the automaton checks the
// rest.
const farAhead = 64

// mostForms is the largest number of forms that are compared.
const mostForms = 8

// aheadOf returns the condition on the text after a literal that begins with one of the
// elements. It returns nil where the elements after the literal don't begin with bytes to skip
// followed by a required byte of a known set.
func aheadOf(elems []*syntax.Regexp, elem int) *ahead {
	a := &ahead{}
	var names []string
	for _, alternative := range alternatives(elems[elem]) {
		list := append(flatten(alternative, nil), elems[elem+1:]...)
		forms, f := formsOf(list)
		for _, form := range forms {
			names = append(names, form)
			a.forms = append(a.forms, newForm(form, f))
		}
		if forms == nil {
			a.forms = nil
			break
		}
	}
	known := slices.ContainsFunc(a.forms, func(f form) bool { return f.follow != nil })
	if known && len(names) <= mostForms && prefixFree(names) {
		return a
	}
	// All bytes that the literal consists of are skipped.
	f := following(elems[elem+1:])
	all, ok := exact(elems[elem])
	if f == nil || !ok {
		return nil
	}
	for _, l := range all {
		for _, c := range []byte(l) {
			if !f.skips.has(c) || letter(c) && !f.skips.has(c&^0x20) {
				return nil
			}
		}
	}
	f.covered = false
	return &ahead{follow: f}
}

// formsOf lists the strings that the elements begin with, over as many elements as can be
// listed, and what follows these strings.
func formsOf(elems []*syntax.Regexp) ([]string, *follow) {
	for len(elems) > 0 && zeroWidth(elems[0]) {
		elems = elems[1:]
	}
	listed := 0 // the elements after those cannot be part of a list
	for listed < len(elems) && !zeroWidth(elems[listed]) {
		if _, ok := exact(elems[listed]); !ok {
			break
		}
		listed++
	}
	for k := listed; k > 0; k-- {
		forms, ok := exact(&syntax.Regexp{Op: syntax.OpConcat, Sub: elems[:k]})
		if ok && len(forms) <= mostForms && prefixFree(forms) {
			return forms, following(elems[k:])
		}
	}
	return nil, nil
}

func newForm(s string, f *follow) form {
	var b [8]byte
	n := copy(b[:], s)
	return form{head: binary.LittleEndian.Uint64(b[:]) | fold8, mask: ^uint64(0) >> (64 - 8*n), follow: f, rest: s[n:], size: len(s)}
}

// prefixFree reports whether none of the strings is empty or a prefix of another one.
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

// fewBytes is the largest number of required bytes that is useful where none are skipped before
// them.
const fewBytes = 24

// following returns the condition that the elements of an expression put on the bytes after its
// literal.
func following(elems []*syntax.Regexp) *follow {
	a := &follow{}
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
				a.covered = !a.skips.has('\n') && (loop && passed == 1 || !a.masks())
				a.value = valueOf(elems[i:])
				return a
			}
		}
		if !allOf(e, &all) {
			return nil
		}
		a.skips.add(&all)
		passed++
		if e.Op == syntax.OpRepeat || e.Op == syntax.OpStar || e.Op == syntax.OpPlus {
			loop = single(e.Sub[0]) != nil && (e.Op != syntax.OpRepeat || e.Max < 0 || e.Max >= farAhead)
		}
	}
	return nil
}

// leastValue is the shortest value that is checked for.
const leastValue = 4

// valueOf returns nil where the elements don't begin with bytes to skip and then a value.
func valueOf(elems []*syntax.Regexp) *assigned {
	v := &assigned{}
	for i, e := range elems {
		if zeroWidth(e) {
			continue
		}
		var all classSet
		if !allOf(e, &all) {
			return nil
		}
		if v.least = shortest(elems[i : i+1]); i == 0 || v.least < leastValue {
			v.before.add(&all)
			continue
		}
		v.value.add(&all)
		var first classSet
		if i+1 < len(elems) {
			if must, ok := firstOf(elems[i+1], &first); must && ok {
				v.after.add(&first)
				v.ended = !v.after.meets(&v.value)
			}
		}
		return v
	}
	return nil
}

// masks reports whether the first byte of a mask is skipped.
func (f *follow) masks() bool {
	for _, m := range cilog.Masks {
		if f.skips.has(m[0]) {
			return true
		}
	}
	return f.skips.has('*')
}

// firstOf adds the bytes that a match of re can begin with. must is false where the match may
// be empty. ok is false where the bytes can't be derived from this kind of expression.
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
	case syntax.OpEndText: // the end of the text gives no byte
		return true, true
	}
	return false, false
}

// allOf adds all bytes that a match of re can contain. It reports false where they can't be
// derived from this kind of expression.
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
			} // else beyond ASCII, which decides nothing
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

// may reports whether a required byte follows a literal at b[pos], or may follow farther on,
// and how many bytes after b[pos] it read. quiet means that the reason why an attempt ends is
// not needed.
func (a *ahead) may(b []byte, pos int, quiet bool) (ok bool, n int) {
	from, f := pos, a.follow
	if a.forms != nil {
		form := a.form(b, pos)
		if form == nil || form.follow == nil {
			return true, 0
		}
		f = form.follow
		from += form.size
	}
	if !quiet && !f.covered {
		return true, 0
	}
	for i, c := range b[from:min(len(b), from+farAhead)] {
		if f.skips.has(c) {
			continue
		}
		n = from + i - pos
		switch {
		case c >= utf8.RuneSelf:
			return true, n
		case !f.passes.has(c):
			return false, n
		case !quiet || f.value == nil:
			return true, n
		}
		ok, i = f.value.may(b, pos+n+1)
		return ok, n + 1 + i
	}
	return true, farAhead
}

// may reports whether a value is at b[pos], after what may precede it, or may be farther on,
// and how many bytes it read.
func (v *assigned) may(b []byte, pos int) (ok bool, n int) {
	size, before := 0, true // of the value so far; whether all of it may precede a value
	for i, c := range b[pos:min(len(b), pos+farAhead)] {
		switch {
		case c >= utf8.RuneSelf:
			return true, i
		case v.value.has(c):
			if size++; size >= v.least && !v.ended {
				return true, i
			}
			before = before && v.before.has(c)
		case size >= v.least && v.after.has(c):
			return true, i
		case !before || !v.before.has(c):
			return false, i
		default:
			size = 0
		}
	}
	return true, farAhead
}

// form returns the form that is at b[pos], or nil.
func (a *ahead) form(b []byte, pos int) *form {
	if pos+8 > len(b) {
		return nil
	}
	head := binary.LittleEndian.Uint64(b[pos:]) | fold8
	for i := range a.forms {
		f := &a.forms[i]
		if (head^f.head)&f.mask != 0 || f.rest != "" && (pos+f.size > len(b) || !strings.EqualFold(string(b[pos+8:pos+f.size]), f.rest)) {
			continue
		}
		return f
	}
	return nil
}
