package run

import (
	"context"
	"maps"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/revokers/rows"
)

// history is the ledger's record of an incident.
type history struct {
	// intent is the last intent to revoke, and receipt the response to it.
	intent  *ledger.Intent
	receipt *ledger.Receipt
	// sent are the requests of a revocation of several that were sent, by name; the
	// value is set for those with a receipt.
	sent map[string]bool
	// attempts is how often the revocation was begun, by the name of its request; the name is
	// empty if it has one request.
	attempts map[string]int
	// row is set if an intent without a receipt records that a session store had the row
	// that it deletes.
	row bool
	// first is the first intent that no outcome ended: its Before is the last
	// answer before the first request.
	first *ledger.Intent
	// alive is set if the credential was Live after first.
	alive bool
	// parts are the fingerprints of the parts that the credential was sent with by
	// first. mixed is set if a later intent sent others.
	parts map[string]string
	mixed bool
	// rotations are the steps of the plan's rotation by name.
	rotations map[string]rotation
	// final is the outcome of this plan that ended the incident.
	final   *ledger.Outcome
	finalAt time.Time // when it was recorded
	// restored is when the kill was last taken back.
	restored time.Time
	// notices are those of kills that take more than the one credential.
	notices []noticeOf
	// newest is the id of the last entry.
	newest int64
}

// rotation is a step that was begun.
type rotation struct {
	intent ledger.Intent
	at     time.Time
	done   bool
	// refused is set if the store answered that it did nothing.
	refused bool
}

type noticeOf struct {
	method string
	at     time.Time
}

// historyOf reads an incident. Intents of every plan count; outcomes and
// rotations are those of the plan that is being applied.
func historyOf(entries []ledger.Entry, plan string) history {
	h := history{rotations: map[string]rotation{}, sent: map[string]bool{}, attempts: map[string]int{}}
	found := map[string]map[string]string{} // the credential's parts by the run that recorded them
	for _, e := range entries {
		h.newest = e.ID
		switch b := e.Body.(type) {
		case ledger.Found:
			found[e.Run] = partsOf(b)
		case ledger.Intent:
			h.begun(b, found[e.Run], e.Run == plan, e.At)
		case ledger.Receipt:
			h.answered(b)
		case ledger.Rotation:
			if x, ok := h.rotations[b.Step]; ok {
				x.done = true
				h.rotations[b.Step] = x
			} else if b.Step == "" {
				for k, x := range h.rotations {
					x.done = true
					h.rotations[k] = x
				}
			}
		case ledger.Outcome:
			h.ended(b, e.Run == plan, e.At)
		case ledger.Verdict:
			h.alive = h.alive || b.Liveness == revokers.Live
			// It is not over: recheck, or another plan, saw it alive afterwards.
			if f := h.final; f != nil && b.Liveness == revokers.Live && f.Outcome != ledger.Word(prove.UntilExpiry) {
				h.final = nil
			}
		case ledger.Notice:
			if b.Kind == noticeKind {
				h.notices = append(h.notices, noticeOf{b.Method, e.At})
			}
		case ledger.Restore:
			if b.Outcome == ledger.Restored {
				h.restored = e.At
				h.forget()
			}
		}
	}
	return h
}

func (h *history) begun(b ledger.Intent, parts map[string]string, mine bool, at time.Time) {
	switch {
	case b.Action == "rotate":
		if mine {
			h.rotations[b.Step] = rotation{intent: b, at: at}
		}
	case b.Action == "revoke" || b.Action == "rotate_and_revoke":
		h.intent, h.receipt = &b, nil
		h.attempts[b.Step]++
		for _, r := range b.Requests {
			h.row = h.row || r.Late[rows.LateRows] == "1"
		}
		if b.Step != "" {
			h.sent[b.Step] = false
		}
		switch {
		case h.first == nil:
			h.first, h.parts, h.mixed, h.alive = &b, parts, false, false
		case !maps.Equal(h.parts, parts):
			h.mixed = true
		}
	}
}

// about reports whether every request since first was sent with exactly these
// parts: only then the answer before it and its receipt are about the credential.
func (h *history) about(parts map[string]string) bool {
	return !h.mixed && maps.Equal(h.parts, parts)
}

func (h *history) ended(b ledger.Outcome, mine bool, at time.Time) {
	final := Final(prove.Outcome(b.Outcome))
	if final && mine {
		h.final, h.finalAt = &b, at
	}
	if final {
		// A later exposure of the same credential is another kill.
		h.forget()
		h.notices = nil
	}
}

// forget leaves out the requests of a kill that is over.
func (h *history) forget() {
	h.intent, h.receipt, h.first, h.row = nil, nil, nil, false
	h.sent, h.attempts = map[string]bool{}, map[string]int{}
}

// deadBefore reports whether the credential was dead before the first intent and not Live since:
// no request of quell's ended it, whether or not one left. A rotation may have.
func (h *history) deadBefore() bool {
	return len(h.rotations) == 0 && h.first != nil && h.first.Before != nil && h.first.Before.Liveness == revokers.Dead && !h.alive
}

func (h *history) answered(b ledger.Receipt) {
	switch b.Action {
	case "", "revoke":
		h.receipt, h.row = &b, false
		if b.Step != "" {
			h.sent[b.Step] = true
		}
	case "rotate":
		if x, ok := h.rotations[b.Step]; ok && !b.Accepted {
			x.refused = true
			h.rotations[b.Step] = x
		}
	}
}

// Final reports whether apply prints an outcome again instead of acting.
func Final(o prove.Outcome) bool {
	return o == prove.Confirmed || o == prove.AlreadyDead || o == prove.UntilExpiry
}

// killsOf lists the incidents for which a plan has an intent: kill.max counts
// the kills of a plan over all of its applies.
func (a *Applier) killsOf(ctx context.Context, plan string) (map[string]bool, error) {
	out := map[string]bool{}
	for e, err := range a.Ledger.All(ctx) {
		if err != nil {
			return nil, err
		}
		if i, ok := e.Body.(ledger.Intent); ok && e.Run == plan && i.Kills() {
			out[e.Incident] = true
		}
	}
	return out, nil
}
