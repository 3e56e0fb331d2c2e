package realtest

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
	"github.com/quellhq/quell/scanners/ci/citest"
)

var startOfDocs = regexp.MustCompile("(?s)from nothing but the\n.*?```sh\n(.*?)```")

// The commands of docs/serve.md lead from nothing to a first scheduled scan of an organisation of
// a real Gitea, which finds a live token in the history of a repository.
func TestServeOfGiteaFromTheDocs(t *testing.T) {
	need(t, "git")
	u := gitea(t)
	token, leaked := giteaToken(t, u, "quell"), giteaToken(t, u, "leaked")
	b := newBrowser(t)
	api := func(path, body string) {
		if r := b.send("POST", u+"/api/v1/"+path, body, "Authorization", "token "+token, "Content-Type", "application/json"); r.status != 201 {
			t.Fatalf("%s: %d %s", path, r.status, r.body)
		}
	}
	api("orgs", `{"username":"platform"}`)
	api("orgs/platform/repos", `{"name":"app"}`)
	repo := t.TempDir()
	git := func(args ...string) {
		command(t, []string{"GIT_AUTHOR_NAME=Alice", "GIT_AUTHOR_EMAIL=alice@example.com", "GIT_COMMITTER_NAME=Alice", "GIT_COMMITTER_EMAIL=alice@example.com", "GIT_CONFIG_GLOBAL=/dev/null"}, repo, append([]string{"git"}, args...)...)
	}
	git("init", "-q", "-b", "main")
	if err := os.WriteFile(filepath.Join(repo, "push.sh"), []byte("#!/bin/sh\nexport GITEA_TOKEN="+leaked+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	git("add", ".")
	git("commit", "-q", "-m", "push from CI")
	git("push", "-q", strings.Replace(u, "http://", "http://root1:"+giteaPassword+"@", 1)+"/platform/app.git", "main")

	text, err := os.ReadFile("../../../../docs/serve.md")
	if err != nil {
		t.Fatal(err)
	}
	m := startOfDocs.FindStringSubmatch(string(text))
	if m == nil {
		t.Fatal("docs/serve.md has no such commands")
	}
	begin := time.Now()
	o := newOperator(t)
	o.secrets = []string{token, leaked, giteaPassword}
	commands := 0
	script := m[1]
	for script != "" {
		line, rest, _ := strings.Cut(script, "\n")
		script = rest
		commands++
		switch {
		case strings.HasPrefix(line, "export GITEA_TOKEN="):
			o.env["GITEA_TOKEN"] = token
		case line == "cat > forge.toml <<'EOF'":
			body, rest, ok := strings.Cut(script, "EOF\n")
			if !ok {
				t.Fatal("the file has no end")
			}
			script = rest
			o.file("forge.toml", strings.Replace(body, "https://git.corp.example", u, 1))
		case strings.HasPrefix(line, "quell serve ") && strings.HasSuffix(line, "--check"):
			o.quell(0, "serve", "--config", filepath.Join(o.dir, "forge.toml"), "--check")
		case line == "quell serve --config forge.toml":
			out := &output{}
			c := o.startTo(out, "serve", "--config", filepath.Join(o.dir, "forge.toml"), "--listen", "127.0.0.1:0")
			t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait(); o.clean(out.String()) })
			state := filepath.Join(o.dir, "state", "quell", "ledger.db")
			found := func() bool {
				if !strings.Contains(out.String(), "http://127.0.0.1") {
					return false
				}
				s, err := store.Open(t.Context(), state)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				list, err := s.Targets(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				n, err := s.States(t.Context())
				return err == nil && len(list) == 1 && (n[[2]string{"live", ""}] > 0 || n[[2]string{"unknown", ""}] > 0)
			}
			for end := time.Now().Add(2 * time.Minute); !found(); time.Sleep(200 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("nothing was found\n%s", out.String())
				}
			}
		default:
			t.Fatalf("the command %q is not one that this test knows", line)
		}
	}
	t.Logf("%d commands, %s until the first finding", commands, time.Since(begin).Round(100*time.Millisecond))
	if commands > 5 {
		t.Errorf("%d commands", commands)
	}
}

// A copy of the database is whole, and nothing that was ended before is ended again from it.
func TestServeFromABackup(t *testing.T) {
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(bins) == 0 {
		need(t, "/usr/lib/postgresql")
	}
	dump := filepath.Join(bins[len(bins)-1], "pg_dump")
	c := newCluster(t)
	for i := range 4 {
		c.fake.Repos = append(c.fake.Repos, &citest.Repo{Name: fmt.Sprintf("r%d", i), Runs: []*citest.Run{c.leaking(100+i, true)}})
	}
	p := c.start("apply = true", "")
	c.eventually(time.Minute, "four kills", func() bool {
		return c.number(`SELECT count(*) FROM serve_credential WHERE outcome = 'Confirmed'`) == 4
	})
	c.kill(p)
	file := filepath.Join(t.TempDir(), "quell.dump")
	command(t, nil, "", dump, "--format=custom", "--file="+file, c.address)
	for _, s := range c.secrets {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(raw), s) {
			t.Error("a secret is in the backup")
		}
	}
	if _, err := c.db.ExecContext(t.Context(), `CREATE DATABASE restored`); err != nil {
		t.Fatal(err)
	}
	copied := strings.Replace(c.address, "/postgres?", "/restored?", 1)
	if out, err := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(dump), "pg_restore"), "--dbname="+copied, file).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	c.address = copied
	restored, err := sql.Open("pgx", copied)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = restored.Close() })
	c.db = restored
	c.first.env["QUELL_STATE"] = copied
	c.first.quell(0, "ledger", "--verify")
	// As if the backup were from before the outcomes: their kills have begun and are not recorded.
	if _, err := restored.ExecContext(t.Context(), `UPDATE serve_credential SET outcome = '', state = 'live', asked_at = 0, outcome_at = 0`); err != nil {
		t.Fatal(err)
	}
	if _, err := restored.ExecContext(t.Context(), `UPDATE serve_target SET next = 0`); err != nil {
		t.Fatal(err)
	}
	before := len(c.requests())
	p.o.env["QUELL_STATE"] = copied
	c.run(p)
	c.eventually(time.Minute, "four questions", func() bool {
		return c.number(`SELECT count(*) FROM serve_credential WHERE state <> 'live' AND asked_at > 0`) == 4
	})
	c.endedOnce()
	for _, a := range c.requests()[before:] {
		if a.path == "/logout" {
			t.Error("a kill was sent again")
		}
	}
	c.kill(p)
	c.first.quell(0, "ledger", "--verify")
}
