package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/rules"
)

func (a *app) providers() *cobra.Command {
	return &cobra.Command{Use: "providers [ID]", Short: "List the issuers that quell knows, or one with the settings that it needs", Args: cobra.MaximumNArgs(1),
		Long: `List the issuers that quell knows, or describe one: its credentials, probes and
revocations, the keys of its [[instance]] in the policy, and an example.`,
		Example: `  quell providers
  quell providers gitlab`,
		ValidArgsFunction: a.complete(providerNames),
		RunE: func(_ *cobra.Command, args []string) error {
			rt, err := a.reader()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return a.listProviders(rt.Rules)
			}
			p := rt.Rules.Providers[args[0]]
			if p == nil {
				return noProvider(args[0], rt.Rules)
			}
			if a.format == "json" || a.format == "jsonl" {
				return json.NewEncoder(a.out).Encode(describeProvider(rt.Rules, p))
			}
			a.showProvider(describeProvider(rt.Rules, p))
			return nil
		}}
}

func noProvider(id string, set *rules.Set) error {
	hint := "quell providers lists them"
	if n := config.Nearest(id, providerNames(set)); n != "" {
		hint = fmt.Sprintf("did you mean %q? %s", n, hint)
	}
	return fmt.Errorf("no provider %q (hint: %s)", id, hint)
}

// providerKey is a key of [[instance]] and what needs it.
type providerKey struct {
	Key string   `json:"key"`
	Doc string   `json:"doc"`
	For []string `json:"for"` // "probe of RULE", "revocation NAME of RULE"
}

// providerInfo is what quell providers prints.
type providerInfo struct {
	ID         string        `json:"id"`
	Name       string        `json:"name"`
	Docs       string        `json:"docs,omitempty"`
	Hosts      []string      `json:"hosts"`
	SelfHosted bool          `json:"self_hosted"`
	Owner      []string      `json:"owner,omitempty"`
	Finds      []string      `json:"finds"` // ids of rules
	Asks       []string      `json:"asks"`
	Ends       []providerEnd `json:"ends"`
	Keys       []providerKey `json:"keys"`            // of [[instance]]
	Audit      string        `json:"audit,omitempty"` // where the issuer's log shows uses
	// AuditSource is the document that Audit is taken from.
	AuditSource string `json:"audit_source,omitempty"`
	Example     string `json:"example"`
}

type providerEnd struct {
	Rule       string      `json:"rule"`
	Revocation string      `json:"revocation"`
	Tier       rules.Tier  `json:"tier"`
	Scope      rules.Scope `json:"scope"`
	Collateral string      `json:"collateral,omitempty"`
	Rights     string      `json:"rights,omitempty"`
	Source     string      `json:"source,omitempty"`
}

// settingKey is the policy's key for a setting that a rules file needs.
func settingKey(need string) string {
	switch need {
	case "client":
		return "client_id"
	case "client.secret":
		return "client_secret"
	}
	return need
}

func describeProvider(set *rules.Set, p *rules.Provider) providerInfo {
	d := providerInfo{ID: p.ID, Name: p.Name, Docs: p.Docs, Hosts: append([]string{}, p.Patterns...), SelfHosted: p.SelfHosted, Owner: p.Owner, Audit: p.Audit, AuditSource: p.Sources["audit"].URL, Finds: []string{}, Asks: []string{}, Ends: []providerEnd{}, Keys: []providerKey{}}
	needs := map[string][]string{}
	need := func(what string, list []string) {
		for _, n := range list {
			k := settingKey(n)
			if !slices.Contains(needs[k], what) {
				needs[k] = append(needs[k], what)
			}
		}
	}
	for _, r := range set.Rules {
		if r.Provider == nil || r.Provider.ID != p.ID {
			continue
		}
		d.Finds = append(d.Finds, r.ID)
		if r.Probe != nil {
			d.Asks = append(d.Asks, r.ID)
			need("to ask about "+r.ID, r.Probe.Needs)
		}
		for _, v := range r.Revokes {
			d.Ends = append(d.Ends, providerEnd{r.ID, v.ID, v.Tier, v.Scope, v.Collateral, v.Rights, v.Source})
			need("to end "+r.ID+" ("+v.ID+")", v.Needs)
		}
	}
	for _, k := range policy.Keys() {
		name, ok := strings.CutPrefix(k.Name, "instance.")
		if f := needs[name]; ok && len(f) > 0 {
			d.Keys = append(d.Keys, providerKey{name, k.Doc, f})
		}
	}
	d.Example = exampleInstance(p, d)
	return d
}

// exampleInstance is an [[instance]] that has every key that the provider needs.
func exampleInstance(p *rules.Provider, d providerInfo) string {
	var b strings.Builder
	line := func(k, v, why string) {
		s := k + " = " + v
		if why != "" {
			s = fmt.Sprintf("%-44s # %s", s, why)
		}
		b.WriteString(s + "\n")
	}
	id := strings.ToUpper(strings.ReplaceAll(p.ID, "-", "_"))
	b.WriteString("[[instance]]\n")
	line("provider", fmt.Sprintf("%q", p.ID), "")
	if len(p.Asked) > 0 {
		line("url", fmt.Sprintf("%q", "https://"+p.Asked[0]), map[bool]string{true: "or that of your own server", false: ""}[p.SelfHosted])
	} else {
		line("url", fmt.Sprintf("%q", "https://"+p.ID+".example.com"), "")
		line("own", "true", "everything that it issues is yours")
	}
	for _, k := range d.Keys {
		if k.Key == "user" || k.Key == "namespace" || k.Key == "client_id" {
			line(k.Key, `"NAME"`, "")
		} else if strings.HasSuffix(k.Key, "_path") {
			line(k.Key, map[string]string{"probe_path": `"/me"`, "logout_path": `"/logout"`, "login_path": `"/login"`}[k.Key], "")
		} else if k.Key == "revoke_orphan" {
			line(k.Key, "true", "")
		} else if strings.HasSuffix(k.Key, "_marker") || k.Key == "csrf" {
			line(k.Key, `"TEXT"`, "")
		} else {
			line(k.Key, fmt.Sprintf("%q", "env:"+id+"_"+strings.ToUpper(k.Key)), "")
		}
	}
	if len(d.Asks) > 0 {
		line("control", fmt.Sprintf("%q", "env:"+id+"_CONTROL"), "a live credential of your own, if you have one")
	}
	if len(d.Owner) > 0 && len(p.Asked) > 0 {
		fmt.Fprintf(&b, "\n[[own]]\nprovider = %q\nidentity = [\"…\"]%s# your %s there; quell policy init finds it\n", p.ID, strings.Repeat(" ", 27), strings.Join(d.Owner, " or "))
	}
	return b.String()
}

func (a *app) listProviders(set *rules.Set) error {
	if len(set.Providers) == 0 {
		return errors.New("no provider is known")
	}
	var all []providerInfo
	for _, id := range slices.Sorted(maps.Keys(set.Providers)) {
		all = append(all, describeProvider(set, set.Providers[id]))
	}
	if a.format == "json" {
		return json.NewEncoder(a.out).Encode(all)
	}
	asks, ends := 0, 0
	if a.format == "text" {
		fmt.Fprintf(a.out, "%-24s %5s %4s %4s  %s\n", "provider", "finds", "asks", "ends", "where")
	}
	for _, d := range all {
		if a.format == "jsonl" {
			if err := json.NewEncoder(a.out).Encode(d); err != nil {
				return err
			}
			continue
		}
		ended := map[string]bool{}
		for _, e := range d.Ends {
			ended[e.Rule] = true
		}
		asks += min(len(d.Asks), 1)
		ends += min(len(ended), 1)
		fmt.Fprintf(a.out, "%-24s %5d %4s %4s  %s\n", d.ID, len(d.Finds), few(len(d.Asks)), few(len(ended)), where(set.Providers[d.ID]))
	}
	if a.format == "text" {
		fmt.Fprintf(a.out, "\n%s; %d are asked, and credentials of %d are ended. quell providers ID shows what one needs.\n", report.Count(int64(len(all)), "provider"), asks, ends)
	}
	return nil
}

func few(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

func where(p *rules.Provider) string {
	switch {
	case len(p.Asked) == 0:
		return "your own instances"
	case len(p.Asked) > 1:
		return fmt.Sprintf("%s and %d more", p.Asked[0], len(p.Asked)-1)
	case p.SelfHosted:
		return p.Asked[0] + ", or your own instances"
	}
	return p.Asked[0]
}

func (a *app) showProvider(d providerInfo) {
	p := func(format string, args ...any) { fmt.Fprintf(a.out, format+"\n", args...) }
	p("%s: %s", d.ID, d.Name)
	if d.Docs != "" {
		p("  docs     %s", d.Docs)
	}
	switch {
	case len(d.Hosts) == 0:
		p("  asked    only at instances that the policy names")
	case d.SelfHosted:
		p("  asked    %s, or instances that the policy names", strings.Join(d.Hosts, ", "))
	default:
		p("  asked    %s", strings.Join(d.Hosts, ", "))
	}
	if len(d.Owner) > 0 {
		p("  owner    %s, as identity of [[own]]", strings.Join(d.Owner, " or "))
	}
	p("\nfinds")
	for _, r := range d.Finds {
		s := "offline only"
		if slices.Contains(d.Asks, r) {
			s = "asked"
		}
		for _, e := range d.Ends {
			if e.Rule == r {
				s += fmt.Sprintf("; ended by %s (tier %s, ends %s)", e.Revocation, e.Tier, e.Scope)
			}
		}
		p("  %-40s %s", r, s)
	}
	if len(d.Keys) > 0 {
		p("\nkeys of [[instance]] that it needs")
		for _, k := range d.Keys {
			p("  %-14s %s", k.Key, strings.ReplaceAll(k.Doc, "`", ""))
			for _, f := range k.For {
				p("  %-14s   %s", "", f)
			}
		}
	}
	p("\nexample for the policy (quell policy add --instance %s=URL adds one)\n", d.ID)
	for _, l := range strings.Split(strings.TrimRight(d.Example, "\n"), "\n") {
		p("  %s", l)
	}
	admin := map[string]bool{}
	for _, e := range d.Ends {
		if e.Tier == rules.TierAdmin && e.Source != "" {
			admin[e.Source] = true
		}
	}
	rights := map[string]bool{}
	for _, e := range d.Ends {
		if e.Rights != "" {
			rights[e.Revocation+": "+e.Rights] = true
		}
	}
	if len(rights) > 0 {
		p("\nleast rights of the credential that ends")
		for _, s := range slices.Sorted(maps.Keys(rights)) {
			p("  %s", s)
		}
	}
	if d.Audit != "" {
		p("\nuses in the issuer's log\n  %s\n  %s", d.Audit, d.AuditSource)
	}
	if len(admin) > 0 {
		p("\nrights of the admin or client credential: those that the issuer's document names")
		for _, s := range slices.Sorted(maps.Keys(admin)) {
			p("  %s", s)
		}
	}
}
