package run

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/vault"
	"github.com/quellhq/quell/rules"
)

// Planner decides what would be done about credentials.
type Planner struct {
	Prober     *revokers.Prober
	Policy     *policy.Policy
	Own        []rules.Secret // credentials that quell itself runs under
	BreakGlass string
	Recipients []age.Recipient
	Names      []string // of the recipients
	Redactor   *report.Redactor
	NoKill     bool // the environment's switch
}

// Plan makes the plan.
func (p *Planner) Plan(ctx context.Context, creds []rules.Credential, verdicts []revokers.Verdict) (*plan.Plan, error) {
	out := &plan.Plan{Version: 1, Created: time.Now().UTC(), BreakGlass: p.BreakGlass, Recipients: p.Names}
	done := 0
	// Refresh tokens first: they take access tokens with them, which then need
	// no request of their own.
	order := make([]int, len(creds))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return rank(creds[a]) - rank(creds[b]) })
	for _, i := range order {
		item, err := p.item(creds[i], verdicts[i], done)
		if err != nil {
			return nil, err
		}
		if item.Kills() {
			done++
		}
		out.Items = append(out.Items, item)
	}
	return out, ctx.Err()
}

func rank(c rules.Credential) int {
	if c.Kind == rules.KindRefresh {
		return 0
	}
	return 1
}

func (p *Planner) item(c rules.Credential, v revokers.Verdict, done int) (plan.Item, error) {
	it := plan.Item{Ref: c.Ref, Verdict: p.Redactor.Verdict(v), Action: plan.ActHeld}
	it.Redacted = c.Secret.Hint()
	for _, f := range c.Findings {
		it.Exposures = append(it.Exposures, p.Redactor.Location(f.Location))
	}
	var err error
	if it.Sealed, err = config.Seal([]byte(c.Secret.Reveal()), p.Recipients); err != nil {
		return it, err
	}
	if v.Liveness == revokers.Dead {
		it.Action = plan.ActNone
		return it, nil
	}
	q := policy.Question{Verdict: v, Rule: p.Prober.Set.Rule(c.Rule), BreakGlass: p.BreakGlass != "", Done: done, OwnSecret: owned(c.Secret, p.Own)}
	x, err := p.Prober.Exchange(c)
	if err == nil {
		q.Instance = x.Instance
		it.Instance = x.Instance.URL.String()
		q.Revoke, q.Missing = pick(x)
		if w := x.Instance.Rotate; w != nil {
			q.Rotation = true
			it.Rotate = &plan.Rotate{Vault: w.Vault, StaticRole: w.StaticRole, KV: w.KV}
		}
	}
	if r := q.Rule; r != nil && r.Stateless && len(r.Revokes) == 0 && it.Rotate == nil && v.Reason != revokers.NoHost {
		it.Action = plan.ActWait
		return it, nil
	}
	if p.NoKill {
		it.Hold = &policy.Hold{Why: "QUELL_NO_KILL is set", Lever: "unset it"}
		return it, nil
	}
	if err != nil && v.Reason != revokers.NoHost && q.Rule != nil && len(q.Rule.Revokes) > 0 {
		it.Hold = &policy.Hold{Why: err.Error(), Lever: "ask again once its issuer answers, or name only that one in the policy"}
		return it, nil
	}
	if it.Hold = p.Policy.Decide(q); it.Hold != nil {
		return it, nil
	}
	it.Action = plan.ActRevoke
	if it.Rotate != nil {
		it.Action = plan.ActRotate
		if rx, err := p.vault(x); err != nil {
			it.Action, it.Hold = plan.ActHeld, &policy.Hold{Why: err.Error(), Lever: "an [[instance]] of vault with its admin token in the policy"}
			return it, nil
		} else {
			it.Requests = append(it.Requests, vault.Rotator{Exchange: rx, With: *x.Instance.Rotate}.Preview()...)
		}
		it.Settle = rules.Duration(10 * time.Second)
		it.Tier, it.Scope = rules.TierAdmin, "all sessions of the user"
		it.Collateral = "whoever uses the old value and does not read the new one from Vault loses access"
	}
	if r := q.Revoke; r != nil {
		if it.Rotate != nil {
			it.Action = plan.ActRotateRevoke
		}
		it.Revoke, it.Tier, it.Scope, it.Reversible, it.Collateral, it.Settle = r.ID, r.Tier, r.Scope, r.Reversible, r.Collateral, r.Settle
		it.Requests = append(it.Requests, p.preview(x, r)...)
	}
	if x.Instance.Settle > 0 {
		it.Settle = rules.Duration(x.Instance.Settle)
	}
	return it, nil
}

// pick chooses the first revocation whose needs the operator's settings meet.
func pick(x *revokers.Exchange) (*rules.Revoke, string) {
	missing := ""
	for i := range x.Rule.Revokes {
		r := &x.Rule.Revokes[i]
		if len(r.Only) > 0 && !slices.Contains(r.Only, x.Instance.Host()) {
			continue
		}
		m, ok := x.Has(r.Needs)
		if ok {
			return r, ""
		}
		missing = m
	}
	return nil, missing
}

func (p *Planner) preview(x *revokers.Exchange, r *rules.Revoke) []revokers.Preview {
	if r.Native != "" {
		return p.Prober.Natives.Revokes[r.Native].Preview(x)
	}
	var out []revokers.Preview
	for _, s := range r.Steps {
		out = append(out, x.Preview(s.Request))
	}
	return append(out, x.Preview(r.Request))
}

func (p *Planner) vault(x *revokers.Exchange) (*revokers.Exchange, error) {
	return vaultFor(p.Prober, x)
}

// vaultFor finds the named Vault that rotates what x's instance issues.
func vaultFor(p *revokers.Prober, x *revokers.Exchange) (*revokers.Exchange, error) {
	for _, i := range p.Instances {
		if i.Provider == "vault" && strings.TrimRight(i.URL.String(), "/") == x.Instance.Rotate.Vault {
			if i.Admin.IsZero() {
				return nil, fmt.Errorf("the Vault instance %s has no admin token", i.Host())
			}
			return &revokers.Exchange{Client: p.Client, Instance: i}, nil
		}
	}
	host := x.Instance.Rotate.Vault
	if u, err := url.Parse(host); err == nil {
		host = u.Host
	}
	return nil, fmt.Errorf("the policy names no Vault instance %s", host)
}

func owned(s rules.Secret, own []rules.Secret) bool {
	return slices.ContainsFunc(own, func(o rules.Secret) bool { return !o.IsZero() && o.Equal(s) })
}

// OwnSecrets are the credentials that quell runs under: those of the policy's
// instances, and those that its environment holds.
func OwnSecrets(list revokers.Instances, getenv func(string) string) []rules.Secret {
	var out []rules.Secret
	for _, i := range list {
		out = append(out, i.Admin, i.ClientSecret, i.Control)
		if _, pass, ok := strings.Cut(i.Admin.Reveal(), ":"); ok {
			out = append(out, rules.NewSecretString(pass))
		}
	}
	for _, n := range []string{"GITHUB_TOKEN", "GH_TOKEN", "ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "GITLAB_TOKEN", "CI_JOB_TOKEN", "VAULT_TOKEN", "GITEA_TOKEN", "SLACK_TOKEN"} {
		if v := getenv(n); v != "" {
			out = append(out, rules.NewSecretString(v))
		}
	}
	return out
}

// ActionOf renders an item.
func ActionOf(it plan.Item) report.Action {
	a := report.Action{Ref: it.Ref, Action: it.Action, Method: it.Revoke, Tier: it.Tier, Scope: it.Scope,
		Reversible: it.Reversible, Collateral: it.Collateral, Requests: it.Requests}
	if u, err := url.Parse(it.Instance); err == nil {
		a.Host = u.Host
	}
	if it.Hold != nil {
		a.Held, a.Lever = it.Hold.Why, it.Hold.Lever
	}
	if it.Action == plan.ActWait {
		until := "its expiry, which nothing tells"
		if t := it.Verdict.Expires; t != nil {
			until = t.Format(time.RFC3339)
		} else if t := it.Offline.Expires; t != nil {
			until = t.Format(time.RFC3339)
		}
		a.Detail = "stateless: its issuer can't end it; it is accepted until " + until
	}
	if it.Action == plan.ActNone {
		a.Detail = "it is dead already: " + it.Verdict.Reason
	}
	return a
}
