package realtest

import (
	"net/url"
	"path/filepath"
	"strings"
	"testing"
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

func TestFrameworks(t *testing.T) {
	t.Parallel()
	for _, s := range frameworkSites(t) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.run(t)
		})
	}
}

// giteaUsers starts a forge with the users alice and bob, and returns how they sign
// in.
func giteaUsers(t *testing.T) (u string, in func(b *browser, user string)) {
	t.Helper()
	u = gitea(t)
	admin := newBrowser(t)
	for _, name := range []string{"alice", "bob"} {
		if r := admin.send("POST", u+"/api/v1/admin/users", `{"username":"`+name+`","email":"`+name+`@example.com","password":"`+giteaPassword+`","must_change_password":false}`, "Authorization", basic("root1", giteaPassword), "Content-Type", "application/json"); r.status != 201 {
			t.Fatalf("no user %s: %d %.200s", name, r.status, r.body)
		}
	}
	return u, func(b *browser, user string) {
		page := b.do("GET", u+"/user/login", nil)
		form := url.Values{"user_name": {user}, "password": {giteaPassword}}
		if strings.Contains(page.body, `name="_csrf"`) {
			form.Set("_csrf", find(b.t, `name="_csrf" value="([^"]+)"`, page.body))
		}
		if r := b.do("POST", u+"/user/login", form); r.status != 303 && r.status != 302 {
			b.t.Fatalf("sign-in of %s: %d", user, r.status)
		}
	}
}

func giteaSite(u string, in func(b *browser, user string)) site {
	return site{"Gitea", "webapp", u, "i_like_gitea", "logout_path = \"/user/logout\"\nlogout_method = \"GET\"\nlogin_path = \"/user/login\"\n", "/user/settings", in, "webapp-session-named", "Confirmed"}
}

// Gitea's own web session ends by the sign-out of its menu.
func TestTheWebSessionOfGitea(t *testing.T) {
	t.Parallel()
	giteaSite(giteaUsers(t)).run(t)
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
