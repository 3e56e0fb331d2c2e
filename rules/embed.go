package rules

import (
	"embed"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/zricethezav/gitleaks/v8/config"
)

//go:embed providers/*.toml
var files embed.FS

// Files are the embedded rules files, by name.
func Files() (map[string][]byte, error) {
	list, err := files.ReadDir("providers")
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, e := range list {
		if out[e.Name()], err = files.ReadFile("providers/" + e.Name()); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Builtin is gitleaks' default set with quell's own rules over it: one of ours
// replaces gitleaks' rule of the same id. It is loaded once and must not be
// changed.
var Builtin = sync.OnceValues(readBuiltin)

func readBuiltin() (*Set, error) {
	// Half of what it makes is garbage, 20 MB in all: collecting it in between takes a
	// tenth of a small scan.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	set, err := fromGitleaks("gitleaks.toml", []byte(moreEnds(config.DefaultConfig)))
	if err != nil {
		return nil, err
	}
	set.Providers = map[string]*Provider{}
	all, err := Files()
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(all))
	for n := range all {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		own, err := Load(n, all[n])
		if err != nil {
			return nil, err
		}
		if err := set.Merge(own); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// moreEnds lets the expressions of gitleaks' own set end before what prose and code write
// after a token, too: a comma, a bracket, a colon, a bar, the full stop of a sentence. The
// rule that knows no issuer keeps its end.
func moreEnds(set string) string {
	const (
		theirs = `(?:[\x60'"\s;]|\\[nr]|$)`
		ours   = `(?:[\x60'"\s;,:)\]}|<>&?!*\\]|\.(?:$|\W)|$)`
	)
	lines := strings.SplitAfter(set, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "regex = ") && !strings.Contains(l, "credential|creds") {
			lines[i] = strings.Replace(l, theirs+"'''", ours+"'''", 1)
		}
	}
	return strings.Join(lines, "")
}

// Merge takes away the rules that o switches off and adds those of o; a rule with
// the same id is replaced.
func (s *Set) Merge(o *Set) error {
	s.Rules = slices.DeleteFunc(s.Rules, func(r *Rule) bool { return slices.Contains(o.Disabled, r.ID) })
	for _, r := range o.Rules {
		i := slices.IndexFunc(s.Rules, func(x *Rule) bool { return x.ID == r.ID })
		switch {
		case i < 0:
			s.Rules = append(s.Rules, r)
		case s.Rules[i].Provider != nil && r.Provider != nil && s.Rules[i].Provider.ID != r.Provider.ID:
			return fmt.Errorf("%s:%d: rule %s stands in %s too", r.File, r.Line, r.ID, s.Rules[i].File)
		default:
			s.Rules[i] = r
		}
	}
	for id, p := range o.Providers {
		if s.Providers == nil {
			s.Providers = map[string]*Provider{}
		}
		s.Providers[id] = p
	}
	s.Allowlists = append(s.Allowlists, o.Allowlists...)
	s.Notices = append(s.Notices, o.Notices...)
	return nil
}

// Clone copies the set, so that rules can be added to the copy.
func (s *Set) Clone() *Set {
	c := *s
	c.Rules = slices.Clone(s.Rules)
	c.Allowlists = slices.Clone(s.Allowlists)
	c.Notices = slices.Clone(s.Notices)
	c.Providers = maps.Clone(s.Providers)
	return &c
}
