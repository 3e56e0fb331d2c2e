package run

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/natives"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// Planner decides what would be done about credentials.
type Planner struct {
	Set        *rules.Set
	Registry   *natives.Registry
	Policy     *policy.Policy
	Own        guard.Own // credentials that quell works with
	BreakGlass string
	Sealer     *config.Sealer
	Names      []string // of the recipients
	Redactor   *report.Redactor
	NoKill     bool // the environment's switch
	// Managed finds where Vaults keep credentials, by fingerprint; nil: it is not
	// looked for. least are the policies of what their use shows.
	Managed func(ctx context.Context, creds []credential.Credential) (places map[string][]string, least map[string]string)
}

// Plan makes the plan. It only reads.
func (p *Planner) Plan(ctx context.Context, checked []Checked) (*plan.Plan, error) {
	out := &plan.Plan{Version: 1, Created: time.Now().UTC(), BreakGlass: p.BreakGlass, Recipients: p.Names}
	done := 0
	// Refresh tokens first: they take access tokens with them, which then need
	// no request of their own.
	order := slices.Clone(checked)
	slices.SortStableFunc(order, func(a, b Checked) int { return rank(a.Kind) - rank(b.Kind) })
	for _, c := range order {
		item, err := p.item(ctx, c, done)
		if err != nil {
			return nil, err
		}
		if item.Kills() {
			done++
		}
		out.Items = append(out.Items, item)
	}
	if p.Managed != nil {
		var creds []credential.Credential
		for _, c := range checked {
			// A canary is sent nowhere, and a search sends some values to the Vault.
			if c.Verdict().Reason != revokers.Canary && !revokers.Honeytoken(p.Set, c.Credential) {
				creds = append(creds, c.Credential)
			}
		}
		places, least := p.Managed(ctx, creds)
		for i := range out.Items {
			out.Items[i].Managed, out.Items[i].Least = places[out.Items[i].Fingerprint], least[out.Items[i].Fingerprint]
		}
	}
	return out, ctx.Err()
}

func rank(k credential.Kind) int {
	if k == credential.KindRefresh {
		return 0
	}
	return 1
}

func (p *Planner) item(ctx context.Context, c Checked, done int) (plan.Item, error) {
	v := c.Verdict()
	it := plan.Item{Ref: c.Ref, Verdict: p.Redactor.Verdict(v), Action: plan.ActHeld}
	it.Redacted = c.Secret.Hint()
	for _, f := range c.Findings {
		it.Exposures = append(it.Exposures, p.Redactor.Location(f.Location))
	}
	var err error
	if it.Sealed, err = SealCredential(c.Credential, p.Sealer); err != nil {
		return it, err
	}
	if v.Liveness == revokers.Dead {
		it.Action = plan.ActNone
		return it, nil
	}
	if t := c.Target; t != nil {
		it.Instance, it.Seen, it.Captures = t.URL(), t.Seen, c.captures()
		it.Page, it.User, it.Namespace = t.Instance.Settings["probe_path"], t.Instance.Settings["user"], t.Instance.Settings["namespace"]
	}
	d := p.decide(ctx, c, done)
	d.fill(&it)
	return it, nil
}

func (c Checked) captures() map[string]string {
	if c.Answer == nil {
		return nil
	}
	return c.Answer.Captures
}

// decision is what policy and rules allow for one credential.
type decision struct {
	target   *revokers.Target
	revoke   *rules.Revoke
	steps    []revokers.Step
	effects  []revokers.Effect
	hold     *policy.Hold
	wait     bool // stateless: nothing ends it before it expires
	unproven string
	verdict  revokers.Verdict
}

// decide applies the policy. Apply calls it again with the answer of that time.
func (p *Planner) decide(ctx context.Context, c Checked, done int) decision {
	v := c.Verdict()
	d := decision{target: c.Target, verdict: v}
	r := p.Set.Rule(c.Rule)
	live := 0
	for _, x := range c.Verdicts {
		if x.Liveness == revokers.Live {
			live++
		}
	}
	q := policy.Question{Verdict: v, Rule: r, BreakGlass: p.BreakGlass != "", Done: done, OwnSecret: p.Own.Has(c.Secret)}
	for _, s := range c.Credential.Parts {
		q.OwnSecret = q.OwnSecret || p.Own.Has(s)
	}
	if t := c.Target; t != nil {
		q.Instance = t.Instance
		d.revoke, q.Missing = natives.Choose(*t)
		q.Rights = natives.Rights(*t, q.Missing)
		q.Revoke, q.Rotation = d.revoke, t.Instance.Rotate != nil
	}
	switch {
	case r != nil && r.Stateless && len(r.Revokes) == 0 && !q.Rotation && v.Reason != revokers.NoHost && v.Reason != revokers.Canary:
		d.wait = true
		return d
	case p.NoKill:
		d.hold = &policy.Hold{Reason: "QUELL_NO_KILL is set", Remedy: "unset QUELL_NO_KILL"}
	case live > 1:
		d.hold = &policy.Hold{Reason: fmt.Sprintf("%d instances answered that it is live, so its issuer is not certain", live), Remedy: "cookie or user of the [[instance]] entries in the policy, so that only the one that issued it fits"}
	case c.Target == nil && v.Reason != revokers.NoHost && v.Reason != revokers.Canary && r != nil && len(r.Revokes) > 0:
		d.hold = &policy.Hold{Reason: "which instance issued it is not certain: " + v.Detail, Remedy: orRemedy(v.Remedy)}
	default:
		d.hold = p.Policy.Decide(q)
	}
	if d.hold == nil {
		d.effectsOf(ctx, p.Registry, p.Policy, p.BreakGlass != "")
	}
	return d
}

func orRemedy(s string) string {
	if s == "" {
		return "quell plan when its issuer answers; or only that one as [[instance]] in the policy"
	}
	return s
}

// effectsOf plans the rotation and the revocation.
func (d *decision) effectsOf(ctx context.Context, reg *natives.Registry, pol *policy.Policy, breakGlass bool) {
	t := *d.target
	if rot := reg.Rotator(t); rot != nil {
		steps, err := rot.Steps(ctx, t)
		if err != nil {
			d.hold = &policy.Hold{Reason: err.Error(), Remedy: `[instance.rotate] in the policy, and an [[instance]] with provider = "vault" and admin = "env:NAME"`}
			return
		}
		if takes := takesOf(steps); takes != "" && !pol.Allows(rules.TierCollateral) {
			d.hold = &policy.Hold{Reason: "the rotation ends more than the one credential: " + takes, Remedy: fmt.Sprintf("kill.tiers with %q in the policy", rules.TierCollateral)}
			return
		}
		d.steps = steps
		for _, s := range steps {
			d.effects = append(d.effects, s.Effect)
		}
	}
	if d.revoke != nil {
		v, err := reg.Revoker(d.revoke)
		if err == nil {
			var es []revokers.Effect
			if es, err = v.Plan(ctx, []revokers.Target{t}); err == nil {
				d.effects = append(d.effects, es...)
			}
		}
		if err != nil {
			d.hold = &policy.Hold{Reason: "the revocation can't be planned: " + err.Error(), Remedy: "quell plan again, once the issuer answers or the [[instance]] in the policy has the setting that is named"}
			return
		}
	}
	d.unproven = unprovable(t, d.verdict)
	if d.unproven != "" && t.Kind == credential.KindSessionCookie && t.Rule.Probed() && d.verdict.Liveness == revokers.Live && !breakGlass {
		// A logout can't be taken back: its proof must be possible before.
		d.hold = &policy.Hold{Reason: "its death could not be proven: " + d.unproven, Remedy: "quell policy check --ask, which proposes settings for " + t.URL() + "; or --break-glass REASON"}
	}
}

// takesOf describes what the steps of a rotation end besides the one credential.
func takesOf(steps []revokers.Step) string {
	var out []string
	for _, s := range steps {
		if s.Collateral != "" {
			out = append(out, s.Collateral)
		}
	}
	return strings.Join(out, "; ")
}

// unprovable is the reason why a death could not be proven; empty if it can.
func unprovable(t revokers.Target, v revokers.Verdict) string {
	switch {
	case !t.Rule.Probed():
		return "nothing that only reads can tell whether it is live"
	case t.Seen == nil:
		return "it was not seen live"
	case v.Control != "" && v.Control != revokers.Live.String():
		return "the control of the instance is not live, so a refusal will prove nothing"
	}
	if t.Kind == credential.KindSessionCookie && t.Seen.Learned == "" && !documented(t) {
		return "the pages of sessions that were never issued have no form in common, and no dead_marker is set"
	}
	if _, has := guard.ControlOf(t); !has && t.Seen.Learned == "" {
		return "what a refusal looks like could not be learned, and no control is configured"
	}
	return ""
}

// documented reports whether a refusal is recognised by its own words.
func documented(t revokers.Target) bool {
	return t.Instance.Settings["dead_marker"] != "" || t.Rule.Probe.Native != "" ||
		slices.ContainsFunc(t.Rule.Probe.When, func(a rules.Arm) bool { return a.Then == "dead" && a.Condition() && a.Source != "" })
}

// fill writes the decision into the plan's item.
func (d decision) fill(it *plan.Item) {
	switch {
	case d.wait:
		it.Action = plan.ActWait
		return
	case d.hold != nil:
		it.Action, it.Hold = plan.ActHeld, d.hold
		return
	}
	it.Requests, it.Unprovable = d.effects, d.unproven
	it.Action = plan.ActRevoke
	if len(d.steps) > 0 {
		w := d.target.Instance.Rotate
		it.Action, it.Rotate = plan.ActRotate, &plan.Rotate{Vault: w.Vault, StaticRole: w.StaticRole, KV: w.KV}
		it.Settle, it.Tier, it.Scope = rules.Duration(10*time.Second), rules.TierAdmin, rules.ScopeUser
		it.Collateral = "whoever uses the old value and does not read the new one from Vault loses access"
		if takes := takesOf(d.steps); takes != "" {
			it.Tier, it.Collateral = rules.TierCollateral, it.Collateral+"; "+takes
		}
	}
	if r := d.revoke; r != nil {
		if len(d.steps) > 0 {
			it.Action = plan.ActRotateRevoke
		}
		takes, tier := takesOf(d.steps), r.Tier
		if takes != "" {
			tier = rules.TierCollateral
		}
		it.Revoke, it.Tier, it.Scope, it.Reversible, it.Collateral, it.Settle, it.Batch = r.ID, tier, r.Scope, r.Reversible, strings.TrimPrefix(r.Collateral+"; "+takes, "; "), r.Settle, r.Batch
		if takes == "" {
			it.Collateral = r.Collateral
		}
	}
	if _, carried := d.target.Stateless(); carried && strings.Contains(it.Revoke, "logout") {
		it.Scope = rules.ScopeNone
	}
	if s := d.target.Instance.Settle; s > 0 {
		it.Settle = rules.Duration(s)
	}
}

// ActionOf renders item number n of a plan, counted from 1.
func ActionOf(n int, it plan.Item) report.Action {
	a := report.Action{Item: n, Ref: it.Ref, Instance: it.Instance, Action: it.Action, Method: it.Revoke, Tier: it.Tier, Scope: it.Scope,
		Reversible: it.Reversible, Collateral: it.Collateral, Requests: it.Requests, Unprovable: it.Unprovable, Managed: it.Managed, Least: it.Least}
	if u, err := url.Parse(it.Instance); err == nil {
		a.Host = u.Host
	}
	if it.Seen != nil {
		a.Endpoint = it.Seen.Endpoint
	}
	if it.Hold != nil {
		a.Held, a.Remedy = it.Hold.Reason, it.Hold.Remedy
	}
	if it.Action == plan.ActWait {
		until := "its expiry, which is not known"
		if t := it.Verdict.Expires; t != nil {
			until = t.Format(time.RFC3339)
		} else if t := it.Offline.Expires; t != nil {
			until = t.Format(time.RFC3339)
		}
		a.Detail = "stateless: its issuer can't end it; it is accepted until " + until
		a.Remedy = "roll the key that signs it, which ends everyone's; or wait"
	}
	if it.Action == plan.ActNone {
		a.Detail = "it is dead already: " + string(it.Verdict.Reason)
	}
	return a
}
