package rules

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/quellhq/quell/rules/regex"
)

// Convert rewrites a rules file of an earlier release in the current format, line by line, so
// that comments and order stay. It returns a description of each change. It derives missing
// facts, such as a source, from the provider's docs link, and reports that.
func Convert(name string, text []byte) (out []byte, changes []string, err error) {
	lines := strings.SplitAfter(string(text), "\n")
	docs := ""
	table := ""
	for i, line := range lines {
		trimmed := strings.TrimSpace(line)
		if m := tableRE().FindStringSubmatch(trimmed); m != nil {
			table = m[1]
		}
		if m := docsRE().FindStringSubmatch(trimmed); m != nil && table == "provider" {
			docs = m[1]
		}
		for _, c := range conversions {
			if !c.table().MatchString(table) {
				continue
			}
			next := c.old().ReplaceAllString(line, strings.ReplaceAll(c.with, "DOCS", docs))
			if next != line {
				changes = append(changes, fmt.Sprintf("%s:%d: %s", name, i+1, c.what))
				line = next
			}
		}
		lines[i] = line
	}
	out = []byte(strings.Join(lines, ""))
	if _, err := Load(name, out); err != nil {
		return nil, changes, fmt.Errorf("convert: the file needs more than new spellings: %w", err)
	}
	return out, changes, nil
}

var (
	tableRE = regex.Lazy(`^\[\[?([a-z_.]+)\]\]?`)
	docsRE  = regex.Lazy(`^docs\s*=\s*"([^"]*)"`)
)

// conversions are the changes of the format between the releases.
var conversions = []struct {
	table func() *regexp.Regexp
	old   func() *regexp.Regexp
	with  string
	what  string
}{
	{regex.Lazy(`\.revoke$`), regex.Lazy(`^(\s*scope\s*=\s*)"this session"`), `${1}"this_session"`, "scopes are identifiers"},
	{regex.Lazy(`\.revoke$`), regex.Lazy(`^(\s*scope\s*=\s*)"all sessions of the user"`), `${1}"all_user_sessions"`, "scopes are identifiers"},
	{regex.Lazy(`\.revoke$`), regex.Lazy(`^(\s*scope\s*=\s*)"everybody"`), `${1}"everyone"`, "scopes are identifiers"},
	{regex.Lazy(`\.when$`), regex.Lazy(`^(\s*)after(\s*=\s*)"live"`), `${1}also${2}"asker"`, `after = "live" is also = "asker"`},
	{regex.Lazy(`\.when$`), regex.Lazy(`^(\s*reason\s*=\s*)"signed out"`), `${1}"signed_out"`, "reasons are identifiers"},
	{
		regex.Lazy(`\.probe$`),
		regex.Lazy(`^(\s*request\s*=\s*\{\s*)(method\s*=\s*"POST")`),
		`${1}reads = true, source = "DOCS", ${2}`,
		"a POST that only reads says so, with a source: the provider's docs are entered, replace them by the page about this request",
	},
}
