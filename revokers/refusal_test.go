package revokers_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/revokers"
)

func page(secret, body string) *revokers.Refusal {
	return revokers.NewRefusal(401, "", "bearer", []byte(body), []string{secret})
}

// A shape leaves out the parts that differ between two never-issued credentials, and
// the parts that change with each request, such as times and request ids.
func TestShapesCompareRefusals(t *testing.T) {
	const id = `{"error":"invalid","id":"`
	now := time.Now().UTC()
	text := func(t time.Time) string { return t.Format(time.RFC3339) }
	seconds := func(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
	long := strings.Repeat("word ", 400)
	for name, c := range map[string]struct {
		never [2]string
		now   string
		same  bool
	}{
		"equal bodies":                             {[2]string{"no", "no"}, "no", true},
		"another word":                             {[2]string{"no", "no"}, "gone", false},
		"an echo of the credential":                {[2]string{"no n1n1n1n1", "no n2n2n2n2"}, "no leaked99", true},
		"an echo of a part of it only":             {[2]string{"the token n1n1 is no token of ours", "the token n2n2 is no token of ours"}, "the token leak is no token of ours", true},
		"a request id that differs":                {[2]string{id + `a1","at":"x","by":"y","for":"z"}`, id + `b2","at":"x","by":"y","for":"z"}`}, id + `c3","at":"x","by":"y","for":"z"}`, true},
		"a UUID and a time":                        {[2]string{id + "0198e1c2-7d1f-7cc3-98c4-5a1b2c3d4e5f " + text(now) + `"}`, id + "0198e1c2-7d1f-7cc3-98c4-5a1b2c3d4e60 " + text(now.Add(time.Second)) + `"}`}, id + "0198e1c2-7d1f-7cc3-98c4-000000000000 " + text(now.Add(time.Minute)) + `"}`, true},
		"a second of one value, then another":      {[2]string{seconds(now), seconds(now)}, seconds(now.Add(time.Second)), true},
		"a UUID that is an error code":             {[2]string{id + `0198e1c2-7d1f-7cc3-98c4-5a1b2c3d4e5f"}`, id + `0198e1c2-7d1f-7cc3-98c4-5a1b2c3d4e5f"}`}, id + `0198e1c2-7d1f-7cc3-98c4-000000000000"}`, false},
		"an error code with digits":                {[2]string{id + `AADSTS700082-refresh-token-9x"}`, id + `AADSTS700082-refresh-token-9x"}`}, id + `AADSTS500113-address-refused-7"}`, false},
		"when it ended, long ago":                  {[2]string{"no 2026-01-01T00:00:00Z", "no 2026-01-01T00:00:00Z"}, "no 2026-02-01T00:00:00Z", false},
		"an error code instead of another":         {[2]string{`{"code":"token_not_found_in_the_store"}`, `{"code":"token_not_found_in_the_store"}`}, `{"code":"token_was_revoked_by_an_admin"}`, false},
		"an additional word":                       {[2]string{"no", "no"}, "no, revoked", false},
		"two pages that have nothing in common":    {[2]string{"one two three", "four five six"}, "one two three", false},
		"a word that differs in a long page":       {[2]string{long, long}, long[:len(long)-5] + "dead ", false},
		"a page longer than what is compared":      {[2]string{strings.Repeat("a ", 20000), strings.Repeat("a ", 20000)}, strings.Repeat("a ", 20000) + "dead", false},
		"an echo with escapes in JSON":             {[2]string{`{"token":"n1n1n1n1"}`, `{"token":"n2n2n2n2"}`}, `{"token":"leaked99"}`, true},
		"empty bodies":                             {[2]string{"", ""}, "", true},
		"an empty body instead of words":           {[2]string{"no", "no"}, "", false},
		"numbers that are codes, and not ids":      {[2]string{`{"code":101}`, `{"code":101}`}, `{"code":102}`, false},
		"an account that a never-issued one lacks": {[2]string{"unknown", "unknown"}, "locked", false},
	} {
		tmpl, ok := revokers.NewTemplate(page("n1n1n1n1", c.never[0]), page("n2n2n2n2", c.never[1]))
		got := ok && tmpl.Shape(page("leaked99", c.now)) == tmpl.Shape(page("n1n1n1n1", c.never[0]))
		if got != c.same {
			t.Errorf("%s: same is %v, compared %v", name, got, ok)
		}
	}
	base := page("n1n1n1n1", "no")
	tmpl, _ := revokers.NewTemplate(base, base)
	for name, r := range map[string]*revokers.Refusal{
		"another status":    revokers.NewRefusal(403, "", "bearer", []byte("no"), nil),
		"another challenge": revokers.NewRefusal(401, "", "basic", []byte("no"), nil),
		"a redirect":        revokers.NewRefusal(401, "host/login", "bearer", []byte("no"), nil),
		"no refusal":        nil,
	} {
		if tmpl.Shape(r) == tmpl.Shape(base) {
			t.Errorf("%s has the same shape", name)
		}
		if _, ok := revokers.NewTemplate(base, r); ok {
			t.Errorf("%s makes a template", name)
		}
	}
}

// The query of a redirect contains the reason: the one that both never-issued credentials get
// is distinguished from another, and what varies between them is left out.
func TestTheQueryOfARedirectIsCompared(t *testing.T) {
	to := func(query string) *revokers.Refusal {
		return revokers.NewRefusal(302, "app.example/login?"+query, "", nil, nil)
	}
	for name, c := range map[string]struct {
		never [2]string
		now   string
		same  bool
	}{
		"the same":                   {[2]string{"next=/me", "next=/me"}, "next=/me", true},
		"a state that is random":     {[2]string{"next=/me&state=a1", "next=/me&state=b2"}, "next=/me&state=c3", true},
		"another reason":             {[2]string{"error=no_session", "error=no_session"}, "error=address_changed", false},
		"a reason that others lack":  {[2]string{"next=/me", "next=/me"}, "next=/me&error=mfa", false},
		"a reason besides the state": {[2]string{"error=no&state=a1", "error=no&state=b2"}, "error=mfa&state=c3", false},
	} {
		tmpl, ok := revokers.NewTemplate(to(c.never[0]), to(c.never[1]))
		if got := ok && tmpl.Shape(to(c.now)) == tmpl.Shape(to(c.never[0])); got != c.same {
			t.Errorf("%s: same is %v, compared %v", name, got, ok)
		}
	}
}

func TestSchemesOfChallenges(t *testing.T) {
	for header, want := range map[string]string{
		`Bearer`:                                 "bearer",
		`Bearer realm="a, Basic b", error="x"`:   "bearer",
		`Basic realm="x", Bearer error="e"`:      "basic,bearer",
		`Negotiate, NTLM`:                        "negotiate,ntlm",
		`Negotiate YII=, Basic realm="x"`:        "basic,negotiate",
		`bEaReR`:                                 "bearer",
		``:                                       "",
		`Bearer, Negotiate`:                      "bearer,negotiate",
		`Bearer realm="a\", Negotiate", Basic`:   "basic,bearer",
		`realm = "x", Basic`:                     "basic",
		`Bearer realm="a", charset="UTF-8"`:      "bearer",
		`Digest realm="a", qop="auth, auth-int"`: "digest",
	} {
		if got := revokers.Schemes([]string{header}); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
	if got := revokers.Schemes([]string{"Negotiate", `Basic realm="x"`}); got != "basic,negotiate" {
		t.Errorf("two headers: %q", got)
	}
}

// No pair of responses breaks the comparison, and a response has the shape of
// itself.
func FuzzTemplate(f *testing.F) {
	f.Add("a b c", "a x c", "tok12345")
	f.Add(`{"token":"tok12345"}`, "", "tok12345")
	f.Add("\xff\x00", strings.Repeat("é", 100), "")
	f.Fuzz(func(t *testing.T, a, b, secret string) {
		x, y := page(secret, a), page(secret, b)
		tmpl, ok := revokers.NewTemplate(x, y)
		if tmpl.Shape(x) != tmpl.Shape(page(secret, a)) {
			t.Error("a response is not of its own shape")
		}
		if ok && tmpl.Shape(x) != tmpl.Shape(y) {
			t.Error("the two that were compared are not of one shape")
		}
	})
}
