package interp_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/interp"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

const answersFile = `
[provider]
id = "made-up"
name = "Made up"
docs = "https://made-up.example/docs"
[[rules]]
id = "made-up"
description = "Made-up token"
regex = '''\b(mku_[a-z]{20})\b'''
keywords = ["mku_"]
examples = ["mku_{lower:20}"]
lookalikes = ["mku_short"]
[rules.probe]
request = { method = "GET", path = "/me", header = { X-Token = "{token}" } }
[[rules.probe.when]]
status = [200]
json = { ok = true }
then = "live"
keep = { id = "id", note = "note" }
[[rules.probe.when]]
status = [401]
json = { error = "revoked" }
then = "dead"
source = "https://made-up.example/docs/errors"
`

const leaked = "mku_abcdefghijabcdefghij"

// ask sends the probe to a server.
func ask(t *testing.T, h http.HandlerFunc, settings map[string]string) revokers.Answer {
	t.Helper()
	set, err := rules.Load("made-up.toml", []byte(answersFile))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	defer srv.Close()
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	if settings == nil {
		settings = map[string]string{}
	}
	x := revokers.Target{
		Credential: credential.Credential{Ref: credential.Ref{Rule: "made-up"}, Secret: credential.NewSecretString(leaked)},
		Rule:       set.Rules[0],
		Instance:   &issuer.Instance{Provider: "made-up", URL: u, Operator: true, Settings: settings},
	}
	p := interp.Probe{Doer: &issuer.Client{Timeout: time.Second}}
	a, err := p.Verify(t.Context(), x, p.Endpoints(x)[0])
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// always returns a handler that answers every request with the same response.
func always(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// Each response has one class; only an arm with a source is documented.
func TestTheMeaningOfResponses(t *testing.T) {
	for name, c := range map[string]struct {
		h          http.HandlerFunc
		class      revokers.Class
		reason     revokers.Reason
		documented bool
	}{
		"the documented word":             {always(401, `{"error":"revoked"}`), revokers.Refuses, "", true},
		"the documented word at a 403":    {always(403, `{"error":"revoked"}`), revokers.Refuses, "", false},
		"401 with another word":           {always(401, `{"error":"no"}`), revokers.Refuses, "", false},
		"404":                             {always(404, `{}`), revokers.Refuses, "", false},
		"a redirect on the host":          {always(302, "", "Location", "/login"), revokers.Refuses, "", false},
		"live":                            {always(200, `{"ok":true}`), revokers.Accepts, "", false},
		"408":                             {always(408, `{"error":"revoked"}`), revokers.Silent, revokers.Unreachable, false},
		"429":                             {always(429, `{"error":"revoked"}`), revokers.Silent, revokers.Throttled, false},
		"a 403 that names a limit":        {always(403, `{"error":"revoked"}`, "X-RateLimit-Remaining", "0"), revokers.Silent, revokers.Throttled, false},
		"500":                             {always(500, `{"error":"revoked"}`), revokers.Silent, revokers.Unreachable, false},
		"503":                             {always(503, ``), revokers.Silent, revokers.Unreachable, false},
		"a page with 401":                 {always(401, "<html>wifi", "Content-Type", "text/html"), revokers.Other, revokers.Unexpected, false},
		"a page of unknown type":          {always(401, "\n<!DOCTYPE html>", "Content-Type", "text/plain"), revokers.Other, revokers.Unexpected, false},
		"a redirect to another host":      {always(307, "", "Location", "https://evil.example/me"), revokers.Other, revokers.Unexpected, false},
		"a redirect to another scheme":    {always(307, "", "Location", "//evil.example/me"), revokers.Other, revokers.Unexpected, false},
		"a redirect that is no URL":       {always(307, "", "Location", "%zz"), revokers.Silent, revokers.Unreachable, false},
		"a step-up":                       {always(401, `{"error":"revoked"}`, "WWW-Authenticate", `Bearer error="insufficient_user_authentication"`), revokers.Other, revokers.Restricted, false},
		"a proof of possession is asked":  {always(401, `{"error":"revoked"}`, "WWW-Authenticate", `DPoP error="use_dpop_nonce"`), revokers.Other, revokers.Restricted, false},
		"DPoP alone":                      {always(401, `{"error":"revoked"}`, "WWW-Authenticate", `DPoP algs="ES256"`), revokers.Other, revokers.Restricted, false},
		"a claims challenge":              {always(401, `{"error":"revoked"}`, "WWW-Authenticate", `Bearer error="insufficient_claims", claims="eyJ4IjoxfQ=="`), revokers.Other, revokers.Restricted, false},
		"conditional access":              {always(400, `{"error":"interaction_required","suberror":"conditional_access"}`), revokers.Other, revokers.Restricted, false},
		"a second factor":                 {always(403, `{"error":{"code":"mfa_required"}}`), revokers.Other, revokers.Restricted, false},
		"a refusal in terms of DPoP":      {always(401, `{"error":"x"}`, "WWW-Authenticate", `DPoP error="invalid_token"`), revokers.Refuses, "", false},
		"200 with another word":           {always(200, `{"ok":false}`), revokers.Other, revokers.Unexpected, false},
		"200 without a body":              {always(200, ``), revokers.Other, revokers.Unexpected, false},
		"200 with half of a document":     {always(200, `{"ok":tr`), revokers.Other, revokers.Unexpected, false},
		"a connection that is cut":        {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, revokers.Silent, revokers.Unreachable, false},
		"a body that is cut":              {always(401, `{"error":"revoked"}`, "Content-Length", "100"), revokers.Silent, revokers.Unreachable, false},
		"a string that is no boolean":     {always(200, `{"ok":"false"}`), revokers.Other, revokers.Unexpected, false},
		"the word after 1 MiB of padding": {always(401, strings.Repeat(" ", 1<<20)+`{"error":"revoked"}`), revokers.Other, revokers.Unexpected, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := ask(t, c.h, nil)
			if a.Class != c.class || a.Reason != c.reason || (a.Documented != "") != c.documented {
				t.Errorf("%s (%s), documented %q: %s", a.Class, a.Reason, a.Documented, a.Detail)
			}
			if strings.Contains(a.Detail, "mku_") || a.At.IsZero() || a.Endpoint != "GET /me" {
				t.Errorf("%+v", a)
			}
			if c.class == revokers.Refuses && a.Raw == nil {
				t.Error("a refusal that cannot be compared")
			}
		})
	}
}

// The operator's marker documents a refusal, in the body or in the path and
// query of a redirect; no marker makes silence one.
func TestTheOperatorsMarker(t *testing.T) {
	marker := map[string]string{"dead_marker": "signed-out"}
	for name, c := range map[string]struct {
		h          http.HandlerFunc
		documented bool
	}{
		"in the body":                     {always(200, `{"state":"signed-out"}`), true},
		"in the path of a redirect":       {always(302, "", "Location", "/signed-out"), true},
		"in the query of a redirect":      {always(302, "", "Location", "/login?reason=signed-out"), true},
		"in an encoded query":             {always(302, "", "Location", "/login?reason=signed%2Dout"), true},
		"at 503":                          {always(503, "signed-out"), false},
		"at 429":                          {always(429, "signed-out"), false},
		"in a redirect to another host":   {always(302, "", "Location", "https://evil.example/signed-out"), false},
		"in a header that is no redirect": {always(401, "no", "X-Reason", "signed-out"), false},
	} {
		a := ask(t, c.h, marker)
		if got := a.Class == revokers.Refuses && a.Documented != ""; got != c.documented {
			t.Errorf("%s: %s, documented %q", name, a.Class, a.Documented)
		}
	}
}

// Numbers keep their digits, and an echo of the credential is redacted.
func TestWhatIsKeptOfAResponse(t *testing.T) {
	for number, want := range map[string]string{
		"9007199254740993": "9007199254740993", "12345678901234567890123": "12345678901234567890123", "7": "7", "1.0": "1", "1e3": "1000", `"07"`: "07", "-5": "-5",
	} {
		a := ask(t, always(200, `{"ok":true,"id":`+number+`,"note":"it is `+leaked+`"}`), nil)
		if a.Identity["id"] != want {
			t.Errorf("%s is kept as %q", number, a.Identity["id"])
		}
		if strings.Contains(a.Identity["note"]+a.Captures["note"], leaked) || a.Identity["note"] == "" {
			t.Errorf("an echo is kept: %q", a.Identity["note"])
		}
	}
}
