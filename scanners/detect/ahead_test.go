package detect

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// Where nothing follows a literal that must, an automaton finds nothing either, and not
// because the text ends.
func TestAheadOnlyTellsWhatAutomatonsDo(t *testing.T) {
	e := New(builtin(t))
	r := rand.New(rand.NewPCG(31, 32))
	s := &scratch{quick: make([]quick, len(e.anchors))}
	pieces := []string{" ", "\t", "\n", "a", "Key", "9", "_", ".", "-", "'", `"`, "`", "=", ":", ":=", "=>", "||", "|", ",", "?", ">", "(", "{", ";", "é", "ſ", "\u212a", "\\", "0123456789abcdefABCDEF0123456789abcdef", "x-Y", "\x00", "\xff", "\r\n", "***", "[MASKED]", "@", "/", "com"}
	long := strings.Repeat("a ", 1<<10)
	known, told, open, notes := 0, 0, 0, 0
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
	if known < 20 || told < 1000/fewer || open < 1000/fewer || notes < 1000/fewer {
		t.Errorf("%d anchors, %d attempts told, %d not; %d that may be noted", known, told, open, notes)
	}
}
