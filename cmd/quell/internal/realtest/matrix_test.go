package realtest

import (
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// verdictsByLine scans a log and returns the liveness of the finding in each line.
func (o *operator) verdictsByLine(log string) map[int]string {
	o.t.Helper()
	line, out := map[string]int{}, map[int]string{}
	for _, l := range strings.Split(strings.TrimSpace(o.quell(1, "scan", "log", log, "--format", "jsonl")), "\n") {
		var e struct {
			Type, Fingerprint, Rule, Liveness string
			Location                          struct{ Line int }
		}
		if err := json.Unmarshal([]byte(l), &e); err != nil {
			o.t.Fatal(err)
		}
		switch n := line[e.Fingerprint]; {
		case e.Type == "finding" && !strings.HasSuffix(e.Rule, "-signature"):
			line[e.Fingerprint] = e.Location.Line
		case e.Type == "verdict" && n > 0:
			out[n] = e.Liveness
		}
	}
	return out
}

// corrupt changes a letter or digit in the second half of a value, which keeps
// its form.
func corrupt(v string) string {
	b := []byte(v)
	for i := len(b) / 2; i < len(b); i++ {
		if c := b[i]; c >= 'a' && c <= 'e' || c >= '0' && c <= '8' {
			b[i]++
			return string(b)
		}
	}
	return v + "a"
}

// session signs a user in and returns the cookie as the header has it: with its
// signature, if there is one.
func (s site) session(t *testing.T, user string) string {
	t.Helper()
	b := newBrowser(t)
	s.signIn(b, user)
	return s.of(b)
}

func (s site) of(b *browser) string {
	v := b.cookie(s.url+s.probe, s.cookie)
	if sig := b.maybe(s.url+s.probe, s.cookie+".sig"); sig != "" {
		v += "; " + s.cookie + ".sig=" + sig
	}
	return v
}

// cell is a session of which it is known what has become of it.
type cell struct {
	state, value string
	alive        bool
}

// cells are the sessions that an application is asked about. moved are addresses
// of the application and of another installation of it; foreign is another
// application.
// expired is nil, or makes a session that is over by its time.
func (s site) cells(t *testing.T, moved [2]string, foreign site, expired func() string) []cell {
	t.Helper()
	list := []cell{{"live", s.session(t, "alice"), true}, {"another user's", s.session(t, "bob"), true}, {"corrupted", corrupt(s.session(t, "alice")), false}}
	b := newBrowser(t)
	foreign.signIn(b, "alice")
	list = append(list, cell{"another application's", b.cookie(foreign.url+foreign.probe, foreign.cookie), false})
	if expired != nil {
		list = append(list, cell{"expired", expired(), false})
	}
	if s.want != "Confirmed" {
		return list
	}
	out := s.session(t, "alice")
	s.end(t, out)
	list = append(list, cell{"logged out", out, false})
	if !strings.HasPrefix(s.url, moved[0]) {
		return list
	}
	o := s
	o.url = strings.Replace(s.url, moved[0], moved[1], 1)
	b = newBrowser(t)
	b.do("POST", o.url+"/login?user=alice", url.Values{})
	list = append(list, cell{"another server's", o.of(b), false})
	if s.cookie != "koa.id" {
		list = append(list, cell{"expired", s.short(t)(), false})
	}
	return list
}

// Every application × what has become of a session × with and without a control,
// on pages that differ from request to request: no session that is not live is
// Live, and no live one is Dead.
func TestTheConfusionMatrix(t *testing.T) {
	t.Parallel()
	moved := [2]string{nodeServer(t), nodeServer(t)}
	sites := append(nodeSites(moved[0]), frameworkSites(t)...)
	djangoDB := filepath.Join(t.TempDir(), "db.sqlite3")
	django, djangoIn := djangoServer(t, djangoDB)
	php, phpOver := phpSite(t)
	tomcat, tomcatOver := tomcatSite(t)
	wordpress, wordpressOver := wordpressSite(t)
	forge, forgeOver := giteaUsers(t)
	proxies, over := proxySites(t)
	over[php.name], over[tomcat.name], over[wordpress.name], over[forge.name] = phpOver, tomcatOver, wordpressOver, forgeOver
	sites = append(sites, php, flaskSite(t), tomcat, wordpress, forge)
	short := []site{sinatraSite(t, "Sinatra, carried", "rack.session", "UntilExpiry"), sinatraSite(t, "Sinatra, a pool", "pool.id", "Confirmed", "POOL=1")}
	for _, s := range sites {
		if s.cookie == "cherry" {
			short = append(short, s)
		}
	}
	for _, s := range short {
		over[s.name] = s.short(t)
	}
	sites = append(append(sites, short[:2]...), proxies...)
	djangoSite := site{"Django", "django", django, "sessionid", "logout_path = \"/accounts/logout/\"\nlogin_path = \"/accounts/login/\"\n", "/accounts/me/", djangoIn, "django-session-named", "Confirmed"}
	sites = append(sites, djangoSite)
	over[djangoSite.name] = func() string {
		v := djangoSite.session(t, "alice")
		db, err := sql.Open("sqlite", "file:"+djangoDB+"?_pragma=busy_timeout(10000)")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		r, err := db.Exec("UPDATE django_session SET expire_date = '2001-01-01 00:00:00' WHERE session_key = ?", v)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := r.RowsAffected(); err != nil || n != 1 {
			t.Fatalf("%d rows, %v", n, err)
		}
		return v
	}
	var live, dead, unknown atomic.Int32
	t.Run("sites", func(t *testing.T) {
		for i, s := range sites {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				text := ""
				list := s.cells(t, moved, sites[(i+3)%len(sites)], over[s.name])
				for _, c := range list {
					text += "Cookie: " + s.cookie + "=" + c.value + "\n"
				}
				for _, control := range []string{"", s.session(t, "alice")} {
					o := newOperator(t)
					line := "logout_path = \"/logout\"\n"
					if strings.Contains(s.settings, "logout_path") {
						line = ""
					}
					if control != "" {
						o.env["CONTROL"] = control
						line += "control = \"env:CONTROL\"\n"
					}
					o.policy(fmt.Sprintf("[[instance]]\nprovider = %q\nurl = %q\nown = true\ncookie = %q\nprobe_path = %q\n%s%s", s.provider, s.url, s.cookie, s.probe, line, s.settings))
					got := o.verdictsByLine(o.file("job.log", text))
					for n, c := range list {
						v := got[n+1]
						switch v {
						case "live":
							live.Add(1)
						case "dead":
							dead.Add(1)
						default:
							unknown.Add(1)
						}
						if v == "live" && !c.alive || c.alive && v != "live" {
							t.Errorf("%s is %q (control: %v)", c.state, v, control != "")
						}
					}
				}
			})
		}
	})
	t.Logf("%d cells of %d applications: %d live, %d dead, %d unknown", live.Load()+dead.Load()+unknown.Load(), len(sites), live.Load(), dead.Load(), unknown.Load())
}

// setting is the text that a setting of a policy has, empty if it is not there.
func setting(policy, key string) string {
	_, rest, ok := strings.Cut(policy, key+" = \"")
	if !ok {
		return ""
	}
	v, _, _ := strings.Cut(rest, "\"")
	return v
}

// end signs a session out as its user's browser does.
func (s site) end(t *testing.T, value string) {
	t.Helper()
	b := newBrowser(t)
	header := []string{"Cookie", s.cookie + "=" + value}
	page := b.do("GET", s.url+s.probe, nil, header...)
	form, method, path, body := url.Values{}, "POST", "/logout", ""
	if p := setting(s.settings, "logout_path"); p != "" {
		path = p
	}
	if strings.Contains(s.settings, "logout_method = \"GET\"") {
		method = "GET"
	}
	switch {
	case s.provider == "oauth2proxy":
		method, path = "GET", "/oauth2/sign_out"
	case s.provider == "wordpress":
		method = "GET"
		link, err := url.Parse(html.UnescapeString(find(t, `href=["']([^"']*action=logout[^"']*)["']`, page.body)))
		if err != nil {
			t.Fatal(err)
		}
		path = link.RequestURI()
	case s.provider == "django":
		form.Set("csrfmiddlewaretoken", strings.Repeat("a1B2", 16))
		header[1] += "; csrftoken=" + strings.Repeat("a1B2", 16)
	case s.cookie == "header_app":
		origin, _ := url.Parse(s.url)
		method = "DELETE"
		header = append(header, "X-CSRF-Token", find(t, `csrf-token content=([^>]+)>`, page.body), "Origin", origin.Scheme+"://"+origin.Host, "X-Requested-With", "XMLHttpRequest")
	case s.cookie == "_app_session":
		form.Set("authenticity_token", find(t, `name="csrf-token" content="([^"]+)"`, page.body))
	case s.cookie == "json.id":
		body = `{"token":"` + find(t, `"token":"([^"]+)"`, page.body) + `"}`
		header = append(header, "Content-Type", "application/json")
	case s.cookie == "cherry":
		form.Set("t", find(t, `value=([^>]+)>`, page.body))
	case s.cookie == "form-app":
		form.Set("_csrf", find(t, `name=_csrf value="([^"]+)"`, page.body))
	}
	if body == "" {
		body = form.Encode()
		header = append(header, "Content-Type", "application/x-www-form-urlencoded")
	}
	r := b.send(method, s.url+path, body, header...)
	if again := newBrowser(t).do("GET", s.url+s.probe, nil, "Cookie", s.cookie+"="+value); r.status >= 400 || strings.Contains(again.body, "alice") {
		t.Fatalf("it is not signed out: %d, then %d %.200s", r.status, again.status, again.body)
	}
}

// A scan, a plan, an apply and a recheck send nothing but to the application that the
// operator named: not to hosts in the text, in its redirects or in its pages.
func TestNothingIsSentToAHostThatWasNotNamed(t *testing.T) {
	t.Parallel()
	var strays, logouts atomic.Int32
	stray := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		strays.Add(1)
		fmt.Fprint(w, "alice")
	}))
	t.Cleanup(stray.Close)
	var out atomic.Bool
	const session, control = "q8Zk2mXw71Lp0vB3nT5rU4yC", "Zt6YbN1uKq4oGf8JcXw2MhRe"
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie("acme")
		switch in := err == nil && (c.Value == control || c.Value == session && !out.Load()); {
		case r.URL.Path == "/logout" && in:
			logouts.Add(1)
			out.Store(true)
			http.Redirect(w, r, stray.URL+"/signed-out", http.StatusSeeOther)
		case in:
			fmt.Fprintf(w, `<html><link rel=stylesheet href="%[1]s/s.css"><form method=post action="%[1]s/logout"><input type=hidden name=a value=b></form><form method=post action="/logout"><input type=hidden name=t value=1></form>alice<img src="%[1]s/i.png"></html>`, stray.URL)
		default:
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `<html><a href="%s/login">Sign in</a></html>`, stray.URL)
		}
	}))
	t.Cleanup(app.Close)
	raw := base64.RawURLEncoding
	jwt := raw.EncodeToString([]byte(`{"alg":"RS256","kid":"k"}`)) + "." + raw.EncodeToString([]byte(`{"iss":"`+stray.URL+`","sub":"a","exp":4102444800}`)) + "." + strings.Repeat("aB3-", 86)[:342]
	o := newOperator(t)
	o.secrets = []string{session, control, jwt}
	o.env["CONTROL"] = control
	o.policy(fmt.Sprintf("[[instance]]\nprovider = \"webapp\"\nurl = %q\nown = true\ncookie = \"acme\"\nprobe_path = \"/me\"\nlogout_path = \"/logout\"\ncsrf = \"form\"\nsettle = \"1s\"\ncontrol = \"env:CONTROL\"\n", app.URL))
	host := strings.TrimPrefix(stray.URL, "http://")
	log := o.file("job.log", stamp+"> GET "+app.URL+"/me\n"+stamp+"> Cookie: acme="+session+"\n"+
		stamp+"curl -H 'Authorization: Bearer "+jwt+"' "+stray.URL+"/api\n"+
		stamp+"Set-Cookie: connect.sid=s%3A"+strings.Repeat("a1B2", 8)+"."+strings.Repeat("c3D4", 10)+"a1B; Domain="+host+"\n"+
		stamp+"GITEA_TOKEN="+strings.Repeat("0a1b2c3d", 5)+" git push http://"+host+"/a.git\n")
	o.quell(0, "policy", "check", "--ask")
	report, plan := filepath.Join(o.dir, "r.jsonl"), filepath.Join(o.dir, "p.json")
	o.quell(1, "scan", "log", log, "--format", "jsonl", "--output", report)
	o.quell(0, "plan", report, "--output", plan)
	one(t, actions(t, o.quell(0, "apply", plan, "--format", "jsonl")), "webapp-session-named", "Confirmed")
	o.quell(0, "recheck")
	if strays.Load() != 0 || logouts.Load() != 1 {
		t.Errorf("%d requests to the host that was not named, %d logouts", strays.Load(), logouts.Load())
	}
}
