// Package rulestest is the suite that every rules file passes: its examples
// are found, its look-alikes are not, its cases run against an issuer that
// gives their replies, and an issuer that accepts anything is seen through.
package rulestest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/natives"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/detect"
)

// Accept runs the suite on one rules file and lists what is wrong with it.
func Accept(ctx context.Context, name string, text []byte) []string {
	own, err := rules.Load(name, text)
	if err != nil {
		return []string{err.Error()}
	}
	base, err := rules.Builtin()
	if err != nil {
		return []string{err.Error()}
	}
	all := base.Clone()
	if err := all.Merge(own); err != nil {
		return []string{err.Error()}
	}
	t := &suite{ctx: ctx, set: all, engine: detect.New(all), random: rand.NewChaCha8([32]byte([]byte("quell rules accept, fixed seed 01")[:32]))}
	for _, r := range own.Rules {
		t.rule = r
		t.natives()
		t.examples()
		for _, c := range r.Cases {
			t.run(c)
		}
		t.negativeControl()
	}
	return t.problems
}

type suite struct {
	ctx      context.Context
	set      *rules.Set
	engine   *detect.Engine
	random   *rand.ChaCha8
	rule     *rules.Rule
	problems []string
}

func (t *suite) fail(format string, args ...any) {
	t.problems = append(t.problems, fmt.Sprintf("%s:%d: rule %s: %s", t.rule.File, t.rule.Line, t.rule.ID, fmt.Sprintf(format, args...)))
}

func (t *suite) natives() {
	verifiers, enders := natives.New(natives.Config{}).Names()
	if p := t.rule.Probe; p != nil && p.Native != "" && !slices.Contains(verifiers, p.Native) {
		t.fail("no native probe %q", p.Native)
	}
	for _, v := range t.rule.Revokes {
		if v.Native != "" && !slices.Contains(enders, v.Native) {
			t.fail("no native revocation %q", v.Native)
		}
	}
}

func (t *suite) detect(line string) []scanners.Match {
	b := []byte("before\n" + line + "\nafter\n")
	return slices.Collect(t.engine.Detect(scanners.Chunk{Artifact: &scanners.Artifact{}, Data: b, Line: 1, Column: 1, To: len(b)}))
}

func (t *suite) examples() {
	if len(t.rule.Examples) == 0 || len(t.rule.Lookalikes) == 0 {
		t.fail("needs examples and look-alikes")
	}
	for i, e := range t.rule.Examples {
		line, err := rules.Generate(e, t.random)
		if err != nil {
			t.fail("example %d: %v", i+1, err)
			continue
		}
		found := t.detect(line)
		if !slices.ContainsFunc(found, func(m scanners.Match) bool { return m.Rule.ID == t.rule.ID }) {
			var other []string
			for _, m := range found {
				other = append(other, m.Rule.ID)
			}
			t.fail("example %d (%s) is not found; other rules: %v", i+1, e, other)
			continue
		}
		for _, m := range found {
			if m.Rule.ID == t.rule.ID && !strings.Contains(line, m.Secret.Reveal()) {
				t.fail("example %d: the secret is not what stands there", i+1)
			}
			if m.Rule.ID == t.rule.ID && !t.rule.ValidChecksum(m.Secret.Reveal()) {
				t.fail("example %d: its check digits are wrong", i+1)
			}
		}
	}
	for i, l := range t.rule.Lookalikes {
		line, err := rules.Generate(l, t.random)
		if err != nil {
			t.fail("look-alike %d: %v", i+1, err)
			continue
		}
		for _, m := range t.detect(line) {
			if m.Rule.ID == t.rule.ID {
				t.fail("look-alike %d (%s) is found", i+1, l)
			}
		}
	}
}

// secret makes a credential of the rule's from its first example.
func (t *suite) secret() (rules.Credential, bool) {
	for _, e := range t.rule.Examples {
		line, err := rules.Generate(e, t.random)
		if err != nil {
			continue
		}
		for _, m := range t.detect(line) {
			if m.Rule.ID == t.rule.ID {
				return rules.Credential{Ref: rules.Ref{Fingerprint: fmt.Sprint(t.random.Uint64()), Rule: t.rule.ID, Kind: t.rule.Kind, Cookie: m.Cookie}, Secret: m.Secret}, true
			}
		}
	}
	return rules.Credential{}, false
}

// double serves a case's replies to the credential, and a refusal to every
// other one, as an issuer does.
type double struct {
	mu       sync.Mutex
	secret   string
	replies  []rules.Reply
	refuse   rules.Reply
	requests []string
	anything bool // gives the first reply to everybody
}

func (s *double) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.ContentLength > 0 {
		_ = r.ParseForm()
	}
	reply := s.refuse
	switch {
	case s.anything && len(s.replies) > 0:
		reply = s.replies[0]
	case !s.knows(r):
	case len(s.replies) == 0:
		reply = rules.Reply{Status: 599, Body: "the case has no reply left"}
	default:
		s.requests = append(s.requests, r.Method+" "+r.URL.Path)
		reply, s.replies = s.replies[0], s.replies[1:]
	}
	for k, v := range reply.Header {
		w.Header().Set(k, v)
	}
	last8 := s.secret[max(0, len(s.secret)-8):]
	body := []byte(reply.Body)
	if reply.JSON != nil {
		if w.Header().Get("Content-Type") == "" {
			w.Header().Set("Content-Type", "application/json")
		}
		body, _ = json.Marshal(reply.JSON)
		body = []byte(strings.ReplaceAll(string(body), "{token.last8}", last8))
	}
	w.WriteHeader(reply.Status)
	_, _ = w.Write(body)
}

// knows tells a request about the case's own credential from a control's.
// Requests of the operator's carry no credential.
func (s *double) knows(r *http.Request) bool {
	var all strings.Builder
	for _, v := range r.Header {
		all.WriteString(strings.Join(v, "\n"))
	}
	if strings.Contains(all.String(), s.secret) {
		return true
	}
	return strings.HasPrefix(r.Header.Get("Authorization"), "Basic ") || r.Header.Get("Private-Token") == "operator" || r.Method == http.MethodPost && r.URL.Path == "/credentials/revoke"
}

// refuse is what never-issued credentials get: what the case's dead one gets, or
// the dead answer that the probe's own arms describe.
func (t *suite) refuse(c rules.Case) rules.Reply {
	if n := len(c.Replies); n > 0 && len(c.Want) > 0 && strings.HasPrefix(c.Want[len(c.Want)-1], "dead") {
		return c.Replies[n-1]
	}
	out := rules.Reply{Status: http.StatusUnauthorized}
	for _, a := range t.rule.Probe.When {
		if a.Then == "dead" && a.Also == "" && !strings.Contains(a.Body, "{") {
			out = rules.Reply{Status: a.Status[0], Body: a.Body, Header: map[string]string{}}
			if a.JSON != nil {
				flat := map[string]any{}
				for k, v := range a.JSON {
					if l, ok := v.([]any); ok {
						v = l[0]
					}
					flat[k] = v
				}
				out.JSON = flat
			}
			if a.Location != "" {
				out.Status = http.StatusUnauthorized
			}
		}
	}
	return out
}

// bench is one credential at an issuer of a case, with what has happened so far.
type bench struct {
	registry *natives.Registry
	asker    guard.Asker
	target   revokers.Target
	before   *revokers.Answer
	sent     *revokers.Acknowledgement
}

func (t *suite) bench(srv *httptest.Server, cred rules.Credential, with map[string]string) *bench {
	u, _ := url.Parse(srv.URL)
	in := &issuer.Instance{Provider: t.rule.Provider.ID, URL: u, Operator: true, Settings: map[string]string{}}
	for k, v := range with {
		if k == "admin" {
			in.Admin = rules.NewSecretString(v)
		} else {
			in.Settings[k] = v
		}
	}
	return &bench{registry: natives.New(natives.Config{Doer: &issuer.Client{}}), target: revokers.Target{Credential: cred, Rule: t.rule, Instance: in}}
}

// verify asks the first endpoint and judges.
func (b *bench) verify(ctx context.Context) (revokers.Verdict, error) {
	endpoints := b.registry.Endpoints(b.target)
	if len(endpoints) == 0 {
		return revokers.Undecided(revokers.Unsupported, "nothing to ask"), nil
	}
	e, err := b.asker.Ask(ctx, b.registry, b.target, endpoints[0])
	if err != nil {
		return revokers.Verdict{}, err
	}
	e.Before, e.Sent = b.before, b.sent
	v := revokers.Judge(b.target, e)
	if v.Liveness == revokers.Live {
		b.target.Seen = &revokers.Sighting{Endpoint: endpoints[0], Learned: e.Learned}
		b.target.Captures, b.before = e.Answer.Captures, &e.Answer
	}
	return v, nil
}

func (t *suite) run(c rules.Case) {
	cred, ok := t.secret()
	if !ok {
		t.fail("case %q: there is no example to run it with", c.Name)
		return
	}
	is := &double{secret: cred.Secret.Reveal(), replies: slices.Clone(c.Replies)}
	if t.rule.Probe != nil {
		is.refuse = t.refuse(c)
	}
	srv := httptest.NewServer(is)
	defer srv.Close()
	b := t.bench(srv, cred, c.With)
	for i, want := range c.Want {
		word, reason, _ := strings.Cut(want, ":")
		got, gotReason, detail := "", "", ""
		if word == "accepted" || word == "refused" {
			got, detail = t.revoke(b, c.Revoke)
		} else {
			v, err := b.verify(t.ctx)
			if err != nil {
				t.fail("case %q: %v", c.Name, err)
				return
			}
			got, gotReason, detail = v.Liveness.String(), string(v.Reason), v.Detail
		}
		if got != word || reason != "" && gotReason != strings.ReplaceAll(reason, " ", "_") {
			t.fail("case %q: answer %d is %s:%s (%s), want %s", c.Name, i+1, got, gotReason, detail, want)
			return
		}
	}
	is.mu.Lock()
	defer is.mu.Unlock()
	if len(is.replies) > 0 {
		t.fail("case %q: %d replies were never asked for", c.Name, len(is.replies))
	}
	if c.Requests != nil && !slices.Equal(c.Requests, is.requests) {
		t.fail("case %q: the requests were %v", c.Name, is.requests)
	}
}

func (t *suite) revoke(b *bench, id string) (string, string) {
	for i := range t.rule.Revokes {
		r := &t.rule.Revokes[i]
		if id != "" && r.ID != id || r.Native != "" {
			continue
		}
		v, err := b.registry.Revoker(r)
		if err != nil {
			return "error", err.Error()
		}
		ts := []revokers.Target{b.target}
		effects, err := v.Plan(t.ctx, ts)
		if err != nil {
			return "error", err.Error()
		}
		for _, e := range effects {
			receipt, err := v.Send(t.ctx, ts, e, func(revokers.Effect) error { return nil })
			if err != nil {
				return "error", err.Error()
			}
			ack := receipt.Of(0)
			b.sent = &ack
			if !ack.Accepted {
				return "refused", ack.Detail
			}
		}
		return "accepted", ""
	}
	return "error", "the rule has no such revocation"
}

// negativeControl plays an issuer to whom every credential is good: no verdict
// of Live may come of it.
func (t *suite) negativeControl() {
	if t.rule.Probe == nil || t.rule.Probe.Native != "" {
		return
	}
	for _, c := range t.rule.Cases {
		if len(c.Want) == 0 || !strings.HasPrefix(c.Want[0], "live") {
			continue
		}
		cred, ok := t.secret()
		if !ok {
			return
		}
		srv := httptest.NewServer(&double{secret: cred.Secret.Reveal(), replies: c.Replies, anything: true})
		v, err := t.bench(srv, cred, c.With).verify(t.ctx)
		srv.Close()
		if err != nil || v.Liveness != revokers.Unknown || v.Reason != revokers.AcceptsAnything {
			t.fail("an issuer that accepts anything makes it %s (%s)", v.Liveness, v.Reason)
		}
		return
	}
	t.fail("no case begins live, so the negative control can't be run")
}
