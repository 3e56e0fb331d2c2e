package house

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/rules"
)

var update = flag.Bool("update", false, "write the generated pages of docs/providers")

// Each rules file has a page of docs that is generated from it, so that two branches that add
// providers change no common file.
func TestProviderPagesAreCurrent(t *testing.T) {
	all, err := rules.Files()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(top, "docs", "providers")
	want := map[string]string{}
	for name, text := range all {
		set, err := rules.Load(name, text)
		if err != nil {
			t.Fatal(err)
		}
		want[strings.TrimSuffix(name, ".toml")+".md"] = page(name, set)
	}
	have, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range have {
		if _, ok := want[filepath.Base(f)]; ok || filepath.Base(f) == coverageFile {
			continue
		}
		if !*update {
			t.Errorf("%s belongs to no rules file: make docs", f)
			continue
		}
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		file := filepath.Join(dir, name)
		if *update {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(want[name]), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != want[name] {
			t.Errorf("%s is not what the rules file says: make docs", file)
		}
	}
}

// page is the page of one rules file.
func page(name string, set *rules.Set) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	var provider *rules.Provider
	for _, one := range set.Providers {
		provider = one
	}
	p("# %s\n", provider.Name)
	p("Generated from `rules/providers/%s` by `make docs`. Provider id: `%s`. [Documentation of the issuer](%s).\n", name, provider.ID, provider.Docs)
	switch {
	case len(provider.Asked) > 4:
		p("Asked at `%s` and %d hosts more of that form%s.\n", provider.Asked[0], len(provider.Asked)-1, selfHosted(provider))
	case len(provider.Asked) > 0:
		p("Asked at `%s`%s.\n", strings.Join(provider.Asked, "`, `"), selfHosted(provider))
	default:
		p("Asked only at instances that the policy names.\n")
	}
	if len(provider.Owner) > 0 {
		p("`[[own]]` in the policy compares `%s` of the identity.\n", strings.Join(provider.Owner, "`, `"))
	}
	p("| rule | finds | is asked with | is ended by | reaches |")
	p("|---|---|---|---|---|")
	for _, r := range set.Rules {
		p("| `%s` | %s | %s | %s | %s |", r.ID, r.Description, asked(r), ended(r), reach(r))
	}
	for _, r := range set.Rules {
		if r.Note != "" {
			p("\n`%s`: %s.", r.ID, r.Note)
		}
		for _, v := range r.Revokes {
			p("\n`%s`, `%s`: tier %s, ends %s, within %s; confirmed by %s.%s%s", r.ID, v.ID, v.Tier, v.Scope, time.Duration(v.Settle), grade(v), always(v), collateral(v))
			if v.Rights != "" {
				p("\nThe credential that `%s` is sent with needs, at least: %s.", v.ID, v.Rights)
			}
		}
		if r.Derived != "" {
			p("\n`%s`: %s.", r.ID, r.Derived)
		}
	}
	if provider.Audit != "" {
		p("\n## Audit log\n\n%s, according to [the provider](%s).", provider.Audit, provider.Sources["audit"].URL)
	}
	if x := example(set, provider); x != "" {
		p("\n## Example\n\n```toml\n%s```", x)
	}
	if len(provider.Sources) > 0 {
		p("\n## Sources\n")
		for _, n := range slices.Sorted(maps.Keys(provider.Sources)) {
			s := provider.Sources[n]
			p("- %s (%s)", s.URL, s.Date)
		}
	}
	return b.String()
}

func selfHosted(p *rules.Provider) string {
	if p.SelfHosted {
		return ", or at instances that the policy names: servers of other operators issue the same form"
	}
	return ""
}

func line(q *rules.Request) string {
	return "`" + q.Method + " " + q.Host + q.Path + "`"
}

func asked(r *rules.Rule) string {
	switch {
	case r.Probe == nil:
		return "nothing that only reads"
	case r.Probe.Request == nil:
		return "native `" + r.Probe.Native + "`"
	}
	return line(r.Probe.Request)
}

func ended(r *rules.Rule) string {
	var out []string
	for _, v := range r.Revokes {
		if v.Native != "" {
			out = append(out, "native `"+v.Native+"`")
		}
		for _, q := range v.Requests {
			out = append(out, line(q))
		}
	}
	if len(out) == 0 && r.Stateless {
		return "its expiry"
	}
	return strings.Join(out, ", ")
}

func reach(r *rules.Rule) string {
	var out []string
	for _, v := range r.Revokes {
		if s := "`" + string(v.Scope) + "`"; !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	if r.Stateless && len(out) > 0 {
		out = append(out, "stateless: accepted elsewhere until it expires")
	}
	return strings.Join(out, "; ")
}

func grade(v rules.Revoke) string {
	if v.Grade == "X" {
		return "code of another tool"
	}
	if v.Source != "" {
		return "[the provider](" + v.Source + ")"
	}
	return "the provider"
}

func always(v rules.Revoke) string {
	if v.Always {
		return " The issuer accepts it for every credential: its response proves nothing."
	}
	return ""
}

func collateral(v rules.Revoke) string {
	if v.Collateral == "" {
		return ""
	}
	return " Collateral: " + v.Collateral + "."
}

// example is an [[instance]] of the policy with the settings that the provider's probes and
// revocations need; empty if nothing is asked or ended.
func example(set *rules.Set, p *rules.Provider) string {
	needs, asks := map[string]bool{}, false
	for _, r := range set.Rules {
		if r.Probe != nil {
			asks = true
			for _, n := range r.Probe.Needs {
				needs[n] = true
			}
		}
		for _, v := range r.Revokes {
			asks = true
			for _, n := range v.Needs {
				needs[n] = true
			}
		}
	}
	if !asks {
		return ""
	}
	url, id := "https://"+p.ID+".example.com", strings.ToUpper(strings.ReplaceAll(p.ID, "-", "_"))
	if len(p.Asked) > 0 {
		url = "https://" + p.Asked[0]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[[instance]]\nprovider = %q\nurl = %q\n", p.ID, url)
	for _, n := range slices.Sorted(maps.Keys(needs)) {
		switch n {
		case "admin":
			fmt.Fprintf(&b, "admin = \"env:%s_ADMIN\"\n", id)
		case "client":
			fmt.Fprintf(&b, "client_id = \"ID\"\n")
		case "client.secret":
			fmt.Fprintf(&b, "client_secret = \"env:%s_CLIENT_SECRET\"\n", id)
		case "probe_path", "logout_path", "login_path":
			fmt.Fprintf(&b, "%s = \"/%s\"\n", n, map[string]string{"probe_path": "me", "logout_path": "logout", "login_path": "login"}[n])
		case "user", "namespace":
			fmt.Fprintf(&b, "%s = \"NAME\"\n", n)
		}
	}
	return b.String()
}
