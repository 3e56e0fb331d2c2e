package run

import (
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/revokers/prove"
)

// A revocation of several requests goes on at the first one without a receipt.
func TestARevocationOfSeveralRequestsIsResumed(t *testing.T) {
	const none, intent, receipt = 0, 1, 2
	for _, c := range []struct {
		name     string
		earlier  [2]int // what an earlier apply left of each request
		once     bool
		requests int
	}{
		{"nothing was sent", [2]int{none, none}, false, 2},
		{"the first was answered", [2]int{receipt, none}, true, 1},
		{"the first may have been sent, and may be repeated", [2]int{intent, none}, false, 2},
		{"the first may have been sent, and may not be repeated", [2]int{intent, none}, true, 0},
		{"the second may have been sent, and may be repeated", [2]int{receipt, intent}, false, 1},
		{"the second may have been sent, and may not be repeated", [2]int{receipt, intent}, true, 0},
		{"both were answered", [2]int{receipt, receipt}, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := setup(t, 1)
			revoke := &b.set.Rule("github-pat").Revokes[0]
			second := *revoke.Requests[0]
			revoke.Requests, revoke.Once = append(revoke.Requests, &second), c.once
			p := b.plan()
			it := p.Items[0]
			if len(it.Requests) != 2 || it.Requests[0].Name == it.Requests[1].Name {
				t.Fatalf("%+v", it.Requests)
			}
			for n, left := range c.earlier {
				before := ledger.Verdict{Verdict: it.Verdict}
				entries := []ledger.Entry{
					{Incident: it.Fingerprint, Run: planID, Body: ledger.Intent{Action: "revoke", Method: it.Revoke, Endpoint: it.Verdict.Endpoint, Before: &before, Learned: it.Seen.Learned, Step: it.Requests[n].Name}},
					{Incident: it.Fingerprint, Run: planID, Body: ledger.Receipt{Accepted: true, Status: 202, At: time.Now(), Action: "revoke", Step: it.Requests[n].Name}},
				}
				if err := b.applier.Ledger.Append(t.Context(), entries[:left]...); err != nil {
					t.Fatal(err)
				}
			}
			if c.earlier[0] != none {
				b.end()
			}
			b.mustApply(p, prove.Confirmed)
			if r := b.issuer.requests(); len(r) != c.requests {
				t.Errorf("%d requests, want %d", len(r), c.requests)
			}
		})
	}
}

// 429 means that the issuer did nothing: a revocation that may be repeated is sent again, each
// time with an intent of its own, and one that may not is not.
func TestARevocationThatALimitRefusesIsSentAgain(t *testing.T) {
	for _, c := range []struct {
		name    string
		limit   int
		once    bool
		sent    int // requests that did something
		refused int
		want    prove.Outcome
	}{
		{"once refused", 1, false, 1, 1, prove.Confirmed},
		{"it can do harm twice", 1, true, 0, 1, prove.StillAlive},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := setup(t, 1)
			b.set.Rule("github-pat").Revokes[0].Once = c.once
			b.issuer.set(func(g *github) { g.limit = c.limit })
			b.mustApply(b.plan(), c.want)
			if n := len(b.issuer.requests()); n != c.sent {
				t.Errorf("%d revocations were processed, want %d", n, c.sent)
			}
			if n := countType(b.types(b.creds[0]), ledger.TypeIntent); n != c.sent+c.refused {
				t.Errorf("%d intents for %d requests", n, c.sent+c.refused)
			}
			b.issuer.set(func(g *github) {
				if g.refused != c.refused {
					t.Errorf("%d requests were refused, want %d", g.refused, c.refused)
				}
			})
		})
	}
}
