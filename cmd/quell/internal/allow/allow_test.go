package allow

import (
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/rules"
)

const file = `version = 1
[[finding]]
fingerprint = "abc"
reason = "a canary"
expires = 2026-06-30
[[finding]]
rule = "generic-api-key"
path = "testdata/**/*.json"
reason = "made up"
expires = 2026-12-31
[[gap]]
kind = "not_fetched"
reason = "videos"
expires = 2026-12-31
[[gap]]
kind = "refused"
provider = "gitlab"
reason = "another tenant"
expires = 2026-12-31
`

func TestList(t *testing.T) {
	l, err := Parse("allow.toml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	day := func(s string) time.Time { d, _ := time.Parse(time.RFC3339, s); return d }
	find := func(rule, path string) rules.Finding {
		return rules.Finding{Ref: rules.Ref{Rule: rule}, Location: rules.Location{Path: path}}
	}
	for _, c := range []struct {
		rule, path, print, at string
		want                  bool
	}{
		{"x", "y", "abc", "2026-06-01T00:00:00Z", true},
		{"x", "y", "abc", "2026-06-30T23:00:00Z", true},
		{"x", "y", "abc", "2026-07-02T00:00:00Z", false},
		{"x", "y", "abd", "2026-06-01T00:00:00Z", false},
		{"generic-api-key", "testdata/a/b.json", "z", "2026-07-02T00:00:00Z", true},
		{"generic-api-key", "testdata/b.json", "z", "2026-07-02T00:00:00Z", true},
		{"generic-api-key", "testdata/b.txt", "z", "2026-07-02T00:00:00Z", false},
		{"generic-api-key", "src/testdata/b.json", "z", "2026-07-02T00:00:00Z", false},
		{"github-pat", "testdata/b.json", "z", "2026-07-02T00:00:00Z", false},
		{"generic-api-key", "testdata/b.json", "z", "2027-01-02T00:00:00Z", false},
	} {
		if got := l.Accepts(find(c.rule, c.path), c.print, day(c.at)); got != c.want {
			t.Errorf("%+v", c)
		}
	}
	for _, c := range []struct {
		name, kind, provider, at string
		want                     string
	}{
		{"the kind", "not_fetched", "", "2026-07-01T00:00:00Z", "videos"},
		{"another kind", "damaged", "", "2026-07-01T00:00:00Z", ""},
		{"no kind", "", "", "2026-07-01T00:00:00Z", ""},
		{"after its end", "not_fetched", "", "2027-07-01T00:00:00Z", ""},
		{"a reason, of the provider", "refused", "gitlab", "2026-07-01T00:00:00Z", "another tenant"},
		{"a reason, of another provider", "refused", "github", "2026-07-01T00:00:00Z", ""},
		{"another reason", "throttled", "gitlab", "2026-07-01T00:00:00Z", ""},
	} {
		if got, ok := l.AcceptsKind(c.kind, c.provider, day(c.at)); got != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q %v", c.name, got, ok)
		}
	}
	if got := l.Expired(day("2026-07-02T00:00:00Z")); len(got) != 1 || got[0] != "a canary" {
		t.Error(got)
	}
	var none *List
	if none.Accepts(find("x", "y"), "abc", time.Now()) || len(none.Expired(time.Now())) != 0 {
		t.Error("no list accepts")
	}
}

func TestIncompleteListsAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"no version":          {"", "version is missing"},
		"another version":     {"version = 2", "version 2"},
		"an unknown key":      {"version = 1\n[[finding]]\nregex = '.*'\n", ":3: unknown key"},
		"no TOML":             {"version = ", "allow.toml:1"},
		"neither path nor id": {"version = 1\n[[finding]]\nrule = 'x'\nreason = 'y'\nexpires = 2026-01-01\n", "whole kind"},
		"a path for all":      {"version = 1\n[[finding]]\npath = '**/*'\nreason = 'y'\nexpires = 2026-01-01\n", "fits everything"},
		"a broken glob":       {"version = 1\n[[finding]]\npath = 'a[b'\nreason = 'y'\nexpires = 2026-01-01\n", "no glob"},
		"no reason":           {"version = 1\n[[finding]]\npath = 'a'\nexpires = 2026-01-01\n", "no reason"},
		"no end":              {"version = 1\n[[finding]]\npath = 'a'\nreason = 'y'\n", "expires"},
		"a gap of no kind":    {"version = 1\n[[gap]]\nreason = 'y'\nexpires = 2026-01-01\n", "none of unreadable"},
		"an unknown kind":     {"version = 1\n[[gap]]\nkind = 'large files'\nreason = 'y'\nexpires = 2026-01-01\n", "none of"},
		"a decided reason":    {"version = 1\n[[gap]]\nkind = 'revoked'\nreason = 'y'\nexpires = 2026-01-01\n", "none of"},
		"a file's provider":   {"version = 1\n[[gap]]\nkind = 'damaged'\nprovider = 'x'\nreason = 'y'\nexpires = 2026-01-01\n", "no provider"},
		"a gap without end":   {"version = 1\n[[gap]]\nkind = 'damaged'\nreason = 'y'\n", "expires"},
		"a message":           {"version = 1\n[[gap]]\nmessage = 'large files of Git LFS'\nreason = 'y'\nexpires = 2026-01-01\n", "replace message by kind"},
		"too large":           {strings.Repeat("#\n", MaxBytes), "larger"},
	} {
		if _, err := Parse("allow.toml", []byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Load(t.TempDir() + "/none"); err == nil {
		t.Error("a file that is not there")
	}
}
