package cli

import (
	"context"
	"encoding/json"
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
	"github.com/quellhq/quell/revokers"
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
		fmt.Fprintf(a.out, "kills: %s; at most %d in a run; plans are good for %s\n", map[bool]string{true: "off", false: "on"}[rt.Policy.Disabled()], rt.Policy.Max(), rt.Policy.MaxAge())
		for _, i := range rt.Prober.Instances {
			if i.Operator {
				fmt.Fprintf(a.out, "instance %s %s: own %v, admin %v, control %v\n", i.Provider, i.URL, i.Own, !i.Admin.IsZero(), !i.Control.IsZero())
			}
		}
		for _, o := range rt.Policy.Own {
			fmt.Fprintf(a.out, "own at %s: %s\n", o.Provider, strings.Join(o.Identity, ", "))
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
		in, err := parseInstance(s)
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
			who, err := l.ask(ctx, rt.Prober.Client)
			if err != nil {
				a.say("%s at %s: %v; left out", l.provider, l.url, err)
				continue
			}
			a.say("%s at %s: you are %s", l.provider, l.url, strings.Join(who, ", "))
			if l.instance {
				in := policy.Instance{Provider: l.provider, URL: l.url, Control: l.ref}
				if l.provider == "vault" {
					in.Own, in.Admin, in.Control = true, l.ref, ""
				}
				p.Instance = append(p.Instance, in)
			}
			if l.provider != "vault" {
				p.Own = append(p.Own, policy.Own{Provider: l.provider, Identity: who})
			}
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
func parseInstance(s string) (policy.Instance, error) {
	provider, rest, ok := strings.Cut(s, "=")
	parts := strings.Split(rest, ",")
	if !ok || parts[0] == "" {
		return policy.Instance{}, fmt.Errorf("--instance %q is not PROVIDER=URL[,KEY=VALUE…]", s)
	}
	doc := map[string]any{"provider": provider, "url": parts[0], "own": true}
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

// asks are the calls that tell who a login is and which organisations it owns.
var asks = map[string][]struct{ path, header, prefix, field string }{
	"github": {{"/user", "Authorization", "Bearer ", "login"}, {"/user/orgs?per_page=100", "Authorization", "Bearer ", "login"}},
	"gitlab": {{"/api/v4/user", "PRIVATE-TOKEN", "", "id"}, {"/api/v4/user", "PRIVATE-TOKEN", "", "username"}, {"/api/v4/groups?owned=true&per_page=100", "PRIVATE-TOKEN", "", "full_path"}},
	"gitea":  {{"/api/v1/user", "Authorization", "token ", "login"}, {"/api/v1/user/orgs?limit=50", "Authorization", "token ", "username"}},
	"vault":  {{"/v1/auth/token/lookup-self", "X-Vault-Token", "", "data.display_name"}},
}

// ask says who the login is: names and ids that a probe's identity may hold.
func (l login) ask(ctx context.Context, client *revokers.Client) ([]string, error) {
	u, err := url.Parse(l.url)
	if err != nil {
		return nil, errors.New("no URL")
	}
	if err := revokers.CheckURL(u); err != nil {
		return nil, err
	}
	in := &revokers.Instance{Provider: l.provider, URL: u, Operator: l.instance}
	var who []string
	for _, q := range asks[l.provider] {
		a, err := client.Do(ctx, in, http.MethodGet, q.path, nil, http.Header{http.CanonicalHeaderKey(q.header): {q.prefix + l.secret.Reveal()}}, nil)
		if err != nil {
			return nil, err
		}
		if a.Status != http.StatusOK {
			return nil, fmt.Errorf("it answered %d", a.Status)
		}
		var doc any
		if err := json.Unmarshal(a.Body, &doc); err != nil {
			return nil, errors.New("it answered no JSON")
		}
		for _, v := range revokers.Fields(doc, q.field) {
			if v != "" && !slices.Contains(who, v) {
				who = append(who, v)
			}
		}
	}
	if len(who) == 0 {
		return nil, errors.New("it does not say who you are")
	}
	return who, nil
}
