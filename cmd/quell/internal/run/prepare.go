package run

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/revokers/rows"
	"github.com/quellhq/quell/rules"
)

func (r *applying) entries(ctx context.Context, w *item) ([]ledger.Entry, error) {
	entries, err := r.Ledger.Incident(ctx, w.it.Fingerprint)
	if errors.Is(err, ledger.ErrNoIncident) {
		return nil, nil
	}
	return entries, err
}

// prepare decides again whether an item may be ended, under today's policy and
// with today's answer. final means that the item is finished.
func (r *applying) prepare(ctx context.Context, w *item) (final bool, err error) {
	entries, err := r.entries(ctx, w)
	if err != nil {
		return true, err
	}
	w.hist = historyOf(entries, r.id)
	if w.hist.restored.After(r.plan.Created) {
		return r.hold(ctx, w, "it was restored after this plan was made", "quell plan, if it is to be ended again", "")
	}
	if f := w.hist.final; f != nil {
		w.act.Outcome, w.act.Detail, w.act.Control = prove.Outcome(f.Outcome), f.Detail, strings.ReplaceAll(string(f.Control), "_", " ")
		w.act.Before = &w.hist.finalAt
		w.act.Looks, w.act.ReplicaRisk, w.act.Seconds = f.Looks, f.ReplicaRisk, f.Seconds
		return true, nil
	}
	if final, err := r.forbidden(ctx, w); final || err != nil {
		return true, err
	}
	in, err := r.instance(w.it)
	if err != nil {
		return r.hold(ctx, w, err.Error(), "quell plan", "")
	}
	w.target = r.bound(w, in)
	w.revoke = choose(w.target, w.it.Revoke)
	resumed := w.hist.intent != nil || len(w.hist.rotations) > 0
	if !resumed {
		if age := time.Since(r.plan.Created); age > r.Policy.MaxAge() {
			return r.hold(ctx, w, fmt.Sprintf("the plan is %s old", age.Round(time.Second)), "quell plan; or kill.max_age in the policy", "")
		}
	}
	var answer revokers.Answer
	if w.target.Rule.Probed() {
		w.verdict, answer = r.Checker.At(ctx, &w.target)
	} else {
		w.verdict = w.it.Verdict
	}
	if ctx.Err() != nil {
		return true, ctx.Err()
	}
	if answer.Class == revokers.Accepts {
		w.before = &answer
	}
	w.act.Endpoint = w.verdict.Endpoint
	bodies := []ledger.Body{r.found(w), verdictEntry(w.verdict)}
	if r.Planner.BreakGlass != "" {
		bodies = append(bodies, ledger.Override{Reason: r.Planner.BreakGlass})
	}
	if err := r.record(ctx, w, bodies...); err != nil {
		return true, err
	}
	if err := r.keep(ctx, w); err != nil {
		return true, err
	}
	if resumed {
		return r.resume(ctx, w)
	}
	return r.first(ctx, w)
}

func verdictEntry(v revokers.Verdict) ledger.Verdict {
	return ledger.Verdict{Verdict: v}
}

// forbidden checks what no answer can change.
func (r *applying) forbidden(ctx context.Context, w *item) (bool, error) {
	if h := r.stop(ctx); h != nil {
		return r.hold(ctx, w, h.Reason, h.Remedy, "")
	}
	switch {
	case r.Checker.Canary != nil && r.Checker.Canary(w.cred), revokers.Honeytoken(r.Planner.Set, w.cred):
		return r.hold(ctx, w, "it is a canary", "none: whoever placed it wants to know", "")
	case r.Planner.Own.Has(w.cred.Secret):
		return r.hold(ctx, w, "it is a credential that quell works with", "none: rotate it by hand", "")
	}
	for _, s := range w.cred.Parts {
		if r.Planner.Own.Has(s) {
			return r.hold(ctx, w, "a part of it is a credential that quell works with", "none: rotate it by hand", "")
		}
	}
	return false, nil
}

// keep stores the sealed credential, so that recheck can ask again.
func (r *applying) keep(ctx context.Context, w *item) error {
	sealed, err := SealCredential(w.cred, r.Sealer)
	if err != nil {
		return err
	}
	s := ledger.Sealed{Incident: w.it.Fingerprint, Value: sealed}
	s.Ref.Ref = w.it.Ref
	s.Ref.PartFingerprints = partPrints(r.Key, w.cred.Parts)
	s.Ref.Instance, s.Ref.Page, s.Ref.User, s.Ref.Namespace = w.it.Instance, w.it.Page, w.it.User, w.it.Namespace
	if seen := w.target.Seen; seen != nil {
		s.Ref.Endpoint, s.Ref.Learned = seen.Endpoint, seen.Learned
	} else {
		// Where it was Live, and with which parts, is worth more than what was
		// never Live.
		had, err := r.Ledger.Kept(ctx, s.Incident)
		if err != nil {
			return err
		}
		if len(had) > 0 && had[0].Ref.Endpoint != "" {
			return nil
		}
	}
	return r.Ledger.Keep(ctx, s)
}

// first decides an item that no request was sent for.
func (r *applying) first(ctx context.Context, w *item) (final bool, err error) {
	w.act.Code = 0
	checked := r.checked(w)
	dead := w.verdict.Liveness == revokers.Dead
	if dead {
		w.already = true
		// The decision is about sending all the same; it needs no liveness.
		checked.Verdicts[0].Liveness, checked.Verdicts[0].NegativeControl = revokers.Live, true
	}
	d := r.Planner.decide(ctx, checked, r.others(w))
	switch {
	case dead && (d.hold != nil || d.revoke == nil || len(d.steps) > 0 || d.revoke.Tier != rules.TierSelf || d.revoke.Collateral != "" || !d.revoke.Idempotent() || differs(w.it, d) != ""):
		return r.alreadyDead(ctx, w)
	case d.wait:
		return r.hold(ctx, w, "the rules no longer know a way to end it", "quell plan", "")
	case d.hold != nil:
		w.act.Code = heldCode(w)
		return r.hold(ctx, w, d.hold.Reason, d.hold.Remedy, "")
	}
	if diff := differs(w.it, d); diff != "" {
		w.act.Code = heldCode(w)
		return r.hold(ctx, w, "the requests differ from the plan", "quell plan", diff)
	}
	w.steps, w.revoke, w.send = d.steps, d.revoke, d.revoke != nil
	r.mu.Lock()
	r.allowed[w.it.Fingerprint] = true
	r.mu.Unlock()
	return false, nil
}

// others is the number of the plan's kills besides w: kill.max counts them over
// all of its applies.
func (r *applying) others(w *item) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := maps.Clone(r.kills)
	maps.Copy(all, r.allowed)
	delete(all, w.it.Fingerprint)
	return len(all)
}

// checked is what a decision about w looks at. A dead credential's issuer
// reports no identity: then the plan's decides whose it was.
func (r *applying) checked(w *item) Checked {
	v := w.verdict
	if v.Liveness == revokers.Dead && len(v.Identity) == 0 {
		v.Identity = w.it.Verdict.Identity
	}
	return Checked{Credential: w.cred, Verdicts: []revokers.Verdict{v}, Target: &w.target}
}

// heldCode is the exit code that a held item causes: 3 if the plan saw it live,
// else 4 if its question was not answered.
func heldCode(w *item) int {
	switch {
	case w.it.Verdict.Liveness == revokers.Live:
		return ExitLeft
	case w.verdict.Unanswered():
		return ExitIncomplete
	}
	return ExitLeft
}

func (r *applying) alreadyDead(ctx context.Context, w *item) (bool, error) {
	w.act.Outcome, w.act.Control = prove.AlreadyDead, controlOf(w.verdict)
	w.act.Detail = "it was dead before a request for it was sent: " + string(w.verdict.Reason)
	return true, r.record(ctx, w, ledger.Outcome{Outcome: ledger.Word(prove.AlreadyDead), Detail: w.act.Detail, Control: ledger.NewWord(w.act.Control)})
}

func controlOf(v revokers.Verdict) string {
	if v.Control == "" {
		return prove.NoControl
	}
	return v.Control
}

// liveBefore is the last answer before an intent's request, if that was Live.
func liveBefore(i *ledger.Intent) *revokers.Answer {
	if i == nil || i.Before == nil || i.Before.Liveness != revokers.Live {
		return nil
	}
	return &revokers.Answer{Class: revokers.Accepts, Endpoint: i.Before.Endpoint, At: i.Before.At}
}

// resume goes on with an item for which an intent is in the ledger.
func (r *applying) resume(ctx context.Context, w *item) (final bool, err error) {
	h := w.hist
	// A request without a receipt may have arrived, so the answer before the first
	// one counts, however often it is sent.
	same := h.about(partPrints(r.Key, w.cred.Parts))
	if w.before == nil && same {
		w.before = liveBefore(h.first)
	}
	if w.before != nil && w.target.Seen == nil && h.first != nil && same {
		w.target.Seen = &revokers.Sighting{Endpoint: w.before.Endpoint, At: w.before.At, Learned: h.first.Learned}
	}
	if h.receipt != nil && same {
		w.sent = &revokers.Acknowledgement{Accepted: h.receipt.Accepted, Status: h.receipt.Status, Detail: h.receipt.Detail, At: h.receipt.At}
		w.act.Receipt = w.sent
	}
	w.already = h.deadBefore() && same && w.verdict.Liveness == revokers.Dead
	if h.row {
		w.target.Captures[rows.LateRows] = "1"
	}
	checked := r.checked(w)
	checked.Verdicts[0].Liveness, checked.Verdicts[0].NegativeControl = revokers.Live, true
	d := r.Planner.decide(ctx, checked, 0)
	again := d.hold == nil && differs(w.it, d) == ""
	if again {
		w.steps, w.revoke = d.steps, d.revoke
	}
	rotating := false
	for _, s := range w.steps {
		x, ok := h.rotations[s.Name]
		if !ok || !x.done {
			rotating = true
			continue
		}
		if w.revoke == nil && w.sent == nil && s.Ends {
			w.sent = &revokers.Acknowledgement{Accepted: true, Detail: "rotated", At: x.at}
			if w.before == nil {
				w.before = liveBefore(&x.intent)
			}
		}
	}
	switch {
	case w.revoke == nil || !again && !rotating:
		w.send = false
	case len(d.effects)-len(d.steps) > 1 && len(h.sent) > 0:
		w.rest(d.effects[len(d.steps):])
	case h.intent == nil:
		w.send = true // the rotation was begun, the revocation was not
	case h.receipt != nil:
		w.send = w.verdict.Liveness == revokers.Live && w.revoke.Idempotent()
	default:
		w.send = w.revoke.Idempotent() && (w.verdict.Liveness == revokers.Live || !w.revoke.ByName())
	}
	if len(h.rotations) > 0 && !again {
		return r.hold(ctx, w, "an earlier apply began to rotate it, and the policy or its settings changed since", "quell plan, after a look into the store; or the settings of the policy that the plan was made with", "")
	}
	return false, nil
}

// rest goes on with a revocation of several requests at the first one that has no
// receipt. If all have one, they are sent again under the rule of a single request.
func (w *item) rest(effects []revokers.Effect) {
	w.skip = map[string]bool{}
	for _, e := range effects {
		if !w.hist.sent[e.Name] {
			_, begun := w.hist.sent[e.Name]
			w.send = !begun || w.revoke.Idempotent() && (w.verdict.Liveness == revokers.Live || !w.revoke.ByName())
			return
		}
		w.skip[e.Name] = true
	}
	w.skip = nil
	w.send = w.verdict.Liveness == revokers.Live && w.revoke.Idempotent()
}

// bound binds an item's credential to the plan's instance.
func (r *applying) bound(w *item, in instanceRef) revokers.Target {
	b := revokers.Bind(r.Planner.Set, r.Checker.Instances, w.cred)
	for _, t := range append(b.Ask, b.Skipped...) {
		if revokers.SameInstance(t.Instance, in) {
			t.Seen, t.Captures = w.it.Seen, capturesOf(w.it)
			return t
		}
	}
	return revokers.Target{Credential: w.cred, Rule: r.Planner.Set.Rule(w.it.Rule), Instance: in, Seen: w.it.Seen, Captures: capturesOf(w.it)}
}

// differs compares today's effects with the plan's, element by element, and
// describes the first difference.
func differs(it plan.Item, d decision) string {
	if len(it.Requests) != len(d.effects) {
		return fmt.Sprintf("the plan has %d requests, today there are %d", len(it.Requests), len(d.effects))
	}
	for i, was := range it.Requests {
		if s := sameEffect(was, d.effects[i], true); s != "" {
			return s
		}
	}
	return ""
}

// sameEffect describes how two effects differ. The body of a batch has more
// elements than the plan's for one credential.
func sameEffect(was, is revokers.Effect, body bool) string {
	switch {
	case was.Method != is.Method:
		return fmt.Sprintf("- %s\n+ %s", was.Method, is.Method)
	case was.URL != is.URL:
		return fmt.Sprintf("- %s %s\n+ %s %s", was.Method, was.URL, is.Method, is.URL)
	case !maps.Equal(was.Header, is.Header):
		return fmt.Sprintf("- headers %v\n+ headers %v", was.Header, is.Header)
	case body && !sameJSON(was.Body, is.Body):
		return fmt.Sprintf("- body %s\n+ body %s", was.Body, is.Body)
	}
	return ""
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return strings.TrimSpace(string(a)) == strings.TrimSpace(string(b))
	}
	s, _ := json.Marshal(x)
	t, _ := json.Marshal(y)
	return bytes.Equal(s, t)
}

// capturesOf are the plan's captures, to which steps of a rotation add theirs.
func capturesOf(it plan.Item) map[string]string {
	out := maps.Clone(it.Captures)
	if out == nil {
		out = map[string]string{}
	}
	return out
}
