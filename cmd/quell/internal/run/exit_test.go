package run

import (
	"testing"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
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
		if got := Unanswered(revokers.Verdict{Liveness: revokers.Unknown, Reason: reason}); got != want {
			t.Errorf("%q: %v", reason, got)
		}
		if Unanswered(revokers.Verdict{Liveness: revokers.Dead, Reason: reason}) {
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

func TestAConfirmedKillLeavesNothing(t *testing.T) {
	if n := left(map[revokers.Outcome]int{revokers.Confirmed: 3}); n != 0 {
		t.Errorf("%d left", n)
	}
	if n := left(map[revokers.Outcome]int{revokers.Confirmed: 3, revokers.Held: 1, revokers.StillAlive: 2}); n != 3 {
		t.Errorf("%d left, want 3", n)
	}
}
