package rulestest

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
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

// faulty is the network between a probe and the issuer of a rule's case.
type faulty struct {
	r           *rand.Rand
	live, never issuer.Response
	about       string // the secret of the credential that is asked about
	leaked      string
	control     string

	killed   time.Time
	worked   bool        // something ended the credential
	replicas []time.Time // when each learns of it
	foreign  bool        // the host did not issue it

	firewallFrom, firewallTo, downFrom, downTo, controlDies time.Duration
	firewall                                                *issuer.Response
	throttle, pages                                         float64
}

// Do implements issuer.Doer.
func (f *faulty) Do(ctx context.Context, _ *issuer.Instance, _ issuer.Request) (issuer.Response, error) {
	since := time.Since(f.killed)
	if f.killed.IsZero() {
		since = -time.Hour
	}
	switch {
	case ctx.Err() != nil:
		return issuer.Response{}, ctx.Err()
	case since < 0:
	case since >= f.downFrom && since < f.downTo:
		return issuer.Response{}, errors.New("the connection broke off")
	case f.r.Float64() < f.throttle:
		return issuer.Response{Status: http.StatusTooManyRequests, Header: http.Header{}}, nil
	case f.r.Float64() < f.pages:
		return issuer.Response{Status: http.StatusOK, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("<html>maintenance</html>")}, nil
	case f.firewall != nil && since >= f.firewallFrom && since < f.firewallTo:
		return *f.firewall, nil
	}
	switch f.about {
	case f.leaked:
		if f.foreign && since >= 0 {
			return f.never, nil
		}
		if since < 0 || !f.worked || time.Now().Before(f.replicas[f.r.IntN(len(f.replicas))]) {
			return f.live, nil
		}
	case f.control:
		if since < 0 || f.controlDies == 0 || since < f.controlDies {
			return f.live, nil
		}
	}
	return f.never, nil
}

// alive reports whether a replica still accepts the credential, or its real issuer does.
func (f *faulty) alive() bool {
	for _, k := range f.replicas {
		if time.Now().Before(k) {
			return true
		}
	}
	return !f.worked || f.foreign
}

// about is a Verifier that notes which credential is asked about.
type about struct {
	revokers.Verifier
	f *faulty
}

func (a about) Verify(ctx context.Context, t revokers.Target, endpoint string) (revokers.Answer, error) {
	a.f.about = t.Secret.Reveal()
	return a.Verifier.Verify(ctx, t, endpoint)
}

// answered is a reply with its variables filled in.
func answered(p rules.Reply, target revokers.Target) issuer.Response {
	expand := interp.Expander(target)
	out := issuer.Response{Status: p.Status, Header: http.Header{}, Body: []byte(expand(p.Body))}
	for k, v := range p.Header {
		out.Header.Set(k, expand(v))
	}
	if p.JSON != nil {
		out.Body, _ = json.Marshal(expandJSON(p.JSON, expand))
		if out.Header.Get("Content-Type") == "" {
			out.Header.Set("Content-Type", "application/json")
		}
	}
	return out
}

const faultSettle = 30 * time.Second

// ruleFaults are faults between the kill and the proof. Each changes the network or the kill.
var ruleFaults = []struct {
	name string
	set  func(f *faulty, k *prove.Kill, part func() time.Duration)
}{
	{"nothing", func(f *faulty, k *prove.Kill, _ func() time.Duration) { f.worked, k.Sent.Accepted = true, true }},
	{"a gateway for everybody", func(f *faulty, k *prove.Kill, part func() time.Duration) {
		f.firewallFrom, f.firewallTo = part(), 4*faultSettle
		f.firewall = &issuer.Response{Status: http.StatusUnauthorized, Header: http.Header{"Content-Type": {"text/html"}, "Www-Authenticate": {`Basic realm="gateway"`}}, Body: []byte("<html>sign in at the gateway</html>")}
		// Only a control detects one that answers as the issuer does.
		if len(k.Target.Instance.Controls) > 0 && f.r.IntN(2) == 0 {
			f.firewall = &f.never
		}
	}},
	{"an outage", func(f *faulty, _ *prove.Kill, part func() time.Duration) {
		f.downFrom = part()
		f.downTo = f.downFrom + part()
	}},
	{"limits and pages", func(f *faulty, _ *prove.Kill, _ func() time.Duration) {
		f.throttle, f.pages = f.r.Float64()/2, f.r.Float64()/2
	}},
	{"the wrong host", func(f *faulty, k *prove.Kill, _ func() time.Duration) {
		f.foreign, k.Target.Seen, k.Before = true, nil, nil
	}},
	{"no kill was sent", func(_ *faulty, k *prove.Kill, _ func() time.Duration) { k.Attempted, k.Sent = false, nil }},
	{"another endpoint", func(f *faulty, k *prove.Kill, _ func() time.Duration) {
		k.Target.Seen.Endpoint, f.worked = "GET /another", false
	}},
	{"the policy lost its control", func(_ *faulty, k *prove.Kill, _ func() time.Duration) { k.Target.Instance.Controls = nil }},
	{"the policy has a dead control", func(_ *faulty, k *prove.Kill, _ func() time.Duration) {
		k.Target.Instance.Controls = []issuer.Control{{Rule: k.Target.Rule.ID, Secret: rules.NewSecretString("made-up-and-dead"), Parts: k.Target.Parts}}
	}},
	{"the control dies", func(f *faulty, _ *prove.Kill, part func() time.Duration) { f.controlDies = 1 + part() }},
}

// Each probe of the rules files, with the answers of its own case, between a kill and its
// proof: Confirmed is correct only if nothing accepts the credential any more and a request of
// quell ended it. QUELL_KILLS sets the number of kills.
func TestFaultsOfEveryProbe(t *testing.T) {
	total := 1500
	if n, err := strconv.Atoi(os.Getenv("QUELL_KILLS")); err == nil {
		total = n
	}
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{ctx: t.Context(), set: set, engine: detect.New(set), random: rand.NewChaCha8([32]byte{23})}
	type subject struct {
		rule            *rules.Rule
		c               rules.Case
		leaked, control rules.Credential
	}
	var all []subject
	for _, r := range set.Rules {
		if r.Probe == nil || r.Probe.Native != "" || r.Probe.Request == nil {
			continue
		}
		for _, c := range r.Cases {
			if len(c.Want) == 0 || !strings.HasPrefix(c.Want[0], "live") {
				continue
			}
			s.rule = r
			a, ok := s.whole()
			b, ok2 := s.whole()
			if ok && ok2 && !a.Secret.Equal(b.Secret) {
				all = append(all, subject{r, c, a, b})
			}
			break
		}
	}
	if len(all) < 100 {
		t.Fatalf("only %d rules have a probe with a case", len(all))
	}
	count, tried, confirmed := map[prove.Outcome]int{}, map[string]bool{}, map[string]bool{}
	wrong, ran := 0, 0
	for n := 0; n < 3*total && ran < total; n++ {
		x := all[n%len(all)]
		fault := ruleFaults[n/len(all)%len(ruleFaults)]
		s.rule = x.rule
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(n), 7))
			target := s.target(x.leaked, x.c.With)
			if r.IntN(2) == 0 {
				target.Instance.Controls = []issuer.Control{{Rule: x.rule.ID, Secret: x.control.Secret, Parts: x.control.Parts}}
			}
			f := &faulty{r: r, leaked: x.leaked.Secret.Reveal(), control: x.control.Secret.Reveal(), worked: r.IntN(5) > 0}
			f.never = answered(s.never(x.c, target), target)
			for _, p := range x.c.Replies {
				if interp.Means(target, response(p)) == "live" {
					f.live = answered(p, target)
					break
				}
			}
			reg := natives.New(natives.Config{Doer: f})
			v := about{reg, f}
			endpoints := reg.Endpoints(target)
			if len(endpoints) == 0 {
				return
			}
			e, err := (&guard.Asker{}).Ask(t.Context(), v, target, endpoints[0])
			if err != nil || revokers.Judge(target, e).Liveness != revokers.Live {
				return // its case needs several replies
			}
			ran++
			tried[x.rule.ID] = true
			target.Seen = &revokers.Sighting{Endpoint: endpoints[0], At: time.Now(), Learned: e.Learned}
			target.Captures = e.Answer.Captures
			k := prove.Kill{Target: target, Endpoint: endpoints[0], Attempted: true, Sent: &revokers.Acknowledgement{Accepted: r.IntN(4) > 0}, Before: &e.Answer}
			f.killed = time.Now()
			for range 1 + r.IntN(4) {
				f.replicas = append(f.replicas, f.killed.Add(time.Duration(r.Int64N(int64(faultSettle)))))
			}
			fault.set(f, &k, func() time.Duration { return time.Duration(r.Int64N(int64(faultSettle))) })
			p := &prove.Prover{Asker: &guard.Asker{}, Verifier: v, Controls: &prove.Controls{}}
			c := p.Confirm(t.Context(), k, prove.Schedule{Settle: faultSettle, Looks: 8})
			count[c.Outcome]++
			if c.Outcome == prove.Confirmed {
				confirmed[x.rule.ID] = true
				if f.alive() || !k.Attempted || k.Target.Seen == nil {
					wrong++
					t.Errorf("kill %d of %s (%s) is Confirmed, alive %v: %s", n, x.rule.ID, fault.name, f.alive(), c.Detail)
				}
			}
			if fault.name == "nothing" && c.Outcome != prove.Confirmed {
				t.Logf("%s without a fault: %s, %s", x.rule.ID, c.Outcome, c.Detail)
			}
		})
	}
	t.Logf("%d kills by %d of %d probes: %v, %d false; %d probes can confirm", ran, len(tried), len(all), count, wrong, len(confirmed))
	if len(tried) < len(all)*9/10 || ran >= len(all) && len(confirmed) < len(tried)*9/10 {
		t.Errorf("%d of %d probes were tried, %d could confirm", len(tried), len(all), len(confirmed))
	}
}
