package interp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
)

// Revocation is the Revoker of one revocation in a rules file.
type Revocation struct {
	Doer   issuer.Doer
	Revoke *rules.Revoke
}

// Restoration is the Revoker that takes a reversible revocation back. ok is
// false if the rules file has no request for that.
func Restoration(d issuer.Doer, v *rules.Revoke) (r Revocation, ok bool) {
	if v.Restore == nil || v.Restore.Request == nil {
		return Revocation{}, false
	}
	q := *v.Restore.Request
	q.Accept, q.AcceptJSON = v.Restore.Accept, v.Restore.JSON
	return Revocation{d, &rules.Revoke{ID: v.ID + ".restore", Steps: v.Steps, Requests: []*rules.Request{&q}, Needs: v.Restore.Needs, Batch: 1}}, true
}

// Restore implements revokers.Restorer.
func (v Revocation) Restore(ctx context.Context, t revokers.Target, before func(revokers.Effect) error) (revokers.Acknowledgement, error) {
	r, ok := Restoration(v.Doer, v.Revoke)
	if !ok {
		return revokers.Acknowledgement{}, fmt.Errorf("revocation %s cannot be taken back", v.Revoke.ID)
	}
	ts := []revokers.Target{t}
	effects, err := r.Plan(ctx, ts)
	if err != nil {
		return revokers.Acknowledgement{}, err
	}
	receipt, err := r.Send(ctx, ts, effects[0], before)
	return receipt.Of(0), err
}

// Batch implements revokers.Revoker.
func (v Revocation) Batch() int { return max(v.Revoke.Batch, 1) }

// name is an effect's name: the revocation's, with the number of the request
// if it has several.
func (v Revocation) name(i int) string {
	if len(v.Revoke.Requests) == 1 {
		return v.Revoke.ID
	}
	return v.Revoke.ID + "." + strconv.Itoa(i+1)
}

// Plan implements revokers.Revoker. Steps run when an effect is sent: what
// they read are late placeholders.
func (v Revocation) Plan(_ context.Context, ts []revokers.Target) ([]revokers.Effect, error) {
	s := v.scope(ts)
	for _, step := range v.Revoke.Steps {
		for _, name := range kept(step) {
			s.late[name] = ""
		}
	}
	var out []revokers.Effect
	for i, q := range v.Revoke.Requests {
		e, err := s.effect(v.name(i), q, false)
		if err != nil {
			return nil, err
		}
		e.Elements = elementsOf(ts)
		out = append(out, e)
	}
	return out, nil
}

func elementsOf(ts []revokers.Target) []string {
	out := make([]string, len(ts))
	for i, t := range ts {
		out[i] = t.Fingerprint
	}
	return out
}

func (v Revocation) scope(ts []revokers.Target) *scope {
	return &scope{t: ts[0], batch: ts[1:], late: map[string]string{}, hidden: map[string]bool{}}
}

// kept are the names that a step sets.
func kept(step rules.Step) []string {
	out := slices.Collect(maps.Keys(step.Keep))
	if step.Pick != nil {
		out = slices.AppendSeq(out, maps.Keys(step.Pick.Keep))
	}
	return out
}

// Send implements revokers.Revoker. It sends the request of e, after the steps
// that it needs.
func (v Revocation) Send(ctx context.Context, ts []revokers.Target, e revokers.Effect, before func(revokers.Effect) error) (revokers.Receipt, error) {
	n := slices.IndexFunc(v.Revoke.Requests, func(q *rules.Request) bool { return v.name(slices.Index(v.Revoke.Requests, q)) == e.Name })
	if n < 0 {
		return revokers.Receipt{}, fmt.Errorf("revocation %s has no request %q", v.Revoke.ID, e.Name)
	}
	q := v.Revoke.Requests[n]
	s := v.scope(ts)
	refused := func(status int, format string, args ...any) revokers.Receipt {
		return revokers.All(len(ts), revokers.Acknowledgement{Status: status, Detail: fmt.Sprintf(format, args...), At: time.Now().UTC()})
	}
	if err := pause(ctx, time.Duration(q.After)); err != nil {
		return revokers.Receipt{}, err
	}
	for i, step := range needed(v.Revoke.Steps, q, n == 0) {
		err := s.step(ctx, v.Doer, step)
		var answered errStep
		switch {
		case errors.As(err, &answered):
			return refused(answered.status, "step %d: %v", i+1, answered.err), nil
		case err != nil:
			return revokers.Receipt{}, fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	i, err := s.at(q)
	if err != nil {
		return revokers.Receipt{}, err
	}
	r, err := s.fill(q, false)
	if err != nil {
		return revokers.Receipt{}, err
	}
	final, err := s.effect(e.Name, q, false)
	if err != nil {
		return revokers.Receipt{}, err
	}
	final.Elements = elementsOf(ts)
	for name, value := range s.late {
		if !s.hidden[name] {
			if final.Late == nil {
				final.Late = map[string]string{}
			}
			final.Late[name] = value
		}
	}
	if err := before(final); err != nil {
		return revokers.Receipt{}, err
	}
	a, err := v.Doer.Do(ctx, i, r)
	if err != nil {
		return revokers.Receipt{}, err
	}
	if !slices.Contains(q.Accept, a.Status) {
		return refused(a.Status, "the issuer answered %d", a.Status), nil
	}
	if !matchJSON(q.AcceptJSON, decode(a.Body)) {
		return refused(a.Status, "the issuer answered %d, but did not report a revocation", a.Status), nil
	}
	return revokers.All(len(ts), revokers.Acknowledgement{Accepted: true, Status: a.Status, At: time.Now().UTC()}), nil
}

// needed are the steps that a request depends on. A step that reads nothing
// comes before the first request. After that the credential may be dead, so
// that a step which uses it would fail.
func needed(steps []rules.Step, q *rules.Request, first bool) []rules.Step {
	uses := variables(q)
	var out []rules.Step
	for _, step := range slices.Backward(steps) {
		names := kept(step)
		use := first && len(names) == 0
		for _, n := range names {
			use = use || slices.ContainsFunc(uses, func(v string) bool { return v == n || strings.HasPrefix(v, n+".") })
		}
		if !use {
			continue
		}
		out = append(out, step)
		uses = append(uses, variables(step.Request)...)
		if step.Pick != nil {
			_, with, _ := step.Pick.Comparison()
			uses = append(uses, rules.Vars(with)...)
		}
	}
	slices.Reverse(out)
	return out
}

func variables(q *rules.Request) []string {
	var out []string
	for _, t := range q.Texts() {
		out = append(out, rules.Vars(t)...)
	}
	return out
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
