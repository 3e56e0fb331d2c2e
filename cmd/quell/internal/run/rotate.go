package run

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/postgres"
	"github.com/quellhq/quell/rules/credential"
)

func (r *applying) inFlight() time.Duration {
	if r.InFlight > 0 {
		return r.InFlight
	}
	return 2 * time.Minute
}

// ordered divides the steps before the proof. With revokeFirst, what ends the old
// value comes first, unless it needs the new one or a revocation by request ends it.
func (w *item) ordered(revokeFirst bool) (first, rest []revokers.Step) {
	for _, s := range w.steps {
		switch {
		case s.After:
		case revokeFirst && w.revoke == nil && s.Ends && !s.Needs:
			first = append(first, s)
		default:
			rest = append(rest, s)
		}
	}
	return first, rest
}

// after are the steps that come once the old value is proven dead.
func (w *item) after() []revokers.Step {
	return slices.DeleteFunc(slices.Clone(w.steps), func(s revokers.Step) bool { return !s.After })
}

// rotate takes steps of a rotation. finished means that the item is held.
func (r *applying) rotate(ctx context.Context, w *item, steps []revokers.Step) (finished bool, err error) {
	rot := r.Planner.Registry.Rotator(w.target)
	if w.target.Captures == nil {
		w.target.Captures = map[string]string{} // steps add to them
	}
	for i, s := range steps {
		x, begun := w.hist.rotations[s.Name]
		state := revokers.NotDone
		var unsure error
		switch {
		case x.done:
			state = revokers.Done
		case begun:
			if state, unsure = r.settle(ctx, w, s, x); unsure != nil {
				state = revokers.Unsure
			}
		}
		if state == revokers.Done && s.Issues || state == revokers.Lost {
			known, held, err := r.recover(ctx, w, s, steps[i+1:], x)
			switch {
			case err != nil:
				return true, err
			case held != nil:
				return r.hold(ctx, w, held.why, held.remedy, "")
			case known && !x.done:
				r.rotated(ctx, w, s, "the store shows that an earlier apply took this step; "+w.note(s))
				continue
			case known:
				continue
			}
			state = revokers.NotDone // it was ended: another is issued
			begun = false
		}
		switch {
		case x.done:
			if state == revokers.Done {
				w.act.Rotation = &report.Rotation{Where: where(w, s), Detail: "rotated by an earlier apply; " + w.note(s), At: time.Now().UTC()}
				if s.Ends {
					r.endedBy(w, time.Now().UTC())
				}
				continue
			}
		case state == revokers.Unsure:
			why := "an earlier apply began to rotate it, and the store does not show whether that happened"
			if unsure != nil {
				return r.hold(ctx, w, why+": "+unsure.Error(), "quell vault policy prints the rights that the store has to grant; then quell apply with the same plan", "")
			}
			return r.hold(ctx, w, why, "quell plan, after a look into "+s.Where, "")
		case state == revokers.Done:
			r.rotated(ctx, w, s, "the store shows that an earlier apply rotated it; "+w.note(s))
			continue
		case begun && !s.Repeats && !x.refused && time.Since(x.at) < r.inFlight():
			wait := (r.inFlight() - time.Since(x.at)).Round(time.Second)
			return r.hold(ctx, w, "an earlier apply began to rotate it, and its request may still take effect", fmt.Sprintf("quell apply with the same plan in %s", max(wait, time.Second)), "")
		}
		if s.Issues {
			// A store that can't be read is not written either: nothing is issued for it.
			for _, l := range steps[i+1:] {
				if !l.Needs {
					continue
				}
				if _, err := rot.Mark(ctx, w.target, l); err != nil {
					w.act.Code = heldCode(w)
					return r.hold(ctx, w, "the rotation failed, so nothing was issued or revoked: "+err.Error(), "admin of the store's [[instance]] in the policy, then quell apply with the same plan", "")
				}
			}
		}
		if s.Needs && w.fresh.IsZero() {
			if err := r.readAgain(ctx, w); err != nil {
				return r.hold(ctx, w, "the new value can't be read from the store: "+err.Error(), "quell vault policy prints the rights that the store has to grant; then quell apply with the same plan", "")
			}
		}
		if finished, err := r.step(ctx, w, s, rot, x.intent.Attempt+1); finished || err != nil {
			return finished, err
		}
	}
	return false, nil
}

// maxIssues is the number of new secrets that applies of one plan issue at most.
const maxIssues = 3

type heldFor struct{ why, remedy string }

// recover finds the secret that an issuing step made in another process: the store
// holds it if a later step wrote it, and then it is known. Otherwise it is lost: it is
// ended before another is issued, and every store that it was written to is written
// again.
func (r *applying) recover(ctx context.Context, w *item, s revokers.Step, later []revokers.Step, x rotation) (known bool, held *heldFor, err error) {
	if !s.Issues || !w.fresh.IsZero() {
		return true, nil, nil
	}
	rot := r.Planner.Registry.Rotator(w.target)
	needed := false
	for _, l := range later {
		if !l.Needs {
			continue
		}
		y, begun := w.hist.rotations[l.Name]
		state := revokers.NotDone
		switch {
		case y.done:
			state = revokers.Done
		case begun:
			if state, err = r.settle(ctx, w, l, y); err != nil || state == revokers.Unsure {
				return false, &heldFor{"an earlier apply began to write the new value, and the store does not show whether that happened", "quell plan, after a look into " + l.Where}, nil
			}
		}
		if state == revokers.Done {
			// Later steps read it from there. What consumers may have does not end
			// because quell can't read it.
			if err := r.readAgain(ctx, w); err != nil {
				return false, &heldFor{"an earlier apply wrote the new value, and it can't be read from the store: " + err.Error(), "quell vault policy prints the rights that the store has to grant; then quell apply with the same plan"}, nil
			}
			if w.fresh.IsZero() {
				if w.fresh, err = r.kept(ctx, w, l); err != nil {
					return false, &heldFor{"an earlier apply wrote the new value to " + l.Where + ", and it can't be read there: " + err.Error(), "quell apply with the same plan, when it can be read"}, nil
				}
			}
			if !w.fresh.IsZero() {
				return true, nil, nil
			}
			continue // a store that shows no value
		}
		if begun {
			// The write may have arrived, and builds may have what it wrote.
			switch v, err := r.kept(ctx, w, l); {
			case err != nil:
				return false, &heldFor{"an earlier apply began to write the new value to " + l.Where + ", and it can't be read there: " + err.Error(), "quell apply with the same plan, when it can be read"}, nil
			case !v.IsZero():
				return false, &heldFor{"an earlier apply began to write the new value to " + l.Where + ", which holds another value than the leaked one", "quell plan, after a look into " + l.Where}, nil
			}
		}
		needed = true
	}
	if !needed {
		return true, nil, nil
	}
	if x.intent.Attempt >= maxIssues {
		// The last one is left alive: builds may have it, from a store that shows no value.
		return false, &heldFor{fmt.Sprintf("%d new secrets were issued by applies of this plan, and not one reached all stores: a store refused it, or the apply was killed", x.intent.Attempt), "admin of the stores' [[instance]] in the policy, as what earlier applies say that was refused; then quell plan"}, nil
	}
	name := "undo " + s.Name
	if u := w.hist.rotations[name]; u.done && u.at.After(x.at) {
		return false, nil, nil // an earlier apply ended it
	}
	r.progress("ending what %s issued before a crash", s.Name)
	if err := r.record(ctx, w, ledger.Intent{
		Action: "rotate", Host: w.target.Host(), Instance: w.target.URL(), Fence: w.fence, Step: name, Mark: x.intent.Mark, Attempt: w.hist.rotations[name].intent.Attempt + 1, With: store(w),
	}); err != nil {
		return false, nil, err
	}
	if err := rot.Undo(ctx, w.target, s, x.intent.Mark); err != nil {
		return false, &heldFor{"an earlier apply issued a new secret that was lost, and it can't be ended yet: " + err.Error(), "quell apply with the same plan: what was issued ends first, and then another is issued"}, nil
	}
	r.persist(ctx, r.entry(w, ledger.Rotation{Where: s.Where, Detail: "what was issued and lost in a crash was ended", Step: name, At: time.Now().UTC()}))
	// A store that has the lost value gets the next one.
	for _, l := range later {
		if l.Needs {
			delete(w.hist.rotations, l.Name)
		}
	}
	return false, nil, nil
}

// kept is what a store of builds shows that a write step left there; zero if it shows
// none, or the leaked value.
func (r *applying) kept(ctx context.Context, w *item, s revokers.Step) (credential.Secret, error) {
	k, ok := r.Planner.Registry.Rotator(w.target).(revokers.Keeper)
	if !ok {
		return credential.Secret{}, nil
	}
	v, err := k.Kept(ctx, w.target, s)
	if err != nil || v.Equal(w.cred.Secret) {
		return credential.Secret{}, err
	}
	return v, nil
}

// readAgain reads the new value from where consumers read it. The leaked value is
// not a new one.
func (r *applying) readAgain(ctx context.Context, w *item) error {
	rep, ok := r.Planner.Registry.Rotator(w.target).(revokers.Replacer)
	if !ok {
		return errors.New("no store of this rotation can be read")
	}
	s, err := rep.Replacement(ctx, w.target)
	switch {
	case err != nil:
		return err
	case s.Equal(w.cred.Secret):
		return errors.New("it still holds the leaked one")
	}
	w.fresh = s
	return nil
}

// settle asks the store whether a step that was begun happened. A request that is
// still in flight gets some seconds to take effect. If the store does not show it, the
// probe of the old credential does, provided that the step ends that credential.
func (r *applying) settle(ctx context.Context, w *item, s revokers.Step, x rotation) (revokers.State, error) {
	rot := r.Planner.Registry.Rotator(w.target)
	for i := 0; ; i++ {
		state, err := rot.Did(ctx, w.target, s, x.intent.Mark)
		if err == nil && state == revokers.Unsure && s.Ends && w.revoke == nil {
			switch {
			case w.verdict.Liveness == revokers.Dead:
				return revokers.Done, nil
			case w.verdict.Liveness == revokers.Live && time.Since(x.at) >= r.inFlight():
				return revokers.NotDone, nil
			}
		}
		if err != nil || state != revokers.NotDone || s.Repeats || x.refused || time.Since(x.at) >= r.inFlight() || i >= 10 {
			return state, err
		}
		t := time.NewTimer(500 * time.Millisecond)
		select {
		case <-ctx.Done():
			t.Stop()
			return revokers.Unsure, ctx.Err()
		case <-t.C:
		}
	}
}

func store(w *item) *ledger.Store {
	if w.it.Rotate == nil {
		return nil
	}
	return &ledger.Store{Vault: w.it.Rotate.Vault, StaticRole: w.it.Rotate.StaticRole, KV: w.it.Rotate.KV}
}

// step takes one step of a rotation, with its intent before and its record
// after.
func (r *applying) step(ctx context.Context, w *item, s revokers.Step, rot revokers.Rotator, attempt int) (finished bool, err error) {
	failed := func(err error) (bool, error) {
		w.act.Code = heldCode(w)
		if w.sent != nil {
			return r.hold(ctx, w, "the revocation was sent, and then the rotation failed: "+err.Error(), "admin of the store's [[instance]] in the policy, then quell apply with the same plan: it rotates and proves the death", "")
		}
		return r.hold(ctx, w, "the rotation failed, so nothing was revoked: "+err.Error(), "[instance.rotate] in the policy: correct or remove it, then quell plan", "")
	}
	if h := r.stop(ctx); h != nil {
		return r.hold(ctx, w, h.Reason, h.Remedy, "")
	}
	mark, err := rot.Mark(ctx, w.target, s)
	if err != nil {
		return failed(err)
	}
	before := verdictEntry(w.verdict)
	i := ledger.Intent{
		Action: "rotate", Host: w.target.Host(), Instance: w.target.URL(), Requests: requestsOf(s.Effect), Fence: w.fence,
		Before: &before, Step: s.Name, Mark: mark, Attempt: attempt, With: store(w),
	}
	if w.target.Seen != nil {
		i.Learned = w.target.Seen.Learned
	}
	if h := r.reserve(ctx, w); h != nil {
		return r.hold(ctx, w, h.Reason, h.Remedy, "")
	}
	if err := r.record(ctx, w, i); err != nil {
		return true, err
	}
	r.mu.Lock()
	r.kills[w.it.Fingerprint] = true
	r.mu.Unlock()
	r.progress("rotating %s %s: %s", short(w.it.Fingerprint), w.it.Rule, s.Name)
	if err := rot.Do(ctx, w.target, s, &w.fresh); err != nil {
		state, err2 := rot.Did(context.WithoutCancel(ctx), w.target, s, mark)
		if err2 != nil || state != revokers.Done {
			if errors.Is(err, revokers.ErrRefused) && err2 == nil && state == revokers.NotDone {
				r.persist(ctx, r.entry(w, ledger.Receipt{Action: "rotate", Step: s.Name, Detail: err.Error(), At: time.Now().UTC()}))
			}
			return failed(err)
		}
	}
	r.rotated(ctx, w, s, w.note(s))
	return false, nil
}

// note is a step's note with what the step found.
func (w *item) note(s revokers.Step) string {
	out := s.Note
	for k, v := range w.target.Captures {
		out = strings.ReplaceAll(out, "{"+k+"}", v)
	}
	return strings.ReplaceAll(out, "{"+postgres.CaptureEnded+"}", "not known after a crash")
}

// where is the place of the rotation that a report shows: that of the first step,
// where consumers find the new value.
func where(w *item, s revokers.Step) string {
	if w.act.Rotation != nil && w.act.Rotation.Where != "" && (!s.Needs || s.Where == "") {
		return w.act.Rotation.Where
	}
	return s.Where
}

func (r *applying) rotated(ctx context.Context, w *item, s revokers.Step, detail string) {
	now := time.Now().UTC()
	said := detail
	if w.act.Rotation != nil && w.act.Rotation.Detail != "" {
		said = w.act.Rotation.Detail
		if detail != "" {
			said += "; " + detail
		}
	}
	rotation := &report.Rotation{Where: where(w, s), Detail: said, At: now}
	if w.act.Rotation != nil {
		rotation.Replacement = w.act.Rotation.Replacement
	}
	w.act.Rotation = rotation
	if s.Ends {
		r.endedBy(w, now)
	}
	r.persist(ctx, r.entry(w, ledger.Rotation{Where: s.Where, Detail: detail, Step: s.Name, Ends: s.Ends, At: now}))
}

// endedBy notes that a step was sent that ends a credential which has no revocation
// of its own.
func (r *applying) endedBy(w *item, at time.Time) {
	if w.revoke == nil && w.sent == nil {
		w.sent = &revokers.Acknowledgement{Accepted: true, Detail: "rotated", At: at}
	}
}

// tried holds an item whose replacement is refused: the old value is not ended while
// consumers have no other. A question that is not answered holds nothing.
func (r *applying) tried(ctx context.Context, w *item) (finished bool, err error) {
	v, ok := r.replacement(ctx, w)
	if !ok || v.Liveness != revokers.Dead {
		return false, nil
	}
	w.act.Code = heldCode(w)
	return r.hold(ctx, w, "the replacement is not accepted, so nothing was revoked: "+v.Detail, "quell apply with the same plan, after the value is corrected where consumers read it", "")
}

// replacement asks the issuer about the new value. ok is false if there is none that
// can be read.
func (r *applying) replacement(ctx context.Context, w *item) (v revokers.Verdict, ok bool) {
	if w.it.Action != plan.ActRotate && w.it.Action != plan.ActRotateRevoke || !w.target.Rule.Probed() {
		return v, false
	}
	if w.fresh.IsZero() {
		if err := r.readAgain(ctx, w); err != nil || w.fresh.IsZero() {
			return v, false
		}
	}
	t := w.target
	t.Secret, t.Seen, t.Captures = w.fresh, nil, nil
	if with := t.Instance.Rotate; with != nil && with.Other != "" {
		// The new password is another user's.
		i := *t.Instance
		i.Settings = maps.Clone(i.Settings)
		i.Settings["user"] = with.OtherUser
		t.Instance = &i
	}
	v, _ = r.Checker.At(ctx, &t)
	return v, true
}

// finish asks about the replacement and, if the old value is dead, takes the last
// steps. Without a live replacement they are left out, and the detail reports it:
// an old version may be needed to go back.
func (r *applying) finish(ctx context.Context, w *item, dead bool) (detail string) {
	v, ok := r.replacement(ctx, w)
	if ok && w.act.Rotation != nil {
		w.act.Rotation.Replacement = v.Liveness.String()
	}
	after := w.after()
	switch {
	case len(after) == 0:
		return ""
	case !dead:
		return "old versions were kept, since the old value is not proven dead"
	case ok && v.Liveness != revokers.Live:
		return "old versions were kept, since the replacement is not known to be live"
	}
	if finished, err := r.rotate(ctx, w, after); err != nil || finished {
		return "what the old value left was not removed: " + w.act.Held
	}
	return ""
}
