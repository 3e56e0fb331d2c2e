package rules

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/zricethezav/gitleaks/v8/config"
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
	Allowlists []*config.Allowlist
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
	set, err := fromGitleaks(name, text)
	if err != nil {
		return nil, err
	}
	set.Notices, set.Disabled = foreign(name, text)
	return set, nil
}

// fromGitleaks does not use the library's reader, which keeps state in a process-wide viper and
// panics on a bad expression.
func fromGitleaks(name string, text []byte) (*Set, error) {
	var vc config.ViperConfig
	if err := toml.Unmarshal(text, &vc); err != nil {
		return nil, tomlError(name, text, err)
	}
	lines := headerLines(text, "rules")
	own, groups := map[string]*Expression{}, map[string]int{}
	for i := range vc.Rules {
		r := &vc.Rules[i]
		x, err := NewExpression(r.Regex)
		if err == nil {
			_, err = syntax.Parse(r.Path, syntax.Perl)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: rule %s: %w", name, at(lines, i), r.ID, err)
		}
		if r.Regex != "" {
			// Keep the library from compiling it: Expression compiles on first use.
			own[r.ID], r.Regex = x, "."
			if r.SecretGroup > x.Groups() {
				return nil, fmt.Errorf("%s:%d: rule %s: secretGroup %d, but the expression has %d groups", name, at(lines, i), r.ID, r.SecretGroup, x.Groups())
			}
			groups[r.ID], r.SecretGroup = r.SecretGroup, 0
		}
	}
	vc.Extend = config.Extend{}
	c, err := vc.Translate()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	set := &Set{Allowlists: c.Allowlists}
	for i, id := range c.OrderedRules {
		g := c.Rules[id]
		r := &Rule{
			ID: id, Description: g.Description, Kind: KindAPIKey, Confidence: High, File: name, Line: at(lines, i),
			Regex: own[id], Path: g.Path, SecretGroup: groups[id], Entropy: g.Entropy, Keywords: g.Keywords,
			Tags: g.Tags, Allowlists: g.Allowlists, SkipReport: g.SkipReport, RequiredNear: g.RequiredRules,
		}
		switch {
		case id == genericRule || strings.HasPrefix(id, "curl-auth-") || r.Regex != nil && namedByContext.MatchString(r.Regex.String()):
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

// namedByContext matches how gitleaks writes rules for tokens without a form of their own: a
// word, an assignment, and any text of the right length.
var namedByContext = regexp.MustCompile(`^\(\?i\)\[\\w\.-\]\{0,50\}\?`)

func at(lines []int, i int) int {
	if i < len(lines) {
		return lines[i]
	}
	return 1
}
