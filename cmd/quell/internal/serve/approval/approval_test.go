package approval

import (
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/revokers"
)

func TestWhoseApprovalCounts(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	at := func(age time.Duration, a ledger.Body) ledger.Entry {
		return ledger.Entry{At: now.Add(-age), Body: a}
	}
	approve := func(person, digest string, left time.Duration) ledger.Approval {
		until := now.Add(left)
		return ledger.Approval{Decision: ledger.Approve, Person: person, Plan: digest, Until: &until}
	}
	subject := func(a ledger.Approval, s string) ledger.Approval { a.Subject = s; return a }
	both := func() []ledger.Entry {
		return []ledger.Entry{at(time.Hour, approve("alice", "d", time.Hour)), at(time.Hour, approve("bob", "d", time.Hour))}
	}
	live := ledger.Verdict{Verdict: revokers.Verdict{Liveness: revokers.Live}}
	for name, c := range map[string]struct {
		entries  []ledger.Entry
		complete bool
	}{
		"nobody":                                 {nil, false},
		"one":                                    {[]ledger.Entry{at(time.Hour, approve("alice", "d", time.Hour))}, false},
		"two":                                    {[]ledger.Entry{at(time.Hour, approve("alice", "d", time.Hour)), at(time.Minute, approve("bob", "d", time.Hour))}, true},
		"one person twice, in another case":      {[]ledger.Entry{at(time.Hour, approve("alice", "d", time.Hour)), at(time.Minute, approve(" Alice ", "d", time.Hour))}, false},
		"another plan":                           {[]ledger.Entry{at(time.Hour, approve("alice", "d", time.Hour)), at(time.Minute, approve("bob", "e", time.Hour))}, false},
		"expired":                                {[]ledger.Entry{at(time.Hour, approve("alice", "d", time.Hour)), at(time.Hour, approve("bob", "d", 0))}, false},
		"a time that is too long":                {[]ledger.Entry{at(time.Hour, approve("alice", "d", time.Hour)), at(Lasts, approve("bob", "d", 90*24*time.Hour))}, false},
		"from the future":                        {[]ledger.Entry{at(time.Hour, approve("alice", "d", time.Hour)), at(-time.Hour, approve("bob", "d", 2*time.Hour))}, false},
		"without a time":                         {[]ledger.Entry{at(0, ledger.Approval{Decision: ledger.Approve, Person: "alice", Plan: "d"}), at(0, approve("bob", "d", time.Hour))}, false},
		"without a person":                       {[]ledger.Entry{at(0, approve("", "d", time.Hour)), at(0, approve("bob", "d", time.Hour))}, false},
		"held":                                   {[]ledger.Entry{at(9, approve("alice", "d", time.Hour)), at(8, approve("bob", "d", time.Hour)), at(7, ledger.Approval{Decision: ledger.Hold, Person: "carol"})}, false},
		"held and released":                      {[]ledger.Entry{at(9, approve("alice", "d", time.Hour)), at(8, approve("bob", "d", time.Hour)), at(7, ledger.Approval{Decision: ledger.Hold, Person: "carol"}), at(6, ledger.Approval{Decision: ledger.Release, Person: "carol"})}, true},
		"one person, composed and decomposed":    {[]ledger.Entry{at(time.Hour, approve("jos\u00e9", "d", time.Hour)), at(time.Minute, approve("jose\u0301", "d", time.Hour))}, false},
		"one person, with an invisible letter":   {[]ledger.Entry{at(time.Hour, approve("bob", "d", time.Hour)), at(time.Minute, approve("b\u200bob", "d", time.Hour))}, false},
		"one person, in full width":              {[]ledger.Entry{at(time.Hour, approve("bob", "d", time.Hour)), at(time.Minute, approve("\uff22\uff4f\uff42", "d", time.Hour))}, false},
		"one account of the provider, two names": {[]ledger.Entry{at(time.Hour, subject(approve("bob", "d", time.Hour), "1")), at(time.Minute, subject(approve("robert", "d", time.Hour), "1"))}, false},
		"two accounts":                           {[]ledger.Entry{at(time.Hour, subject(approve("bob", "d", time.Hour), "1")), at(time.Minute, subject(approve("alice", "d", time.Hour), "2"))}, true},
		"proven, its process ended":              {append(both(), at(time.Minute, ledger.Outcome{Outcome: "Confirmed"})), true},
		"proven, and live again":                 {append(both(), at(time.Minute, ledger.Outcome{Outcome: "Confirmed"}), at(time.Second, live)), false},
		"live, still alive, live":                {append(both(), at(time.Minute, live), at(time.Minute, ledger.Outcome{Outcome: "StillAlive"}), at(time.Second, live)), true},
		"proven, and restored":                   {append(both(), at(time.Minute, ledger.Outcome{Outcome: "Confirmed"}), at(time.Second, ledger.Restore{Outcome: ledger.Restored})), false},
		"restored, and approved again":           {append([]ledger.Entry{at(2*time.Hour, ledger.Restore{})}, both()...), true},
	} {
		if got := Of(c.entries, "d", now).Complete(2); got != c.complete {
			t.Errorf("%s: complete is %v", name, got)
		}
	}
	// A plan without a digest is approved by nothing.
	if Of([]ledger.Entry{at(0, approve("alice", "", time.Hour))}, "", now).Complete(1) {
		t.Error("an empty digest is approved")
	}
}
