// Package approval reads from an incident's entries who approved a plan and who holds it.
package approval

import (
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/revokers"
)

// Lasts is how long an approval counts.
const Lasts = 24 * time.Hour

// State is what people decided about an incident.
type State struct {
	// By are the approvals of the plan that count now, one for each person.
	By []ledger.Approval
	// Holds are the people who hold the incident, and why.
	Holds []ledger.Approval
}

// Complete reports whether so many people approved, and none holds the incident.
func (s State) Complete(needed int) bool { return len(s.By) >= needed && len(s.Holds) == 0 }

// Has reports whether the approval of a person counts, who has a subject at the OpenID provider, or
// an empty one.
func (s State) Has(person, subject string) bool {
	for _, a := range s.By {
		if Same(a.Person, person) || subject != "" && a.Subject == subject {
			return true
		}
	}
	return false
}

// Of reads the decisions about the plan of a digest. An approval counts until its time, for the
// digest that it names alone, and once for each person: names that Same calls one are, and so are
// all names of one subject. Approvals end with the kill that they allowed: what is restored, or is
// live again after its proof, needs new ones.
func Of(entries []ledger.Entry, digest string, now time.Time) (s State) {
	proven := false
	for _, e := range entries {
		switch b := e.Body.(type) {
		case ledger.Outcome:
			// A process that ends here applies the plan again to report this outcome.
			proven = b.Outcome == "Confirmed" || b.Outcome == "AlreadyDead"
		case ledger.Verdict:
			if proven && b.Liveness == revokers.Live {
				proven, s.By = false, nil
			}
		case ledger.Restore:
			proven, s.By = false, nil
		}
		a, ok := e.Body.(ledger.Approval)
		if !ok || a.Person == "" {
			continue
		}
		switch a.Decision {
		case ledger.Approve:
			// The time that the entry itself has, so that no entry makes an approval last longer.
			if a.Plan == "" || a.Plan != digest || a.Until == nil || !now.Before(*a.Until) || !now.Before(e.At.Add(Lasts)) || e.At.After(now.Add(time.Minute)) {
				continue
			}
			if s.Has(a.Person, a.Subject) {
				continue
			}
			s.By = append(s.By, a)
		case ledger.Hold:
			s.Holds = append(s.Holds, a)
		case ledger.Release:
			s.Holds = nil
		}
	}
	return s
}

// Same reports whether two names are of one person: those that differ in case, in Unicode's form,
// or in what is not visible.
func Same(a, b string) bool { return Name(a) == Name(b) }

// Name is the form of a name that all spellings of it have.
func Name(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) || unicode.IsControl(r) || unicode.IsSpace(r) {
			return -1
		}
		return r
	}, norm.NFKC.String(s))
	return norm.NFKC.String(cases.Fold().String(s))
}
