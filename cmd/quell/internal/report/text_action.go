package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quellhq/quell/revokers/prove"
)

// act prints an action at once, unless it is held: held ones come last, by reason.
func (t *text) act(a Action) {
	if !t.acted {
		t.flush()
		t.acted = true
	}
	if a.Held != "" && a.Receipt == nil && len(t.held) < maxKept {
		t.held = append(t.held, a)
		return
	}
	if a.Outcome == "" && a.Action == "none" {
		t.none++
	}
	t.action(a)
}

// flushHeld prints the held items, those with one reason and remedy together.
func (t *text) flushHeld() {
	for len(t.held) > 0 {
		first := t.held[0]
		var same, rest []Action
		for _, a := range t.held {
			if a.Held == first.Held && a.Remedy == first.Remedy && a.Detail == first.Detail {
				same = append(same, a)
			} else {
				rest = append(rest, a)
			}
		}
		t.held = rest
		for i, a := range same {
			if i == fewOthers && !t.Show.All {
				n := int64(len(same) - i)
				t.line(fmt.Sprintf("and %s more %s for the same reason (--show all lists %s)", Number(n), Plural(n, "item"), itThem(n)))
				break
			}
			t.actionHead(a)
		}
		t.labelled("held", first.Held)
		t.labelled("because", first.Detail)
		t.nextStep(first)
		fmt.Fprintln(t.w)
	}
}

// outcomeColour is the colour of an action's first word.
func outcomeColour(a Action) colour {
	switch a.Outcome {
	case prove.Confirmed, prove.AlreadyDead:
		return green
	case prove.StillAlive, prove.Unconfirmed:
		return red
	case prove.UntilExpiry, prove.Held:
		return yellow
	}
	switch a.Action {
	case "held", "until_expiry":
		return yellow
	case "none":
		return plain
	}
	return bold
}

func (t *text) actionHead(a Action) {
	what := strings.ReplaceAll(a.Action, "_", " ")
	switch {
	case a.Outcome != "":
		what = string(a.Outcome)
	case a.Action == "none":
		what = "dead"
	}
	what = fmt.Sprintf("%-11s", strings.ToUpper(what))
	s := "  "
	if a.Item > 0 {
		s += fmt.Sprintf("%d  ", a.Item)
	}
	s += fmt.Sprintf("%s  %s  %s", short(a.Fingerprint), a.Kind, a.Rule)
	if a.Host != "" {
		s += "  at " + a.Host
	}
	fmt.Fprintf(t.w, "%s%s\n", t.paint(outcomeColour(a), what), t.wrap(max(11, len(what)), indent, s))
}

func (t *text) labelled(label, s string) {
	if s != "" {
		t.line(label + ": " + Clean(s))
	}
}

// nextStep is what the operator does about an outcome that is not Confirmed.
func (t *text) nextStep(a Action) {
	if a.Outcome != prove.Confirmed && a.Remedy != "" {
		t.step(a.Remedy)
	}
}

func (t *text) action(a Action) {
	t.actionHead(a)
	if a.Before != nil {
		t.line("done before: " + a.Before.Local().Format("2006-01-02 15:04:05 MST") + "; nothing was sent now")
	}
	t.labelled("held", a.Held)
	if a.Tier != "" {
		t.labelled("tier", fmt.Sprintf("%s, ends %s, %s", a.Tier, a.Scope, map[bool]string{true: "reversible", false: "irreversible"}[a.Reversible]))
	}
	t.labelled("collateral", a.Collateral)
	t.labelled("not provable", a.Unprovable)
	for _, r := range a.Requests {
		t.labelled("request", r.Method+" "+r.URL)
		for _, k := range slices.Sorted(keys(r.Header)) {
			t.labelled("  header", k+": "+r.Header[k])
		}
		if len(r.Body) > 0 {
			t.labelled("  body", string(r.Body))
		}
	}
	for _, where := range a.Managed {
		t.labelled("kept in", where)
	}
	for line := range strings.Lines(a.Least) {
		t.labelled("least", strings.TrimRight(line, "\n"))
	}
	if a.Rotation != nil {
		t.labelled("rotated", a.Rotation.Where+" ("+a.Rotation.Detail+")")
	}
	if a.Receipt != nil {
		said := "refused"
		if a.Receipt.Accepted {
			said = "accepted"
		}
		if a.Receipt.Status != 0 {
			said += fmt.Sprintf(" (%d)", a.Receipt.Status)
		}
		t.labelled("issuer's claim", strings.TrimSpace(said+" "+a.Receipt.Detail))
	}
	if a.Outcome == "" { // a plan, which proves nothing
		t.labelled("why", a.Detail)
	} else {
		t.labelled("proof", a.Detail)
	}
	if a.Outcome == prove.Confirmed {
		t.labelled("positive control", strings.ReplaceAll(a.Control, "_", " "))
		t.labelled("looks", fmt.Sprintf("%d; chance that a stale replica of ten was missed: %.1f %%", a.Looks, 100*a.ReplicaRisk))
	}
	if a.Seconds > 0 && a.Before == nil {
		t.labelled("took", fmt.Sprintf("%.1f s from the kill to the end of the proof", a.Seconds))
	}
	for _, d := range a.Derived {
		t.labelled("also", fmt.Sprintf("%s %s of the same session or user: %s (%s)", d.Kind, short(d.Fingerprint), d.Liveness, d.Reason))
	}
	t.nextStep(a)
	fmt.Fprintln(t.w)
	// An apply takes minutes: each result is seen when it is known.
	_ = t.w.Flush()
}

func keys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
