package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// The keys of gitleaks 8.30 (its config.ViperConfig) in lower case; gitleaks ignores case.
// quell honours extend in part, and required not at all.
var (
	gitleaksKeys = []string{"title", "description", "extend", "rules", "allowlist", "allowlists", "minversion"}
	gitleaksRule = []string{"id", "description", "path", "regex", "secretgroup", "entropy", "keywords", "tags", "allowlist", "allowlists", "skipreport", "required"}
	// Keys that betterleaks adds. Their values are expressions in a language of its own.
	expressions = map[string]string{
		"filter":    "more is reported than betterleaks would",
		"prefilter": "more is reported than betterleaks would",
		"validate":  "its issuer is not asked whether such a secret is alive",
	}
)

// foreign reports, rule by rule, which settings of a gitleaks or betterleaks file quell does
// not honour, and lists the rules that the file disables.
func foreign(name string, text []byte) (notices, disabled []string) {
	var top map[string]any
	if toml.Unmarshal(text, &top) != nil {
		return nil, nil // the typed decoder reports the error
	}
	say := func(format string, args ...any) { notices = append(notices, name+": "+fmt.Sprintf(format, args...)) }
	unknown := func(what string, table map[string]any, known []string) {
		for _, key := range slices.Sorted(maps.Keys(table)) {
			low := strings.ToLower(key)
			switch so, ok := expressions[low]; {
			case slices.Contains(known, low):
			case ok:
				say("%s%q is an expression of betterleaks and is not evaluated: %s", what, key, so)
			default:
				say("%s%q is not known and not honoured", what, key)
			}
		}
	}
	unknown("", top, gitleaksKeys)
	if x, ok := top["extend"].(map[string]any); ok {
		for key, v := range x {
			switch strings.ToLower(key) {
			case "path", "url":
				if v != "" {
					say("extend.%s is not followed: name that file with --rules too", key)
				}
			case "disabledrules":
				list, _ := v.([]any)
				for _, id := range list {
					disabled = append(disabled, fmt.Sprint(id))
				}
			}
		}
	}
	list, _ := top["rules"].([]any)
	for _, r := range list {
		table, ok := r.(map[string]any)
		if !ok {
			continue
		}
		id := fmt.Sprint(table["id"])
		unknown("rule "+id+": ", table, gitleaksRule)
		if table["required"] != nil {
			say("rule %s: %q is not honoured: it is reported without the rules that must match near by", id, "required")
		}
	}
	slices.Sort(notices)
	return notices, disabled
}
