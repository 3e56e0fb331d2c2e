// Package history writes the entries of an incident for people.
package history

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers/prove"
)

// Age is a time span in the unit that a person would use: "2.0 s", "5 min", "3 days".
func Age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return report.Count(int64(d.Hours()/24), "day")
}

// plain writes the JSON objects that an issuer's answer quotes as pairs of words.
func plain(s string) string {
	i := strings.IndexByte(s, '{')
	if i < 0 {
		return s
	}
	var m map[string]any
	d := json.NewDecoder(strings.NewReader(s[i:]))
	if d.Decode(&m) != nil {
		return s
	}
	var out []string
	var walk func(name string, v any)
	walk = func(name string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				walk(strings.TrimPrefix(name+"."+k, "."), v[k])
			}
		case []any:
			for _, x := range v {
				walk(name, x)
			}
		case nil:
		default:
			out = append(out, fmt.Sprintf("%s %v", name, v))
		}
	}
	walk("", m)
	return s[:i] + strings.Join(out, ", ") + plain(s[i+int(d.InputOffset()):])
}

// Lines returns the lines that an entry is shown as.
func Lines(e ledger.Entry) []string {
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
		s := b.Reason
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
		return []string{"the issuer did not accept: " + plain(b.Detail)}
	case ledger.Rotation:
		return []string{b.Where + ": " + b.Detail}
	case ledger.Observation:
		return looks(b)
	case ledger.Derived:
		return []string{fmt.Sprintf("%s %s of the same session or user is %s (%s)", b.Kind, b.Redacted, b.Liveness, b.Reason)}
	case ledger.Outcome:
		s := fmt.Sprintf("%s after %.1f s: %s; %s", b.Outcome, b.Seconds, plain(b.Detail), control(string(b.Control)))
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
		return []string{fmt.Sprintf("%s: %s %s", b.What, b.Outcome, plain(b.Detail))}
	case ledger.Approval:
		return []string{b.Text()}
	case ledger.Restore:
		return []string{fmt.Sprintf("%s %s", b.Outcome, plain(b.Detail))}
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

// control describes the positive control of a proof.
func control(s string) string {
	if s = strings.ReplaceAll(s, "_", " "); s == "" || s == prove.NoControl {
		return prove.NoControl
	}
	return "positive control: " + s
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
