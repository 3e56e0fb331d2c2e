package web

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/history"
	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/serve/approval"
	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
	"github.com/quellhq/quell/revokers"
)

// milestone is a step from found to dead.
type milestone struct {
	Name string        `json:"name"`
	At   *time.Time    `json:"at,omitempty"` // absent: it has not happened
	From time.Duration `json:"-"`            // since the first finding
	Note string        `json:"note,omitempty"`
}

// event is an entry of the ledger.
type event struct {
	ID    int64     `json:"id"`
	At    time.Time `json:"at"`
	Type  string    `json:"type"`
	Actor string    `json:"actor,omitempty"`
	Lines []string  `json:"lines"`
}

// incidentPage is the data of an incident's page.
type incidentPage struct {
	Incident   store.Incident
	Milestones []milestone
	// Dead is the wall-clock time from the first finding to the proof; zero: not proven.
	Dead     time.Duration
	Sent     time.Duration // from the last request to the proof
	Events   []event
	More     int // entries that are not shown
	Places   []string
	Proposal *proposal
	Holds    []ledger.Approval
	Warning  string // of entries that can't be read
}

// proposal is a plan that waits.
type proposal struct {
	store.Proposal
	Requests   []string
	Action     string
	Instance   string
	Scope      string
	Tier       string
	Reversible bool
	Collateral string
	By         []ledger.Approval
	Left       int
	Mine       bool // the visitor approved it
	Holds      []ledger.Approval
	What       store.Incident
}

// maxEvents is how many entries a page shows; the ledger has all.
const maxEvents = 500

// read gathers the data of an incident's page.
func (c *Console) read(ctx context.Context, fingerprint string, v visitor) (s incidentPage, err error) {
	if s.Incident, err = c.o.Store.Incident(ctx, fingerprint); err != nil {
		return s, err
	}
	entries, err := c.o.Ledger.Incident(ctx, fingerprint)
	if errors.Is(err, ledger.ErrNoIncident) {
		err = nil
	}
	if err != nil {
		if len(entries) == 0 {
			return s, err
		}
		s.Warning = "Some entries of the ledger can't be read: run quell ledger --verify."
	}
	s.fill(entries)
	s.Holds = approval.Of(entries, "", time.Now()).Holds
	p, err := c.o.Store.Proposal(ctx, fingerprint)
	switch {
	case errors.Is(err, store.ErrUnknown):
		return s, nil
	case err != nil:
		return s, err
	}
	s.Proposal = c.proposalOf(p, entries, s.Incident, v)
	return s, nil
}

// proposalOf reads a proposal's plan. A plan that was not signed here is shown without its requests.
func (c *Console) proposalOf(p store.Proposal, entries []ledger.Entry, what store.Incident, v visitor) *proposal {
	state := approval.Of(entries, p.Digest, time.Now())
	out := &proposal{Proposal: p, By: state.By, Holds: state.Holds, Left: max(0, p.Needed-len(state.By)), Mine: state.Has(v.Person, v.Subject), What: what}
	file, _, err := plan.Verify([]byte(p.File), []ed25519.PublicKey{c.o.PlanKey}, time.Now())
	if err != nil {
		out.Action = "the plan can't be read: " + err.Error()
		return out
	}
	// People approve the digest: the requests of another plan must not be shown for it.
	if digest, err := file.Digest(); err != nil || digest != p.Digest {
		out.Action = "the plan can't be shown: it is not the one of its digest"
		return out
	}
	for _, it := range file.Items {
		out.Action, out.Instance, out.Scope, out.Tier, out.Reversible, out.Collateral = it.Action, it.Instance, string(it.Scope), string(it.Tier), it.Reversible, it.Collateral
		for _, e := range it.Requests {
			out.Requests = append(out.Requests, requestText(e))
		}
		if it.Rotate != nil {
			out.Requests = append(out.Requests, "Vault "+it.Rotate.Vault+" "+it.Rotate.StaticRole+" "+it.Rotate.KV)
		}
	}
	return out
}

// requestText is a request with placeholders for secrets, on one line.
func requestText(e revokers.Effect) string {
	s := e.Method + " " + e.URL
	if len(e.Body) > 0 && string(e.Body) != "null" {
		var text string
		if json.Unmarshal(e.Body, &text) != nil {
			text = string(e.Body)
		}
		s += "  " + text
	}
	return s
}

// fill sets milestones, events and places from the entries of an incident.
func (s *incidentPage) fill(entries []ledger.Entry) {
	names := []string{"Found", "Asked", "Live", "Planned", "Approved", "Kill sent", "Accepted", "Proven dead", "Rechecked"}
	at := make([]time.Time, len(names))
	note := make([]string, len(names))
	once := func(i int, t time.Time, n string) {
		if at[i].IsZero() {
			at[i], note[i] = t, n
		}
	}
	seen := map[string]bool{}
	for _, e := range entries {
		switch b := e.Body.(type) {
		case ledger.Found:
			once(0, e.At, "")
			for _, l := range b.Exposures {
				if p := report.Place(l); !seen[p] && len(s.Places) < 100 {
					seen[p] = true
					s.Places = append(s.Places, p)
				}
			}
		case ledger.Verdict:
			once(1, e.At, b.Host)
			if b.Liveness == revokers.Live {
				if !at[7].IsZero() { // it was proven dead before, and is accepted again
					at[7], note[7] = time.Time{}, ""
				}
				once(2, e.At, b.Host)
			}
			if !at[7].IsZero() {
				at[8], note[8] = e.At, b.Liveness.String()
			}
		case ledger.Held:
			once(3, e.At, "held")
		case ledger.Approval:
			if b.Decision == ledger.Approve {
				at[4], note[4] = e.At, b.Person
			}
		case ledger.Intent:
			once(3, e.At, "")
			at[5], note[5] = e.At, b.Host
		case ledger.Receipt:
			if b.Accepted {
				at[6], note[6] = e.At, "a claim, not a proof"
			}
		case ledger.Outcome:
			if b.Outcome == "Confirmed" {
				at[7], note[7] = e.At, report.Count(int64(b.Looks), "look")
			} else if b.Outcome == "AlreadyDead" {
				at[7], note[7] = e.At, "already dead"
			}
		case ledger.Restore:
			if b.Outcome == ledger.Restored {
				at[7], note[7] = time.Time{}, "restored"
			}
		}
	}
	for i, n := range names {
		m := milestone{Name: n, Note: note[i]}
		if t := at[i]; !t.IsZero() {
			m.At = &t
			if !at[0].IsZero() {
				m.From = t.Sub(at[0])
			}
		} else if n == "Approved" && s.Proposal == nil {
			continue
		}
		s.Milestones = append(s.Milestones, m)
	}
	if !at[0].IsZero() && !at[7].IsZero() {
		s.Dead = at[7].Sub(at[0])
		if !at[5].IsZero() && at[7].After(at[5]) {
			s.Sent = at[7].Sub(at[5])
		}
	}
	from := max(0, len(entries)-maxEvents)
	s.More = from
	for _, e := range entries[from:] {
		s.Events = append(s.Events, event{ID: e.ID, At: e.At, Type: string(e.Type()), Actor: e.Actor, Lines: history.Lines(e)})
	}
}

func (c *Console) incident(w http.ResponseWriter, r *http.Request, v visitor) error {
	s, err := c.read(r.Context(), r.PathValue("fingerprint"), v)
	if err != nil {
		return err
	}
	return c.render(w, r, http.StatusOK, "incident", v, page{Title: s.Incident.Rule + " " + s.Incident.Fingerprint[:min(8, len(s.Incident.Fingerprint))], Nav: "incidents", Data: s})
}

// waiting are the plans that people decide about.
func (c *Console) waiting(ctx context.Context, v visitor) (out []*proposal, err error) {
	list, err := c.o.Store.Proposals(ctx, 100)
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		what, err := c.o.Store.Incident(ctx, p.Fingerprint)
		if err != nil {
			if errors.Is(err, store.ErrUnknown) {
				continue
			}
			return nil, err
		}
		entries, err := c.o.Ledger.Incident(ctx, p.Fingerprint)
		if err != nil && len(entries) == 0 {
			return nil, err
		}
		out = append(out, c.proposalOf(p, entries, what, v))
	}
	return out, nil
}

func (c *Console) plans(w http.ResponseWriter, r *http.Request, v visitor) error {
	list, err := c.waiting(r.Context(), v)
	if err != nil {
		return err
	}
	return c.render(w, r, http.StatusOK, "plans", v, page{Title: "Plans", Nav: "plans", Data: struct {
		List   []*proposal
		Budget Budget
	}{list, c.o.Budget}})
}

// decideForm takes the decision of a person.
func (c *Console) decideForm(w http.ResponseWriter, r *http.Request, v visitor) error {
	if !v.Approve {
		c.fail(w, r, v, http.StatusForbidden, "You may read, and not approve.")
		return nil
	}
	d := Decision{Fingerprint: r.PathValue("fingerprint"), What: r.PostForm.Get("what"), Digest: r.PostForm.Get("digest"), Person: v.Person, Method: v.Method, Subject: v.Subject, Reason: r.PostForm.Get("reason")}
	if err := c.decided(r.Context(), d); err != nil {
		return err
	}
	// The fingerprint is one of the database: the address stays on this page.
	http.Redirect(w, r, "/incidents/"+d.Fingerprint, http.StatusSeeOther)
	return nil
}

// maxReason is the longest reason of a decision, in bytes.
const maxReason = 500

func (c *Console) decided(ctx context.Context, d Decision) error {
	switch d.What {
	case Approve, Hold, Release:
	default:
		return errParameter
	}
	if len(d.Reason) > maxReason {
		return errParameter
	}
	if err := c.o.Decide(ctx, d); err != nil {
		return err
	}
	c.o.Log("decision", "incident", d.Fingerprint[:min(8, len(d.Fingerprint))], "person", d.Person, "decision", d.What)
	return nil
}
