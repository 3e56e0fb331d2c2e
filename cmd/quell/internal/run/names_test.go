package run

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
)

// reading is an application that reads its session from one cookie, and its entry in a policy.
func reading(t *testing.T, provider, cookie string, live ...string) string {
	t.Helper()
	sessions := map[string]bool{"control-of-" + cookie + "-0123456789": true}
	for _, s := range live {
		sessions[s] = true
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie(cookie)
		switch {
		case err != nil || !sessions[c.Value]:
			http.Error(w, "sign in", http.StatusUnauthorized)
		case r.URL.Path == "/logout":
			delete(sessions, c.Value)
		default:
			fmt.Fprint(w, "hello")
		}
	}))
	t.Cleanup(srv.Close)
	return fmt.Sprintf("[[instance]]\nprovider = %q\nurl = %q\nown = true\ncookie = %q\nprobe_path = \"/me\"\nlogout_path = \"/logout\"\nsettle = \"1ms\"\ncontrol = \"env:CTL_%s\"\n", provider, srv.URL, cookie, cookie)
}

const underTwoNames = "K7mQ2vXw81Lp0zB3nT5rU4yCq8Zd"

// foundIn are the credentials of a text, as a scan makes them.
func foundIn(t *testing.T, r *Runtime, text string) rules.Credential {
	t.Helper()
	var list []rules.Finding
	for _, rule := range r.Rules.Rules {
		if rule.Cookie == nil || !rule.AnyForm {
			continue
		}
		for _, name := range rule.Cookie.Names {
			if i := strings.Index(text, name+"="+underTwoNames); i >= 0 {
				list = append(list, finding(rule.ID, rules.KindSessionCookie, name, underTwoNames, int64(i+len(name)+1)))
				list[len(list)-1].Provider = rule.Provider.ID
			}
		}
	}
	all, err := Credentials(list, r.Keys.Fingerprint, r.Rules)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d credentials in %q, %v", len(all), text, err)
	}
	return all[0]
}

// A value that the text has under the cookies of two applications is asked about at both: which
// name comes first decides nothing, and the refusal of one is no death.
func TestAValueUnderTheCookiesOfTwoApplications(t *testing.T) {
	env := map[string]string{"CTL_one": "control-of-one-0123456789", "CTL_two": "control-of-two-0123456789"}
	one, two := "Cookie: one="+underTwoNames, "Cookie: two="+underTwoNames
	for name, x := range map[string]struct {
		text string
		live []string
		want revokers.Liveness
	}{
		"its name first":         {two + "\n" + one, []string{underTwoNames}, revokers.Live},
		"the other name first":   {one + "\n" + two, []string{underTwoNames}, revokers.Live},
		"live at neither":        {one + "\n" + two, nil, revokers.Unknown},
		"under one name alone":   {one, nil, revokers.Dead},
		"under its name, ended":  {two, nil, revokers.Dead},
		"under its name, as two": {two, []string{underTwoNames}, revokers.Live},
	} {
		home := t.TempDir()
		r := again(t, home, "version = 1\n"+reading(t, "webapp", "one")+reading(t, "webapp", "two", x.live...), env)
		c := foundIn(t, r, x.text)
		checked := r.Checker().One(t.Context(), c)
		if v := checked.Verdict(); v.Liveness != x.want || x.want == revokers.Unknown && v.Remedy == "" {
			t.Errorf("%s: %s %s (%s)", name, v.Liveness, v.Reason, v.Detail)
		}
		if x.want == revokers.Live {
			if a := end(t, r, c, "p"); a.Outcome != prove.Confirmed {
				t.Errorf("%s: %s %s %s", name, a.Outcome, a.Detail, a.Held)
			}
		}
	}
}

// A name that another text gives the value holds the verdict back in the same way.
func TestANameOfAnotherTextHoldsBack(t *testing.T) {
	env := map[string]string{"CTL_one": "control-of-one-0123456789", "CTL_two": "control-of-two-0123456789"}
	r := again(t, t.TempDir(), "version = 1\n"+reading(t, "webapp", "one")+reading(t, "webapp", "two", underTwoNames), env)
	c := foundIn(t, r, "Cookie: one="+underTwoNames)
	c.Claims.Cookies = []string{"two"}
	if v := r.Checker().One(t.Context(), c).Verdict(); v.Liveness != revokers.Unknown || v.Remedy == "" {
		t.Errorf("%s %s (%s), remedy %q", v.Liveness, v.Reason, v.Detail, v.Remedy)
	}
	// As when two reports, or two scans of quell serve, have the credential.
	one, two := foundIn(t, r, "Cookie: one="+underTwoNames), foundIn(t, r, "Cookie: two="+underTwoNames)
	two.Claims.Hosts = []string{"other.example"}
	one.Ref.Merge(two.Ref)
	if v := r.Checker().One(t.Context(), one).Verdict(); v.Liveness != revokers.Live || len(one.Claims.Hosts) != 1 {
		t.Errorf("%s %s (%s), %+v", v.Liveness, v.Reason, v.Detail, one.Claims)
	}
}

// Two applications of different providers with one cookie name are two that can have issued it.
func TestOneCookieNameOfTwoProviders(t *testing.T) {
	env := map[string]string{"CTL_one": "control-of-one-0123456789"}
	for _, order := range [][2]string{{"express", "webapp"}, {"webapp", "express"}} {
		for _, sole := range []string{"", "elsewhere = false\n"} {
			file := "version = 1\n" + reading(t, order[0], "one") + sole + reading(t, order[1], "one", underTwoNames) + sole
			r := again(t, t.TempDir(), file, env)
			v := r.Checker().One(t.Context(), foundIn(t, r, "Cookie: one="+underTwoNames)).Verdict()
			if v.Liveness == revokers.Dead || v.Liveness == revokers.Unknown && v.Remedy == "" {
				t.Errorf("%v %q: %s %s (%s), remedy %q", order, sole, v.Liveness, v.Reason, v.Detail, v.Remedy)
			}
		}
	}
}

// Pieces of a cookie that are not next to each other can be those of two sessions.
func TestPiecesThatAreApart(t *testing.T) {
	for d, apart := range map[int64]bool{40: false, 5000: true} {
		got := bind(t, finding("nextauth-session", rules.KindSessionCookie, "authjs.session-token.0", "first-", 10),
			finding("nextauth-session", rules.KindSessionCookie, "authjs.session-token.1", "second", 16+d))
		if c, ok := got["first-second"]; !ok || c.Apart != apart {
			t.Errorf("%d bytes apart: %+v", d, got)
		}
	}
}

// A step of a rotation that issues or writes a new value ends nothing: only a step that ends the
// old value counts as what its issuer accepted.
func TestAStepThatEndsNothingIsNoKill(t *testing.T) {
	live := ledger.Verdict{Verdict: revokers.Verdict{Liveness: revokers.Live, Endpoint: "GET /me"}}
	intent := func(step string) ledger.Entry {
		return ledger.Entry{Body: ledger.Intent{Action: "rotate", Step: step, Instance: "https://app.example", Before: &live}}
	}
	for name, x := range map[string]struct {
		entries []ledger.Entry
		want    bool
	}{
		"the new value was written": {[]ledger.Entry{intent("write"), {Body: ledger.Rotation{Step: "write"}}}, false},
		"and the old one ended":     {[]ledger.Entry{intent("write"), {Body: ledger.Rotation{Step: "write"}}, intent("end"), {Body: ledger.Rotation{Step: "end", Ends: true}}}, true},
		"of an earlier release":     {[]ledger.Entry{intent(""), {Body: ledger.Rotation{}}}, true},
	} {
		if k := killOf(x.entries); (k != nil) != x.want {
			t.Errorf("%s: a kill: %t", name, k != nil)
		}
	}
}
