package realtest

import (
	"bytes"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quellhq/quell/scanners/ci/citest"
)

const clusterToken = "made-up-token-of-the-api-4711"

// cluster is a PostgreSQL database, a forge, an application with sessions, and processes of quell
// serve on machines of their own.
type cluster struct {
	t       *testing.T
	address string
	db      *sql.DB
	restart func()
	fake    *citest.GitHub
	app     *sessionApp
	site    *httptest.Server
	secrets []string
	live    int
	first   *operator
	exe     string // quell with clocks of its own; empty: this program
	procs   []*clusterProcess

	mu  sync.Mutex
	log []asked
	// before may answer a request to the application itself; nil: it answers all.
	before func(w http.ResponseWriter, r *http.Request) bool
}

// asked is a request to the application.
type asked struct {
	at   time.Time
	path string
	sid  string
}

type clusterProcess struct {
	o    *operator
	args []string
	c    *exec.Cmd
	out  *output
}

// output is what a process that still runs has written.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

// String is all of it.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, app: &sessionApp{live: map[string]bool{}, ended: map[string]int{}}, fake: citest.NewGitHub(t, "o", clusterToken), secrets: []string{clusterToken}}
	c.address, c.db, c.restart = postgresLedger(t)
	c.site = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sid := ""
		if x, err := r.Cookie("connect.sid"); err == nil {
			sid = x.Value
		}
		c.mu.Lock()
		c.log = append(c.log, asked{time.Now(), r.URL.Path, sid})
		before := c.before
		c.mu.Unlock()
		if before == nil || !before(w, r) {
			c.app.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(c.site.Close)
	return c
}

// leaking is a run with the session n, which is live or has ended.
func (c *cluster) leaking(n int, live bool) *citest.Run {
	c.secrets = append(c.secrets, serveSession(n))
	if live {
		c.live++
		c.app.mu.Lock()
		c.app.live[serveSession(n)] = true
		c.app.mu.Unlock()
	}
	return &citest.Run{ID: int64(n), Attempts: 1, Created: time.Now().Add(-time.Minute), Logs: func(int) map[string]string {
		return map[string]string{"0_build.txt": "2026-11-01T10:00:00.0000000Z Cookie: connect.sid=" + serveSession(n) + "\n"}
	}}
}

// start adds a machine with the keys of the first one, and starts quell serve on it. head is at
// the beginning of its configuration, policy at the end of its policy.
func (c *cluster) start(head, policy string) *clusterProcess {
	c.t.Helper()
	o := newOperator(c.t)
	o.secrets, o.exe = c.secrets, c.exe
	o.env["CLOCK_OFFSET_FILE"] = filepath.Join(o.dir, "clock")
	o.env["TOKEN"], o.env["QUELL_STATE"], o.env["HOOK_SECRET"] = clusterToken, c.address, "made-up-secret-of-the-webhook-0815"
	o.policy(fmt.Sprintf("[kill]\nmax = 100000\n[[instance]]\nprovider = \"express\"\nurl = %q\nown = true\nprobe_path = \"/me\"\nlogout_path = \"/logout\"\nsettle = \"1ms\"\n%s", c.site.URL, policy))
	o.file("serve.toml", fmt.Sprintf("version = 1\n%s\n[[target]]\nname = \"acme\"\nsystem = \"github\"\nurl = %q\nof = [\"o\"]\ntoken = \"env:TOKEN\"\nwebhook = \"env:HOOK_SECRET\"\nread = [\"logs\"]\n", head, c.fake.Address()))
	state := filepath.Join(o.dir, "state", "quell")
	if c.first == nil {
		c.first = o
		o.quell(0, "ledger", "--verify") // makes the keys
	} else {
		if err := os.MkdirAll(state, 0o700); err != nil {
			c.t.Fatal(err)
		}
		for _, name := range []string{"fingerprint.key", "identity.txt", "sign.key"} {
			b, err := os.ReadFile(filepath.Join(c.first.dir, "state", "quell", name))
			if err == nil {
				err = os.WriteFile(filepath.Join(state, name), b, 0o600)
			}
			if err != nil {
				c.t.Fatal(err)
			}
		}
	}
	p := &clusterProcess{o: o, args: []string{"serve", "--config", filepath.Join(o.dir, "serve.toml"), "--listen", "127.0.0.1:0"}}
	c.procs = append(c.procs, p)
	c.t.Cleanup(func() { c.kill(p) }) // before its folder is removed
	c.run(p)
	return p
}

func (c *cluster) run(p *clusterProcess) {
	p.out = &output{}
	p.c = p.o.startTo(p.out, p.args...)
}

func (c *cluster) kill(p *clusterProcess) {
	if p.c == nil {
		return
	}
	_ = p.c.Process.Kill()
	_ = p.c.Wait()
	p.o.clean(p.out.String())
	p.c = nil
}

// number runs a query that counts. The database may be away for a while.
func (c *cluster) number(query string) (n int) {
	c.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		err := c.db.QueryRowContext(c.t.Context(), query).Scan(&n)
		if err == nil {
			return n
		}
		if time.Now().After(end) {
			c.t.Fatalf("%s: %v", query, err)
		}
	}
}

func (c *cluster) eventually(most time.Duration, what string, ok func() bool) {
	c.t.Helper()
	for end := time.Now().Add(most); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			logs := ""
			for _, p := range c.procs {
				if p.c != nil {
					logs += p.out.String()
				}
			}
			c.t.Errorf("%s did not happen in %s\n%s", what, most, tail(logs))
			c.t.Fatal(groups(c.t, c.db)) // there may be no tables yet
		}
	}
}

// requests are those that the application got.
func (c *cluster) requests() []asked {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.log)
}

// endedOnce fails unless each live session was ended once.
func (c *cluster) endedOnce() {
	c.t.Helper()
	c.app.mu.Lock()
	defer c.app.mu.Unlock()
	if len(c.app.ended) != c.live {
		c.t.Errorf("%d of %d sessions were ended", len(c.app.ended), c.live)
	}
	for s, n := range c.app.ended {
		if n != 1 {
			c.t.Errorf("%s… was ended %d times", s[:8], n)
		}
	}
}

// clean fails if a secret is in any table.
func (c *cluster) clean() {
	c.t.Helper()
	rows, err := c.db.QueryContext(c.t.Context(), `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`)
	if err != nil {
		c.t.Fatal(err)
	}
	var tables []string
	for rows.Next() {
		var n string
		if err := rows.Scan(&n); err != nil {
			c.t.Fatal(err)
		}
		tables = append(tables, n)
	}
	_ = rows.Close()
	for _, table := range tables {
		var text string
		if err := c.db.QueryRowContext(c.t.Context(), `SELECT coalesce(string_agg(x::text, ' '), '') FROM `+table+` AS x`).Scan(&text); err != nil {
			c.t.Fatal(err)
		}
		for _, s := range c.secrets {
			if strings.Contains(text, strings.TrimPrefix(s, "s%3A")) {
				c.t.Errorf("a secret is in the table %s", table)
				break
			}
		}
	}
}
