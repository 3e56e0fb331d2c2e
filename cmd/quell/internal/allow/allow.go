// Package allow reads the reviewed list of accepted findings, which are not secrets, and of
// accepted gaps in reading. Each entry has a reason and an expiry date. It also reads what
// other scanners keep for that: .gitleaksignore, and baselines of gitleaks, betterleaks and
// detect-secrets, which have neither.
package allow

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/pelletier/go-toml/v2"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

// List is the file. Its zero value accepts nothing.
type List struct {
	Version int       `toml:"version"`
	Finding []Finding `toml:"finding,omitempty"`
	Gap     []Gap     `toml:"gap,omitempty"`
	Places  []Place   `toml:"-"` // of another scanner's file
}

// Finding accepts findings that match all its fields. Path is a glob over the finding's path as
// in reports, with ** for any number of folders.
type Finding struct {
	Fingerprint string         `toml:"fingerprint,omitempty"`
	Rule        string         `toml:"rule,omitempty"`
	Path        string         `toml:"path,omitempty"`
	Reason      string         `toml:"reason"`
	Expires     toml.LocalDate `toml:"expires"`
}

// Gap accepts one kind of gap. It has no path and no message, because the scanned tree controls
// these.
type Gap struct {
	// Kind is one of scanners.GapKinds, or a reason of an unanswered verdict.
	Kind string `toml:"kind"`
	// Provider limits the reason of a verdict to one issuer.
	Provider string         `toml:"provider,omitempty"`
	Reason   string         `toml:"reason"`
	Expires  toml.LocalDate `toml:"expires"`
	// Message is from before kinds existed: Parse returns an error that describes the
	// conversion.
	Message string `toml:"message,omitempty"`
}

// MaxBytes is the maximum size of the file.
const MaxBytes = 1 << 20

// maxBaseline is the maximum size of another scanner's file.
const maxBaseline = 64 << 20

// Load reads a file.
func Load(path string) (*List, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("allow: %w", err)
	}
	return Parse(path, b)
}

// Parse reads a list, of quell's form or another scanner's. An entry with too few conditions is an error, because it would hide every
// finding.
func Parse(name string, b []byte) (*List, error) {
	if len(b) > maxBaseline {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, maxBaseline)
	}
	if list, ok, err := foreign(b); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	} else if ok {
		return &List{Version: 1, Places: list}, nil
	}
	if len(b) > MaxBytes {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, MaxBytes)
	}
	l := &List{}
	if err := config.ReadTOML(name, b, l); err != nil {
		return nil, err
	}
	if l.Version == 0 {
		return nil, fmt.Errorf("%s: the version is missing (hint: begin the file with version = 1)", name)
	}
	if l.Version != 1 {
		return nil, fmt.Errorf("%s: version %d is not 1, the only one that this quell knows", name, l.Version)
	}
	for k, f := range l.Finding {
		what := fmt.Sprintf("%s: finding %d", name, k+1)
		if f.Fingerprint == "" && f.Path == "" {
			return nil, fmt.Errorf("%s names neither a fingerprint nor a path: it would hide a whole kind", what)
		}
		if !doublestar.ValidatePattern(f.Path) {
			return nil, fmt.Errorf("%s: path %q is no glob", what, f.Path)
		}
		if f.Fingerprint == "" && strings.Trim(f.Path, "*/.?") == "" {
			return nil, fmt.Errorf("%s: path %q fits everything", what, f.Path)
		}
		if err := signed(what, f.Reason, f.Expires); err != nil {
			return nil, err
		}
	}
	for k, g := range l.Gap {
		what := fmt.Sprintf("%s: gap %d", name, k+1)
		reason := revokers.Reason(g.Kind).Unanswered()
		switch {
		case g.Message != "":
			return nil, fmt.Errorf("%s: messages are not matched any more: replace message by kind, which a notice of --format jsonl names (for large files that were not fetched, kind = %q)", what, scanners.GapNotFetched)
		case !reason && !slices.Contains(scanners.GapKinds(), g.Kind):
			return nil, fmt.Errorf("%s: kind %q is none of %s", what, g.Kind, strings.Join(kinds(), ", "))
		case g.Provider != "" && !reason:
			return nil, fmt.Errorf("%s: kind %s belongs to no provider", what, g.Kind)
		}
		if err := signed(what, g.Reason, g.Expires); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// kinds lists the valid kinds of gaps.
func kinds() []string {
	out := scanners.GapKinds()
	for _, r := range revokers.Unanswered() {
		out = append(out, string(r))
	}
	return out
}

func signed(what, reason string, expires toml.LocalDate) error {
	if strings.TrimSpace(reason) == "" {
		return fmt.Errorf("%s gives no reason", what)
	}
	if expires == (toml.LocalDate{}) {
		return fmt.Errorf("%s does not say when it expires", what)
	}
	return nil
}

// ended reports whether an entry's last day is over in all time zones.
func ended(d toml.LocalDate, now time.Time) bool {
	return now.After(d.AsTime(time.UTC).Add(36 * time.Hour))
}

// Accepts reports whether a finding is accepted.
func (l *List) Accepts(f rules.Finding, fingerprint string, now time.Time) bool {
	if l == nil {
		return false
	}
	for _, a := range l.Finding {
		if ended(a.Expires, now) || a.Fingerprint != "" && a.Fingerprint != fingerprint || a.Rule != "" && a.Rule != f.Rule {
			continue
		}
		if a.Path != "" {
			if ok, err := doublestar.Match(a.Path, report.Name(f.Location.Path)); err != nil || !ok {
				continue
			}
		}
		return true
	}
	return l.listed(f)
}

// AcceptsKind reports whether the list accepts a kind of gap, or a reason of an unanswered
// verdict about a provider's credential, and returns the entry's reason.
func (l *List) AcceptsKind(kind, provider string, now time.Time) (reason string, ok bool) {
	if l == nil {
		return "", false
	}
	for _, g := range l.Gap {
		if !ended(g.Expires, now) && g.Kind == kind && (g.Provider == "" || g.Provider == provider) {
			return g.Reason, true
		}
	}
	return "", false
}

// Expired lists the reasons of expired entries.
func (l *List) Expired(now time.Time) (out []string) {
	if l == nil {
		return nil
	}
	for _, f := range l.Finding {
		if ended(f.Expires, now) {
			out = append(out, f.Reason)
		}
	}
	for _, g := range l.Gap {
		if ended(g.Expires, now) {
			out = append(out, g.Reason)
		}
	}
	return out
}
