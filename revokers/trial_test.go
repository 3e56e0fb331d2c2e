package revokers_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/interp"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// Five issuers of very different form are asked, ended and proven through the
// interfaces as they are: each is a rules file, or one Go type.

// trialFile is a rules file with the parts that a trial varies.
func trialRule(t *testing.T, probe, revoke string) *rules.Rule {
	t.Helper()
	set, err := rules.Load("trial.toml", []byte(`
[provider]
id = "trial"
name = "Trial"
docs = "https://trial.example/docs"
[[rules]]
id = "trial-token"
description = "Trial token"
regex = '''\b(tri_[0-9a-f]{32})\b'''
keywords = ["tri_"]
examples = ["tri_{hex:32}"]
lookalikes = ["tri_short"]
[rules.probe]
`+probe+`
[[rules.probe.when]]
status = [200]
json = { id = { present = true } }
then = "live"
keep = { id = "id" }
[[rules.probe.when]]
status = [401]
json = { code = "revoked_or_unknown" }
then = "dead"
source = "https://trial.example/docs/errors"
[[rules.revoke]]
id = "end"
tier = "self"
scope = "this_session"
grade = "P"
settle = "1s"
`+revoke))
	if err != nil {
		t.Fatal(err)
	}
	return set.Rules[0]
}

// service is an issuer over HTTPS whose tokens are in a set.
type service struct {
	mu   sync.Mutex
	live map[string]bool
	sent []string
	end  func(s *service, w http.ResponseWriter, r *http.Request, body string)
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, _ := io.ReadAll(r.Body)
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case r.Method == "GET" && r.URL.Path == "/me" && s.live[token]:
		_, _ = fmt.Fprint(w, `{"id":"u1"}`)
	case r.Method == "GET" && r.URL.Path == "/me":
		w.WriteHeader(401)
		_, _ = fmt.Fprint(w, `{"code":"revoked_or_unknown"}`)
	default:
		s.sent = append(s.sent, r.Method+" "+r.URL.Path)
		s.end(s, w, r, string(b))
	}
}

// trial makes n live targets of a rule at a service.
func trial(t *testing.T, s *service, r *rules.Rule, n int) []revokers.Target {
	t.Helper()
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	in := &issuer.Instance{Provider: "trial", URL: u, Operator: true, Admin: credential.NewSecretString("AC01:operator"), Settings: map[string]string{}}
	s.live = map[string]bool{}
	var out []revokers.Target
	for i := range n {
		secret := fmt.Sprintf("tri_%032x", 1000+i)
		s.live[secret] = true
		out = append(out, revokers.Target{Credential: credential.Credential{Ref: credential.Ref{Fingerprint: fmt.Sprintf("%032d", i), Rule: r.ID, Kind: r.Kind}, Secret: credential.NewSecretString(secret)}, Rule: r, Instance: in})
	}
	return out
}

// endAll asks, plans, sends and proves, as apply does.
func endAll(t *testing.T, v revokers.Verifier, k revokers.Revoker, ts []revokers.Target) {
	t.Helper()
	asker := &guard.Asker{}
	before := make([]revokers.Answer, len(ts))
	for i := range ts {
		endpoint := v.Endpoints(ts[i])[0]
		e, err := asker.Ask(t.Context(), v, ts[i], endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if got := revokers.Judge(ts[i], e); got.Liveness != revokers.Live {
			t.Fatalf("it is %s (%s): %s", got.Liveness, got.Reason, got.Detail)
		}
		ts[i].Seen, ts[i].Captures, before[i] = &revokers.Sighting{Endpoint: endpoint, Learned: e.Learned}, e.Answer.Captures, e.Answer
	}
	for part := range slices.Chunk(ts, k.Batch()) {
		effects, err := k.Plan(t.Context(), part)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range effects {
			for _, x := range part {
				if b, _ := json.Marshal(e); strings.Contains(string(b), x.Secret.Reveal()) {
					t.Errorf("the plan shows the secret: %s", b)
				}
			}
			intents := 0
			receipt, err := k.Send(t.Context(), part, e, func(final revokers.Effect) error {
				intents++
				if final.Method != e.Method || final.URL != e.URL || len(final.Elements) != len(part) {
					t.Errorf("the plan shows %s %s, sent is %s %s", e.Method, e.URL, final.Method, final.URL)
				}
				return nil
			})
			if err != nil || intents != 1 {
				t.Fatalf("%d intents, %v", intents, err)
			}
			for i := range part {
				if !receipt.Of(i).Accepted {
					t.Errorf("not accepted: %s", receipt.Of(i).Detail)
				}
			}
		}
	}
	p := &prove.Prover{Asker: asker, Verifier: v, Controls: &prove.Controls{}}
	for i, x := range ts {
		c := p.Confirm(t.Context(), prove.Kill{Target: x, Endpoint: x.Seen.Endpoint, Attempted: true, Sent: &revokers.Acknowledgement{Accepted: true}, Before: &before[i]}, prove.Schedule{Settle: time.Millisecond, Looks: 3})
		if c.Outcome != prove.Confirmed {
			t.Errorf("%s: %s", c.Outcome, c.Detail)
		}
	}
}

const bearer = `request = { method = "GET", path = "/me", header = { Authorization = "Bearer {token}" } }`

func TestTrialABatchOfTokens(t *testing.T) {
	s := &service{end: func(s *service, w http.ResponseWriter, _ *http.Request, body string) {
		var b struct{ Tokens []string }
		_ = json.Unmarshal([]byte(body), &b)
		for _, x := range b.Tokens {
			delete(s.live, x)
		}
		w.WriteHeader(202)
	}}
	r := trialRule(t, bearer, `batch = 3
request = { method = "POST", path = "/revoke", json = { tokens = ["{token}"] } }
accept = [202]`)
	endAll(t, interp.Probe{Doer: &issuer.Client{}}, interp.Revocation{Doer: &issuer.Client{}, Revoke: &r.Revokes[0]}, trial(t, s, r, 7))
	if len(s.sent) != 3 {
		t.Errorf("7 tokens in batches of 3: %v", s.sent)
	}
}

func TestTrialAnAccountInThePathWithBasic(t *testing.T) {
	s := &service{end: func(s *service, w http.ResponseWriter, r *http.Request, _ string) {
		if u, p, ok := r.BasicAuth(); !ok || u != "AC01" || p != "operator" {
			w.WriteHeader(403)
			return
		}
		clear(s.live)
		w.WriteHeader(204)
	}}
	r := trialRule(t, bearer, `needs = ["admin"]
request = { method = "DELETE", path = "/accounts/{admin.user}/keys/{id}", basic = ["{admin.user}", "{admin.password}"] }
accept = [204]`)
	endAll(t, interp.Probe{Doer: &issuer.Client{}}, interp.Revocation{Doer: &issuer.Client{}, Revoke: &r.Revokes[0]}, trial(t, s, r, 1))
	if !slices.Equal(s.sent, []string{"DELETE /accounts/AC01/keys/u1"}) {
		t.Errorf("%v", s.sent)
	}
}

func TestTrialListPickDelete(t *testing.T) {
	s := &service{end: func(s *service, w http.ResponseWriter, r *http.Request, _ string) {
		if r.Method == "GET" {
			_, _ = fmt.Fprint(w, `[{"id":"k1","hint":"00000000"},{"id":"k2","hint":"000003e8"}]`)
			return
		}
		clear(s.live)
		w.WriteHeader(204)
	}}
	r := trialRule(t, bearer, `accept = [204]
[[rules.revoke.step]]
request = { method = "GET", path = "/keys", header = { Authorization = "Bearer {token}" } }
status = [200]
pick = { where = "hint", equals = "{token.last8}", keep = { key = "id" } }
[rules.revoke.request]
method = "DELETE"
path = "/keys/{key}"
header = { Authorization = "Bearer {token}" }`)
	endAll(t, interp.Probe{Doer: &issuer.Client{}}, interp.Revocation{Doer: &issuer.Client{}, Revoke: &r.Revokes[0]}, trial(t, s, r, 1))
	if !slices.Equal(s.sent, []string{"GET /keys", "DELETE /keys/k2"}) {
		t.Errorf("%v", s.sent)
	}
}

// rowDelete ends a session by deleting its row in the application's database,
// which is a related instance of the target.
type rowDelete struct {
	open func(*issuer.Instance) *sql.DB
}

func (rowDelete) Batch() int { return 1 }

func (rowDelete) effect(t revokers.Target) revokers.Effect {
	return revokers.Effect{Name: "delete-row", Method: "SQL", URL: t.Related["sessions_db"].URL.String(), Body: json.RawMessage(`"DELETE FROM sessions WHERE token = {token}"`), Elements: []string{t.Fingerprint}}
}

func (d rowDelete) Plan(_ context.Context, ts []revokers.Target) ([]revokers.Effect, error) {
	return []revokers.Effect{d.effect(ts[0])}, nil
}

func (d rowDelete) Send(ctx context.Context, ts []revokers.Target, _ revokers.Effect, before func(revokers.Effect) error) (revokers.Receipt, error) {
	if err := before(d.effect(ts[0])); err != nil {
		return revokers.Receipt{}, err
	}
	res, err := d.open(ts[0].Related["sessions_db"]).ExecContext(ctx, "DELETE FROM sessions WHERE token = ?", ts[0].Secret.Reveal())
	if err != nil {
		return revokers.Receipt{}, err
	}
	n, err := res.RowsAffected()
	return revokers.All(1, revokers.Acknowledgement{Accepted: n == 1, At: time.Now()}), err
}

func TestTrialARowBehindAnHTTPSProbe(t *testing.T) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE sessions(token TEXT)"); err != nil {
		t.Fatal(err)
	}
	s := &service{}
	r := trialRule(t, bearer, `request = { method = "POST", path = "/never" }
accept = [204]`)
	ts := trial(t, s, r, 2)
	for i := range ts {
		if _, err := db.Exec("INSERT INTO sessions VALUES(?)", ts[i].Secret.Reveal()); err != nil {
			t.Fatal(err)
		}
		ts[i].Related = map[string]*issuer.Instance{"sessions_db": {Provider: "trial", URL: &url.URL{Scheme: "postgres", Host: "db.example", Path: "/app"}, Operator: true}}
	}
	// The application looks a session up in the table.
	app := fromTable{interp.Probe{Doer: &issuer.Client{}}, s, db}
	endAll(t, app, rowDelete{func(*issuer.Instance) *sql.DB { return db }}, ts)
	if len(s.sent) != 0 {
		t.Errorf("requests besides the probe: %v", s.sent)
	}
}

// fromTable copies the sessions of the table to the service before each probe.
type fromTable struct {
	interp.Probe
	s  *service
	db *sql.DB
}

func (f fromTable) Verify(ctx context.Context, t revokers.Target, endpoint string) (revokers.Answer, error) {
	var n int
	if err := f.db.QueryRowContext(ctx, "SELECT count(*) FROM sessions WHERE token = ?", t.Secret.Reveal()).Scan(&n); err != nil {
		return revokers.Answer{}, err
	}
	f.s.mu.Lock()
	f.s.live[t.Secret.Reveal()] = n == 1
	f.s.mu.Unlock()
	return f.Probe.Verify(ctx, t, endpoint)
}
