package realtest

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
	"github.com/quellhq/quell/scanners/ci/citest"
)

// serveSession is the n-th made-up session of the application.
func serveSession(n int) string {
	a, b := sha256.Sum256([]byte(fmt.Sprint("id", n))), sha256.Sum256([]byte(fmt.Sprint("signature", n)))
	return "s%3A" + base64.RawURLEncoding.EncodeToString(a[:24]) + "." + strings.NewReplacer("-", "a", "_", "b").Replace(base64.RawURLEncoding.EncodeToString(b[:]))
}

// sessionApp is a web application with sessions.
type sessionApp struct {
	mu    sync.Mutex
	live  map[string]bool
	ended map[string]int
}

// ServeHTTP implements http.Handler.
func (a *sessionApp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, _ := r.Cookie("connect.sid")
	switch {
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

// Three processes share a PostgreSQL database. They are killed at random moments and the server
// is restarted; no run is lost, no session is ended twice, and the ledger is whole.
func TestServeOnPostgres(t *testing.T) {
	const token = "made-up-token-of-the-api-4711"
	address, db, restart := postgresLedger(t)
	app := &sessionApp{live: map[string]bool{}, ended: map[string]int{}}
	site := httptest.NewServer(app)
	t.Cleanup(site.Close)
	fake := citest.NewGitHub(t, "o", token)
	leaks, live := 0, 0
	var secrets []string
	for i := range 10 {
		r := &citest.Repo{Name: fmt.Sprintf("r%d", i)}
		for n := 10; n > 0; n-- {
			id := 100*i + n
			x := &citest.Run{ID: int64(id), Attempts: 1, Created: time.Now().Add(-time.Duration(n) * time.Minute), Logs: func(int) map[string]string {
				return map[string]string{"0_build.txt": "2026-11-01T10:00:00.0000000Z nothing\n"}
			}}
			if n%3 == 0 {
				leaks++
				secrets = append(secrets, serveSession(id))
				x.Logs = func(int) map[string]string {
					return map[string]string{"0_build.txt": "2026-11-01T10:00:00.0000000Z Cookie: connect.sid=" + serveSession(id) + "\n"}
				}
				if id%2 == 0 {
					live++
					app.live[serveSession(id)] = true
				}
			}
			r.Runs = append(r.Runs, x)
		}
		fake.Repos = append(fake.Repos, r)
	}
	first := newOperator(t)
	first.secrets = append(secrets, token)
	worker := func(o *operator) {
		o.env["TOKEN"], o.env["QUELL_STATE"] = token, address
		o.policy(fmt.Sprintf("[kill]\nmax = 1000\n[[instance]]\nprovider = \"express\"\nurl = %q\nown = true\nprobe_path = \"/me\"\nlogout_path = \"/logout\"\nsettle = \"1ms\"\n", site.URL))
		o.file("serve.toml", fmt.Sprintf("version = 1\napply = true\n[[target]]\nname = \"acme\"\nsystem = \"github\"\nurl = %q\nof = [\"o\"]\ntoken = \"env:TOKEN\"\n", fake.Address()))
	}
	worker(first)
	first.quell(0, "ledger", "--verify") // makes the keys
	workers := []*operator{first}
	for range 2 {
		o := newOperator(t)
		o.secrets = first.secrets
		worker(o)
		if err := os.MkdirAll(filepath.Join(o.dir, "state", "quell"), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"fingerprint.key", "identity.txt", "sign.key"} {
			b, err := os.ReadFile(filepath.Join(first.dir, "state", "quell", name))
			if err == nil {
				err = os.WriteFile(filepath.Join(o.dir, "state", "quell", name), b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		workers = append(workers, o)
	}
	type process struct {
		c   *exec.Cmd
		out *bytes.Buffer
	}
	running := make([]process, len(workers))
	start := func(i int) {
		c, out := workers[i].start("serve", "--config", filepath.Join(workers[i].dir, "serve.toml"), "--listen", "127.0.0.1:0")
		running[i] = process{c, out}
	}
	kill := func(i int) {
		_ = running[i].c.Process.Kill()
		_ = running[i].c.Wait()
		workers[i].clean(running[i].out.String())
	}
	for i := range workers {
		start(i)
	}
	t.Cleanup(func() {
		for i := range running {
			kill(i)
		}
	})
	random := rand.New(rand.NewPCG(3, 4))
	for n := range 10 {
		time.Sleep(time.Duration(300+random.IntN(900)) * time.Millisecond)
		i := random.IntN(len(workers))
		kill(i)
		if n == 5 {
			restart()
		}
		start(i)
	}
	count := func(query string) (n int) {
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			err := db.QueryRowContext(t.Context(), query).Scan(&n)
			if err == nil {
				return n
			}
			if time.Now().After(end) {
				t.Fatalf("%s: %v\n%s", query, err, running[0].out.String())
			}
		}
	}
	const done = `SELECT (SELECT count(*) FROM serve_credential WHERE state <> '') + (SELECT count(*) FROM serve_credential WHERE outcome = 'Confirmed')`
	ended := time.Now()
	for end := ended.Add(90 * time.Second); count(done) != leaks+live; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d\n%s\n%s", count(done), leaks+live, groups(t, db), running[0].out.String())
		}
	}
	t.Logf("%d leaks, %d sessions ended, %s after the last kill", leaks, live, time.Since(ended).Round(time.Second))
	app.mu.Lock()
	if len(app.ended) != live {
		t.Errorf("%d of %d sessions were ended", len(app.ended), live)
	}
	for s, n := range app.ended {
		if n != 1 {
			t.Errorf("%s… was ended %d times", s[:8], n)
		}
	}
	app.mu.Unlock()
	for _, r := range fake.Repos {
		for _, x := range r.Runs {
			if fake.Stored()[fmt.Sprintf("logs/%s/%d/1", r.Name, x.ID)] == 0 {
				t.Errorf("run %d of %s was not read", x.ID, r.Name)
			}
		}
	}
	// A machine with keys of its own is refused.
	other := newOperator(t)
	worker(other)
	c, out := other.start("serve", "--config", filepath.Join(other.dir, "serve.toml"), "--listen", "")
	if err := c.Wait(); err == nil || !strings.Contains(out.String(), "fingerprint.key") {
		t.Errorf("a machine with other keys: %v %s", err, out)
	}
	for i := range running {
		kill(i)
	}
	first.quell(0, "ledger", "--verify")
	for _, secret := range first.secrets {
		for _, table := range []string{"river_job", "serve_credential", "serve_repo", "serve_target", "ledger", "memory", "sealed", "serve_plan"} {
			if n := count(fmt.Sprintf(`SELECT count(*) FROM %s AS x WHERE strpos(x::text, '%s') > 0`, table, strings.TrimPrefix(secret, "s%3A"))); n > 0 {
				t.Errorf("a secret is in the table %s", table)
			}
		}
	}
}

// groups counts credentials and jobs by what became of them.
func groups(t *testing.T, db *sql.DB) string {
	t.Helper()
	var out strings.Builder
	for _, q := range []string{`SELECT state || ' ' || reason || ' ' || outcome || ' ' || detail, count(*) FROM serve_credential GROUP BY 1`,
		`SELECT kind || ' ' || state || ' ' || attempt || ' ' || coalesce(errors[array_upper(errors, 1)]::text, ''), count(*) FROM river_job GROUP BY 1`} {
		rows, err := db.QueryContext(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var s string
			var n int
			if err := rows.Scan(&s, &n); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "%d %s\n", n, s)
		}
		_ = rows.Close()
	}
	return out.String()
}

// The time by which workers agree is the server's, whatever the time zone of a session is.
func TestTimeOfTheStoreIsThatOfPostgres(t *testing.T) {
	address, db, _ := postgresLedger(t)
	for _, zone := range []string{"UTC", "Asia/Tokyo"} {
		s, err := store.Open(t.Context(), address+"&timezone="+zone)
		if err != nil {
			t.Fatal(err)
		}
		var before, after float64
		const now = `SELECT extract(epoch FROM clock_timestamp())`
		if err := db.QueryRowContext(t.Context(), now).Scan(&before); err != nil {
			t.Fatal(err)
		}
		got, err := s.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := db.QueryRowContext(t.Context(), now).Scan(&after); err != nil {
			t.Fatal(err)
		}
		if at := float64(got.UnixMicro()) / 1e6; at < before-0.001 || at > after+0.001 {
			t.Errorf("in %s: %f is not between %f and %f", zone, at, before, after)
		}
		if err := s.Beat(t.Context(), "w", "host", got.Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.TakeOver(t.Context(), "self", got); err != nil {
			t.Fatal(err)
		}
		var workers int
		if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM serve_worker`).Scan(&workers); err != nil || workers != 0 {
			t.Errorf("in %s: %d workers that are gone are left, %v", zone, workers, err)
		}
		err = s.Update(t.Context(), func(tx *store.Tx) error {
			for _, n := range []int64{1, 2} {
				if err := tx.Missed("t", "o/a", "runs", "1", n, "why", got); err != nil {
					return err
				}
			}
			list, err := tx.Unread("t", "o/a", "runs", got.Add(-time.Minute))
			if err == nil && len(list) != 1 {
				t.Errorf("%q", list)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Cursor(t.Context(), "t"); err != nil {
			t.Fatal(err)
		}
		if list, err := s.Targets(t.Context()); err != nil || len(list) != 1 || list[0].Gaps != 2 {
			t.Errorf("%+v, %v", list, err)
		}
		s.Close()
	}
}
