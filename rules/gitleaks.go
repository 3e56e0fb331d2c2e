package rules

import (
	"cmp"
	"fmt"
	"regexp/syntax"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/zricethezav/gitleaks/v8/config"

	"github.com/quellhq/quell/rules/regex"
)

// genericRule is the id of gitleaks' rule for credentials of unknown issuers.
const genericRule = "generic-api-key"

// Generic reports whether the rule is gitleaks' own for everything called a key, a secret or a
// token.
func (r *Rule) Generic() bool { return r.ID == genericRule }

// Set is a set of rules that are used together.
type Set struct {
	Rules []*Rule
	// Allowlists apply to all rules; they come from gitleaks.
	Allowlists []*Allowlist
	Providers  map[string]*Provider
	// Notices describe settings of a file that quell does not honour.
	Notices []string
	// Disabled are the ids of rules that a file disables.
	Disabled []string
}

// Rule returns the rule with the id, or nil.
func (s *Set) Rule(id string) *Rule {
	for _, r := range s.Rules {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// FromGitleaks reads a config of gitleaks or betterleaks. Notices describes the settings that
// it does not honour. From "extend" it honours only the list of disabled rules.
func FromGitleaks(name string, text []byte) (*Set, error) {
	set, err := fromGitleaks(name, text, false)
	if err != nil {
		return nil, err
	}
	set.Notices, set.Disabled = foreign(name, text)
	return set, nil
}

// fromGitleaks does not use the library's reader, which keeps state in a process-wide viper and
// panics on a bad expression. It checks neither the expressions nor the allow-lists of a trusted
// file.
func fromGitleaks(name string, text []byte, trusted bool) (*Set, error) {
	var vc config.ViperConfig
	if err := toml.Unmarshal(text, &vc); err != nil {
		return nil, tomlError(name, text, err)
	}
	lines := headerLines(text, "rules", len(vc.Rules))
	own, groups := map[string]*Expression{}, map[string]int{}
	for i := range vc.Rules {
		r := &vc.Rules[i]
		x, err := expression(r.Regex, trusted)
		if err == nil && !trusted {
			_, err = syntax.Parse(r.Path, syntax.Perl)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: rule %s: %w", name, at(lines, i), r.ID, err)
		}
		if r.Regex != "" {
			// Keep the library from compiling it: Expression compiles on first use.
			own[r.ID], r.Regex = x, "."
			if !trusted && r.SecretGroup > x.Groups() {
				return nil, fmt.Errorf("%s:%d: rule %s: secretGroup %d, but the expression has %d groups", name, at(lines, i), r.ID, r.SecretGroup, x.Groups())
			}
			groups[r.ID], r.SecretGroup = r.SecretGroup, 0
		}
	}
	vc.Extend = config.Extend{}
	var lists *gitleaksLists // nil: gitleaks compiles them
	if trusted {
		var err error
		if lists, err = takeLists(&vc); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	c, err := vc.Translate()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if lists == nil {
		lists = &gitleaksLists{rules: map[string][]*Allowlist{}}
		for _, a := range c.Allowlists {
			lists.all = append(lists.all, allowlistOf(a))
		}
		for id, r := range c.Rules {
			for _, a := range r.Allowlists {
				lists.rules[id] = append(lists.rules[id], allowlistOf(a))
			}
		}
	}
	set := &Set{Allowlists: lists.all}
	for i, id := range c.OrderedRules {
		g := c.Rules[id]
		r := &Rule{
			ID: id, Description: g.Description, Kind: KindAPIKey, Confidence: High, File: name, Line: at(lines, i),
			Regex: own[id], Path: g.Path, SecretGroup: groups[id], Entropy: g.Entropy, Keywords: g.Keywords,
			Tags: g.Tags, Allowlists: lists.rules[id], SkipReport: g.SkipReport, RequiredNear: g.RequiredRules,
		}
		switch {
		case id == genericRule || strings.HasPrefix(id, "curl-auth-") || r.Regex != nil && namedByContext().MatchString(r.Regex.String()):
			r.Confidence = Medium
		case strings.Contains(id, "private-key"):
			r.Kind = KindPrivateKey
		}
		if r.Regex == nil {
			r.Kind, r.Confidence = KindOther, Medium
		}
		set.Rules = append(set.Rules, r)
	}
	return set, nil
}

// gitleaksLists are the allow-lists of a file: those for all rules, and those of each rule.
type gitleaksLists struct {
	all   []*Allowlist
	rules map[string][]*Allowlist
}

// takeLists removes the allow-lists of a trusted file, which gitleaks would compile.
func takeLists(vc *config.ViperConfig) (*gitleaksLists, error) {
	out := &gitleaksLists{rules: map[string][]*Allowlist{}}
	var err error
	list := func(description, condition, target string, commits, paths, regexes, words []string) *Allowlist {
		a, e := allowlistTOML{Description: description, Condition: condition, RegexTarget: target, Commits: commits, Paths: paths, Regexes: regexes, StopWords: words}.allowlist(true)
		err = cmp.Or(err, e)
		return a
	}
	for i := range vc.Rules {
		r := &vc.Rules[i]
		if r.AllowList != nil {
			r.Allowlists = append(r.Allowlists, r.AllowList)
		}
		for _, a := range r.Allowlists {
			out.rules[r.ID] = append(out.rules[r.ID], list(a.Description, a.Condition, a.RegexTarget, a.Commits, a.Paths, a.Regexes, a.StopWords))
		}
		r.AllowList, r.Allowlists = nil, nil
	}
	//lint:ignore SA1019 gitleaks still reads the old key, which a user's file may have
	old := &vc.AllowList
	if *old != nil {
		vc.Allowlists = append(vc.Allowlists, *old)
	}
	for _, a := range vc.Allowlists {
		l := list(a.Description, a.Condition, a.RegexTarget, a.Commits, a.Paths, a.Regexes, a.StopWords)
		for _, id := range a.TargetRules {
			out.rules[id] = append(out.rules[id], l)
		}
		if len(a.TargetRules) == 0 {
			out.all = append(out.all, l)
		}
	}
	*old, vc.Allowlists = nil, nil
	return out, err
}

// namedByContext matches how gitleaks writes rules for tokens without a form of their own: a
// word, an assignment, and any text of the right length.
var namedByContext = regex.Lazy(`^\(\?i\)\[\\w\.-\]\{0,50\}\?`)

func at(lines []int, i int) int {
	if i < len(lines) {
		return lines[i]
	}
	return 1
}
