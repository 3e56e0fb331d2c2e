package run

import (
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/rules"
)

// FindingEvent renders f; the secret only where reveal is set.
func FindingEvent(f rules.Finding, key rules.FingerprintKey, set *rules.Set, reveal bool) report.Finding {
	e := report.Finding{Ref: f.Ref, Location: f.Location, Decoded: append([]string{}, f.Decoded...), Views: f.Views, Partial: f.Partial}
	e.Fingerprint = key.Fingerprint(f.Secret)
	if r := set.Rule(f.Rule); r != nil {
		e.Description = r.Description
	}
	if reveal {
		e.Secret = f.Secret.Reveal()
	}
	return e
}

// CredentialEvent renders c.
func CredentialEvent(c rules.Credential, sealed string) report.Credential {
	e := report.Credential{Ref: c.Ref, Findings: len(c.Findings), Sealed: sealed}
	e.Redacted = c.Secret.Hint()
	for _, f := range c.Findings {
		e.Locations = append(e.Locations, f.Location)
	}
	return e
}
