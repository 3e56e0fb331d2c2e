package detect

import (
	"math/rand/v2"
	"testing"
)

// An automaton of an allow-list's expressions gives the same result as the expressions.
func TestAllowlistsByAutomaton(t *testing.T) {
	e := New(builtin(t))
	lists := e.allow
	for _, r := range e.rules {
		lists = append(lists, r.allow...)
	}
	r := rand.New(rand.NewPCG(41, 42))
	pieces := []string{"true", "False", "null", "a", "Z", "aaaa", "0", "9f", "_", "-", ".", "$", "${", "}", "{{", "%", "sha256:", "md5-", "example", "https:", "/usr/", "--mount=type=secret,", "LICENSE", `="x"`, "=", " ", "\n", "é", "ſ", "\u212a", "\xff", "s.", "changeme", "xxxx", "*", "id-", "sid"}
	s := &scratch{}
	known, yes, no := 0, 0, 0
	for _, a := range lists {
		if len(a.Regexes) == 0 || a.prog() == nil {
			continue
		}
		known++
		for range 600 / fewer {
			text := ""
			for range 1 + r.IntN(6) {
				text += pieces[r.IntN(len(pieces))]
			}
			want := a.RegexAllowed(text)
			if got := s.matches(a, text); got != want {
				t.Fatalf("%v in %q: %v", a.Regexes, text, got)
			}
			if want {
				yes++
			} else {
				no++
			}
		}
	}
	if known < 10 || yes < 200/fewer || no < 200/fewer {
		t.Errorf("%d lists, %d matches, %d without", known, yes, no)
	}
}
