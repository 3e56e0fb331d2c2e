package realtest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// product is a server that keeps sessions as a product's documents describe: its
// pages decide by the session's user, empty without one.
type product struct {
	cookie string
	serve  func(w http.ResponseWriter, r *http.Request, user string, end func())

	mu       sync.Mutex
	sessions map[string]string // value → user
}

func (p *product) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.URL.Path == "/made-up-sign-in" {
		value := fmt.Sprintf("%032x", len(p.sessions)*7919+104729)
		p.sessions[value] = r.FormValue("user")
		http.SetCookie(w, &http.Cookie{Name: p.cookie, Value: value, Path: "/", HttpOnly: true})
		return
	}
	value := ""
	if c, err := r.Cookie(p.cookie); err == nil {
		value = c.Value
	}
	p.serve(w, r, p.sessions[value], func() { delete(p.sessions, value) })
}

func (p *product) site(t *testing.T, name, probe, settings string) site {
	t.Helper()
	p.sessions = map[string]string{}
	srv := httptest.NewServer(p)
	t.Cleanup(srv.Close)
	in := func(b *browser, user string) { b.do("POST", srv.URL+"/made-up-sign-in?user="+user, nil) }
	return site{name, "webapp", srv.URL, p.cookie, settings, probe, in, "webapp-session-named", "Confirmed"}
}

func document(w http.ResponseWriter, status int, format string, args ...any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, format, args...)
}

// Products whose session cookie has no form of its own end by the settings of
// docs/applications.md.
func TestProductsByTheirSettings(t *testing.T) {
	t.Parallel()
	// https://github.com/goharbor/harbor: src/core/controllers/base.go, LogOut.
	harbor := &product{cookie: "sid", serve: func(w http.ResponseWriter, r *http.Request, user string, end func()) {
		switch {
		case r.Method == "GET" && r.URL.Path == "/c/log_out":
			end()
		case r.URL.Path == "/api/v2.0/users/current" && user != "":
			document(w, 200, `{"user_id":3,"username":%q}`, user)
		case r.URL.Path == "/api/v2.0/users/current":
			document(w, 401, `{"errors":[{"code":"UNAUTHORIZED","message":"unauthorized"}]}`)
		default:
			w.WriteHeader(404)
		}
	}}
	// Jira's REST API, resource auth/1/session.
	jira := &product{cookie: "JSESSIONID", serve: func(w http.ResponseWriter, r *http.Request, user string, end func()) {
		switch {
		case r.URL.Path != "/rest/auth/1/session":
			w.WriteHeader(404)
		case user == "":
			document(w, 401, `{"errorMessages":["You are not authenticated. Authentication required to perform this operation."],"errors":{}}`)
		case r.Method == "DELETE":
			end()
			w.WriteHeader(204)
		default:
			document(w, 200, `{"self":"https://jira.example/rest/api/latest/user?username=%[1]s","name":%[1]q,"loginInfo":{"loginCount":12}}`, user)
		}
	}}
	for _, s := range []site{
		harbor.site(t, "Harbor", "/api/v2.0/users/current", "logout_path = \"/c/log_out\"\nlogout_method = \"GET\"\n"),
		jira.site(t, "Jira Data Center", "/rest/auth/1/session", "logout_path = \"/rest/auth/1/session\"\nlogout_method = \"DELETE\"\n"),
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.run(t)
		})
	}
}
