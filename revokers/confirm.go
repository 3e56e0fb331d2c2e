package revokers

import (
	"context"
	"time"
)

// Outcome is how a kill ended.
type Outcome string

const (
	Confirmed   Outcome = "Confirmed"
	StillAlive  Outcome = "StillAlive"
	Unconfirmed Outcome = "Unconfirmed"
	UntilExpiry Outcome = "UntilExpiry"
	Held        Outcome = "Held"
)

// Observation is one look at a killed credential.
type Observation struct {
	After   time.Duration `json:"after"` // since the kill
	Verdict Verdict       `json:"verdict"`
	Control *Verdict      `json:"control,omitempty"` // the positive control, asked right after
}

// Confirmation is the proof, or the lack of one.
type Confirmation struct {
	Outcome      Outcome       `json:"outcome"`
	Detail       string        `json:"detail"`
	Control      string        `json:"control"` // "live", or "no positive control"
	Observations []Observation `json:"observations"`
	Took         time.Duration `json:"took"` // from the kill to the end of the proof
}

// NoControl labels a confirmation that nothing proves the probes got through.
const NoControl = "no positive control"

// Ask is one probe on a fresh connection.
type Ask func(ctx context.Context) Verdict

// Schedule is when to look.
type Schedule struct {
	// Settle is how long the issuer may take until every replica knows.
	Settle time.Duration
	// Burst is how many probes a look sends, each on its own connection: on an
	// instance of the operator's own, where a balancer may hide a replica that
	// missed the news. Zero means one.
	Burst int
}

// looks are the times of the looks, as parts of the settle time.
var looks = []float64{0, 1. / 16, 1. / 8, 1. / 4, 1. / 2, 1}

// Confirm repeats the probe that said Live until it has said Dead at two looks
// or more, the last one at the end of the settle time, with no Live since. A
// look counts only if the positive control was Live right after it. Where a
// Dead is followed by a Live, replicas disagree: then a whole second settle
// time must pass without a Live. Whatever else happens, the outcome is
// StillAlive or Unconfirmed, never Confirmed.
func Confirm(ctx context.Context, ask, control Ask, s Schedule) Confirmation {
	start := time.Now()
	c := Confirmation{Control: NoControl}
	if control != nil {
		c.Control = "live"
	}
	w := &watch{c: &c, ask: ask, control: control, burst: max(s.Burst, 1), start: start}
	w.round(ctx, start, s.Settle)
	if w.flapped && w.last != Live && ctx.Err() == nil {
		w.streak, w.lives = 0, 0
		w.round(ctx, time.Now(), s.Settle)
		w.split = w.lives > 0
	}
	c.Took = time.Since(start)
	switch {
	case ctx.Err() != nil:
		c.Outcome, c.Detail = Unconfirmed, "interrupted before the settle time was over"
	case w.split:
		c.Outcome, c.Detail = StillAlive, "the issuer's replicas disagree: some still say live after the settle time"
	case w.last == Live:
		c.Outcome, c.Detail = StillAlive, "the same probe still says live"
	case w.streak >= 2 && w.last == Dead:
		c.Outcome, c.Detail = Confirmed, "the probe that said live says dead"
	case w.void > 0:
		c.Outcome, c.Detail = Unconfirmed, "the positive control did not get through, so dead proves nothing"
	default:
		c.Outcome, c.Detail = Unconfirmed, "the issuer gave no answer that counts"
	}
	return c
}

type watch struct {
	c            *Confirmation
	ask, control Ask
	burst        int
	start        time.Time
	last         Liveness
	streak       int // looks in a row that said Dead and count
	void         int // looks that said Dead without a live control
	everDead     bool
	flapped      bool // a Live came after a Dead
	split        bool // and again in the second settle time
	lives        int
}

func (w *watch) round(ctx context.Context, from time.Time, settle time.Duration) {
	for _, part := range looks {
		if !sleepUntil(ctx, from.Add(time.Duration(float64(settle)*part))) {
			return
		}
		w.look(ctx)
	}
}

func (w *watch) look(ctx context.Context) {
	dead, live := 0, 0
	var seen []Observation
	for range w.burst {
		v := w.ask(ctx)
		seen = append(seen, Observation{After: time.Since(w.start), Verdict: v})
		switch v.Liveness {
		case Dead:
			dead++
		case Live:
			live++
		}
	}
	defer func() { w.c.Observations = append(w.c.Observations, seen...) }()
	switch {
	case live > 0:
		w.flapped = w.flapped || w.everDead || dead > 0
		w.lives++
		w.last, w.streak = Live, 0
		return
	case dead < w.burst:
		w.last = Unknown
		return
	}
	w.everDead = true
	if w.control != nil {
		v := w.control(ctx)
		seen[len(seen)-1].Control = &v
		if v.Liveness != Live {
			w.void++
			w.last = Unknown
			return
		}
	}
	w.last = Dead
	w.streak++
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
