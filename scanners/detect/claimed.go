package detect

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/quellhq/quell/rules"
)

// claimed returns what the text around a match says about it, which is untrusted.
func (m *raw) claimed() rules.Claims {
	if m.text == nil {
		return m.said
	}
	c := rules.Claims{Hosts: m.claims, Expires: m.carrier.Expires}
	if p := m.rule.Provider; p != nil && p.SelfHosted && m.end <= len(m.text) {
		c.Near = servers(p, m.text[max(0, m.start-lineContext):min(len(m.text), m.end+lineContext)])
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

// serverREs caches the expressions for servers, by provider id.
var serverREs sync.Map

// servers lists hosts that a text names as servers of a provider's product: in a variable or
// option for a server's address, or by a name that contains the product's. Hosts of the
// provider itself are left out.
func servers(p *rules.Provider, text []byte) []string {
	re, ok := serverREs.Load(p.ID)
	if !ok {
		const host = `([a-z0-9][a-z0-9-]*(?:\.[a-z0-9-]+)+(?::[0-9]{1,5})?)`
		id := regexp.QuoteMeta(p.ID)
		re, _ = serverREs.LoadOrStore(p.ID, regexp.MustCompile(`(?i)(?:`+id+`|\bgh|ci_server|ci_api)[a-z0-9_]*(?:host|hostname|url|server|domain|endpoint|fqdn)["']?\s{0,2}[:=]\s{0,2}["']?(?:https?://)?`+host+
			`|(?:://|@|\bhost(?:name)?[:= ]\s?|\bmachine\s+)((?:[a-z0-9-]+\.)*[a-z0-9-]*(?:`+id+`|\bgit|\bghe)[a-z0-9-]*(?:\.[a-z0-9-]+)+(?::[0-9]{1,5})?)`+
			`|\b((?:[a-z0-9-]+\.)*[a-z0-9-]*`+id+`[a-z0-9-]*(?:\.[a-z0-9-]+){2,}(?::[0-9]{1,5})?)`))
	}
	var out []string
	for _, m := range re.(*regexp.Regexp).FindAllSubmatch(text, 8) {
		if h := strings.ToLower(string(bytes.Join(m[1:], nil))); !p.Has(h) && !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	return out
}
