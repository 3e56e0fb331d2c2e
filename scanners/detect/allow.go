package detect

import (
	"regexp/syntax"
	"strings"
	"sync"

	"github.com/zricethezav/gitleaks/v8/config"

	"github.com/quellhq/quell/rules"
)

// allowlist is one of gitleaks' allow-lists, with all its expressions in one program.
type allowlist struct {
	*rules.Allowlist
	prog func() *syntax.Prog // returns nil where it is too large for an automaton
}

// mostInsts limits the size of the programs that automatons are built from for allow-lists. A
// larger program has so many states that building them costs more than the few matches to
// judge.
const mostInsts = 400

func allowlists(lists []*rules.Allowlist) []*allowlist {
	var out []*allowlist
	for _, a := range lists {
		out = append(out, &allowlist{a, sync.OnceValue(func() *syntax.Prog {
			var all []string
			for _, r := range a.Regexes {
				all = append(all, "(?:"+r+")")
			}
			re, err := syntax.Parse("(?s:.*?)(?:"+strings.Join(all, "|")+")", syntax.Perl)
			if err != nil {
				return nil
			}
			p, err := syntax.Compile(re.Simplify())
			if err != nil || len(p.Inst) > mostInsts {
				return nil
			}
			return p
		})})
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
	return a.RegexAllowed(target)
}

// allowed reports whether one of the lists suppresses a match. matches reports whether an
// expression of the list matches a text.
func allowed(lists []*allowlist, matches func(*allowlist, string) bool, secret, match, line, path, commit string, paths bool) bool {
	for _, a := range lists {
		target := secret
		switch a.RegexTarget {
		case "match":
			target = match
		case "line":
			target = line
		}
		byWord := func() bool { return a.HasStopWord(secret) }
		byRegex := func() bool { return matches(a, target) }
		byCommit := func() bool { return a.CommitAllowed(commit) }
		byPath := func() bool { return paths && a.PathAllowed(path) }
		if a.MatchCondition != config.AllowlistMatchAnd {
			if byWord() || byRegex() || byCommit() || byPath() {
				return true
			}
			continue
		}
		if (len(a.StopWords) == 0 || byWord()) && (len(a.Regexes) == 0 || byRegex()) && (len(a.Commits) == 0 || byCommit()) && (len(a.Paths) == 0 || byPath()) {
			return true
		}
	}
	return false
}
