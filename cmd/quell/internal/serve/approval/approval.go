// Package approval reads from an incident's entries who approved a plan and who holds it.
package approval

import (
	"strings"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
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

// Has reports whether a person's approval counts.
func (s State) Has(person string) bool {
	for _, a := range s.By {
		if same(a.Person, person) {
			return true
		}
	}
	return false
}

// Of reads the decisions about the plan of a digest. An approval counts until its time, for the
// digest that it names alone, and once for each person: names that differ in case are one.
func Of(entries []ledger.Entry, digest string, now time.Time) (s State) {
	for _, e := range entries {
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
			if s.Has(a.Person) {
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

func same(a, b string) bool {
	return strings.EqualFold(strings.TrimSpace(a), strings.TrimSpace(b))
}
