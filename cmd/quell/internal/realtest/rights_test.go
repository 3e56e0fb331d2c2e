package realtest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

// verdicts scans a log with a policy and returns the answer of each instance.
func (o *operator) verdicts(code int, policy, text string) (out []string) {
	o.t.Helper()
	o.policy(policy)
	log := o.file("rights.log", text)
	for line := range strings.SplitSeq(o.quell(code, "scan", "log", log, "--format", "jsonl", "--fail-on", "never"), "\n") {
		var v struct{ Type, Liveness, Reason string }
		if json.Unmarshal([]byte(line), &v) == nil && v.Type == "verdict" {
			out = append(out, v.Liveness+" "+v.Reason)
		}
	}
	return out
}

// expect checks that there is one verdict, of this liveness.
func expect(t *testing.T, what string, got []string, liveness string) {
	t.Helper()
	t.Logf("%s: %q", what, got)
	if len(got) != 1 || !strings.HasPrefix(got[0], liveness+" ") {
		t.Errorf("%s: %q, not %s", what, got, liveness)
	}
}

// A signed-in user of least rights is never dead, and live where the page admits every
// signed-in user. A probe at a wrong path decides nothing. The control is live at the right
// page.
func TestUsersOfLeastRightsAreNotDead(t *testing.T) {
	for _, w := range webapps(t) {
		t.Run(w.provider, func(t *testing.T) {
			t.Parallel()
			port := freePort(t)
			w.start(t, port)
			origin := "http://127.0.0.1:" + port
			session := func() string {
				b := newBrowser(t)
				w.signIn(b, origin, "alice")
				path := w.probe
				if w.provider == "tomcat" {
					path = "/app/"
				}
				return b.cookie(origin+path, w.cookie)
			}
			found := session()
			time.Sleep(1100 * time.Millisecond) // a signed cookie is a function of the user and the second
			o := newOperator(t)
			o.env["CONTROL"] = session()
			o.secrets = []string{found, o.env["CONTROL"]}
			policy := func(path string) string {
				return fmt.Sprintf("[[instance]]\nprovider = %q\nurl = %q\nelsewhere = false\nprobe_path = %q\nlogin_path = %q\ncontrol = \"env:CONTROL\"\n", w.provider, origin, path, w.login)
			}
			text := stamp + "> Cookie: " + w.cookie + "=" + found + "\n"
			expect(t, "the right page", o.verdicts(0, policy(w.probe), text), "live")
			if w.provider == "php" {
				return // its one script answers every path
			}
			expect(t, "a page that does not exist", o.verdicts(4, policy("/nowhere/at/all"), text), "unknown")
		})
	}
	t.Run("django, not staff", func(t *testing.T) {
		t.Parallel()
		db := filepath.Join(t.TempDir(), "db.sqlite3")
		origin, in := djangoServer(t, db)
		web, err := filepath.Abs(filepath.Join(servers, "web"))
		if err != nil {
			t.Fatal(err)
		}
		command(t, []string{"DB=" + db, "PYTHONDONTWRITEBYTECODE=1"}, web, "/usr/bin/python3", "django_app.py", "shell", "-c", "from django.contrib.auth.models import User\nUser.objects.create_superuser('root', password='pw')")
		session := func(user string) string {
			b := newBrowser(t)
			in(b, user)
			return b.cookie(origin+"/accounts/me/", "sessionid")
		}
		alice := session("alice")
		o := newOperator(t)
		o.env["CONTROL"] = session("root")
		o.secrets = []string{alice, o.env["CONTROL"]}
		policy := func(path, login string) string {
			return fmt.Sprintf("[[instance]]\nprovider = \"django\"\nurl = %q\nelsewhere = false\nprobe_path = %q\nlogin_path = %q\ncontrol = \"env:CONTROL\"\n", origin, path, login)
		}
		text := stamp + "> Cookie: sessionid=" + alice + "\n"
		expect(t, "a page of every user", o.verdicts(0, policy("/accounts/me/", "/accounts/login/"), text), "live")
		expect(t, "a page of the staff", o.verdicts(4, policy("/admin/password_change/", "/admin/login/"), text), "unknown")
	})
	t.Run("gitea", func(t *testing.T) {
		t.Parallel()
		u := gitea(t)
		o := newOperator(t)
		o.env["CONTROL"] = giteaToken(t, u, "control")
		scoped := func(scope string) string {
			r := newBrowser(t).do("POST", u+"/api/v1/users/root1/tokens", url.Values{"name": {scope}, "scopes": {scope}}, "Authorization", basic("root1", giteaPassword))
			var doc struct{ Sha1 string }
			if err := json.Unmarshal([]byte(r.body), &doc); err != nil || len(doc.Sha1) != 40 {
				t.Fatalf("no token: %d %s", r.status, r.body)
			}
			o.secrets = append(o.secrets, doc.Sha1)
			return doc.Sha1
		}
		policy := func(at string) string {
			return fmt.Sprintf("[[instance]]\nprovider = \"gitea\"\nurl = %q\nelsewhere = false\ncontrol = \"env:CONTROL\"\n", at)
		}
		reads, other := scoped("read:user"), scoped("read:misc")
		expect(t, "may read its user", o.verdicts(0, policy(u), "GITEA_TOKEN="+reads+"\n"), "live")
		// Gitea names the scope that is missing, and refuses a token that it never issued.
		expect(t, "may not read its user", o.verdicts(0, policy(u), "GITEA_TOKEN="+other+"\n"), "live")
		expect(t, "below a wrong path", o.verdicts(4, policy(u+"/nowhere"), "GITEA_TOKEN="+reads+"\n"), "unknown")
	})
	t.Run("vault", func(t *testing.T) {
		t.Parallel()
		c := vaultServer(t)
		o := newOperator(t)
		o.env["CONTROL"] = newToken(t, c, &api.TokenCreateRequest{Policies: []string{"default"}, TTL: "1h"})
		some := newToken(t, c, &api.TokenCreateRequest{Policies: []string{"default"}, TTL: "1h"})
		// Vault answers a token without any right as it answers one that it never issued.
		none := newToken(t, c, &api.TokenCreateRequest{Policies: []string{"nothing"}, NoDefaultPolicy: true, TTL: "1h"})
		o.secrets = []string{o.env["CONTROL"], some, none, root}
		policy := func(at string) string {
			return fmt.Sprintf("[[instance]]\nprovider = \"vault\"\nurl = %q\nelsewhere = false\ncontrol = \"env:CONTROL\"\n", at)
		}
		expect(t, "may look itself up", o.verdicts(0, policy(c.Address()), "VAULT_TOKEN="+some+"\n"), "live")
		expect(t, "may do nothing", o.verdicts(4, policy(c.Address()), "VAULT_TOKEN="+none+"\n"), "unknown")
		expect(t, "below a wrong path", o.verdicts(4, policy(c.Address()+"/nowhere"), "VAULT_TOKEN="+some+"\n"), "unknown")
	})
}
