package rules

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/zricethezav/gitleaks/v8/config"
)

// Allowlist is one of gitleaks' allow-lists. It is compiled on first use, because most scans
// have no match to judge by most lists.
type Allowlist struct {
	Description    string
	MatchCondition config.AllowlistMatchCondition
	RegexTarget    string // "match", "line", or empty: the secret
	Commits        []string
	Paths          []string // expressions
	Regexes        []string
	StopWords      []string

	compiled func() *config.Allowlist
	asked    atomic.Int32 // how often HasStopWord searched for each word
}

// mostSearches is the number of secrets that are searched for one stop word at a time, before a
// trie of all words is built. A trie of gitleaks' 1,500 words takes as long to build as several
// hundred such searches.
const mostSearches = 256

// allowlistOf keeps a list that gitleaks' reader has compiled.
func allowlistOf(c *config.Allowlist) *Allowlist {
	a := &Allowlist{Description: c.Description, MatchCondition: c.MatchCondition, RegexTarget: c.RegexTarget, Commits: c.Commits, StopWords: c.StopWords}
	for _, re := range c.Paths {
		a.Paths = append(a.Paths, re.String())
	}
	for _, re := range c.Regexes {
		a.Regexes = append(a.Regexes, re.String())
	}
	a.compiled = func() *config.Allowlist { return c }
	return a
}

// allowlist reads the table of a list. Unless the text is trusted, it checks the expressions.
func (t allowlistTOML) allowlist(trusted bool) (*Allowlist, error) {
	a := &Allowlist{Description: t.Description, RegexTarget: t.RegexTarget, Commits: t.Commits, Paths: t.Paths, Regexes: t.Regexes}
	for _, w := range t.StopWords {
		a.StopWords = append(a.StopWords, strings.ToLower(w)) // as gitleaks does
	}
	switch strings.ToUpper(t.Condition) {
	case "", "OR", "||":
	case "AND", "&&":
		a.MatchCondition = config.AllowlistMatchAnd
	default:
		return nil, fmt.Errorf("condition %q is not and or or", t.Condition)
	}
	if a.RegexTarget == "secret" {
		a.RegexTarget = ""
	}
	if len(a.Commits)+len(a.Paths)+len(a.Regexes)+len(a.StopWords) == 0 {
		return nil, errors.New("a list needs paths, regexes or stopwords")
	}
	for _, list := range [][]string{a.Paths, a.Regexes} {
		for _, e := range list {
			if trusted {
				break
			}
			if _, err := syntax.Parse(e, syntax.Perl); err != nil {
				return nil, err
			}
		}
	}
	a.compiled = sync.OnceValue(a.compile)
	return a, nil
}

func (a *Allowlist) compile() *config.Allowlist {
	c := &config.Allowlist{Description: a.Description, MatchCondition: a.MatchCondition, RegexTarget: a.RegexTarget, Commits: a.Commits, StopWords: a.StopWords}
	for _, e := range a.Paths {
		c.Paths = append(c.Paths, regexp.MustCompile(e))
	}
	for _, e := range a.Regexes {
		c.Regexes = append(c.Regexes, regexp.MustCompile(e))
	}
	if err := c.Validate(); err != nil {
		panic("rules: an allow-list that was checked is not valid: " + err.Error())
	}
	return c
}

// CommitAllowed reports whether the list names a commit.
func (a *Allowlist) CommitAllowed(commit string) bool {
	if len(a.Commits) == 0 {
		return false
	}
	ok, _ := a.compiled().CommitAllowed(commit)
	return ok
}

// PathAllowed reports whether the list matches a path.
func (a *Allowlist) PathAllowed(path string) bool {
	return len(a.Paths) > 0 && a.compiled().PathAllowed(path)
}

// RegexAllowed reports whether one of the list's expressions matches its target.
func (a *Allowlist) RegexAllowed(target string) bool {
	return len(a.Regexes) > 0 && a.compiled().RegexAllowed(target)
}

// HasStopWord reports whether a secret contains one of the list's words.
func (a *Allowlist) HasStopWord(secret string) bool {
	if len(a.StopWords) == 0 {
		return false
	}
	if a.asked.Load() < mostSearches {
		a.asked.Add(1)
		secret = strings.ToLower(secret)
		return secret != "" && slices.ContainsFunc(a.StopWords, func(w string) bool { return strings.Contains(secret, w) })
	}
	ok, _ := a.compiled().ContainsStopWord(secret)
	return ok
}
