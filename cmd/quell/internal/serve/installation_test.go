package serve

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/ci/citest"
)

// The secrets of the tests, which must be in no column, log line or message.
const (
	apiToken   = "made-up-token-of-the-api-4711"
	hookSecret = "made-up-secret-of-the-webhook-0815"
	hookPath   = "/services/T0MADEUP/B0MADEUP/madeUpPathOfTheHook"
)

// session is the n-th made-up session of the application.
func session(n int) string {
	a := sha256.Sum256([]byte(fmt.Sprint("id", n)))
	b := sha256.Sum256([]byte(fmt.Sprint("signature", n)))
	return "s%3A" + base64.RawURLEncoding.EncodeToString(a[:24]) + "." + strings.NewReplacer("-", "a", "_", "b").Replace(base64.RawURLEncoding.EncodeToString(b[:32]))
}

func lineOf(n int) string {
	return "2026-11-01T10:00:00.0000000Z Cookie: connect.sid=" + session(n) + "\n"
}

// leaking are logs in which each attempt has a session of its own.
func leaking(n int) func(int) map[string]string {
	return func(attempt int) map[string]string {
		return map[string]string{"0_build.txt": "2026-11-01T10:00:00.0000000Z start\n" + lineOf(n+attempt-1)}
	}
}

func quiet(int) map[string]string {
	return map[string]string{"0_build.txt": "2026-11-01T10:00:00.0000000Z nothing\n"}
}

// app is a web application with sessions.
type app struct {
	*httptest.Server
	mu     sync.Mutex
	live   map[string]bool
	ended  map[string]int // sign-outs of live sessions
	asked  int
	outs   int // sign-outs of any session
	refuse int // status of everything; 0: none
}

func newApp(t *testing.T, live ...int) *app {
	a := &app{live: map[string]bool{}, ended: map[string]int{}}
	for _, n := range live {
		a.live[session(n)] = true
	}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

// ServeHTTP implements http.Handler.
func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	c, _ := r.Cookie("connect.sid")
	switch {
	case a.refuse != 0:
		w.WriteHeader(a.refuse)
	case r.URL.Path == "/logout":
		a.outs++
		if c != nil && a.live[c.Value] {
			a.ended[c.Value]++
			delete(a.live, c.Value)
		}
	case c == nil || !a.live[c.Value]:
		http.Error(w, "sign in", http.StatusUnauthorized)
	default:
		fmt.Fprint(w, "hello")
	}
}

// endedOnes are the sessions that were signed out, and how often.
func (a *app) endedOnes() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.ended)
}

// inbox is a receiver of messages.
type inbox struct {
	*httptest.Server
	mu   sync.Mutex
	text []string
}

func newInbox(t *testing.T) *inbox {
	in := &inbox{}
	in.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		in.mu.Lock()
		defer in.mu.Unlock()
		in.text = append(in.text, string(b))
	}))
	t.Cleanup(in.Close)
	return in
}

func (in *inbox) all() string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return strings.Join(in.text, "\n")
}

// bench is an installation of quell, and the servers around it.
type bench struct {
	t     *testing.T
	home  string
	fake  *citest.GitHub
	app   *app
	inbox *inbox
	env   map[string]string
	log   bytes.Buffer
	logMu sync.Mutex
	state string
	more  string // at the end of the configuration
	head  string // at its beginning
	tick  time.Duration
}

func newBench(t *testing.T, live ...int) *bench {
	t.Helper()
	b := &bench{t: t, home: t.TempDir(), fake: citest.NewGitHub(t, "o", apiToken), app: newApp(t, live...), inbox: newInbox(t), tick: 200 * time.Millisecond}
	b.state = filepath.Join(b.home, "ledger.db")
	b.env = map[string]string{"HOME": b.home, "TOKEN": apiToken, "HOOK_SECRET": hookSecret, "INBOX": b.inbox.URL + hookPath}
	policy := fmt.Sprintf("version = 1\n[[instance]]\nprovider = \"express\"\nurl = %q\nown = true\nprobe_path = \"/me\"\nlogout_path = \"/logout\"\nsettle = \"1ms\"\n", b.app.URL)
	if err := os.WriteFile(filepath.Join(b.home, "policy.toml"), []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) config() *Config {
	b.t.Helper()
	text := fmt.Sprintf(`version = 1
%s
[[notify]]
name = "team"
url = "env:INBOX"
[[target]]
name = "acme"
system = "github"
url = %q
of = ["o"]
token = "env:TOKEN"
webhook = "env:HOOK_SECRET"
%s`, b.head, b.fake.Address(), b.more)
	file := filepath.Join(b.home, "serve.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	c, err := LoadConfig(file)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// Write implements io.Writer: the log.
func (b *bench) Write(p []byte) (int, error) {
	b.logMu.Lock()
	defer b.logMu.Unlock()
	return b.log.Write(p)
}

func (b *bench) logged() string {
	b.logMu.Lock()
	defer b.logMu.Unlock()
	return b.log.String()
}

func (b *bench) options() Options {
	getenv := func(name string) string { return b.env[name] }
	doer := run.NewDoer()
	return Options{
		Config: b.config(), Listen: "127.0.0.1:0", State: b.state, Version: "test", Getenv: getenv, Redactor: report.NewRedactor(),
		Runtime: func(offline bool, red *report.Redactor, own []rules.Secret) (*run.Runtime, error) {
			return run.New(run.Options{Getenv: getenv, Policy: filepath.Join(b.home, "policy.toml"), State: b.state, Offline: offline, NeedsSecrets: !offline, Redactor: red, Doer: doer, Own: own})
		},
		Memory: func(rt *run.Runtime, l *ledger.Ledger) (scanners.Memory, error) {
			return l.Memory("test", rt.Keys.Fingerprint[:], func(err error) { b.t.Error(err) })
		},
		Log: slog.New(slog.NewTextHandler(b, nil)), Tick: b.tick, Patience: 100 * time.Millisecond,
	}
}

// running is a started server.
type running struct {
	url  string
	stop func() // waits until it has ended
}

func (b *bench) start() *running {
	b.t.Helper()
	return b.startWith(b.options())
}

func (b *bench) startWith(o Options) *running {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	ready, ended := make(chan string, 1), make(chan error, 1)
	o.Ready = func(address string) { ready <- address }
	go func() { ended <- Run(ctx, o) }()
	r := &running{}
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Errorf("it ended with %v", err)
		}
	})
	b.t.Cleanup(r.stop)
	select {
	case address := <-ready:
		r.url = "http://" + address
	case err := <-ended:
		b.t.Fatalf("it did not start: %v", err)
	}
	return r
}

// db opens the database besides quell.
func (b *bench) db() *sql.DB {
	b.t.Helper()
	driver, dsn := "sqlite", "file:"+b.state+"?_pragma=busy_timeout(10000)"
	if ledger.Remote(b.state) {
		driver, dsn = "pgx", b.state
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = db.Close() })
	return db
}

// count runs a query that counts.
func (b *bench) count(db *sql.DB, query string) int {
	b.t.Helper()
	var n int
	if err := db.QueryRowContext(b.t.Context(), query).Scan(&n); err != nil {
		b.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// eventually waits until ok.
func (b *bench) eventually(what string, ok func() bool) {
	b.t.Helper()
	for end := time.Now().Add(3 * time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("%s did not happen\n%s", what, b.logged())
		}
	}
}

const idleJobs = `SELECT count(*) FROM river_job WHERE state IN ('available', 'running', 'retryable', 'scheduled', 'pending')`

// idle waits until all jobs have ended.
func (b *bench) idle(db *sql.DB) {
	b.t.Helper()
	b.eventually("the end of all jobs", func() bool { return b.count(db, idleJobs) == 0 })
}

// clean fails if a secret is anywhere in the database, in any of the usual encodings.
func (b *bench) clean(db *sql.DB, secrets ...string) {
	b.t.Helper()
	dump := dumpOf(b.t, db, ledger.Remote(b.state)) + b.logged() + b.inbox.all()
	for _, s := range append(secrets, apiToken, hookSecret, hookPath) {
		plain := strings.ReplaceAll(s, "%3A", ":")
		for _, form := range []string{s, plain, strings.SplitN(plain, ".", 2)[0], base64.StdEncoding.EncodeToString([]byte(s)), base64.StdEncoding.EncodeToString([]byte(plain)), hex.EncodeToString([]byte(s)), hex.EncodeToString([]byte(plain))} {
			if i := strings.Index(dump, form); i >= 0 {
				b.t.Errorf("a secret is in the database, the log or a message: %q", dump[max(0, i-200):min(len(dump), i+300)])
				break
			}
		}
	}
}

// dumpOf gives all columns of all tables as text.
func dumpOf(t *testing.T, db *sql.DB, postgres bool) string {
	t.Helper()
	list := `SELECT name FROM sqlite_master WHERE type = 'table'`
	if postgres {
		list = `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`
	}
	rows, err := db.QueryContext(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	var tables []string
	for rows.Next() {
		var n string
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
		tables = append(tables, n)
	}
	_ = rows.Close()
	var out strings.Builder
	for _, table := range tables {
		rows, err := db.QueryContext(t.Context(), `SELECT * FROM `+table)
		if err != nil {
			t.Fatal(err)
		}
		cols, _ := rows.Columns()
		for rows.Next() {
			v := make([]any, len(cols))
			p := make([]any, len(cols))
			for i := range v {
				p[i] = &v[i]
			}
			if err := rows.Scan(p...); err != nil {
				t.Fatal(err)
			}
			for i, x := range v {
				if raw, ok := x.([]byte); ok {
					x = string(raw)
				}
				fmt.Fprintf(&out, "%s.%s=%v\n", table, cols[i], x)
			}
		}
		_ = rows.Close()
	}
	if len(tables) < 10 {
		t.Fatalf("only the tables %q", tables)
	}
	return out.String()
}

// runsOf are n runs, the newest first; every third leaks a session of its own.
func runsOf(n, first int) []*citest.Run {
	var out []*citest.Run
	for i := n; i > 0; i-- {
		r := &citest.Run{ID: int64(first + i), Attempts: 1, Created: time.Now().Add(-time.Duration(n-i) * time.Minute), Logs: quiet}
		if i%3 == 0 {
			r.Logs = leaking(10 * (first + i))
		}
		out = append(out, r)
	}
	return out
}

func get(t *testing.T, url string) string {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, _ := io.ReadAll(r.Body)
	return string(text)
}
