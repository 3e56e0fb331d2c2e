package realtest

import (
	"database/sql"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// frameworkSites are small applications of frameworks in Debian's packages. Each
// runs until the test ends.
func frameworkSites(t *testing.T) []site {
	t.Helper()
	web, err := filepath.Abs(filepath.Join(servers, "web"))
	if err != nil {
		t.Fatal(err)
	}
	run := func(pkg string, env []string, args ...string) string {
		t.Helper()
		need(t, pkg)
		port := freePort(t)
		origin := "http://127.0.0.1:" + port
		start(t, origin+"/me", append(env, "PORT="+port, "PYTHONDONTWRITEBYTECODE=1"), web, args...)
		return origin
	}
	const rails, ruby = "/usr/share/rubygems-integration/all/gems/railties-6.1.7.10", "/usr/bin/ruby"
	carried := run(rails, nil, ruby, "rails_app.rb")
	kept := run(rails, []string{"STORE=cache_store"}, ruby, "rails_app.rb")
	mojo := run("/usr/share/perl5/Mojolicious.pm", nil, "/usr/bin/perl", "mojo_app.pl")
	tornado := run("/usr/lib/python3/dist-packages/tornado", nil, "/usr/bin/python3", "tornado_app.py")
	cherry := run("/usr/lib/python3/dist-packages/cherrypy", nil, "/usr/bin/python3", "cherry_app.py")
	in := func(origin string) func(b *browser, user string) {
		return func(b *browser, user string) { b.do("POST", origin+"/login", url.Values{"user": {user}}) }
	}
	return []site{
		{"Rails, the session in the cookie", "webapp", carried, "_app_session", "csrf = \"meta:csrf-token\"\ncsrf_to = \"form:authenticity_token\"\nlogin_path = \"/login\"\n", "/me", in(carried), "webapp-session-named", "UntilExpiry"},
		{"Rails, a store on the server", "webapp", kept, "_app_session", "csrf = \"meta:csrf-token\"\nlogin_path = \"/login\"\n", "/me", in(kept), "webapp-session-named", "Confirmed"},
		{"Mojolicious", "webapp", mojo, "mojolicious", "", "/me", in(mojo), "webapp-session-named", "UntilExpiry"},
		{"Tornado", "webapp", tornado, "torn", "", "/me", in(tornado), "webapp-session-named", "UntilExpiry"},
		{"CherryPy", "webapp", cherry, "cherry", "csrf = \"form\"\nlogin_path = \"/signin\"\n", "/me", in(cherry), "webapp-session-named", "Confirmed"},
	}
}

// short makes a session of an application that takes its lifetime in milliseconds, and returns it
// when it is over.
func (s site) short(t *testing.T) func() string {
	return func() string {
		// A browser forgets the cookie at once.
		r, err := http.Post(s.url+"/login?user=alice&ttl=400", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		i := slices.IndexFunc(r.Cookies(), func(c *http.Cookie) bool { return c.Name == s.cookie })
		if i < 0 {
			t.Fatalf("no session that expires: %d", r.StatusCode)
		}
		v := r.Cookies()[i].Value
		if page := newBrowser(t).do("GET", s.url+s.probe, nil, "Cookie", s.cookie+"="+v); !strings.Contains(page.body, "alice") {
			t.Fatalf("it was never live: %d %.200s", page.status, page.body)
		}
		time.Sleep(500 * time.Millisecond)
		if page := newBrowser(t).do("GET", s.url+s.probe, nil, "Cookie", s.cookie+"="+v); strings.Contains(page.body, "alice") {
			t.Fatalf("it is still live: %d %.200s", page.status, page.body)
		}
		return v
	}
}

func TestFrameworks(t *testing.T) {
	t.Parallel()
	for _, s := range frameworkSites(t) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.run(t)
		})
	}
}

// giteaUsers starts a forge with the users alice and bob, and returns its site and a session
// that is over: its row was last written in 1970, and Gitea's own clean-up has deleted it.
func giteaUsers(t *testing.T) (s site, expired func() string) {
	t.Helper()
	u, folder := giteaIn(t)
	admin := newBrowser(t)
	for _, name := range []string{"alice", "bob"} {
		if r := admin.send("POST", u+"/api/v1/admin/users", `{"username":"`+name+`","email":"`+name+`@example.com","password":"`+giteaPassword+`","must_change_password":false}`, "Authorization", basic("root1", giteaPassword), "Content-Type", "application/json"); r.status != 201 {
			t.Fatalf("no user %s: %d %.200s", name, r.status, r.body)
		}
	}
	s = giteaSite(u, func(b *browser, user string) {
		page := b.do("GET", u+"/user/login", nil)
		form := url.Values{"user_name": {user}, "password": {giteaPassword}}
		if strings.Contains(page.body, `name="_csrf"`) {
			form.Set("_csrf", find(b.t, `name="_csrf" value="([^"]+)"`, page.body))
		}
		if r := b.do("POST", u+"/user/login", form); r.status != 303 && r.status != 302 {
			b.t.Fatalf("sign-in of %s: %d", user, r.status)
		}
	})
	return s, func() string {
		v := s.session(t, "alice")
		db, err := sql.Open("sqlite", "file:"+filepath.Join(folder, "data/gitea.db")+"?_pragma=busy_timeout(20000)")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		r, err := db.Exec("UPDATE session SET expiry = 1 WHERE key = ?", v)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := r.RowsAffected(); err != nil || n != 1 {
			t.Fatalf("%d rows, %v", n, err)
		}
		for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			n := 0
			if err := db.QueryRow("SELECT count(*) FROM session WHERE key = ?", v).Scan(&n); err == nil && n == 0 {
				return v
			}
			if time.Now().After(deadline) {
				t.Fatal("Gitea's clean-up leaves the session")
			}
		}
	}
}

func giteaSite(u string, in func(b *browser, user string)) site {
	return site{"Gitea", "webapp", u, "i_like_gitea", "logout_path = \"/user/logout\"\nlogout_method = \"GET\"\nlogin_path = \"/user/login\"\n", "/user/settings", in, "webapp-session-named", "Confirmed"}
}

// Gitea's own web session ends by the sign-out of its menu.
func TestTheWebSessionOfGitea(t *testing.T) {
	t.Parallel()
	s, _ := giteaUsers(t)
	s.run(t)
}

// Rows of a store that connect-pg-simple keeps in PostgreSQL.
func TestExpressByRow(t *testing.T) {
	t.Parallel()
	need(t, filepath.Join(servers, "node/node_modules/connect-pg-simple"))
	pg := postgres(t)
	port := freePort(t)
	origin := "http://127.0.0.1:" + port
	start(t, origin+"/own/me", []string{"PORT=" + port, "PGHOST=127.0.0.1", "PGPORT=" + pg, "PGUSER=admin", "PGPASSWORD=made-up-root", "PGDATABASE=postgres"}, filepath.Join(servers, "node"), "node", "variants.cjs")
	in := func(b *browser, user string) { b.do("POST", origin+"/rows/login?user="+user, url.Values{}) }
	s := site{"by row", "express", origin + "/rows", "rows.id", "sessions_db = \"env:SESSIONS\"\n", "/me", in, "express-session-named", "Confirmed"}
	s.runWith(t, map[string]string{"SESSIONS": "postgres://admin:made-up-root@127.0.0.1:" + pg + "/postgres?sslmode=disable"})
}
