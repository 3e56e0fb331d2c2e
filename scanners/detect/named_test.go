package detect

import (
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules"
)

// namedSet has the built-in rules and cookies that an operator configures by name.
func namedSet(t *testing.T, provider string, names ...string) *rules.Set {
	t.Helper()
	set := builtin(t).Clone()
	for _, n := range names {
		if err := set.NameCookie(provider, n); err != nil {
			t.Fatal(err)
		}
	}
	return set
}

// Under a cookie name that the operator configured, every form of value is a session, in every
// text that contains cookies.
func TestAnyValueUnderANamedCookie(t *testing.T) {
	e := New(namedSet(t, "webapp", "acme", "session", "$prefix.id"))
	x := tokens{rand.New(rand.NewPCG(3, 5))}
	raw := base64.RawURLEncoding
	forms := map[string]string{
		"express, signed":    "s%3A" + x.of(32) + ".lr%2B" + x.of(38) + "%3D",
		"base64":             base64.StdEncoding.EncodeToString([]byte(x.of(33))) + "==",
		"with a slash":       x.of(12) + "/" + x.of(14) + "+" + x.of(9) + "=",
		"with dots":          x.of(8) + "." + x.of(20) + "." + x.of(9),
		"UUID":               "3f2b6c1e-9d4a-4f7b-8e21-5a7c9d0e1f23",
		"digits":             "480203916574",
		"few digits":         "7294051",
		"hex":                x.hex(32),
		"Flask":              ".eJ" + x.of(40) + ".Zy" + x.of(4) + "." + x.of(27),
		"JWT":                raw.EncodeToString([]byte(`{"alg":"HS256"}`)) + "." + raw.EncodeToString([]byte(`{"sub":"`+x.of(9)+`"}`)) + "." + x.of(43),
		"unsigned JWT":       raw.EncodeToString([]byte(`{"alg":"none"}`)) + "." + raw.EncodeToString([]byte(`{"sub":"`+x.of(9)+`"}`)) + ".",
		"PHP with a comma":   "",
		"pipes and stars":    x.of(30) + "|1790000000|" + x.of(27),
		"bang and at":        x.hex(8) + "@" + x.hex(8) + "!" + x.of(10),
		"JSON, encoded":      "%7B%22id%22%3A%22" + x.of(20) + "%22%7D",
		"Tomcat with a node": strings.ToUpper(x.hex(32)) + ".node-1",
	}
	carriers := []string{
		"Cookie: lang=en; NAME=VALUE; tz=UTC\n", "Set-Cookie: NAME=VALUE; Path=/; HttpOnly\n", "curl -b 'NAME=VALUE' https://app.example/\n",
		"#HttpOnly_app.example\tFALSE\t/\tTRUE\t0\tNAME\tVALUE\n", `{"name":"NAME","value":"VALUE","domain":"app.example"}` + "\n",
		`{"domain":"app.example","httpOnly":true,"value":"VALUE","name":"NAME"}` + "\n", "{\"cookies\": {\"NAME\": \"VALUE\"}}\n", "> cookie: NAME=VALUE",
	}
	for _, name := range []string{"acme", "session", "$prefix.id"} {
		for form, v := range forms {
			if v == "" {
				continue
			}
			for _, c := range carriers {
				text := strings.NewReplacer("NAME", name, "VALUE", v).Replace(c)
				found := false
				for _, m := range matches(e, text) {
					found = found || m.Rule.ID == "webapp-session-named" && m.Secret.Reveal() == v && m.Cookie == name && m.Confidence == rules.High
				}
				if !found {
					t.Errorf("%s as %s is not found in %q: %v", form, name, c, found)
				}
			}
		}
	}
}

// Values that can't be a session are not reported under a configured name either.
func TestNoValueUnderANamedCookie(t *testing.T) {
	e := New(namedSet(t, "webapp", "acme"))
	for _, text := range []string{
		"acme=deleted; Max-Age=0", "Cookie: acme=***", "acme=${SESSION_ID}", "acme = getSession(req)", `"acme": "string"`, "acme: application", "Cookie: acme=<redacted>",
		"Cookie: acme={{ session }}", "acme=; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "acme=true", "GET /?acme=q8Zk2mXw71Lp0vB3nT5r&x=1 HTTP/1.1", "/a?x=1&acme=q8Zk2mXw71Lp0vB3nT5r HTTP/1.1", "Cookie: acmesid=48020391",
	} {
		for _, m := range matches(e, text+"\n") {
			if m.Rule.ID == "webapp-session-named" {
				t.Errorf("%q: %q", text, m.Secret.Reveal())
			}
		}
	}
}

// The configured name of one instance changes nothing about the provider's other cookies.
func TestANamedCookieKeepsTheFamily(t *testing.T) {
	e := New(namedSet(t, "express", "acme.sid"))
	x := tokens{rand.New(rand.NewPCG(7, 9))}
	for text, want := range map[string]string{
		"Cookie: connect.sid=s%3A" + x.of(32) + "." + x.of(43): "express-session",
		"Cookie: acme.sid=s%3A" + x.of(32) + "." + x.of(43):    "express-session-named",
		"Cookie: acme.sid=" + x.of(32):                         "express-session-named",
	} {
		list := matches(e, text+"\n")
		if len(list) != 1 || list[0].Rule.ID != want {
			t.Errorf("%q: %v, want %s", text, list, want)
		}
	}
}
