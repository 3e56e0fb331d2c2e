package revokers_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/revokers"
)

// pick returns one of the values.
func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// randomAnswer is an answer of any class with any words.
func randomAnswer(r *rand.Rand) revokers.Answer {
	a := revokers.Answer{
		Class:     pick(r, revokers.Silent, revokers.Accepts, revokers.Refuses, revokers.Refuses, revokers.Refuses, revokers.Other),
		Endpoint:  pick(r, endpoint, endpoint, endpoint, "GET /else"),
		Status:    pick(r, 0, 200, 204, 302, 400, 401, 401, 401, 403, 404, 408, 429, 500, 503),
		Shape:     pick(r, "", "x", "x", "y"),
		Challenge: pick(r, "", "", "", "basic", "bearer", "basic,bearer", "negotiate", "bearer,negotiate", "ntlm"),
		SentBasic: r.IntN(3) == 0,
		Reason:    pick(r, "", "", revokers.Revoked, revokers.Unexpected, revokers.Throttled),
		At:        time.Unix(int64(r.IntN(1<<30)), 0),
	}
	if r.IntN(3) == 0 {
		a.Documented, a.Also = "https://issuer.example/errors", pick(r, "", revokers.AlsoAsker, revokers.AlsoCredential)
	}
	return a
}

func randomEvidence(t *testing.T, r *rand.Rand) (revokers.Target, revokers.Evidence) {
	target := lot{
		selfHosted: r.IntN(2) == 0, operator: r.IntN(2) == 0, cookie: r.IntN(3) == 0, named: r.IntN(3) == 0, sole: r.IntN(3) == 0,
		hosts: pick(r, nil, nil, []string{"issuer.example"}, []string{"other.example"}, []string{"other.example", "issuer.example"}),
	}.target(t)
	if r.IntN(2) == 0 {
		target.Seen = &revokers.Sighting{Endpoint: pick(r, endpoint, endpoint, endpoint, "GET /else"), Learned: pick(r, "", "x", "y")}
	}
	e := revokers.Evidence{Answer: randomAnswer(r), Learned: pick(r, "", "x", "x", "y")}
	for i := range e.Never {
		if r.IntN(4) > 0 {
			e.Never[i] = randomAnswer(r)
		}
	}
	if r.IntN(2) == 0 {
		a := randomAnswer(r)
		a.Class = pick(r, a.Class, revokers.Accepts)
		e.Control = &a
	}
	if r.IntN(2) == 0 {
		e.Sent = &revokers.Acknowledgement{Accepted: r.IntN(3) > 0}
	}
	if r.IntN(2) == 0 {
		a := randomAnswer(r)
		a.Class = pick(r, a.Class, revokers.Accepts)
		e.Before = &a
	}
	return target, e
}

// mayBeDead is the rule of a death, written without a look at Judge. It returns
// the first of the three things that is missing.
func mayBeDead(t revokers.Target, e revokers.Evidence) (missing string) {
	a := e.Answer
	seen := t.Seen != nil && t.Seen.Endpoint == a.Endpoint
	controlled := e.Control != nil
	ended := seen && e.Before != nil && e.Before.Class == revokers.Accepts && e.Sent != nil && e.Sent.Accepted
	learned := a.Shape != "" && a.Shape == e.Learned

	// The issuer's refusal.
	switch {
	case a.Class != revokers.Refuses:
		return "a refusal"
	case a.Status == 408, a.Status == 429, a.Status >= 500:
		return "a status that refuses"
	case t.Seen != nil && !seen:
		return "the endpoint that said Live"
	}
	for _, scheme := range strings.Split(a.Challenge, ",") {
		switch scheme {
		case "negotiate", "ntlm":
			return "an answer that is the issuer's"
		case "basic":
			if !a.SentBasic && (!seen || !learned || t.Seen.Learned != a.Shape) {
				return "a challenge that was learned while it was Live"
			}
		}
	}
	byWord, byShape := a.Documented != "", learned
	if byWord && a.Also == revokers.AlsoAsker && !controlled && !ended {
		byWord = false
	}
	if byWord && a.Also == revokers.AlsoCredential && (!seen || !controlled && !ended) {
		byWord = false
	}
	// A word that living credentials get too is not the better for being what
	// never-issued ones get.
	if byShape && a.Documented != "" && a.Also == revokers.AlsoCredential && !byWord {
		byShape = false
	}
	if byShape && !controlled && !ended {
		byShape = false
	}
	if byShape && !seen && a.Status != 401 {
		byShape = false
	}
	if !byWord && !byShape {
		return "a refusal that is documented or learned"
	}

	// The right issuer.
	if t.Seen == nil {
		elsewhere := false
		for _, h := range t.Claims.Hosts {
			elsewhere = elsewhere || h != "issuer.example"
		}
		if elsewhere {
			return "a text that agrees"
		}
		oneIssuer := !t.Rule.Provider.SelfHosted && t.Rule.Cookie == nil
		if !t.Named && !t.Instance.Sole && !oneIssuer {
			return "the right issuer"
		}
	}

	// The control.
	if controlled && e.Control.Class != revokers.Accepts {
		return "a live control"
	}
	return ""
}

func TestRandomEvidenceIsNeverDeadOrLiveWithoutProof(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 1))
	count := map[revokers.Liveness]int{}
	for n := range 100_000 {
		target, e := randomEvidence(t, r)
		v := revokers.Judge(target, e)
		count[v.Liveness]++
		switch missing := mayBeDead(target, e); {
		case v.Liveness == revokers.Dead && missing != "":
			t.Fatalf("evidence %d is dead without %s: %+v, seen %+v", n, missing, e, target.Seen)
		case v.Liveness != revokers.Dead && missing == "":
			t.Fatalf("evidence %d has all that a death needs and is %s (%s): %+v, seen %+v", n, v.Liveness, v.Reason, e, target.Seen)
		}
		refused := false
		for _, never := range e.Never {
			if never.Endpoint == "" {
				continue
			}
			refused = refused || never.Class == revokers.Refuses
			if v.Liveness == revokers.Live && never.Class == revokers.Accepts {
				t.Fatalf("evidence %d is live where a never-issued one is accepted: %+v", n, e)
			}
		}
		if v.Liveness == revokers.Live && e.Answer.Class != revokers.Accepts {
			t.Fatalf("evidence %d is live without an answer that accepts it: %+v", n, e)
		}
		if v.NegativeControl && !refused {
			t.Fatalf("evidence %d has a negative control that was not refused: %+v", n, e)
		}
		if v.Unanswered() && v.Remedy == "" {
			t.Fatalf("evidence %d is %s without a remedy", n, v.Reason)
		}
	}
	if count[revokers.Dead] < 1000 || count[revokers.Live] < 5000 || count[revokers.Unknown] < 5000 {
		t.Errorf("the verdicts are not spread: %v", count)
	}
}
