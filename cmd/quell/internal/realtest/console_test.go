package realtest

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/quellhq/quell/scanners/ci/citest"
)

// console is a browser of one person.
type console struct {
	t      *testing.T
	ctx    context.Context
	url    string
	shots  string
	axe    string
	mu     sync.Mutex
	errors []string
}

// chromium starts a browser.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("google-chrome")
	if err != nil {
		path = need(t, "chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1360, 900), chromedp.WSURLReadTimeout(time.Minute))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("chromium: %v", err)
	}
	return ctx
}

// newConsole opens a window with cookies of its own.
func newConsole(t *testing.T, browser context.Context, url, shots, axe string) *console {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	c := &console{t: t, ctx: ctx, url: url, shots: shots, axe: axe}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	err := chromedp.Listen(ctx, func(e any) {
		var x cdplog.EventEntryAdded
		switch e := e.(type) {
		case cdplog.EventEntryAdded:
			x = e
		case *cdplog.EventEntryAdded:
			x = *e
		default:
			return
		}
		// A violation of a page's policy is an error in the browser's log.
		if (x.Entry.Level == cdplog.EntryLevelError || x.Entry.Source == cdplog.EntrySourceSecurity) && !strings.Contains(x.Entry.URL, "favicon") {
			c.mu.Lock()
			c.errors = append(c.errors, fmt.Sprintf("%s: %s %s", x.Entry.Source, x.Entry.Text, x.Entry.URL))
			c.mu.Unlock()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, cdplog.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	return c
}

// do runs actions within a minute.
func (c *console) do(actions ...chromedp.Action[chromedp.Void]) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		c.t.Fatal(err)
	}
}

// got runs an action with a result.
func got[T any](c *console, a chromedp.Action[T]) T {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, time.Minute)
	defer cancel()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		c.t.Fatal(err)
	}
	return v
}

// text is the visible text of the page. A script reads it: an element's id in the browser's
// protocol may be of the previous document for a moment after a page was loaded.
func (c *console) text() string {
	c.t.Helper()
	return got(c, chromedp.Poll[string](`document.readyState === "complete" && document.body.innerText`))
}

// leads runs an action and waits for the page that follows.
func (c *console) leads(a chromedp.Action[chromedp.Void]) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, time.Minute)
	defer cancel()
	_, err := chromedp.RunResponse(ctx, a)
	for n := 0; n < 3 && err != nil && strings.Contains(err.Error(), "No node with given id"); n++ {
		_, err = chromedp.RunResponse(ctx, a) // nothing was clicked
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// look takes a screenshot of a page in both colour schemes, and runs axe-core to find
// accessibility problems.
func (c *console) look(name, path string) {
	c.t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		if _, err := chromedp.Call(c.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}); err != nil {
			c.t.Fatal(err)
		}
		c.do(chromedp.Navigate(c.url+path), chromedp.WaitReady(chromedp.CSS("main")))
		picture := got(c, chromedp.FullScreenshot(100))
		c.do(chromedp.Evaluate[chromedp.Void](c.axe))
		found := got(c, chromedp.Evaluate[string](`axe.run(document, {preload: false, resultTypes: ['violations']}).then(r => JSON.stringify(r.violations.map(v => [v.impact, v.id, v.nodes.map(n => n.target.join(' ') + ' ' + n.failureSummary).slice(0, 3)])))`, chromedp.EvalAwaitPromise))
		if err := os.WriteFile(filepath.Join(c.shots, name+"-"+scheme+".png"), picture, 0o600); err != nil {
			c.t.Fatal(err)
		}
		var list [][]any
		if err := json.Unmarshal([]byte(found), &list); err != nil {
			c.t.Fatalf("%v: %s", err, found)
		}
		for _, v := range list {
			c.t.Errorf("%s in %s: %v", path, scheme, v)
		}
	}
}

// Two people approve a plan in a real browser, one signed in with a token and one at a real OpenID
// provider; no page breaks its own policy, and axe-core finds nothing in light and dark.
func TestConsoleInChromium(t *testing.T) {
	axe, err := os.ReadFile(need(t, filepath.Join(servers, "node/node_modules/axe-core/axe.min.js")))
	if err != nil {
		t.Fatal(err)
	}
	const token, alice = "made-up-token-of-the-api-4711", "made-up-login-token-of-alice-0001"
	app := &sessionApp{live: map[string]bool{serveSession(1): true}, ended: map[string]int{}}
	site := httptest.NewServer(app)
	t.Cleanup(site.Close)
	fake := citest.NewGitHub(t, "o", token)
	fake.Repos = []*citest.Repo{{Name: "shop", Runs: []*citest.Run{{ID: 1, Attempts: 1, Created: time.Now(), Logs: func(int) map[string]string {
		return map[string]string{"0_build.txt": "2026-11-01T10:00:00.0000000Z Cookie: connect.sid=" + serveSession(1) + "\n"}
	}}}}, {Name: "vault", Refuse: http.StatusForbidden}}
	// A real provider.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	issuer := "http://localhost:" + port + "/"
	listen := freePort(t)
	url := "http://localhost:" + listen
	storage.RegisterClients(storage.WebClient("console", "made-up-client-secret", url+"/login/callback"))
	provider := &http.Server{Handler: exampleop.SetupServer(issuer, storage.NewStorage(storage.NewUserStore(issuer)), slog.New(slog.NewTextHandler(io.Discard, nil)), false)}
	go func() { _ = provider.Serve(l) }()
	t.Cleanup(func() { _ = provider.Close() })

	o := newOperator(t)
	o.secrets = []string{token, alice, serveSession(1), "made-up-client-secret"}
	o.env["TOKEN"], o.env["ALICE"], o.env["OIDC"] = token, alice, "made-up-client-secret"
	o.policy(fmt.Sprintf("approvals = 2\n[[instance]]\nprovider = \"express\"\nurl = %q\nown = true\nprobe_path = \"/me\"\nlogout_path = \"/logout\"\nsettle = \"1ms\"\n", site.URL))
	config := o.file("serve.toml", fmt.Sprintf(`version = 1
apply = true
[web]
url = %q
[[web.user]]
name = "alice"
token = "env:ALICE"
may = ["read", "approve"]
[web.oidc]
issuer = %q
client_id = "console"
client_secret = "env:OIDC"
approve = ["test-user@zitadel.ch"]
[[target]]
name = "acme"
system = "github"
url = %q
of = ["o"]
token = "env:TOKEN"
`, url, issuer, fake.Address()))
	process, out := o.start("serve", "--config", config, "--listen", "127.0.0.1:"+listen)
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
		o.clean(out.String())
	})
	db, err := sql.Open("sqlite", "file:"+filepath.Join(o.dir, "state", "quell", "ledger.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	wait := func(query string) {
		t.Helper()
		n := 0
		for end := time.Now().Add(time.Minute); n == 0; time.Sleep(50 * time.Millisecond) {
			_ = db.QueryRowContext(t.Context(), query).Scan(&n)
			if time.Now().After(end) {
				t.Fatalf("%s\n%s", query, out.String())
			}
		}
	}
	wait(`SELECT count(*) FROM serve_proposal`)
	fp := ""
	if err := db.QueryRowContext(t.Context(), `SELECT fingerprint FROM serve_proposal`).Scan(&fp); err != nil {
		t.Fatal(err)
	}
	shots := os.Getenv("QUELL_SCREENSHOTS")
	if shots == "" {
		shots = t.TempDir()
	}
	browser := chromium(t)
	a, b := newConsole(t, browser, url, shots, string(axe)), newConsole(t, browser, url, shots, string(axe))

	// Alice signs in with the keyboard alone, and comes back to the page that she opened.
	a.look("login", "/login")
	a.do(chromedp.Navigate(url+"/incidents/"+fp), chromedp.SendKeys(chromedp.CSS("#token"), alice))
	a.leads(chromedp.KeyEvent(kb.Enter))
	if text := a.text(); !strings.Contains(text, "Plan that waits for approval") {
		t.Fatalf("after the login: %s", text)
	}
	a.do(chromedp.KeyEvent(kb.Tab))
	if where := got(a, chromedp.Evaluate[string](`document.activeElement.className`)); where != "skip" {
		t.Errorf("the first stop of the keyboard is %q", where)
	}
	a.look("plan", "/incidents/"+fp)
	a.look("plans", "/plans")
	a.do(chromedp.Navigate(url + "/incidents/" + fp))
	a.leads(chromedp.Click(chromedp.CSS("button.go")))
	if text := a.text(); !strings.Contains(text, "You approved this plan; 1 more must") {
		t.Errorf("after the first approval: %s", text)
	}
	// The second person signs in at the provider.
	b.do(chromedp.Navigate(url + "/login"))
	b.leads(chromedp.Click(chromedp.CSS("a.button")))
	b.do(chromedp.SendKeys(chromedp.CSS("#username"), "test-user@localhost"), chromedp.SendKeys(chromedp.CSS("#password"), "verysecure"))
	b.leads(chromedp.Click(chromedp.CSS("button[type=submit]")))
	b.do(chromedp.Navigate(url + "/plans"))
	if text := b.text(); !strings.Contains(text, "test-user@zitadel.ch") || !strings.Contains(text, "1 of 2") {
		t.Fatalf("the second person: %s", text)
	}
	b.leads(chromedp.Click(chromedp.CSS("button.go")))
	wait(`SELECT count(*) FROM serve_credential WHERE outcome = 'Confirmed'`)
	app.mu.Lock()
	if app.ended[serveSession(1)] != 1 {
		t.Errorf("the session was ended %d times", app.ended[serveSession(1)])
	}
	app.mu.Unlock()
	wait(`SELECT count(*) FROM ledger WHERE type = 'approval' AND body LIKE '%"method":"oidc","subject":"%'`)
	a.look("incident", "/incidents/"+fp)
	if text := a.text(); !strings.Contains(text, "time to dead") || !strings.Contains(text, "test-user@zitadel.ch approves plan") {
		t.Errorf("the story: %s", text)
	}
	// More rows, so that the pictures show what an organisation sees.
	for i, row := range [][]any{{"github-pat", "github", "ghp_…k3Qz", "live", "", "api.github.com", 1}, {"slack-bot-token", "slack", "xoxb…9fA1", "live", "StillAlive", "slack.com", 0}, {"aws-access-key", "aws", "AKIA…7Q2M", "live", "Held", "sts.amazonaws.com", 1}, {"npm-token", "npm", "npm_…Zr0P", "unknown", "", "registry.example", 0}, {"gitlab-pat", "gitlab", "glpa…x8Lm", "dead", "", "gitlab.corp.example", 0}, {"jwt", "", "eyJh…\u202etxt", "", "", "", 0}} {
		at := time.Now().Add(-time.Duration(i*i*5+2) * time.Hour).UnixMilli()
		if _, err := db.ExecContext(t.Context(), `INSERT INTO serve_credential SELECT ?, ?, ?, ?, ref, sealed, target, ?, ?, ?, ?, ?, 'made_up', '', ?, ?, ?, ?, ? FROM serve_credential WHERE fingerprint = ?`,
			fmt.Sprintf("%064d", i), row[0], row[1], row[2], row[6], 1+i*3, at, at, row[3], row[5], at, at, row[4], at, fp); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"overview /", "incidents /incidents", "held /incidents?status=held", "coverage /coverage", "blind /coverage?show=gaps", "queue /queue", "search /search?q=github", "missing /no/such"} {
		name, path, _ := strings.Cut(path, " ")
		if a.look(name, path); name != "missing" && !strings.Contains(a.text(), "quell") {
			t.Errorf("%s is empty", path)
		}
	}
	a.do(chromedp.Navigate(url + "/"))
	if scripts := got(a, chromedp.Evaluate[int](`document.scripts.length + document.querySelectorAll('[style]').length`)); scripts != 0 {
		t.Errorf("%d scripts or styles are in a page", scripts)
	}
	// A narrow window has no content outside of it.
	a.do(chromedp.EmulateViewport(380, 800), chromedp.Navigate(url+"/"))
	if wide := got(a, chromedp.Evaluate[int](`document.documentElement.scrollWidth`)); wide > 380 {
		t.Errorf("a window of 380 has content of %d", wide)
	}
	for _, c := range []*console{a, b} {
		c.mu.Lock()
		for _, e := range c.errors {
			if !strings.Contains(e, "404") {
				t.Errorf("the browser's log: %s", e)
			}
		}
		c.mu.Unlock()
	}
	// The value of the dead session can be deleted; the evidence stays.
	_ = process.Process.Kill()
	_ = process.Wait()
	o.quell(0, "ledger", "--forget", fp[:10], "--reason", "made up")
	var sealed string
	if err := db.QueryRowContext(t.Context(), `SELECT sealed FROM serve_credential WHERE fingerprint = ?`, fp).Scan(&sealed); err != nil || sealed != "" {
		t.Errorf("the value is kept: %v", err)
	}
	if story := o.quell(0, "ledger", fp); !strings.Contains(story, "sealed_value") || !strings.Contains(story, "alice approves plan") {
		t.Errorf("the ledger: %s", story)
	}
	o.quell(0, "ledger", "--purge", "1d")
	o.quell(0, "ledger", "--verify")
}
