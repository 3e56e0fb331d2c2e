package natives_test

import (
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/natives"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// The narrowest revocation is taken unless the operator names another; one that is
// named and lacks a setting is not replaced by another.
func TestTheOperatorChoosesTheRevocation(t *testing.T) {
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	admin := credential.NewSecretString("root:made-up")
	for name, c := range map[string]struct {
		rule, revocation string
		admin            credential.Secret
		want, missing    string
	}{
		"by value":                         {rule: "okta-session", want: "me"},
		"by value with an admin":           {rule: "okta-session", admin: admin, want: "me"},
		"all of the user":                  {rule: "okta-session", admin: admin, revocation: "user", want: "user"},
		"all of the user, no admin":        {rule: "okta-session", revocation: "user", missing: "admin"},
		"a name that the rule has not":     {rule: "mattermost-session", revocation: "global", want: "logout"},
		"all at Grafana":                   {rule: "grafana-session", admin: admin, revocation: "logout-user", want: "logout-user"},
		"an administrator ends at Jenkins": {rule: "jenkins-session", admin: admin, revocation: "user", want: "user"},
	} {
		t.Run(name, func(t *testing.T) {
			v, missing := natives.Choose(revokers.Target{Rule: set.Rule(c.rule), Instance: &issuer.Instance{Admin: c.admin, Settings: map[string]string{issuer.SettingRevocation: c.revocation}}})
			got := ""
			if v != nil {
				got = v.ID
			}
			if got != c.want || missing != c.missing {
				t.Errorf("%q, missing %q", got, missing)
			}
		})
	}
}
