package run

import (
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
	Counted     int  // partial findings at or above --fail-on
	// Credentials are the fingerprints of credentials at or above --fail-on. A
	// kill that is proven removes its own.
	Credentials map[string]bool
	Incomplete  int // things that could not be read
	Unanswered  int // questions that were due and got no answer
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
	case t.Counted > 0 || len(t.Credentials) > 0:
		return ExitFindings
	case t.Incomplete > 0 || t.Unanswered > 0:
		return ExitIncomplete
	}
	return ExitClean
}

// Count adds a credential at or above --fail-on.
func (t *Tally) Count(fingerprint string) {
	if t.Credentials == nil {
		t.Credentials = map[string]bool{}
	}
	t.Credentials[fingerprint] = true
}

// leavesNothing is the Code of an action that causes no exit code by itself:
// the held credential was neither live nor due to be asked about.
const leavesNothing = report.CodeNothing

// add counts what an action of an apply leaves.
func (t *Tally) add(a report.Action) {
	switch a.Leaves() {
	case report.LeavesUnanswered:
		t.Unanswered++
	case report.LeavesAlive:
		t.Left++
	case report.LeavesDead: // it is no finding any more
		delete(t.Credentials, a.Fingerprint)
	}
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
	if v != nil && v.Unanswered() {
		sum.Unanswered++
	}
}
