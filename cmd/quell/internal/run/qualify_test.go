package run

import (
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

// What is accepted without asking the issuer is never Confirmed before it
// expires.
func TestStatelessIsNeverConfirmedEarly(t *testing.T) {
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Minute)
	for name, c := range map[string]struct {
		stateless bool
		kind      rules.Kind
		expires   *time.Time
		got, want revokers.Outcome
	}{
		"a JWT that its issuer gave up":    {true, rules.KindJWT, &soon, revokers.Confirmed, revokers.UntilExpiry},
		"a JWT that is still accepted":     {true, rules.KindJWT, &soon, revokers.StillAlive, revokers.UntilExpiry},
		"a JWT that expired meanwhile":     {true, rules.KindJWT, &past, revokers.Confirmed, revokers.Confirmed},
		"a signed cookie that lives on":    {true, rules.KindSessionCookie, nil, revokers.StillAlive, revokers.UntilExpiry},
		"a signed cookie that is refused":  {true, rules.KindSessionCookie, nil, revokers.Confirmed, revokers.Confirmed},
		"a JWT that nobody answered about": {true, rules.KindJWT, &soon, revokers.Unconfirmed, revokers.Unconfirmed},
		"a session of the server's":        {false, rules.KindSessionCookie, nil, revokers.StillAlive, revokers.StillAlive},
	} {
		act := report.Action{Outcome: c.got}
		(&Applier{}).qualify(&act, &revokers.Exchange{Rule: &rules.Rule{Stateless: c.stateless}}, rules.Credential{Ref: rules.Ref{Kind: c.kind, Offline: rules.Offline{Expires: c.expires}}})
		if act.Outcome != c.want {
			t.Errorf("%s: %s", name, act.Outcome)
		}
		if c.want == revokers.UntilExpiry && c.expires != nil && !strings.Contains(act.Detail, c.expires.Format(time.RFC3339)) {
			t.Errorf("%s: the time is not told: %s", name, act.Detail)
		}
	}
}
