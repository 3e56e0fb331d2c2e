package detect

import (
	"slices"
	"strings"

	"github.com/quellhq/quell/rules"
)

// readClaims returns the claims of the text around a match, which is untrusted. The match's
// own text may be a part of t that begins at off.
func (m *raw) readClaims(t *text, off int) rules.Claims {
	if m.text == nil {
		return m.claims
	}
	c := rules.Claims{Hosts: m.hosts, Expires: m.carrier.Expires}
	if p := m.rule.Provider; p != nil && p.SelfHosted && m.end <= len(m.text) {
		c.Near = t.nearby.near(p, t.data, off+max(0, m.start-lineContext), off+min(len(m.text), m.end+lineContext))
	}
	if m.rule.Kind != rules.KindPassword || m.end > len(m.text) {
		return c
	}
	u, ok := connectionOf(m.text[m.start:min(len(m.text), m.end+lineContext)])
	if !ok {
		return c
	}
	// In a URL without a host the user is where other URLs have the host.
	c.Hosts = slices.DeleteFunc(slices.Clone(c.Hosts), func(h string) bool {
		return slices.Contains(u.users, h) && !slices.ContainsFunc(u.hosts, func(o string) bool { return o == h || strings.HasPrefix(o, h+":") })
	})
	for _, h := range u.hosts {
		if len(c.Hosts) < maxClaims && !slices.Contains(c.Hosts, h) {
			c.Hosts = append(slices.Clip(c.Hosts), h)
		}
	}
	c.Merge(rules.Claims{Users: u.users, Databases: u.databases})
	return c
}

// maxClaims is the largest number of hosts of one finding.
const maxClaims = 16
