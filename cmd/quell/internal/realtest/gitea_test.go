package realtest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const giteaINI = `APP_NAME = test
RUN_USER = %s
WORK_PATH = %s
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = %s
ROOT_URL = http://127.0.0.1:%s/
DISABLE_SSH = true
OFFLINE_MODE = true
LFS_START_SERVER = false
STATIC_ROOT_PATH = %s
[database]
DB_TYPE = sqlite3
PATH = %s/data/gitea.db
[security]
INSTALL_LOCK = true
SECRET_KEY = made-up-made-up-made-up
PASSWORD_HASH_ALGO = pbkdf2_v1
[service]
DISABLE_REGISTRATION = true
[log]
LEVEL = warn
MODE = console
[cron]
ENABLED = false
[session]
PROVIDER = db
GC_INTERVAL_TIME = 1
`

// gitea starts a forge with an administrator root1 and gives its URL.
func gitea(t *testing.T) string {
	u, _ := giteaIn(t)
	return u
}

// giteaIn also gives the folder with its files.
func giteaIn(t *testing.T) (u, folder string) {
	bin := tools(t, "gitea-v1.26.0/gitea")
	w, port := mkdir(t), freePort(t)
	for _, d := range []string{"custom/conf", "data", "home"} {
		if err := os.MkdirAll(filepath.Join(w, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	command(t, nil, "", "cp", "-r", bin, filepath.Join(filepath.Dir(bin), "templates"), filepath.Join(filepath.Dir(bin), "options"), filepath.Join(filepath.Dir(bin), "public"), w)
	who, run := os.Getenv("USER"), []string{}
	if os.Getuid() == 0 {
		// Gitea refuses root.
		who, run = "nobody", []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}
	}
	if err := os.WriteFile(filepath.Join(w, "custom/conf/app.ini"), []byte(fmt.Sprintf(giteaINI, who, w, port, port, w, w)), 0o644); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		command(t, nil, "", "chown", "-R", "65534:65534", w)
	}
	run = append(run, "env", "-i", "PATH="+os.Getenv("PATH"), "HOME="+w+"/home", "GITEA_WORK_DIR="+w, w+"/gitea")
	command(t, nil, w, append(run, "migrate")...)
	command(t, nil, w, append(run, "admin", "user", "create", "--admin", "--username", "root1", "--password", giteaPassword, "--email", "root1@example.com", "--must-change-password=false")...)
	u = "http://127.0.0.1:" + port
	start(t, u+"/api/healthz", nil, w, append(run, "web")...)
	return u, w
}

const giteaPassword = "Made-up-12345678"

func giteaToken(t *testing.T, u, name string) string {
	t.Helper()
	b := newBrowser(t)
	r := b.do("POST", u+"/api/v1/users/root1/tokens", url.Values{"name": {name}, "scopes": {"all"}}, "Authorization", basic("root1", giteaPassword))
	var doc struct{ Sha1 string }
	if err := json.Unmarshal([]byte(r.body), &doc); err != nil || len(doc.Sha1) != 40 {
		t.Fatalf("no token: %d %s", r.status, r.body)
	}
	return doc.Sha1
}

// giteaID is the number of a token's user, which decides whose the token is.
func giteaID(t *testing.T, u, token string) string {
	t.Helper()
	r := newBrowser(t).do("GET", u+"/api/v1/user", nil, "Authorization", "token "+token)
	var doc struct{ ID int64 }
	if err := json.Unmarshal([]byte(r.body), &doc); err != nil || doc.ID == 0 {
		t.Fatalf("no user: %d %s", r.status, r.body)
	}
	return fmt.Sprint(doc.ID)
}

// A token is committed, and removed by the next commit; the history still has
// it, with the commit that brought it in.
func TestGitea(t *testing.T) {
	t.Parallel()
	need(t, "git")
	u := gitea(t)
	leaked, control := giteaToken(t, u, "leaked"), giteaToken(t, u, "control")
	repo := t.TempDir()
	git := func(args ...string) string {
		return command(t, []string{"GIT_AUTHOR_NAME=Alice", "GIT_AUTHOR_EMAIL=alice@example.com", "GIT_COMMITTER_NAME=Alice", "GIT_COMMITTER_EMAIL=alice@example.com", "GIT_CONFIG_GLOBAL=/dev/null"}, repo, append([]string{"git"}, args...)...)
	}
	git("init", "-q", "-b", "main")
	write := func(text string) {
		if err := os.MkdirAll(filepath.Join(repo, "ci"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(repo, "ci/push.sh"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		git("add", ".")
	}
	write("#!/bin/sh\nexport GITEA_TOKEN=" + leaked + "\n")
	git("commit", "-q", "-m", "push from CI")
	first := strings.TrimSpace(git("rev-parse", "HEAD"))
	write("#!/bin/sh\n")
	git("commit", "-q", "-m", "oops")
	git("gc", "-q")
	o := newOperator(t)
	o.secrets = []string{leaked, control, giteaPassword}
	o.env["ADMIN"], o.env["CONTROL"] = "root1:"+giteaPassword, control
	o.policy(fmt.Sprintf("[[own]]\nprovider = \"gitea\"\nurl = %q\nidentity = [%q]\nname = \"root1\"\n[[instance]]\nprovider = \"gitea\"\nurl = %q\nadmin = \"env:ADMIN\"\ncontrol = \"env:CONTROL\"\nsettle = \"2s\"\n", u, giteaID(t, u, control), u))
	report := o.quell(1, "scan", "git", repo, "--format", "jsonl")
	for _, want := range []string{`"path":"ci/push.sh"`, `"line":2,"column":20`, `"commit":"` + first + `"`, `"author":"Alice <alice@example.com>"`, `"in_head":"no"`, `"liveness":"live"`, `"subject":"root1"`} {
		if !strings.Contains(report, want) {
			t.Errorf("the report lacks %s", want)
		}
	}
	a := one(t, o.kill(1, 0, "git", repo), "gitea-token", "Confirmed")
	if a.Control != "live" {
		t.Errorf("the positive control is %q", a.Control)
	}
	b := newBrowser(t)
	if r := b.do("GET", u+"/api/v1/user", nil, "Authorization", "token "+leaked); r.status != 401 {
		t.Errorf("it answers %d", r.status)
	}
	if r := b.do("GET", u+"/api/v1/user", nil, "Authorization", "token "+control); r.status != 200 {
		t.Errorf("the operator's own token was ended too: %d", r.status)
	}
	o.files()
}

// A policy is derived from the operator's own login: who they are, by the number that
// Gitea gave them. A token is a user's, so no organisation is named.
func TestPolicyFromLogins(t *testing.T) {
	t.Parallel()
	u := gitea(t)
	token := giteaToken(t, u, "operator")
	b := newBrowser(t)
	if r := b.send("POST", u+"/api/v1/orgs", `{"username":"acme"}`, "Authorization", "token "+token, "Content-Type", "application/json"); r.status != 201 {
		t.Fatalf("no organisation: %d %s", r.status, r.body)
	}
	c := vaultServer(t)
	o := newOperator(t)
	o.secrets = []string{token, root}
	o.env["GITEA_SERVER_URL"], o.env["GITEA_TOKEN"] = u, token
	o.env["VAULT_ADDR"], o.env["VAULT_TOKEN"] = c.Address(), root
	o.quell(0, "policy", "init")
	text, err := os.ReadFile(filepath.Join(o.dir, "config/quell/policy.toml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"provider = 'gitea'", "identity = ['" + giteaID(t, u, token) + "']", "name = 'root1'", "control = 'env:GITEA_TOKEN'", "url = '" + u + "'", "provider = 'vault'", "admin = 'env:VAULT_TOKEN'"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the policy lacks %s:\n%s", want, text)
		}
	}
	o.quell(0, "policy", "check")
	o.quell(2, "policy", "init")
	o.files()
}
