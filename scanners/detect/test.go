package detect

import (
	"regexp/syntax"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"
	"unsafe"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/regex"
)

// test reports whether an expression matches a text, with Go's regexp for the first texts and an
// automaton for those after them. Judging a match takes dozens of tests, and an automaton takes
// a tenth of the time, but building one takes as long as hundreds of tests. It is safe for
// concurrent use.
type test struct {
	expr      func([]byte) bool
	prog      func() *syntax.Prog // returns nil where it is too large for an automaton
	asked     atomic.Int32        // until it reaches testsBefore
	full      atomic.Int32        // how often an automaton reached maxStates
	automaton sync.Pool
}

// testsBefore is how many texts are given to Go's regexp before an automaton is built.
const testsBefore = 256

// mostTestInsts limits the size of a test's program: a state of an automaton has at most as many
// instructions.
const mostTestInsts = 4000

// mostFull is how often a test's automatons may reach their limit of states. Texts that lead to
// ever new states are left to the expression.
const mostFull = 4

func newTest(expr string) *test {
	re := regex.Lazy(expr)
	return &test{expr: func(b []byte) bool { return re().Match(b) }, prog: sync.OnceValue(func() *syntax.Prog { return unanchored([]string{expr}, mostTestInsts) })}
}

// listTest is the test of an allow-list's expressions.
func listTest(a *rules.Allowlist) *test {
	return &test{expr: func(b []byte) bool { return a.RegexAllowed(string(b)) }, prog: sync.OnceValue(func() *syntax.Prog { return unanchored(a.Regexes, mostTestInsts) })}
}

// unanchored is the program that matches a text if one of the expressions does, or nil where it
// has more than most instructions.
func unanchored(exprs []string, most int) *syntax.Prog {
	all := make([]string, len(exprs))
	for i, r := range exprs {
		all[i] = "(?:" + r + ")"
	}
	re, err := syntax.Parse("(?s:.*?)(?:"+strings.Join(all, "|")+")", syntax.Perl)
	if err != nil {
		return nil
	}
	p, err := syntax.Compile(re.Simplify())
	if err != nil || len(p.Inst) > most {
		return nil
	}
	return p
}

// MatchString reports whether the expression matches s.
func (t *test) MatchString(s string) bool { return t.Match(unsafe.Slice(unsafe.StringData(s), len(s))) }

// Match reports whether the expression matches b.
func (t *test) Match(b []byte) bool {
	if matched, known := t.quick(b); known {
		return matched
	}
	return t.expr(b)
}

// quick is the automaton's result. known is false where the expression decides.
func (t *test) quick(b []byte) (matched, known bool) {
	if t.asked.Load() < testsBefore {
		t.asked.Add(1)
		return false, false
	}
	if t.full.Load() >= mostFull {
		return false, false
	}
	a, _ := t.automaton.Get().(*automaton)
	if a == nil {
		p := t.prog()
		if p == nil {
			t.full.Store(mostFull)
			return false, false
		}
		a = newAutomaton(p)
	}
	matched, known = a.matches(b)
	if !known && len(a.states) <= int(afterOther)+1 {
		t.full.Add(1)
	}
	t.automaton.Put(a)
	return matched, known
}

// matches reports whether a match of the automaton's program begins at the start of b. known is
// false where the expression decides that.
func (a *automaton) matches(b []byte) (matched, known bool) {
	n := int32(len(a.sample))
	row := int32(textStart) * n
	for i := 0; i < len(b); {
		c, size := b[i], 1
		if c >= utf8.RuneSelf {
			c, size = runeAt(b[i:])
		}
		i += size
		k := row + int32(a.class[c])
		t := a.next[k]
		if t == 0 {
			if len(a.states) >= maxStates {
				a.reset()
				return false, false
			}
			t = a.step(row/n, int(c))
			a.next[k] = t
		}
		switch {
		case t&accept != 0:
			return true, true
		case t == dead:
			return false, true
		case t == maybe:
			return false, false
		}
		row = t - first
	}
	return a.ends(row / n), true
}

// ends reports whether a match ends where the text ends in a state.
func (a *automaton) ends(state int32) bool {
	last := &a.states[state]
	if last.end == 0 {
		last.end = dead
		if _, ok := a.closure(state, -1); ok {
			last.end = accept
		}
	}
	return last.end == accept
}
