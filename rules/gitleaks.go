package rules

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/zricethezav/gitleaks/v8/config"
)

// genericRule is the one rule of gitleaks that knows no issuer.
const genericRule = "generic-api-key"

// Generic reports whether the rule is gitleaks' own for anything that is called
// a key, a secret or a token.
func (r *Rule) Generic() bool { return r.ID == genericRule }

// Set is a set of rules that are used together.
type Set struct {
	Rules []*Rule
	// Allowlists hold for all rules; they come from gitleaks.
	Allowlists []*config.Allowlist
	Providers  map[string]*Provider
	// Notices say what a file asked for and is not honoured.
	Notices []string
	// Disabled are the ids of rules that a file switches off.
	Disabled []string
}

// Rule finds a rule by its id.
func (s *Set) Rule(id string) *Rule {
	for _, r := range s.Rules {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// FromGitleaks reads a config of gitleaks or betterleaks. What it asks for and is
// not honoured stands in Notices; of "extend", only the rules that it switches
// off are.
func FromGitleaks(name string, text []byte) (*Set, error) {
	set, err := fromGitleaks(name, text)
	if err != nil {
		return nil, err
	}
	set.Notices, set.Disabled = foreign(name, text)
	return set, nil
}

// fromGitleaks does not use the library's reader, which keeps its state in a
// process-wide viper and panics on a bad expression.
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
			// The library would compile it: ours is when it is needed.
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

// namedByContext is how gitleaks writes rules for tokens that have no form of
// their own: a word, an assignment, and then any text of the right length.
var namedByContext = regexp.MustCompile(`^\(\?i\)\[\\w\.-\]\{0,50\}\?`)

func at(lines []int, i int) int {
	if i < len(lines) {
		return lines[i]
	}
	return 1
}
