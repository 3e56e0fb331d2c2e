package run

import (
	"testing"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
)

func TestTheFirstReasonThatAppliesIsTheExitCode(t *testing.T) {
	all := Tally{Interrupted: true, Failed: true, Left: 1, Counted: 1, Incomplete: 1, Unanswered: 1}
	for _, c := range []struct {
		name string
		tly  Tally
		want int
	}{
		{"interrupted before everything else", all, 130},
		{"a failure before a kill that left something", Tally{Failed: true, Left: 1, Counted: 1}, 2},
		{"what a kill left before findings", Tally{Left: 2, Counted: 1, Incomplete: 1}, 3},
		{"findings before what was not read", Tally{Counted: 1, Incomplete: 1, Unanswered: 1}, 1},
		{"something was not read", Tally{Incomplete: 1}, 4},
		{"a question was not answered", Tally{Unanswered: 1}, 4},
		{"nothing", Tally{}, 0},
	} {
		if got := c.tly.ExitCode(); got != c.want {
			t.Errorf("%s: exit code %d, want %d", c.name, got, c.want)
		}
	}
}

func TestOnlyQuestionsThatWereDueAreUnanswered(t *testing.T) {
	for reason, want := range map[string]bool{
		"refused": true, "other_issuer": true, "control_failed": true, "throttled": true, "unreachable": true, "restricted": true, "unexpected": true, "accepts_anything": true,
		"unsupported": false, "no_host": false, "canary": false, "malformed": false, "partial": false, "offline": false, "": false,
	} {
		if got := (revokers.Verdict{Liveness: revokers.Unknown, Reason: revokers.Reason(reason)}).Unanswered(); got != want {
			t.Errorf("%q: %v", reason, got)
		}
		if (revokers.Verdict{Liveness: revokers.Dead, Reason: revokers.Reason(reason)}).Unanswered() {
			t.Errorf("dead with %q is an answer", reason)
		}
	}
}

func TestEveryCredentialIsCountedOnce(t *testing.T) {
	var sum report.Summary
	live, dead, silent := revokers.Verdict{Liveness: revokers.Live}, revokers.Verdict{Liveness: revokers.Dead}, revokers.Verdict{Reason: revokers.Unreachable}
	for _, v := range []*revokers.Verdict{&live, &dead, &silent, nil} {
		CountVerdict(&sum, v, false)
	}
	CountVerdict(&sum, nil, true)
	if sum.Live != 1 || sum.Dead != 2 || sum.Unknown != 2 || sum.Unanswered != 1 {
		t.Errorf("%+v", sum)
	}
}

func TestWhatAnActionLeaves(t *testing.T) {
	for _, c := range []struct {
		name string
		act  report.Action
		want int
	}{
		{"a confirmed kill", report.Action{Outcome: prove.Confirmed}, ExitClean},
		{"one that somebody else ended", report.Action{Outcome: prove.AlreadyDead}, ExitClean},
		{"nothing to do", report.Action{Action: "none"}, ExitClean},
		{"no proof", report.Action{Outcome: prove.Unconfirmed}, ExitLeft},
		{"still alive", report.Action{Outcome: prove.StillAlive}, ExitLeft},
		{"accepted until it expires", report.Action{Outcome: prove.UntilExpiry}, ExitLeft},
		{"held although live", report.Action{Outcome: prove.Held, Code: ExitLeft}, ExitLeft},
		{"held without an answer", report.Action{Outcome: prove.Held, Code: ExitIncomplete}, ExitIncomplete},
	} {
		var tally Tally
		tally.add(c.act)
		if got := tally.ExitCode(); got != c.want {
			t.Errorf("%s: exit code %d, want %d", c.name, got, c.want)
		}
	}
}
