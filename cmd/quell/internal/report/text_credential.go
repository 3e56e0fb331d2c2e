package report

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

const (
	maxPlaces = 5 // of one credential that are listed
	indent    = 10
)

// state is the first word of an entry, and its colour.
func (e entry) state() (string, colour) {
	switch {
	case e.partial:
		return "partial", plain
	case e.asked:
		s := strings.ToUpper(e.verdict.Liveness.String())
		if e.verdict.Reason != "" {
			s += " (" + string(e.verdict.Reason) + ")"
		}
		switch {
		case e.verdict.Liveness == revokers.Live:
			return s, red
		case e.suspect():
			return s, yellow
		}
		return s, plain
	case e.Offline.State == rules.OfflineExpired && e.Renewable:
		return "renewable", yellow
	case e.Offline.State == rules.OfflineExpired:
		return "expired", plain
	case e.suspect():
		return "not asked", yellow
	}
	return "not asked", plain
}

// group is how a sum names the state of its entries.
func (e entry) group() string {
	switch s, _ := e.state(); {
	case s == "not asked":
		return "not checked"
	case e.asked:
		return e.verdict.Liveness.String() + " (" + string(e.verdict.Reason) + ")"
	default:
		return s
	}
}

// line prints one line of details, wrapped.
func (t *text) line(s string) {
	fmt.Fprintf(t.w, "%*s%s\n", indent, "", t.wrap(indent, indent+2, s))
}

// step prints what the operator does next.
func (t *text) step(s string) {
	const label = "next:"
	wrapped := t.wrap(indent, indent+2, label+" "+Clean(s))
	fmt.Fprintf(t.w, "%*s%s%s\n", indent, "", t.paint(bold, label), wrapped[len(label):])
}

func (t *text) credential(e entry, id string) {
	state, c := e.state()
	head := fmt.Sprintf("  %s  %s  %s", id, e.Kind, e.Rule)
	fmt.Fprintf(t.w, "%s%s\n", t.paint(c, fmt.Sprintf("%-9s", state)), t.wrap(max(9, len(state)), indent, head))
	if e.partial {
		t.line(fmt.Sprintf("masked in part, so nothing can be asked about it · %s · confidence %s", Clean(e.Redacted), e.Confidence))
		t.line("at " + Clean(Place(e.Locations[0])))
		fmt.Fprintln(t.w)
		return
	}
	if s := e.Secret; s != "" {
		t.line("value " + Clean(s))
	}
	facts := []string{"confidence " + e.Confidence.String()}
	if e.Cookie != "" {
		facts = append(facts, "cookie "+Clean(e.Cookie))
	}
	v := e.verdict
	if v.Host != "" {
		facts = append(facts, "asked "+v.Host)
	}
	if t.Show.All {
		facts = append(facts, Clean(e.Redacted), "fingerprint "+e.Fingerprint)
	}
	t.line(strings.Join(facts, " · "))
	if len(v.Identity) > 0 {
		t.line(Clean(pairs(v.Identity)))
	}
	if exp := cmp.Or(v.Expires, e.Offline.Expires); exp != nil {
		t.line("expires " + exp.Format(time.RFC3339))
	}
	if f := e.Token; f != nil && (f.Issuer != "" || f.Type != "") {
		what := cmp.Or(f.Type, "token")
		if f.Issuer != "" {
			what += " of " + f.Issuer
		}
		t.line("claims: " + Clean(what))
		if f.Kill != "" {
			t.line("ended by: " + f.Kill)
		}
	}
	if e.Group != "" && e.Group != e.Fingerprint {
		s := fmt.Sprintf("%s of the session of %s", e.Role, short(e.Group))
		if e.Renewable {
			s += ", whose refresh token makes new ones"
		}
		t.line(s)
	}
	if e.asked && v.Liveness == revokers.Unknown && v.Detail != "" {
		t.line(Clean(v.Detail))
	}
	t.places(e)
	if e.asked && v.Remedy != "" {
		t.step(v.Remedy)
	}
	fmt.Fprintln(t.w)
}

func (t *text) places(e entry) {
	for i, l := range e.Locations {
		s := "at " + Clean(Place(l))
		if i < len(e.Inside) && len(e.Inside[i]) > 0 {
			s += " · inside " + strings.Join(e.Inside[i], ", ")
		}
		t.line(s)
	}
	if n := int64(e.Findings - len(e.Locations)); n > 0 {
		t.line(fmt.Sprintf("and at %s more", Count(n, "place")))
	}
}

var layerDigest = regexp.MustCompile(`sha256:([0-9a-f]{12})[0-9a-f]{52}`)

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
	for _, k := range []string{"repository", "author", "date", "refs", "in_head", "kept_by", "also", "row", "field", "mask", "deleted", "overwritten", "created_by"} {
		if v := l.Notes[k]; v != "" {
			if k == "deleted" || k == "overwritten" {
				v = layerDigest.ReplaceAllString(v, "$1") // as the layer's own is written
			}
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
