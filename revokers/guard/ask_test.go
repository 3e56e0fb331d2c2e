package guard_test

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// recorder is a Verifier that records the credentials that it is asked about.
type recorder struct {
	mu     sync.Mutex
	asked  []string
	answer func(secret string) (revokers.Answer, error)
}

func (*recorder) Endpoints(revokers.Target) []string { return []string{"GET /me"} }

func (r *recorder) Verify(_ context.Context, t revokers.Target, endpoint string) (revokers.Answer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, t.Secret.Reveal())
	a, err := r.answer(t.Secret.Reveal())
	a.Endpoint = endpoint
	return a, err
}

func target(secret string, controls ...string) revokers.Target {
	in := &issuer.Instance{Provider: "made-up", URL: &url.URL{Scheme: "https", Host: "issuer.example"}, Settings: map[string]string{}}
	for _, c := range controls {
		in.Controls = append(in.Controls, issuer.Control{Rule: "made-up", Secret: credential.NewSecretString(c)})
	}
	return revokers.Target{Credential: credential.Credential{Ref: credential.Ref{Fingerprint: "f"}, Secret: credential.NewSecretString(secret)}, Rule: &rules.Rule{ID: "made-up"}, Instance: in}
}

func refused(secret string) (revokers.Answer, error) {
	return revokers.Answer{Class: revokers.Refuses, Status: 401, Raw: revokers.NewRefusal(401, "", "", []byte("no"), []string{secret})}, nil
}

// Never-issued credentials are asked about once per place; a silent answer is asked for again.
func TestNeverIssuedOnesAreAskedAboutOnce(t *testing.T) {
	silent := true
	r := &recorder{answer: func(secret string) (revokers.Answer, error) {
		if secret != "leaked-one-1" && silent {
			return revokers.Answer{Class: revokers.Silent}, nil
		}
		return refused(secret)
	}}
	a := &guard.Asker{}
	ask := func(x revokers.Target) (revokers.Evidence, int) {
		r.asked = nil
		e, err := a.Ask(t.Context(), r, x, "GET /me")
		if err != nil {
			t.Fatal(err)
		}
		return e, len(r.asked)
	}
	if _, n := ask(target("leaked-one-1")); n != 2 {
		t.Errorf("the second one would meet the same limit: %d requests", n)
	}
	silent = false
	e, n := ask(target("leaked-one-1"))
	if n != 3 || e.Never[0].Class != revokers.Refuses || e.Never[1].Class != revokers.Refuses {
		t.Errorf("%d requests, %+v", n, e.Never)
	}
	if r.asked[1] == r.asked[2] || r.asked[1] == "leaked-one-1" {
		t.Error("the never-issued ones are not two of their own")
	}
	if _, n := ask(target("leaked-two-2")); n != 1 {
		t.Errorf("the next credential of the place costs %d requests", n)
	}
	elsewhere := target("leaked-one-1")
	elsewhere.Instance.URL = &url.URL{Scheme: "https", Host: "other.example"}
	if _, n := ask(elsewhere); n != 3 {
		t.Errorf("another instance costs %d requests", n)
	}
	page := target("leaked-one-1")
	page.Instance.Settings["probe_path"] = "/account"
	if _, n := ask(page); n != 3 {
		t.Errorf("another page costs %d requests", n)
	}
}

// The control is asked after the credential, and is never the credential.
func TestTheControlIsAskedRightAfter(t *testing.T) {
	r := &recorder{answer: refused}
	e, err := (&guard.Asker{}).Ask(t.Context(), r, target("leaked-one-1", "control-1"), "GET /me")
	if err != nil || e.Control == nil || r.asked[0] != "leaked-one-1" || r.asked[1] != "control-1" {
		t.Errorf("asked %v, %v", r.asked, err)
	}
	r.asked = nil
	e, err = (&guard.Asker{}).Ask(t.Context(), r, target("leaked-one-1", `"leaked-one-1"`), "GET /me")
	if err != nil || e.Control != nil {
		t.Errorf("the credential is its own control: %v, %v", r.asked, err)
	}
	c, ok := guard.ControlOf(target("leaked-one-1", "control-1"))
	if !ok || c.Fingerprint == "f" {
		t.Error("the control has the leaked one's fingerprint")
	}
}

// A question that can't be sent is an error. A silent answer costs no further request.
func TestNothingElseIsAskedAfterSilence(t *testing.T) {
	r := &recorder{answer: func(string) (revokers.Answer, error) { return revokers.Answer{Class: revokers.Silent}, nil }}
	if e, err := (&guard.Asker{}).Ask(t.Context(), r, target("leaked-one-1", "control-1"), "GET /me"); err != nil || len(r.asked) != 1 || e.Control != nil {
		t.Errorf("%v, %v", r.asked, err)
	}
	r.answer = func(string) (revokers.Answer, error) { return revokers.Answer{}, guard.ErrOffline }
	if _, err := (&guard.Asker{}).Ask(t.Context(), r, target("leaked-one-1"), "GET /me"); !errors.Is(err, guard.ErrOffline) {
		t.Error(err)
	}
}

// A never-issued credential has none of the target's secrets, sighting or captures.
func TestNeverIssuedOnesHaveNothingOfTheTarget(t *testing.T) {
	x := target("leaked-one-1-0123456789")
	x.Parts = map[string]credential.Secret{"key": credential.NewSecretString("part-of-the-group-1")}
	x.Seen, x.Captures = &revokers.Sighting{}, map[string]string{"id": "7"}
	for range 100 {
		n, err := guard.NeverIssued(x)
		if err != nil || n.Seen != nil || n.Captures != nil || n.Fingerprint != "" || n.Secret.Equal(x.Secret) || n.Parts["key"].Equal(x.Parts["key"]) || n.Secret.Len() != x.Secret.Len() {
			t.Fatalf("%+v %v", n.Ref, err)
		}
	}
	if !x.Parts["key"].Equal(credential.NewSecretString("part-of-the-group-1")) {
		t.Error("the target itself was changed")
	}
}
