package rulestest

import (
	"net/url"
	"slices"
	"strings"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/interp"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/natives"
	"github.com/quellhq/quell/rules"
)

// fallbackHost is the host of an instance that only operators name.
const fallbackHost = "issuer.example"

// home is the host that a case's requests leave out: the one that is asked
// first.
func (t *suite) home(with map[string]string) string {
	switch {
	case with["host"] != "":
		return with["host"]
	case len(t.rule.Provider.Asked) > 0:
		return t.rule.Provider.Asked[0]
	}
	return fallbackHost
}

// target binds a credential to the case's instance.
func (t *suite) target(c rules.Credential, with map[string]string) revokers.Target {
	host := t.home(with)
	if with["host"] == "" {
		for _, h := range t.rule.Provider.Asked {
			if t.rule.Issues(h, c.Secret) {
				host = h
				break
			}
		}
	}
	in := &issuer.Instance{Provider: t.rule.Provider.ID, URL: &url.URL{Scheme: "https", Host: host}, Operator: true, Sole: true, Settings: map[string]string{}}
	for k, v := range with {
		switch k {
		case "admin":
			in.Admin = rules.NewSecretString(v)
		case "client_id":
			in.ClientID = v
		case "client_secret":
			in.ClientSecret = rules.NewSecretString(v)
		case "host":
		default:
			in.Settings[k] = v
		}
	}
	return revokers.Target{Credential: c, Rule: t.rule, Instance: in}
}

// play is the run of one case.
type play struct {
	suite  *suite
	server *server
	target revokers.Target
	reg    *natives.Registry
	asker  *guard.Asker
	last   *revokers.Answer
	before *revokers.Answer
	sent   *revokers.Acknowledgement
}

func (t *suite) play(c rules.Case, cred rules.Credential) *play {
	p := &play{suite: t, target: t.target(cred, c.With), asker: &guard.Asker{}}
	never := t.never(c, p.target)
	p.server = newServer(t.home(c.With), c.Replies, never, interp.Expander(p.target))
	p.reg = natives.New(natives.Config{Doer: p.server})
	return p
}

// never is the reply to a credential that was never issued: that of the case,
// its own reply that the probe reads as dead, or one that a dead arm describes.
func (t *suite) never(c rules.Case, target revokers.Target) rules.Reply {
	if c.Never != nil {
		return *c.Never
	}
	for _, r := range slices.Backward(c.Replies) {
		if t.rule.Probe == nil || t.rule.Probe.Request == nil {
			break
		}
		if interp.Means(target, response(r)) == "dead" {
			return r
		}
	}
	return refuse(t.rule.Probe)
}

func (t *suite) run(c rules.Case) {
	cred, ok := t.whole()
	if !ok {
		t.fail("case %q: there is no example to run it with", c.Name)
		return
	}
	p := t.play(c, cred)
	defer p.server.http.Close()
	revokes := false
	for i, want := range c.Want {
		word, reason, _ := strings.Cut(want, ":")
		var got, gotReason, detail string
		if word == "accepted" || word == "refused" {
			revokes = true
			got, detail = p.revoke(c.Revoke)
		} else {
			got, gotReason, detail = p.verify()
		}
		if got != word || reason != "" && gotReason != strings.ReplaceAll(reason, " ", "_") {
			t.fail("case %q: answer %d is %s:%s (%s), want %s", c.Name, i+1, got, gotReason, detail, want)
			return
		}
	}
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	for _, problem := range p.server.problems {
		t.fail("case %q: %s", c.Name, problem)
	}
	if len(p.server.replies) > 0 {
		t.fail("case %q: %d replies were never asked for", c.Name, len(p.server.replies))
	}
	var requests []string
	for _, q := range c.Requests {
		requests = append(requests, p.server.expand(q))
	}
	switch {
	case revokes && len(c.Requests) == 0:
		t.fail("case %q sends a revocation and does not say with which requests: %q", c.Name, p.server.requests)
	case c.Requests != nil && !slices.Equal(requests, p.server.requests):
		t.fail("case %q: the requests were %q, want %q", c.Name, p.server.requests, requests)
	}
}

// verify asks about the credential and about two that were never issued, and
// judges.
func (p *play) verify() (liveness, reason, detail string) {
	endpoints := p.reg.Endpoints(p.target)
	if len(endpoints) == 0 {
		return "unknown", string(revokers.Unsupported), "nothing can be asked"
	}
	e, err := p.asker.Ask(p.suite.ctx, telling{p.reg, p.server, p.target}, p.target, endpoints[0])
	if err != nil {
		return "error", "", err.Error()
	}
	e.Sent, e.Before = p.sent, p.before
	v := revokers.Judge(p.target, e)
	if v.Liveness == revokers.Live {
		p.target.Seen = &revokers.Sighting{Endpoint: endpoints[0], At: e.Answer.At, Learned: e.Learned}
		p.target.Captures = e.Answer.Captures
	}
	p.last = &e.Answer
	return v.Liveness.String(), string(v.Reason), v.Detail
}

// revoke sends all requests of a revocation.
func (p *play) revoke(id string) (outcome, detail string) {
	fits := func(native bool) func(rules.Revoke) bool {
		return func(v rules.Revoke) bool { return (v.Native != "") == native && (id == "" || v.ID == id) }
	}
	i := slices.IndexFunc(p.suite.rule.Revokes, fits(false))
	if i < 0 {
		i = slices.IndexFunc(p.suite.rule.Revokes, fits(true))
	}
	if i < 0 {
		return "error", "the rule has no such revocation"
	}
	v := &p.suite.rule.Revokes[i]
	if missing, ok := interp.Has(p.target, v.Needs); !ok {
		return "error", "it needs " + missing
	}
	p.before = p.last
	r, err := p.reg.Revoker(v)
	if err != nil {
		return "error", err.Error()
	}
	ts := []revokers.Target{p.target}
	effects, err := r.Plan(p.suite.ctx, ts)
	if err != nil {
		return "error", err.Error()
	}
	for _, e := range effects {
		receipt, err := r.Send(p.suite.ctx, ts, e, func(revokers.Effect) error { return nil })
		if err != nil {
			return "error", err.Error()
		}
		ack := receipt.Of(0)
		p.sent = &ack
		if !ack.Accepted {
			return "refused", ack.Detail
		}
	}
	return "accepted", ""
}

// negativeControl plays an issuer to which every credential is good: no verdict
// of Live may come of it.
func (t *suite) negativeControl() {
	if t.rule.Probe == nil || t.rule.Probe.Native != "" {
		return
	}
	for _, c := range t.rule.Cases {
		if len(c.Want) == 0 || !strings.HasPrefix(c.Want[0], "live") {
			continue
		}
		cred, ok := t.whole()
		if !ok {
			return
		}
		p := t.play(c, cred)
		for _, r := range c.Replies {
			if interp.Means(p.target, response(r)) == "live" {
				p.server.anything = &r
				break
			}
		}
		liveness, reason, _ := p.verify()
		p.server.http.Close()
		if liveness != "unknown" || reason != string(revokers.AcceptsAll) {
			t.fail("an issuer that accepts anything makes it %s (%s)", liveness, reason)
		}
		return
	}
	t.fail("no case begins live, so the negative control can't be run")
}
