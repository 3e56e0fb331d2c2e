// Package allow reads the reviewed file of what is accepted: findings that are no
// secrets, and parts of a source that can't be read. Each entry says why, and ends.
package allow

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/pelletier/go-toml/v2"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/rules"
)

// List is the file. Its zero value accepts nothing.
type List struct {
	Version int       `toml:"version"`
	Finding []Finding `toml:"finding,omitempty"`
	Gap     []Gap     `toml:"gap,omitempty"`
}

// Finding accepts what fits all that it names. Path is a glob over the finding's path,
// ** for any number of folders.
type Finding struct {
	Fingerprint string         `toml:"fingerprint,omitempty"`
	Rule        string         `toml:"rule,omitempty"`
	Path        string         `toml:"path,omitempty"`
	Reason      string         `toml:"reason"`
	Expires     toml.LocalDate `toml:"expires"`
}

// Gap accepts that something was not read, where what is said of it contains Message.
type Gap struct {
	Message string `toml:"message,omitempty"`
	// Kind accepts by the machine-readable kind of a notice or by the reason of
	// an unanswered verdict; Provider limits that to one issuer.
	Kind     string         `toml:"kind,omitempty"`
	Provider string         `toml:"provider,omitempty"`
	Reason   string         `toml:"reason"`
	Expires  toml.LocalDate `toml:"expires"`
}

// MaxBytes bounds the file.
const MaxBytes = 1 << 20

// Load reads a file.
func Load(path string) (*List, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("allow: %w", err)
	}
	return Parse(path, b)
}

// Parse reads a list. Entries that say too little are errors: one that fits everything
// would hide everything.
func Parse(name string, b []byte) (*List, error) {
	if len(b) > MaxBytes {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, MaxBytes)
	}
	l := &List{}
	if err := config.ReadTOML(name, b, l); err != nil {
		return nil, err
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
		if g.Kind == "" && len(g.Message) < 8 {
			return nil, fmt.Errorf("%s: its message is too short to tell one gap from another", what)
		}
		if err := signed(what, g.Reason, g.Expires); err != nil {
			return nil, err
		}
	}
	return l, nil
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

// ended reports whether an entry's last day is over, everywhere on earth.
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
			if ok, err := doublestar.Match(a.Path, f.Location.Path); err != nil || !ok {
				continue
			}
		}
		return true
	}
	return false
}

// AcceptsGap reports whether it is accepted that something was not read, and why.
func (l *List) AcceptsGap(message string, now time.Time) (reason string, ok bool) {
	if l == nil {
		return "", false
	}
	for _, g := range l.Gap {
		if !ended(g.Expires, now) && g.Message != "" && strings.Contains(message, g.Message) {
			return g.Reason, true
		}
	}
	return "", false
}

// AcceptsKind reports whether a kind of gap, or a reason of an unanswered
// verdict about a provider's credential, is accepted, and why.
func (l *List) AcceptsKind(kind, provider string, now time.Time) (reason string, ok bool) {
	if l == nil {
		return "", false
	}
	for _, g := range l.Gap {
		if !ended(g.Expires, now) && g.Kind != "" && g.Kind == kind && (g.Provider == "" || g.Provider == provider) {
			return g.Reason, true
		}
	}
	return "", false
}

// Expired lists the reasons of entries that have ended.
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
