package run

import (
	"strings"
	"testing"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
)

func TestEveryOutcomeButConfirmedHasANextStep(t *testing.T) {
	for _, o := range []prove.Outcome{prove.AlreadyDead, prove.StillAlive, prove.Unconfirmed, prove.UntilExpiry, prove.Held} {
		for _, status := range []int{-1, 0, 200, 400, 401, 403, 404, 405, 410, 418, 429, 500, 503} {
			for _, tier := range []rules.Tier{"", rules.TierSelf, rules.TierAdmin, rules.TierCollateral} {
				a := report.Action{Outcome: o, Tier: tier, Ref: rules.Ref{Fingerprint: "00112233445566778899aabbccddeeff", Provider: "gitlab", Rule: "gitlab-pat"}}
				if status >= 0 {
					a.Receipt = &revokers.Acknowledgement{Status: status}
				}
				if s := withNext(a).Remedy; s == "" || strings.ContainsAny(s, "\n") {
					t.Errorf("%s after %d, tier %s: %q", o, status, tier, s)
				}
			}
		}
	}
	if s := withNext(report.Action{Outcome: prove.Confirmed}).Remedy; s != "" {
		t.Errorf("confirmed: %q", s)
	}
}

func TestTheNextStepFollowsFromTheResponse(t *testing.T) {
	ref := rules.Ref{Provider: "gitlab", Rule: "gitlab-pat"}
	for name, c := range map[string]struct {
		a    report.Action
		want string
	}{
		"an admin credential without the right":     {report.Action{Ref: ref, Outcome: prove.StillAlive, Tier: rules.TierAdmin, Instance: "https://git.example", Receipt: &revokers.Acknowledgement{Status: 403}}, `url = "https://git.example" the right to revoke`},
		"an admin credential that is refused":       {report.Action{Ref: ref, Outcome: prove.Unconfirmed, Tier: rules.TierAdmin, Receipt: &revokers.Acknowledgement{Status: 401}}, "renew the admin"},
		"a token that may not end itself":           {report.Action{Ref: ref, Outcome: prove.StillAlive, Tier: rules.TierSelf, Receipt: &revokers.Acknowledgement{Status: 403}}, "by hand"},
		"an address that is not there":              {report.Action{Ref: ref, Outcome: prove.StillAlive, Tier: rules.TierSelf, Receipt: &revokers.Acknowledgement{Status: 404}}, "quell rules explain gitlab-pat"},
		"the issuer's limit":                        {report.Action{Ref: ref, Outcome: prove.Unconfirmed, Receipt: &revokers.Acknowledgement{Status: 429}}, "limit has passed"},
		"no answer":                                 {report.Action{Ref: ref, Outcome: prove.Unconfirmed, Receipt: &revokers.Acknowledgement{}}, "when the issuer answers"},
		"accepted, and the proof names its setting": {report.Action{Ref: ref, Outcome: prove.Unconfirmed, Remedy: "the proof's", Receipt: &revokers.Acknowledgement{Accepted: true, Status: 204}}, "the proof's"},
		"held by the policy":                        {report.Action{Ref: ref, Outcome: prove.Held, Remedy: "own = true"}, "own = true"},
	} {
		if got := withNext(c.a).Remedy; !strings.Contains(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}
