package rules

import (
	"embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/zricethezav/gitleaks/v8/config"
)

//go:embed providers/*.toml
var files embed.FS

// Files returns the embedded rules files by name.
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

// Builtin returns gitleaks' default set combined with quell's own rules. A rule of quell
// replaces gitleaks' rule with the same id. The set is loaded once and must not be modified.
var Builtin = sync.OnceValues(readBuiltin)

func readBuiltin() (*Set, error) {
	set, err := fromGitleaks("gitleaks.toml", []byte(moreEnds(config.DefaultConfig)), true)
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
		own, err := load(n, all[n], true)
		if err != nil {
			return nil, err
		}
		if err := set.Merge(own); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// moreEnds makes gitleaks' expressions also accept what follows a token in prose and code: a
// comma, a bracket, a colon, a bar, or the full stop of a sentence. The generic rule keeps its
// end.
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

// Merge removes the rules that o disables and adds those of o. A rule with the same id is
// replaced; one of another provider is an error.
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

// Clone returns a copy of the set to which rules can be added.
func (s *Set) Clone() *Set {
	c := *s
	c.Rules = slices.Clone(s.Rules)
	c.Allowlists = slices.Clone(s.Allowlists)
	c.Notices = slices.Clone(s.Notices)
	c.Providers = maps.Clone(s.Providers)
	return &c
}
