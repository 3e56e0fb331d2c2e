package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"

	"github.com/quellhq/quell/cmd/quell/internal/output"
	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/revokers/interp"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
)

func (a *app) policy() *cobra.Command {
	c := &cobra.Command{Use: "policy", Short: "Create and check the policy: what is yours, and what may be killed", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return errors.New("policy what? init, add or check") }}
	var instances []string
	var force bool
	init := &cobra.Command{Use: "init", Short: "Write a policy from your own logins and the instances that you name", Args: cobra.NoArgs,
		Long: `Write a policy from your own logins and the instances that you name.

Logins are taken from the environment (GITHUB_TOKEN, GITLAB_TOKEN with
GITLAB_HOST, GITEA_TOKEN with GITEA_SERVER_URL, VAULT_TOKEN with VAULT_ADDR) and
from the files of gh and Vault. quell asks each issuer who you are and which
organisations you own; the answers become [[own]]. The tokens themselves are not
written: the policy names where they are.

  quell policy init --instance express=https://app.example.com,probe_path=/me,logout_path=/logout

The policy declares an instance named here to be yours: everything that it issues
may be killed. Its keys are those of [[instance]] in the policy file.`,
		RunE: func(c *cobra.Command, _ []string) error { return a.policyInit(c.Context(), instances, force) }}
	init.Flags().StringArrayVar(&instances, "instance", nil, "an issuer of yours, `PROVIDER=URL[,KEY=VALUE…]` (repeatable)")
	init.Flags().BoolVar(&force, "force", false, "add to an existing file; its settings stay, and FILE.old keeps the previous text")
	var more []string
	add := &cobra.Command{Use: "add", Short: "Add an issuer of yours to the policy", Args: cobra.NoArgs,
		Long: `Add an issuer of yours to the policy. The rest of the file is not changed.

  quell policy add --instance gitlab=https://gitlab.example.com,admin=env:GITLAB_ADMIN_TOKEN

The policy then declares it to be yours: everything that it issues may be killed.
Its keys are those of [[instance]] in the policy file.`,
		RunE: func(*cobra.Command, []string) error { return a.policyAdd(more) }}
	add.Flags().StringArrayVar(&more, "instance", nil, "an issuer of yours, `PROVIDER=URL[,KEY=VALUE…]` (repeatable)")
	var ask bool
	check := &cobra.Command{Use: "check", Short: "Read the policy and print what it allows", Args: cobra.NoArgs,
		Long: `Read the policy and print what it allows.

With --ask, quell requests a page of each web application that the policy names,
with its control, with a session that was never issued, and without a session. It
prints the three answers, whether a kill there could be proven, and which settings
are missing. It only reads.`, RunE: func(c *cobra.Command, _ []string) error {
			rt, err := a.runtime(mayLackSecrets)
			if err != nil {
				return err
			}
			p := a.printer(4)
			for _, w := range policy.Warnings(rt.Instances) {
				p("warning: %s", w)
			}
			p("kills: %s; at most %d in a run; plans are good for %s", map[bool]string{true: "off", false: "on"}[rt.Policy.Disabled()], rt.Policy.Max(), seconds(rt.Policy.MaxAge()))
			for _, i := range rt.Instances {
				if i.Operator {
					p("instance %s %s: own %v, admin %v, control %v", i.Provider, i.URL, i.Own, !i.Admin.IsZero(), len(i.Controls) > 0)
				}
			}
			for _, o := range rt.Policy.Own {
				where := o.Provider
				if o.URL != "" {
					where += " " + o.URL
				}
				p("own at %s: %s %s", where, strings.Join(o.Identity, ", "), o.Name)
			}
			if ask {
				return a.policyAsk(c.Context(), rt)
			}
			return nil
		}}
	check.Flags().BoolVar(&ask, "ask", false, "ask each web application how it answers live and ended sessions, and propose settings")
	c.AddCommand(init, add, check)
	return c
}

// policyAsk prints what the web applications answer. It is an error if a kill at
// one of them could not be proven.
func (a *app) policyAsk(ctx context.Context, rt *run.Runtime) error {
	shown, err := rt.AskInstances(ctx)
	if err != nil {
		return err
	}
	unproven := 0
	p := a.printer(4)
	clean := func(s string) string { return report.Clean(a.red.String(s)) }
	for _, s := range shown {
		fmt.Fprintln(a.out)
		p("%s %s", s.Instance.Provider, s.Instance.URL)
		for _, l := range s.Lines {
			p("  %s", clean(l))
		}
		if s.Problem == "" {
			p("  proof: ended and live sessions get different answers")
		} else {
			unproven++
			p("  problem: %s", clean(s.Problem))
		}
		for _, x := range s.Settings {
			p("  proposed: %s", clean(x))
		}
		if s.Next != "" {
			p("  next: %s", clean(s.Next))
		}
	}
	if unproven > 0 {
		return fmt.Errorf("%d of %d web applications: a kill there could not be proven", unproven, len(shown))
	}
	return nil
}

// policyInit writes a policy. What an existing file has stays in it.
func (a *app) policyInit(ctx context.Context, instances []string, force bool) error {
	a.sparePolicy = true
	rt, err := a.runtime(mayLackSecrets)
	if err != nil {
		return err
	}
	path := a.policyPath(rt)
	before, err := a.existing(path, force)
	if err != nil {
		return err
	}
	p := &policy.Policy{Version: 1}
	for _, s := range instances {
		in, err := parseInstance(s, rt.Rules)
		if err != nil {
			return err
		}
		if rt.Rules.Providers[in.Provider] == nil {
			return fmt.Errorf("--instance: %w", noProvider(in.Provider, rt.Rules))
		}
		if slices.ContainsFunc(p.Instance, in.Same) {
			return fmt.Errorf("--instance: %s %s is named twice", in.Provider, in.URL)
		}
		p.Instance = append(p.Instance, in)
	}
	if !a.offline {
		for _, l := range logins(rt.Rules, a.getenv) {
			who, err := l.ask(ctx, rt.Doer)
			if err != nil {
				a.printf("%s at %s: %v; %s", l.provider.ID, l.url, err, l.without(p))
				continue
			}
			a.printf("%s at %s: you are %s (%s)", l.provider.ID, l.url, who.name, strings.Join(who.ids, ", "))
			l.write(p, who, slices.Contains(a.noSelfHosted, l.provider.ID) || !l.instance && a.confirm("Does your organisation run a server of its own for %s? [Y/n] ", l.provider.ID))
		}
	}
	if len(p.Instance)+len(p.Own) == 0 {
		return errors.New("no login was found and no instance named, so the policy would own nothing (hint: --instance PROVIDER=URL; quell providers lists the providers)")
	}
	if before != nil {
		p = before.With(p)
	}
	b, err := toml.Marshal(p)
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	if _, err := policy.Parse("policy", b); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	if before != nil {
		old, err := os.ReadFile(path)
		if err == nil {
			err = output.WriteFile(path+".old", old, output.Mode)
		}
		if err != nil {
			return fmt.Errorf("policy: %w", err)
		}
		a.printf("what was there is in %s.old", path)
	}
	if err := output.WriteFile(path, b, output.Mode); err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	a.printf("wrote %s", path)
	return nil
}

// policyPath is the file that policy init writes.
func (a *app) policyPath(rt *run.Runtime) string {
	switch {
	case a.output != "-" && a.output != "":
		return a.output
	case a.policyFile != "":
		return a.policyFile
	}
	return rt.Dirs.PolicyFile()
}

// existing is the policy that is at path already; nil if there is none. One that
// can't be read is an error: its instances would be lost.
func (a *app) existing(path string, force bool) (*policy.Policy, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if !force {
		return nil, fmt.Errorf("%s exists (hint: quell policy add adds to it; --force adds your logins and the instances named here, and keeps what is in it)", path)
	}
	p, err := policy.Load(path, true)
	if err != nil {
		return nil, fmt.Errorf("%w (hint: correct it or move it away; nothing was written)", err)
	}
	return p, nil
}

// policyAdd appends instances to the policy file.
func (a *app) policyAdd(instances []string) error {
	if len(instances) == 0 {
		return errors.New("no instance is named (hint: --instance PROVIDER=URL)")
	}
	if _, err := os.Stat(a.policyFile); errors.Is(err, fs.ErrNotExist) {
		a.sparePolicy = true // the first instance makes the file
	}
	rt, err := a.runtime(mayLackSecrets)
	if err != nil {
		return err
	}
	path := a.policyFile
	if path == "" {
		path = rt.Dirs.PolicyFile()
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = []byte("version = 1\n"), nil
	}
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	for _, s := range instances {
		in, err := parseInstance(s, rt.Rules)
		if err != nil {
			return err
		}
		if rt.Rules.Providers[in.Provider] == nil {
			return fmt.Errorf("--instance: %w", noProvider(in.Provider, rt.Rules))
		}
		if slices.ContainsFunc(rt.Policy.Instance, in.Same) {
			return fmt.Errorf("--instance: %s has %s already (hint: change its keys there; another cookie or user makes another instance)", path, in.Provider+" "+in.URL)
		}
		rt.Policy.Instance = append(rt.Policy.Instance, in)
		b, err := toml.Marshal(map[string]any{"instance": []policy.Instance{in}})
		if err != nil {
			return fmt.Errorf("policy: %w", err)
		}
		text = append(append(bytes.TrimRight(text, "\n"), "\n\n"...), b...)
	}
	// A file whose last table is written in another way can't be appended to.
	if p, err := policy.Parse(path, text); err != nil {
		return err
	} else if len(p.Instance) != len(rt.Policy.Instance) {
		return fmt.Errorf("%s: instances that are written as one list can't be added to", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	if err := output.WriteFile(path, text, output.Mode); err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	a.printf("added to %s", path)
	return nil
}

func providerNames(set *rules.Set) []string {
	var out []string
	for id := range set.Providers {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

var errNotInstance = errors.New("--instance is not PROVIDER=URL[,KEY=VALUE…] (hint: as in --instance webapp=https://app.example.com,cookie=NAME; quell providers lists the providers)")

// parseInstance reads PROVIDER=URL[,KEY=VALUE…] with the keys of the file.
func parseInstance(s string, set *rules.Set) (policy.Instance, error) {
	provider, rest, ok := strings.Cut(s, "=")
	parts := strings.Split(rest, ",")
	if !ok || parts[0] == "" {
		return policy.Instance{}, errNotInstance
	}
	doc := map[string]any{"provider": provider, "url": parts[0], "own": true}
	// A public host is not the operator's own unless the policy declares it.
	if p, u := set.Providers[provider], parts[0]; p != nil {
		if parsed, err := url.Parse(u); err == nil && p.Has(parsed.Hostname()) {
			delete(doc, "own")
		}
	}
	for _, kv := range parts[1:] {
		k, v, ok := strings.Cut(kv, "=")
		if !ok {
			return policy.Instance{}, fmt.Errorf("--instance: what follows %s is not KEY=VALUE (hint: quell providers %s lists the keys)", parts[0], provider)
		}
		if name, ok := strings.CutPrefix(k, "headers."); ok {
			h, _ := doc["headers"].(map[string]any)
			if h == nil {
				h = map[string]any{}
				doc["headers"] = h
			}
			h[name] = v
			continue
		}
		doc[k] = v
		if v == "true" || v == "false" {
			doc[k] = v == "true"
		}
	}
	b, err := toml.Marshal(map[string]any{"version": 1, "instance": []any{doc}})
	if err != nil {
		return policy.Instance{}, fmt.Errorf("--instance: %w", err)
	}
	p, err := policy.Parse("--instance", b)
	if err != nil {
		return policy.Instance{}, err
	}
	return p.Instance[0], nil
}

// login is a credential of the operator's own that was found on this machine.
type login struct {
	provider *rules.Provider
	url      string
	ref      string // how a policy names it
	secret   rules.Secret
	instance bool // not the provider's public service
}

// logins are those that the providers' files know where to find.
func logins(set *rules.Set, getenv func(string) string) []login {
	var out []login
	for _, id := range slices.Sorted(maps.Keys(set.Providers)) {
		p := set.Providers[id]
		if p.Login == nil {
			continue
		}
		at := p.Login.URL
		if v := getenv(p.Login.URLEnv); p.Login.URLEnv != "" && v != "" {
			if at = v; !strings.Contains(at, "://") {
				at = "https://" + at
			}
		}
		ref, secret := clientLogin(p.Login, getenv)
		if at != "" && secret != "" {
			out = append(out, login{p, strings.TrimRight(at, "/"), ref, rules.NewSecretString(secret), at != p.Login.URL})
		}
	}
	return out
}

// clientLogin reads a credential where the provider's own client keeps it. A
// line of a larger file is not a place that a policy can name: ref is empty.
func clientLogin(l *rules.Login, getenv func(string) string) (ref, secret string) {
	for _, n := range l.Env {
		if v := getenv(n); v != "" {
			return "env:" + n, v
		}
	}
	rest, ok := strings.CutPrefix(l.File, "~/")
	if !ok || getenv("HOME") == "" {
		return "", ""
	}
	path := filepath.Join(getenv("HOME"), rest)
	b, err := os.ReadFile(path)
	if err != nil {
		return "", ""
	}
	if l.FileKey == "" {
		return "file:" + path, strings.TrimSpace(string(b))
	}
	for _, line := range strings.Split(string(b), "\n") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), l.FileKey); ok {
			return "", strings.Trim(strings.TrimSpace(v), `"'`)
		}
	}
	return "", ""
}

// identity is who a login is.
type identity struct {
	ids  []string // what decides: the login's own, and those of organisations that it owns
	name string
}

// ask asks the issuer who the login is.
func (l login) ask(ctx context.Context, d issuer.Doer) (identity, error) {
	u, err := url.Parse(l.url)
	if err != nil {
		return identity{}, errors.New("no URL")
	}
	if err := issuer.CheckURL(u); err != nil {
		return identity{}, err
	}
	in := &issuer.Instance{Provider: l.provider.ID, URL: u, Operator: l.instance, Public: !l.instance, Settings: map[string]string{}}
	ids, name, err := interp.Whoami(ctx, d, in, l.provider, l.secret)
	return identity{ids, name}, err
}

// write adds what a login owns to a policy. sole means that the operator has no
// server of their own that issues the provider's form.
func (l login) write(p *policy.Policy, who identity, sole bool) {
	in := policy.Instance{Provider: l.provider.ID, URL: l.url, Control: l.ref}
	if l.provider.Login.Admin {
		in.Own, in.Admin, in.Control = true, l.ref, ""
		addLogin(p, in)
		return
	}
	if sole {
		in.Elsewhere = new(bool)
	}
	if l.instance || sole || l.ref != "" {
		addLogin(p, in)
	}
	own := policy.Own{Provider: l.provider.ID, Identity: who.ids, Name: who.name}
	if l.instance {
		own.URL = l.url
	}
	p.Own = append(p.Own, own)
}

// without keeps the instance of a login that did not answer, without ownership, and prints a
// note.
func (l login) without(p *policy.Policy) string {
	if !l.instance {
		return "left out"
	}
	in := policy.Instance{Provider: l.provider.ID, URL: l.url, Control: l.ref}
	if l.provider.Login.Admin {
		in.Admin, in.Control = l.ref, ""
	}
	addLogin(p, in)
	return "the instance is in the policy, but nothing shows what is yours there"
}

// addLogin adds the instance of a login, or completes the one that the operator
// named: two for one server would be two issuers.
func addLogin(p *policy.Policy, in policy.Instance) {
	for i := range p.Instance {
		x := &p.Instance[i]
		if x.Same(in) {
			x.Own = x.Own || in.Own
			x.Admin, x.Control = cmp.Or(x.Admin, in.Admin), cmp.Or(x.Control, in.Control)
			if x.Elsewhere == nil {
				x.Elsewhere = in.Elsewhere
			}
			return
		}
	}
	p.Instance = append(p.Instance, in)
}

// confirm prompts on a terminal and reports whether the answer was no. It is false without a
// terminal.
func (a *app) confirm(format string, args ...any) bool {
	f, ok := a.in.(*os.File)
	if !ok {
		return false
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	fmt.Fprintf(a.err, "quell: "+format, args...)
	line, err := bufio.NewReader(f).ReadString('\n')
	if err != nil {
		return false
	}
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(line)), "n")
}
