package detect

import (
	"regexp/syntax"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/zricethezav/gitleaks/v8/config"

	"github.com/quellhq/quell/rules"
)

// allowlist is one of gitleaks' allow-lists, with all its expressions in one program.
type allowlist struct {
	*rules.Allowlist
	prog func() *syntax.Prog // returns nil where it is too large for an automaton of each scratch
	test *test               // of its expressions
	last atomic.Pointer[allowedPath]
}

// allowedPath is a path and whether a list suppresses all matches there.
type allowedPath struct {
	path    string
	allowed bool
}

// mostInsts limits the size of the programs that automatons are built from for allow-lists. A
// larger program has so many states that building them costs more than the few matches to
// judge.
const mostInsts = 400

func allowlists(lists []*rules.Allowlist) []*allowlist {
	var out []*allowlist
	for _, a := range lists {
		out = append(out, &allowlist{Allowlist: a, prog: sync.OnceValue(func() *syntax.Prog { return unanchored(a.Regexes, mostInsts) }), test: listTest(a)})
	}
	return out
}

// matches reports whether one of the list's expressions matches target.
func (s *scratch) matches(a *allowlist, target string) bool {
	if len(a.Regexes) == 0 || target == "" {
		return false
	}
	x, ok := s.allow[a]
	if !ok {
		if p := a.prog(); p != nil {
			x = newAutomaton(p)
		}
		if s.allow == nil {
			s.allow = map[*allowlist]*automaton{}
		}
		s.allow[a] = x
	}
	if x != nil {
		if t := x.try([]byte(target), 0, textStart); !t.may || t.end >= 0 {
			return t.may
		}
	}
	return a.test.MatchString(target)
}

// suppressed reports whether one of the lists suppresses a match by what it is, and not by its
// path. matches reports whether an expression of the list matches a text.
func suppressed(lists []*allowlist, matches func(*allowlist, string) bool, secret, match, line, commit string) bool {
	for _, a := range lists {
		byWord := func() bool { return a.HasStopWord(secret) }
		byRegex := func() bool { return matches(a, a.target(secret, match, line)) }
		byCommit := func() bool { return a.CommitAllowed(commit) }
		if a.MatchCondition != config.AllowlistMatchAnd {
			if byWord() || byRegex() || byCommit() {
				return true
			}
			continue
		}
		if len(a.Paths) == 0 && (len(a.StopWords) == 0 || byWord()) && (len(a.Regexes) == 0 || byRegex()) && (len(a.Commits) == 0 || byCommit()) {
			return true
		}
	}
	return false
}

// suppressedAt reports whether one of the lists suppresses a match at a path that suppressed
// does not.
func suppressedAt(lists []*allowlist, matches func(*allowlist, string) bool, secret, match, line, path, commit string) bool {
	return slices.ContainsFunc(lists, func(a *allowlist) bool {
		return a.pathAllowed(path) && (a.MatchCondition != config.AllowlistMatchAnd ||
			(len(a.StopWords) == 0 || a.HasStopWord(secret)) && (len(a.Regexes) == 0 || matches(a, a.target(secret, match, line))) && (len(a.Commits) == 0 || a.CommitAllowed(commit)))
	})
}

// target is the text that the list's expressions are for.
func (a *allowlist) target(secret, match, line string) string {
	switch a.RegexTarget {
	case "match":
		return match
	case "line":
		return line
	}
	return secret
}

// pathAllowed is PathAllowed. It remembers the last path, because the matches of one file are
// judged one after the other.
func (a *allowlist) pathAllowed(path string) bool {
	if len(a.Paths) == 0 {
		return false
	}
	if last := a.last.Load(); last != nil && last.path == path {
		return last.allowed
	}
	last := &allowedPath{path, a.PathAllowed(path)}
	a.last.Store(last)
	return last.allowed
}
