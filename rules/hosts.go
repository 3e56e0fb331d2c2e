package rules

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/pelletier/go-toml/v2"

	"github.com/quellhq/quell/rules/regex"
)

//go:embed lists.toml
var listsTOML []byte

// lists are the closed lists used in the hosts of several providers.
var lists = sync.OnceValue(func() map[string][]string {
	var out map[string][]string
	if err := toml.Unmarshal(listsTOML, &out); err != nil {
		return nil
	}
	return out
})

// listRE matches {NAME:LIST} in a host.
var listRE = regex.Lazy(`\{([a-z_][a-z0-9_.]*):([a-z_][a-z0-9_]*)\}`)

// hostRE matches a DNS host name in lower case.
var hostRE = regex.Lazy(`^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$`)

func (p *Provider) list(name string) []string {
	if l, ok := p.Lists[name]; ok {
		return l
	}
	return lists()[name]
}

// expand lists the hosts that match a pattern.
func (p *Provider) expand(pattern string) ([]string, error) {
	m := listRE().FindAllStringSubmatch(pattern, -1)
	if len(m) > 1 {
		return nil, fmt.Errorf("host %q has more than one list", pattern)
	}
	out := []string{pattern}
	if len(m) == 1 {
		values := p.list(m[0][2])
		if len(values) == 0 {
			known := slices.Concat(slices.Collect(maps.Keys(p.Lists)), slices.Collect(maps.Keys(lists())))
			return nil, fmt.Errorf("host %q: no list %q%s", pattern, m[0][2], meant(m[0][2], known))
		}
		out = nil
		for _, v := range values {
			out = append(out, strings.Replace(pattern, m[0][0], v, 1))
		}
	}
	for _, h := range out {
		if !hostRE().MatchString(h) {
			return nil, fmt.Errorf("host %q is not the name of a host in lower case", h)
		}
	}
	return out, nil
}

// finish sets Asked: the first pattern's hosts, and those that no request names.
func (p *Provider) finish(file string, list []*Rule) error {
	named := map[string]bool{}
	for _, r := range list {
		for _, q := range r.requests() {
			if q.Host != "" {
				named[q.Host] = true
			}
		}
		for _, h := range r.nativeHosts() {
			named[h] = true
		}
	}
	for i, pattern := range p.Patterns {
		if i > 0 && named[pattern] {
			continue
		}
		hosts, err := p.expand(pattern)
		if err != nil {
			return fmt.Errorf("%s:1: [provider] %w", file, err)
		}
		p.Asked = append(p.Asked, hosts...)
	}
	return nil
}

// HostOf resolves the host of a request to a pinned host of the provider. The value of the
// pattern's list is the variable's, or else the one in the host asked. It must be in the list.
func (p *Provider) HostOf(pattern, asked string, get func(string) (string, bool)) (string, error) {
	hosts, err := p.expand(pattern)
	if err != nil {
		return "", err
	}
	if slices.Contains(hosts, asked) {
		return asked, nil
	}
	m := listRE().FindStringSubmatch(pattern)
	if m == nil {
		return pattern, nil
	}
	v, ok := get(m[1])
	if !ok {
		v, ok = p.sameValue(m[2], asked)
	}
	if !ok {
		return "", fmt.Errorf("nothing sets {%s}", m[1])
	}
	if !slices.Contains(p.list(m[2]), v) {
		return "", fmt.Errorf("{%s} is not in the list %s", m[1], m[2])
	}
	return strings.Replace(pattern, m[0], v, 1), nil
}

// sameValue returns the list's value in the host asked.
func (p *Provider) sameValue(list, asked string) (string, bool) {
	for _, pattern := range p.Patterns {
		m := listRE().FindStringSubmatch(pattern)
		if m == nil || m[2] != list {
			continue
		}
		for _, v := range p.list(list) {
			if strings.Replace(pattern, m[0], v, 1) == asked {
				return v, true
			}
		}
	}
	return "", false
}

// Issues reports whether a pinned host can have issued a secret. It can't if the secret
// contains another value of the host's list.
func (r *Rule) Issues(host string, s Secret) bool {
	if r.Provider == nil {
		return true
	}
	for _, pattern := range r.Provider.Patterns {
		m := listRE().FindStringSubmatch(pattern)
		if m == nil {
			continue
		}
		group, ok := strings.CutPrefix(m[1], "token.")
		if !ok {
			continue
		}
		hosts, err := r.Provider.expand(pattern)
		if err != nil || !slices.Contains(hosts, host) {
			continue
		}
		v, ok := r.namedIn(s)[group]
		return ok && strings.Replace(pattern, m[0], v, 1) == host
	}
	return true
}

// nativeHosts lists the hosts to which natives of a rule send requests.
func (r *Rule) nativeHosts() []string {
	var out []string
	if r.Probe != nil {
		out = append(out, r.Probe.Hosts...)
	}
	for _, v := range r.Revokes {
		out = append(out, v.Hosts...)
	}
	return out
}

// requests lists all requests of a rule.
func (r *Rule) requests() []*Request {
	var out []*Request
	add := func(q *Request) {
		if q != nil {
			out = append(out, q)
		}
	}
	if r.Probe != nil {
		for _, p := range append([]*Probe{r.Probe}, r.Probe.Also...) {
			add(p.Request)
			for _, s := range p.Identity {
				add(s.Request)
			}
		}
	}
	for _, v := range r.Revokes {
		for _, s := range v.Steps {
			add(s.Request)
		}
		for _, q := range v.Requests {
			add(q)
		}
	}
	return out
}
