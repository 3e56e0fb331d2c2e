package run

import (
	"slices"
	"sync"
	"testing"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/prove"
)

// Two applies go through the same incidents in opposite order, in batches: each is
// sent once, and neither waits for the other while it holds a lease.
func TestTwoAppliesInOppositeOrder(t *testing.T) {
	n := max(min(campaignSize(t, 60), 500), 20)
	batch := n / 5
	b := setup(t, n)
	b.set.Rule("github-pat").Revokes[0].Batch = batch
	b.applier.Policy.Kill.Max = &n
	p := b.plan()
	_, second := b.installation(b.applier.Policy, issuer.Instances{b.in})
	backwards := *p
	backwards.Items = slices.Clone(p.Items)
	slices.Reverse(backwards.Items)
	var wg sync.WaitGroup
	for a, of := range map[*Applier]*plan.Plan{b.applier: p, second: &backwards} {
		wg.Go(func() {
			confirmed := 0
			err := a.Apply(t.Context(), of, planID, func(act report.Action) error {
				if act.Outcome == prove.Confirmed {
					confirmed++
				} else {
					t.Errorf("%s: %s %s", act.Outcome, act.Detail, act.Held)
				}
				return nil
			})
			if err != nil || confirmed != n {
				t.Errorf("%d of %d: %v", confirmed, n, err)
			}
		})
	}
	wg.Wait()
	sent := map[string]int{}
	for _, r := range b.issuer.requests() {
		if len(r) > batch {
			t.Errorf("a request has %d credentials", len(r))
		}
		for _, c := range r {
			sent[c]++
		}
	}
	for _, c := range b.creds {
		if k := sent[c.Secret.Reveal()]; k != 1 {
			t.Errorf("a credential was sent %d times", k)
		}
		if types := b.types(c); countType(types, ledger.TypeIntent) != 1 || countType(types, ledger.TypeReceipt) != 1 || countType(types, ledger.TypeOutcome) != 1 {
			t.Errorf("%v", types)
		}
	}
	t.Logf("%d incidents in %d requests", n, len(b.issuer.requests()))
}
