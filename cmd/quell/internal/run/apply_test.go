package run

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/store"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/natives"
	"github.com/quellhq/quell/rules"
)

// github is a fake that obeys the published contract of the calls that quell
// makes (testdata/contracts/github.json).
type github struct {
	mu      sync.Mutex
	live    map[string]bool
	revokes [][]string
	down    bool // answers 503
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
		if g.live[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")] {
			answer(200, map[string]any{"login": "octocat"})
		} else {
			answer(401, map[string]any{"message": "Bad credentials"})
		}
	case r.Method == "POST" && r.URL.Path == "/credentials/revoke" && r.Header.Get("Authorization") == "":
		var b struct{ Credentials []string }
		if json.NewDecoder(r.Body).Decode(&b) != nil || len(b.Credentials) == 0 {
			answer(422, nil)
			return
		}
		g.revokes = append(g.revokes, b.Credentials)
		for _, c := range b.Credentials {
			delete(g.live, c)
		}
		answer(202, map[string]any{})
	default:
		answer(403, nil)
	}
}

type bench struct {
	t       *testing.T
	issuer  *github
	creds   []rules.Credential
	planner *Planner
	applier *Applier
	ledger  string
}

// setup makes n live tokens at a fake GitHub that the operator named, since the
// real one's revocation is limited to its own host.
func setup(t *testing.T, n int) *bench {
	t.Helper()
	all, err := rules.Files()
	if err != nil {
		t.Fatal(err)
	}
	set, err := rules.Load("github.toml", []byte(strings.ReplaceAll(string(all["github.toml"]), `only = ["api.github.com"]`, "")))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, issuer: &github{live: map[string]bool{}}, ledger: filepath.Join(t.TempDir(), "ledger.db")}
	srv := httptest.NewServer(b.issuer)
	t.Cleanup(srv.Close)
	random := rand.NewChaCha8([32]byte{1})
	token := func() rules.Secret {
		s, err := rules.Generate("ghp_{base62:30}{crc32}", random)
		if err != nil {
			t.Fatal(err)
		}
		b.issuer.live[s] = true
		return rules.NewSecretString(s)
	}
	u, _ := url.Parse(srv.URL)
	in := &revokers.Instance{Provider: "github", URL: u, Operator: true, Control: token(), Settle: 200 * time.Millisecond, Settings: map[string]string{}}
	key := rules.FingerprintKey{7}
	for range n {
		s := token()
		b.creds = append(b.creds, rules.Credential{Ref: rules.Ref{Fingerprint: key.Fingerprint(s), Rule: "github-pat", Provider: "github", Kind: rules.KindAPIKey, Confidence: rules.High, Offline: rules.Offline{State: rules.OfflineUnknown}}, Secret: s,
			Findings: []rules.Finding{{Secret: s, Location: rules.Location{Source: "log", Path: "job.log", Line: 1, Column: 1}}}})
	}
	prober := &revokers.Prober{Set: set, Natives: natives.Table(), Instances: revokers.Instances{in}, Client: &revokers.Client{PerSecond: 1000}}
	pol := &policy.Policy{Version: 1, Own: []policy.Own{{Provider: "github", Identity: []string{"octocat"}}}}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	led, err := store.Open(b.ledger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = led.Close() })
	own := OwnSecrets(prober.Instances, func(string) string { return "" })
	b.planner = &Planner{Prober: prober, Policy: pol, Own: own, Recipients: []age.Recipient{id.Recipient()}}
	b.applier = &Applier{Prober: prober, Policy: pol, Own: own, Ledger: led, Identities: []age.Identity{id}, Recipients: []age.Recipient{id.Recipient()}, Actor: "test"}
	return b
}

func (b *bench) plan() *plan.Plan {
	b.t.Helper()
	v, err := Check(b.t.Context(), b.planner.Prober, b.creds)
	if err != nil {
		b.t.Fatal(err)
	}
	p, err := b.planner.Plan(b.t.Context(), b.creds, v)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

func (b *bench) apply(ctx context.Context, p *plan.Plan) ([]report.Action, error) {
	var out []report.Action
	err := b.applier.Apply(ctx, p, "run", func(a report.Action) error { out = append(out, a); return nil })
	return out, err
}

func (b *bench) requests() [][]string {
	b.issuer.mu.Lock()
	defer b.issuer.mu.Unlock()
	return slices.Clone(b.issuer.revokes)
}

func TestTokensOfOneIssuerAreRevokedByOneRequest(t *testing.T) {
	b := setup(t, 5)
	p := b.plan()
	acts, err := b.apply(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if r := b.requests(); len(r) != 1 || len(r[0]) != 5 {
		t.Errorf("%d requests", len(r))
	}
	for _, a := range acts {
		if a.Outcome != revokers.Confirmed || a.Control != "live" || a.Receipt == nil || a.Receipt.Status != 202 {
			t.Errorf("%s %s", a.Outcome, a.Detail)
		}
	}
	if len(acts) != 5 {
		t.Errorf("%d actions", len(acts))
	}
	// Nothing in the plan or the ledger is a secret in clear.
	plain, _ := json.Marshal(p)
	_ = b.applier.Ledger.Close()
	files, _ := filepath.Glob(b.ledger + "*")
	for _, f := range files {
		db, _ := os.ReadFile(f)
		plain = append(plain, db...)
	}
	for _, c := range b.creds {
		if strings.Contains(string(plain), c.Secret.Reveal()) {
			t.Error("a token stands in clear in the plan or the ledger")
		}
	}
}

// A second apply of the same plan finds the tokens dead: it asks for proof and
// sends no revocation again.
func TestApplyAgainRepeatsNothing(t *testing.T) {
	b := setup(t, 2)
	p := b.plan()
	for range 2 {
		acts, err := b.apply(t.Context(), p)
		if err != nil || len(acts) != 2 || acts[0].Outcome != revokers.Confirmed {
			t.Fatalf("%+v %v", acts, err)
		}
	}
	if r := b.requests(); len(r) != 1 {
		t.Errorf("%d requests", len(r))
	}
}

// Without a durable intent no request leaves.
func TestNoLedgerNoRequest(t *testing.T) {
	b := setup(t, 1)
	p := b.plan()
	_ = b.applier.Ledger.Close()
	if _, err := b.apply(t.Context(), p); err == nil {
		t.Error("nobody says that nothing could be recorded")
	}
	if r := b.requests(); len(r) != 0 {
		t.Errorf("%d requests left", len(r))
	}
}

func TestWhatStopsAnApply(t *testing.T) {
	for name, c := range map[string]struct {
		change func(b *bench)
		held   string
	}{
		"the environment's switch": {func(b *bench) { b.applier.NoKill = true }, "kill switch"},
		"the policy's switch":      {func(b *bench) { b.applier.Policy = &policy.Policy{Kill: policy.Kill{Disabled: true}} }, "kill switch"},
		"another instance": {func(b *bench) {
			u := *b.applier.Prober.Instances[0].URL
			u.Path = "/else"
			b.applier.Prober.Instances[0].URL = &u
		}, "another instance"},
		"it became the operator's":   {func(b *bench) { b.applier.Own = append(b.applier.Own, b.creds[0].Secret) }, "own credential"},
		"the issuer does not answer": {func(b *bench) { b.issuer.mu.Lock(); b.issuer.down = true; b.issuer.mu.Unlock() }, "not known to be live any more"},
	} {
		b := setup(t, 1)
		p := b.plan()
		if !p.Items[0].Kills() {
			t.Fatalf("%s: the plan holds it: %+v", name, p.Items[0].Hold)
		}
		c.change(b)
		acts, err := b.apply(t.Context(), p)
		if err != nil || len(acts) != 1 || acts[0].Outcome != revokers.Held || !strings.Contains(acts[0].Held, c.held) {
			t.Errorf("%s: %+v %v", name, acts, err)
		}
		if r := b.requests(); len(r) != 0 {
			t.Errorf("%s: %d requests left", name, len(r))
		}
	}
}

// The issuer goes down between the kill and the proof: never Confirmed.
func TestIssuerDownAfterTheKill(t *testing.T) {
	b := setup(t, 1)
	p := b.plan()
	b.applier.Progress = func(s string) {
		if strings.HasPrefix(s, "confirming") {
			b.issuer.mu.Lock()
			b.issuer.down = true
			b.issuer.mu.Unlock()
		}
	}
	acts, err := b.apply(t.Context(), p)
	if err != nil || len(acts) != 1 || acts[0].Outcome != revokers.Unconfirmed {
		t.Errorf("%+v %v", acts, err)
	}
}

// A stranger's token at the same issuer is held, with the lever.
func TestAStrangersTokenIsHeld(t *testing.T) {
	b := setup(t, 1)
	b.planner.Policy = &policy.Policy{Version: 1}
	p := b.plan()
	if p.Items[0].Action != plan.ActHeld || p.Items[0].Hold == nil || !strings.Contains(p.Items[0].Hold.Lever, "[[own]]") {
		t.Errorf("%+v", p.Items[0])
	}
	b.planner.BreakGlass = "INC-1: it is on our wall"
	p = b.plan()
	if !p.Items[0].Kills() || p.BreakGlass == "" {
		t.Errorf("%+v", p.Items[0])
	}
	if _, err := b.apply(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	story, err := b.applier.Ledger.Incident(t.Context(), b.creds[0].Fingerprint)
	if err != nil || !slices.ContainsFunc(story, func(e store.Entry) bool { return e.Type == "override" && strings.Contains(string(e.Body), "INC-1") }) {
		t.Error("the override is not recorded")
	}
}
