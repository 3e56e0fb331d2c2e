package revokers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// world is an issuer with everything that goes wrong between it and a probe.
// Its clock is the test's.
type world struct {
	r        *rand.Rand
	replicas []time.Time // when each replica learns of the kill; zero time: never
	killed   time.Time
	worked   bool // the revocation did anything at all

	cacheFor time.Duration // a proxy repeats answers for so long
	cached   map[string]Verdict
	cachedAt map[string]time.Time

	firewallFrom, firewallTo time.Duration // answers 401 to everybody
	downFrom, downTo         time.Duration // no answer
	throttle                 float64
	html                     float64
}

func (w *world) ask(token string) Ask {
	return func(context.Context) Verdict {
		since := time.Since(w.killed)
		switch {
		case since >= w.downFrom && since < w.downTo:
			return Verdict{Reason: Unreachable}
		case w.r.Float64() < w.throttle:
			return Verdict{Reason: Throttled}
		case w.r.Float64() < w.html:
			return Verdict{Reason: Unexpected}
		case since >= w.firewallFrom && since < w.firewallTo:
			return Verdict{Liveness: Dead, Reason: Revoked}
		}
		if w.cacheFor > 0 {
			if at, ok := w.cachedAt[token]; ok && time.Since(at) < w.cacheFor {
				return w.cached[token]
			}
		}
		v := Verdict{Liveness: Live, Reason: Authenticated}
		if token == "leaked" {
			knows := w.replicas[w.r.IntN(len(w.replicas))]
			if w.worked && !knows.IsZero() && !time.Now().Before(knows) {
				v = Verdict{Liveness: Dead, Reason: Revoked}
			}
		}
		if w.cacheFor > 0 {
			w.cached[token], w.cachedAt[token] = v, time.Now()
		}
		return v
	}
}

// alive reports whether any replica still accepts the token.
func (w *world) alive() bool {
	if !w.worked {
		return true
	}
	for _, k := range w.replicas {
		if k.IsZero() || time.Now().Before(k) {
			return true
		}
	}
	return false
}

// TestNoFalseConfirmed injects faults into 3,000 kills. Confirmed may be said
// only of a token that no replica accepts any more.
func TestNoFalseConfirmed(t *testing.T) {
	const settle = 30 * time.Second
	count := map[Outcome]int{}
	falseConfirmed := 0
	for n := range 3000 {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(n), 11))
			w := &world{r: r, killed: time.Now(), worked: r.IntN(5) > 0, cached: map[string]Verdict{}, cachedAt: map[string]time.Time{}}
			// Replicas learn of the kill within the settle time, which is what
			// that time means, or, with one kind of fault, never.
			for range 1 + r.IntN(4) {
				w.replicas = append(w.replicas, w.killed.Add(time.Duration(r.Int64N(int64(settle)))))
			}
			part := func() time.Duration { return time.Duration(r.Int64N(int64(settle))) }
			switch n % 6 {
			case 0: // flapping: one replica in two never learns
				w.replicas = []time.Time{w.replicas[0], {}}
			case 1:
				w.cacheFor = part()
				w.ask("leaked")(t.Context()) // a Live answer is in the cache
			case 2: // a firewall takes us for an attacker, perhaps for good
				w.firewallFrom, w.firewallTo = part(), 4*settle
				if r.IntN(2) == 0 {
					w.firewallFrom = 0
				}
			case 3: // the issuer goes down in the middle
				w.downFrom = part()
				w.downTo = w.downFrom + part()
			case 4:
				w.throttle, w.html = r.Float64()/2, r.Float64()/2
			case 5: // everything at once
				w.firewallFrom = part()
				w.firewallTo = w.firewallFrom + part()
				w.downFrom = part()
				w.downTo = w.downFrom + part()
				w.throttle, w.html = r.Float64()/4, r.Float64()/4
			}
			c := Confirm(t.Context(), w.ask("leaked"), w.ask("control"), Schedule{Settle: settle, Burst: 3})
			count[c.Outcome]++
			if c.Outcome == Confirmed && w.alive() {
				falseConfirmed++
				t.Errorf("kill %d is Confirmed and alive: %+v", n, c.Observations)
			}
			if c.Outcome == StillAlive && !w.alive() && n%6 != 1 {
				t.Errorf("kill %d is StillAlive and dead", n)
			}
		})
	}
	t.Logf("%v, %d false", count, falseConfirmed)
	if count[Confirmed] < 300 || count[Unconfirmed] < 300 || count[StillAlive] < 300 {
		t.Errorf("the faults are not spread: %v", count)
	}
}

func TestConfirmNeedsTheWholeSettleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := func(context.Context) Verdict { return Verdict{Liveness: Dead} }
		live := func(context.Context) Verdict { return Verdict{Liveness: Live} }
		c := Confirm(t.Context(), dead, live, Schedule{Settle: time.Minute})
		if c.Outcome != Confirmed || c.Took != time.Minute || len(c.Observations) != len(looks) || c.Control != "live" {
			t.Errorf("%+v", c)
		}
		if c := Confirm(t.Context(), dead, nil, Schedule{Settle: time.Minute}); c.Outcome != Confirmed || c.Control != NoControl {
			t.Errorf("without a control it must be labelled: %+v", c)
		}
		if c := Confirm(t.Context(), dead, dead, Schedule{Settle: time.Minute}); c.Outcome != Unconfirmed {
			t.Errorf("a dead control makes dead worthless: %+v", c)
		}
		if c := Confirm(t.Context(), live, live, Schedule{Settle: time.Minute}); c.Outcome != StillAlive {
			t.Errorf("%+v", c)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if c := Confirm(ctx, dead, live, Schedule{Settle: time.Minute}); c.Outcome != Unconfirmed {
			t.Errorf("interrupted: %+v", c)
		}
	})
}

func ExampleConfirm() {
	ask := func(context.Context) Verdict { return Verdict{Liveness: Dead, Reason: Revoked} }
	control := func(context.Context) Verdict { return Verdict{Liveness: Live, Reason: Authenticated} }
	c := Confirm(context.Background(), ask, control, Schedule{Settle: 50 * time.Millisecond})
	fmt.Println(c.Outcome, "with a positive control that is", c.Control)
	// Output: Confirmed with a positive control that is live
}
