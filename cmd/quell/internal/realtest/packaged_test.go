package realtest

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // the name of WordPress's cookie
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func webFolder(t *testing.T) string {
	t.Helper()
	web, err := filepath.Abs(filepath.Join(servers, "web"))
	if err != nil {
		t.Fatal(err)
	}
	return web
}

// posts signs in at a path that takes the user's name.
func posts(origin string) func(b *browser, user string) {
	return func(b *browser, user string) {
		b.do("POST", origin+"/login?user="+user, url.Values{"user": {user}})
	}
}

// phpSite keeps sessions in files. expired is a session whose file was removed, as
// PHP does after session.gc_maxlifetime.
func phpSite(t *testing.T) (s site, expired func() string) {
	t.Helper()
	need(t, "php")
	port, kept := freePort(t), t.TempDir()
	start(t, "http://127.0.0.1:"+port+"/me", nil, webFolder(t), "php", "-d", "session.save_path="+kept, "-S", "127.0.0.1:"+port, "app.php")
	origin := "http://127.0.0.1:" + port
	s = site{"PHP", "php", origin, "PHPSESSID", "", "/me", posts(origin), "php-session-named", "Confirmed"}
	return s, func() string {
		v := s.session(t, "alice")
		if err := os.Remove(filepath.Join(kept, "sess_"+v)); err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func flaskSite(t *testing.T) site {
	t.Helper()
	need(t, "/usr/lib/python3/dist-packages/flask_login")
	port := freePort(t)
	origin := "http://127.0.0.1:" + port
	start(t, origin+"/me", []string{"PORT=" + port, "PYTHONDONTWRITEBYTECODE=1"}, webFolder(t), "/usr/bin/python3", "flask_app.py")
	return site{"Flask", "flask", origin, "session", "", "/me", posts(origin), "flask-session-named", "UntilExpiry"}
}

func tomcatSite(t *testing.T) (s site, expired func() string) {
	t.Helper()
	need(t, "/usr/share/tomcat10/bin/catalina.sh")
	port := freePort(t)
	start(t, "http://127.0.0.1:"+port+"/app/me.jsp", nil, "", filepath.Join(webFolder(t), "tomcat.sh"), t.TempDir(), port)
	origin := "http://127.0.0.1:" + port + "/app"
	s = site{"Tomcat", "tomcat", origin, "JSESSIONID", "logout_path = \"/logout.jsp\"\nlogout_method = \"GET\"\n", "/me.jsp", func(b *browser, user string) {
		b.do("GET", origin+"/me.jsp", nil)
		b.do("POST", origin+"/j_security_check", url.Values{"j_username": {user}, "j_password": {"pw"}})
	}, "tomcat-session-named", "Confirmed"}
	return s, func() string {
		v := s.session(t, "alice")
		newBrowser(t).do("GET", origin+"/me.jsp?ttl=1", nil, "Cookie", "JSESSIONID="+v)
		time.Sleep(2100 * time.Millisecond)
		return v
	}
}

func sinatraSite(t *testing.T, name, cookie, want string, env ...string) site {
	t.Helper()
	need(t, "/usr/share/rubygems-integration/all/specifications/sinatra-3.0.5.gemspec")
	port := freePort(t)
	origin := "http://127.0.0.1:" + port
	start(t, origin+"/me", append(env, "PORT="+port), webFolder(t), "/usr/bin/ruby", "sinatra_app.rb")
	return site{name, "webapp", origin, cookie, "headers = { User-Agent = \"Go-http-client/1.1\" }\n", "/me", posts(origin), "webapp-session-named", want}
}

// wordpressSite is WordPress of Debian's package with its database. A page that
// everybody sees has the link that signs out, with the token against forged requests.
func wordpressSite(t *testing.T) (s site, expired func() string) {
	t.Helper()
	need(t, "/usr/share/wordpress/wp-login.php")
	need(t, "/usr/sbin/mariadbd")
	need(t, "php")
	dir, port := mkdir(t), freePort(t)
	files, data, socket := filepath.Join(dir, "site"), filepath.Join(dir, "db"), filepath.Join(dir, "s")
	command(t, nil, "", "cp", "-rL", "/usr/share/wordpress", files)
	if err := os.Remove(filepath.Join(files, "wp-config.php")); err != nil {
		t.Fatal(err)
	}
	command(t, nil, "", "cp", filepath.Join(webFolder(t), "wp_config.php"), filepath.Join(files, "wp-config.php"))
	who := strings.TrimSpace(command(t, nil, "", "id", "-un"))
	command(t, nil, "", "mariadb-install-db", "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db", "--user="+who)
	run(t, nil, "", "/usr/sbin/mariadbd", "--no-defaults", "--datadir="+data, "--socket="+socket, "--pid-file="+filepath.Join(dir, "pid"), "--skip-networking", "--innodb-flush-method=fsync", "--innodb-buffer-pool-size=16M", "--user="+who)
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("MariaDB does not start")
		}
	}
	command(t, nil, "", "mariadb", "--no-defaults", "-S", socket, "-u", "root", "-e", "CREATE DATABASE wp")
	origin := "http://127.0.0.1:" + port
	env := []string{"SOCKET=" + socket, "ORIGIN=" + origin, "DB_USER=root", "PHP_CLI_SERVER_WORKERS=4"}
	install := filepath.Join(webFolder(t), "wp_install.php")
	command(t, env, dir, "php", install, files)
	start(t, origin+"/wp-login.php", env, files, "php", "-S", "127.0.0.1:"+port, "-t", files)
	hash := md5.Sum([]byte(origin)) //nolint:gosec // see above
	s = site{"WordPress", "wordpress", origin, "wordpress_logged_in_" + hex.EncodeToString(hash[:]), "logout_path = \"/wp-login.php?action=logout\"\nlogin_path = \"/wp-login.php\"\n", "/", func(b *browser, user string) {
		b.do("GET", origin+"/wp-login.php", nil)
		b.do("POST", origin+"/wp-login.php", url.Values{"log": {user}, "pwd": {"made-up-password"}, "testcookie": {"1"}})
	}, "wordpress-session-named", "Confirmed"}
	return s, func() string {
		out := strings.TrimSpace(command(t, env, dir, "php", install, files, "alice"))
		if !strings.HasPrefix(out, "alice%7C") {
			t.Fatalf("no login cookie that is over: %.60s", out)
		}
		return out
	}
}

const proxySecret = "made-up-made-up-made-up-made-up-"

// aged is a cookie of oauth2-proxy as it would be had it been signed a year ago: value, time and
// HMAC-SHA256 of the cookie's name and both.
func aged(t *testing.T, cookie string) string {
	t.Helper()
	value, _, ok := strings.Cut(cookie, "|")
	if !ok {
		t.Fatal("the cookie is not signed")
	}
	at := strconv.FormatInt(time.Now().Add(-365*24*time.Hour).Unix(), 10)
	h := hmac.New(sha256.New, []byte(proxySecret))
	for _, part := range []string{"_oauth2_proxy", value, at} {
		h.Write([]byte(part))
	}
	return value + "|" + at + "|" + base64.URLEncoding.EncodeToString(h.Sum(nil))
}

// proxySites are oauth2-proxy in front of an issuer: its session in the cookie, and
// in Redis. expired are sessions that are over: their cookie is a year old, or Redis has let
// them go.
func proxySites(t *testing.T) (list []site, expired map[string]func() string) {
	t.Helper()
	bin := tools(t, "oauth2-proxy-v7.15.6/oauth2-proxy")
	need(t, "redis-server")
	need(t, filepath.Join(servers, "node/node_modules/oidc-provider"))
	carried, kept, redis := freePort(t), freePort(t), freePort(t)
	callbacks := "http://127.0.0.1:" + carried + "/oauth2/callback http://127.0.0.1:" + kept + "/oauth2/callback"
	issuer := oidcServer(t, "PROXY="+callbacks)
	run(t, nil, mkdir(t), "redis-server", "--port", redis, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
	for deadline := time.Now().Add(30 * time.Second); !listens(redis); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("Redis does not start")
		}
	}
	made := func(name, port, want string, more ...string) site {
		origin := "http://127.0.0.1:" + port
		start(t, origin+"/ping", nil, mkdir(t), append([]string{bin, "--provider=oidc", "--oidc-issuer-url=" + issuer, "--client-id=proxy", "--client-secret=made-up-client-secret", "--cookie-secret=" + proxySecret, "--cookie-secure=false", "--http-address=127.0.0.1:" + port, "--upstream=static://202", "--email-domain=*", "--oidc-email-claim=sub", "--scope=openid", "--redirect-url=" + origin + "/oauth2/callback"}, more...)...)
		in := func(b *browser, user string) {
			r := b.do("GET", origin+"/oauth2/start", nil)
			for range 16 {
				if b.maybe(origin+"/", "_oauth2_proxy") != "" {
					return
				}
				if r.location == "" {
					break
				}
				if r = b.do("GET", absolute(issuer, r.location), nil); r.status == 200 {
					r = b.do("POST", absolute(issuer, find(b.t, `action="([^"]+)"`, r.body)), url.Values{"prompt": {find(b.t, `name="prompt" value="([^"]+)"`, r.body)}, "login": {user}, "password": {"x"}})
				}
			}
			b.t.Fatalf("no session of oauth2-proxy: %d %.300s", r.status, r.body)
		}
		return site{name, "oauth2proxy", origin, "_oauth2_proxy", "", "/oauth2/userinfo", in, "oauth2-proxy-session-named", want}
	}
	list = []site{
		made("oauth2-proxy, the session in the cookie", carried, "UntilExpiry"),
		made("oauth2-proxy, the session in Redis", kept, "Confirmed", "--session-store-type=redis", "--redis-connection-url=redis://127.0.0.1:"+redis),
	}
	return list, map[string]func() string{
		list[0].name: func() string { return aged(t, list[0].session(t, "alice")) },
		list[1].name: func() string {
			v := list[1].session(t, "alice")
			// The ticket that the cookie carries: v2.ID.SECRET, of which Redis has the id.
			value, _, _ := strings.Cut(v, "|")
			ticket, err := base64.URLEncoding.DecodeString(value)
			parts := strings.Split(string(ticket), ".")
			if err != nil || len(parts) != 3 {
				t.Fatalf("the cookie has no ticket: %v", err)
			}
			id, err := base64.RawURLEncoding.DecodeString(parts[1])
			if err != nil {
				t.Fatal(err)
			}
			if out := strings.TrimSpace(command(t, nil, "", "redis-cli", "-p", redis, "PEXPIRE", string(id), "1")); out != "1" {
				t.Fatalf("Redis has no session %s: %s", id, out)
			}
			time.Sleep(50 * time.Millisecond)
			return v
		},
	}
}

func TestWordPress(t *testing.T) {
	t.Parallel()
	s, expired := wordpressSite(t)
	s.run(t)
	// The same by the cookie's family: no cookie is named, and its name is the server's
	// own. One that is over by its time is dead before anything is asked.
	leaked, control, other := s.session(t, "alice"), s.session(t, "alice"), s.session(t, "bob")
	o := newOperator(t)
	o.secrets = []string{leaked, control, other}
	o.env["CONTROL"] = control
	o.policy("[[instance]]\nprovider = \"wordpress\"\nurl = \"" + s.url + "\"\nown = true\nprobe_path = \"/\"\nsettle = \"1s\"\ncontrol = \"env:CONTROL\"\n" + s.settings)
	one(t, o.kill(1, 0, "log", o.file("job.log", stamp+"> Cookie: "+s.cookie+"="+leaked+"\n")), "wordpress-session", "Confirmed")
	if r := newBrowser(t).do("GET", s.url+"/", nil, "Cookie", s.cookie+"="+other); !strings.Contains(r.body, "bob") {
		t.Error("another user's session was ended too")
	}
	if got := o.verdictsByLine(o.file("over.log", "Cookie: "+s.cookie+"="+expired()+"\nCookie: "+s.cookie+"="+other+"\n")); got[1] == "live" || got[2] != "live" {
		t.Errorf("%v", got)
	}
	wordpressByIdentity(t, s)
}

// An administrator ends every session of the user whom the cookie names, found by the cookie's
// family or by a name of the policy: those of other users go on, the administrator's too.
func wordpressByIdentity(t *testing.T, s site) {
	t.Helper()
	page := func(v string) string {
		return newBrowser(t).do("GET", s.url+"/", nil, "Cookie", s.cookie+"="+v).body
	}
	for rule, cookie := range map[string]string{"wordpress-session": "", "wordpress-session-named": "cookie = \"" + s.cookie + "\"\n"} {
		leaked, second, control, admin := s.session(t, "alice"), s.session(t, "alice"), s.session(t, "bob"), s.session(t, "root1")
		o := newOperator(t)
		o.secrets = []string{leaked, second, control, "made-up-password"}
		o.env["CONTROL"], o.env["ADMIN"] = control, "root1:made-up-password"
		o.policy("[[instance]]\nprovider = \"wordpress\"\nurl = \"" + s.url + "\"\nown = true\nprobe_path = \"/\"\nsettle = \"1s\"\ncontrol = \"env:CONTROL\"\nadmin = \"env:ADMIN\"\nrevocation = \"user\"\n" + cookie + s.settings)
		log := o.file("job.log", stamp+"> Cookie: "+s.cookie+"="+leaked+"\n")
		a := one(t, o.kill(1, 0, "log", log), rule, "Confirmed")
		if a.Scope != "all_user_sessions" || a.Control != "live" {
			t.Errorf("scope %q, control %q", a.Scope, a.Control)
		}
		if strings.Contains(page(second), "alice") {
			t.Error("the user's other session is alive")
		}
		if !strings.Contains(page(control), "bob") || !strings.Contains(page(admin), "root1") {
			t.Error("another user's session was ended too")
		}
		o.files(log)
		if cookie != "" {
			continue
		}
		// An administrator's password that WordPress refuses ends nothing.
		kept := s.session(t, "alice")
		o.secrets, o.env["ADMIN"] = append(o.secrets, kept), "root1:another-password"
		log = o.file("kept.log", stamp+"> Cookie: "+s.cookie+"="+kept+"\n")
		one(t, o.kill(1, 3, "log", log), rule, "StillAlive")
		if !strings.Contains(page(kept), "alice") {
			t.Error("a refused administrator ended a session")
		}
	}
}

func TestOAuth2Proxy(t *testing.T) {
	t.Parallel()
	list, _ := proxySites(t)
	for _, s := range list {
		t.Run(s.name, func(t *testing.T) { s.run(t) })
	}
}
