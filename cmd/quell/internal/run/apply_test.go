package run

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

func TestTokensOfOneIssuerAreRevokedByOneRequest(t *testing.T) {
	b := setup(t, 5)
	p := b.plan()
	for _, a := range b.mustApply(p, prove.Confirmed) {
		if a.Control != "live" || a.Receipt == nil || a.Receipt.Status != 202 || a.Looks != prove.TargetLooks {
			t.Errorf("control %s, receipt %v, %d looks", a.Control, a.Receipt, a.Looks)
		}
	}
	if r := b.issuer.requests(); len(r) != 1 || len(r[0]) != 5 {
		t.Errorf("%d requests", len(r))
	}
	for _, c := range b.creds {
		if types := b.types(c); countType(types, ledger.TypeIntent) != 1 || countType(types, ledger.TypeReceipt) != 1 || countType(types, ledger.TypeOutcome) != 1 {
			t.Errorf("%v", types)
		}
	}
	// Nothing in the plan or the ledger is a secret in clear.
	plain, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	_ = b.applier.Ledger.Close()
	files, _ := filepath.Glob(b.path + "*")
	for _, f := range files {
		db, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		plain = append(plain, db...)
	}
	for _, c := range b.creds {
		if strings.Contains(string(plain), c.Secret.Reveal()) {
			t.Error("a token is in clear in the plan or the ledger")
		}
	}
}

// A second apply of the same plan reports the outcomes again and sends nothing.
func TestApplyAgainRepeatsNothing(t *testing.T) {
	b := setup(t, 2)
	p := b.plan()
	b.mustApply(p, prove.Confirmed)
	b.issuer.set(func(g *github) { g.down = true })
	began := time.Now()
	for _, a := range b.mustApply(p, prove.Confirmed) {
		if a.Before == nil || a.Before.After(began) || a.Control != "live" && a.Control != prove.NoControl {
			t.Errorf("%s: done before %v, control %q", a.Fingerprint, a.Before, a.Control)
		}
	}
	if r := b.issuer.requests(); len(r) != 1 {
		t.Errorf("%d requests", len(r))
	}
}

func TestNoLedgerNoRequest(t *testing.T) {
	b := setup(t, 1)
	p := b.plan()
	_ = b.applier.Ledger.Close()
	if _, err := apply(t.Context(), b.applier, p); err == nil {
		t.Error("no error reports that nothing could be recorded")
	}
	if r := b.issuer.requests(); len(r) != 0 {
		t.Errorf("%d requests left", len(r))
	}
}

// The ledger can't be written at the moment of the intent.
func TestNoIntentNoRequest(t *testing.T) {
	b := setup(t, 1)
	p := b.plan()
	restore := func() {}
	b.applier.Progress = func(s string) {
		if strings.HasPrefix(s, "revoking") {
			restore = b.unwritable()
		}
	}
	_, err := apply(t.Context(), b.applier, p)
	restore()
	if err == nil {
		t.Error("no error reports that the intent was not recorded")
	}
	if r := b.issuer.requests(); len(r) != 0 {
		t.Errorf("%d requests left", len(r))
	}
	b.applier.Progress = nil
	b.mustApply(p, prove.Confirmed)
}

func TestWhatStopsAnApply(t *testing.T) {
	zero, none := 0, []rules.Tier{}
	var now rules.Duration
	for name, c := range map[string]struct {
		change func(b *bench)
		held   string
		code   int
	}{
		"the environment's switch": {func(b *bench) { b.applier.NoKill = true }, "kill switch", 0},
		"the policy's switch":      {func(b *bench) { b.applier.Policy.Kill.Disabled = true }, "kill switch", 0},
		"another instance": {func(b *bench) {
			u := *b.in.URL
			u.Path = "/else"
			b.in.URL = &u
		}, "no longer names", 0},
		"it became a credential that quell works with": {func(b *bench) { b.planner.Own = guard.NewOwn([]credential.Secret{b.creds[0].Secret}) }, "quell works with", 0},
		"it became a canary":                           {func(b *bench) { b.applier.Checker.Canary = func(credential.Credential) bool { return true } }, "canary", 0},
		"the issuer does not answer":                   {func(b *bench) { b.issuer.set(func(g *github) { g.down = true }) }, "not known to be live", ExitLeft},
		"the identity is no longer the operator's":     {func(b *bench) { b.applier.Policy.Own = nil }, "nothing shows that it is yours", ExitLeft},
		"kill.max is zero":                             {func(b *bench) { b.applier.Policy.Kill.Max = &zero }, "0 kills", ExitLeft},
		"kill.tiers is empty":                          {func(b *bench) { b.applier.Policy.Kill.Tiers = &none }, "does not allow", ExitLeft},
		"kill.max_age is zero":                         {func(b *bench) { b.applier.Policy.Kill.MaxAge = &now }, "old", 0},
		"the revocation has another path": {func(b *bench) {
			b.set.Rule("github-pat").Revokes[0].Requests[0].Path = "/credentials/revoke/all"
		}, "differ from the plan", ExitLeft},
		"the revocation has another header": {func(b *bench) {
			b.set.Rule("github-pat").Revokes[0].Requests[0].Header["X-Scope"] = "everyone"
		}, "differ from the plan", ExitLeft},
		"the revocation has another body": {func(b *bench) {
			b.set.Rule("github-pat").Revokes[0].Requests[0].JSON.(map[string]any)["everyone"] = "yes"
		}, "differ from the plan", ExitLeft},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t, 1)
			p := b.plan()
			if !p.Items[0].Kills() {
				t.Fatalf("the plan holds it: %+v", p.Items[0].Hold)
			}
			c.change(b)
			a := b.mustApply(p, prove.Held)[0]
			if !strings.Contains(a.Held, c.held) || a.Remedy == "" || a.Code != c.code {
				t.Errorf("held: %s; remedy: %s; code %d", a.Held, a.Remedy, a.Code)
			}
			if strings.Contains(c.held, "differ") && (!strings.Contains(a.Detail, "- ") || !strings.Contains(a.Detail, "+ ")) {
				t.Errorf("no diff is shown: %q", a.Detail)
			}
			if r := b.issuer.requests(); len(r) != 0 {
				t.Errorf("%d requests left", len(r))
			}
			if types := b.types(b.creds[0]); countType(types, ledger.TypeIntent) != 0 || countType(types, ledger.TypeHeld) != 1 {
				t.Errorf("%v", types)
			}
		})
	}
}

// The issuer goes down between the kill and the proof: that is never Confirmed.
// The next apply proves it and sends nothing.
func TestIssuerDownAfterTheKill(t *testing.T) {
	b := setup(t, 1)
	p := b.plan()
	b.applier.Progress = func(s string) {
		if strings.HasPrefix(s, "confirming") {
			b.issuer.set(func(g *github) { g.down = true })
		}
	}
	b.mustApply(p, prove.Unconfirmed)
	b.applier.Progress = nil
	b.issuer.set(func(g *github) { g.down = false })
	b.mustApply(p, prove.Confirmed)
	if r := b.issuer.requests(); len(r) != 1 {
		t.Errorf("%d requests", len(r))
	}
}

func TestWhatTheNextApplyDoes(t *testing.T) {
	for name, c := range map[string]struct {
		receipt, dead, once bool
		want                prove.Outcome
		requests            int
	}{
		"ended after the request left, before its receipt":             {false, true, false, prove.Confirmed, 1},
		"ended before the request left":                                {false, false, false, prove.Confirmed, 1},
		"ended after the receipt":                                      {true, true, false, prove.Confirmed, 0},
		"ended after the receipt, and it is live":                      {true, false, false, prove.Confirmed, 1},
		"ended after the receipt, it is live, and it may be sent once": {true, false, true, prove.StillAlive, 0},
		"a revocation that may be sent once is not repeated":           {false, true, true, prove.Confirmed, 0},
		"a revocation that may be sent once is not repeated if live":   {false, false, true, prove.StillAlive, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t, 1)
			p := b.plan()
			b.set.Rule("github-pat").Revokes[0].Once = c.once
			b.crashed(p, c.receipt)
			if c.dead {
				b.end()
			}
			// Without a receipt and without a request of its own, this apply knows of none that left.
			uncertain := c.want == prove.Confirmed && !c.receipt && c.requests == 0
			if a := b.mustApply(p, c.want)[0]; strings.Contains(a.Detail, "or something else") != uncertain {
				t.Errorf("detail %q", a.Detail)
			}
			if r := b.issuer.requests(); len(r) != c.requests {
				t.Errorf("%d requests, want %d", len(r), c.requests)
			}
		})
	}
}

// An apply that is resumed needs no fresh plan: kill.max_age is about items
// without an intent.
func TestAnOldPlanIsResumed(t *testing.T) {
	b := setup(t, 1)
	p := b.plan()
	b.crashed(p, true)
	b.end()
	p.Created = time.Now().Add(-24 * time.Hour)
	b.mustApply(p, prove.Confirmed)
}

func TestTheResponseIsLost(t *testing.T) {
	b := setup(t, 1)
	p := b.plan()
	b.issuer.set(func(g *github) { g.broken = true })
	b.mustApply(p, prove.Confirmed)
}

func TestARevocationThatDoesNothingLeavesItAlive(t *testing.T) {
	b := setup(t, 1)
	p := b.plan()
	b.issuer.set(func(g *github) { g.deaf = true })
	b.mustApply(p, prove.StillAlive)
}

// Somebody else ended it between plan and apply. A revocation that reaches nothing else is sent all
// the same, and the outcome is not quell's.
func TestADeadOneIsRevokedAllTheSame(t *testing.T) {
	b := setup(t, 1)
	r := &b.set.Rule("github-pat").Revokes[0]
	r.Tier, r.Collateral = rules.TierSelf, ""
	p := b.plan()
	b.end()
	a := b.mustApply(p, prove.AlreadyDead)[0]
	if n := len(b.issuer.requests()); n != 1 || a.Receipt == nil || !a.Receipt.Accepted || !strings.HasPrefix(a.Detail, "it was dead before") {
		t.Errorf("%d requests, %+v, %s", n, a.Receipt, a.Detail)
	}
}

// Somebody else ended it between plan and apply.
func TestDeadBeforeApply(t *testing.T) {
	b := setup(t, 1)
	p := b.plan()
	b.end()
	if a := b.mustApply(p, prove.AlreadyDead)[0]; a.Control != "live" {
		t.Errorf("control %s", a.Control)
	}
	b.in.Sole = true
	if p = b.plan(); p.Items[0].Action != plan.ActNone {
		t.Errorf("a plan about a dead one: %s", p.Items[0].Action)
	}
}

// A revocation that has no side effect is sent all the same.
func TestAHarmlessRevocationIsSentToADeadOne(t *testing.T) {
	b := setup(t, 1)
	b.set.Rule("github-pat").Revokes[0].Collateral = ""
	p := b.plan()
	b.end()
	b.mustApply(p, prove.AlreadyDead)
	if r := b.issuer.requests(); len(r) != 1 {
		t.Errorf("%d requests", len(r))
	}
}

func TestTheControlDiesBeforeTheProof(t *testing.T) {
	b := setup(t, 1)
	p := b.plan()
	b.applier.Progress = func(s string) {
		if strings.HasPrefix(s, "confirming") {
			b.issuer.set(func(g *github) { clear(g.live) })
		}
	}
	if a := b.mustApply(p, prove.Unconfirmed)[0]; a.Remedy == "" || a.Control != "dead" {
		t.Errorf("control %s, remedy %q", a.Control, a.Remedy)
	}
}

// Nothing that only reads can ask: the kill is sent and never Confirmed.
func TestWithoutAProbeNothingIsConfirmed(t *testing.T) {
	b := setup(t, 1)
	b.set.Rule("github-pat").Probe = nil
	b.in.Own = true
	p := b.plan()
	if !p.Items[0].Kills() || p.Items[0].Unprovable == "" {
		t.Fatalf("%+v", p.Items[0])
	}
	if a := b.mustApply(p, prove.Unconfirmed)[0]; a.Receipt == nil || !a.Receipt.Accepted || a.Remedy == "" {
		t.Errorf("%+v", a)
	}
}

func TestAStrangersTokenIsHeld(t *testing.T) {
	b := setup(t, 1)
	b.applier.Policy.Own = nil
	p := b.plan()
	if p.Items[0].Action != plan.ActHeld || p.Items[0].Hold == nil || !strings.Contains(p.Items[0].Hold.Remedy, "[[own]]") {
		t.Errorf("%+v", p.Items[0])
	}
	b.planner.BreakGlass = "INC-1: it is on our wall"
	p = b.plan()
	if !p.Items[0].Kills() || p.BreakGlass == "" {
		t.Errorf("%+v", p.Items[0])
	}
	b.mustApply(p, prove.Confirmed)
	entries, err := b.applier.Ledger.Incident(t.Context(), b.creds[0].Fingerprint)
	if err != nil || !slices.ContainsFunc(entries, func(e ledger.Entry) bool {
		o, ok := e.Body.(ledger.Override)
		return ok && strings.Contains(o.Reason, "INC-1")
	}) {
		t.Error("the override is not recorded")
	}
}

// Two applies of one plan at once share its items: each credential is sent
// once, and both report the same outcomes.
func TestTwoAppliesOfOnePlan(t *testing.T) {
	b := setup(t, 12)
	p := b.plan()
	_, second := b.installation(b.applier.Policy, issuer.Instances{b.in})
	backwards := *p
	backwards.Items = slices.Clone(p.Items)
	slices.Reverse(backwards.Items)
	var wg sync.WaitGroup
	for a, of := range map[*Applier]*plan.Plan{b.applier: p, second: &backwards} {
		wg.Go(func() {
			var acts []report.Action
			err := a.Apply(t.Context(), of, planID, func(act report.Action) error { acts = append(acts, act); return nil })
			if err != nil || len(acts) != len(p.Items) {
				t.Errorf("%d actions: %v", len(acts), err)
			}
			for _, act := range acts {
				if act.Outcome != prove.Confirmed {
					t.Errorf("%s: %s %s", act.Outcome, act.Detail, act.Held)
				}
			}
		})
	}
	wg.Wait()
	sent := map[string]int{}
	for _, r := range b.issuer.requests() {
		for _, c := range r {
			sent[c]++
		}
	}
	for _, c := range b.creds {
		if sent[c.Secret.Reveal()] != 1 {
			t.Errorf("a credential was sent %d times", sent[c.Secret.Reveal()])
		}
		if types := b.types(c); countType(types, ledger.TypeIntent) != 1 || countType(types, ledger.TypeReceipt) != 1 || countType(types, ledger.TypeOutcome) != 1 {
			t.Errorf("%v", types)
		}
	}
}

// kill.max counts the kills of a plan over all of its applies, and within one
// batch.
func TestTheCapHoldsOverSeveralApplies(t *testing.T) {
	b := setup(t, 5)
	p := b.plan()
	two := 2
	b.applier.Policy.Kill.Max = &two
	for range 3 {
		acts, err := apply(t.Context(), b.applier, p)
		if err != nil {
			t.Fatal(err)
		}
		n := map[prove.Outcome]int{}
		for _, a := range acts {
			n[a.Outcome]++
		}
		if n[prove.Confirmed] != 2 || n[prove.Held] != 3 {
			t.Errorf("%v", n)
		}
	}
	sent := 0
	for _, r := range b.issuer.requests() {
		sent += len(r)
	}
	if sent != 2 {
		t.Errorf("%d credentials were sent", sent)
	}
}

// A dry run sends nothing and records nothing.
func TestADryRunSendsNothing(t *testing.T) {
	b := setup(t, 2)
	p := b.plan()
	b.applier.DryRun = true
	acts, err := apply(t.Context(), b.applier, p)
	if err != nil || len(acts) != 2 || len(acts[0].Requests) != 1 {
		t.Errorf("%+v %v", acts, err)
	}
	if r := b.issuer.requests(); len(r) != 0 {
		t.Errorf("%d requests left", len(r))
	}
	if _, err := b.applier.Ledger.Incident(t.Context(), b.creds[0].Fingerprint); err == nil {
		t.Error("a dry run is in the ledger")
	}
}

// The never-issued credential got no answer: it is live, and not killed yet.
func TestWithoutANegativeControlNothingIsKilled(t *testing.T) {
	b := setup(t, 1)
	b.applier.Checker.Verifier = onlyKnown{b.applier.Checker.Verifier, b}
	p := b.plan()
	if p.Items[0].Kills() || p.Items[0].Verdict.Liveness != revokers.Live || p.Items[0].Verdict.NegativeControl {
		t.Errorf("%s, %+v", p.Items[0].Action, p.Items[0].Verdict)
	}
}
