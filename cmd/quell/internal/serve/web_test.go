package serve

import (
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/scanners/ci/citest"
)

const (
	aliceToken = "made-up-login-token-of-alice-0001"
	bobToken   = "made-up-login-token-of-bob-000002"
	carolToken = "made-up-login-token-of-carol-0003"
	people     = `[web]
[[web.user]]
name = "alice"
token = "env:ALICE"
may = ["read", "approve"]
[[web.user]]
name = "bob"
token = "env:BOB"
may = ["read", "approve"]
[[web.user]]
name = "carol"
token = "env:CAROL"
may = ["read"]
`
)

// withPeople adds the web page, and a policy that asks for so many approvals.
func (b *bench) withPeople(approvals int) {
	b.t.Helper()
	b.env["ALICE"], b.env["BOB"], b.env["CAROL"] = aliceToken, bobToken, carolToken
	b.head += "\napply = true\n" + people
	file := filepath.Join(b.home, "policy.toml")
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, []byte(strings.Replace(string(text), "version = 1\n", fmt.Sprintf("version = 1\napprovals = %d\n", approvals), 1)), 0o600)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// person is a browser of a person.
type person struct {
	t    *testing.T
	url  string
	c    *http.Client
	jar  *cookiejar.Jar
	code int
	head http.Header
}

func newPerson(t *testing.T, url string) *person {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &person{t: t, url: url, jar: jar, c: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// send sends a request; form is the body of a POST, header are pairs.
func (p *person) send(method, path string, form url.Values, header ...string) string {
	p.t.Helper()
	q, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	if form != nil {
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			q.Host = header[i+1]
			continue
		}
		q.Header.Set(header[i], header[i+1])
	}
	r, err := p.c.Do(q)
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	p.code, p.head = r.StatusCode, r.Header
	return string(b)
}

// tries sends a form, and reports whether there was an answer.
func (p *person) tries(path string, form url.Values) bool {
	p.t.Helper()
	q, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r, err := p.c.Do(q)
	if err == nil {
		_ = r.Body.Close()
	}
	return err == nil
}

func (p *person) get(path string, header ...string) string {
	p.t.Helper()
	return p.send(http.MethodGet, path, nil, header...)
}

func signIn(t *testing.T, url, token string) *person {
	t.Helper()
	p := newPerson(t, url)
	p.send(http.MethodPost, "/login", map[string][]string{"token": {token}})
	if p.code != http.StatusSeeOther {
		t.Fatalf("the login answers %d", p.code)
	}
	return p
}

var field = regexp.MustCompile(`name="(csrf|digest)" value="([0-9a-f]+)"`)

// fields are the hidden fields of a page's forms.
func fields(page string) map[string]string {
	out := map[string]string{}
	for _, m := range field.FindAllStringSubmatch(page, -1) {
		out[m[1]] = m[2]
	}
	return out
}

func (p *person) decide(fp, what string) {
	p.t.Helper()
	f := fields(p.get("/incidents/" + fp))
	p.send(http.MethodPost, "/incidents/"+fp+"/decide", url.Values{"csrf": {f["csrf"]}, "digest": {f["digest"]}, "what": {what}, "reason": {"a made-up reason"}})
}

// oneLive starts a server that finds one live session, and returns its fingerprint.
func oneLive(t *testing.T, b *bench, proposal bool) (r *running, db *sql.DB, fp string) {
	t.Helper()
	b.fake.Repos = []*citest.Repo{{Name: "a", Runs: []*citest.Run{{ID: 1, Attempts: 1, Created: time.Now(), Logs: leaking(10)}}}}
	r, db = b.start(), b.db()
	query := `SELECT count(*) FROM serve_credential WHERE state = 'live'`
	if proposal {
		query = `SELECT count(*) FROM serve_proposal`
	}
	b.eventually("a live session", func() bool { return b.count(db, query) == 1 })
	b.idle(db)
	if err := db.QueryRowContext(t.Context(), `SELECT fingerprint FROM serve_credential`).Scan(&fp); err != nil {
		t.Fatal(err)
	}
	return r, db, fp
}

func (b *bench) isLive(n int) bool {
	b.app.mu.Lock()
	defer b.app.mu.Unlock()
	return b.app.live[session(n)]
}

func TestPlanIsSentOnceTwoPeopleApproveIt(t *testing.T) {
	b := newBench(t, 10)
	b.withPeople(2)
	r, db, fp := oneLive(t, b, true)
	alice, bob, carol := signIn(t, r.url, aliceToken), signIn(t, r.url, bobToken), signIn(t, r.url, carolToken)
	if page := alice.get("/plans"); !strings.Contains(page, "0 of 2") || !strings.Contains(page, "POST "+b.app.URL+"/logout") {
		t.Errorf("the plan shows no request: %s", page)
	}
	alice.decide(fp, "approve")
	if alice.code != http.StatusSeeOther {
		t.Errorf("alice: %d", alice.code)
	}
	// The same person again, in a second session and by the API, adds nothing.
	again := signIn(t, r.url, aliceToken)
	digest := ""
	if err := db.QueryRowContext(t.Context(), `SELECT digest FROM serve_proposal`).Scan(&digest); err != nil {
		t.Fatal(err)
	}
	f := fields(again.get("/plans"))
	again.send(http.MethodPost, "/incidents/"+fp+"/decide", url.Values{"csrf": {f["csrf"]}, "digest": {digest}, "what": {"approve"}})
	api := newPerson(t, r.url)
	q, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/api/v1/incidents/"+fp+"/approve", strings.NewReader(`{"digest":"`+digest+`"}`))
	q.Header.Set("Authorization", "Bearer "+aliceToken)
	q.Header.Set("Content-Type", "application/json")
	if a, err := api.c.Do(q); err != nil || a.StatusCode != 200 {
		t.Errorf("the API: %v %v", a, err)
	} else {
		_ = a.Body.Close()
	}
	// One who may only read, and an approval of another plan.
	cf := fields(carol.get("/incidents/" + fp))
	carol.send(http.MethodPost, "/incidents/"+fp+"/decide", url.Values{"csrf": {cf["csrf"]}, "digest": {digest}, "what": {"approve"}})
	if carol.code != http.StatusForbidden {
		t.Errorf("carol: %d", carol.code)
	}
	bf := fields(bob.get("/incidents/" + fp))
	bob.send(http.MethodPost, "/incidents/"+fp+"/decide", url.Values{"csrf": {bf["csrf"]}, "digest": {strings.Repeat("0", 64)}, "what": {"approve"}})
	if bob.code != http.StatusConflict {
		t.Errorf("another digest: %d", bob.code)
	}
	b.idle(db)
	if !b.isLive(10) || b.count(db, `SELECT count(*) FROM ledger WHERE type = 'approval'`) != 1 || b.count(db, `SELECT count(*) FROM ledger WHERE type = 'intent'`) != 0 {
		t.Fatal("one person was enough")
	}
	bob.decide(fp, "approve")
	b.eventually("the kill", func() bool {
		return b.count(db, `SELECT count(*) FROM serve_credential WHERE outcome = 'Confirmed'`) == 1
	})
	b.idle(db)
	if b.isLive(10) || b.count(db, `SELECT count(*) FROM serve_proposal`) != 0 {
		t.Error("the session is live, or the plan still waits")
	}
	story := alice.get("/incidents/" + fp)
	for _, want := range []string{"time to dead", "alice approves plan " + digest[:12], "bob approves plan " + digest[:12], "Proven dead", "Confirmed"} {
		if !strings.Contains(story, want) {
			t.Errorf("the story has no %q", want)
		}
	}
	bob.decide(fp, "approve")
	if bob.code != http.StatusConflict {
		t.Errorf("an approval of what was done: %d", bob.code)
	}
	b.clean(db, session(10), aliceToken, bobToken, carolToken)
	for _, k := range alice.jar.Cookies(mustURL(t, r.url)) {
		if strings.Contains(dumpOf(t, db, ledger.Remote(b.state)), k.Value) {
			t.Error("a session's id is in the database")
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

func mustURL(t *testing.T, text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// A hold stops a plan that was approved, and one that needs no approval; a release goes on.
func TestHoldStopsAnIncidentUntilItIsReleased(t *testing.T) {
	b := newBench(t, 10)
	b.withPeople(1)
	r, db, fp := oneLive(t, b, true)
	alice, bob := signIn(t, r.url, aliceToken), signIn(t, r.url, bobToken)
	bob.decide(fp, "hold")
	b.idle(db)
	alice.decide(fp, "approve")
	b.idle(db)
	if !b.isLive(10) {
		t.Fatal("a held incident was ended")
	}
	if page := alice.get("/incidents/" + fp); !strings.Contains(page, "Held by bob: a made-up reason") {
		t.Error("the page does not name who holds it")
	}
	alice.decide(fp, "release")
	b.eventually("the kill", func() bool {
		return b.count(db, `SELECT count(*) FROM serve_credential WHERE outcome = 'Confirmed'`) == 1
	})
	b.idle(db)
	// A hold on what is dead changes nothing of its outcome.
	alice.decide(fp, "hold")
	b.idle(db)
	if b.count(db, `SELECT count(*) FROM serve_credential WHERE outcome = 'Confirmed' AND state = 'dead'`) != 1 {
		t.Error("a hold changed the outcome of a dead session")
	}
}

// The page is not there unless the configuration has people who may sign in.
func TestNoPageWithoutPeople(t *testing.T) {
	b := newBench(t)
	b.fake.Repos = []*citest.Repo{{Name: "a"}}
	r := b.start()
	p := newPerson(t, r.url)
	for _, path := range []string{"/", "/login", "/api/v1/summary", "/api/openapi.json"} {
		if p.get(path); p.code != http.StatusNotFound {
			t.Errorf("%s: %d", path, p.code)
		}
	}
}
