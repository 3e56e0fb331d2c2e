package run

import (
	"fmt"
	"slices"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

// FailOn is the least that counts for exit code 1.
type FailOn string

// Counts reports whether a credential counts under f.
func (f FailOn) Counts(c rules.Credential, v *revokers.Verdict) bool {
	live := v != nil && v.Liveness == revokers.Live
	dead := v != nil && v.Liveness == revokers.Dead && (v.Reason != revokers.Expired || !c.Renewable) || revokers.Over(c.Ref, time.Now()) && !c.Renewable
	switch {
	case c.Kind == rules.KindPublic:
		return false // whatever is found in every page fails no build
	case f == "never":
		return false
	case f == "live":
		return live
	case f == "found":
		return true
	}
	return live || c.Confidence == rules.High && !dead
}

// ParseFailOn reads never, live, suspect or found.
func ParseFailOn(s string) (FailOn, error) {
	if !slices.Contains([]string{"never", "live", "suspect", "found"}, s) {
		return "", fmt.Errorf("--fail-on %q is not never, live, suspect or found", s)
	}
	return FailOn(s), nil
}
