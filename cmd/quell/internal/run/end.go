package run

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
)

type instanceRef = *issuer.Instance

// end rotates first, where a store manages the credential, and then revokes.
// It returns the items whose proof is due; the others are finished.
func (r *applying) end(ctx context.Context, items []*item) (proofs []*item, err error) {
	var send []*item
	for _, w := range items {
		first, rest := w.ordered(r.RevokeFirst)
		if len(first) > 0 {
			if finished, err := r.rotate(ctx, w, first); finished || err != nil {
				if err != nil {
					return proofs, err
				}
				continue
			}
		}
		if r.RevokeFirst && w.send && len(w.steps) > 0 {
			w.send = false
			sent, err := r.revoke(ctx, []*item{w})
			if err != nil {
				return proofs, err
			}
			if len(sent) == 0 {
				continue // held: nothing was sent, and nothing is rotated
			}
		}
		if len(rest) > 0 {
			finished, err := r.rotate(ctx, w, rest)
			if err != nil {
				return proofs, err
			}
			if finished {
				continue
			}
			if w.send && !r.RevokeFirst {
				if finished, err := r.tried(ctx, w); finished || err != nil {
					if err != nil {
						return proofs, err
					}
					continue
				}
			}
		}
		if w.send {
			send = append(send, w)
			continue
		}
		proofs = append(proofs, w)
	}
	if len(send) == 0 {
		return proofs, nil
	}
	sent, err := r.revoke(ctx, send)
	return append(proofs, sent...), err
}

// revoke sends the revocation of items that share it.
func (r *applying) revoke(ctx context.Context, items []*item) (proofs []*item, err error) {
	first := items[0]
	v, err := r.Planner.Registry.Revoker(first.revoke)
	if err != nil {
		return nil, err
	}
	effects, err := v.Plan(ctx, targetsOf(items))
	if err != nil {
		for _, w := range items {
			w.act.Code = heldCode(w)
			if _, err := r.hold(ctx, w, "the revocation can't be planned: "+err.Error(), "quell apply with the same plan, when the issuer answers", ""); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
	r.progress("revoking %s at %s", count(len(items), "credential"), first.target.Host())
	for _, e := range effects {
		// Of a revocation of several requests, an earlier apply sent the first ones.
		some := slices.DeleteFunc(slices.Clone(items), func(w *item) bool { return w.skip[e.Name] })
		if len(some) == 0 {
			continue
		}
		targets, step := targetsOf(some), ""
		if len(effects) > 1 {
			step = e.Name
		}
		left := false
		send := func() (revokers.Receipt, error) {
			return v.Send(ctx, targets, e, func(final revokers.Effect) error {
				if err := r.intend(ctx, some, final, step); err != nil {
					return err
				}
				left = true
				return nil
			})
		}
		receipt, err := send()
		limited := false // a limit refused an earlier request of this step
		// 429 means that the issuer did nothing; the breaker waits as long as the issuer asks.
		for try := 1; err == nil && try < throttledKills && first.revoke.Idempotent() && throttled(receipt, len(some)); try++ {
			r.receipts(ctx, some, receipt, step)
			r.progress("%s takes no more requests for now: sending again", first.target.Host())
			select {
			case <-ctx.Done():
				return items, nil
			case <-time.After(time.Duration(try) * time.Second):
			}
			last := receipt
			left, limited = false, true
			if receipt, err = send(); err != nil && !left {
				receipt = last
			}
		}
		var held errHeld
		switch {
		case errors.As(err, &held):
			for _, w := range items {
				w.act.Code = heldCode(w)
				if _, err := r.hold(ctx, w, held.Reason, held.Remedy, held.diff); err != nil {
					return nil, err
				}
			}
			return nil, nil
		case err != nil && !left && limited:
			// The limit's answer is the last one, and it is in the ledger.
			receipt = notRepeated(receipt, len(some), err)
		case err != nil && !left && isLedger(err):
			return nil, err
		case err != nil:
			// The request may have arrived all the same: only the probe
			// decides.
			receipt = revokers.All(len(some), revokers.Acknowledgement{Detail: "no answer: " + err.Error(), At: time.Now().UTC()})
		}
		if !left {
			// A step before the request failed or was refused: nothing was sent.
			for i, w := range some {
				ack := receipt.Of(i)
				w.sent, w.act.Receipt = &ack, &ack
			}
			return items, nil
		}
		r.receipts(ctx, some, receipt, step)
	}
	return items, nil
}

// throttledKills is how often a revocation is sent whose issuer answers that it takes no more
// requests for now.
const throttledKills = 5

// notRepeated is the receipt of n credentials whose revocation a limit refused and that could
// not be sent again.
func notRepeated(receipt revokers.Receipt, n int, err error) revokers.Receipt {
	out := revokers.Receipt{Each: make([]revokers.Acknowledgement, n)}
	for i := range n {
		out.Each[i] = receipt.Of(i)
		out.Each[i].Detail = strings.TrimPrefix(out.Each[i].Detail+"; it was not sent again: "+err.Error(), "; ")
	}
	return out
}

// throttled reports whether a rate limit refused a revocation of n credentials.
func throttled(receipt revokers.Receipt, n int) bool {
	for i := range n {
		if a := receipt.Of(i); a.Accepted || a.Status != http.StatusTooManyRequests {
			return false
		}
	}
	return true
}

// receipts notes and records what an issuer answered to a revocation.
func (r *applying) receipts(ctx context.Context, items []*item, receipt revokers.Receipt, step string) {
	entries := make([]ledger.Entry, len(items))
	for i, w := range items {
		ack := receipt.Of(i)
		w.sent, w.act.Receipt = &ack, &ack
		entries[i] = r.entry(w, ledger.Receipt{Accepted: ack.Accepted, Status: ack.Status, Detail: ack.Detail, At: ack.At, Action: "revoke", Step: step})
	}
	_ = r.persist(ctx, entries...)
}

func targetsOf(items []*item) []revokers.Target {
	out := make([]revokers.Target, len(items))
	for i, w := range items {
		out[i] = w.target
	}
	return out
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func isLedger(err error) bool {
	var l ledgerError
	return errors.As(err, &l)
}

// ledgerError marks that the intent could not be recorded.
type ledgerError struct{ err error }

func (e ledgerError) Error() string { return e.err.Error() }
func (e ledgerError) Unwrap() error { return e.err }

// intend records an intent for each item in one transaction, if the final
// effect is what the plan shows.
func (r *applying) intend(ctx context.Context, items []*item, final revokers.Effect, step string) error {
	if err := heldBy(r.stop(ctx)); err != nil {
		return err
	}
	entries := make([]ledger.Entry, len(items))
	for i, w := range items {
		diff := "the plan has no such request"
		for _, was := range w.it.Requests {
			if was.Name == final.Name {
				if diff = sameEffect(was, final, len(items) == 1); diff == "" {
					break
				}
			}
		}
		if diff != "" {
			return differing(diff)
		}
		b := ledger.Intent{
			Action: "revoke", Method: w.it.Revoke, Host: w.target.Host(), Instance: w.target.URL(), Endpoint: w.verdict.Endpoint,
			Requests: requestsOf(final), Batch: len(items), Fence: w.fence, Attempt: w.hist.attempts[step] + 1, Step: step,
		}
		before := verdictEntry(w.verdict)
		b.Before = &before
		if w.target.Seen != nil {
			b.Learned = w.target.Seen.Learned
		}
		entries[i] = r.entry(w, b)
	}
	for _, w := range items {
		if err := heldBy(r.reserve(ctx, w)); err != nil {
			return err
		}
	}
	if err := r.append(ctx, entries...); err != nil {
		return ledgerError{err}
	}
	for _, w := range items {
		w.hist.attempts[step]++
	}
	r.mu.Lock()
	for _, w := range items {
		r.kills[w.it.Fingerprint] = true
	}
	r.mu.Unlock()
	return nil
}

func requestsOf(e revokers.Effect) []ledger.Request {
	req := ledger.Request{Method: e.Method, URL: e.URL, Header: e.Header, Body: e.Body}
	if len(e.Late) > 0 {
		req.Late = e.Late
	}
	return []ledger.Request{req}
}
