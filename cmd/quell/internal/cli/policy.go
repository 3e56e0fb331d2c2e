package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"

	"github.com/quellhq/quell/cmd/quell/internal/output"
	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/revokers/interp"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
)

func (a *app) policy() *cobra.Command {
	c := &cobra.Command{Use: "policy", Short: "Make and check the file that says what is yours and what may be killed", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return errors.New("policy what? init or check") }}
	var instances []string
	var force bool
	init := &cobra.Command{Use: "init", Short: "Write a policy from your own logins and the instances that you name", Args: cobra.NoArgs,
		Long: `Write a policy from your own logins and the instances that you name.

Logins are taken from the environment (GITHUB_TOKEN, GITLAB_TOKEN with
GITLAB_HOST, GITEA_TOKEN with GITEA_SERVER_URL, VAULT_TOKEN with VAULT_ADDR) and
from the files of gh and Vault. Each is asked who you are and which
organisations you own; the answers become [[own]]. The tokens themselves are not
written: the policy names where they are.

  quell policy init --instance express=https://app.example.com,probe_path=/me,logout_path=/logout

An instance named here is taken to be yours: everything that it issues may be
killed. Its keys are those of [[instance]] in the policy file.`,
		RunE: func(c *cobra.Command, _ []string) error { return a.policyInit(c.Context(), instances, force) }}
	init.Flags().StringArrayVar(&instances, "instance", nil, "an issuer of yours, `PROVIDER=URL[,KEY=VALUE…]` (repeatable)")
	init.Flags().BoolVar(&force, "force", false, "replace an existing file")
	check := &cobra.Command{Use: "check", Short: "Read the policy and say what it allows", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		rt, err := a.runtime(mayLackSecrets)
		if err != nil {
			return err
		}
		for _, w := range policy.Warnings(rt.Instances) {
			fmt.Fprintln(a.out, "warning: "+w)
		}
		fmt.Fprintf(a.out, "kills: %s; at most %d in a run; plans are good for %s\n", map[bool]string{true: "off", false: "on"}[rt.Policy.Disabled()], rt.Policy.Max(), rt.Policy.MaxAge())
		for _, i := range rt.Instances {
			if i.Operator {
				fmt.Fprintf(a.out, "instance %s %s: own %v, admin %v, control %v\n", i.Provider, i.URL, i.Own, !i.Admin.IsZero(), len(i.Controls) > 0)
			}
		}
		for _, o := range rt.Policy.Own {
			where := o.Provider
			if o.URL != "" {
				where += " " + o.URL
			}
			fmt.Fprintf(a.out, "own at %s: %s %s\n", where, strings.Join(o.Identity, ", "), o.Name)
		}
		return nil
	}}
	c.AddCommand(init, check)
	return c
}

func (a *app) policyInit(ctx context.Context, instances []string, force bool) error {
	rt, err := a.runtime(mayLackSecrets)
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
			return fmt.Errorf("--instance: no provider %q (have %s)", in.Provider, strings.Join(providerNames(rt.Rules), ", "))
		}
		p.Instance = append(p.Instance, in)
	}
	if !a.offline {
		for _, l := range logins(a.getenv) {
			who, err := l.ask(ctx, rt.Doer)
			if err != nil {
				a.say("%s at %s: %v; left out", l.provider, l.url, err)
				continue
			}
			a.say("%s at %s: you are %s (%s)", l.provider, l.url, who.name, strings.Join(who.ids, ", "))
			l.write(p, who, slices.Contains(a.noSelfHosted, l.provider) || !l.instance && a.confirm("Does your organisation run a server of its own for %s? [Y/n] ", l.provider))
		}
	}
	if len(p.Instance)+len(p.Own) == 0 {
		return errors.New("no login was found and no instance named, so the policy would own nothing (quell: hint: --instance PROVIDER=URL)")
	}
	b, err := toml.Marshal(p)
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	if _, err := policy.Parse("policy", b); err != nil {
		return err
	}
	path := a.policyFile
	if a.output != "-" {
		path = a.output
	}
	if path == "" {
		path = rt.Dirs.PolicyFile()
	}
	if _, err := os.Stat(path); err == nil && !force {
		return fmt.Errorf("%s exists (quell: hint: --force replaces it)", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	if err := output.WriteFile(path, b, output.Mode); err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	a.say("wrote %s", path)
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

// parseInstance reads PROVIDER=URL[,KEY=VALUE…] with the keys of the file.
func parseInstance(s string, set *rules.Set) (policy.Instance, error) {
	provider, rest, ok := strings.Cut(s, "=")
	parts := strings.Split(rest, ",")
	if !ok || parts[0] == "" {
		return policy.Instance{}, fmt.Errorf("--instance %q is not PROVIDER=URL[,KEY=VALUE…]", s)
	}
	doc := map[string]any{"provider": provider, "url": parts[0], "own": true}
	// A host that strangers use too is not the operator's own unless they say so.
	if p, u := set.Providers[provider], parts[0]; p != nil {
		if parsed, err := url.Parse(u); err == nil && p.Has(parsed.Hostname()) {
			delete(doc, "own")
		}
	}
	for _, kv := range parts[1:] {
		k, v, ok := strings.Cut(kv, "=")
		if !ok {
			return policy.Instance{}, fmt.Errorf("--instance: %q is not KEY=VALUE", kv)
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
	provider string
	url      string
	ref      string // how a policy names it
	secret   rules.Secret
	instance bool // not the provider's public service
}

func logins(getenv func(string) string) []login {
	var out []login
	add := func(provider, u, ref, secret string, instance bool) {
		if secret != "" {
			out = append(out, login{provider, strings.TrimRight(u, "/"), ref, rules.NewSecretString(secret), instance})
		}
	}
	home := getenv("HOME")
	github := getenv("GITHUB_TOKEN")
	ref := "env:GITHUB_TOKEN"
	if github == "" {
		github, ref = getenv("GH_TOKEN"), "env:GH_TOKEN"
	}
	if github == "" {
		github, ref = ghToken(filepath.Join(home, ".config", "gh", "hosts.yml")), ""
	}
	add("github", "https://api.github.com", ref, github, false)
	host := getenv("GITLAB_HOST")
	if host != "" && !strings.Contains(host, "://") {
		host = "https://" + host
	}
	if host == "" {
		host = "https://gitlab.com"
	}
	add("gitlab", host, "env:GITLAB_TOKEN", getenv("GITLAB_TOKEN"), host != "https://gitlab.com")
	if u := getenv("GITEA_SERVER_URL"); u != "" {
		add("gitea", u, "env:GITEA_TOKEN", getenv("GITEA_TOKEN"), true)
	}
	if u := getenv("VAULT_ADDR"); u != "" {
		if t := getenv("VAULT_TOKEN"); t != "" {
			add("vault", u, "env:VAULT_TOKEN", t, true)
		} else if b, err := os.ReadFile(filepath.Join(home, ".vault-token")); err == nil {
			add("vault", u, "file:"+filepath.Join(home, ".vault-token"), strings.TrimSpace(string(b)), true)
		}
	}
	return out
}

// ghToken reads the token that gh keeps in its hosts file, where it does not
// use the system's keyring.
func ghToken(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for _, line := range strings.Split(string(b), "\n") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "oauth_token:"); ok {
			return strings.Trim(strings.TrimSpace(v), `"'`)
		}
	}
	return ""
}

// identity is who a login is.
type identity struct {
	ids  []string // what decides: the login's own, and those of organisations that it owns
	name string
}

// question is a call that says who a login is. Rows whose where does not match
// are left out: membership in an organisation is not ownership.
type question struct {
	path          string
	query         url.Values
	header        string
	prefix        string
	id, name      string // dotted paths
	where, equals string
}

// questions are the calls by provider.
var questions = map[string][]question{
	"github": {
		{path: "/user", header: "Authorization", prefix: "Bearer ", id: "id", name: "login"},
		{path: "/user/memberships/orgs", query: url.Values{"state": {"active"}, "per_page": {"100"}}, header: "Authorization", prefix: "Bearer ", id: "organization.id", where: "role", equals: "admin"},
	},
	"gitlab": {{path: "/api/v4/user", header: "PRIVATE-TOKEN", id: "id", name: "username"}},
	"gitea":  {{path: "/api/v1/user", header: "Authorization", prefix: "token ", id: "id", name: "login"}},
	"vault":  {{path: "/v1/auth/token/lookup-self", header: "X-Vault-Token", id: "data.accessor", name: "data.display_name"}},
}

// ask says who the login is.
func (l login) ask(ctx context.Context, d issuer.Doer) (identity, error) {
	var who identity
	u, err := url.Parse(l.url)
	if err != nil {
		return who, errors.New("no URL")
	}
	if err := issuer.CheckURL(u); err != nil {
		return who, err
	}
	in := &issuer.Instance{Provider: l.provider, URL: u, Operator: l.instance, Public: !l.instance}
	for n, q := range questions[l.provider] {
		h := http.Header{http.CanonicalHeaderKey(q.header): {q.prefix + l.secret.Reveal()}}
		a, err := d.Do(ctx, in, issuer.Request{Method: http.MethodGet, Path: q.path, Query: q.query, Header: h, Reads: true})
		if err != nil {
			return who, err
		}
		if a.Status != http.StatusOK {
			if n > 0 {
				continue // a login without the scope to list organisations owns itself
			}
			return who, fmt.Errorf("it answered %d", a.Status)
		}
		rows := interp.Rows(a.Body, q.where, q.equals, q.id, q.name)
		for _, r := range rows {
			if r[0] != "" && !slices.Contains(who.ids, r[0]) {
				who.ids = append(who.ids, r[0])
			}
			if who.name == "" {
				who.name = r[1]
			}
		}
	}
	if len(who.ids) == 0 {
		return who, errors.New("it does not say who you are")
	}
	return who, nil
}

// write adds what a login owns to a policy. sole means that the operator has no
// server of their own that issues the provider's form.
func (l login) write(p *policy.Policy, who identity, sole bool) {
	in := policy.Instance{Provider: l.provider, URL: l.url, Control: l.ref}
	if l.provider == "vault" {
		in.Own, in.Admin, in.Control = true, l.ref, ""
		p.Instance = append(p.Instance, in)
		return
	}
	if sole {
		in.Elsewhere = new(bool)
	}
	if l.instance || sole || l.ref != "" {
		p.Instance = append(p.Instance, in)
	}
	own := policy.Own{Provider: l.provider, Identity: who.ids, Name: who.name}
	if l.instance {
		own.URL = l.url
	}
	p.Own = append(p.Own, own)
}

// confirm asks a person at a terminal and reports whether the answer was no. It
// is false if there is nobody to ask.
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
