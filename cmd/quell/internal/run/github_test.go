package run

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/natives"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// account is who a token of the fake belongs to.
type account struct {
	Login string `json:"login"`
	ID    int    `json:"id"`
	Name  string `json:"name"`
}

var octocat = account{"octocat", 7, "Mona"}

// github is a fake that obeys the published contract of the calls that quell
// makes (testdata/contracts/github.json).
type github struct {
	mu      sync.Mutex
	live    map[string]account
	revokes [][]string
	down    bool // answers 503
	deaf    bool // accepts revocations and does nothing
	broken  bool // closes the connection after it has revoked
	limit   int  // how many revocations are refused with 429
	refused int  // those that were
	revoked func()
}

func (g *github) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	answer := func(status int, v any) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	switch {
	case g.down:
		answer(503, nil)
	case r.Method == "GET" && r.URL.Path == "/user":
		if u, ok := g.live[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]; ok {
			answer(200, u)
		} else {
			answer(401, map[string]any{"message": "Bad credentials"})
		}
	case r.Method == "POST" && r.URL.Path == "/credentials/revoke" && r.Header.Get("Authorization") == "":
		if g.refused < g.limit {
			g.refused++
			w.Header().Set("Retry-After", "0")
			answer(429, nil)
			return
		}
		var b struct{ Credentials []string }
		if json.NewDecoder(r.Body).Decode(&b) != nil || len(b.Credentials) == 0 {
			answer(422, nil)
			return
		}
		g.revokes = append(g.revokes, b.Credentials)
		if g.revoked != nil {
			g.revoked()
		}
		for _, c := range b.Credentials {
			if !g.deaf {
				delete(g.live, c)
			}
		}
		if g.broken {
			panic(http.ErrAbortHandler)
		}
		answer(202, map[string]any{})
	default:
		answer(403, nil)
	}
}

func (g *github) set(f func(g *github)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f(g)
}

// requests are the credentials of each revocation that arrived.
func (g *github) requests() [][]string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.revokes)
}

// bench is an installation of quell and an issuer.
type bench struct {
	t       *testing.T
	issuer  *github
	random  *rand.ChaCha8
	set     *rules.Set
	creds   []credential.Credential
	in      *issuer.Instance
	planner *Planner
	applier *Applier
	path    string
	state   string // folder for checkpoint files
	id      *age.X25519Identity
}

var signKey = ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize)))

// githubRules are the built-in rules of GitHub, usable at any instance.
func githubRules(t *testing.T) *rules.Set {
	t.Helper()
	all, err := rules.Files()
	if err != nil {
		t.Fatal(err)
	}
	set, err := rules.Load("github.toml", all["github.toml"])
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range set.Rules {
		for i := range r.Revokes {
			r.Revokes[i].Only = nil // the real call is limited to GitHub's own host
		}
	}
	return set
}

// setup makes n live tokens at a fake GitHub that the operator named.
func setup(t *testing.T, n int) *bench {
	t.Helper()
	return setupAt(t, n, filepath.Join(t.TempDir(), "ledger.db"), 1)
}

// setupAt is setup with a ledger at a path or address, and tokens that depend on a
// seed.
func setupAt(t *testing.T, n int, path string, seed byte) *bench {
	t.Helper()
	b := &bench{t: t, issuer: &github{live: map[string]account{}}, set: githubRules(t), random: rand.NewChaCha8([32]byte{seed, byte(len(path))}), path: path, state: t.TempDir()}
	srv := httptest.NewServer(b.issuer)
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	control := issuer.Control{Secret: credential.NewSecretString(b.token())}
	b.issuer.live[control.Secret.Reveal()] = octocat
	b.in = &issuer.Instance{Provider: "github", URL: u, Operator: true, Controls: []issuer.Control{control}, Settle: 60 * time.Millisecond, Settings: map[string]string{}}
	for range n {
		b.leak(octocat)
	}
	if b.id, err = age.GenerateX25519Identity(); err != nil {
		t.Fatal(err)
	}
	b.planner, b.applier = b.installation(ours(srv.URL), issuer.Instances{b.in})
	return b
}

// ours is the policy under which the tokens of octocat at an instance may be ended.
func ours(address string) *policy.Policy {
	return &policy.Policy{Version: 1, Own: []policy.Own{{Provider: "github", URL: address, Identity: []string{"octocat", "7"}}}}
}

// installation is a planner and an applier with a ledger of their own
// connection to the one file.
func (b *bench) installation(pol *policy.Policy, list issuer.Instances) (*Planner, *Applier) {
	b.t.Helper()
	led, err := ledger.Open(b.t.Context(), b.path, ledger.Options{Key: signKey, State: b.state})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = led.Close() })
	to := []age.Recipient{b.id.Recipient()}
	registry := natives.New(natives.Config{Doer: &issuer.Client{}, Key: []byte("key")})
	canary := pol.Canary()
	checker := &Checker{Set: b.set, Instances: list, Verifier: registry, Asker: &guard.Asker{}, Canary: func(c credential.Credential) bool { return canary(c.Fingerprint) }}
	p := &Planner{Set: b.set, Registry: registry, Policy: pol, Own: guard.NewOwn(OwnSecrets(b.set, list, func(string) string { return "" })), Sealer: config.NewSealer(to), Redactor: report.NewRedactor()}
	return p, &Applier{
		Planner: p, Checker: checker, Prover: &prove.Prover{Asker: checker.Asker, Verifier: registry, Controls: &prove.Controls{}},
		Policy: pol, Ledger: led, Identities: []age.Identity{b.id}, Sealer: config.NewSealer(to), Actor: "test", Poll: 10 * time.Millisecond,
	}
}

// token makes a valid token that the issuer does not know.
func (b *bench) token() string {
	b.t.Helper()
	s, err := rules.Generate("ghp_{base62:30}{crc32}", b.random)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// leak creates a live token of u and writes it to a log.
func (b *bench) leak(u account) credential.Credential {
	s := b.token()
	b.issuer.live[s] = u
	c := b.found(s)
	b.creds = append(b.creds, c)
	return c
}

// found is a token as a scan reports it.
func (b *bench) found(s string) credential.Credential {
	secret := credential.NewSecretString(s)
	key := credential.FingerprintKey{7}
	return credential.Credential{
		Ref:      credential.Ref{Fingerprint: key.Fingerprint(secret), Rule: "github-pat", Provider: "github", Kind: b.set.Rule("github-pat").Kind, Confidence: credential.High, Offline: credential.Offline{State: credential.OfflineUnknown}},
		Secret:   secret,
		Findings: []credential.Finding{{Secret: secret, Location: credential.Location{Source: "log", Path: "job.log", Line: 1, Column: 1}}},
	}
}

func (b *bench) plan() *plan.Plan {
	b.t.Helper()
	checked, err := b.applier.Checker.Check(b.t.Context(), b.creds, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	p, err := b.planner.Plan(b.t.Context(), checked)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

const planID = "plan-1"

func apply(ctx context.Context, a *Applier, p *plan.Plan) ([]report.Action, error) {
	var out []report.Action
	err := a.Apply(ctx, p, planID, func(act report.Action) error { out = append(out, act); return nil })
	return out, err
}

// mustApply applies and expects one outcome for all items.
func (b *bench) mustApply(p *plan.Plan, want prove.Outcome) []report.Action {
	b.t.Helper()
	acts, err := apply(b.t.Context(), b.applier, p)
	if err != nil {
		b.t.Fatal(err)
	}
	if len(acts) != len(p.Items) {
		b.t.Errorf("%d actions for %d items", len(acts), len(p.Items))
	}
	for _, a := range acts {
		if a.Outcome != want {
			b.t.Errorf("%s, want %s: %s %s", a.Outcome, want, a.Detail, a.Held)
		}
	}
	return acts
}

// types are the entries of an incident, in order.
func (b *bench) types(c credential.Credential) []ledger.Type {
	b.t.Helper()
	entries, err := b.applier.Ledger.Incident(b.t.Context(), c.Fingerprint)
	if err != nil {
		b.t.Fatal(err)
	}
	var out []ledger.Type
	for _, e := range entries {
		out = append(out, e.Type())
	}
	return out
}

func countType(list []ledger.Type, want ledger.Type) (n int) {
	for _, t := range list {
		if t == want {
			n++
		}
	}
	return n
}

// crashed writes into the ledger what an apply leaves that ended after its
// intent, or after its receipt.
func (b *bench) crashed(p *plan.Plan, receipt bool) {
	b.t.Helper()
	for _, it := range p.Items {
		before := ledger.Verdict{Verdict: it.Verdict}
		entries := []ledger.Entry{{Incident: it.Fingerprint, Actor: "test", Run: planID, Body: ledger.Intent{Action: "revoke", Method: it.Revoke, Instance: it.Instance, Endpoint: it.Verdict.Endpoint, Before: &before, Learned: it.Seen.Learned, Attempt: 1}}}
		if receipt {
			entries = append(entries, ledger.Entry{Incident: it.Fingerprint, Actor: "test", Run: planID, Body: ledger.Receipt{Accepted: true, Status: 202, At: time.Now(), Action: "revoke"}})
		}
		if err := b.applier.Ledger.Append(b.t.Context(), entries...); err != nil {
			b.t.Fatal(err)
		}
	}
}

// end removes the credentials at the issuer without a request of quell.
func (b *bench) end() {
	b.issuer.set(func(g *github) {
		for _, c := range b.creds {
			delete(g.live, c.Secret.Reveal())
		}
	})
}
