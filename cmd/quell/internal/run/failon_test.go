package run

import (
	"testing"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

// A credential's own expiry takes it out of the count once it is longer ago than
// clocks differ, and only if nothing can renew it.
func TestWhatFailsABuild(t *testing.T) {
	ago := func(d time.Duration) rules.Offline {
		at := time.Now().Add(-d)
		return rules.Offline{State: rules.OfflineExpired, Expires: &at}
	}
	said := func(l revokers.Liveness, r revokers.Reason) *revokers.Verdict {
		return &revokers.Verdict{Liveness: l, Reason: r}
	}
	for name, c := range map[string]struct {
		ref     rules.Ref
		verdict *revokers.Verdict
		counts  map[FailOn]bool
	}{
		"expired an hour ago":                     {rules.Ref{Confidence: rules.High, Offline: ago(time.Hour)}, nil, map[FailOn]bool{"suspect": false, "found": true, "live": false, "never": false}},
		"expired a minute ago, within leeway":     {rules.Ref{Confidence: rules.High, Offline: ago(time.Minute)}, nil, map[FailOn]bool{"suspect": true, "live": false}},
		"expired an hour ago, and renewable":      {rules.Ref{Confidence: rules.High, Offline: ago(time.Hour), Renewable: true}, nil, map[FailOn]bool{"suspect": true}},
		"expired, at a time that is not known":    {rules.Ref{Confidence: rules.High, Offline: rules.Offline{State: rules.OfflineExpired}}, nil, map[FailOn]bool{"suspect": true}},
		"dead":                                    {rules.Ref{Confidence: rules.High}, said(revokers.Dead, revokers.Revoked), map[FailOn]bool{"suspect": false, "found": true}},
		"expired by the issuer's word, renewable": {rules.Ref{Confidence: rules.High, Renewable: true}, said(revokers.Dead, revokers.Expired), map[FailOn]bool{"suspect": true}},
		"refused, which proves nothing":           {rules.Ref{Confidence: rules.High}, said(revokers.Unknown, revokers.Refused), map[FailOn]bool{"suspect": true, "live": false}},
		"of medium confidence and unknown":        {rules.Ref{Confidence: rules.Medium}, said(revokers.Unknown, revokers.Refused), map[FailOn]bool{"suspect": false, "found": true}},
		"of low confidence and live":              {rules.Ref{Confidence: rules.Low}, said(revokers.Live, revokers.Authenticated), map[FailOn]bool{"suspect": true, "live": true, "never": false}},
		"live although its content says expired":  {rules.Ref{Confidence: rules.High, Offline: ago(time.Minute)}, said(revokers.Live, revokers.Authenticated), map[FailOn]bool{"live": true, "suspect": true}},
		"in every page by design":                 {rules.Ref{Confidence: rules.High, Kind: rules.KindPublic}, nil, map[FailOn]bool{"found": false, "suspect": false}},
	} {
		for f, want := range c.counts {
			if got := f.Counts(rules.Credential{Ref: c.ref}, c.verdict); got != want {
				t.Errorf("%s, --fail-on %s: %v", name, f, got)
			}
		}
	}
}
