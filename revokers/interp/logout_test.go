package interp_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/interp"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// application logs out as one kind of application does. Its session is over
// only if the logout had all that it asks for.
type application struct {
	page   func(w http.ResponseWriter, r *http.Request) // of the signed-in user
	logout func(w http.ResponseWriter, r *http.Request) (ended bool)

	mu    sync.Mutex
	over  bool
	asked []string
}

const session = "s%3Aq8Zk2mXw71Lp0vB3nT5r.Hc+9/dR4="

func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, r.Method+" "+r.URL.Path)
	signedIn := strings.Contains("; "+r.Header.Get("Cookie")+";", "; acme="+session+";") && !a.over
	switch path := strings.TrimPrefix(r.URL.Path, "/sub"); {
	case path == "/me" && signedIn:
		if a.page != nil {
			a.page(w, r)
		}
		fmt.Fprint(w, "alice")
	case path == "/me":
		http.Redirect(w, r, "/login", http.StatusFound)
	case path == "/logout" || path == "/logout/now":
		if a.logout(w, r) && signedIn {
			a.over = true
		}
	default:
		http.NotFound(w, r)
	}
}

func write(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

// only takes a logout that ok accepts, and refuses others with 403.
func only(ok func(r *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !ok(r) {
			w.WriteHeader(http.StatusForbidden)
			return false
		}
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return true
	}
}

func webTarget(t *testing.T, in *issuer.Instance) revokers.Target {
	t.Helper()
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return revokers.Target{
		Credential: credential.Credential{Ref: credential.Ref{Fingerprint: "f", Rule: "webapp-session", Cookie: "acme", Kind: credential.KindSessionCookie}, Secret: credential.NewSecretString(session)},
		Rule:       set.Rule("webapp-session"), Instance: in,
	}
}

func TestLogoutAsApplicationsDoIt(t *testing.T) {
	const value = "t0ken+/=="
	form := func(name string) func(*http.Request) bool {
		return func(r *http.Request) bool { return r.Method == http.MethodPost && r.PostFormValue(name) == value }
	}
	header := func(name string) func(*http.Request) bool {
		return func(r *http.Request) bool { return r.Method == http.MethodPost && r.Header.Get(name) == value }
	}
	for name, c := range map[string]struct {
		page     func(http.ResponseWriter, *http.Request)
		logout   func(http.ResponseWriter, *http.Request) bool
		settings map[string]string
		headers  map[string]string
		sub      string
		refused  bool
	}{
		"POST without a token": {logout: only(func(r *http.Request) bool { return r.Method == http.MethodPost })},
		"GET":                  {logout: only(func(r *http.Request) bool { return r.Method == http.MethodGet }), settings: map[string]string{"logout_method": "get"}},
		"DELETE with a header": {page: write(`<meta name=csrf-token content="t0ken+/==">`), logout: only(func(r *http.Request) bool {
			return r.Method == http.MethodDelete && r.Header.Get("X-CSRF-Token") == value
		}), settings: map[string]string{"logout_method": "DELETE", "csrf": "meta:csrf-token"}},
		"a link": {page: write(`<a href="/sub/help">?</a><a href="/logout?do=out&amp;k=t0ken%2B%2F%3D%3D&amp;next=%2Fme">Out</a><a href="/login?do=out">In</a>`), logout: only(func(r *http.Request) bool {
			return r.Method == http.MethodGet && r.FormValue("k") == value && r.FormValue("next") == "/me" && len(r.URL.Query()["do"]) == 1
		}), settings: map[string]string{"logout_path": "/logout?do=out", "csrf": "link"}},
		"two links that differ":                               {page: write(`<a href="/logout?k=1">Out</a><a href="/logout?k=2">Out everywhere</a>`), logout: only(func(*http.Request) bool { return true }), settings: map[string]string{"csrf": "link"}, refused: true},
		"a link to another host":                              {page: write(`<a href="http://other.example/logout?k=1">Out</a><a href="//other.example/logout?k=1">Out</a>`), logout: only(func(*http.Request) bool { return true }), settings: map[string]string{"csrf": "link"}, refused: true},
		"a link that names the action twice, as PHP reads it": {page: write(`<a href="/logout?do=out&amp;%20Do=delete&amp;k=1">Out</a>`), logout: only(func(*http.Request) bool { return true }), settings: map[string]string{"logout_path": "/logout?do=out", "csrf": "link"}, refused: true},
		"a link with the action as a list":                    {page: write(`<a href="/logout?do=out&amp;do[]=delete">Out</a>`), logout: only(func(*http.Request) bool { return true }), settings: map[string]string{"logout_path": "/logout?do=out", "csrf": "link"}, refused: true},
		"a link that replaces the method":                     {page: write(`<a href="/logout?_method=DELETE">Out</a>`), logout: only(func(*http.Request) bool { return true }), settings: map[string]string{"csrf": "link"}, refused: true},
		"a link to another action":                            {page: write(`<a href="/logout?do=delete&amp;k=1">Delete</a>`), logout: only(func(*http.Request) bool { return true }), settings: map[string]string{"logout_path": "/logout?do=out", "csrf": "link"}, refused: true},
		"controls outside of the form": {page: write(`<form id=f method=post action=/logout><input type=hidden name=xsrf value="t0ken+/=="><input form=g type=hidden name=other value=1></form><button type=submit form=f name=logout value=yes>Yes</button><button type=submit form=f>No</button><button form=g name=delete value=1>x</button>`), logout: only(func(r *http.Request) bool {
			return r.PostFormValue("xsrf") == value && r.PostFormValue("logout") == "yes" && len(r.PostForm) == 2
		}), settings: map[string]string{"csrf": "form"}},
		"a field":                    {page: write(`<form><input type="hidden" name="_csrf" value="t0ken+/=="></form>`), logout: only(form("_csrf")), settings: map[string]string{"csrf": "input:_csrf"}},
		"a field without quotes":     {page: write(`<INPUT value=t0ken+/== type=hidden name=_csrf>`), logout: only(form("_csrf")), settings: map[string]string{"csrf": "input:_csrf"}},
		"a field with entities":      {page: write(`<input name="_csrf" value="t0ken&#43;/&#x3d;=">`), logout: only(form("_csrf")), settings: map[string]string{"csrf": "input:_csrf"}},
		"a field under another name": {page: write(`<input name=a value="t0ken+/==">`), logout: only(form("b")), settings: map[string]string{"csrf": "input:a", "csrf_to": "form:b"}},
		"a meta element":             {page: write(`<head><meta content='t0ken+/==' name='csrf-token'>`), logout: only(header("X-CSRF-Token")), settings: map[string]string{"csrf": "meta:csrf-token"}},
		"a cookie and a header": {page: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Add("Set-Cookie", "XSRF-TOKEN="+url.PathEscape(value)+"; Path=/")
		}, logout: only(func(r *http.Request) bool {
			c, err := r.Cookie("XSRF-TOKEN")
			return err == nil && c.Value == url.PathEscape(value) && header("X-XSRF-TOKEN")(r)
		}), settings: map[string]string{"csrf": "cookie:XSRF-TOKEN"}},
		"JSON and a header": {page: write(`{"csrf":{"token":"t0ken+/=="}}`), logout: only(header("X-Token")), settings: map[string]string{"csrf": "json:csrf.token", "csrf_to": "header:X-Token"}},
		"a document and JSON": {page: nil, logout: only(func(r *http.Request) bool {
			var b struct{ Token string }
			return json.NewDecoder(r.Body).Decode(&b) == nil && b.Token == value && r.Header.Get("Content-Type") == "application/json"
		}), settings: map[string]string{"csrf": "header:X-Csrf", "csrf_to": "json:token"}},
		"a header of the page": {page: nil, logout: only(header("X-Csrf")), settings: map[string]string{"csrf": "header:X-Csrf"}},
		"a query":              {page: write(`<input name=k value="t0ken+/==">`), logout: only(func(r *http.Request) bool { return r.Method == http.MethodGet && r.URL.Query().Get("k") == value }), settings: map[string]string{"csrf": "input:k", "csrf_to": "query:k", "logout_method": "GET"}},
		"a made-up double": {logout: only(func(r *http.Request) bool {
			c, err := r.Cookie("csrftoken")
			return err == nil && len(c.Value) == 32 && r.PostFormValue("csrfmiddlewaretoken") == c.Value
		}), settings: map[string]string{"csrf": "double:csrftoken", "csrf_to": "form:csrfmiddlewaretoken"}},
		"the form itself": {page: write(`<form action="/search"><input type=hidden name=x value=y></form><form method=post action="/logout"><input type=hidden name=authenticity_token value="t0ken+/=="><input type=hidden name=_method value=delete><button>Out</button></form>`), logout: only(func(r *http.Request) bool {
			return form("authenticity_token")(r) && r.PostFormValue("_method") == "delete" && r.PostFormValue("x") == ""
		}), settings: map[string]string{"csrf": "form"}},
		"the form, under a sub-path": {page: write(`<form method=post action="logout"><input type=hidden name=k value="t0ken+/=="></form>`), logout: only(form("k")), settings: map[string]string{"csrf": "form"}, sub: "/sub"},
		"two different forms":        {page: write(`<form action="/logout"><input type=hidden name=k value=a></form><form action="/logout"><input type=hidden name=k value=b></form>`), logout: only(func(*http.Request) bool { return true }), settings: map[string]string{"csrf": "form"}, refused: true},
		"the query chooses the form": {page: write(`<form method=post action="/logout?do=all"><input type=hidden name=k value=a></form><form method=post action="/logout?do=one"><input type=hidden name=k value="t0ken+/=="></form>`), logout: only(func(r *http.Request) bool {
			return form("k")(r) && r.URL.RawQuery == "do=one"
		}), settings: map[string]string{"csrf": "form", "logout_path": "/logout?do=one"}},
		"a form with a query of its own": {page: write(`<form method=post action="/logout?do=all"><input type=hidden name=k value="t0ken+/=="></form>`), logout: only(func(*http.Request) bool { return true }), settings: map[string]string{"csrf": "form"}, refused: true},
		"a form without the query":       {page: write(`<form method=post action="/logout"><input type=hidden name=k value="t0ken+/=="></form>`), logout: only(func(*http.Request) bool { return true }), settings: map[string]string{"csrf": "form", "logout_path": "/logout?do=one"}, refused: true},
		"several named buttons":          {page: write(`<form method=post action="/logout"><input type=hidden name=k value="t0ken+/=="><button name=do value=out>Out</button><button name=do value=delete>Delete</button></form>`), logout: only(func(*http.Request) bool { return true }), settings: map[string]string{"csrf": "form"}, refused: true},
		"buttons that send nothing": {page: write(`<form method=post action="/logout"><input type=hidden name=k value="t0ken+/=="><input type=hidden name=off value=1 disabled><fieldset disabled><button name=grey>Grey</button></fieldset><button name=away formaction="/delete">Delete</button><button name=do value=out>Out</button></form>`), logout: only(func(r *http.Request) bool {
			return form("k")(r) && r.PostFormValue("do") == "out" && len(r.PostForm) == 2
		}), settings: map[string]string{"csrf": "form"}},
		"fields with different values": {page: write(`<form action="/a"><input name=k value="other"></form><form action="/logout"><input name=k value="t0ken+/=="></form>`), logout: only(func(*http.Request) bool { return true }), settings: map[string]string{"csrf": "input:k"}, refused: true},
		"fields with one value":        {page: write(`<form action="/a"><input name=k value="t0ken+/=="></form><form action="/logout"><input name=k value="t0ken+/=="></form>`), logout: only(form("k")), settings: map[string]string{"csrf": "input:k"}},
		"a query of the path's own stays": {page: write(`<input name=k value="t0ken+/==">`), logout: only(func(r *http.Request) bool {
			return r.URL.Query().Get("k") == value && r.URL.Query().Get("do") == "one"
		}), settings: map[string]string{"csrf": "input:k", "csrf_to": "query:k", "logout_path": "/logout?do=one"}},
		"no form": {page: write(`<form action="/search"></form>`), logout: only(func(*http.Request) bool { return true }), settings: map[string]string{"csrf": "form"}, refused: true},
		"an origin is asked for": {logout: only(func(r *http.Request) bool {
			return r.Header.Get("Origin") == "http://"+r.Host && strings.HasPrefix(r.Header.Get("Referer"), "http://"+r.Host+"/") && r.Header.Get("Sec-Fetch-Site") == "same-origin"
		})},
		"headers of the operator": {page: write(`<meta name=t content="t0ken+/==">`), logout: only(func(r *http.Request) bool {
			return r.Header.Get("X-Requested-With") == "XMLHttpRequest" && r.Header.Get("X-Own") == "v1 "+value
		}), settings: map[string]string{"csrf": "meta:t"}, headers: map[string]string{"X-Requested-With": "XMLHttpRequest", "X-Own": "v1 {csrf}"}},
		"a sub-path": {logout: only(func(r *http.Request) bool { return r.URL.Path == "/sub/logout" }), sub: "/sub"},
		"two steps on the same origin": {logout: func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/logout" {
				http.Redirect(w, r, "/logout/now?sure=1", http.StatusFound)
				return false
			}
			return r.URL.Query().Get("sure") == "1"
		}},
		"a token that the page lacks": {page: write("no form"), logout: only(func(*http.Request) bool { return true }), settings: map[string]string{"csrf": "input:_csrf"}, refused: true},
		"the wrong method": {logout: func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return false
		}, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			app := &application{page: c.page, logout: c.logout}
			if app.page == nil {
				app.page = func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Csrf", value) }
			}
			srv := httptest.NewServer(app)
			defer srv.Close()
			u, err := url.Parse(srv.URL + c.sub)
			if err != nil {
				t.Fatal(err)
			}
			in := &issuer.Instance{Provider: "webapp", URL: u, Operator: true, Cookie: "acme", Headers: c.headers, Settings: map[string]string{"probe_path": "/me", "logout_path": "/logout", "login_path": "/login"}}
			for k, v := range c.settings {
				in.Settings[k] = v
			}
			target := webTarget(t, in)
			l := interp.Logout{Doer: &issuer.Client{Timeout: time.Second}, Method: http.MethodPost}
			planned, err := l.Plan(t.Context(), []revokers.Target{target})
			if err != nil {
				t.Fatal(err)
			}
			app.asked = nil
			announced := 0
			receipt, err := l.Send(t.Context(), []revokers.Target{target}, planned[0], func(e revokers.Effect) error {
				announced++
				was, _ := json.Marshal(planned[0])
				is, _ := json.Marshal(e)
				if string(was) != string(is) {
					t.Errorf("planned %s\nsent    %s", was, is)
				}
				if strings.Contains(string(is), "q8Zk2") || strings.Contains(string(is), "t0ken") {
					t.Errorf("a secret is shown: %s", is)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if ack := receipt.Of(0); ack.Accepted == c.refused || app.over == c.refused || c.refused && ack.Detail == "" {
				t.Errorf("accepted %v, over %v: %s\n%v", ack.Accepted, app.over, ack.Detail, app.asked)
			}
			if announced == 0 && app.over {
				t.Error("it was ended without being announced")
			}
		})
	}
}

// The plan shows the query that is sent.
func TestThePlanShowsTheWholeQuery(t *testing.T) {
	u, _ := url.Parse("https://app.example/sub")
	in := &issuer.Instance{Provider: "webapp", URL: u, Operator: true, Cookie: "acme", Settings: map[string]string{"probe_path": "/me", "logout_path": "/logout?do=one&k=", "csrf": "input:k", "csrf_to": "query:k"}}
	planned, err := interp.Logout{Method: http.MethodPost}.Plan(t.Context(), []revokers.Target{webTarget(t, in)})
	if err != nil || planned[0].URL != "https://app.example/sub/logout?do=one&k={csrf}" {
		t.Errorf("%v, %v", planned, err)
	}
}

// Redirects lead no secret to another host, another scheme or another
// application of the same host.
func TestALogoutStaysAtItsApplication(t *testing.T) {
	var elsewhere []string
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { elsewhere = append(elsewhere, r.URL.String()) }))
	defer other.Close()
	for _, location := range []string{other.URL + "/logout", "//" + strings.TrimPrefix(other.URL, "http://") + "/", "https://127.0.0.1:1/", "/other/logout", "/sub/../other", "/subway", "/sub/%2e%2e/other", "http://user:pw@HOST/sub/x", "javascript:alert(1)"} {
		var asked []string
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.URL.Path)
			w.Header().Set("Location", strings.ReplaceAll(location, "HOST", r.Host))
			w.WriteHeader(http.StatusFound)
		}))
		u, _ := url.Parse(srv.URL + "/sub")
		target := webTarget(t, &issuer.Instance{Provider: "webapp", URL: u, Operator: true, Settings: map[string]string{"probe_path": "/me", "logout_path": "/logout"}})
		l := interp.Logout{Doer: &issuer.Client{Timeout: time.Second}, Method: http.MethodPost}
		_, err := l.Send(t.Context(), []revokers.Target{target}, revokers.Effect{}, func(revokers.Effect) error { return nil })
		srv.Close()
		if err != nil || len(asked) != 1 || len(elsewhere) > 0 {
			t.Errorf("%s: %v, asked %v, elsewhere %v", location, err, asked, elsewhere)
		}
	}
	// A circle ends.
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		http.Redirect(w, r, "/logout?again", http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	u, _ := url.Parse(srv.URL)
	target := webTarget(t, &issuer.Instance{Provider: "webapp", URL: u, Operator: true, Settings: map[string]string{"probe_path": "/me", "logout_path": "/logout"}})
	l := interp.Logout{Doer: &issuer.Client{Timeout: time.Second}, Method: http.MethodPost}
	if _, err := l.Send(t.Context(), []revokers.Target{target}, revokers.Effect{}, func(revokers.Effect) error { return nil }); err != nil || n > 10 {
		t.Errorf("%d requests, %v", n, err)
	}
}
