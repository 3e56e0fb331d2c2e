package serve

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

func TestRequestsOfOtherSitesAreRefused(t *testing.T) {
	b := newBench(t, 10)
	b.withPeople(1)
	r, db, fp := oneLive(t, b, true)
	alice, bob := signIn(t, r.url, aliceToken), signIn(t, r.url, bobToken)
	f, other := fields(alice.get("/incidents/"+fp)), fields(bob.get("/incidents/"+fp))
	decide := "/incidents/" + fp + "/decide"
	good := func() url.Values {
		return url.Values{"csrf": {f["csrf"]}, "digest": {f["digest"]}, "what": {"approve"}}
	}
	without := good()
	without.Del("csrf")
	foreign := good()
	foreign.Set("csrf", other["csrf"])
	for _, c := range []struct {
		name, method, path string
		form               url.Values
		header             []string
		want               int
	}{
		{"a form of another site", "POST", decide, good(), []string{"Origin", "https://evil.example"}, 403},
		{"a form of another site, by its metadata", "POST", decide, good(), []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"a form of a sandboxed frame", "POST", decide, good(), []string{"Origin", "null"}, 403},
		{"a form without the token", "POST", decide, without, nil, 403},
		{"a form with another person's token", "POST", decide, foreign, nil, 403},
		{"a decision by GET", "GET", decide + "?" + good().Encode(), nil, nil, 404},
		{"a login from another site", "POST", "/login", url.Values{"token": {bobToken}}, []string{"Origin", "https://evil.example"}, 403},
		{"a sign-out from another site", "POST", "/logout", url.Values{"csrf": {f["csrf"]}}, []string{"Origin", "https://evil.example"}, 403},
		{"the API with a cookie alone", "GET", "/api/v1/summary", nil, nil, 401},
		{"the API's approval with a cookie alone", "POST", "/api/v1/incidents/" + fp + "/approve", good(), nil, 401},
		{"another host (DNS rebinding)", "GET", "/", nil, []string{"Host", "evil.example"}, 421},
		{"another host's API", "GET", "/api/v1/summary", nil, []string{"Host", "evil.example:8471", "Authorization", "Bearer " + aliceToken}, 421},
		{"another host's metrics", "GET", "/metrics", nil, []string{"Host", "evil.example"}, 403},
		{"metrics through a proxy", "GET", "/metrics", nil, []string{"Forwarded", "for=192.0.2.1"}, 403},
		{"a decision that is none", "POST", decide, url.Values{"csrf": {f["csrf"]}, "what": {"kill"}}, nil, 400},
		{"an incident that is none", "POST", "/incidents/none/decide", good(), nil, 404},
		{"a path that leads out", "POST", "/incidents/../../etc/decide", good(), nil, 307}, // to /etc/decide, which is none
		{"a path with dots", "GET", "/incidents/..%2f..%2fetc%2fpasswd", nil, nil, 404},
		{"a file of the program", "GET", "/templates/layout.html", nil, nil, 404},
		{"a body that is too long", "POST", decide, url.Values{"csrf": {strings.Repeat("a", 20<<10)}}, nil, 400},
		{"a reason that is too long", "POST", decide, url.Values{"csrf": {f["csrf"]}, "what": {"hold"}, "reason": {strings.Repeat("a", 501)}}, nil, 400},
		{"a status that is none", "GET", "/incidents?status=%27%20OR%201=1", nil, nil, 400},
		{"a cursor that is none", "GET", "/incidents?after=1%20OR%201", nil, nil, 400},
		{"a cursor of repositories that is none", "GET", "/coverage?show=gaps&after=x", nil, nil, 400},
	} {
		p := alice
		body := p.send(c.method, c.path, c.form, c.header...)
		if p.code != c.want {
			t.Errorf("%s: %d, want %d: %.200s", c.name, p.code, c.want, body)
		}
	}
	b.idle(db)
	if !b.isLive(10) || b.count(db, `SELECT count(*) FROM ledger WHERE type = 'approval'`) != 0 {
		t.Error("one of them was enough")
	}
}

func TestLogin(t *testing.T) {
	b := newBench(t)
	b.withPeople(0)
	b.head = strings.Replace(b.head, "apply = true", "", 1)
	r := b.start()
	p := newPerson(t, r.url)
	home := mustURL(t, r.url)
	// A session that an attacker fixed before the login is not the one after it.
	fixed := strings.Repeat("A", 43)
	p.jar.SetCookies(home, []*http.Cookie{{Name: "quell", Value: fixed, Path: "/"}})
	if p.get("/"); p.code != http.StatusSeeOther || p.head.Get("Location") != "/login" {
		t.Errorf("a made-up session: %d", p.code)
	}
	for next, want := range map[string]string{"/plans": "/plans", "//evil.example": "/", "https://evil.example": "/", "/\\evil.example": "/", "/incidents/abc": "/incidents/abc", "/plans\r\nSet-Cookie: a=b": "/", "/../x": "/", "/logout": "/"} {
		q := newPerson(t, r.url)
		q.send(http.MethodPost, "/login", url.Values{"token": {aliceToken}, "next": {next}})
		if got := q.head.Get("Location"); q.code != http.StatusSeeOther || got != want || q.head.Get("Set-Cookie") == "" || len(q.head.Values("Set-Cookie")) != 1 {
			t.Errorf("next %q leads to %d %q", next, q.code, got)
		}
		if len(next) > 8 && next[0] == 'h' { // each attempt counts
			time.Sleep(time.Second)
		}
	}
	r.stop()
	r = b.start() // forgets how often was tried
	p.url, home = r.url, mustURL(t, r.url)
	p.jar.SetCookies(home, []*http.Cookie{{Name: "quell", Value: fixed, Path: "/"}})
	p.send(http.MethodPost, "/login", url.Values{"token": {aliceToken}})
	set := p.head.Get("Set-Cookie")
	if !strings.Contains(set, "HttpOnly") || !strings.Contains(set, "SameSite=Lax") || strings.Contains(set, "Secure") || strings.Contains(set, fixed) {
		t.Errorf("the cookie is %q", set)
	}
	first := p.jar.Cookies(home)[0].Value
	p.send(http.MethodPost, "/login", url.Values{"token": {bobToken}})
	if now := p.jar.Cookies(home)[0].Value; now == first || now == fixed {
		t.Error("a second login keeps the session")
	}
	old := newPerson(t, r.url)
	if old.get("/", "Cookie", "quell="+first); old.code != http.StatusSeeOther {
		t.Error("the session before the second login is not ended")
	}
	// Signing out ends the session at the server.
	id := p.jar.Cookies(home)[0].Value
	p.send(http.MethodPost, "/logout", url.Values{"csrf": {fields(p.get("/"))["csrf"]}})
	if old.get("/", "Cookie", "quell="+id); old.code != http.StatusSeeOther {
		t.Error("a session goes on after its sign-out")
	}
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		"X-Content-Type-Options":  "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
	} {
		for _, path := range []string{"/login", "/", "/no/such", "/api/v1/summary"} {
			if p.get(path); p.head.Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, p.head.Get(name))
			}
		}
	}
	// Guesses end; other addresses are not this test's.
	refused := 0
	for range 20 {
		p.send(http.MethodPost, "/login", url.Values{"token": {"made-up-guess-of-a-login-token"}})
		if p.code == http.StatusTooManyRequests {
			refused++
		} else if p.code != http.StatusUnauthorized {
			t.Errorf("a guess: %d", p.code)
		}
	}
	if refused < 5 {
		t.Errorf("%d of 20 guesses were refused for their number", refused)
	}
	b.clean(b.db(), aliceToken, bobToken)
}

// With TLS, the page's cookies are sent only over TLS.
func TestCookiesWithTLS(t *testing.T) {
	b := newBench(t)
	b.withPeople(0)
	b.head = strings.Replace(b.head, "[web]\n", "[web]\nurl = \"https://quell.corp.example\"\n", 1)
	r := b.start()
	p := newPerson(t, r.url)
	p.send(http.MethodPost, "/login", url.Values{"token": {aliceToken}}, "Host", "quell.corp.example", "Origin", "https://quell.corp.example")
	if set := p.head.Get("Set-Cookie"); p.code != http.StatusSeeOther || !strings.HasPrefix(set, "__Host-quell=") || !strings.Contains(set, "Secure") || p.head.Get("Strict-Transport-Security") == "" {
		t.Errorf("%d, the cookie is %q", p.code, set)
	}
}

// Untrusted names are rendered as text, with invisible characters made visible.
func TestNamesOfStrangersAreText(t *testing.T) {
	b := newBench(t, 10)
	b.withPeople(1)
	r, db, fp := oneLive(t, b, true)
	const hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202etxt.exe\u2066\x1b[31m\r\nSet-Cookie: x=y{{.}}javascript:alert(3)"
	for _, q := range []string{
		`UPDATE serve_credential SET rule = ?1, provider = ?1, redacted = ?1, host = ?1, reason = ?1, detail = ?1`,
		`UPDATE serve_repo SET repo = ?1, gap = ?1, gaps = 3`,
		`UPDATE serve_target SET error = ?1`,
		`UPDATE serve_worker SET host = ?1`,
	} {
		if _, err := db.ExecContext(t.Context(), q, hostile); err != nil {
			t.Fatal(err)
		}
	}
	p := signIn(t, r.url, aliceToken)
	p.send(http.MethodPost, "/incidents/"+fp+"/decide", url.Values{"csrf": {fields(p.get("/incidents/" + fp))["csrf"]}, "what": {"hold"}, "reason": {hostile}})
	shown := 0
	for _, path := range []string{"/", "/incidents", "/incidents?q=%3Cscript%3E", "/incidents/" + fp, "/plans", "/coverage", "/coverage?show=gaps", "/coverage?target=%22%3E%3Cscript%3E", "/queue", "/search?q=" + url.QueryEscape(hostile[:60]), "/login?next=%22%3E%3Cscript%3E", "/%3Cscript%3E"} {
		body := p.get(path)
		for _, bad := range []string{"<script", "<img", "\u202e", "\u2066", "\x1b", "onerror=alert(2)>\""} {
			if strings.Contains(body, bad) {
				t.Errorf("%s contains %q", path, bad)
			}
		}
		if strings.Contains(body, `\u202e`) {
			shown++
		}
		if p.head.Get("Set-Cookie") == "x=y" {
			t.Errorf("%s: a header was injected", path)
		}
	}
	if shown < 6 {
		t.Errorf("%d pages show the override", shown)
	}
}

// Every answer of the API has the form that its document promises, and every path of the document
// is served.
func TestAPIKeepsToItsDocument(t *testing.T) {
	b := newBench(t, 10)
	b.withPeople(2)
	r, db, fp := oneLive(t, b, true)
	p := newPerson(t, r.url)
	doc, err := openapi3.NewLoader().LoadFromData([]byte(p.get("/api/openapi.json")))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	digest := ""
	if err := db.QueryRowContext(t.Context(), `SELECT digest FROM serve_proposal`).Scan(&digest); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `UPDATE serve_target SET error = 'o: it refuses' WHERE name = 'acme'`); err != nil {
		t.Fatal(err)
	}
	served := map[string]bool{}
	ask := func(token, method, path, body string, want int) []byte {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Authorization", "Bearer "+token)
		if body != "" {
			q.Header.Set("Content-Type", "application/json")
		}
		route, params, err := router.FindRoute(q)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		a, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		in := &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: q, PathParams: params, Route: route},
			Status:                 a.StatusCode, Header: a.Header, Options: &openapi3filter.Options{IncludeResponseStatus: true},
		}
		var text strings.Builder
		buf := make([]byte, 64<<10)
		for {
			n, err := a.Body.Read(buf)
			text.Write(buf[:n])
			if err != nil {
				break
			}
		}
		in.SetBodyBytes([]byte(text.String()))
		if err := openapi3filter.ValidateResponse(t.Context(), in); err != nil {
			t.Errorf("%s %s: %v", method, path, err)
		}
		if a.StatusCode != want {
			t.Errorf("%s %s: %d, want %d: %s", method, path, a.StatusCode, want, text.String())
		}
		if want == 200 {
			served[method+" "+route.Path] = true
		}
		return []byte(text.String())
	}
	one := "/api/v1/incidents/" + fp
	for _, path := range []string{"/api/v1/summary", "/api/v1/incidents", "/api/v1/incidents?status=held&target=acme&q=express&limit=1", one, "/api/v1/plans", "/api/v1/repositories", "/api/v1/repositories?show=gaps", "/api/v1/queue"} {
		ask(carolToken, "GET", path, "", 200)
		ask("made-up-token-that-is-not-one", "GET", path, "", 401)
	}
	var list struct {
		Incidents []struct{ Fingerprint string }
	}
	if err := json.Unmarshal(ask(carolToken, "GET", "/api/v1/incidents?q="+fp[:12], "", 200), &list); err != nil || len(list.Incidents) != 1 || list.Incidents[0].Fingerprint != fp {
		t.Errorf("the search by fingerprint: %+v %v", list, err)
	}
	ask(carolToken, "GET", "/api/v1/incidents?status=none", "", 400)
	ask(carolToken, "GET", "/api/v1/incidents?limit=501", "", 400)
	ask(carolToken, "GET", "/api/v1/incidents/none", "", 404)
	for _, what := range []string{"approve", "hold", "release"} {
		body := `{"reason":"made up"}`
		if what == "approve" {
			body = fmt.Sprintf(`{"digest":%q}`, digest)
		}
		ask(carolToken, "POST", one+"/"+what, body, 403)
		ask(bobToken, "POST", one+"/"+what, body, 200)
		ask(bobToken, "POST", one+"/"+what, `{"digest":1}`, 400)
	}
	ask(bobToken, "POST", one+"/approve", `{"digest":"`+strings.Repeat("0", 64)+`"}`, 409)
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			if !served[method+" "+path] {
				t.Errorf("%s %s was not asked", method, path)
			}
		}
	}
}
