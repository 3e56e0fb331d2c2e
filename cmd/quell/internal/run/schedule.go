package run

import (
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
)

// recheckAfter are the ages of an incident's last outcome at which recheck
// --due asks again.
var recheckAfter = []time.Duration{time.Hour, 6 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour}

// incidentState is the state of an incident in the ledger, for the next recheck.
type incidentState struct {
	since    time.Time // the last outcome, or the first entry
	answered time.Time // the last question that was answered
	dead     bool      // the last answer that decided, or the last outcome, is dead
	// outcome is the last outcome and at its time; empty if there is none.
	outcome prove.Outcome
	at      time.Time
}

func stateOf(entries []ledger.Entry) incidentState {
	var s incidentState
	for _, e := range entries {
		if s.since.IsZero() {
			s.since = e.At
		}
		switch b := e.Body.(type) {
		case ledger.Verdict:
			if !b.Unanswered() {
				s.answered = e.At
			}
			switch b.Liveness {
			case revokers.Live:
				s.dead = false
			case revokers.Dead:
				s.dead = true
			}
		case ledger.Held:
			s.since, s.outcome, s.at = e.At, prove.Held, e.At
		case ledger.Outcome:
			s.since, s.outcome, s.at = e.At, prove.Outcome(b.Outcome), e.At
			switch s.outcome {
			case prove.Confirmed, prove.AlreadyDead:
				s.dead = true
			case prove.StillAlive, prove.UntilExpiry:
				s.dead = false
			}
		case ledger.Restore:
			if b.Outcome == ledger.Restored {
				s.since, s.dead = e.At, false
			}
		}
	}
	return s
}

// due reports whether a look of the schedule has passed and nothing was answered
// since; next is when the next one passes, zero if there is none.
func (s incidentState) due(now time.Time) (due bool, next time.Time) {
	for _, d := range recheckAfter {
		at := s.since.Add(d)
		if at.After(now) {
			return due, at
		}
		due = due || s.answered.Before(at)
	}
	return due, time.Time{}
}
