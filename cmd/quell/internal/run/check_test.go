package run

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// surfaces is a Verifier with the endpoints userinfo and introspection. The map has an
// answer for each host and endpoint; never-issued credentials are refused.
type surfaces struct {
	says  map[string]revokers.Class
	asked []string
}

func (*surfaces) Endpoints(revokers.Target) []string { return []string{"userinfo", "introspection"} }

func (s *surfaces) Verify(_ context.Context, t revokers.Target, endpoint string) (revokers.Answer, error) {
	at := t.Host() + " " + endpoint
	a := revokers.Answer{Class: revokers.Refuses, Endpoint: endpoint, Status: 401, At: time.Now(), Documented: "https://issuer.example/errors"}
	if t.Secret.Reveal() != "the-leaked-token" {
		return a, nil
	}
	s.asked = append(s.asked, at)
	if a.Class = s.says[at]; a.Class != revokers.Refuses {
		a.Documented = ""
	}
	return a, nil
}

func TestEndpointsAndInstancesDecideTogether(t *testing.T) {
	const live, dead, silent = revokers.Accepts, revokers.Refuses, revokers.Silent
	for name, c := range map[string]struct {
		says   map[string]revokers.Class
		want   revokers.Liveness
		target string // the instance that issued it; empty: none is certain
	}{
		"userinfo says live, introspection inactive": {map[string]revokers.Class{"a.example userinfo": live, "a.example introspection": dead, "b.example userinfo": dead, "b.example introspection": dead}, revokers.Live, "a.example"},
		"introspection says live, userinfo refuses":  {map[string]revokers.Class{"a.example userinfo": dead, "a.example introspection": live, "b.example userinfo": dead, "b.example introspection": dead}, revokers.Live, "a.example"},
		"one endpoint refuses, the other is silent":  {map[string]revokers.Class{"a.example userinfo": dead, "a.example introspection": silent, "b.example userinfo": silent, "b.example introspection": silent}, revokers.Unknown, ""},
		"the second instance says live":              {map[string]revokers.Class{"a.example userinfo": dead, "a.example introspection": dead, "b.example userinfo": live, "b.example introspection": live}, revokers.Live, "b.example"},
		"two instances say live":                     {map[string]revokers.Class{"a.example userinfo": live, "b.example userinfo": live}, revokers.Live, ""},
		"none is sure":                               {map[string]revokers.Class{}, revokers.Unknown, ""},
		"dead at both":                               {map[string]revokers.Class{"a.example userinfo": dead, "a.example introspection": dead, "b.example userinfo": dead, "b.example introspection": dead}, revokers.Dead, ""},
	} {
		p := &rules.Provider{ID: "made-up"}
		r := &rules.Rule{ID: "made-up", Provider: p, Kind: credential.KindBearer, Probe: &rules.Probe{Native: "x"}}
		var list issuer.Instances
		for _, h := range []string{"a.example", "b.example"} {
			list = append(list, &issuer.Instance{Provider: "made-up", URL: &url.URL{Scheme: "https", Host: h}, Operator: true, Sole: true, Settings: map[string]string{}})
		}
		v := &surfaces{says: c.says}
		k := &Checker{Set: &rules.Set{Rules: []*rules.Rule{r}, Providers: map[string]*rules.Provider{"made-up": p}}, Instances: list, Verifier: v, Asker: &guard.Asker{}}
		got := k.One(t.Context(), credential.Credential{Ref: credential.Ref{Rule: "made-up"}, Secret: credential.NewSecretString("the-leaked-token")})
		target := ""
		if got.Target != nil {
			target = got.Target.Host()
		}
		if verdict := got.Verdict(); verdict.Liveness != c.want || target != c.target {
			t.Errorf("%s: %s (%s) at %q", name, verdict.Liveness, verdict.Reason, target)
		}
		if c.target == "" || got.Target.Seen == nil {
			continue
		}
		// From now on only the endpoint that answered live is asked.
		v.asked = nil
		v.says = map[string]revokers.Class{c.target + " userinfo": dead, c.target + " introspection": dead}
		if after, _ := k.At(t.Context(), got.Target); after.Liveness != revokers.Dead || len(v.asked) != 1 || v.asked[0] != c.target+" "+got.Target.Seen.Endpoint {
			t.Errorf("%s: afterwards %s, asked %v", name, after.Liveness, v.asked)
		}
	}
}

// A claim of the text that matches one instance keeps the token from the other.
func TestAnInstanceThatTheTextContradictsIsNotAsked(t *testing.T) {
	b := setup(t, 1)
	elsewhere := *b.in
	elsewhere.URL = &url.URL{Scheme: "https", Host: "github.corp.example"}
	b.applier.Checker.Instances = issuer.Instances{b.in, &elsewhere}
	c := b.creds[0]
	c.Claims.Hosts = []string{b.in.URL.Host}
	got := b.applier.Checker.One(t.Context(), c)
	if len(got.Verdicts) != 2 || got.Verdicts[0].Liveness != revokers.Live || got.Verdicts[1].Reason != revokers.OtherIssuer || got.Verdicts[1].Remedy == "" {
		t.Errorf("%+v", got.Verdicts)
	}
	b.applier.Checker.Offline = true
	if v := b.applier.Checker.One(t.Context(), c).Verdict(); v.Reason != revokers.Offline || v.Unanswered() {
		t.Errorf("--offline: %s (%s)", v.Liveness, v.Reason)
	}
}

// Credentials that the time for probing did not suffice for are throttled, which counts as unanswered.
func TestTheTimeForProbingEnds(t *testing.T) {
	b := setup(t, 2)
	b.applier.Checker.Time = time.Nanosecond
	checked, err := b.applier.Checker.Check(t.Context(), b.creds, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checked {
		if v := c.Verdict(); v.Reason != revokers.Throttled || !c.Unanswered() || v.Remedy == "" {
			t.Errorf("%s (%s): %s", v.Liveness, v.Reason, v.Remedy)
		}
	}
}
