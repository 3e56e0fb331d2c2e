package rulestest

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/interp"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/natives"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners/detect"
)

// counter counts the requests that reach an issuer.
type counter struct {
	issuer.Doer
	n int
}

func (c *counter) Do(ctx context.Context, i *issuer.Instance, r issuer.Request) (issuer.Response, error) {
	c.n++
	return c.Doer.Do(ctx, i, r)
}

// Each rule with a probe or a revocation declares the number of its requests.
func TestEveryRuleStatesItsRequests(t *testing.T) {
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range set.Rules {
		if (r.Probe != nil || len(r.Revokes) > 0) && r.RequestsMax == 0 {
			t.Errorf("%s: no requests_max: CONTRIBUTING.md names the usual numbers", r.ID)
		}
	}
}

// The requests that an issuer gets from the question before a kill to the last look are no more
// than its rule states, with a control and without one, and whether a replica is late or not.
func TestRequestsMaxIsKept(t *testing.T) {
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{ctx: t.Context(), set: set, engine: detect.New(set), random: rand.NewChaCha8([32]byte{7})}
	tried, most := 0, ""
	for _, r := range set.Rules {
		if r.Probe == nil || r.Probe.Request == nil || r.RequestsMax == 0 {
			continue
		}
		s.rule = r
		for _, c := range r.Cases {
			if len(c.Want) == 0 || !strings.HasPrefix(c.Want[0], "live") {
				continue
			}
			leaked, ok := s.whole()
			control, ok2 := s.whole()
			if !ok || !ok2 || leaked.Secret.Equal(control.Secret) {
				break
			}
			for _, with := range []bool{true, false} {
				for _, late := range []bool{false, true} {
					n, ran := s.requests(t, c, leaked, control, with, late)
					if !ran {
						continue
					}
					tried++
					if n > r.RequestsMax {
						t.Errorf("%s: %d requests with a control (%v) and a late replica (%v), and requests_max is %d", r.ID, n, with, late, r.RequestsMax)
					}
					if n == r.RequestsMax {
						most = r.ID
					}
				}
			}
			break
		}
	}
	if tried < 300 || most == "" {
		t.Errorf("%d runs, and none needed all of its requests (%q): nothing was measured", tried, most)
	}
}

// requests plays one apply and counts what the issuer gets.
func (s *suite) requests(t *testing.T, c rules.Case, leaked, control rules.Credential, with, late bool) (n int, ran bool) {
	synctest.Test(t, func(t *testing.T) {
		target := s.target(leaked, c.With)
		if with {
			target.Instance.Controls = []issuer.Control{{Rule: s.rule.ID, Secret: control.Secret, Parts: control.Parts}}
		}
		f := &faulty{r: rand.New(rand.NewPCG(1, 7)), leaked: leaked.Secret.Reveal(), control: control.Secret.Reveal(), worked: true}
		f.never = answered(s.never(c, target), target)
		for _, p := range c.Replies {
			if interp.Means(target, response(p)) == "live" {
				f.live = answered(p, target)
				break
			}
		}
		count := &counter{Doer: f}
		v := about{natives.New(natives.Config{Doer: count}), f}
		endpoints := v.Endpoints(target)
		if len(endpoints) == 0 {
			return
		}
		asker := &guard.Asker{}
		e, err := asker.Ask(t.Context(), v, target, endpoints[0])
		if err != nil || revokers.Judge(target, e).Liveness != revokers.Live {
			return // its case needs several replies
		}
		ran = true
		if len(s.rule.Revokes) > 0 {
			target.Seen = &revokers.Sighting{Endpoint: endpoints[0], At: time.Now(), Learned: e.Learned}
			target.Captures = e.Answer.Captures
			kill := 1
			for _, r := range s.rule.Revokes {
				kill = max(kill, len(r.Requests)*(len(r.Steps)+1))
			}
			count.n += kill
			f.killed = time.Now()
			f.replicas = []time.Time{f.killed}
			if late {
				f.replicas = append(f.replicas, f.killed.Add(faultSettle/2))
			}
			looks, limit := prove.LooksOf(target)
			p := &prove.Prover{Asker: asker, Verifier: v, Controls: &prove.Controls{}}
			p.Confirm(t.Context(), prove.Kill{Target: target, Endpoint: endpoints[0], Attempted: true, Sent: &revokers.Acknowledgement{Accepted: true}, Before: &e.Answer},
				prove.Schedule{Settle: faultSettle, Looks: looks, Limit: limit})
		}
		n = count.n
	})
	return n, ran
}
