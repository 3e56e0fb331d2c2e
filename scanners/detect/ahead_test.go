package detect

import (
	"math/rand/v2"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules"
)

func TestTheLookAheadAgreesWithAutomatons(t *testing.T) {
	known, covered, open, notes := checkAhead(t, New(builtin(t)))
	if known < 20 || covered < 1000/fewer || open < 1000/fewer || notes < 1000/fewer {
		t.Errorf("%d anchors, %d attempts told, %d not; %d that may be noted", known, covered, open, notes)
	}
}

// These expressions have what no built-in rule has: a required byte after a value, a short loop
// that takes the first byte of a mask, and a form that is a prefix of another one.
func TestAheadOfOtherExpressions(t *testing.T) {
	for expr, random := range map[string]bool{
		`(?i)token[ ]{0,3}=[a-z0-9]{8,20}[0-9]`:                     true,
		`https://[a-z*]{2,6}\?[a-z0-9A-Z]{20}`:                      false,
		`https://[a-z*]{2,600}\?[a-z0-9A-Z]{20}`:                    false,
		`https://[a-z\n]{2,6}\?[a-z0-9A-Z]{20}`:                     false,
		`(?:com[ ]{1,9}=|(?i:comx)[.]{1,9}=)[0-9a-fA-F]{8,99}`:      false,
		`(?i)(?:comx|secret_of_some|api)[a-z.]{0,9}:[0-9a-f]{4,99}`: true,
	} {
		x, err := rules.NewExpression(expr)
		if err != nil {
			t.Fatal(err)
		}
		e := New(&rules.Set{Rules: []*rules.Rule{{ID: expr, Regex: x, Random: random, Provider: &rules.Provider{}}}})
		if known, told, _, _ := checkAhead(t, e); known == 0 || told == 0 {
			t.Logf("%s: nothing is told", expr)
		}
	}
}

// checkAhead compares ahead's answers with those of automatons: where ahead finds no required
// byte after a literal, the automaton finds no match either, and the end of the text is not the
// reason.
func checkAhead(t *testing.T, e *Engine) (known, told, open, notes int) {
	r := rand.New(rand.NewPCG(31, 32))
	s := &scratch{quick: make([]quick, len(e.anchors))}
	pieces := []string{" ", "\t", "\n", "a", "Key", "9", "_", ".", "-", "'", `"`, "`", "=", ":", ":=", "=>", "||", "|", ",", "?", ">", "(", "{", ";", "é", "ſ", "\u212a", "\\", "0123456789abcdefABCDEF0123456789abcdef", "x-Y", "\x00", "\xff", "\r\n", "***", "[MASKED]", "@", "/", "com", "comx", "abcdefgh9", "abcdef"}
	long := strings.Repeat("a ", 1<<10)
	for id := range e.anchors {
		p := &e.anchors[id]
		if p.mark != nil || p.keyword != nil {
			continue
		}
		a := s.automaton(p, uint16(id))
		ahead := p.rest().ahead
		if ahead == nil {
			continue
		}
		known++
		if ok, n := ahead.may([]byte(p.literals[0]+long), 0, false); ok && n > farAhead {
			t.Errorf("%d bytes were looked at", n)
		}
		for range 2000 / fewer {
			b := []byte(p.literals[r.IntN(len(p.literals))])
			if r.IntN(2) == 0 {
				b = []byte(strings.ToUpper(string(b)))
			}
			for range r.IntN(12) {
				b = append(b, strings.Repeat(pieces[r.IntN(len(pieces))], 1+r.IntN(3)*r.IntN(10))...)
			}
			const pos = 1
			b = append([]byte(" "), b...)
			ok, n := ahead.may(b, pos, p.quiet)
			x := a.try(b, pos, classOf(b, pos))
			if !ok && (x.may || x.stop >= len(b)) {
				t.Fatalf("%s: %+v, but nothing follows, by the first %d bytes of %q", e.rules[p.rule].ID, x, n, b)
			}
			if !ok && !p.quiet && !cuts[b[pos+n]] {
				notes++
				if x.stop-pos >= gramLen && (lineEnd(b, x.stop) >= 0 || p.leading && p.least > 0 && maskLen(b[x.stop:]) > 0) {
					t.Fatalf("%s: %+v, which is noted, but not by the first %d bytes of %q", e.rules[p.rule].ID, x, n, b)
				}
			}
			if ok {
				open++
			} else {
				told++
			}
		}
	}
	return known, told, open, notes
}

// formsOf is quick because it stops at the first element that cannot be listed.
func TestFormsAreThoseOfTheLongestList(t *testing.T) {
	known := 0
	for _, r := range builtin(t).Rules {
		if r.Regex == nil {
			continue
		}
		re, err := syntax.Parse(r.Regex.String(), syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		elems := flatten(alternatives(re)[0], nil)
		for i := range elems {
			got, _ := formsOf(elems[i:])
			list := elems[i:]
			for len(list) > 0 && zeroWidth(list[0]) {
				list = list[1:]
			}
			var want []string
			for k := len(list); k > 0 && want == nil; k-- {
				if forms, ok := exact(&syntax.Regexp{Op: syntax.OpConcat, Sub: list[:k]}); ok && len(forms) <= mostForms && prefixFree(forms) {
					want = forms
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, element %d: %q, not %q", r.ID, i, got, want)
			}
			known += len(want)
		}
	}
	if known < 1000 {
		t.Errorf("only %d forms", known)
	}
}
