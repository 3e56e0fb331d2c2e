package run

import (
	"context"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

// prove confirms a kill and asks what became of its relatives.
func (a *Applier) prove(ctx context.Context, p *plan.Plan, id string, k *pending, creds []rules.Credential) error {
	it, c, x, act := k.it, k.c, k.x, &k.act
	// The record outlives an interruption of the run.
	log := func(kind string, body any) error {
		return a.record(context.WithoutCancel(ctx), id, it.Fingerprint, kind, body)
	}
	a.progress("confirming %s %s at %s, up to %s", it.Rule, it.Redacted, x.Instance.Host(), time.Duration(it.Settle))
	conf := a.confirm(ctx, it, c, x, creds)
	act.Outcome, act.Detail, act.Control, act.Proof = conf.Outcome, conf.Detail, conf.Control, conf.Observations
	a.qualify(act, x, c)
	act.Seconds = time.Since(k.start).Seconds()
	if err := log("observation", conf); err != nil {
		return err
	}
	act.Derived = a.derived(ctx, p, k.n, creds)
	for _, d := range act.Derived {
		if err := log("derived", d); err != nil {
			return err
		}
	}
	return log("outcome", map[string]any{"outcome": act.Outcome, "detail": act.Detail, "control": act.Control, "seconds": act.Seconds})
}

// confirm proves death with the probe that said live.
func (a *Applier) confirm(ctx context.Context, it plan.Item, c rules.Credential, x *revokers.Exchange, creds []rules.Credential) revokers.Confirmation {
	ask := func(c rules.Credential) revokers.Ask {
		return func(ctx context.Context) revokers.Verdict {
			v, err := a.Prober.Verify(ctx, c)
			if err != nil {
				return revokers.Verdict{Reason: revokers.Unreachable, Detail: "interrupted", At: time.Now().UTC()}
			}
			return v
		}
	}
	s := revokers.Schedule{Settle: time.Duration(it.Settle)}
	if x.Instance.Own {
		// Nobody bans the operator at the operator's own instance, so each look
		// can try several connections.
		s.Burst = 3
	}
	if x.Rule.Probe == nil {
		return revokers.Confirmation{Outcome: revokers.Unconfirmed, Detail: "nothing that only reads tells whether it is alive", Control: revokers.NoControl}
	}
	control, ok := x.Control()
	if ok {
		a.Prober.IssuedBy(control.Fingerprint, x.Instance.URL.String())
	} else {
		// Another credential at the same issuer that is still live does as well.
		for _, o := range creds {
			if o.Rule != c.Rule || o.Fingerprint == c.Fingerprint || o.Secret.IsZero() {
				continue
			}
			if ox, err := a.Prober.Exchange(o); err == nil && ox.Instance == x.Instance {
				if v, err := a.Prober.Verify(ctx, o); err == nil && v.Liveness == revokers.Live {
					control, ok = o, true
					break
				}
			}
		}
	}
	if !ok {
		return revokers.Confirm(ctx, ask(c), nil, s)
	}
	return revokers.Confirm(ctx, ask(c), ask(control), s)
}

// qualify says what a probe alone can't: what is accepted without asking the
// issuer stays alive elsewhere until it expires.
func (a *Applier) qualify(act *report.Action, x *revokers.Exchange, c rules.Credential) {
	until := "its expiry, which it does not tell"
	if c.Offline.Expires != nil {
		until = c.Offline.Expires.Format(time.RFC3339)
	}
	switch {
	case !x.Rule.Stateless:
	case c.Offline.Expires != nil && c.Offline.Expires.Before(time.Now()):
		// It has expired while it was being ended: there is nothing left to wait for.
	case act.Outcome == revokers.StillAlive:
		act.Outcome = revokers.UntilExpiry
		act.Detail = "stateless: it is still accepted, until " + until
	case act.Outcome == revokers.Confirmed && c.Kind == rules.KindJWT:
		act.Outcome = revokers.UntilExpiry
		act.Detail = "its issuer gave it up, but who checks the signature alone accepts it until " + until
	}
}

// derived asks about the live credentials of the same issuer that this run
// knows and that the kill may have taken along, or left.
func (a *Applier) derived(ctx context.Context, p *plan.Plan, n int, creds []rules.Credential) []report.Derived {
	var out []report.Derived
	me := p.Items[n]
	for i, it := range p.Items {
		if i == n || it.Instance != me.Instance || creds[i].Secret.IsZero() || it.Verdict.Liveness != revokers.Live {
			continue
		}
		if s := it.Verdict.Identity["subject"]; s == "" || s != me.Verdict.Identity["subject"] {
			continue
		}
		v, err := a.Prober.Verify(ctx, creds[i])
		if err != nil {
			break
		}
		out = append(out, report.Derived{Fingerprint: it.Fingerprint, Kind: it.Kind, Redacted: it.Redacted, Liveness: v.Liveness, Reason: v.Reason})
	}
	return out
}
