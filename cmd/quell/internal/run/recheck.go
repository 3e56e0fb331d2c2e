package run

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"filippo.io/age"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// Recheck asks again about every credential that the ledger keeps, at the
// instance and by the endpoint that answered Live, and records the answers in the
// ledger. due limits it to those of which a look of the schedule has passed. Live
// ones are findings in the exit code, unanswered ones make it incomplete. A
// credential that was dead and is Live again is an action with the outcome
// StillAlive, here and in the ledger. If the ledger does not take answers, the error
// is ErrUnrecorded and the summary counts them.
func (r *Runtime) Recheck(ctx context.Context, sink report.Sink, due bool) (report.Summary, error) {
	var sum report.Summary
	if r.options.Offline {
		return sum, errOffline
	}
	led, err := r.Ledger(ctx)
	if err != nil {
		return sum, err
	}
	defer led.Close()
	ids, err := r.Identities()
	if err != nil {
		return sum, err
	}
	kept, err := led.Kept(ctx)
	if err != nil {
		return sum, err
	}
	start := r.options.Now()
	k := &rechecking{Runtime: r, led: led, sink: sink, checker: r.Checker(), ids: ids}
	var next time.Time
	var unrecorded error
	for _, e := range kept {
		entries, err := led.Incident(ctx, e.Incident)
		if err != nil && len(entries) == 0 && !errors.Is(err, ledger.ErrNoIncident) {
			return sum, err
		}
		is := stateOf(entries)
		now, later := is.due(r.options.Now())
		if !later.IsZero() && (next.IsZero() || later.Before(next)) {
			next = later
		}
		if due && !now {
			continue
		}
		unwritten, err := k.alone(ctx, e, due, &sum)
		if err != nil {
			return sum, err
		}
		if unwritten != nil {
			sum.Unrecorded++
		}
		unrecorded = errors.Join(unrecorded, unwritten)
	}
	if k.busy > 0 {
		// The apply that ends it reports its state.
		if err := sink.Emit(report.Notice{Message: fmt.Sprintf("%s is being ended by another quell and was not asked about", count(k.busy, "credential"))}); err != nil {
			return sum, err
		}
	}
	if sum.Credentials == 0 && k.busy == 0 {
		text := "no credential was killed here yet"
		if len(kept) > 0 {
			text = "no look is due"
		}
		if !next.IsZero() {
			text += "; the next one is at " + next.UTC().Format(time.RFC3339)
		}
		if err := sink.Emit(report.Notice{Message: text}); err != nil {
			return sum, err
		}
	}
	sum.Seconds = r.options.Now().Sub(start).Seconds()
	sum.ExitCode = Tally{Counted: sum.Live, Unanswered: sum.Credentials - sum.Live - sum.Dead}.ExitCode()
	if unrecorded != nil {
		sum.ExitCode = ExitFailed
		return sum, fmt.Errorf("%w (quell: hint: make the ledger writable, then quell recheck again): %w", ErrUnrecorded, unrecorded)
	}
	return sum, nil
}

// ErrUnrecorded reports that the ledger did not take answers that were reported.
var ErrUnrecorded = errors.New("the answers were reported, and the ledger could not record all of them")

// rechecking is one run of Recheck.
type rechecking struct {
	*Runtime
	led     *ledger.Ledger
	sink    report.Sink
	checker *Checker
	ids     []age.Identity
	busy    int // credentials that another quell holds
}

// alone asks about one credential while it holds the incident's lease: an answer
// from before the revocation of an apply that runs meanwhile would be recorded
// after that apply's outcome, and undo it. An incident that is held is left out.
// unwritten is why the ledger did not take the answers.
func (r *rechecking) alone(ctx context.Context, e ledger.Sealed, due bool, sum *report.Summary) (unwritten, err error) {
	leases, unleased := r.led.Acquire(ctx, leaseTime, e.Incident)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case unleased != nil:
		// A ledger that takes no lease takes no answer either. It is reported.
		if leases, err = r.led.Leases(ctx, e.Incident); err != nil || len(leases) > 0 {
			r.busy += len(leases)
			return nil, err
		}
	case len(leases) == 0:
		r.busy++
		return nil, nil
	default:
		defer r.led.Release(context.WithoutCancel(ctx), leases...) //nolint:errcheck // it expires by itself
		until, stop := context.WithCancel(ctx)
		defer stop()
		mine := leases
		go renewing(until, r.led, leaseTime, func() []ledger.Lease { return mine })
	}
	// Records since the list was read count.
	kept, err := r.led.Kept(ctx, e.Incident)
	if err != nil || len(kept) == 0 {
		return nil, err
	}
	e = kept[0]
	entries, err := r.led.Incident(ctx, e.Incident)
	if err != nil && len(entries) == 0 && !errors.Is(err, ledger.ErrNoIncident) {
		return nil, err
	}
	is := stateOf(entries)
	if now, _ := is.due(r.options.Now()); due && !now {
		return nil, nil
	}
	c, err := OpenCredential(r.Rules, e.Ref.Ref, e.Value, r.ids...)
	if err != nil {
		return nil, fmt.Errorf("incident %s: %w", e.Incident, err)
	}
	c.Fingerprint, c.Redacted = e.Incident, c.Secret.Hint()
	r.Redactor.Add(c.Secret)
	for _, p := range c.Parts {
		r.Redactor.Add(p)
	}
	verdicts := r.again(ctx, r.checker, e, c, killOf(entries).with(partPrints(r.Keys.Fingerprint, c.Parts)))
	// The entries have the time of the answer; reporting it can take long.
	at := r.options.Now()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if unleased == nil {
		// A machine that slept loses its leases, and another quell may have ended
		// the credential since it answered.
		if leases, unleased = r.led.Renew(ctx, leaseTime, leases...); unleased == nil && len(leases) == 0 {
			r.busy++
			return nil, nil
		}
	}
	rows, err := r.report(e, c, verdicts, is, at, sum)
	if unleased != nil {
		return unleased, err
	}
	return r.led.Append(ctx, rows...), err
}

// report emits what was answered at a time about one credential, and returns what
// the ledger is to record.
func (r *rechecking) report(e ledger.Sealed, c credential.Credential, verdicts []revokers.Verdict, is incidentState, at time.Time, sum *report.Summary) (rows []ledger.Entry, err error) {
	sum.Credentials++
	best := Checked{Verdicts: verdicts}.Verdict()
	CountVerdict(sum, &best, false)
	event := CredentialEvent(c, e.Value)
	event.Counts, event.Unanswered = best.Liveness == revokers.Live, best.Liveness == revokers.Unknown
	errs := []error{r.sink.Emit(event)}
	var bodies []ledger.Body
	for _, v := range verdicts {
		errs = append(errs, r.sink.Emit(report.Verdict{Fingerprint: e.Incident, Verdict: v}))
		bodies = append(bodies, verdictEntry(r.Redactor.Verdict(v)))
	}
	if is.dead && best.Liveness == revokers.Live {
		a := cameBack(c, best, is)
		if sum.Outcomes == nil {
			sum.Outcomes = map[prove.Outcome]int{}
		}
		sum.Outcomes[a.Outcome]++
		errs = append(errs, r.sink.Emit(a))
		bodies = append(bodies, ledger.Outcome{Outcome: ledger.Word(a.Outcome), Detail: a.Detail, Control: ledger.NewWord(a.Control)})
	}
	for _, b := range bodies {
		rows = append(rows, ledger.Entry{At: at, Incident: e.Incident, Actor: r.Actor(), Run: recheckRun, Body: b})
	}
	return rows, errors.Join(errs...)
}

// recheckRun is the run of recheck's entries in the ledger.
const recheckRun = "recheck"

// cameBack is the action for a credential that was dead and is live again.
func cameBack(c credential.Credential, v revokers.Verdict, is incidentState) report.Action {
	was := "its issuer had refused it"
	if is.outcome != "" {
		was = fmt.Sprintf("it was %s on %s", is.outcome, is.at.UTC().Format(time.RFC3339))
	}
	return report.Action{
		Ref: c.Ref, Host: v.Host, Instance: v.Instance, Endpoint: v.Endpoint, Action: plan.ActNone, Outcome: prove.StillAlive, Control: v.Control,
		Detail: "it came back to life: " + was + ", and its issuer accepts it again",
		Remedy: "quell recheck --format jsonl --output recheck.jsonl, then quell plan recheck.jsonl and quell apply to end it again; find out who restored it",
	}
}

// Forget deletes the sealed credentials that Recheck asks about, and returns
// their number. The ledger's entries stay.
func (r *Runtime) Forget(ctx context.Context) (int64, error) {
	led, err := r.Ledger(ctx)
	if err != nil {
		return 0, err
	}
	defer led.Close()
	return led.Purge(ctx)
}

// again asks about one kept credential. Rows of earlier releases do not name
// the instance: then every instance that it can belong to is asked.
func (r *Runtime) again(ctx context.Context, k *Checker, e ledger.Sealed, c credential.Credential, ended *kill) []revokers.Verdict {
	rule := r.Rules.Rule(c.Rule)
	if rule == nil {
		return []revokers.Verdict{revokers.Undecided(revokers.Unsupported, "no rule %q", c.Rule)}
	}
	if e.Ref.Instance == "" {
		return k.One(ctx, c).Verdicts
	}
	if v, done := revokers.WithoutAsking(r.Rules, c, k.Canary(c), r.options.Now()); done {
		return []revokers.Verdict{v}
	}
	in := r.instanceOf(rule, e.Ref)
	if in == nil {
		v := revokers.Undecided(revokers.NoHost, "the policy no longer names the instance %s", e.Ref.Instance)
		v.Remedy = fmt.Sprintf("an [[instance]] with url = %q in the policy", e.Ref.Instance)
		if u, err := url.Parse(e.Ref.Instance); err == nil {
			v.Host = u.Host
		}
		return []revokers.Verdict{v}
	}
	t := revokers.Target{Credential: c, Rule: rule, Instance: in}
	// A row of an earlier release names no namespace: where it was Live is not certain.
	if e.Ref.Endpoint != "" && in.Settings["namespace"] == e.Ref.Namespace {
		t.Seen = &revokers.Sighting{Endpoint: e.Ref.Endpoint, Learned: e.Ref.Learned}
	}
	v, _ := k.after(ctx, &t, ended)
	return []revokers.Verdict{v}
}

// instanceOf finds the ledger's own instance among today's. One with another namespace is only
// returned if the ledger names none, as in earlier releases, and nothing else fits.
func (r *Runtime) instanceOf(rule *rules.Rule, ref ledger.Ref) *issuer.Instance {
	if rule.Provider == nil {
		return nil
	}
	var found *issuer.Instance
	for _, i := range r.Instances.Of(rule.Provider.ID) {
		if i.URL.String() != ref.Instance || i.Cookie != "" && i.Cookie != ref.Cookie || ref.User != "" && i.Settings["user"] != ref.User {
			continue
		}
		exact := i.Settings["namespace"] == ref.Namespace
		switch {
		case !exact && ref.Namespace != "":
		case exact && i.Settings["probe_path"] == ref.Page && i.Settings["user"] == ref.User:
			return i
		case found == nil, exact && found.Settings["namespace"] != ref.Namespace:
			found = i
		}
	}
	return found
}
