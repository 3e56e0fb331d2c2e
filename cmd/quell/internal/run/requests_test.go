package run

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules/credential"
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
			if n := b.attempts(b.creds[0]); len(n) != c.sent+c.refused || !slices.IsSorted(n) || n[len(n)-1] != len(n) {
				t.Errorf("intents %v for %d requests", n, c.sent+c.refused)
			}
			b.issuer.set(func(g *github) {
				if g.refused != c.refused {
					t.Errorf("%d requests were refused, want %d", g.refused, c.refused)
				}
			})
		})
	}
}

// attempts are the numbers of the intents of a credential, in the ledger's order.
func (b *bench) attempts(c credential.Credential) (out []int) {
	b.t.Helper()
	entries, err := b.applier.Ledger.Incident(b.t.Context(), c.Fingerprint)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range entries {
		if i, ok := e.Body.(ledger.Intent); ok {
			out = append(out, i.Attempt)
		}
	}
	return out
}

// The ledger can't be written when a limit has passed: nothing is sent without an intent, and
// what is shown is the limit's answer and why it was not sent again, not a lost answer.
func TestNoIntentNoSecondRequest(t *testing.T) {
	b := setup(t, 1)
	p := b.plan()
	b.applier.Patience = 50 * time.Millisecond
	restore := func() {}
	b.issuer.set(func(g *github) { g.limit = 1 })
	b.applier.Progress = func(s string) {
		if strings.HasSuffix(s, "sending again") {
			restore = b.unwritable()
		}
	}
	acts, err := apply(t.Context(), b.applier, p)
	restore()
	var unrecorded UnrecordedError
	if !errors.As(err, &unrecorded) || len(acts) != 1 {
		t.Fatalf("%d actions, %v", len(acts), err)
	}
	a := acts[0]
	if a.Outcome != prove.StillAlive || a.Receipt == nil || a.Receipt.Status != 429 || !strings.Contains(a.Receipt.Detail, "not sent again") || strings.Contains(a.Receipt.Detail, "no answer") {
		t.Errorf("%s: %s, %+v", a.Outcome, a.Detail, a.Receipt)
	}
	if r := b.issuer.requests(); len(r) != 0 {
		t.Errorf("%d requests without an intent", len(r))
	}
	b.applier.Progress = nil
	b.mustApply(p, prove.Confirmed)
	if n := b.attempts(b.creds[0]); !slices.Equal(n, []int{1, 2}) {
		t.Errorf("intents %v", n)
	}
}

// A first apply found it dead, recorded its intent and was killed before or after its request
// left. Nothing of quell's ended it, so it is not Confirmed.
func TestAnIntentAboutADeadOneIsNoKill(t *testing.T) {
	for name, alive := range map[string]bool{"dead all the time": false, "Live in between": true} {
		t.Run(name, func(t *testing.T) {
			b := setup(t, 1)
			p := b.plan()
			b.end()
			it := p.Items[0]
			verdict := func(l revokers.Liveness, reason revokers.Reason) ledger.Verdict {
				v := it.Verdict
				v.Liveness, v.Reason = l, reason
				return ledger.Verdict{Verdict: v}
			}
			before := verdict(revokers.Dead, revokers.Revoked)
			entries := []ledger.Entry{{Incident: it.Fingerprint, Run: planID, Body: ledger.Intent{Action: "revoke", Method: it.Revoke, Instance: it.Instance, Endpoint: it.Verdict.Endpoint, Before: &before, Learned: it.Seen.Learned, Attempt: 1}}}
			want := prove.AlreadyDead
			if alive {
				entries = append(entries, ledger.Entry{Incident: it.Fingerprint, Run: planID, Body: verdict(revokers.Live, revokers.Authenticated)})
				want = prove.Confirmed
			}
			if err := b.applier.Ledger.Append(t.Context(), entries...); err != nil {
				t.Fatal(err)
			}
			if a := b.mustApply(p, want)[0]; !alive && !strings.HasPrefix(a.Detail, "it was dead before") {
				t.Error(a.Detail)
			}
			if n := b.attempts(b.creds[0]); !slices.Equal(n, []int{1, 2}) {
				t.Errorf("intents %v: an accepted revocation that can't do harm twice is repeated", n)
			}
		})
	}
}
