// Package guard collects evidence from issuers, and decorates requests, verifiers and revokers:
// limits per host, circuit breaker, retry of reads, audit, offline, cache, dry run and the kill
// switch.
package guard

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// Asker collects the evidence for Judge. It asks about never-issued credentials once per rule,
// instance and endpoint.
type Asker struct {
	mu    sync.Mutex
	never map[place]*never
}

// Turn is a lock that is held during requests. Unlike with a sync.Mutex, the clock of a
// simulation advances while a goroutine waits for it.
type Turn chan struct{}

// NewTurn returns a lock that is free.
func NewTurn() Turn { return make(Turn, 1) }

// Lock waits until the lock is free and takes it.
func (t Turn) Lock() { t <- struct{}{} }

// Unlock gives the lock back.
func (t Turn) Unlock() { <-t }

// place identifies where never-issued credentials were tried.
type place struct {
	rule, instance, endpoint, cookie string
}

type never struct {
	mu       Turn
	answers  [2]revokers.Answer
	template revokers.Template
	shaped   bool   // both were refused in the same form
	shape    string // its digest
	// samples are further refusals, if pages differ by more than words.
	samples []*revokers.Refusal
	noisy   *revokers.Noisy
	// none is the answer to an empty cookie: a signature that is wrong can be
	// refused where no session at all is let in.
	none revokers.Answer
	// apart is set if their pages differ from those of a signed-in user only by
	// their content.
	apart bool
}

func placeOf(t revokers.Target, endpoint string) place {
	return place{t.Rule.ID, t.Instance.Key(), endpoint, t.Cookie}
}

// Ask asks v about t at one endpoint, about two never-issued credentials, and about the
// instance's control. An error means that it could not send the question.
func (a *Asker) Ask(ctx context.Context, v revokers.Verifier, t revokers.Target, endpoint string) (revokers.Evidence, error) {
	answer, err := v.Verify(ctx, t, endpoint)
	if err != nil {
		return revokers.Evidence{}, err
	}
	e := revokers.Evidence{Answer: answer}
	if answer.Class != revokers.Accepts && answer.Class != revokers.Refuses {
		return e, nil
	}
	if c, ok := ControlOf(t); ok {
		got, err := v.Verify(ctx, c, endpoint)
		if err != nil {
			return revokers.Evidence{}, err
		}
		e.Control = &got
	}
	return a.compare(ctx, v, t, endpoint, e)
}

// Look is Ask with a function that asks the control, because all credentials that are watched
// at one endpoint share the control's answers.
func (a *Asker) Look(ctx context.Context, v revokers.Verifier, t revokers.Target, endpoint string, control func(context.Context) (*revokers.Answer, error)) (revokers.Evidence, error) {
	answer, err := v.Verify(ctx, t, endpoint)
	if err != nil {
		return revokers.Evidence{}, err
	}
	e := revokers.Evidence{Answer: answer}
	if (answer.Class == revokers.Refuses || answer.Page != nil) && control != nil { // a page may still turn out to be a refusal
		if e.Control, err = control(ctx); err != nil {
			return revokers.Evidence{}, err
		}
	}
	if answer.Class != revokers.Accepts && answer.Class != revokers.Refuses {
		return e, nil
	}
	return a.compare(ctx, v, t, endpoint, e)
}

// compare adds the answers to never-issued credentials, and the shape of a refusal derived from
// them.
func (a *Asker) compare(ctx context.Context, v revokers.Verifier, t revokers.Target, endpoint string, e revokers.Evidence) (revokers.Evidence, error) {
	n, err := a.tried(ctx, v, t, endpoint)
	if err != nil {
		return revokers.Evidence{}, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if e.Control != nil {
		c := *e.Control // several questions share it
		e.Control = &c
		n.compare(&c)
	}
	n.compare(&e.Answer)
	e.Never = n.answers
	if n.none.Class == revokers.Accepts && n.none.Endpoint != "" {
		e.Never[1] = n.none
	}
	if t.Seen != nil && t.Seen.Endpoint == endpoint {
		e.Learned = t.Seen.Learned
	}
	if refused := n.answers[0].Class == revokers.Refuses && n.answers[1].Class == revokers.Refuses; !n.shaped && refused && n.answers[0].Raw.Noise() && n.answers[0].Raw.Alike(n.answers[1].Raw) {
		if err := n.more(ctx, v, t, endpoint); err != nil {
			return revokers.Evidence{}, err
		}
		if n.noisy != nil {
			n.shaped, n.shape = true, n.noisy.Shape()
		}
	}
	if !n.shaped {
		return e, nil
	}
	shape := n.shape
	e.Never[0].Shape, e.Never[1].Shape = shape, shape
	if e.Answer.Class == revokers.Refuses {
		if err := n.compared(ctx, v, t, endpoint, &e.Answer); err != nil {
			return revokers.Evidence{}, err
		}
	}
	if e.Answer.Class == revokers.Accepts || e.Control != nil && e.Control.Class == revokers.Accepts {
		e.Learned = shape
	}
	return e, nil
}

// tried returns the answers to two never-issued credentials. It repeats inconclusive questions
// on the next call.
func (a *Asker) tried(ctx context.Context, v revokers.Verifier, t revokers.Target, endpoint string) (*never, error) {
	k := placeOf(t, endpoint)
	a.mu.Lock()
	if a.never == nil {
		a.never = map[place]*never{}
	}
	n := a.never[k]
	if n == nil {
		n = &never{mu: NewTurn()}
		a.never[k] = n
	}
	a.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	var err error
	for i := range n.answers {
		if c := n.answers[i].Class; n.answers[i].Endpoint != "" && (c == revokers.Accepts || c == revokers.Refuses) {
			continue
		}
		fake, ferr := NeverIssued(t)
		if ferr != nil {
			return n, nil // a form that can't be made up leaves the negative control unanswered
		}
		if n.answers[i], err = v.Verify(ctx, fake, endpoint); err != nil {
			return nil, err
		}
		if n.answers[i].Class == revokers.Silent {
			// The second question would hit the same limit.
			break
		}
	}
	if !n.apart {
		n.learn()
	}
	if t.Rule.Cookie != nil && t.Rule.Probe.HTML && n.none.Class != revokers.Accepts && n.none.Class != revokers.Refuses {
		empty := t
		empty.Secret, empty.Parts, empty.Seen, empty.Captures, empty.Fingerprint = credential.Secret{}, nil, nil, nil, ""
		if n.none, err = v.Verify(ctx, empty, endpoint); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// NeverIssued returns t with each secret replaced by a random one of the same form.
func NeverIssued(t revokers.Target) (revokers.Target, error) {
	fake, err := t.Rule.NeverIssued(t.Secret, rand.Reader)
	if err != nil {
		return t, fmt.Errorf("make up a credential: %w", err)
	}
	t.Secret, t.Seen, t.Captures, t.Fingerprint = fake, nil, nil, ""
	if len(t.Parts) > 0 {
		parts := map[string]credential.Secret{}
		for name, s := range t.Parts {
			if parts[name], err = (&rules.Rule{}).NeverIssued(s, rand.Reader); err != nil {
				return t, fmt.Errorf("make up a credential: %w", err)
			}
		}
		t.Parts = parts
	}
	return t, nil
}

// ControlOf returns the operator's own credential as a target of the same rule and instance. ok
// is false if there is none or it is t's own credential.
func ControlOf(t revokers.Target) (revokers.Target, bool) {
	c, ok := t.Instance.Control(t.Rule)
	if !ok || c.Secret.IsZero() || Same(c.Secret, t.Secret) {
		return t, false
	}
	t.Secret, t.Parts, t.Seen, t.Captures, t.Findings = c.Secret, c.Parts, nil, nil, nil
	// Not a valid fingerprint, so that it never matches a leaked credential's.
	t.Fingerprint = "control of " + t.URL()
	t.Offline = credential.Offline{State: credential.OfflineUnknown}
	return t, true
}
