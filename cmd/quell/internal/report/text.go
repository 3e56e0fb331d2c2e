package report

import (
	"bufio"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
)

// text is for people.
type text struct {
	w       *bufio.Writer
	cred    *Credential // the last one, whose verdict may follow
	verdict *Verdict
}

func (t *text) Emit(e Event) error {
	switch e := e.(type) {
	case Finding:
		if e.Partial {
			fmt.Fprintf(t.w, "%-8s %s  %s  %s\n         masked in part, so nothing can be asked about it · confidence %s\n         at %s\n\n",
				"partial", e.Kind, e.Rule, Clean(e.Redacted), e.Confidence, Clean(Place(e.Location)))
		}
	case Credential:
		t.flush()
		t.cred = &e
	case Verdict:
		// Several instances can have been asked: Live counts, then Dead.
		if v := t.verdict; v == nil || v.Fingerprint != e.Fingerprint || v.Liveness == revokers.Unknown || e.Liveness == revokers.Live {
			t.verdict = &e
		}
	case Action:
		t.flush()
		t.action(e)
	case Notice:
		t.flush()
		mark := "notice"
		if e.Incomplete {
			mark = "not read"
		}
		fmt.Fprintf(t.w, "%s: %s\n", mark, Clean(e.Message))
	case Summary:
		t.flush()
		t.summary(e)
	}
	return nil
}

// flush writes the last credential with its verdict.
func (t *text) flush() {
	if t.cred == nil {
		return
	}
	c, v, asked := *t.cred, Verdict{}, t.verdict != nil && t.verdict.Fingerprint == t.cred.Fingerprint
	if asked {
		v = *t.verdict
	}
	t.cred, t.verdict = nil, nil
	state := "not asked"
	if asked {
		state = strings.ToUpper(v.Liveness.String())
		if v.Reason != "" {
			state += " (" + string(v.Reason) + ")"
		}
	} else if c.Offline.State == rules.OfflineExpired {
		state = "expired"
		if c.Renewable {
			state = "renewable"
		}
	}
	fmt.Fprintf(t.w, "%-8s %s  %s  %s\n", state, c.Kind, c.Rule, Clean(c.Redacted))
	if s := c.Secret; s != "" {
		fmt.Fprintf(t.w, "         value %s\n", Clean(s))
	}
	fmt.Fprintf(t.w, "         %s · confidence %s", c.Fingerprint, c.Confidence)
	if c.Cookie != "" {
		fmt.Fprintf(t.w, " · cookie %s", Clean(c.Cookie))
	}
	if v.Host != "" {
		fmt.Fprintf(t.w, " · asked %s", v.Host)
	}
	fmt.Fprintln(t.w)
	if len(v.Identity) > 0 {
		fmt.Fprintf(t.w, "         %s\n", Clean(pairs(v.Identity)))
	}
	if exp := cmp.Or(v.Expires, c.Offline.Expires); exp != nil {
		fmt.Fprintf(t.w, "         expires %s\n", exp.Format(time.RFC3339))
	}
	if f := c.Token; f != nil && (f.Issuer != "" || f.Type != "") {
		what := cmp.Or(f.Type, "token")
		if f.Issuer != "" {
			what += " of " + f.Issuer
		}
		fmt.Fprintf(t.w, "         claims: %s\n", Clean(what))
		if f.Kill != "" {
			fmt.Fprintf(t.w, "         ended by: %s\n", f.Kill)
		}
	}
	if c.Group != "" && c.Group != c.Fingerprint {
		fmt.Fprintf(t.w, "         %s of the session of %s", c.Role, c.Group)
		if c.Renewable {
			fmt.Fprint(t.w, ", whose refresh token makes new ones")
		}
		fmt.Fprintln(t.w)
	}
	if asked && v.Liveness == revokers.Unknown && v.Detail != "" {
		fmt.Fprintf(t.w, "         %s\n", Clean(v.Detail))
	}
	if asked && v.Remedy != "" {
		fmt.Fprintf(t.w, "         next: %s\n", Clean(v.Remedy))
	}
	for i, l := range c.Locations {
		if i == 5 {
			fmt.Fprintf(t.w, "         … and %d places more\n", max(c.Findings, len(c.Locations))-i)
			break
		}
		fmt.Fprintf(t.w, "         at %s", Clean(Place(l)))
		if i < len(c.Inside) && len(c.Inside[i]) > 0 {
			fmt.Fprintf(t.w, " · inside %s", strings.Join(c.Inside[i], ", "))
		}
		fmt.Fprintln(t.w)
	}
	fmt.Fprintln(t.w)
}

// Place writes a location on one line.
func Place(l rules.Location) string {
	var b strings.Builder
	if l.Path != "" {
		b.WriteString(l.Path)
	} else {
		b.WriteString(l.Artifact)
	}
	fmt.Fprintf(&b, ":%d:%d", l.Line, l.Column)
	if l.Commit != "" {
		fmt.Fprintf(&b, " commit %s", l.Commit[:min(12, len(l.Commit))])
	}
	if l.Layer != "" {
		fmt.Fprintf(&b, " layer %s", strings.TrimPrefix(l.Layer, "sha256:")[:min(12, len(strings.TrimPrefix(l.Layer, "sha256:")))])
	}
	if l.Step != "" {
		fmt.Fprintf(&b, " step %q", l.Step)
	}
	if l.Group != "" {
		fmt.Fprintf(&b, " group %q", l.Group)
	}
	for _, k := range []string{"repository", "author", "date", "refs", "in_head", "kept_by", "also", "row", "field", "deleted", "overwritten", "created_by"} {
		if v := l.Notes[k]; v != "" {
			fmt.Fprintf(&b, " · %s %s", strings.ReplaceAll(k, "_", " "), v)
		}
	}
	return b.String()
}

func pairs(m map[string]string) string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = k + " " + m[k]
	}
	return strings.Join(out, " · ")
}

func (t *text) action(a Action) {
	what := a.Action
	if a.Outcome != "" {
		what = string(a.Outcome)
	}
	fmt.Fprintf(t.w, "%-12s %s  %s  %s", strings.ToUpper(what), a.Kind, a.Rule, Clean(a.Redacted))
	if a.Host != "" {
		fmt.Fprintf(t.w, "  at %s", a.Host)
	}
	fmt.Fprintf(t.w, "\n             %s", a.Fingerprint)
	if a.Item > 0 {
		fmt.Fprintf(t.w, "  (item %d)", a.Item)
	}
	fmt.Fprintln(t.w)
	line := func(label, s string) {
		if s != "" {
			fmt.Fprintf(t.w, "             %s: %s\n", label, Clean(s))
		}
	}
	line("held", a.Held)
	if a.Tier != "" {
		line("tier", fmt.Sprintf("%s, ends %s, %s", a.Tier, a.Scope, map[bool]string{true: "reversible", false: "irreversible"}[a.Reversible]))
	}
	line("collateral", a.Collateral)
	line("not provable", a.Unprovable)
	for _, r := range a.Requests {
		line("request", r.Method+" "+r.URL)
		for _, k := range slices.Sorted(keys(r.Header)) {
			line("  header", k+": "+r.Header[k])
		}
		if len(r.Body) > 0 {
			line("  body", string(r.Body))
		}
	}
	if a.Rotation != nil {
		line("rotated", a.Rotation.Where+" ("+a.Rotation.Detail+")")
	}
	if a.Receipt != nil {
		said := "refused"
		if a.Receipt.Accepted {
			said = "accepted"
		}
		if a.Receipt.Status != 0 {
			said += fmt.Sprintf(" (%d)", a.Receipt.Status)
		}
		line("issuer's claim", strings.TrimSpace(said+" "+a.Receipt.Detail))
	}
	line("proof", a.Detail)
	if a.Outcome == prove.Confirmed {
		line("positive control", a.Control)
		line("looks", fmt.Sprintf("%d; chance that a stale replica of ten was missed: %.1f %%", a.Looks, 100*a.ReplicaRisk))
	}
	if a.Seconds > 0 {
		line("took", fmt.Sprintf("%.1f s from the kill to the end of the proof", a.Seconds))
	}
	for _, d := range a.Derived {
		line("also", fmt.Sprintf("%s %s of the same subject: %s (%s)", d.Kind, d.Redacted, d.Liveness, d.Reason))
	}
	if a.Outcome != prove.Confirmed && a.Outcome != prove.AlreadyDead {
		line("next", a.Remedy)
	}
	fmt.Fprintln(t.w)
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

func (t *text) summary(s Summary) {
	if s.Artifacts > 0 {
		fmt.Fprintf(t.w, "%d artifacts, %s read in %.1f s\n", s.Artifacts, size(s.Bytes), s.Seconds)
	}
	if len(s.Outcomes) > 0 {
		var parts []string
		for _, o := range []prove.Outcome{prove.Confirmed, prove.AlreadyDead, prove.StillAlive, prove.Unconfirmed, prove.UntilExpiry, prove.Held} {
			if n := s.Outcomes[o]; n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", n, o))
			}
		}
		fmt.Fprintf(t.w, "%s\n", strings.Join(parts, ", "))
	} else {
		fmt.Fprintf(t.w, "%d credentials in %d places: %d live, %d dead, %d unknown\n", s.Credentials, s.Findings, s.Live, s.Dead, s.Unknown)
	}
	if s.Unanswered > 0 {
		fmt.Fprintf(t.w, "UNANSWERED: %d credentials could not be judged; this is not a clean result\n", s.Unanswered)
	}
	if s.Hidden > 0 {
		fmt.Fprintf(t.w, "%d findings of lower confidence are not shown (--confidence low)\n", s.Hidden)
	}
	if s.Suppressed > 0 {
		fmt.Fprintf(t.w, "%d findings are suppressed by their path: vendored code, lock files, binaries\n", s.Suppressed)
	}
	if s.Allowed > 0 {
		fmt.Fprintf(t.w, "%d findings are suppressed by markers in the text or by the allow-list\n", s.Allowed)
	}
	if s.Incomplete > 0 {
		fmt.Fprintf(t.w, "INCOMPLETE: %d things could not be read; this is not a clean result\n", s.Incomplete)
	}
}

func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d bytes", n)
}

// Clean makes a stranger's text safe for a terminal and a log: control
// characters, line breaks and bidirectional overrides become escapes.
func Clean(s string) string {
	if !strings.ContainsFunc(s, unsafeRune) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unsafeRune(r) {
			fmt.Fprintf(&b, "\\u%04x", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func unsafeRune(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' || r == unicode.ReplacementChar
}

func (t *text) Close() error {
	t.flush()
	return t.w.Flush()
}
