package realtest

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// webapp is a framework with its session cookie.
type webapp struct {
	provider, cookie, rule string
	probe, logout, login   string
	start                  func(t *testing.T, port string)
	signIn                 func(b *browser, origin, user string)
	want                   string
}

func webapps(t *testing.T) []webapp {
	simple := func(b *browser, origin, user string) { b.do("POST", origin+"/login?user="+user, url.Values{}) }
	web, err := filepath.Abs(filepath.Join(servers, "web"))
	if err != nil {
		t.Fatal(err)
	}
	// Debian's Python has Debian's Django and Flask.
	const python = "/usr/bin/python3"
	return []webapp{
		{"express", "connect.sid", "express-session", "/me", "/logout", "", func(t *testing.T, port string) {
			need(t, "node")
			need(t, filepath.Join(servers, "node/node_modules/express"))
			start(t, "http://127.0.0.1:"+port+"/me", []string{"PORT=" + port}, filepath.Join(servers, "node"), "node", "express.cjs")
		}, simple, "Confirmed"},
		{"php", "PHPSESSID", "php-session", "/me", "/logout", "", func(t *testing.T, port string) {
			need(t, "php")
			start(t, "http://127.0.0.1:"+port+"/me", nil, web, "php", "-d", "session.save_path="+t.TempDir(), "-S", "127.0.0.1:"+port, "app.php")
		}, simple, "Confirmed"},
		{"flask", "session", "flask-session", "/me", "/logout", "", func(t *testing.T, port string) {
			need(t, "/usr/lib/python3/dist-packages/flask_login")
			start(t, "http://127.0.0.1:"+port+"/me", []string{"PORT=" + port}, web, python, "flask_app.py")
		}, simple, "UntilExpiry"},
		{"django", "sessionid", "django-session", "/admin/password_change/", "/admin/logout/", "/admin/login/", func(t *testing.T, port string) {
			need(t, "/usr/lib/python3/dist-packages/django")
			env := []string{"DB=" + filepath.Join(t.TempDir(), "db.sqlite3"), "DJANGO_SUPERUSER_PASSWORD=pw", "PYTHONDONTWRITEBYTECODE=1"}
			command(t, env, web, python, "django_app.py", "migrate", "-v0")
			for _, user := range []string{"alice", "bob"} {
				command(t, env, web, python, "django_app.py", "createsuperuser", "--noinput", "--username", user, "--email", user+"@example.com")
			}
			start(t, "http://127.0.0.1:"+port+"/admin/login/", env, web, python, "django_app.py", "runserver", "--noreload", "127.0.0.1:"+port)
		}, func(b *browser, origin, user string) {
			page := b.do("GET", origin+"/admin/login/", nil)
			b.do("POST", origin+"/admin/login/?next=/admin/", url.Values{"username": {user}, "password": {"pw"}, "csrfmiddlewaretoken": {find(b.t, `name="csrfmiddlewaretoken" value="([^"]+)"`, page.body)}})
		}, "Confirmed"},
		{"tomcat", "JSESSIONID", "tomcat-session", "/app/me.jsp", "/app/logout.jsp", "", func(t *testing.T, port string) {
			need(t, "/usr/share/tomcat10/bin/catalina.sh")
			start(t, "http://127.0.0.1:"+port+"/app/me.jsp", nil, "", filepath.Join(web, "tomcat.sh"), t.TempDir(), port)
		}, func(b *browser, origin, user string) {
			b.do("GET", origin+"/app/me.jsp", nil)
			b.do("POST", origin+"/app/j_security_check", url.Values{"j_username": {user}, "j_password": {"pw"}})
		}, "Confirmed"},
	}
}

// A session cookie leaks into a log; it is found, asked about at the operator's
// own instance, ended by the framework's own sign-out and proven dead, or, for
// a signed cookie, honestly reported as alive.
func TestSessionCookies(t *testing.T) {
	for _, w := range webapps(t) {
		t.Run(w.provider, func(t *testing.T) {
			t.Parallel()
			port := freePort(t)
			w.start(t, port)
			origin := "http://127.0.0.1:" + port
			session := func(user string) string {
				b := newBrowser(t)
				w.signIn(b, origin, user)
				path := w.probe
				if w.provider == "tomcat" {
					path = "/app/"
				}
				return b.cookie(origin+path, w.cookie)
			}
			leaked := session("alice")
			// A signed cookie is a function of the user and the second.
			time.Sleep(1100 * time.Millisecond)
			control, other := session("alice"), session("bob")
			o := newOperator(t)
			o.secrets = []string{leaked, control, other}
			o.env["CONTROL"] = control
			o.policy(fmt.Sprintf("[[instance]]\nprovider = %q\nurl = %q\nown = true\nprobe_path = %q\nlogout_path = %q\nlogin_path = %q\ncontrol = \"env:CONTROL\"\nsettle = \"2s\"\n", w.provider, origin, w.probe, w.logout, w.login))
			log := o.file("job.log", "\xef\xbb\xbf"+stamp+"##[group]Run ./smoke.sh\n"+stamp+"> Cookie: theme=dark; "+w.cookie+"="+leaked+"; lang=en\n")
			code := 0
			if w.want != "Confirmed" {
				code = 3
			}
			a := one(t, o.kill(1, code, "log", log), w.rule, w.want)
			if a.Control != "live" {
				t.Errorf("the positive control is %q", a.Control)
			}
			status := func(value string) reply {
				return newBrowser(t).do("GET", origin+w.probe, nil, "Cookie", w.cookie+"="+value)
			}
			dead, live := status(leaked), status(control)
			if w.want == "Confirmed" && (dead.status == 200 && !strings.Contains(dead.body, "j_security_check")) {
				t.Errorf("it is Confirmed and answers %d", dead.status)
			}
			if w.want == "UntilExpiry" && (dead.status != 200 || !strings.Contains(a.Detail, "stateless")) {
				t.Errorf("a signed cookie outlives its sign-out, but it answers %d: %s", dead.status, a.Detail)
			}
			if live.status != 200 || strings.Contains(live.body, "j_security_check") {
				t.Errorf("the operator's own session was ended too: %d", live.status)
			}
			if r := status(other); r.status != 200 || strings.Contains(r.body, "j_security_check") || w.provider != "django" && !strings.Contains(r.body, "bob") {
				t.Errorf("another user's session was ended too: %d %.200s", r.status, r.body)
			}
			if story := o.quell(0, "ledger"); !strings.Contains(story, w.want) {
				t.Errorf("the ledger says %s", story)
			}
			o.files(log)
			if _, err := os.Stat(log); err != nil {
				t.Error(err)
			}
		})
	}
}

// From a leaked log, with no policy file, to Confirmed in four commands.
func TestFourCommandsFromALeakedLog(t *testing.T) {
	t.Parallel()
	w := webapps(t)[0]
	port := freePort(t)
	w.start(t, port)
	origin := "http://127.0.0.1:" + port
	b := newBrowser(t)
	w.signIn(b, origin, "alice")
	leaked := b.cookie(origin+"/me", w.cookie)
	o := newOperator(t)
	o.secrets = []string{leaked}
	log := o.file("job.log", "set-cookie: connect.sid="+leaked+"; Path=/; HttpOnly\n")
	report, plan := filepath.Join(o.dir, "r.jsonl"), filepath.Join(o.dir, "p.json")
	o.quell(0, "policy", "init", "--instance", "express="+origin+",probe_path=/me,logout_path=/logout,settle=1s")
	o.quell(1, "scan", "log", log, "--format", "jsonl", "--output", report)
	o.quell(0, "plan", report, "--output", plan)
	a := one(t, actions(t, o.quell(0, "apply", plan, "--format", "jsonl")), "express-session", "Confirmed")
	if a.Control != "no positive control" {
		t.Errorf("nobody gave a control, but it is %q", a.Control)
	}
	// The same in one go, on another leak.
	w.signIn(b, origin, "alice")
	second := newBrowser(t)
	w.signIn(second, origin, "alice")
	again := second.cookie(origin+"/me", w.cookie)
	o.secrets = append(o.secrets, again)
	log = o.file("again.log", "connect.sid="+again+"\n")
	one(t, actions(t, o.quell(0, "contain", "log", log, "--policy", filepath.Join(o.dir, "config/quell/policy.toml"), "--format", "jsonl")), "express-session", "Confirmed")
}
