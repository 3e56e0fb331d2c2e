package run

import (
	"context"

	"github.com/quellhq/quell/cmd/quell/internal/policy"
)

// Switch returns a hold if nothing may be killed, rotated or deleted now. It reads
// the policy again, so that an operator who sets kill.disabled stops a run that
// has begun. A policy that can't be read any more stops it too.
func (r *Runtime) Switch(ctx context.Context) *policy.Hold {
	if r.noKill() {
		return policy.Switch()
	}
	if r.Stop != nil {
		if hold := r.Stop(ctx); hold != nil {
			return hold
		}
	}
	p, err := r.policyNow(ctx)
	switch {
	case err != nil:
		return &policy.Hold{Reason: "the policy can't be read again to see the kill switch: " + err.Error(), Remedy: "quell policy check shows the mistake; then quell apply with the same plan"}
	case p.Disabled():
		return policy.Switch()
	}
	return nil
}

func (r *Runtime) policyNow(ctx context.Context) (*policy.Policy, error) {
	if r.options.PolicyNow != nil {
		return r.options.PolicyNow(ctx)
	}
	return policy.Load(r.policyFile())
}

// policyFile returns the path of the policy file, and whether the options name
// it, so that it must exist.
func (r *Runtime) policyFile() (path string, named bool) {
	if r.options.Policy != "" {
		return r.options.Policy, true
	}
	return r.Dirs.PolicyFile(), false
}

// stop returns the hold of the kill switch at this moment.
func (a *Applier) stop(ctx context.Context) *policy.Hold {
	switch {
	case a.NoKill || a.Policy.Disabled():
		return policy.Switch()
	case a.Switch != nil:
		return a.Switch(ctx)
	}
	return nil
}

// reserve returns the hold of an item that may not be counted as ended.
func (r *applying) reserve(ctx context.Context, w *item) *policy.Hold {
	if r.Reserve == nil {
		return nil
	}
	return r.Reserve(ctx, w.it.Fingerprint)
}

// errHeld stops a request that may not be sent any more.
type errHeld struct {
	policy.Hold
	diff string
}

func (e errHeld) Error() string { return e.Reason }

// differing is the hold of a request whose final form is not what the plan shows.
func differing(diff string) errHeld {
	return errHeld{policy.Hold{Reason: "the requests differ from the plan", Remedy: "quell plan"}, diff}
}

func heldBy(h *policy.Hold) error {
	if h == nil {
		return nil
	}
	return errHeld{Hold: *h}
}
