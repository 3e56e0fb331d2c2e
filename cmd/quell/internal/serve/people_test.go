package serve

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/report"
)

// The sessions of a replaced token end, and another client's wrong guesses do not prevent a
// valid login.
func TestSessionsEndWithTheirToken(t *testing.T) {
	b := newBench(t)
	b.withPeople(0)
	b.head = strings.Replace(b.head, "apply = true", "", 1)
	r := b.start()
	p := signIn(t, r.url, aliceToken)
	id := p.jar.Cookies(mustURL(t, r.url))[0].Value
	r.stop()
	r = b.start()
	p = newPerson(t, r.url)
	if p.get("/", "Cookie", "quell="+id); p.code != http.StatusOK {
		t.Errorf("a restart ends the session: %d", p.code)
	}
	for range 30 {
		p.send(http.MethodPost, "/login", url.Values{"token": {"made-up-guess-of-a-login-token"}})
	}
	if p.code != http.StatusTooManyRequests {
		t.Errorf("guesses are not limited: %d", p.code)
	}
	signIn(t, r.url, bobToken)
	r.stop()
	b.env["ALICE"] = "made-up-login-token-that-replaces-it"
	r = b.start()
	p = newPerson(t, r.url)
	if p.get("/", "Cookie", "quell="+id); p.code != http.StatusSeeOther {
		t.Errorf("a session of the earlier token: %d", p.code)
	}
	b.clean(b.db(), aliceToken, bobToken, b.env["ALICE"])
}

// A process that ends between the last approval and its job leaves a plan that the next one starts.
func TestApprovedPlanIsSentAfterACrash(t *testing.T) {
	b := newBench(t, 10)
	b.withPeople(2)
	r, db, fp := oneLive(t, b, true)
	// A plan of another digest is not shown, so that no one approves an unseen plan.
	digest := ""
	if err := db.QueryRowContext(t.Context(), `SELECT digest FROM serve_proposal`).Scan(&digest); err != nil {
		t.Fatal(err)
	}
	alice := signIn(t, r.url, aliceToken)
	for _, d := range []string{strings.Repeat("0", 64), digest} {
		if _, err := db.ExecContext(t.Context(), `UPDATE serve_proposal SET digest = ?`, d); err != nil {
			t.Fatal(err)
		}
		if shown := strings.Contains(alice.get("/plans"), "POST "+b.app.URL+"/logout"); shown != (d == digest) {
			t.Errorf("plan %s: shown is %v", d, shown)
		}
	}
	r.stop()
	rt, err := b.options().Runtime(true, report.NewRedactor(), nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := rt.Ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	until := time.Now().Add(time.Hour)
	for _, who := range []string{"alice", "bob"} {
		err := l.Append(t.Context(), ledger.Entry{Incident: fp, Actor: who, Run: "serve", Body: ledger.Approval{Decision: ledger.Approve, Person: who, Method: "token", Plan: digest, Until: &until}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(l.Close(), rt.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	if !b.isLive(10) {
		t.Fatal("it was ended before it was approved")
	}
	b.start()
	b.eventually("the kill", func() bool {
		return b.count(db, `SELECT count(*) FROM serve_credential WHERE outcome = 'Confirmed'`) == 1
	})
}

// A login through a provider ends after recheck: the provider may have removed the person from a
// group. That of a token does not.
func TestRightsOfAProviderAreAskedAgain(t *testing.T) {
	for _, c := range []struct {
		recheck string
		age     time.Duration // of the login
		method  string
		code    int
	}{
		{"", 59 * time.Minute, "oidc", http.StatusOK},
		{"", 61 * time.Minute, "oidc", http.StatusSeeOther},
		{"", 6 * time.Hour, "token", http.StatusOK},
		{"recheck = \"5m\"\n", 4 * time.Minute, "oidc", http.StatusOK},
		{"recheck = \"5m\"\n", 6 * time.Minute, "oidc", http.StatusSeeOther},
	} {
		t.Run(c.method+" "+c.recheck+c.age.String(), func(t *testing.T) {
			b := newBench(t)
			b.withPeople(0)
			b.head = strings.NewReplacer("apply = true", "", "[web]\n", "[web]\nurl = \"http://localhost:8471\"\n[web.oidc]\nissuer = \"https://login.corp.example\"\nclient_id = \"quell\"\napprove = [\"group:leads\"]\n"+c.recheck).Replace(b.head)
			r := b.start()
			p := signIn(t, r.url, aliceToken)
			now := time.Now()
			if _, err := b.db().ExecContext(t.Context(), `UPDATE serve_session SET method = ?, created = ?, expires = ?`, c.method, now.Add(-c.age).UnixMilli(), now.Add(time.Hour).UnixMilli()); err != nil {
				t.Fatal(err)
			}
			if p.get("/incidents"); p.code != c.code {
				t.Errorf("%d, want %d", p.code, c.code)
			}
		})
	}
}
