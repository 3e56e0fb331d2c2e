package serve

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/serve/approval"
	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
	"github.com/quellhq/quell/cmd/quell/internal/serve/web"
	"github.com/quellhq/quell/revokers"
)

// decisions reads what people decided about a plan of an incident.
func (s *Server) decisions(ctx context.Context, fp, digest string) (approval.State, error) {
	entries, err := s.ledger.Incident(ctx, fp)
	if errors.Is(err, ledger.ErrNoIncident) {
		return approval.State{}, nil
	}
	if err != nil {
		// An entry that does not decode may be a hold.
		return approval.State{}, err
	}
	return approval.Of(entries, digest, time.Now()), nil
}

// heldBy returns the hold that a person placed on an incident; nil: there is none.
func (s *Server) heldBy(ctx context.Context, fp string) (*policy.Hold, error) {
	state, err := s.decisions(ctx, fp, "")
	if err != nil || len(state.Holds) == 0 {
		return nil, err
	}
	return holdOf(state), nil
}

func holdOf(state approval.State) *policy.Hold {
	why := "held by " + state.Holds[0].Person
	if r := state.Holds[0].Reason; r != "" {
		why += ": " + r
	}
	return &policy.Hold{Reason: why, Remedy: "release it on its page of quell serve"}
}

// unapproved returns the reason why a plan may not be sent now; nil: it may.
func (s *Server) unapproved(ctx context.Context, fp, digest string, needed int) *policy.Hold {
	state, err := s.decisions(ctx, fp, digest)
	switch {
	case err != nil:
		return &policy.Hold{Reason: "the approvals can't be read: " + report.Clean(err.Error()), Remedy: "quell ledger --verify"}
	case len(state.Holds) > 0:
		return holdOf(state)
	case len(state.By) < needed:
		return &policy.Hold{Reason: fmt.Sprintf("%d of %s approved plan %s", len(state.By), persons(needed), digest[:12]), Remedy: "approve it on its page of quell serve"}
	}
	return nil
}

// approved reports whether a plan may be sent. If people must approve it first, it is proposed to
// them, with messages of EventPlan, and the incident is held.
func (s *Server) approved(ctx context.Context, o opened, p *plan.Plan, file string) (bool, error) {
	needed := o.rt.Policy.Approvals
	if needed <= 0 || !kills(p) {
		return true, nil // what is not sent needs no approval, and apply records why
	}
	fp := o.row.Fingerprint
	digest, err := p.Digest()
	if err != nil {
		return false, err
	}
	hold := s.unapproved(ctx, fp, digest, needed)
	if hold == nil {
		return true, nil
	}
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		fresh, err := tx.Propose(store.Proposal{Fingerprint: fp, Digest: digest, File: file, Needed: needed, At: time.Now()})
		if err != nil || !fresh {
			return err
		}
		return s.insert(ctx, tx, s.messages(fp, EventPlan)...)
	})
	if err != nil {
		return false, err
	}
	why := fmt.Sprintf("the plan %s waits for the approval of %s", digest[:12], persons(needed))
	return false, s.heldUntil(ctx, o, why, "its page of quell serve; or quell plan and quell apply, once they approve", "")
}

// resume starts kills whose plans have all approvals but no job. That happens if the process that
// recorded the last approval ended before it added the job, or if the running job read the
// approvals before the last one.
func (s *Server) resume(ctx context.Context) error {
	list, err := s.store.Proposals(ctx, 1000)
	if err != nil || len(list) == 0 {
		return err
	}
	var jobs []river.InsertManyParams
	for _, p := range list {
		state, err := s.decisions(ctx, p.Fingerprint, p.Digest)
		if err != nil {
			s.log("the approvals of an incident can't be read", "incident", short(p.Fingerprint), "error", s.o.Redactor.Quoted(report.Clean(err.Error())))
			continue // others don't wait for it
		}
		if state.Complete(p.Needed) {
			jobs = append(jobs, job(KillArgs{p.Fingerprint}, queueKill, urgent))
		}
	}
	return s.store.Update(ctx, func(tx *store.Tx) error { return s.insert(ctx, tx, jobs...) })
}

// persons is a number of people.
func persons(n int) string {
	if n == 1 {
		return "1 person"
	}
	return fmt.Sprintf("%d people", n)
}

// kills reports whether a plan sends anything that ends a credential.
func kills(p *plan.Plan) bool {
	for _, it := range p.Items {
		if it.Kills() {
			return true
		}
	}
	return false
}

// decide records what a person decided about an incident, and starts the kill once all that is
// needed is there. A decision that was recorded before is not recorded twice.
func (s *Server) decide(ctx context.Context, d web.Decision) error {
	row, err := s.store.Incident(ctx, d.Fingerprint)
	if err != nil {
		return err
	}
	now := time.Now()
	body := ledger.Approval{Person: d.Person, Method: ledger.Word(d.Method), Subject: d.Subject, Reason: report.Clean(s.typed(d.Reason))}
	var proposal store.Proposal
	state, err := s.decisions(ctx, d.Fingerprint, d.Digest)
	if err != nil {
		return err
	}
	again := false
	switch d.What {
	case web.Approve:
		if proposal, err = s.store.Proposal(ctx, d.Fingerprint); err != nil {
			if errors.Is(err, store.ErrUnknown) {
				return web.ErrGone
			}
			return err
		}
		if proposal.Digest != d.Digest || d.Digest == "" {
			return web.ErrChanged
		}
		until := now.Add(approval.Lasts).UTC()
		body.Decision, body.Plan, body.Until, again = ledger.Approve, d.Digest, &until, state.Has(d.Person, d.Subject)
	case web.Hold:
		body.Decision = ledger.Hold
	case web.Release:
		body.Decision, again = ledger.Release, len(state.Holds) == 0
	default:
		return fmt.Errorf("unknown decision %q", d.What)
	}
	if !again {
		if err := s.ledger.Append(ctx, ledger.Entry{Incident: d.Fingerprint, Actor: d.Person, Run: "serve", Body: body}); err != nil {
			return err
		}
	}
	if row.State != revokers.Live.String() || !s.o.Config.Apply {
		return nil
	}
	if state, err = s.decisions(ctx, d.Fingerprint, d.Digest); err != nil {
		return err
	}
	if d.What == web.Approve && !state.Complete(proposal.Needed) {
		return nil
	}
	return s.store.Update(ctx, func(tx *store.Tx) error {
		return s.insert(ctx, tx, job(KillArgs{d.Fingerprint}, queueKill, urgent))
	})
}
