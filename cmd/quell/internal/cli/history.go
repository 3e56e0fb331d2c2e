package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/report"
)

// History prints one incident, an entry a line.
func History(w io.Writer, entries []ledger.Entry) {
	if len(entries) == 0 {
		return
	}
	start := entries[0].At
	fmt.Fprintf(w, "incident %s, begun %s\n", entries[0].Incident, start.Format(time.RFC3339))
	for _, e := range entries {
		for _, line := range describe(e) {
			fmt.Fprintf(w, "%+9.1fs  %-11s %s\n", e.At.Sub(start).Seconds(), e.Type(), report.Clean(line))
		}
	}
}

// describe returns the lines that an entry is shown as.
func describe(e ledger.Entry) []string {
	switch b := e.Body.(type) {
	case ledger.Found:
		var out []string
		for _, x := range b.Exposures {
			out = append(out, "at "+report.Place(x))
		}
		return out
	case ledger.Verdict:
		return []string{fmt.Sprintf("%s says %s (%s)", b.Host, b.Liveness, b.Reason)}
	case ledger.Held:
		s := b.Why
		if b.Remedy != "" {
			s += "; next: " + b.Remedy
		}
		return []string{s}
	case ledger.Intent:
		s := fmt.Sprintf("%s by %s", b.Action, e.Actor)
		for _, r := range b.Requests {
			s += ": " + r.Method + " " + r.URL
		}
		return []string{s}
	case ledger.Receipt:
		if b.Accepted {
			return []string{fmt.Sprintf("the issuer accepted (%d), which is a claim", b.Status)}
		}
		return []string{"the issuer did not accept: " + b.Detail}
	case ledger.Rotation:
		return []string{b.Where + ": " + b.Detail}
	case ledger.Observation:
		return looks(b)
	case ledger.Derived:
		return []string{fmt.Sprintf("%s %s of the same subject is %s (%s)", b.Kind, b.Redacted, b.Liveness, b.Reason)}
	case ledger.Outcome:
		s := fmt.Sprintf("%s after %.1f s: %s; positive control: %s", b.Outcome, b.Seconds, b.Detail, b.Control)
		if b.Looks > 0 {
			s += fmt.Sprintf("; %d looks", b.Looks)
		}
		return []string{s}
	case ledger.Override:
		if len(b.Accepts) > 0 {
			return []string{fmt.Sprintf("%s accepts %d differences of the ledger: %s", e.Actor, len(b.Accepts), b.Reason)}
		}
		return []string{"break-glass by " + e.Actor + ": " + b.Reason}
	case ledger.Key:
		s := "installation key " + b.PublicKey
		if b.Reason != "" {
			s += ", admitted by " + e.Actor + ": " + b.Reason
		}
		return []string{s}
	case ledger.Deletion:
		return []string{fmt.Sprintf("%s: %s %s", b.What, b.Outcome, b.Detail)}
	case ledger.Restore:
		return []string{fmt.Sprintf("%s %s", b.Outcome, b.Detail)}
	case ledger.Notice:
		s := b.Message
		if b.To != "" {
			s += ", to " + b.To
		}
		if b.Until != nil {
			s += "; apply sends from " + b.Until.Format(time.RFC3339)
		}
		return []string{s}
	}
	return []string{"an entry of a type that this quell does not know"}
}

// looks lists the looks of a proof, equal ones in one line.
func looks(o ledger.Observation) []string {
	var out []string
	same := 0
	for i, l := range o.Observations {
		control := ""
		if l.Control != nil {
			control = ", the control was " + l.Control.Liveness.String()
		}
		line := fmt.Sprintf("%s (%s)%s", l.Verdict.Liveness, l.Verdict.Reason, control)
		same++
		if i+1 < len(o.Observations) {
			next := o.Observations[i+1]
			if next.Verdict.Liveness == l.Verdict.Liveness && next.Verdict.Reason == l.Verdict.Reason && (next.Control == nil) == (l.Control == nil) && (next.Control == nil || next.Control.Liveness == l.Control.Liveness) {
				continue
			}
		}
		what := "1 look"
		if same > 1 {
			what = fmt.Sprintf("%d looks", same)
		}
		out = append(out, fmt.Sprintf("%s until %.1f s after: %s", what, l.After.Seconds(), line))
		same = 0
	}
	return out
}
