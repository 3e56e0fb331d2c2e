package prove_test

import (
	"context"
	"math"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

const (
	endpoint = "GET /me"
	leaked   = "leaked-credential-1"
	control  = "control-credential-1"
	settle   = 30 * time.Second
)

// answers is a Verifier that calls the function with the secret.
type answers func(secret string) revokers.Answer

func (answers) Endpoints(revokers.Target) []string { return []string{endpoint} }

func (f answers) Verify(ctx context.Context, t revokers.Target, endpoint string) (revokers.Answer, error) {
	if ctx.Err() != nil {
		return revokers.Answer{}, ctx.Err()
	}
	a := f(t.Secret.Reveal())
	a.Endpoint, a.At = endpoint, time.Now()
	return a, nil
}

func accepts(string) revokers.Answer {
	return revokers.Answer{Class: revokers.Accepts, Status: 200}
}

func silent(string) revokers.Answer {
	return revokers.Answer{Class: revokers.Silent, Reason: revokers.Unreachable}
}

func throttled(string) revokers.Answer {
	return revokers.Answer{Class: revokers.Silent, Status: 429, Reason: revokers.Throttled}
}

func refuses(words string) answers {
	return func(secret string) revokers.Answer {
		return revokers.Answer{Class: revokers.Refuses, Status: 401, Raw: revokers.NewRefusal(401, "", "bearer", []byte(words), []string{secret})}
	}
}

// others answers like an issuer for every credential except the leaked one: it accepts the
// control and refuses never-issued credentials.
func others(leakedOnes answers) answers {
	return func(secret string) revokers.Answer {
		switch secret {
		case leaked:
			return leakedOnes(secret)
		case control:
			return accepts(secret)
		}
		return refuses("no")(secret)
	}
}

// target returns a credential at an instance with or without a control.
func target(controlled bool) revokers.Target {
	p := &rules.Provider{ID: "made-up", Hosts: []string{"issuer.example"}, Asked: []string{"issuer.example"}}
	r := &rules.Rule{ID: "made-up", Provider: p, Kind: credential.KindAPIKey, Probe: &rules.Probe{}}
	in := &issuer.Instance{Provider: p.ID, URL: &url.URL{Scheme: "https", Host: "issuer.example"}, Settings: map[string]string{}}
	if controlled {
		in.Controls = []issuer.Control{{Rule: r.ID, Secret: credential.NewSecretString(control)}}
	}
	c := credential.Credential{Ref: credential.Ref{Fingerprint: strings.Repeat("a", 32), Rule: r.ID, Provider: p.ID, Kind: r.Kind}, Secret: credential.NewSecretString(leaked)}
	return revokers.Target{Credential: c, Rule: r, Instance: in}
}

// kill returns an accepted revocation of a credential that was Live just before.
func kill(t *testing.T, controlled bool) prove.Kill {
	t.Helper()
	k := prove.Kill{Target: target(controlled), Endpoint: endpoint, Attempted: true, Sent: &revokers.Acknowledgement{Accepted: true}}
	e, err := (&guard.Asker{}).Ask(t.Context(), others(accepts), k.Target, endpoint)
	if err != nil || revokers.Judge(k.Target, e).Liveness != revokers.Live {
		t.Fatal("it is not live before the kill", err)
	}
	k.Target.Seen, k.Before = &revokers.Sighting{Endpoint: endpoint, At: time.Now(), Learned: e.Learned}, &e.Answer
	return k
}

func confirm(ctx context.Context, v revokers.Verifier, k prove.Kill, s prove.Schedule) prove.Confirmation {
	p := &prove.Prover{Asker: &guard.Asker{}, Verifier: v, Controls: &prove.Controls{}}
	return p.Confirm(ctx, k, s)
}

func TestHowAKillEnds(t *testing.T) {
	no := refuses("no")
	documented := func(secret string) revokers.Answer {
		a := no(secret)
		a.Documented = "https://issuer.example/errors"
		return a
	}
	from := func(d time.Duration, before, after answers) func() answers {
		return func() answers {
			start := time.Now()
			return func(secret string) revokers.Answer {
				if time.Since(start) < d {
					return before(secret)
				}
				return after(secret)
			}
		}
	}
	during := func(start, end time.Duration, then, otherwise answers) func() answers {
		return func() answers {
			begin := time.Now()
			return func(secret string) revokers.Answer {
				if d := time.Since(begin); d >= start && d < end {
					return then(secret)
				}
				return otherwise(secret)
			}
		}
	}
	limited := func(before, limit, after answers) func() answers {
		return func() answers {
			begin := time.Now()
			return func(secret string) revokers.Answer {
				switch d := time.Since(begin); {
				case d < settle-1:
					return before(secret)
				case d < settle+1:
					return limit(secret)
				}
				return after(secret)
			}
		}
	}
	always := func(a answers) func() answers { return func() answers { return a } }
	for name, c := range map[string]struct {
		controlled bool
		change     func(*prove.Kill)
		now        func() answers
		want       prove.Outcome
		control    string
		looks      int
	}{
		"accepted, then the learned refusal, without a control": {false, nil, always(others(no)), prove.Confirmed, prove.NoControl, 38},
		"accepted, then the learned refusal, the control live":  {true, nil, always(others(no)), prove.Confirmed, "live", 38},
		"the control is dead":                     {true, nil, always(no), prove.Unconfirmed, "dead", 0},
		"the control dies in the middle":          {true, nil, from(settle/2, others(no), no), prove.Unconfirmed, "dead", 0},
		"the revocation was refused":              {false, func(k *prove.Kill) { k.Sent.Accepted = false }, always(others(no)), prove.Unconfirmed, prove.NoControl, 0},
		"the last answer before it was a refusal": {false, func(k *prove.Kill) { k.Before.Class = revokers.Refuses }, always(others(no)), prove.Unconfirmed, prove.NoControl, 0},
		"no request left":                         {true, func(k *prove.Kill) { k.Attempted, k.Sent = false, nil }, always(others(no)), prove.Unconfirmed, "live", 38},
		"its response was lost, the control live": {true, func(k *prove.Kill) { k.Sent = nil }, always(others(no)), prove.Confirmed, "live", 38},
		"it was never seen live":                  {true, func(k *prove.Kill) { k.Target.Seen = nil }, always(others(documented)), prove.Unconfirmed, "live", 38},
		"accepted, and still alive":               {true, nil, always(others(accepts)), prove.StillAlive, "live", 0},
		"silence after the kill":                  {true, nil, always(others(silent)), prove.Unconfirmed, "unknown", 0},
		"silence at the end":                      {true, nil, from(settle-1, others(no), others(silent)), prove.Unconfirmed, "live", 37},
		"a limit at the end, which passes":        {true, nil, during(settle-1, settle+2*time.Second, others(throttled), others(no)), prove.Confirmed, "live", 38},
		"a limit in the middle":                   {true, nil, during(settle/3, settle/2, others(throttled), others(no)), prove.Confirmed, "live", 32},
		"a limit, after which it is alive":        {true, nil, limited(others(no), others(throttled), others(accepts)), prove.StillAlive, "live", 0},
		"a limit from the first look on":          {true, nil, always(others(throttled)), prove.Unconfirmed, "unknown", 0},
		"everybody is accepted after the kill":    {true, nil, always(accepts), prove.Unconfirmed, "unknown", 0},
		"alive until the last look":               {true, nil, from(settle, others(accepts), others(no)), prove.Confirmed, "live", 76},
		"a refusal that was not learned":          {true, nil, always(others(refuses("a gateway"))), prove.Unconfirmed, "live", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := kill(t, c.controlled)
				if c.change != nil {
					c.change(&k)
				}
				got := confirm(t.Context(), c.now(), k, prove.Schedule{Settle: settle})
				if got.Outcome != c.want || got.Control != c.control || got.Looks != c.looks {
					t.Errorf("%s (%s), control %s, %d looks", got.Outcome, got.Detail, got.Control, got.Looks)
				}
				if got.Took < settle {
					t.Errorf("it took %s", got.Took)
				}
				if got.Outcome != prove.Confirmed && got.Remedy == "" {
					t.Error("there is no remedy")
				}
				if math.Abs(got.ReplicaRisk-math.Pow(0.9, float64(got.Looks))) > 1e-12 {
					t.Errorf("the risk of %d looks is %f", got.Looks, got.ReplicaRisk)
				}
			})
		})
	}
}

func TestLimitsOfAConfirmation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := others(refuses("no"))
		k := kill(t, true)
		if c := confirm(t.Context(), dead, k, prove.Schedule{Settle: settle, Looks: 1}); c.Outcome != prove.Confirmed || c.Looks != prove.MinLooks {
			t.Errorf("at least two looks: %s, %d", c.Outcome, c.Looks)
		}
		if c := confirm(t.Context(), dead, k, prove.Schedule{Settle: settle, Looks: 10, MaxRisk: 0.02}); c.Outcome != prove.Unconfirmed || c.Remedy == "" {
			t.Errorf("10 looks leave a risk of 0.35: %s", c.Outcome)
		}
		if c := confirm(t.Context(), dead, k, prove.Schedule{Settle: settle, MaxRisk: 0.02}); c.Outcome != prove.Confirmed {
			t.Errorf("38 looks leave a risk of 0.018: %s", c.Outcome)
		}
		ctx, stop := context.WithTimeout(t.Context(), settle/2)
		defer stop()
		if c := confirm(ctx, dead, k, prove.Schedule{Settle: settle}); c.Outcome != prove.Unconfirmed || !strings.Contains(c.Detail, "interrupted") {
			t.Errorf("interrupted: %s, %s", c.Outcome, c.Detail)
		}
		// Ten looks in total, the fifth of which is Live: five are left.
		n := 0
		flap := others(func(secret string) revokers.Answer {
			if n++; n == 5 {
				return accepts(secret)
			}
			return refuses("no")(secret)
		})
		if c := confirm(t.Context(), flap, k, prove.Schedule{Settle: settle, Looks: 10, Limit: 10}); c.Outcome != prove.Confirmed || n != 10 || c.Looks != 5 {
			t.Errorf("%s after %d requests, %d looks", c.Outcome, n, c.Looks)
		}
		n = 0
		if c := confirm(t.Context(), flap, k, prove.Schedule{Settle: settle, Looks: 5, Limit: 5}); c.Outcome != prove.Unconfirmed || n != 5 {
			t.Errorf("no look is left: %s after %d requests", c.Outcome, n)
		}
	})
}

// Concurrent confirmations share the answer about a control, which is never older than the
// question.
func TestConfirmationsShareAControl(t *testing.T) {
	var requests atomic.Int64
	release := make(chan struct{})
	v := answers(func(secret string) revokers.Answer {
		n := requests.Add(1)
		<-release
		time.Sleep(50 * time.Microsecond) // the others come meanwhile, on one processor too
		a := accepts(secret)
		a.Status = int(n)
		return a
	})
	c, of := &prove.Controls{}, target(true)
	const askers = 50
	var wg sync.WaitGroup
	for range askers {
		wg.Go(func() {
			for range 20 {
				before := requests.Load()
				a, err := c.Ask(t.Context(), v, of, endpoint)
				if err != nil || int64(a.Status) <= before {
					t.Errorf("the answer to request %d is older than the question, after %d: %v", a.Status, before, err)
				}
			}
		})
	}
	for requests.Load() == 0 {
		runtime.Gosched()
	}
	close(release)
	wg.Wait()
	if n := requests.Load(); n >= askers*20 {
		t.Errorf("%d requests: none was shared", n)
	}
}
