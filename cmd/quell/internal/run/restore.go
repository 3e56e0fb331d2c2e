package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/interp"
	"github.com/quellhq/quell/rules"
)

// restoring is one reversible kill that is taken back.
type restoring struct {
	r       *Runtime
	led     *ledger.Ledger
	checker *Checker
	kill    ledger.Intent
	at      time.Time // of the kill
	target  revokers.Target
	revoke  *rules.Revoke
	lease   ledger.Lease
	verdict revokers.Verdict
	act     report.Action
}

// Restore reverts the last kill of an incident, if its rules file has a request for that. It
// asks afterwards whether the credential is live again. The exit code is 3 if it is
// not.
func (r *Runtime) Restore(ctx context.Context, incident string, sink report.Sink) (report.Summary, error) {
	var sum report.Summary
	if r.options.Offline {
		return sum, errOffline
	}
	if h := r.Switch(ctx); h != nil {
		return sum, fmt.Errorf("restore: %s, which stops every change at an issuer (hint: %s)", h.Reason, h.Remedy)
	}
	led, err := r.Ledger(ctx)
	if err != nil {
		return sum, err
	}
	defer led.Close()
	x := &restoring{r: r, led: led, checker: r.Checker()}
	if err := x.find(ctx, incident); err != nil {
		return sum, err
	}
	leases, err := led.Acquire(ctx, min(ledger.MaxLease, 2*time.Minute+time.Duration(x.revoke.Settle)), x.target.Fingerprint)
	if err != nil {
		return sum, err
	}
	if len(leases) == 0 {
		return sum, errors.New("restore: another quell works on this incident (hint: wait until it has ended)")
	}
	x.lease = leases[0]
	defer led.Release(context.WithoutCancel(ctx), x.lease) //nolint:errcheck // it expires by itself
	start := r.options.Now()
	live, err := x.run(ctx)
	if err != nil {
		return sum, err
	}
	sum.Credentials, sum.Seconds = 1, time.Since(start).Seconds()
	CountVerdict(&sum, &x.verdict, false)
	if !live {
		sum.ExitCode = ExitLeft
	}
	return sum, errors.Join(
		sink.Emit(CredentialEvent(x.target.Credential, "")),
		sink.Emit(report.Verdict{Fingerprint: x.target.Fingerprint, Verdict: x.verdict}),
		sink.Emit(x.act))
}

// find reads what was sent, and the sealed credential.
func (x *restoring) find(ctx context.Context, incident string) error {
	entries, err := x.led.Incident(ctx, incident)
	if err != nil && len(entries) == 0 {
		return err
	}
	name := entries[0].Incident
	identity := map[string]string{}
	for _, e := range entries {
		switch b := e.Body.(type) {
		case ledger.Intent:
			if b.Action == "revoke" || b.Action == "rotate_and_revoke" {
				x.kill, x.at = b, e.At
			}
		case ledger.Verdict:
			if b.Liveness == revokers.Live {
				identity = b.Identity
			}
		case ledger.Restore:
			if b.Outcome == ledger.Restored {
				x.kill, x.at = ledger.Intent{}, time.Time{}
			}
		}
	}
	if x.at.IsZero() {
		return fmt.Errorf("restore: the ledger has no kill of %s that could be taken back", name)
	}
	kept, err := x.led.Kept(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(kept, func(s ledger.Sealed) bool { return s.Incident == name })
	if i < 0 {
		return fmt.Errorf("restore: the sealed credential of %s was purged (hint: restore it at its issuer)", name)
	}
	ids, err := x.r.Identities()
	if err != nil {
		return err
	}
	c, err := OpenCredential(x.r.Rules, kept[i].Ref.Ref, kept[i].Value, ids...)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	c.Fingerprint, c.Redacted = name, c.Secret.Hint()
	x.r.Redactor.Add(c.Secret)
	return x.bind(kept[i].Ref, func(in revokers.Target) revokers.Target {
		in.Credential, in.Captures = c, identity
		if kept[i].Ref.Endpoint != "" {
			in.Seen = &revokers.Sighting{Endpoint: kept[i].Ref.Endpoint, Learned: kept[i].Ref.Learned}
		}
		return in
	})
}

// bind finds today's instance and the request that restores.
func (x *restoring) bind(ref ledger.Ref, fill func(revokers.Target) revokers.Target) error {
	rule := x.r.Rules.Rule(ref.Rule)
	if rule == nil {
		return fmt.Errorf("restore: no rule %q (hint: --rules FILE, as when it was killed)", ref.Rule)
	}
	in := x.r.instanceOf(rule, ref)
	if in == nil || in.Settings["namespace"] != ref.Namespace {
		return fmt.Errorf("restore: the policy no longer names the instance %s", ref.Instance)
	}
	x.target = fill(revokers.Target{Rule: rule, Instance: in})
	x.revoke = choose(x.target, x.kill.Method)
	if x.revoke == nil || x.r.Registry.Restorer(x.revoke) == nil {
		return fmt.Errorf("restore: the rules file of %s names no request that takes the revocation %q back (hint: make a new credential)", rule.ID, x.kill.Method)
	}
	if w := time.Duration(x.revoke.Restore.Window); w > 0 && time.Since(x.at) > w {
		return fmt.Errorf("restore: the issuer takes the revocation back within %s, and it was sent %s ago (hint: make a new credential)", w, time.Since(x.at).Round(time.Minute))
	}
	if missing, ok := interp.Has(x.target, x.revoke.Restore.Needs); !ok {
		return fmt.Errorf("restore: it needs %s of the [[instance]] in the policy", missing)
	}
	if v, done := revokers.WithoutAsking(x.r.Rules, x.target.Credential, x.checker.Canary(x.target.Credential), x.r.options.Now()); done && v.Reason == revokers.Canary {
		return errors.New("restore: it is a canary, which is never contacted")
	}
	return nil
}

func (x *restoring) entry(b ledger.Body) ledger.Entry {
	return ledger.Entry{Incident: x.target.Fingerprint, Actor: x.r.Actor(), Run: "restore", Body: b}
}

// run sends the request and asks whether the credential is live again.
func (x *restoring) run(ctx context.Context) (live bool, err error) {
	x.act = report.Action{Ref: x.target.Ref, Host: x.target.Host(), Instance: x.target.URL(), Action: "restore", Method: x.revoke.ID, Tier: x.revoke.Tier, Scope: x.revoke.Scope, Reversible: true}
	if x.ask(ctx); x.verdict.Liveness == revokers.Live {
		return false, errors.New("restore: it is live, so there is nothing to take back")
	}
	before := verdictEntry(x.verdict)
	left := false
	ack, err := x.r.Registry.Restorer(x.revoke).Restore(ctx, x.target, func(e revokers.Effect) error {
		if err := heldBy(x.r.Switch(ctx)); err != nil {
			return err
		}
		i := ledger.Intent{Action: "restore", Method: x.revoke.ID, Host: x.target.Host(), Instance: x.target.URL(), Requests: requestsOf(e), Fence: x.lease.Fence, Before: &before}
		if err := x.led.Append(ctx, x.entry(i)); err != nil {
			return err
		}
		left = true
		x.act.Requests = []revokers.Effect{e}
		return nil
	})
	if err != nil && !left {
		return false, fmt.Errorf("restore: nothing was sent: %w", err)
	}
	if err != nil {
		ack = revokers.Acknowledgement{Detail: "no answer: " + err.Error(), At: time.Now().UTC()}
	}
	x.act.Receipt = &ack
	// A request that was sent is recorded and asked about even if the run is interrupted.
	ctx = context.WithoutCancel(ctx)
	var failed error
	if left {
		failed = x.led.Append(ctx, x.entry(ledger.Receipt{Accepted: ack.Accepted, Status: ack.Status, Detail: ack.Detail, At: ack.At, Action: "restore"}))
	}
	live = x.settle(ctx)
	done := ledger.Restore{Outcome: ledger.NotRestored, Status: ack.Status, Detail: ack.Detail}
	switch {
	case live:
		done.Outcome, done.Detail = ledger.Restored, "it is live again"
	case !x.target.Rule.Probed():
		done.Detail = "nothing that only reads can tell whether it is live"
	case ack.Accepted:
		done.Detail = "the issuer accepted, and it is not known to be live: " + string(x.verdict.Reason)
	}
	x.act.Detail = done.Detail
	if !live {
		x.act.Remedy = "restore it at its issuer, or make a new credential"
	}
	return live, errors.Join(failed, x.led.Append(ctx, x.entry(verdictEntry(x.verdict)), x.entry(done)))
}

func (x *restoring) ask(ctx context.Context) {
	if x.target.Rule.Probed() {
		x.verdict, _ = x.checker.At(ctx, &x.target)
		return
	}
	x.verdict = revokers.Undecided(revokers.Unsupported, "nothing that only reads can tell whether it is live")
}

// settle asks until the credential is live, or the time in which the issuer's
// replicas learn of a revocation has passed.
func (x *restoring) settle(ctx context.Context) bool {
	for end := time.Now().Add(max(time.Duration(x.revoke.Settle), time.Second)); ; time.Sleep(500 * time.Millisecond) {
		x.ask(ctx)
		if x.verdict.Liveness == revokers.Live {
			return true
		}
		if time.Now().After(end) || !x.target.Rule.Probed() {
			return false
		}
	}
}
