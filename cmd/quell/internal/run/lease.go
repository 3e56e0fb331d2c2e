package run

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/revokers/prove"
)

// leaseTime is how long an incident is held without a renewal.
const leaseTime = 15 * time.Second

func (r *applying) ttl() time.Duration {
	if r.Lease > 0 {
		return r.Lease
	}
	return leaseTime
}

// holding are the items whose incidents this apply has leased. It renews the
// leases until they are released.
type holding struct {
	r      *applying
	items  []*item
	mu     sync.Mutex
	leases map[string]ledger.Lease
	stop   context.CancelFunc
}

// acquire leases the incidents of items, in one transaction. Those that another
// apply holds are returned as others.
func (r *applying) acquire(ctx context.Context, items []*item) (h *holding, others []*item, err error) {
	names := make([]string, len(items))
	for i, w := range items {
		names[i] = w.it.Fingerprint
	}
	leases, err := r.Ledger.Acquire(ctx, r.ttl(), names...)
	if err != nil {
		return nil, nil, err
	}
	h = &holding{r: r, leases: map[string]ledger.Lease{}}
	for _, l := range leases {
		h.leases[l.Incident] = l
	}
	for _, w := range items {
		if l, ok := h.leases[w.it.Fingerprint]; ok {
			w.fence = l.Fence
			h.items = append(h.items, w)
		} else {
			others = append(others, w)
		}
	}
	until, stop := context.WithCancel(context.WithoutCancel(ctx))
	h.stop = stop
	if len(h.items) > 0 {
		go h.renew(until)
	} else {
		stop()
	}
	return h, others, nil
}

func (h *holding) renew(ctx context.Context) {
	renewing(ctx, h.r.Ledger, h.r.ttl(), func() []ledger.Lease {
		h.mu.Lock()
		defer h.mu.Unlock()
		return slices.Collect(maps.Values(h.leases))
	})
}

// renewing extends the leases that held returns, three times per ttl, until ctx
// ends.
func renewing(ctx context.Context, led *ledger.Ledger, ttl time.Duration, held func() []ledger.Lease) {
	t := time.NewTicker(ttl / 3)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		// A lease that is lost shows in the fence of the next intent; a failed
		// renewal is tried again before the lease expires.
		_, _ = led.Renew(ctx, ttl, held()...)
	}
}

// Alone calls do while this process is the only actor of an incident. free is false if another one
// holds it: then do is not called. still renews the lease and reports whether it was kept: a machine
// that slept loses it, and what do learned before may no longer hold.
func Alone(ctx context.Context, led *ledger.Ledger, incident string, do func(still func() (bool, error)) error) (free bool, err error) {
	leases, err := led.Acquire(ctx, leaseTime, incident)
	if err != nil || len(leases) == 0 {
		return false, err
	}
	defer led.Release(context.WithoutCancel(ctx), leases...) //nolint:errcheck // it expires by itself
	until, stop := context.WithCancel(ctx)
	defer stop()
	go renewing(until, led, leaseTime, func() []ledger.Lease { return leases })
	return true, do(func() (bool, error) {
		kept, err := led.Renew(ctx, leaseTime, leases...)
		return len(kept) > 0, err
	})
}

// release ends the lease of an item that is finished.
func (h *holding) release(ctx context.Context, w *item) {
	h.mu.Lock()
	l, ok := h.leases[w.it.Fingerprint]
	delete(h.leases, w.it.Fingerprint)
	if len(h.leases) == 0 {
		h.stop()
	}
	h.mu.Unlock()
	if ok {
		// An expired lease ends by itself.
		_ = h.r.Ledger.Release(context.WithoutCancel(ctx), l)
	}
}

func (h *holding) releaseAll(ctx context.Context) {
	for _, w := range h.items {
		h.release(ctx, w)
	}
}

// await waits for another apply's outcome of items. It holds no lease while it
// waits. An item whose lease ended without an outcome is taken over.
func (r *applying) await(ctx context.Context, items []*item) (still []*item) {
	poll := r.Poll
	if poll == 0 {
		poll = 500 * time.Millisecond
	}
	t := time.NewTimer(poll)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return items
	case <-t.C:
	}
	names := make([]string, len(items))
	for i, w := range items {
		names[i] = w.it.Fingerprint
	}
	busy := map[string]bool{}
	leases, err := r.Ledger.Leases(ctx, names...)
	if err != nil {
		r.done(items[0], err)
		return nil
	}
	for _, l := range leases {
		busy[l.Incident] = true
	}
	for _, w := range items {
		if busy[w.it.Fingerprint] {
			still = append(still, w)
			continue
		}
		outcome, ok, err := r.reported(ctx, w)
		switch {
		case err != nil:
			r.done(w, err)
		case ok:
			w.act.Outcome, w.act.Detail, w.act.Control = prove.Outcome(outcome.Outcome), outcome.Detail, string(outcome.Control)
			w.act.Looks, w.act.ReplicaRisk = outcome.Looks, outcome.ReplicaRisk
			r.done(w, nil)
		default:
			still = append(still, r.group(ctx, []*item{w})...)
		}
	}
	return still
}

// reported returns the outcome that another apply of the plan recorded since
// this one began to wait.
func (r *applying) reported(ctx context.Context, w *item) (ledger.Outcome, bool, error) {
	entries, err := r.entries(ctx, w)
	if err != nil {
		return ledger.Outcome{}, false, err
	}
	for i := len(entries) - 1; i >= 0; i-- {
		e := entries[i]
		if e.Run != r.id || e.At.Before(w.start) {
			continue
		}
		switch b := e.Body.(type) {
		case ledger.Outcome:
			return b, true, nil
		case ledger.Held:
			w.act.Held, w.act.Remedy, w.act.Code = b.Reason, b.Remedy, heldCode(w)
			return ledger.Outcome{Outcome: ledger.Word(prove.Held), Detail: b.Diff}, true, nil
		}
	}
	return ledger.Outcome{}, false, nil
}
