package realtest

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// commands are the shell blocks of a page by the heading above them.
func commands(t *testing.T, page string) map[string][]string {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	heading, inside, other := "", false, false
	for _, l := range strings.Split(string(b), "\n") {
		switch {
		case strings.HasPrefix(l, "## "):
			heading = l[3:]
		case strings.HasPrefix(l, "```"):
			inside = !inside && !other && (l == "```sh" || l == "```")
			other = !inside && !other && l != "```"
		case inside && strings.HasPrefix(l, "quell "):
			out[heading] = append(out[heading], l)
		}
	}
	return out
}

// The commands of docs/applications.md and of the README's first use end a leaked session of
// each of their applications, from nothing to Confirmed.
func TestTheDocumentedApplications(t *testing.T) {
	need(t, "/usr/lib/python3/dist-packages/django")
	need(t, filepath.Join(servers, "node/node_modules/oidc-provider"))
	all := commands(t, "../../../../docs/applications.md")
	if len(all) != 5 {
		t.Fatalf("the page has the commands of %d applications", len(all))
	}
	const first = "From a leaked log to Confirmed"
	all[first] = commands(t, "../../../../README.md")[first]
	node := nodeServer(t)
	django, djangoIn := djangoServer(t, filepath.Join(t.TempDir(), "db.sqlite3"))
	issuer := oidcServer(t)
	tokens := panva(t, issuer, "")
	in := func(path, cookie string) string {
		b := newBrowser(t)
		b.do("POST", node+path+"/login", url.Values{})
		return "Cookie: " + cookie + "=" + b.cookie(node+path+"/me", cookie)
	}
	b := newBrowser(t)
	djangoIn(b, "alice")
	for heading, c := range map[string]struct{ origin, leak string }{
		"A cookie name of its own":    {node, in("/own", "acme.sso")},
		"A CSRF token":                {node, in("/form", "form-app")},
		"Below a path, logout by GET": {node, in("/deep/app", "deep")},
		first:                         {node + "/own", in("/own", "acme.sso")},
		"Django":                      {django, "Cookie: sessionid=" + b.cookie(django+"/accounts/me/", "sessionid")},
		"An OpenID Connect client":    {issuer, `{"access_token":"` + tokens.Access + `"}`},
	} {
		t.Run(heading, func(t *testing.T) {
			t.Parallel()
			list := all[heading]
			if len(list) == 0 || len(list) > 5 {
				t.Fatalf("%d commands", len(list))
			}
			o := newOperator(t)
			o.env["CLIENT_SECRET"] = "made-up-client-secret"
			o.file("job.log", stamp+c.leak+"\n")
			began := time.Now()
			all := ""
			for _, line := range list {
				for from, to := range map[string]string{"https://app.example.com": c.origin, "https://id.example.com": c.origin, "NAME": "acme.sso", "build.log": filepath.Join(o.dir, "job.log"), " job.log": " " + filepath.Join(o.dir, "job.log"), "report.jsonl": filepath.Join(o.dir, "report.jsonl"), "plan.json": filepath.Join(o.dir, "plan.json")} {
					line = strings.ReplaceAll(line, from, to)
				}
				if strings.Contains(line, "policy add") || strings.Contains(line, "policy init") {
					line += ",settle=1s" // one server has no replicas to wait for
				}
				args := strings.Fields(strings.ReplaceAll(line, "'", ""))[1:]
				code := 0
				if args[0] == "scan" {
					code = 1
				}
				all += o.quell(code, args...)
			}
			if !strings.Contains(all, "CONFIRMED") {
				t.Errorf("%s", all)
			}
			t.Logf("%d commands, %.1f s to Confirmed", len(list), time.Since(began).Seconds())
		})
	}
}

var addCommand = regexp.MustCompile(`quell policy add --instance '([^']+)'`)

// A session of an application that no policy names: the report has the command that names it, with
// host and cookie name. With its two pages filled in, that command leads to Confirmed.
func TestTheReportedCommandNamesTheApplication(t *testing.T) {
	t.Parallel()
	node := nodeServer(t)
	b := newBrowser(t)
	b.do("POST", node+"/own/login", url.Values{})
	leaked := b.cookie(node+"/own/me", "acme.sso")
	o := newOperator(t)
	o.secrets = []string{leaked}
	log := o.file("job.log", stamp+"> GET /own/me HTTP/1.1\n"+stamp+"> Host: "+strings.TrimPrefix(node, "http://")+"\n"+stamp+"> Cookie: acme.sso="+leaked+"\n")
	m := addCommand.FindStringSubmatch(o.quell(0, "scan", "log", log))
	if m == nil {
		t.Fatal("the report has no command")
	}
	host := strings.TrimPrefix(node, "http://")
	if !strings.Contains(m[1], host) || !strings.Contains(m[1], "cookie=acme.sso,") {
		t.Errorf("the command is for %s", m[1])
	}
	instance := strings.NewReplacer("/PAGE-OF-A-SIGNED-IN-USER", "/own/me", "/LOGOUT", "/own/logout").Replace(m[1]) + ",settle=1s"
	o.quell(0, "policy", "add", "--instance", instance)
	list := o.kill(1, 0, "log", log)
	if len(list) != 1 || list[0].Outcome != "Confirmed" || !strings.HasSuffix(list[0].Rule, "-named") {
		t.Errorf("%+v", list)
	}
	o.files(log)
}
