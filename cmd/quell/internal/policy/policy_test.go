package policy

import (
	"net/url"
	"strings"
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
)

func TestNothingIsKilledWithoutAReason(t *testing.T) {
	self := &rules.Revoke{ID: "r", Tier: rules.TierSelf}
	bot := &rules.Revoke{ID: "r", Tier: rules.TierCollateral, Collateral: "the bot leaves its channels"}
	public := &issuer.Instance{Provider: "github", Public: true, HasPublic: true, URL: &url.URL{Scheme: "https", Host: "api.github.com"}}
	ours := &issuer.Instance{Provider: "express", URL: &url.URL{Scheme: "https", Host: "app"}, Operator: true, Own: true}
	live := revokers.Verdict{Liveness: revokers.Live, NegativeControl: true, Identity: map[string]string{"id": "7", "subject": "octocat"}}
	rule := &rules.Rule{Provider: &rules.Provider{ID: "github", Owner: []string{"id"}}}
	for name, c := range map[string]struct {
		policy string
		q      Question
		why    string // "" means that it may go ahead
	}{
		"a stranger's token":      {"", Question{Verdict: live, Instance: public, Revoke: self}, "nothing shows that it is yours"},
		"another identity's":      {"[[own]]\nprovider='github'\nidentity=['8']", Question{Verdict: live, Instance: public, Revoke: self}, "nothing shows"},
		"an identity elsewhere":   {"[[own]]\nprovider='gitlab'\nidentity=['7']", Question{Verdict: live, Instance: public, Revoke: self}, "nothing shows"},
		"the operator's own":      {"[[own]]\nprovider='github'\nidentity=['7']", Question{Verdict: live, Instance: public, Revoke: self}, ""},
		"an instance of ours":     {"", Question{Verdict: live, Instance: ours, Revoke: self}, ""},
		"break-glass":             {"", Question{Verdict: live, Instance: public, Revoke: self, BreakGlass: true}, ""},
		"not known to be live":    {"", Question{Verdict: revokers.Verdict{Reason: revokers.Throttled}, Instance: ours, Revoke: self}, "not known to be live"},
		"no probe exists":         {"", Question{Verdict: revokers.Verdict{Reason: revokers.Unsupported}, Instance: ours, Revoke: self}, ""},
		"collateral":              {"", Question{Verdict: live, Instance: ours, Revoke: bot}, "takes more than the one"},
		"collateral is allowed":   {"[kill]\ntiers=['self','collateral']", Question{Verdict: live, Instance: ours, Revoke: bot}, ""},
		"the cap":                 {"[kill]\nmax=2", Question{Verdict: live, Instance: ours, Revoke: self, Done: 2}, "2 kills"},
		"the switch":              {"[kill]\ndisabled=true", Question{Verdict: live, Instance: ours, Revoke: self, BreakGlass: true}, "kill switch"},
		"our own key":             {"", Question{Verdict: live, Instance: ours, Revoke: self, OwnSecret: true, BreakGlass: true}, "that quell works with"},
		"a canary":                {"", Question{Verdict: revokers.Verdict{Reason: revokers.Canary}, Instance: ours, Revoke: self, BreakGlass: true}, "canary"},
		"nothing ends it":         {"", Question{Verdict: live, Instance: ours}, "no revocation"},
		"a setting is missing":    {"", Question{Verdict: live, Instance: ours, Missing: "admin"}, "needs admin"},
		"its issuer is not named": {"", Question{Verdict: revokers.Verdict{Reason: revokers.NoHost, Detail: "no instance"}}, "no instance"},
	} {
		p, err := Parse("p", []byte("version = 1\n"+c.policy))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c.q.Rule = rule
		h := p.Decide(c.q)
		switch {
		case c.why == "" && h != nil:
			t.Errorf("%s: held: %s", name, h.Reason)
		case c.why != "" && (h == nil || !strings.Contains(h.Reason, c.why) || h.Remedy == ""):
			t.Errorf("%s: %+v", name, h)
		}
	}
}

func TestAHoldGivesTheReasonOfTheRulesFile(t *testing.T) {
	rule := &rules.Rule{Note: "the list shows no part of a token", Provider: &rules.Provider{ID: "acme", Docs: "https://acme.example/docs"}}
	own := &issuer.Instance{Provider: "acme", URL: &url.URL{Scheme: "https", Host: "acme.example"}, Operator: true, Own: true}
	h := (&Policy{}).Decide(Question{Verdict: revokers.Verdict{Liveness: revokers.Live, NegativeControl: true}, Rule: rule, Instance: own})
	if h == nil || !strings.Contains(h.Reason, rule.Note) {
		t.Errorf("%+v", h)
	}
}

// Settings of a logout that have no meaning are refused when the policy is
// read, and not when a session is to be ended.
func TestSettingsOfALogout(t *testing.T) {
	for setting, ok := range map[string]bool{
		"cookie='acme.sid'": true, "cookie='__Host-sid'": true, "cookie='a b'": false, "cookie='a;b'": false, "cookie='a=b'": false,
		"csrf='form'": true, "csrf='input:_csrf'": true, "csrf='meta:csrf-token'\ncsrf_to='header:X-Token'": true, "csrf='double:csrftoken'": true, "csrf='json:a.b'\ncsrf_to='json:token'": true,
		"csrf='_csrf'": false, "csrf='input:'": false, "csrf_to='form:a'": false, "csrf='form'\ncsrf_to='form:a'": false, "csrf='meta:a'\ncsrf_to='body'": false, "csrf='meta:a'\ncsrf_to='header:A B'": false,
		"logout_path='logout'": false, "csrf_path='/a/../b'": false, "probe_path='https://evil.example/'": false,
		"headers={Origin='https://a.example'}": true, "headers={'X-CSRF-Token'='{csrf}'}": true, "headers={Cookie='a=b'}": false, "headers={authorization='Basic YTpi'}": false, "headers={Proxy-Authorization='Basic YTpi'}": false, "headers={'A B'='c'}": false, "headers={A=\"b\\r\\nC: d\"}": false,
	} {
		_, err := Parse("p", []byte("version = 1\n[[instance]]\nprovider='webapp'\nurl='https://a.example'\n"+setting+"\n"))
		if (err == nil) != ok {
			t.Errorf("%s: %v", setting, err)
		}
	}
}
