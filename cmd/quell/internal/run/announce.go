package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/notify"
	"github.com/quellhq/quell/rules"
)

// noticeKind marks the ledger's notices of kills.
const noticeKind = "kill"

// noticeLasts is how long after the end of its delay a notice still allows a kill.
const noticeLasts = 24 * time.Hour

// hooks are the webhooks of the policy.
func (r *Runtime) hooks() ([]notify.Hook, error) {
	var out []notify.Hook
	for _, entry := range r.Policy.Notify {
		h, err := notify.Read(entry, r.secret)
		if err != nil {
			return nil, fmt.Errorf("policy: %w", err)
		}
		for _, s := range h.Secrets() {
			r.Redactor.Add(s)
		}
		out = append(out, h)
	}
	return out, nil
}

// sender returns a function that sends a text to all hooks, and returns the hosts
// that took it. It is nil if there are no hooks.
func sender(hooks []notify.Hook) func(context.Context, string) ([]string, error) {
	if len(hooks) == 0 {
		return nil
	}
	return func(ctx context.Context, text string) (hosts []string, err error) {
		var errs []error
		for _, h := range hooks {
			if err := h.Send(ctx, text); err != nil {
				errs = append(errs, err)
				continue
			}
			hosts = append(hosts, h.String())
		}
		return hosts, errors.Join(errs...)
	}
}

// announce gives notice of kills of tier collateral, and returns the items that may
// be ended now. The others are Held until kill.delay has passed since their notice.
// Items that an earlier apply began are not delayed.
func (r *applying) announce(ctx context.Context, items []*item) (now []*item, err error) {
	var fresh []*item
	for _, w := range items {
		switch {
		case !w.takesMore():
			now = append(now, w)
		case w.hist.noticed(w.revoke.ID, r.Policy.Delay()).IsZero():
			fresh = append(fresh, w)
		default:
			w.sendsFrom = w.hist.noticed(w.revoke.ID, r.Policy.Delay())
			if time.Now().Before(w.sendsFrom) {
				if err := r.delayed(ctx, w, "its notice was given"); err != nil {
					return now, err
				}
				continue
			}
			now = append(now, w)
		}
	}
	if len(fresh) == 0 {
		return now, nil
	}
	until := time.Now().UTC().Add(r.Policy.Delay())
	text := r.Planner.Redactor.String(announcement(fresh, r.id, until))
	var to []string
	if r.Notify != nil {
		var failed error
		if to, failed = r.Notify(ctx, text); failed != nil {
			r.progress("%v", failed)
			if len(to) == 0 {
				for _, w := range fresh {
					w.act.Code = heldCode(w)
					if _, err := r.hold(ctx, w, "no notice could be given: "+failed.Error(), "notify in the policy, then quell apply with the same plan", ""); err != nil {
						return now, err
					}
				}
				return now, nil
			}
		}
	}
	entries := make([]ledger.Entry, len(fresh))
	for i, w := range fresh {
		entries[i] = r.entry(w, ledger.Notice{Kind: noticeKind, Method: w.revoke.ID, Message: "a kill that takes more than the one credential: " + w.revoke.Collateral, To: strings.Join(to, ", "), Until: &until})
	}
	if err := r.append(ctx, entries...); err != nil {
		return now, err
	}
	for _, w := range fresh {
		if w.sendsFrom = until; r.Policy.Delay() == 0 {
			now = append(now, w)
			continue
		}
		if err := r.delayed(ctx, w, "notice was given now"); err != nil {
			return now, err
		}
	}
	return now, nil
}

// takesMore reports whether the item's first request is still to be sent, and ends
// more than the one credential.
func (w *item) takesMore() bool {
	return w.revoke != nil && w.revoke.Tier == rules.TierCollateral && w.send && w.hist.intent == nil && len(w.hist.rotations) == 0
}

func (r *applying) delayed(ctx context.Context, w *item, why string) error {
	from := w.sendsFrom.UTC().Truncate(time.Second).Add(time.Second)
	w.act.Code, w.act.SendsFrom = heldCode(w), &from
	remedy := "quell apply with the same plan from " + from.Format(time.RFC3339)
	if from.Sub(r.plan.Created) > r.Policy.MaxAge() {
		remedy = "a new plan (quell plan), applied from " + from.Format(time.RFC3339)
	}
	_, err := r.hold(ctx, w, fmt.Sprintf("delay: %s, and apply sends it from %s", why, from.Format(time.RFC3339)), remedy+"; or kill.delay in the policy", "")
	return err
}

func announcement(items []*item, plan string, until time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "quell: plan %s ends %s, and more with them, from %s on:", plan, count(len(items), "leaked credential"), until.Format(time.RFC3339))
	for _, w := range items {
		fmt.Fprintf(&b, "\n- %s %s at %s: %s", w.it.Rule, w.it.Redacted, w.target.Host(), w.revoke.Collateral)
	}
	b.WriteString("\nTo stop it, set kill.disabled = true in the policy.")
	return b.String()
}

// noticed returns from when the last notice of a revocation allows it under today's
// delay; zero if there is none, or if it is too old.
func (h history) noticed(method string, delay time.Duration) time.Time {
	for _, n := range slices.Backward(h.notices) {
		if n.method != method {
			continue
		}
		from := n.at.Add(delay)
		if time.Since(from) > noticeLasts {
			return time.Time{}
		}
		return from
	}
	return time.Time{}
}
