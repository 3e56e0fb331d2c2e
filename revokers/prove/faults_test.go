package prove_test

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules/credential"
	"github.com/quellhq/quell/rules/testenv"
)

// kills returns the number of kills to simulate: QUELL_KILLS, or few by default, and fewer
// under the race detector.
func kills(t *testing.T, few int) int {
	t.Helper()
	if n, err := strconv.Atoi(os.Getenv("QUELL_KILLS")); err == nil {
		return n
	}
	return few / testenv.Fewer
}

// world is an issuer, with all faults that can occur between it and a probe. It uses the test's
// clock.
type world struct {
	r        *rand.Rand
	replicas []time.Time // when each replica learns of the kill; zero: never
	killed   time.Time
	worked   bool // something ended the credential
	requests int

	cacheFor time.Duration // how long a proxy repeats an answer
	cache    map[string]cached

	firewallFrom, firewallTo time.Duration // the firewall gives the same answer to everybody
	firewall                 answers
	downFrom, downTo         time.Duration
	throttle, pages          float64
	controlDies              time.Duration // zero: never
	foreign                  bool          // the host issued neither the credential nor the control
}

type cached struct {
	answer revokers.Answer
	at     time.Time
}

func (w *world) Endpoints(revokers.Target) []string { return []string{endpoint} }

func (w *world) Verify(ctx context.Context, t revokers.Target, endpoint string) (revokers.Answer, error) {
	if ctx.Err() != nil {
		return revokers.Answer{}, ctx.Err()
	}
	w.requests++
	a := w.answer(t.Secret.Reveal(), endpoint)
	a.Endpoint, a.At = endpoint, time.Now()
	return a, nil
}

func (w *world) answer(secret, at string) revokers.Answer {
	since := time.Since(w.killed)
	switch {
	case since >= w.downFrom && since < w.downTo:
		return revokers.Answer{Class: revokers.Silent, Reason: revokers.Unreachable}
	case w.r.Float64() < w.throttle:
		return revokers.Answer{Class: revokers.Silent, Status: 429, Reason: revokers.Throttled}
	case w.r.Float64() < w.pages:
		return revokers.Answer{Class: revokers.Other, Status: 200, Reason: revokers.Unexpected}
	case since >= w.firewallFrom && since < w.firewallTo:
		return w.firewall(secret)
	case at != endpoint:
		a := refuses("inactive")(secret)
		a.Documented, a.Also = "https://issuer.example/introspection", revokers.AlsoCredential
		if secret == control {
			a = accepts(secret)
		}
		return a
	}
	if c, ok := w.cache[secret]; ok && w.cacheFor > 0 && time.Since(c.at) < w.cacheFor {
		return c.answer
	}
	a := refuses("no")(secret)
	switch {
	case w.foreign && secret == leaked:
	case secret == leaked:
		if knows := w.replicas[w.r.IntN(len(w.replicas))]; !w.worked || knows.IsZero() || time.Now().Before(knows) {
			a = accepts(secret)
		}
	case secret == control && (w.controlDies == 0 || since < w.controlDies):
		a = accepts(secret)
	}
	if w.cache != nil {
		w.cache[secret] = cached{a, time.Now()}
	}
	return a
}

// alive reports whether any replica still accepts the credential.
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

// faults are the kinds of faults. Each changes the world, or the kill as apply describes it.
var faults = []struct {
	name string
	set  func(w *world, k *prove.Kill, part func() time.Duration)
	// dead: the kill works, and Confirmed is expected.
	dead bool
}{
	{"nothing", func(w *world, k *prove.Kill, _ func() time.Duration) { w.worked, k.Sent.Accepted = true, true }, true},
	{"a replica never learns", func(w *world, _ *prove.Kill, _ func() time.Duration) {
		w.replicas = []time.Time{w.replicas[0], {}}
	}, false},
	{"a cache", func(w *world, k *prove.Kill, part func() time.Duration) {
		w.cacheFor, w.cache = part(), map[string]cached{leaked: {accepts(leaked), w.killed}}
	}, false},
	{"a firewall, perhaps for good", func(w *world, k *prove.Kill, part func() time.Duration) {
		w.firewallFrom, w.firewallTo = part(), 4*settle
		if w.r.IntN(2) == 0 {
			w.firewallFrom = 0
		}
		// Only a control detects a firewall that answers in the issuer's form.
		if len(k.Target.Instance.Controls) > 0 && w.r.IntN(2) == 0 {
			w.firewall = refuses("no")
		}
	}, false},
	{"an outage in the middle", func(w *world, _ *prove.Kill, part func() time.Duration) {
		w.downFrom = part()
		w.downTo = w.downFrom + part()
	}, false},
	{"limits and pages", func(w *world, _ *prove.Kill, _ func() time.Duration) {
		w.throttle, w.pages = w.r.Float64()/2, w.r.Float64()/2
	}, false},
	{"the wrong host", func(w *world, k *prove.Kill, _ func() time.Duration) {
		// Another issuer accepts the credential; it was never Live at this host.
		w.foreign, w.worked, k.Target.Seen, k.Before = true, false, nil, nil
	}, false},
	{"no kill left", func(w *world, k *prove.Kill, _ func() time.Duration) {
		k.Attempted, k.Sent = false, nil
	}, false},
	{"another endpoint", func(w *world, k *prove.Kill, _ func() time.Duration) {
		k.Endpoint, w.worked = "POST /introspect", false
	}, false},
	{"the policy lost its control", func(w *world, k *prove.Kill, _ func() time.Duration) {
		k.Target.Instance.Controls = nil
	}, false},
	{"the policy has another control, which is dead", func(w *world, k *prove.Kill, _ func() time.Duration) {
		k.Target.Instance.Controls = []issuer.Control{{Rule: k.Target.Rule.ID, Secret: credential.NewSecretString("another-control-1")}}
	}, false},
	{"the control dies", func(w *world, _ *prove.Kill, part func() time.Duration) { w.controlDies = 1 + part() }, false},
	{"everything at once", func(w *world, k *prove.Kill, part func() time.Duration) {
		w.cacheFor, w.cache = part()/2, map[string]cached{}
		w.firewallFrom = part()
		w.firewallTo = w.firewallFrom + part()
		w.downFrom = part()
		w.downTo = w.downFrom + part()
		w.throttle, w.pages, w.controlDies = w.r.Float64()/4, w.r.Float64()/4, 1+2*part()
	}, false},
}

// Confirmed is correct only if no replica accepts the credential any more and a request of
// quell ended it.
func TestFaultsNeverMakeAFalseConfirmed(t *testing.T) {
	count, wrong := map[prove.Outcome]int{}, 0
	total := kills(t, 2000)
	for n := range total {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(n), 23))
			k := kill(t, r.IntN(2) == 0)
			k.Sent.Accepted = r.IntN(4) > 0
			w := &world{r: r, killed: time.Now(), worked: r.IntN(5) > 0, firewall: refuses("sign in at the gateway")}
			for range 1 + r.IntN(4) {
				w.replicas = append(w.replicas, w.killed.Add(time.Duration(r.Int64N(int64(settle)))))
			}
			f := faults[n%len(faults)]
			f.set(w, &k, func() time.Duration { return time.Duration(r.Int64N(int64(settle))) })
			c := confirm(t.Context(), w, k, prove.Schedule{Settle: settle})
			count[c.Outcome]++
			switch {
			case c.Outcome == prove.Confirmed && (w.alive() || !k.Attempted || k.Target.Seen == nil):
				wrong++
				t.Errorf("kill %d (%s) is Confirmed, alive %v: %s", n, f.name, w.alive(), c.Detail)
			case c.Outcome == prove.StillAlive && !w.alive() && w.cacheFor == 0:
				t.Errorf("kill %d (%s) is StillAlive and dead", n, f.name)
			case f.dead && c.Outcome != prove.Confirmed:
				t.Errorf("kill %d without a fault is %s: %s", n, c.Outcome, c.Detail)
			}
		})
	}
	t.Logf("%d kills: %v, %d false", total, count, wrong)
	for _, o := range []prove.Outcome{prove.Confirmed, prove.Unconfirmed, prove.StillAlive} {
		if count[o] < total/10 {
			t.Errorf("the faults are not spread: %v", count)
		}
	}
}

// One replica never learns of the kill. Every request goes to a random replica, as a load
// balancer distributes new connections.
func TestStaleReplicasAreFound(t *testing.T) {
	total := kills(t, 1000)
	for _, c := range []struct {
		replicas   int
		most       float64 // maximum share of false Confirmed
		controlled bool
	}{{2, 0.001, true}, {10, 0.02, true}, {10, 0.02, false}} {
		wrong, requests := 0, 0
		for n := range total {
			synctest.Test(t, func(t *testing.T) {
				w := &world{r: rand.New(rand.NewPCG(uint64(n), uint64(c.replicas))), killed: time.Now(), worked: true, replicas: make([]time.Time, c.replicas)}
				for i := 1; i < c.replicas; i++ {
					w.replicas[i] = w.killed
				}
				got := confirm(t.Context(), w, kill(t, c.controlled), prove.Schedule{Settle: settle})
				requests += w.requests
				if got.Outcome == prove.Confirmed {
					wrong++
				}
			})
		}
		share := float64(wrong) / float64(total)
		t.Logf("1 of %d replicas stale, control %v: %d of %d Confirmed (%.2f %%), %.1f requests per kill", c.replicas, c.controlled, wrong, total, 100*share, float64(requests)/float64(total))
		// The limit is for 20,000 kills; fewer kills have more variance.
		most := c.most
		if total < 20_000 {
			most += 3 * math.Sqrt(most*(1-most)/float64(total))
		}
		if share > most {
			t.Errorf("1 of %d replicas stale: %.2f %% false Confirmed", c.replicas, 100*share)
		}
	}
	var requests int
	synctest.Test(t, func(t *testing.T) {
		w := &world{r: rand.New(rand.NewPCG(1, 1)), killed: time.Now(), worked: true, replicas: []time.Time{time.Now()}}
		_ = confirm(t.Context(), w, kill(t, true), prove.Schedule{Settle: settle})
		requests = w.requests
	})
	// 38 looks with a control each, and two never-issued credentials.
	if requests != 2*prove.TargetLooks+2 {
		t.Errorf("a kill without stale replicas costs %d requests", requests)
	}
}
