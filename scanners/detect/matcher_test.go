package detect

import (
	"math/rand/v2"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules/testenv"
)

// Where Go's regexp finds a match, the matcher finds the same from there, groups included, or
// reports that it can't decide.
func TestMatcherFindsWhatRegexpFinds(t *testing.T) {
	testenv.Sequential(t)
	e := New(builtin(t))
	r := rand.New(rand.NewPCG(3, 4))
	found, told := 0, 0
	for range max(8/fewer, 2) {
		b := noise(e, r, 8<<10)
		for _, c := range e.rules {
			m := c.matcher()
			if m == nil {
				continue
			}
			for _, want := range c.Regex.Regexp().FindAllSubmatchIndex(b, -1) {
				found++
				got := m.match(&ways{}, b, want[0], want[1])
				if got == nil {
					continue
				}
				told++
				if !slices.Equal(got, want) {
					t.Errorf("%s: %v, regexp: %v in %q", c.ID, got, want, b[want[0]:want[1]])
				}
			}
		}
	}
	if told < 100/fewer || told < found/2 {
		t.Errorf("the matcher told %d of %d matches", told, found)
	}
}

// Expressions and texts of a few letters that combine loops, choices, groups and assertions in
// every order.
func FuzzMatcher(f *testing.F) {
	for _, x := range []string{`a{0,3}?(b|ab)+c?`, `(?i)(k|s+?)\b[^c]{2,}(c*)`, `\Ba*?(?:b(a|c){1,3})?$`, `(?m)^(a|b*c)+?$`, `(?:a|(b)){2,4}`, `([ab]{0,2}?)([bc]{1,}?)c`} {
		f.Add(x, "abcabc kſK\ncab-a\u212abc")
	}
	f.Add(`a[^b]{1,9}?(.)[^c]{2}`, "aé€\xe2\x82c\xf0\x9fſ")
	f.Fuzz(func(t *testing.T, expr, text string) {
		if len(expr) > 60 || len(text) > 200 {
			return
		}
		re, err := regexp.Compile(expr)
		if err != nil || strings.Count(expr, "{") > 3 {
			return
		}
		m := newMatcher(expr)
		if m == nil {
			return
		}
		for _, want := range re.FindAllStringSubmatchIndex(text, -1) {
			if got := m.match(&ways{}, []byte(text), want[0], len(text)); got != nil && !slices.Equal(got, want) {
				t.Errorf("%q in %q: %v, regexp: %v", expr, text, got, want)
			}
		}
	})
}

// An expression and text that make a matcher loop stop at its limit.
func TestMatcherGivesUp(t *testing.T) {
	m := newMatcher(`x[^b]*[^c]*[^d]*[^e]*f`)
	if got := m.match(&ways{}, []byte("x"+strings.Repeat("a", 100<<10)), 0, 100<<10); got != nil {
		t.Errorf("a match: %v", got)
	}
	if newMatcher(`(?:a*)*`) != nil || newMatcher(`é`) != nil || newMatcher(strings.Repeat(`(?:(?:ab){9}){9}`, 99)) != nil {
		t.Error("a matcher for what it can't run")
	}
}

// Runes beyond ASCII end a match that they don't belong to; otherwise the result is undecided.
func TestMatcherAndRunes(t *testing.T) {
	for _, c := range []struct {
		expr, text string
		covered    bool
	}{
		{`a[0-9]+`, "a1é", true},
		{`(?i)a[a-z]+`, "ab\u201c", true}, // its first byte is the Kelvin sign's
		{`(?i)a[a-z]+`, "abſ", false},
		{`(?i)akk`, "ak\u212a", false},
		{`a[^b]+`, "aé", true},
		{`a[^b]{3}`, "aéé\xff", true},
		{`a([^b]{1,9})[^b]([^b]{2})`, "aé€\xe2\x82c\xf0\x9f", true},
		{`a([^b]{1,9})[^b]`, "aéé€€", true},
		{`a([^b]{1,9})[^b]{2}b`, "aéé€€b", true},
		{`a([^b]{1,9}?)[^b]([^b]{2})c`, "aé€\xe2\x82c\xf0\x9f", true},
		{`(?i)a[^k]+`, "aéſ", false},
		{`a.`, "a\xff", true},
		{`a[à-ü]`, "aé", false},
	} {
		got := newMatcher(c.expr).match(&ways{}, []byte(c.text), 0, len(c.text))
		if want := regexp.MustCompile(c.expr).FindStringSubmatchIndex(c.text); got != nil != c.covered || c.covered && !slices.Equal(got, want) {
			t.Errorf("%s in %q: %v, regexp: %v", c.expr, c.text, got, want)
		}
	}
}

func TestHeads(t *testing.T) {
	for expr, known := range map[string]bool{
		`key=[a-z]{9}`: true, `[\w.-]{0,50}?key=`: true, `\b(?:[a-z])?key=`: false, `(?:x|\B)key=`: false, `[a-z]+key=`: false, `\b(key=.)`: true, `[a-z]{1,3}key=`: false,
	} {
		re, err := syntax.Parse(expr, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		if a := bestAnchor(flatten(re, nil)); a.head.known != known {
			t.Errorf("%s: %v", expr, a.head)
		}
	}
}
