package revokers_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

const endpoint = "GET /me"

// reply makes the answer to one secret.
type reply func(secret string) revokers.Answer

// script is a Verifier that has a reply for the leaked credential, one for the
// control, and one for every other credential.
type script struct {
	leaked, control, never reply
}

const (
	leakedText  = "mku_leaked1leaked1leaked1"
	controlText = "mku_operators1operators1x"
)

func (script) Endpoints(revokers.Target) []string { return []string{endpoint} }

func (s script) Verify(_ context.Context, t revokers.Target, endpoint string) (revokers.Answer, error) {
	r := s.never
	switch t.Secret.Reveal() {
	case leakedText:
		r = s.leaked
	case controlText:
		r = s.control
	}
	a := r(t.Secret.Reveal())
	a.Endpoint, a.At = endpoint, time.Now()
	return a, nil
}

func accepts(string) revokers.Answer {
	return revokers.Answer{Class: revokers.Accepts, Status: 200}
}

func throttles(string) revokers.Answer {
	return revokers.Answer{Class: revokers.Silent, Status: 429, Reason: revokers.Throttled}
}

func isSilent(string) revokers.Answer {
	return revokers.Answer{Class: revokers.Silent, Reason: revokers.Unreachable}
}

func other(string) revokers.Answer {
	return revokers.Answer{Class: revokers.Other, Status: 200, Reason: revokers.Unexpected}
}

// refuses is a refusal that no source documents. The body echoes the
// credential and contains a request id, as many do.
func refuses(status int, words string) reply {
	return func(secret string) revokers.Answer {
		body := words + " " + secret + ` request 0198e1c2-7d1f-7cc3-98c4-` + time.Now().Format("150405000000")
		return revokers.Answer{Class: revokers.Refuses, Status: status, Raw: revokers.NewRefusal(status, "", "", []byte(body), []string{secret})}
	}
}

// redirects is a refusal by a redirect to another page of the same host.
func redirects(to string) reply {
	return func(secret string) revokers.Answer {
		return revokers.Answer{Class: revokers.Refuses, Status: 302, Raw: revokers.NewRefusal(302, to, "", nil, []string{secret})}
	}
}

// challenges is a 401 with a scheme in WWW-Authenticate.
func challenges(scheme string, sentBasic bool) reply {
	return func(secret string) revokers.Answer {
		return revokers.Answer{Class: revokers.Refuses, Status: 401, Challenge: scheme, SentBasic: sentBasic, Raw: revokers.NewRefusal(401, "", scheme, []byte("no"), []string{secret})}
	}
}

// documented is a refusal whose meaning a source describes.
func documented(status int, words, also string) reply {
	return func(secret string) revokers.Answer {
		a := refuses(status, words)(secret)
		a.Documented, a.Also, a.Reason = "https://issuer.example/errors#"+words, also, revokers.Revoked
		return a
	}
}

// lot is what a target is made from.
type lot struct {
	selfHosted bool // other servers issue credentials of this form
	operator   bool // the operator named the instance
	cookie     bool
	named      bool
	sole       bool
	control    bool
	hosts      []string // claims of the text
}

func (l lot) target(t *testing.T) revokers.Target {
	t.Helper()
	p := &rules.Provider{ID: "made-up", Hosts: []string{"issuer.example"}, Asked: []string{"issuer.example"}, SelfHosted: l.selfHosted}
	r := &rules.Rule{ID: "made-up", Provider: p, Kind: credential.KindAPIKey, Probe: &rules.Probe{}}
	if l.cookie {
		p.Hosts, p.Asked, r.Kind, r.Cookie = nil, nil, credential.KindSessionCookie, &rules.CookieFamily{Names: []string{"sid"}, Value: ".*"}
	}
	u, err := url.Parse("https://issuer.example")
	if err != nil {
		t.Fatal(err)
	}
	in := &issuer.Instance{Provider: p.ID, URL: u, Operator: l.operator, Sole: l.sole, Settings: map[string]string{}}
	if l.control {
		in.Controls = []issuer.Control{{Rule: r.ID, Secret: credential.NewSecretString(controlText)}}
	}
	c := credential.Credential{Ref: credential.Ref{Fingerprint: strings.Repeat("a", 32), Rule: r.ID, Provider: p.ID, Kind: r.Kind, Claims: credential.Claims{Hosts: l.hosts}}, Secret: credential.NewSecretString(leakedText)}
	return revokers.Target{Credential: c, Rule: r, Instance: in, Named: l.named}
}
