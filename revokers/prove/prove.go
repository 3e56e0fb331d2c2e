// Package prove confirms that a credential is dead after a kill.
package prove

import (
	"context"
	"math"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
)

// Outcome is the result of a kill.
type Outcome string

const (
	Confirmed   Outcome = "Confirmed"
	AlreadyDead Outcome = "AlreadyDead"
	StillAlive  Outcome = "StillAlive"
	Unconfirmed Outcome = "Unconfirmed"
	UntilExpiry Outcome = "UntilExpiry"
	Held        Outcome = "Held"
)

// Observation is one look at a killed credential.
type Observation struct {
	After   time.Duration    `json:"after"` // since the first look
	Verdict revokers.Verdict `json:"verdict"`
	// Control is the verdict about the operator's own credential right after the look; nil if
	// there is none or the look did not need it.
	Control *revokers.Verdict `json:"control,omitempty"`
}

// Confirmation is the proof of death, or its failure.
type Confirmation struct {
	Outcome      Outcome       `json:"outcome"`
	Detail       string        `json:"detail"`
	Remedy       string        `json:"remedy,omitempty"`
	Control      string        `json:"control"` // live, dead, unknown, or NoControl
	Observations []Observation `json:"observations"`
	Took         time.Duration `json:"took"`
	// Looks is the number of consecutive Dead looks, and ReplicaRisk the probability that all
	// of them missed one stale replica of ten.
	Looks       int     `json:"looks"`
	ReplicaRisk float64 `json:"replica_risk"`
}

// NoControl is the Control of a confirmation without a positive control.
const NoControl = "no positive control"

// The number of looks to aim at, and the minimum for a proof. 0.9^38 = 0.018 is the probability
// of missing one stale replica of ten.
const (
	TargetLooks = 38
	MinLooks    = 2
)

// LooksOf returns the number of looks that the requests_max of t's rule leaves, of TargetLooks,
// and the limit for all rounds together; zero: none. The other requests of an apply take their
// part: the question before the kill, about two never-issued credentials and the control too, the
// reads that complete an identity, and the kill itself.
func LooksOf(t revokers.Target) (looks, limit int) {
	r := t.Rule
	if r.RequestsMax <= 0 {
		return TargetLooks, 0
	}
	live, refused, kill := 1, 1, 1
	if p := r.Probe; p != nil {
		live, refused = live+len(p.Identity), refused+len(p.Also)
	}
	for _, v := range r.Revokes {
		kill = max(kill, len(v.Requests)*(len(v.Steps)+1)) // each request repeats the steps
	}
	// A refusal of another form is compared with that of a third never-issued credential.
	used, look := live+3*refused+kill, refused
	if _, has := guard.ControlOf(t); has {
		used, look = used+live, look+live
	}
	limit = max(MinLooks, (r.RequestsMax-used)/look)
	return min(TargetLooks, limit), limit
}

// Risk returns the probability that n looks miss one stale replica of ten.
func Risk(n int) float64 { return math.Pow(0.9, float64(n)) }

// Kill is a killed credential whose death Confirm should prove.
type Kill struct {
	// Target is the credential, and Endpoint the one where it was Live.
	Target   revokers.Target
	Endpoint string
	// Attempted is set if this or an earlier run sent a request that ends the credential.
	// Without it the outcome is never Confirmed.
	Attempted bool
	// Sent is the issuer's response to the revocation; nil if none was received.
	Sent *revokers.Acknowledgement
	// Before is the last answer before the revocation.
	Before *revokers.Answer
}

// Schedule determines the time and the number of looks.
type Schedule struct {
	// Settle is the time that the issuer can need until all replicas know of the revocation.
	Settle time.Duration
	// Looks is the number of looks to make; zero means TargetLooks.
	Looks int
	// Limit is the total number of looks within the issuer's request limits; zero means that
	// there is no limit.
	Limit int
	// MaxRisk is the highest replica risk with which Confirmed is possible; zero means any.
	MaxRisk float64
}

// Prover confirms kills.
type Prover struct {
	Asker    *guard.Asker
	Verifier revokers.Verifier // without a cache
	Controls *Controls
}

// Confirm repeats the question at the endpoint where the credential was Live, until every look
// during the settle time was Dead. Any Live resets the count: replicas can disagree, so a
// second settle time must pass with twice the looks. Each restart is another chance to miss a
// stale replica; twice the looks keep the sum of these probabilities below that of the first
// round. In any other case, the outcome is StillAlive or Unconfirmed.
func (p *Prover) Confirm(ctx context.Context, k Kill, s Schedule) Confirmation {
	w := &watch{p: p, k: k, start: time.Now(), c: Confirmation{Control: NoControl}}
	w.k.Target = k.Target.Fresh()
	control, has := guard.ControlOf(w.k.Target)
	if has {
		w.control = func(ctx context.Context) (*revokers.Answer, error) {
			return p.Controls.Ask(ctx, p.Verifier, control, k.Endpoint)
		}
		w.c.Control = revokers.Unknown.String()
	}
	n := s.Looks
	if n <= 0 {
		n = TargetLooks
	}
	n = max(n, MinLooks)
	stopped := w.round(ctx, n, s.Settle, s.Limit > 0)
	if !stopped {
		w.late(ctx, n, s)
	}
	if again := w.second(n, s.Limit, stopped); again >= MinLooks && ctx.Err() == nil {
		w.streak, w.lives = 0, 0
		w.round(ctx, again, s.Settle, false)
		w.late(ctx, again, s)
		w.split = w.lives > 0
	} else if stopped {
		w.spent = true
	}
	w.c.Took = time.Since(w.start)
	w.c.Looks, w.c.ReplicaRisk = w.streak, Risk(w.streak)
	w.decide(ctx, s)
	return w.c
}

type watch struct {
	p       *Prover
	k       Kill
	c       Confirmation
	control func(context.Context) (*revokers.Answer, error)
	start   time.Time
	last    revokers.Liveness
	latest  revokers.Verdict
	streak  int // consecutive Dead looks
	seen    int // all Dead looks
	looks   int // answered or not
	flapped bool
	split   bool
	spent   bool // no look is left to determine whether replicas agree
	lives   int
}

// second returns the number of looks of the second round, or 0 if none is needed.
func (w *watch) second(n, limit int, stopped bool) int {
	switch {
	case w.lives == 0, w.last == revokers.Live && !stopped:
		return 0
	case limit > 0:
		return min(2*n, limit-w.looks)
	}
	return 2 * n
}

func (w *watch) decide(ctx context.Context, s Schedule) {
	c := &w.c
	switch {
	case ctx.Err() != nil:
		c.Outcome, c.Detail = Unconfirmed, "interrupted before the settle time was over"
		c.Remedy = "quell apply with the same plan: it sends nothing twice and goes on with the proof"
	case w.split:
		c.Outcome, c.Detail = StillAlive, "the issuer's replicas disagree: some still accept it after the settle time"
		c.Remedy = "quell apply with the same plan later; or a longer settle of the [[instance]] in the policy, then quell plan"
	case w.spent:
		c.Outcome, c.Detail = Unconfirmed, "the issuer's replicas disagree, and its limits did not allow another look"
		c.Remedy = "quell apply with the same plan, after the settle time"
	case w.last == revokers.Live:
		c.Outcome, c.Detail = StillAlive, "the endpoint that answered live still answers live"
		c.Remedy = "end it at the issuer by hand, then quell recheck"
	case w.last == revokers.Dead && w.streak >= MinLooks && !w.k.Attempted:
		c.Outcome, c.Detail = Unconfirmed, "it is dead, and not by a request of quell's: none left"
		c.Remedy = "quell plan, which finds it dead"
	case w.last == revokers.Dead && w.streak >= MinLooks && w.k.Target.Seen == nil:
		c.Outcome, c.Detail = Unconfirmed, "it is dead, but no endpoint answered live before, so quell does not know what ended it"
		c.Remedy = "quell plan, which finds it dead"
	case w.last == revokers.Dead && w.streak >= MinLooks && s.MaxRisk > 0 && c.ReplicaRisk > s.MaxRisk:
		c.Outcome, c.Detail = Unconfirmed, "the issuer's limits did not allow enough looks for kill.max_replica_risk"
		c.Remedy = "quell apply with the same plan later; or a higher kill.max_replica_risk in the policy"
	case w.last == revokers.Dead && w.streak >= MinLooks:
		c.Outcome, c.Detail = Confirmed, "the endpoint that answered live answers dead"
	case w.latest.Reason == revokers.ControlFailed:
		c.Outcome, c.Detail, c.Remedy = Unconfirmed, "the control did not get through, so a refusal proves nothing", w.latest.Remedy
	default:
		c.Outcome, c.Detail, c.Remedy = Unconfirmed, "no answer that proves it dead: "+w.latest.Detail, w.latest.Remedy
		if w.latest.Remedy == "" {
			c.Remedy = "quell apply with the same plan, when the issuer answers"
		}
	}
}

// round makes n looks, evenly distributed over the settle time. If thrifty, it stops and
// returns true when a Live follows a Dead, to leave the remaining looks for a second round.
func (w *watch) round(ctx context.Context, n int, settle time.Duration, thrifty bool) (stopped bool) {
	from := time.Now()
	for i := range n {
		part := float64(i) / float64(n-1)
		if !sleepUntil(ctx, from.Add(time.Duration(float64(settle)*part))) {
			return false
		}
		w.look(ctx)
		if thrifty && w.flapped {
			return sleepUntil(ctx, from.Add(settle))
		}
	}
	return false
}

// lateLooks is the number of looks after the settle time for a last one without an answer. The
// wait before each is twice that before the previous one.
const lateLooks = 5

// late repeats the last look of a round of n if the issuer did not answer it: the end of the
// settle time needs an answer, and a limit that one look met is no reason to lose the proof.
func (w *watch) late(ctx context.Context, n int, s Schedule) {
	wait := max(s.Settle/time.Duration(n), time.Second)
	for range lateLooks {
		if !w.unanswered() || w.streak == 0 || s.Limit > 0 && w.looks >= s.Limit || !sleepUntil(ctx, time.Now().Add(wait)) {
			return
		}
		w.look(ctx)
		wait *= 2
	}
}

// unanswered reports whether the issuer did not answer the last look: it neither counts nor
// resets.
func (w *watch) unanswered() bool {
	return w.last == revokers.Unknown && (w.latest.Reason == revokers.Throttled || w.latest.Reason == revokers.Unreachable)
}

func (w *watch) look(ctx context.Context) {
	w.looks++
	e, err := w.p.Asker.Look(ctx, w.p.Verifier, w.k.Target, w.k.Endpoint, w.control)
	if err != nil {
		w.last = revokers.Unknown
		w.latest = revokers.Undecided(revokers.Unreachable, "interrupted")
		return
	}
	e.Sent, e.Before = w.k.Sent, w.k.Before
	v := revokers.Judge(w.k.Target, e)
	if e.Control != nil {
		w.c.Control = v.Control
	}
	w.c.Observations = append(w.c.Observations, Observation{After: time.Since(w.start), Verdict: v, Control: controlVerdict(e.Control)})
	w.latest, w.last = v, v.Liveness
	switch v.Liveness {
	case revokers.Live:
		w.once(ctx)
		w.flapped = w.flapped || w.seen > 0
		w.lives++
		w.streak = 0
	case revokers.Dead:
		w.seen++
		w.streak++
	default:
		// A refusal that proves nothing ends the streak.
		if !w.unanswered() {
			w.streak = 0
		}
	}
}

// once asks the control for the record if no look has needed it yet.
func (w *watch) once(ctx context.Context) {
	if w.control == nil || w.c.Control != revokers.Unknown.String() {
		return
	}
	if a, err := w.control(ctx); err == nil {
		w.c.Control = controlVerdict(a).Liveness.String()
	}
}

// controlVerdict converts the control's answer for the record.
func controlVerdict(a *revokers.Answer) *revokers.Verdict {
	if a == nil {
		return nil
	}
	v := &revokers.Verdict{Reason: a.Reason, Detail: a.Detail, Endpoint: a.Endpoint, At: a.At}
	switch a.Class {
	case revokers.Accepts:
		v.Liveness = revokers.Live
	case revokers.Refuses:
		v.Liveness = revokers.Dead
	}
	return v
}

func sleepUntil(ctx context.Context, t time.Time) bool {
	d := time.Until(t)
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
