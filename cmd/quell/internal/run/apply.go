package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"filippo.io/age"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/natives"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// Applier carries out a plan, and proves the result.
type Applier struct {
	Planner    *Planner
	Checker    *Checker
	Prover     *prove.Prover
	Policy     *policy.Policy
	Ledger     *ledger.Ledger
	Identities []age.Identity
	Sealer     *config.Sealer // seals what is kept to ask again later
	// Key makes the fingerprints of a credential's parts, by which the ledger
	// knows with which of them it was seen Live.
	Key    rules.FingerprintKey
	Actor  string
	NoKill bool
	// Switch returns a hold if nothing may be sent any more. It is called before
	// each intent; nil is never on.
	Switch func(context.Context) *policy.Hold
	// Reserve counts a credential as one that is ended, in the moment before its first intent is
	// recorded; a hold means that it may not be. Nil: the plan's own limit is the only one.
	Reserve func(ctx context.Context, fingerprint string) *policy.Hold
	// Notify sends a text to the policy's webhooks and returns the hosts that took
	// it. Nil: there are none.
	Notify func(ctx context.Context, text string) (hosts []string, err error)
	DryRun bool
	// Only selects items as plan.Select does; empty means all.
	Only []string
	// RevokeFirst revokes before it rotates, where a plan does both: the leaked
	// value ends at once, and consumers have none until the rotation is done.
	RevokeFirst bool
	Progress    func(string)
	Watch       *Watch // may be nil
	// Lease is how long an incident is held without a renewal; zero means 15
	// seconds. It is renewed three times as often.
	Lease time.Duration
	// Patience is how long facts that could not be recorded are tried again after
	// the last proof; zero means 30 seconds.
	Patience time.Duration
	// InFlight is how long a request to a store can still take effect after its
	// sender was killed; zero means two minutes, twice the client's time-out.
	InFlight time.Duration
	// Poll is how often the outcome of another apply is looked for; zero means
	// half a second.
	Poll time.Duration
}

// item is one item of a plan while it is applied.
type item struct {
	n    int
	it   plan.Item
	cred credential.Credential
	act  report.Action
	hist history
	// target is the credential at the plan's instance.
	target revokers.Target
	revoke *rules.Revoke
	steps  []revokers.Step
	// before is the last answer before the revocation.
	before    *revokers.Answer
	verdict   revokers.Verdict
	sent      *revokers.Acknowledgement
	fence     int64
	start     time.Time
	sendsFrom time.Time         // the end of the delay
	skip      map[string]bool   // requests that an earlier apply sent, by name
	fresh     credential.Secret // what a step issued, or the store holds now; never stored
	already   bool              // it was dead when apply started, and quell did not end it
	send      bool
}

// Apply goes through the items of a plan. Each ends in an Action with an
// outcome. An error ends the run before anything that the ledger could not
// record.
func (a *Applier) Apply(ctx context.Context, p *plan.Plan, id string, emit func(report.Action) error) error {
	items, err := a.open(p)
	if err != nil {
		return err
	}
	r := &applying{Applier: a, plan: p, id: id, items: items, emit: emit, allowed: map[string]bool{}, killed: make(chan struct{})}
	if len(a.Only) > 0 {
		if r.only, err = p.Select(a.Only); err != nil {
			return err
		}
	}
	r.kills, err = a.killsOf(ctx, id)
	if err != nil {
		return err
	}
	return r.run(ctx)
}

// open decrypts the items that have something to end.
func (a *Applier) open(p *plan.Plan) ([]*item, error) {
	var out []*item
	for n, it := range p.Items {
		w := &item{n: n, it: it, act: ActionOf(n+1, it), start: time.Now()}
		w.cred.Ref = it.Ref
		if it.Kills() {
			c, err := OpenCredential(a.Planner.Set, it.Ref, it.Sealed, a.Identities...)
			if err != nil {
				return nil, fmt.Errorf("plan: item %d: %w", n+1, err)
			}
			w.cred = c
		}
		out = append(out, w)
	}
	return out, nil
}

// applying is one apply of one plan.
type applying struct {
	*Applier
	plan  *plan.Plan
	id    string
	items []*item
	only  map[int]bool // the items that are applied; nil: all
	emit  func(report.Action) error

	mu     sync.Mutex
	failed error
	// pending are facts that could not be recorded yet, in order.
	pending []ledger.Entry
	writing sync.Mutex      // orders appends while there are pending entries
	kills   map[string]bool // incidents of this plan that have an intent
	// allowed are incidents that this apply decided to end: those of a batch
	// have no intent yet when the next one is decided.
	allowed map[string]bool
	wg      sync.WaitGroup
	// killed is closed when all groups had their turn.
	killed chan struct{}
}

func (r *applying) done(w *item, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		err = r.emit(w.act)
	}
	if r.failed == nil {
		r.failed = err
	}
}

func (r *applying) stopped(ctx context.Context) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed != nil || ctx.Err() != nil
}

func (r *applying) err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// run takes the groups one after the other, since one kill may take another
// credential along; proofs take the settle time and run side by side. Items
// that another apply works on are left to the end, when this one holds no lease.
func (r *applying) run(ctx context.Context) error {
	var others []*item
	for _, group := range r.groups() {
		if r.stopped(ctx) {
			break
		}
		others = append(others, r.group(ctx, group)...)
	}
	close(r.killed)
	r.wg.Wait()
	for len(others) > 0 && !r.stopped(ctx) {
		others = r.await(ctx, others)
		r.wg.Wait()
	}
	if err := r.flush(ctx); err != nil {
		return err
	}
	if err := r.err(); err != nil {
		return err
	}
	return ctx.Err()
}

// passive records items that nothing is sent for.
func (r *applying) passive(ctx context.Context, w *item) error {
	switch w.it.Action {
	case plan.ActWait:
		w.act.Outcome, w.act.Control = prove.UntilExpiry, prove.NoControl
		if r.DryRun {
			return nil
		}
		return r.record(ctx, w, r.found(w), ledger.Outcome{Outcome: ledger.NewWord(string(prove.UntilExpiry)), Detail: w.act.Detail, Control: ledger.NewWord(prove.NoControl)})
	case plan.ActHeld:
		w.act.Outcome, w.act.Code = prove.Held, passiveCode(w.it.Verdict)
		if r.DryRun {
			return nil
		}
		h := ledger.Held{Reason: "the plan holds it"}
		if w.it.Hold != nil {
			h.Reason, h.Remedy = w.it.Hold.Reason, w.it.Hold.Remedy
		}
		entries, err := r.entries(ctx, w)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(entries, func(e ledger.Entry) bool { return e.Type() == ledger.TypeFound }) {
			return r.record(ctx, w, h)
		}
		return r.record(ctx, w, r.found(w), verdictEntry(w.it.Verdict), h)
	}
	return nil
}

func (r *applying) found(w *item) ledger.Found {
	ref := w.it.Ref
	if w.it.Kills() { // others were not opened
		ref.PartFingerprints = partPrints(r.Key, w.cred.Parts)
	}
	return ledger.Found{Credential: &ref, Exposures: w.it.Exposures}
}

// record appends entries about an item.
func (r *applying) record(ctx context.Context, w *item, bodies ...ledger.Body) error {
	entries := make([]ledger.Entry, len(bodies))
	for i, b := range bodies {
		entries[i] = r.entry(w, b)
	}
	return r.append(ctx, entries...)
}

func (r *applying) entry(w *item, b ledger.Body) ledger.Entry {
	return ledger.Entry{Incident: w.it.Fingerprint, Actor: r.Actor, Run: r.id, Body: b}
}

// hold ends an item without sending anything.
func (r *applying) hold(ctx context.Context, w *item, why, remedy, diff string) (bool, error) {
	w.act.Outcome, w.act.Held, w.act.Remedy = prove.Held, why, remedy
	if diff != "" {
		w.act.Detail = diff
	}
	return true, r.record(ctx, w, ledger.Held{Reason: why, Remedy: remedy, Diff: diff})
}

func (r *applying) progress(format string, args ...any) {
	if r.Progress != nil {
		r.Progress(fmt.Sprintf(format, args...))
	}
}

// instance finds the plan's instance among today's.
func (r *applying) instance(it plan.Item) (*issuer.Instance, error) {
	rule := r.Planner.Set.Rule(it.Rule)
	if rule == nil || rule.Provider == nil {
		return nil, fmt.Errorf("no rule %q", it.Rule)
	}
	var found *issuer.Instance
	for _, i := range r.Checker.Instances.Of(rule.Provider.ID) {
		if i.URL.String() != it.Instance || rule.Cookie != nil && i.Cookie != "" && i.Cookie != it.Cookie || i.Settings["namespace"] != it.Namespace {
			continue
		}
		page, user := i.Settings["probe_path"], i.Settings["user"]
		if page == it.Page && user == it.User {
			return i, nil
		}
		// Plans of earlier releases name neither.
		if found == nil && (it.Page == "" || page == it.Page) && (it.User == "" || user == it.User) {
			found = i
		}
	}
	if found != nil {
		return found, nil
	}
	return nil, errors.New("the policy no longer names the plan's instance " + it.Instance)
}

// choose finds the plan's revocation.
func choose(t revokers.Target, id string) *rules.Revoke {
	if id == "" {
		return nil
	}
	for i := range t.Rule.Revokes {
		if t.Rule.Revokes[i].ID == id {
			return &t.Rule.Revokes[i]
		}
	}
	return nil
}

var _ = natives.Choose

// passiveCode is the exit code of an item that the plan holds: 3 if it is live,
// 4 if its question was not answered, else none.
func passiveCode(v revokers.Verdict) int {
	switch {
	case v.Liveness == revokers.Live:
		return ExitLeft
	case v.Unanswered():
		return ExitIncomplete
	}
	return leavesNothing
}
