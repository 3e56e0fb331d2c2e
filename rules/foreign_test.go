package rules

import (
	"slices"
	"strings"
	"testing"
)

func TestWhatIsNotHonouredIsReportedPerRule(t *testing.T) {
	set, err := FromGitleaks("b.toml", []byte(`
minVersion = "1"
prefilter = 'attributes["path"] matches "x"'
[extend]
useDefault = true
path = "other.toml"
disabledRules = ["jwt"]
[[rules]]
id = "one"
regex = '''one_[a-z]{20}'''
keywords = ["one_"]
filter = 'entropy(finding["secret"]) < 3'
validate = 'http.get("https://one.example")'
[[rules]]
id = "two"
regex = '''two_[a-z]{20}'''
colour = "red"
[[rules.required]]
id = "one"
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`b.toml: "prefilter" is an expression of betterleaks and is not evaluated: more is reported than betterleaks would`,
		`b.toml: extend.path is not followed: name that file with --rules too`,
		`b.toml: rule one: "filter" is an expression of betterleaks and is not evaluated: more is reported than betterleaks would`,
		`b.toml: rule one: "validate" is an expression of betterleaks and is not evaluated: its issuer is not asked whether such a secret is alive`,
		`b.toml: rule two: "colour" is not known and not honoured`,
		`b.toml: rule two: "required" is not honoured: it is reported without the rules that must match near by`,
	}
	if !slices.Equal(set.Notices, want) {
		t.Errorf("got\n%s", strings.Join(set.Notices, "\n"))
	}
	all, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	mine := all.Clone()
	if err := mine.Merge(set); err != nil {
		t.Fatal(err)
	}
	if mine.Rule("jwt") != nil || mine.Rule("one") == nil || all.Rule("jwt") == nil {
		t.Error("rules that a file switches off must go, in the copy only")
	}
}
