package serve

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/riverqueue/river"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
)

// kill plans what the policy allows for a live credential, applies it and proves the result. The
// leases, intents and proofs are those of quell apply: a job that is taken over from a worker
// that ended goes on from what the ledger has.
func (s *Server) kill(ctx context.Context, a KillArgs, red *report.Redactor) error {
	if !s.o.Config.Kills() {
		return nil
	}
	o, ok, err := s.open(ctx, a.Fingerprint, red)
	if err != nil || !ok {
		return err
	}
	defer o.rt.Close(context.WithoutCancel(ctx))
	p, id, err := s.begun(ctx, o)
	if err != nil {
		return err
	}
	// A kill that has begun goes on: its proof is due. What of it is not sent yet is held below.
	if hold, err := s.heldBy(ctx, a.Fingerprint); p == nil && (err != nil || hold != nil) {
		switch {
		case err != nil:
			return err
		case o.row.State != revokers.Live.String():
			return nil
		}
		return s.held(ctx, o, hold.Reason, hold.Remedy)
	}
	most := o.rt.Policy.Max()
	full := fmt.Sprintf("kill.max: %d kills in 24 hours", most)
	const remedy = "a higher kill.max in the policy; or quell plan and quell apply"
	snooze := func(d time.Duration) error { return river.JobSnooze(min(max(d, time.Minute), time.Hour)) }
	free, err := s.store.Room(ctx, a.Fingerprint, most)
	if err != nil {
		return err
	}
	if free > 0 {
		if err := s.held(ctx, o, full, remedy); err != nil {
			return err
		}
		return snooze(free)
	}
	if p == nil {
		p, id, err = s.planned(ctx, o, red)
	}
	if err != nil || p == nil {
		return err
	}
	digest, err := p.Digest()
	if err != nil {
		return err
	}
	got, fresh := &outcome{}, false
	// Only what is sent counts: what the policy holds, or what is dead, takes no place of others.
	reserve := func(ctx context.Context, fp string) *policy.Hold {
		// People may have taken back what they decided since the plan was made.
		if hold := s.unapproved(ctx, fp, digest, o.rt.Policy.Approvals); hold != nil {
			return hold
		}
		ok, first, at, err := s.store.Reserve(ctx, fp, most)
		fresh = fresh || first
		switch {
		case err != nil:
			return &policy.Hold{Reason: "kill.max can't be checked: " + report.Clean(err.Error()), Remedy: "check the database of quell serve"}
		case !ok:
			free = at
			return &policy.Hold{Reason: full, Remedy: remedy}
		}
		return nil
	}
	if _, err = o.rt.Apply(ctx, p, id, run.ApplyOptions{Reserve: reserve}, report.Redacting(got, red), report.Summary{}, run.Tally{}); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if fresh {
		if err := s.release(ctx, a.Fingerprint, id); err != nil {
			return err
		}
	}
	if err := s.ended(ctx, a.Fingerprint, got.action, EventLeft); err != nil {
		return err
	}
	if free > 0 {
		return snooze(free)
	}
	if from := got.action.SendsFrom; from != nil {
		return river.JobSnooze(max(time.Until(*from), 0) + time.Second) // the end of kill.delay
	}
	return nil
}

// release takes a reservation back if the ledger has no intent of the plan.
func (s *Server) release(ctx context.Context, fp, plan string) error {
	entries, err := s.ledger.Incident(ctx, fp)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if i, ok := e.Body.(ledger.Intent); ok && e.Run == plan && i.Kills() {
			return nil
		}
	}
	return s.store.Update(ctx, func(tx *store.Tx) error { return tx.Release(fp) })
}

// begun returns the plan that an earlier attempt began, whose process may have ended between a
// request and its proof: it is applied again, which sends nothing twice. nil: there is none.
func (s *Server) begun(ctx context.Context, o opened) (*plan.Plan, string, error) {
	file, err := s.store.Plan(ctx, o.row.Fingerprint)
	if err != nil || file == "" {
		return nil, "", err
	}
	p, id, err := plan.Verify([]byte(file), []ed25519.PublicKey{o.rt.PublicKey()}, time.Now())
	if err != nil {
		return nil, "", fmt.Errorf("incident %s: the plan that was begun: %w", short(o.row.Fingerprint), err)
	}
	return p, id, nil
}

// planned makes the plan of a credential that is live at this moment, and keeps it; nil: it is
// not live any more, or people must approve the plan first.
func (s *Server) planned(ctx context.Context, o opened, red *report.Redactor) (*plan.Plan, string, error) {
	var err error
	if o.cred.Findings, err = s.exposures(ctx, o.row.Fingerprint, o.cred.Ref); err != nil {
		return nil, "", err
	}
	var checked run.Checked
	free, err := run.Alone(ctx, s.ledger, o.row.Fingerprint, func(still func() (bool, error)) error {
		checked = o.rt.Checker().One(ctx, o.cred)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		v := red.Verdict(checked.Verdict())
		if v.Liveness == revokers.Live {
			return nil
		}
		if held, err := still(); err != nil || !held {
			return errors.Join(err, busyUnless(held))
		}
		return s.judged(ctx, o, v)
	})
	switch {
	case !free && err == nil, errors.Is(err, errBusy):
		return nil, "", s.busy()
	case err != nil || checked.Verdict().Liveness != revokers.Live:
		return nil, "", err
	}
	p, err := o.rt.Plan(ctx, []run.Checked{checked}, "")
	if err != nil {
		return nil, "", err
	}
	file, err := plan.Sign(p, o.rt.Keys.Sign)
	if err != nil {
		return nil, "", err
	}
	id, err := p.ID()
	if err != nil {
		return nil, "", err
	}
	if ok, err := s.approved(ctx, o, p, string(file)); err != nil || !ok {
		return nil, "", err
	}
	return p, id, s.store.Update(ctx, func(tx *store.Tx) error { return tx.Plan(o.row.Fingerprint, string(file)) })
}

// held records that nothing is sent, and adds the messages about it.
func (s *Server) held(ctx context.Context, o opened, why, remedy string) error {
	return s.heldUntil(ctx, o, why, remedy, EventLeft)
}

// heldUntil is held with the messages of an event; empty: none.
func (s *Server) heldUntil(ctx context.Context, o opened, why, remedy, event string) error {
	fp := o.row.Fingerprint
	if o.row.Outcome == string(prove.Held) {
		// The row's detail is that of the last question; the ledger knows why it was held.
		entries, err := s.ledger.Incident(ctx, fp)
		if err != nil && len(entries) == 0 {
			return err
		}
		for i := len(entries) - 1; i >= 0; i-- {
			switch b := entries[i].Body.(type) {
			case ledger.Held:
				if b.Reason == why {
					return nil
				}
				i = 0
			case ledger.Outcome, ledger.Intent, ledger.Restore:
				i = 0
			}
		}
	}
	if err := s.ledger.Append(ctx, ledger.Entry{Incident: fp, Actor: o.rt.Actor(), Run: "serve", Body: ledger.Held{Reason: why, Remedy: remedy}}); err != nil {
		return err
	}
	return s.ended(ctx, fp, report.Action{Outcome: prove.Held, Detail: why}, event)
}

// ended records the outcome of a kill, and adds the messages of an event about it, or of EventEnded
// if it is dead.
func (s *Server) ended(ctx context.Context, fp string, a report.Action, event string) error {
	ctx = context.WithoutCancel(ctx)
	if a.Outcome == "" {
		return fmt.Errorf("incident %s: apply reported no outcome", short(fp))
	}
	detail := a.Detail
	dead := a.Outcome == prove.Confirmed || a.Outcome == prove.AlreadyDead
	if dead {
		event = EventEnded
	}
	if a.Held != "" {
		detail = a.Held
	}
	s.metrics.outcome(string(a.Outcome))
	return s.store.Update(ctx, func(tx *store.Tx) error {
		if dead {
			reason := revokers.Revoked
			if err := tx.Verdict(fp, revokers.Dead.String(), string(reason), detail, a.Host, time.Now()); err != nil {
				return err
			}
		}
		if err := tx.Ended(fp, string(a.Outcome), detail, time.Now()); err != nil {
			return err
		}
		return s.insert(ctx, tx, s.messages(fp, event)...)
	})
}

// outcome keeps the action of an apply of one item.
type outcome struct {
	mu     sync.Mutex
	action report.Action
}

// Emit implements report.Sink.
func (o *outcome) Emit(e report.Event) error {
	if a, ok := e.(report.Action); ok {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.action = a
	}
	return nil
}

// Close implements report.Sink.
func (*outcome) Close() error { return nil }

// exposures are the places that the ledger has of a credential, which a plan shows.
func (s *Server) exposures(ctx context.Context, fp string, ref rules.Ref) (out []rules.Finding, err error) {
	entries, err := s.ledger.Incident(ctx, fp)
	if err != nil && len(entries) == 0 {
		return nil, err
	}
	for _, e := range entries {
		if f, ok := e.Body.(ledger.Found); ok && len(out) < maxPlaces {
			for _, l := range f.Exposures {
				out = append(out, rules.Finding{Ref: ref, Location: l})
			}
		}
	}
	return out, nil
}
