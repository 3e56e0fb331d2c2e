package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"filippo.io/age"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/store"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/vault"
	"github.com/quellhq/quell/rules"
)

// Applier does what a plan says.
type Applier struct {
	Prober     *revokers.Prober
	Policy     *policy.Policy
	Own        []rules.Secret
	Ledger     *store.Ledger
	Identities []age.Identity
	Recipients []age.Recipient // what is kept to ask again later is sealed to them
	Actor      string
	Key        rules.FingerprintKey
	NoKill     bool
	Progress   func(string)
}

// Apply goes through the items. Each ends in an Action with an outcome; an
// error ends the run before anything that the ledger could not record.
func (a *Applier) Apply(ctx context.Context, p *plan.Plan, id string, emit func(report.Action) error) error {
	creds := make([]rules.Credential, len(p.Items))
	for i, it := range p.Items {
		if !it.Kills() {
			continue
		}
		s, err := config.Open(it.Sealed, a.Identities...)
		if err != nil {
			return fmt.Errorf("plan: item %d: %w", i+1, err)
		}
		creds[i] = rules.Credential{Ref: it.Ref, Secret: s}
		a.Prober.IssuedBy(it.Fingerprint, it.Instance)
		if it.Verdict.Liveness == revokers.Live {
			a.Prober.SawLive(it.Fingerprint)
		}
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	done := func(act report.Action, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			err = emit(act)
		}
		if first == nil {
			first = err
		}
	}
	failed := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return first != nil || ctx.Err() != nil
	}
	for _, group := range a.groups(p) {
		if failed() {
			break
		}
		var ready []*pending
		for _, n := range group {
			k, act, err := a.prepare(ctx, p, id, n, creds)
			if err != nil || k == nil {
				done(act, err)
				continue
			}
			ready = append(ready, k)
		}
		if failed() {
			break
		}
		var toProve []*pending
		if len(ready) > 1 {
			if err := a.together(ctx, id, ready); err != nil {
				done(ready[0].act, err)
				break
			}
			toProve = ready
		} else {
			for _, k := range ready {
				if ended, err := a.end(ctx, id, k); err != nil || ended {
					done(k.act, err)
				} else {
					toProve = append(toProve, k)
				}
			}
		}
		for _, k := range toProve {
			prove := func() { done(k.act, a.prove(ctx, p, id, k, creds)) }
			// Kills go one after the other, since one may take another with it.
			// Proofs take the settle time and run side by side, unless the next
			// credential is this one's positive control.
			if k.x.Instance.Control.IsZero() && len(toProve) == 1 {
				prove()
				continue
			}
			wg.Add(1)
			go func() {
				defer wg.Done()
				prove()
			}()
		}
	}
	wg.Wait()
	if first == nil {
		first = ctx.Err()
	}
	return first
}

func (a *Applier) record(ctx context.Context, run, incident, kind string, body any) error {
	return a.Ledger.Append(ctx, store.Entry{Incident: incident, Type: kind, Actor: a.Actor, Run: run}, body)
}

func (a *Applier) hold(act *report.Action, why, lever string) {
	act.Outcome, act.Held, act.Lever = revokers.Held, why, lever
}

// groups are the items that are ended together: those that one request of
// their issuer takes, each other one alone.
func (a *Applier) groups(p *plan.Plan) [][]int {
	var out [][]int
	open := map[string]int{} // instance and revocation -> group
	for n, it := range p.Items {
		r := a.Prober.Set.Rule(it.Rule)
		var v *rules.Revoke
		if r != nil && it.Action == plan.ActRevoke {
			v = revocation(r, it.Revoke)
		}
		key := it.Instance + " " + it.Revoke
		switch g, ok := open[key]; {
		case v == nil || v.Batch < 2:
			out = append(out, []int{n})
		case ok && len(out[g]) < v.Batch:
			out[g] = append(out[g], n)
		default:
			open[key] = len(out)
			out = append(out, []int{n})
		}
	}
	return out
}

// pending is an item that is about to be ended, or whose proof is due.
type pending struct {
	n      int
	it     plan.Item
	c      rules.Credential
	x      *revokers.Exchange
	act    report.Action
	before revokers.Verdict
	start  time.Time
	log    func(kind string, body any) error
}

// prepare decides once more whether an item may be ended, and asks whether it
// still lives. Without a pending item the action is final.
func (a *Applier) prepare(ctx context.Context, p *plan.Plan, id string, n int, creds []rules.Credential) (*pending, report.Action, error) {
	it, c := p.Items[n], creds[n]
	act := ActionOf(it)
	log := func(kind string, body any) error { return a.record(ctx, id, it.Fingerprint, kind, body) }
	switch it.Action {
	case plan.ActNone:
		return nil, act, nil
	case plan.ActWait:
		act.Outcome = revokers.UntilExpiry
		return nil, act, errors.Join(log("found", it.Exposures), log("outcome", map[string]any{"outcome": act.Outcome, "detail": act.Detail, "control": revokers.NoControl}))
	case plan.ActHeld:
		act.Outcome = revokers.Held
		return nil, act, log("held", it.Hold)
	}
	x, err := a.Prober.Exchange(c)
	switch {
	case a.NoKill || a.Policy.Disabled():
		a.hold(&act, "the kill switch is on", "kill.disabled = false in the policy, or unset QUELL_NO_KILL")
	case err != nil:
		a.hold(&act, err.Error(), "the policy that the plan was made with")
	case x.Instance.URL.String() != it.Instance:
		a.hold(&act, "the policy now names another instance than the plan", "a new plan")
	case owned(c.Secret, a.Own):
		a.hold(&act, "it is the operator's or quell's own credential", "none: rotate it by hand")
	}
	if act.Outcome == revokers.Held {
		return nil, act, log("held", act.Held)
	}
	if err := log("found", it.Exposures); err != nil {
		return nil, act, err
	}
	if p.BreakGlass != "" {
		if err := log("override", map[string]string{"reason": p.BreakGlass}); err != nil {
			return nil, act, err
		}
	}
	// The world may have changed since the plan: ask again. What is dead
	// already gets no request, only its proof.
	before, err := a.Prober.Verify(ctx, c)
	if err != nil {
		return nil, act, err
	}
	if err := log("verdict", before); err != nil {
		return nil, act, err
	}
	if before.Liveness == revokers.Unknown && before.Reason != revokers.Unsupported && p.BreakGlass == "" {
		a.hold(&act, "it is not known to be live any more: "+before.Reason, "apply again once its issuer answers")
		return nil, act, log("held", act.Held)
	}
	sealed, err := config.Seal([]byte(c.Secret.Reveal()), a.Recipients)
	if err == nil {
		err = a.Ledger.Keep(ctx, it.Fingerprint, it.Rule, it.Cookie, sealed)
	}
	if err != nil {
		return nil, act, err
	}
	x.SeenLive = true
	a.Prober.SawLive(it.Fingerprint)
	x.Kept = before.Identity
	return &pending{n, it, c, x, act, before, time.Now(), log}, act, nil
}

// together ends several credentials by one request of their issuer.
func (a *Applier) together(ctx context.Context, id string, list []*pending) error {
	var alive []*pending
	for _, k := range list {
		if k.before.Liveness == revokers.Dead {
			continue
		}
		if err := k.log("intent", map[string]any{"action": "revoke", "method": k.it.Revoke, "host": k.x.Instance.Host(), "requests": k.it.Requests, "together": len(list)}); err != nil {
			return err
		}
		alive = append(alive, k)
	}
	if len(alive) == 0 {
		return nil
	}
	first := alive[0]
	a.progress("revoking %d credentials at %s", len(alive), first.x.Instance.Host())
	var others []rules.Secret
	for _, k := range alive[1:] {
		others = append(others, k.c.Secret)
	}
	receipt, err := first.x.RevokeAll(ctx, revocation(first.x.Rule, first.it.Revoke), others)
	if err != nil {
		receipt = revokers.Receipt{Detail: "no answer: " + err.Error(), At: time.Now().UTC()}
	}
	var errs []error
	for _, k := range alive {
		k.act.Receipt = &receipt
		errs = append(errs, a.record(context.WithoutCancel(ctx), id, k.it.Fingerprint, "receipt", receipt))
	}
	return errors.Join(errs...)
}

// end rotates first, where Vault manages the credential, and then revokes.
// done tells that the item is finished without a proof.
func (a *Applier) end(ctx context.Context, id string, k *pending) (done bool, err error) {
	if k.before.Liveness == revokers.Dead {
		return false, nil
	}
	it, c, x, act, log := k.it, k.c, k.x, &k.act, k.log
	if it.Rotate != nil {
		if begun, err := a.begunRotation(ctx, id, it.Fingerprint); err != nil || begun {
			if begun {
				a.hold(act, "an earlier run began to rotate it and its end is unknown", "look into Vault, then make a new plan")
			}
			return true, errors.Join(err, log("held", act.Held))
		}
		if err := log("intent", map[string]any{"action": "rotate", "with": it.Rotate}); err != nil {
			return true, err
		}
		rx, err := vaultFor(a.Prober, x)
		if err == nil {
			var rot revokers.Rotation
			if rot, err = (vault.Rotator{Exchange: rx, With: *x.Instance.Rotate}).Rotate(ctx, c); err == nil {
				act.Rotation = &rot
				if err := log("rotation", rot); err != nil {
					return true, err
				}
			}
		}
		if err != nil {
			a.hold(act, "the rotation failed, so nothing was revoked: "+err.Error(), "mend the rotation in the policy, or leave it out")
			return true, log("held", act.Held)
		}
	}
	if it.Revoke == "" {
		return false, nil
	}
	if err := log("intent", map[string]any{"action": "revoke", "method": it.Revoke, "host": x.Instance.Host(), "requests": it.Requests}); err != nil {
		return true, err
	}
	a.progress("revoking %s %s at %s", it.Rule, it.Redacted, x.Instance.Host())
	r := revocation(x.Rule, it.Revoke)
	if r == nil {
		return true, fmt.Errorf("rule %s has no revocation %q any more", it.Rule, it.Revoke)
	}
	var receipt revokers.Receipt
	if r.Native != "" {
		receipt, err = a.Prober.Natives.Revokes[r.Native].Revoke(ctx, x)
	} else {
		receipt, err = x.Revoke(ctx, r)
	}
	if err != nil {
		// The request may have arrived all the same: only the probe can tell.
		receipt = revokers.Receipt{Detail: "no answer: " + err.Error(), At: time.Now().UTC()}
	}
	act.Receipt = &receipt
	return false, a.record(context.WithoutCancel(ctx), id, it.Fingerprint, "receipt", receipt)
}

func revocation(r *rules.Rule, id string) *rules.Revoke {
	for i := range r.Revokes {
		if r.Revokes[i].ID == id {
			return &r.Revokes[i]
		}
	}
	return nil
}

// begunRotation reports whether this plan's rotation was begun before and left
// no result: it may not be repeated.
func (a *Applier) begunRotation(ctx context.Context, id, incident string) (bool, error) {
	all, err := a.Ledger.Incident(ctx, incident)
	if err != nil {
		return false, err
	}
	begun := false
	for _, e := range all {
		if e.Run != id {
			continue
		}
		var b struct {
			Action string `json:"action"`
		}
		switch {
		case e.Type == "intent" && json.Unmarshal(e.Body, &b) == nil && b.Action == "rotate":
			begun = true
		case e.Type == "rotation", e.Type == "held":
			begun = false
		}
	}
	return begun, nil
}

func (a *Applier) progress(format string, args ...any) {
	if a.Progress != nil {
		a.Progress(fmt.Sprintf(format, args...))
	}
}
