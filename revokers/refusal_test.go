package revokers_test

import (
	"strings"
	"testing"

	"github.com/quellhq/quell/revokers"
)

func page(secret, body string) *revokers.Refusal {
	return revokers.NewRefusal(401, "", "bearer", []byte(body), []string{secret})
}

// A shape leaves out what differs between two never-issued credentials, and
// what differs from request to request by its nature.
func TestShapesCompareRefusals(t *testing.T) {
	const id = `{"error":"invalid","id":"`
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
		"a UUID, a time and a digest":              {[2]string{"0198e1c2-7d1f-7cc3-98c4-5a1b2c3d4e5f 2026-11-30T02:00:00Z", "0198e1c2-7d1f-7cc3-98c4-5a1b2c3d4e60 2026-11-30T02:00:01Z"}, "0198e1c2-7d1f-7cc3-98c4-000000000000 2026-12-01T00:00:00.5Z", true},
		"a second of one value, then another":      {[2]string{"1764468000", "1764468000"}, "1764468001", true},
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
