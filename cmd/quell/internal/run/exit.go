package run

import (
	"slices"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
)

// Exit codes of every command that scans, asks or kills.
const (
	ExitClean       = 0
	ExitFindings    = 1   // findings at or above --fail-on
	ExitFailed      = 2   // usage, configuration or internal error: no result
	ExitLeft        = 3   // a kill left something that is not proven dead
	ExitIncomplete  = 4   // something could not be read, or a question was not answered
	ExitInterrupted = 130 // as a shell reports SIGINT
)

// Tally is what the exit code of a run depends on. Numbers count things;
// zero means that there was none.
type Tally struct {
	Interrupted bool
	Failed      bool // there is no result
	Left        int  // kills without the outcome that was asked for
	Counted     int  // credentials and partial findings at or above --fail-on
	Incomplete  int  // things that could not be read
	Unanswered  int  // questions that were due and got no answer
}

// ExitCode is the exit code of a run: the first of 130, 2, 3, 1, 4 that applies.
func (t Tally) ExitCode() int {
	switch {
	case t.Interrupted:
		return ExitInterrupted
	case t.Failed:
		return ExitFailed
	case t.Left > 0:
		return ExitLeft
	case t.Counted > 0:
		return ExitFindings
	case t.Incomplete > 0 || t.Unanswered > 0:
		return ExitIncomplete
	}
	return ExitClean
}

// left counts the outcomes of kills that leave something to do.
func left(outcomes map[revokers.Outcome]int) int {
	n := 0
	for o, k := range outcomes {
		if o != revokers.Confirmed {
			n += k
		}
	}
	return n
}

// unanswered lists the reasons of verdicts whose question was due and got no
// answer. The other reasons of an unknown verdict mean that there was nothing
// to ask.
var unanswered = []string{"refused", "other_issuer", "control_failed", "throttled", "unreachable", "restricted", "unexpected", "accepts_anything"}

// Unanswered reports whether v leaves a question unanswered.
func Unanswered(v revokers.Verdict) bool {
	return v.Liveness == revokers.Unknown && slices.Contains(unanswered, v.Reason)
}

// CountVerdict adds a credential's verdict to the summary; nil means that no
// issuer was asked. expired reports a credential whose own content shows that
// it is over.
func CountVerdict(sum *report.Summary, v *revokers.Verdict, expired bool) {
	switch {
	case v != nil && v.Liveness == revokers.Live:
		sum.Live++
	case v != nil && v.Liveness == revokers.Dead || v == nil && expired:
		sum.Dead++
	default:
		sum.Unknown++
	}
	if v != nil && Unanswered(*v) {
		sum.Unanswered++
	}
}
