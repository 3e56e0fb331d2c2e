package realtest

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
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

// all ends every session of a user. The caller holds the lock.
func (p *product) all(user string) {
	maps.DeleteFunc(p.sessions, func(_, u string) bool { return u == user })
}

// Products whose administrators end every session of a user: by the user whom the product names
// for the live session. Other users' sessions go on, and a refused administrator ends none.
func TestProductsByIdentity(t *testing.T) {
	t.Parallel()
	const password, key = "made-up-password", "made-up-admin-key"
	jira := &product{cookie: "JSESSIONID"}
	jira.serve = func(w http.ResponseWriter, r *http.Request, user string, _ func()) {
		name, byName := strings.CutPrefix(r.URL.Path, "/rest/api/2/user/session/")
		switch who, pass, _ := r.BasicAuth(); {
		case byName && r.Method == "DELETE" && who == "root1" && pass == password:
			jira.all(name)
			w.WriteHeader(204)
		case byName:
			document(w, 401, `{"message":"Client must be authenticated to access this resource.","status-code":401}`)
		case r.URL.Path != "/rest/auth/1/session":
			w.WriteHeader(404)
		case user == "":
			document(w, 401, `{"errorMessages":["You are not authenticated. Authentication required to perform this operation."],"errors":{}}`)
		default:
			document(w, 200, `{"name":%q,"loginInfo":{"loginCount":12}}`, user)
		}
	}
	rancher := &product{cookie: "R_SESS"}
	rancher.serve = func(w http.ResponseWriter, r *http.Request, user string, _ func()) {
		switch {
		case r.Method == "DELETE" && r.URL.Path == "/k8s/clusters/local/apis/management.cattle.io/v3/tokens" && r.Header.Get("Authorization") == "Bearer "+key:
			id, ok := strings.CutPrefix(r.URL.Query().Get("labelSelector"), "authn.management.cattle.io/token-userId=u-")
			if !ok || id == "" {
				t.Error("every token would have been deleted")
			}
			rancher.all(id)
			document(w, 200, `{"kind":"TokenList","items":[]}`)
		case r.Method == "DELETE":
			document(w, 401, `{"kind":"Status","reason":"Unauthorized"}`)
		case r.URL.Path != "/v3/users":
			w.WriteHeader(404)
		case user == "":
			document(w, 401, `{"type":"error","code":"Unauthorized"}`)
		default:
			document(w, 200, `{"data":[{"id":"u-%[1]s","username":%[1]q}]}`, user)
		}
	}
	for _, c := range []struct {
		s              site
		provider, rule string
		admin, more    string
	}{
		{jira.site(t, "Jira", "/rest/auth/1/session", ""), "jira", "jira-session-named", "root1:" + password, ""},
		{rancher.site(t, "Rancher", "/v3/users?me=true", ""), "rancher", "rancher-session-named", key, "[kill]\ntiers = [\"collateral\"]\n"},
	} {
		t.Run(c.s.name, func(t *testing.T) {
			t.Parallel()
			leaked, second, control := c.s.session(t, "alice"), c.s.session(t, "alice"), c.s.session(t, "bob")
			o := newOperator(t)
			o.secrets = []string{leaked, second, control, password, key}
			o.env["CONTROL"], o.env["ADMIN"] = control, "wrong:"+c.admin
			o.policy(c.more + fmt.Sprintf("[[instance]]\nprovider = %q\nurl = %q\nown = true\ncookie = %q\nsettle = \"1s\"\ncontrol = \"env:CONTROL\"\nadmin = \"env:ADMIN\"\nrevocation = \"user\"\n", c.provider, c.s.url, c.s.cookie))
			log := o.file("job.log", stamp+"> Cookie: "+c.s.cookie+"="+leaked+"\n")
			page := func(v string) string {
				return newBrowser(t).do("GET", c.s.url+c.s.probe, nil, "Cookie", c.s.cookie+"="+v).body
			}
			one(t, o.kill(1, 3, "log", log), c.rule, "StillAlive")
			if !strings.Contains(page(second), "alice") {
				t.Fatal("a refused administrator ended a session")
			}
			o.env["ADMIN"] = c.admin
			if a := one(t, o.kill(1, 0, "log", log), c.rule, "Confirmed"); a.Scope != "all_user_sessions" || a.Control != "live" {
				t.Errorf("scope %q, control %q", a.Scope, a.Control)
			}
			if strings.Contains(page(second), "alice") || !strings.Contains(page(control), "bob") {
				t.Error("the user's other session is alive, or another user's is not")
			}
			o.files(log)
		})
	}
}

// No request of an administrator ends a session of Nextcloud: it is held, and nothing is asked. The
// report names what an operator does on the server.
func TestTheSessionOfNextcloudIsHeld(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	leaked := strings.Repeat("aB3xYz9KqLmN4pRs", 10)
	o.secrets = []string{leaked}
	o.policy("[[instance]]\nprovider = \"nextcloud\"\nurl = \"http://127.0.0.1:1\"\nown = true\n")
	a := one(t, o.kill(0, 0, "log", o.file("job.log", "Cookie: oc_sessionPassphrase="+leaked+"\n")), "nextcloud-session", "Held")
	if !strings.Contains(a.Held+a.Remedy, "user:auth-tokens:delete USER ID") || o.dialled != 0 {
		t.Errorf("held: %s; %s; %d connections", a.Held, a.Remedy, o.dialled)
	}
}
