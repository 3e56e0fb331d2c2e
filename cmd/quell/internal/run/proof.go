package run

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules/credential"
	"github.com/quellhq/quell/rules/token"
)

// prove confirms a kill, and asks about the credentials that the kill may have ended too.
func (r *applying) prove(ctx context.Context, w *item) error {
	act := &w.act
	if w.already {
		act.Outcome, act.Control = prove.AlreadyDead, controlOf(w.verdict)
		act.Detail = "it was dead before a request for it was sent: " + string(w.verdict.Reason)
		r.persist(ctx, r.entry(w, ledger.Outcome{Outcome: ledger.Word(act.Outcome), Detail: act.Detail, Control: ledger.NewWord(act.Control)}))
		return nil
	}
	conf := r.confirm(guard.Patient(ctx), w)
	act.Outcome, act.Detail, act.Control, act.Proof, act.Remedy = conf.Outcome, conf.Detail, conf.Control, conf.Observations, conf.Remedy
	act.Looks, act.ReplicaRisk = conf.Looks, conf.ReplicaRisk
	qualify(act, w.target)
	if act.Outcome == prove.Confirmed && w.sent == nil && len(w.steps) == 0 {
		act.Detail += "; an earlier apply was interrupted between its intent and the issuer's answer, so the request may have ended it or something else"
	}
	if len(w.steps) > 0 && act.Outcome != prove.StillAlive {
		outcome := act.Outcome
		if d := r.finish(ctx, w, outcome == prove.Confirmed || outcome == prove.UntilExpiry); d != "" {
			act.Detail += "; " + d
		}
		act.Outcome, act.Held = outcome, ""
	}
	act.Seconds = time.Since(w.start).Seconds()
	entries := []ledger.Entry{r.entry(w, ledger.Observation{Confirmation: conf})}
	act.Derived = r.derived(guard.Patient(ctx), w)
	for _, d := range act.Derived {
		entries = append(entries, r.entry(w, ledger.Derived{Fingerprint: d.Fingerprint, Kind: string(d.Kind), Redacted: d.Redacted, Liveness: d.Liveness, Reason: ledger.NewWord(string(d.Reason))}))
	}
	entries = append(entries, r.entry(w, ledger.Outcome{
		Outcome: ledger.NewWord(string(act.Outcome)), Detail: act.Detail, Control: ledger.NewWord(act.Control),
		Seconds: act.Seconds, Looks: act.Looks, ReplicaRisk: act.ReplicaRisk,
	}))
	if err := r.persist(ctx, entries...); err != nil {
		act.Detail += "; the ledger could not record this yet: " + err.Error()
	}
	return nil
}

// confirm proves death by the endpoint that answered Live.
func (r *applying) confirm(ctx context.Context, w *item) prove.Confirmation {
	t := w.target
	if !t.Rule.Probed() {
		return prove.Confirmation{Outcome: prove.Unconfirmed, Detail: "nothing that only reads can tell whether it is live", Control: prove.NoControl,
			Remedy: "check by hand that it is refused; see " + t.Rule.Provider.Docs}
	}
	endpoint := ""
	if t.Seen != nil {
		endpoint = t.Seen.Endpoint
	} else if all := r.Checker.Verifier.Endpoints(t); len(all) > 0 {
		endpoint = all[0]
	}
	if endpoint == "" {
		return prove.Confirmation{Outcome: prove.Unconfirmed, Detail: "the instance lacks a setting that the probe needs", Control: prove.NoControl, Remedy: missingRemedy(t)}
	}
	s := prove.Schedule{Settle: time.Duration(w.it.Settle), MaxRisk: r.Policy.MaxReplicaRisk()}
	s.Looks, s.Limit = prove.LooksOf(t)
	r.progress("confirming %s %s at %s, up to %s", short(w.it.Fingerprint), w.it.Rule, t.Host(), s.Settle)
	defer r.Watch.confirm(s.Settle)()
	return r.Prover.Confirm(ctx, prove.Kill{Target: t, Endpoint: endpoint, Attempted: r.attempted(w), Sent: w.sent, Before: w.before}, s)
}

// attempted reports whether a request that ends w left: in this apply, or in an
// earlier one whose intent is in the ledger.
func (r *applying) attempted(w *item) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return w.hist.intent != nil || r.kills[w.it.Fingerprint]
}

// qualify adds what a probe alone can't show: a credential that services accept without
// asking the issuer stays alive there until it expires.
func qualify(act *report.Action, t revokers.Target) {
	until := "its expiry, which it does not contain"
	if t.Offline.Expires != nil {
		until = t.Offline.Expires.Format(time.RFC3339)
	}
	form, carried := t.Stateless()
	logout := strings.Contains(act.Method, "logout")
	switch {
	case carried && t.Kind != credential.KindJWT && (t.Offline.Expires == nil || t.Offline.Expires.After(time.Now())):
		outlives(act, form, until)
	case !t.Rule.Stateless && act.Outcome == prove.StillAlive && t.Kind == credential.KindSessionCookie && logout && act.Receipt != nil && act.Receipt.Accepted:
		act.Detail += "; the application may keep nothing and carry the session in the cookie, which a logout does not end"
		act.Remedy = "change the user's password, or the key that signs the application's sessions, which ends everyone's; then quell recheck"
	case !t.Rule.Stateless:
	case t.Offline.Expires != nil && t.Offline.Expires.Before(time.Now()):
		// The credential expired while quell was ending it: waiting would change nothing.
	case act.Outcome == prove.StillAlive:
		act.Outcome = prove.UntilExpiry
		act.Detail = "stateless: it is still accepted, until " + until
		act.Remedy = "roll the key that signs it, which ends everyone's; or wait"
	case act.Outcome == prove.Confirmed && t.Kind == credential.KindJWT:
		act.Outcome = prove.UntilExpiry
		act.Detail = "its issuer no longer accepts it, but services that check only the signature accept it until " + until
		act.Remedy = "roll the key that signs it, which ends everyone's; or wait"
	}
}

// outlives corrects the outcome for a session that the cookie carries: a logout
// asks the browser to forget it and ends nothing elsewhere.
func outlives(act *report.Action, form token.Stateless, until string) {
	switch act.Outcome {
	case prove.StillAlive:
		act.Detail = fmt.Sprintf("stateless (%s): it is still accepted, until %s", form.Form, until)
	case prove.Confirmed:
		if !strings.Contains(act.Method, "logout") {
			return // its row or its key is gone, not only the browser's copy
		}
		act.Detail = fmt.Sprintf("stateless (%s): the page that was asked no longer accepts it, but whatever verifies only the cookie accepts it until %s", form.Form, until)
	default:
		return
	}
	act.Outcome, act.Remedy = prove.UntilExpiry, form.Remedy+"; or wait"
}

// derived asks about the other live credentials of the plan that have the same issuer and subject,
// because the kill may have ended them too. It reports the state of a refresh token of the same
// session as unknown if only redeeming it would show that.
func (r *applying) derived(ctx context.Context, w *item) []report.Derived {
	var out []report.Derived
	subject := w.it.Verdict.Identity["subject"]
	if len(r.items) > maxDerived {
		return nil
	}
	for _, o := range r.items {
		d := report.Derived{Fingerprint: o.it.Fingerprint, Kind: o.it.Kind, Redacted: o.it.Redacted}
		switch {
		case o == w || o.it.Instance != "" && o.it.Instance != w.it.Instance:
		case o.it.Kind == credential.KindRefresh && o.it.Verdict.Liveness == revokers.Unknown && w.it.Group != "" && o.it.Group == w.it.Group:
			d.Liveness, d.Reason = revokers.Unknown, o.it.Verdict.Reason
			out = append(out, d)
		case subject != "" && o.it.Verdict.Identity["subject"] == subject && o.it.Verdict.Liveness == revokers.Live && !o.cred.Secret.IsZero():
			in, err := r.instance(o.it)
			if err != nil {
				continue
			}
			t := r.bound(o, in)
			v, _ := r.Checker.At(ctx, &t)
			if ctx.Err() != nil {
				return out
			}
			d.Liveness, d.Reason = v.Liveness, v.Reason
			out = append(out, d)
		}
	}
	return out
}

// maxDerived is the largest number of items of a plan that are compared with each other.
const maxDerived = 100
