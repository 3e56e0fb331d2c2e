package revokers

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
	"github.com/quellhq/quell/rules/token"
)

// Binding is what a credential can be bound to.
type Binding struct {
	// Ask are the targets to ask, in order. The operator's instances come first;
	// a public host is asked only if none of those decides.
	Ask []Target
	// Skipped are targets that contradict a claim of the text while others
	// match it. They are reported and not asked.
	Skipped []Target
	// Others are instances that can have issued the credential too and are not asked: those of
	// another provider with a cookie of this name, which its rule can't ask, those whose
	// cookie another text names for it, and those without a cookie name whose provider's
	// family has this one.
	Others []*issuer.Instance
	// None explains why there is nothing to ask.
	None string
}

// Bind binds a credential to the instances that can have issued it. Claims of
// the text choose among instances that the operator or the provider's file
// named; they never add one.
func Bind(set *rules.Set, all issuer.Instances, c credential.Credential) Binding {
	r := set.Rule(c.Rule)
	switch {
	case r == nil:
		return Binding{None: fmt.Sprintf("no rule %q", c.Rule)}
	case r.Provider == nil:
		return Binding{None: fmt.Sprintf("the issuer of a %s is not known", r.ID)}
	}
	var fit []*issuer.Instance
	named := 0
	names, complete := c.Names()
	if !complete {
		named++ // another instance's name can be among those that were left out
	}
	for _, i := range all.Of(r.Provider.ID) {
		if r.Cookie != nil && i.Cookie != "" && !slices.Contains(names, i.Cookie) || r.Kind == credential.KindJWT && !issuedBy(r, i, c) || !r.Issues(i.URL.Hostname(), c.Secret) {
			continue
		}
		if i.Cookie != "" && slices.Contains(names, i.Cookie) {
			named++
		}
		fit = append(fit, i)
	}
	if slices.ContainsFunc(fit, func(i *issuer.Instance) bool { return i.Cookie != "" && slices.Contains(names, i.Cookie) }) {
		fit = slices.DeleteFunc(fit, func(i *issuer.Instance) bool { return i.Cookie == "" })
	}
	var others []*issuer.Instance
	for _, i := range all {
		claimed := slices.Contains(c.Claims.Cookies, i.Cookie) && !slices.Contains(names, i.Cookie)
		issues := i.Cookie != "" && (claimed || i.Provider != r.Provider.ID && slices.Contains(names, i.Cookie))
		if i.Operator && !slices.Contains(fit, i) && (issues || i.Cookie == "" && hasFamily(set, i.Provider, names)) {
			others = append(others, i)
		}
	}
	if len(fit) == 0 {
		return Binding{None: fmt.Sprintf("no instance of %s is named that can have issued it", r.Provider.ID)}
	}
	out := Binding{Others: others}
	match := func(i *issuer.Instance) bool {
		return slices.ContainsFunc(c.Claims.Hosts, func(h string) bool { return Claims(h, i.URL) })
	}
	matched := slices.ContainsFunc(fit, match)
	for _, i := range fit {
		i = i.For(r.ID)
		t := Target{Credential: c, Rule: r, Instance: i, Named: named+len(others) == 1 && i.Cookie != "" && slices.Contains(names, i.Cookie), Related: related(all, i)}
		if i.Cookie != "" && slices.Contains(names, i.Cookie) {
			t.Ref = c.As(i.Cookie) // of several names the one that this instance reads
		}
		if matched && !match(i) || OtherAccount(i, c) {
			out.Skipped = append(out.Skipped, t)
			continue
		}
		out.Ask = append(out.Ask, t)
	}
	slices.SortStableFunc(out.Ask, func(a, b Target) int { return rank(a.Instance) - rank(b.Instance) })
	return out
}

// hasFamily reports whether a cookie family of the provider has one of the names: an instance
// for which the operator names no cookie can then have issued it.
func hasFamily(set *rules.Set, provider string, names []string) bool {
	return slices.ContainsFunc(set.Rules, func(r *rules.Rule) bool {
		return r.Cookie != nil && !r.AnyForm && r.Provider != nil && r.Provider.ID == provider && slices.ContainsFunc(names, r.Cookie.Has)
	})
}

func rank(i *issuer.Instance) int {
	if i.Operator {
		return 0
	}
	return 1
}

// related are the further instances that the policy names for i, by role: the Vault
// that replaces, and the operator's logins at what builds read from. A provider of
// which several are named is left out: which one is meant is not certain.
func related(all issuer.Instances, i *issuer.Instance) map[string]*issuer.Instance {
	if i.Rotate == nil {
		return nil
	}
	out, several := map[string]*issuer.Instance{}, map[string]bool{}
	for _, v := range all {
		switch {
		case v.Provider == "vault":
			if out["vault"] == nil && strings.TrimRight(v.URL.String(), "/") == i.Rotate.Vault {
				out["vault"] = v
			}
		case v.Operator && !v.Admin.IsZero() && len(i.Rotate.Stores) > 0:
			several[v.Provider] = several[v.Provider] || out[v.Provider] != nil
			out[v.Provider] = v
		}
	}
	for p, more := range several {
		if more {
			delete(out, p)
		}
	}
	return out
}

// OtherAccount reports whether the text names users or databases, and none of
// them is the instance's. A wrong guess would count as a failed login there.
func OtherAccount(i *issuer.Instance, c credential.Credential) bool {
	other := func(list []string, asked string) bool {
		return asked != "" && len(list) > 0 && !slices.Contains(list, asked)
	}
	return other(c.Claims.Accounts(), i.Settings["user"]) || other(c.Claims.Bases(), database(i))
}

// issuedBy reports whether a JWT can be an instance's. An issuer of OpenID
// Connect is the address that its tokens name. Another product's token may name
// none, or a path of its host.
func issuedBy(r *rules.Rule, i *issuer.Instance, c credential.Credential) bool {
	j, err := token.ParseJWT(c.Secret.Reveal())
	if err != nil {
		return false
	}
	if r.Provider.ID != "oauth" {
		u, err := url.Parse(j.Issuer)
		return err != nil || u.Host == "" || strings.EqualFold(u.Host, i.URL.Host)
	}
	return strings.TrimRight(j.Issuer, "/") == strings.TrimRight(i.URL.String(), "/")
}

// Claims reports whether a host that the text names is u's. A claim with a
// port is about that port only.
func Claims(claim string, u *url.URL) bool {
	claim = strings.TrimSuffix(claim, ".") // the root of the DNS
	if strings.EqualFold(claim, u.Host) {
		return true
	}
	host, _, err := net.SplitHostPort(claim)
	if err != nil {
		return strings.EqualFold(claim, u.Hostname())
	}
	return u.Port() == "" && strings.EqualFold(host, u.Hostname()) && strings.HasSuffix(claim, ":"+defaultPort(u.Scheme))
}

func defaultPort(scheme string) string {
	return map[string]string{"https": "443", "http": "80", "postgres": "5432"}[scheme]
}
