package realtest

import (
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

// site is one application whose session leaks, with the settings that an
// operator gives.
type site struct {
	name, provider string
	url, cookie    string // of the application
	settings       string // further lines of the [[instance]]
	probe          string
	signIn         func(b *browser, user string)
	rule, want     string
}

// nodeSites are the applications of variants.cjs at a port.
func nodeSites(origin string) []site {
	in := func(path string) func(b *browser, user string) {
		return func(b *browser, user string) { b.do("POST", origin+path+"/login?user="+user, url.Values{}) }
	}
	return []site{
		{"a cookie name of its own", "webapp", origin + "/own", "acme.sso", "", "/me", in("/own"), "webapp-session-named", "Confirmed"},
		{"the logout's own form, noisy pages", "webapp", origin + "/form", "form-app", "csrf = \"form\"\nlogin_path = \"/login\"\n", "/me", in("/form"), "webapp-session-named", "Confirmed"},
		{"a field", "webapp", origin + "/form", "form-app", "csrf = \"input:_csrf\"\n", "/me", in("/form"), "webapp-session-named", "Confirmed"},
		{"a meta element, a header, DELETE", "webapp", origin + "/header", "header_app", "csrf = \"meta:csrf-token\"\nlogout_method = \"DELETE\"\nheaders = { X-Requested-With = \"XMLHttpRequest\" }\n", "/me", in("/header"), "webapp-session-named", "Confirmed"},
		{"a sub-path, GET, redirects", "webapp", origin + "/deep/app", "deep", "logout_method = \"GET\"\nlogin_path = \"/login\"\n", "/me", in("/deep/app"), "webapp-session-named", "Confirmed"},
		{"one page for everyone, noisy", "webapp", origin + "/home", "home.id", "", "/me", in("/home"), "webapp-session-named", "Confirmed"},
		{"documents", "webapp", origin + "/json", "json.id", "csrf = \"json:csrf.token\"\ncsrf_to = \"json:token\"\n", "/me", in("/json"), "webapp-session-named", "Confirmed"},
		{"express by its own rule", "express", origin + "/own", "acme.sso", "", "/me", in("/own"), "express-session-named", "Confirmed"},
		{"a cookie and its signature, nothing kept", "webapp", origin + "/pair", "pair", "", "/me", in("/pair"), "webapp-session-named", "UntilExpiry"},
		{"a cookie and its signature, kept by the server (Koa)", "webapp", origin + "/koa", "koa.id", "", "/me", in("/koa"), "webapp-session-named", "Confirmed"},
		{"carried by the cookie", "webapp", origin + "/carried", "carried", "", "/me", in("/carried"), "webapp-session-named", "UntilExpiry"},
	}
}

func nodeServer(t *testing.T) (origin string) {
	need(t, "node")
	need(t, filepath.Join(servers, "node/node_modules/express"))
	port := freePort(t)
	start(t, "http://127.0.0.1:"+port+"/own/me", []string{"PORT=" + port}, filepath.Join(servers, "node"), "node", "variants.cjs")
	return "http://127.0.0.1:" + port
}

// run leaks one session of the site, ends it, and checks the two others.
func (s site) run(t *testing.T) { s.runWith(t, nil) }

func (s site) runWith(t *testing.T, env map[string]string) {
	t.Helper()
	value := func(user string) string {
		b := newBrowser(t)
		s.signIn(b, user)
		v := b.cookie(s.url+s.probe, s.cookie)
		if sig := b.maybe(s.url+s.probe, s.cookie+".sig"); sig != "" {
			return v + "; " + s.cookie + ".sig=" + sig
		}
		return v
	}
	leaked, control, other := value("alice"), value("alice"), value("bob")
	o := newOperator(t)
	for _, v := range []string{leaked, control, other} {
		o.secrets = append(o.secrets, strings.Split(v, "; "+s.cookie+".sig=")...)
	}
	o.env["CONTROL"] = control
	maps.Copy(o.env, env)
	logout := "logout_path = \"/logout\"\n"
	if strings.Contains(s.settings, "logout_path") || strings.Contains(s.settings, "sessions_db") || s.provider == "oauth2proxy" {
		logout = ""
	}
	o.policy(fmt.Sprintf("[[instance]]\nprovider = %q\nurl = %q\nown = true\ncookie = %q\nprobe_path = %q\ncontrol = \"env:CONTROL\"\nsettle = \"1s\"\n%s%s", s.provider, s.url, s.cookie, s.probe, logout, s.settings))
	shown := o.quell(0, "policy", "check", "--ask")
	// It shows the applications whose page the operator names.
	if s.provider != "oauth2proxy" && (!strings.Contains(shown, "proof: ") || !strings.Contains(shown, "never issued")) {
		t.Errorf("policy check --ask: %s", shown)
	}
	log := o.file("job.log", stamp+"> GET / HTTP/1.1\n"+stamp+"> Cookie: theme=dark; "+s.cookie+"="+leaked+"; lang=en\n")
	code := 0
	if s.want != "Confirmed" {
		code = 3
	}
	a := one(t, o.kill(1, code, "log", log), s.rule, s.want)
	if a.Control != "live" {
		t.Errorf("the positive control is %q", a.Control)
	}
	if o.dialled == 0 {
		t.Error("no connection was recorded")
	}
	page := func(v string) reply { return newBrowser(t).do("GET", s.url+s.probe, nil, "Cookie", s.cookie+"="+v) }
	if r := page(other); !strings.Contains(r.body, "bob") {
		t.Errorf("another user's session was ended too: %d %.200s", r.status, r.body)
	}
	if r := page(leaked); strings.Contains(r.body, "alice") != (s.want != "Confirmed") {
		t.Errorf("%s, and the page says %d %.200s", s.want, r.status, r.body)
	}
	if s.want == "UntilExpiry" && (!strings.Contains(a.Detail, "stateless") || !strings.Contains(a.Remedy, "ends everyone's")) {
		t.Errorf("%s: %s", a.Detail, a.Remedy)
	}
	o.files(log)
}

// Every way in which applications end sessions, on real servers: live, ended,
// proven; the session of another user goes on.
func TestSessionsOfAnyApplication(t *testing.T) {
	origin := nodeServer(t)
	for _, s := range nodeSites(origin) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.run(t)
		})
	}
}

// Sinatra keeps a session in an encrypted cookie, which a logout does not end. A pool on the server is ended.
// Both are bound to the browser's User-Agent.
func TestSinatra(t *testing.T) {
	for _, s := range []site{sinatraSite(t, "carried", "rack.session", "UntilExpiry"), sinatraSite(t, "pool", "pool.id", "Confirmed", "POOL=1")} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.run(t)
		})
	}
}

// djangoServer runs Django with the users alice and bob, who are no members of
// staff, and returns how they sign in.
func djangoServer(t *testing.T, db string) (origin string, in func(b *browser, user string)) {
	need(t, "/usr/lib/python3/dist-packages/django")
	web, err := filepath.Abs(filepath.Join(servers, "web"))
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"DB=" + db, "PYTHONDONTWRITEBYTECODE=1"}
	const python = "/usr/bin/python3"
	command(t, env, web, python, "django_app.py", "migrate", "-v0")
	command(t, env, web, python, "django_app.py", "shell", "-c", "from django.contrib.auth.models import User\nfor u in ('alice', 'bob'): User.objects.create_user(u, password='pw')")
	port := freePort(t)
	origin = "http://127.0.0.1:" + port
	start(t, origin+"/accounts/login/", env, web, python, "django_app.py", "runserver", "--noreload", "127.0.0.1:"+port)
	return origin, func(b *browser, user string) {
		page := b.do("GET", origin+"/accounts/login/", nil)
		b.do("POST", origin+"/accounts/login/", url.Values{"username": {user}, "password": {"pw"}, "csrfmiddlewaretoken": {find(b.t, `name="csrfmiddlewaretoken" value="([^"]+)"`, page.body)}})
	}
}

// A session of Django ends with its row, and by a logout for which no page is
// read.
func TestDjangoByRow(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "db.sqlite3")
	origin, in := djangoServer(t, db)
	for _, s := range []site{
		{"by row", "django", origin, "sessionid", "sessions_db = \"env:SESSIONS\"\nlogin_path = \"/accounts/login/\"\n", "/accounts/me/", in, "django-session-named", "Confirmed"},
		{"by logout", "django", origin, "sessionid", "logout_path = \"/accounts/logout/\"\nlogin_path = \"/accounts/login/\"\n", "/accounts/me/", in, "django-session-named", "Confirmed"},
	} {
		t.Run(s.name, func(t *testing.T) { s.runWith(t, map[string]string{"SESSIONS": "sqlite:" + db}) })
	}
}
