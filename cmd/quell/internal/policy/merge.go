package policy

import (
	"slices"
	"strings"
)

// Same reports whether two entries describe one instance: they have the same target of requests
// and the same cookie.
func (i Instance) Same(o Instance) bool {
	return o.Provider == i.Provider && strings.EqualFold(strings.TrimRight(o.URL, "/"), strings.TrimRight(i.URL, "/")) && o.Cookie == i.Cookie && o.User == i.User && o.Namespace == i.Namespace
}

// With is p with the instances and identities of more. An instance that p already has is
// unchanged.
func (p *Policy) With(more *Policy) *Policy {
	out := *p
	out.Instance, out.Own = slices.Clone(p.Instance), slices.Clone(p.Own)
	for _, i := range more.Instance {
		if !slices.ContainsFunc(out.Instance, i.Same) {
			out.Instance = append(out.Instance, i)
		}
	}
	for _, o := range more.Own {
		n := slices.IndexFunc(out.Own, func(x Own) bool { return x.Provider == o.Provider && x.URL == o.URL })
		if n < 0 {
			out.Own = append(out.Own, o)
			continue
		}
		x := &out.Own[n]
		x.Identity = slices.Clone(x.Identity)
		for _, id := range o.Identity {
			if !slices.Contains(x.Identity, id) {
				x.Identity = append(x.Identity, id)
			}
		}
	}
	return &out
}
