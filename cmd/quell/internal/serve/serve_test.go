package serve

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
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

func TestOrganisationIsReadAskedEndedAndReported(t *testing.T) {
	b := newBench(t, 10, 11)
	b.head = "apply = true"
	b.fake.Repos = []*citest.Repo{
		{Name: "a", Runs: []*citest.Run{{ID: 1, Attempts: 2, Created: time.Now(), Logs: leaking(10)}}},
		{Name: "b", Runs: []*citest.Run{{ID: 2, Attempts: 1, Created: time.Now(), Logs: leaking(20)}, {ID: 3, Attempts: 1, Created: time.Now()}}},
		{Name: "c", Refuse: http.StatusForbidden},
	}
	r := b.start()
	db := b.db()
	b.eventually("three findings", func() bool { return b.count(db, `SELECT count(*) FROM serve_credential`) == 3 })
	b.idle(db)
	if n := b.count(db, `SELECT count(*) FROM serve_credential WHERE outcome = 'Confirmed' AND state = 'dead'`); n != 2 {
		t.Errorf("%d of the two live sessions are proven dead\n%s", n, dumpOf(t, db, false))
	}
	if n := b.count(db, `SELECT count(*) FROM serve_credential WHERE outcome = ''`); n != 1 {
		t.Errorf("%d sessions were left alone", n)
	}
	b.app.mu.Lock()
	if len(b.app.live) != 0 || len(b.app.ended) != 2 {
		t.Errorf("live %v, ended %v", b.app.live, b.app.ended)
	}
	b.app.mu.Unlock()
	b.eventually("messages", func() bool { return strings.Count(b.inbox.all(), `"text"`) == 4 })
	if all := b.inbox.all(); strings.Count(all, "is live") != 2 || strings.Count(all, "is dead: Confirmed") != 2 || !strings.Contains(all, "acme") {
		t.Errorf("messages: %s", all)
	}
	// The coverage names what could not be read.
	if n := b.count(db, `SELECT gaps FROM serve_repo WHERE repo = 'o/b'`); n != 1 {
		t.Errorf("%d gaps of o/b", n)
	}
	if n := b.count(db, `SELECT gaps FROM serve_repo WHERE repo = 'o/c'`); n == 0 {
		t.Error("a repository that refuses has no gap")
	}
	b.clean(db, session(10), session(11), session(20))
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ready", "/metrics": `quell_credentials{liveness="dead",outcome="Confirmed"} 2`} {
		if got := get(t, r.url+path); !strings.Contains(got, want) {
			t.Errorf("%s: %s", path, got)
		}
	}
	r.stop()
	l, err := ledger.Open(t.Context(), b.state, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if v, err := l.Verify(t.Context(), nil); err != nil || !v.OK() {
		t.Errorf("the ledger is not whole: %+v %v", v, err)
	}
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

// Without apply nothing is sent that ends a session, though the policy allows it.
func TestNothingIsEndedUnlessTheConfigurationSaysSo(t *testing.T) {
	b := newBench(t, 10)
	b.fake.Repos = []*citest.Repo{{Name: "a", Runs: []*citest.Run{{ID: 1, Attempts: 1, Created: time.Now(), Logs: leaking(10)}}}}
	b.start()
	db := b.db()
	b.eventually("a live session", func() bool { return b.count(db, `SELECT count(*) FROM serve_credential WHERE state = 'live'`) == 1 })
	b.idle(db)
	b.app.mu.Lock()
	defer b.app.mu.Unlock()
	if !b.app.live[session(10)] || len(b.app.ended) > 0 || b.count(db, `SELECT count(*) FROM river_job WHERE kind = 'kill'`) > 0 {
		t.Error("a session was ended")
	}
}

// kill.max counts the kills of a day over all plans.
func TestKillsOfADayAreLimited(t *testing.T) {
	b := newBench(t, 10, 20, 30)
	b.head = "apply = true"
	f, err := os.OpenFile(filepath.Join(b.home, "policy.toml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, "[kill]\nmax = 1\n")
	_ = f.Close()
	r := &citest.Repo{Name: "a"}
	for n := 3; n > 0; n-- {
		r.Runs = append(r.Runs, &citest.Run{ID: int64(n), Attempts: 1, Created: time.Now(), Logs: leaking(10 * n)})
	}
	b.fake.Repos = []*citest.Repo{r}
	b.start()
	db := b.db()
	b.eventually("three decisions", func() bool { return b.count(db, `SELECT count(*) FROM serve_credential WHERE outcome <> ''`) == 3 })
	b.app.mu.Lock()
	defer b.app.mu.Unlock()
	if len(b.app.ended) != 1 || b.count(db, `SELECT count(*) FROM serve_credential WHERE outcome = 'Held'`) != 2 {
		t.Errorf("%d sessions were ended", len(b.app.ended))
	}
}

// Runs that end late, run again or come to an old repository are read by the next sweep; what
// was read before is not fetched again, whether or not something was found in it.
func TestSweepsReadWhatIsNewAndNothingTwice(t *testing.T) {
	b := newBench(t)
	b.more = `every = "1s"`
	late := &citest.Run{ID: 5, Attempts: 1, Created: time.Now().Add(-time.Hour), Status: "in_progress", Logs: leaking(50)}
	again := &citest.Run{ID: 6, Attempts: 1, Created: time.Now().Add(-20 * 24 * time.Hour), Logs: quiet}
	repo := &citest.Repo{Name: "a", Runs: []*citest.Run{late, {ID: 4, Attempts: 1, Created: time.Now().Add(-2 * time.Hour), Logs: leaking(40)}, again}}
	var mu sync.Mutex
	b.fake.Repos = []*citest.Repo{repo}
	b.fake.Fault = func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		mu.Lock()
		defer mu.Unlock()
		r.Header.Del("If-None-Match") // the fake's validator does not see what this test changes
		return false
	}
	b.start()
	db := b.db()
	b.eventually("the first sweep", func() bool { return b.count(db, `SELECT count(*) FROM serve_credential`) == 1 })
	b.eventually("a second sweep", func() bool {
		return b.count(db, `SELECT count(*) FROM river_job WHERE kind = 'scan' AND state = 'completed'`) >= 3
	})
	if got := b.fake.Stored(); got["logs/a/4/1"] != 1 || got["logs/a/6/1"] != 1 || got["logs/a/5/1"] != 0 {
		t.Errorf("fetched: %v", got)
	}
	mu.Lock()
	late.Status, again.Attempts, again.Logs = "", 2, func(n int) map[string]string {
		if n == 1 {
			return quiet(1)
		}
		return leaking(60)(1)
	}
	mu.Unlock()
	b.eventually("what came late", func() bool { return b.count(db, `SELECT count(*) FROM serve_credential`) == 3 })
	if got := b.fake.Stored(); got["logs/a/4/1"] != 1 || got["logs/a/6/1"] != 1 || got["logs/a/5/1"] != 1 || got["logs/a/6/2"] != 1 {
		t.Errorf("fetched: %v", got)
	}
}

// A page whose jobs can't be recorded is listed again; one that was recorded is not.
func TestTheListGoesOnWhereItEnded(t *testing.T) {
	b := newBench(t)
	for n := range 250 {
		b.fake.Repos = append(b.fake.Repos, &citest.Repo{Name: fmt.Sprintf("r%03d", n), Runs: []*citest.Run{{ID: int64(n + 1), Attempts: 1, Created: time.Now(), Logs: quiet}}})
	}
	var mu sync.Mutex
	broken := true
	b.fake.Fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		mu.Lock()
		defer mu.Unlock()
		if broken && strings.HasSuffix(r.URL.Path, "/orgs/o/repos") && r.URL.Query().Get("page") == "2" {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			broken = false
			return true
		}
		return false
	}
	b.start()
	db := b.db()
	b.eventually("the end of the list", func() bool {
		return b.count(db, `SELECT count(*) FROM serve_target WHERE name = 'acme' AND ended > 0`) == 1
	})
	pages := map[string]int{}
	for _, q := range b.fake.Seen() {
		if strings.Contains(q, "/orgs/o/repos") {
			pages[q[strings.Index(q, "page="):]]++
		}
	}
	for q, n := range pages {
		// The first page is listed again at the end: a push may have moved a repository there.
		want := 1
		if strings.HasPrefix(q, "page=1") {
			want = 2
		}
		if n != want {
			t.Errorf("%s was listed %d times", q, n)
		}
	}
	if n := b.count(db, `SELECT count(DISTINCT json_extract(args, '$.repo')) FROM river_job WHERE kind = 'scan'`); len(pages) != 3 || n != 250 {
		t.Errorf("%d pages, %d jobs", len(pages), n)
	}
	// The wait was no failed attempt.
	var snoozes string
	if err := db.QueryRowContext(t.Context(), `SELECT json(metadata) FROM river_job WHERE kind = 'enumerate'`).Scan(&snoozes); err != nil || !strings.Contains(snoozes, `"snoozes":1`) {
		t.Errorf("%s %v", snoozes, err)
	}
}

// A repository that moves to the first page while the pages are listed is read in that sweep.
func TestRepositoryThatMovesWhilePagesAreListed(t *testing.T) {
	b := newBench(t)
	var names []string
	for n := range 201 {
		names = append(names, fmt.Sprintf("r%03d", n))
	}
	var mu sync.Mutex
	moved := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/orgs/o/repos") {
			http.NotFound(w, r)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		if page == 2 && !moved {
			// r150 is pushed to: it is the first one now, and the second page begins with r099.
			moved = true
			names = append([]string{names[150]}, append(append([]string{}, names[:150]...), names[151:]...)...)
		}
		from, to := (page-1)*100, min(page*100, len(names))
		var out []map[string]any
		for i, n := range names[from:to] {
			out = append(out, map[string]any{"id": from + i + 1, "name": n, "owner": map[string]any{"login": "o"}})
		}
		if to < len(names) {
			w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?page=%d>; rel="next"`, r.Host, r.URL.Path, page+1))
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(out)
	}))
	t.Cleanup(server.Close)
	b.fake.URL = server.URL
	b.start()
	db := b.db()
	b.eventually("the end of the list", func() bool {
		return b.count(db, `SELECT count(*) FROM serve_target WHERE name = 'acme' AND ended > 0`) == 1
	})
	if n := b.count(db, `SELECT count(*) FROM serve_repo WHERE repo = 'o/r150'`); n != 1 || b.count(db, `SELECT count(*) FROM serve_repo`) != 201 {
		t.Errorf("%d of the one that moved, %d of 201", n, b.count(db, `SELECT count(*) FROM serve_repo`))
	}
}

// One secret under two cookie names is one incident, and one job in a batch.
func TestOneSecretUnderTwoNames(t *testing.T) {
	b := newBench(t, 10)
	b.fake.Repos = []*citest.Repo{{Name: "a", Runs: []*citest.Run{{ID: 1, Attempts: 1, Created: time.Now(), Logs: func(int) map[string]string {
		return map[string]string{"0_build.txt": lineOf(10) + strings.Replace(lineOf(10), "connect.sid", "sessionid", 1)}
	}}}}}
	b.start()
	db := b.db()
	b.eventually("a verdict", func() bool { return b.count(db, `SELECT count(*) FROM serve_credential WHERE state <> ''`) >= 1 })
	b.idle(db)
	if n := b.count(db, `SELECT count(*) FROM river_job WHERE errors IS NOT NULL`); n > 0 {
		t.Errorf("%d jobs failed: %s", n, b.logged())
	}
}

// A server that answers nothing to a probe is asked again, and the credential stays unknown.
func TestSilenceIsUnknownAndAskedAgain(t *testing.T) {
	b := newBench(t, 10)
	b.app.refuse = http.StatusBadGateway
	b.fake.Repos = []*citest.Repo{{Name: "a", Runs: []*citest.Run{{ID: 1, Attempts: 1, Created: time.Now(), Logs: leaking(10)}}}}
	b.start()
	db := b.db()
	b.eventually("a verdict", func() bool {
		return b.count(db, `SELECT count(*) FROM serve_credential WHERE state = 'unknown' AND reason = 'unreachable'`) == 1
	})
	b.app.mu.Lock()
	b.app.refuse = 0
	b.app.mu.Unlock()
	b.eventually("the answer", func() bool { return b.count(db, `SELECT count(*) FROM serve_credential WHERE state = 'live'`) == 1 })
	b.clean(db, session(10))
}

func TestSecondProcessOfAFileAndAnotherKeyAreRefused(t *testing.T) {
	b := newBench(t)
	b.fake.Repos = []*citest.Repo{{Name: "a"}}
	r := b.start()
	if err := Run(t.Context(), b.options()); err == nil || !strings.Contains(err.Error(), "another quell serve") {
		t.Errorf("a second process: %v", err)
	}
	r.stop()
	b.env["QUELL_FINGERPRINT_KEY"] = strings.Repeat("ab", 32)
	if err := Run(t.Context(), b.options()); err == nil || !strings.Contains(err.Error(), "fingerprint.key") {
		t.Errorf("another key: %v", err)
	}
}

func TestApplyNeedsAPolicy(t *testing.T) {
	b := newBench(t)
	b.head = "apply = true"
	if err := Check(b.options()); err != nil {
		t.Errorf("with a policy: %v", err)
	}
	if err := os.Remove(filepath.Join(b.home, "policy.toml")); err != nil {
		t.Fatal(err)
	}
	if err := Check(b.options()); err == nil {
		t.Error("without a policy nothing is wrong")
	}
	delete(b.env, "TOKEN")
	if err := Check(b.options()); err == nil || !strings.Contains(err.Error(), "target acme: token: the environment has no TOKEN") {
		t.Errorf("without the token: %v", err)
	}
}

// Arguments of jobs have names, numbers and fingerprints alone.
func TestArgumentsOfJobsAreNames(t *testing.T) {
	for _, args := range []any{EnumerateArgs{}, ScanArgs{}, ProbeArgs{}, KillArgs{}, RecheckArgs{}, NotifyArgs{}} {
		text, err := json.Marshal(args)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]any
		if err := json.Unmarshal(text, &fields); err != nil {
			t.Fatal(err)
		}
		for name := range fields {
			if !strings.Contains(" target repo what run attempt ref fingerprint hook event ", " "+name+" ") {
				t.Errorf("%T has the argument %q: is it a secret?", args, name)
			}
		}
	}
}
