package run

import (
	"context"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/plan"
)

// groups are the items that are ended together: those that one request of
// their issuer takes, each other one alone.
func (r *applying) groups() [][]*item {
	var out [][]*item
	open := map[string]int{}
	for _, w := range r.items {
		if r.only != nil && !r.only[w.n] {
			continue
		}
		if w.it.Action != plan.ActRevoke || w.it.Batch < 2 {
			out = append(out, []*item{w})
			continue
		}
		key := w.it.Instance + "\x00" + w.it.Page + "\x00" + w.it.User + "\x00" + w.it.Namespace + "\x00" + w.it.Revoke
		if g, ok := open[key]; ok && len(out[g]) < w.it.Batch {
			out[g] = append(out[g], w)
			continue
		}
		open[key] = len(out)
		out = append(out, []*item{w})
	}
	return out
}

// group applies items that share a request. It returns those that another
// apply holds.
func (r *applying) group(ctx context.Context, group []*item) (others []*item) {
	var work []*item
	for _, w := range group {
		if !w.it.Kills() {
			r.done(w, r.passive(ctx, w))
			continue
		}
		work = append(work, w)
	}
	if len(work) == 0 {
		return nil
	}
	if r.DryRun {
		for _, w := range work {
			w.act.Detail = "dry run: nothing was sent"
			r.done(w, nil)
		}
		return nil
	}
	held, others, err := r.acquire(ctx, work)
	if err != nil {
		r.done(work[0], err)
		return nil
	}
	if len(held.items) == 0 {
		return others
	}
	var ready []*item
	for _, w := range held.items {
		final, err := r.prepare(ctx, w)
		if err != nil || final {
			r.done(w, err)
			held.release(ctx, w)
			continue
		}
		ready = append(ready, w)
	}
	if r.stopped(ctx) {
		held.releaseAll(ctx)
		return others
	}
	now, err := r.announce(ctx, ready)
	var prove []*item
	if err == nil {
		prove, err = r.end(ctx, now)
	}
	for _, w := range ready {
		if contains(prove, w) {
			continue
		}
		if err == nil {
			r.done(w, nil)
		}
		held.release(ctx, w)
	}
	if err != nil {
		// A revocation that was sent before is proven all the same.
		r.done(nil, err)
	}
	for _, w := range prove {
		r.wg.Add(1)
		go func() {
			defer r.wg.Done()
			r.killsFirst(ctx)
			r.done(w, r.prove(ctx, w))
			held.release(context.WithoutCancel(ctx), w)
		}()
	}
	return others
}

// A plan of more than manyKills items sends all kills before it proves them, but for those that
// take longer than proveWithin: the looks of hundreds of proofs use up the limits of the issuers
// that the other kills need.
const (
	manyKills   = 25
	proveWithin = 10 * time.Minute
)

// killsFirst returns when a proof may begin.
func (r *applying) killsFirst(ctx context.Context) {
	if len(r.items) <= manyKills {
		return
	}
	wait := time.NewTimer(proveWithin)
	defer wait.Stop()
	select {
	case <-r.killed:
	case <-wait.C:
	case <-ctx.Done():
	}
}

func contains(list []*item, w *item) bool {
	for _, x := range list {
		if x == w {
			return true
		}
	}
	return false
}
