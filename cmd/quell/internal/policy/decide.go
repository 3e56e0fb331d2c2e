package policy

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
)

// Hold is the reason why something is not done, and the setting that would allow it.
type Hold struct {
	Reason string `json:"why"`
	Remedy string `json:"remedy"`
}

// UnmarshalJSON also reads the former key "lever".
func (h *Hold) UnmarshalJSON(b []byte) error {
	var old struct{ Why, Remedy, Lever string }
	if err := json.Unmarshal(b, &old); err != nil {
		return err
	}
	*h = Hold{old.Why, old.Remedy}
	if h.Remedy == "" {
		h.Remedy = old.Lever
	}
	return nil
}

// Question is what is known when quell decides about a kill.
type Question struct {
	Verdict    revokers.Verdict
	Rule       *rules.Rule
	Instance   *issuer.Instance
	Revoke     *rules.Revoke // nil: the operator's settings allow none
	Missing    string        // the setting that a revocation lacks
	Rights     string        // the least rights of that setting's credential; may be empty
	Rotation   bool          // Vault replaces it
	OwnSecret  bool          // a credential that quell itself uses
	BreakGlass bool
	Done       int // kills decided before in this plan
}

// Switch returns the hold of the kill switch.
func Switch() *Hold {
	return &Hold{"the kill switch is on", "kill.disabled = false in the policy, or unset QUELL_NO_KILL"}
}

// Decide returns the hold, or nil if the kill may go ahead.
func (p *Policy) Decide(q Question) *Hold {
	switch {
	case p.Kill.Disabled:
		return Switch()
	case q.OwnSecret:
		return &Hold{"it is a credential that quell works with", "none: rotate it by hand"}
	case q.Verdict.Reason == revokers.Canary:
		return &Hold{"it is a canary", "none: whoever placed it wants to know"}
	case q.Verdict.Reason == revokers.NoHost:
		remedy := q.Verdict.Remedy
		if remedy == "" {
			remedy = instanceRemedy(q.Rule)
		}
		return &Hold{q.Verdict.Detail, remedy}
	case q.Revoke == nil && q.Rotation:
	case q.Revoke == nil && q.Missing != "":
		why := "the revocation needs " + q.Missing + " at the instance"
		if q.Rights != "" {
			why += ", with these rights at least: " + q.Rights
		}
		return &Hold{why, revokers.SettingRemedy(q.Missing)}
	case q.Revoke == nil:
		return &Hold{noRevocation(q.Rule), "none: end it at the issuer; " + docs(q.Rule)}
	}
	if h := liveEnough(q); h != nil {
		return h
	}
	if !p.Owns(q.Instance, q.Rule, q.Verdict.Identity) && !q.BreakGlass {
		return &Hold{"nothing shows that it is yours", ownRemedy(q)}
	}
	if q.Revoke != nil && !p.Allows(q.Revoke.Tier) {
		if q.Revoke.Tier == rules.TierCollateral {
			return &Hold{"the revocation takes more than the one credential: " + q.Revoke.Collateral, fmt.Sprintf("kill.tiers with %q in the policy", q.Revoke.Tier)}
		}
		return &Hold{fmt.Sprintf("the policy does not allow revocations of tier %s", q.Revoke.Tier), fmt.Sprintf("kill.tiers with %q in the policy", q.Revoke.Tier)}
	}
	if q.Revoke == nil && !p.Allows(rules.TierAdmin) {
		return &Hold{"the policy does not allow rotations, which are of tier admin", `kill.tiers with "admin" in the policy`}
	}
	if q.Done >= p.Max() {
		return &Hold{fmt.Sprintf("the plan has its %d kills", p.Max()), "kill.max in the policy"}
	}
	return nil
}

// liveEnough holds a credential that is not known to be live, unless no read-only request can
// find out.
func liveEnough(q Question) *Hold {
	v := q.Verdict
	switch {
	case v.Liveness == revokers.Live && !v.NegativeControl:
		return &Hold{"the endpoint did not answer about a credential that was never issued, so live proves little", "quell plan, once it answers"}
	case v.Liveness == revokers.Unknown && v.Reason != revokers.Unsupported && !q.BreakGlass:
		remedy := v.Remedy
		if remedy == "" {
			remedy = "quell plan later"
		}
		return &Hold{"it is not known to be live: " + string(v.Reason), remedy + "; or --break-glass REASON"}
	}
	return nil
}

// noRevocation returns the reason why no request ends a credential of the rule.
func noRevocation(r *rules.Rule) string {
	if r != nil && r.Note != "" {
		return "no revocation of this kind is known: " + r.Note
	}
	return "no revocation of this kind is known"
}

// instanceRemedy names the command that adds an issuer.
func instanceRemedy(r *rules.Rule) string {
	id := "PROVIDER"
	if r != nil && r.Provider != nil {
		id = r.Provider.ID
	}
	return "quell policy add --instance " + id + "=URL, for the issuer that it belongs to"
}

func ownRemedy(q Question) string {
	const glass = "--break-glass REASON"
	field := ""
	if q.Rule != nil && q.Rule.Owner() != "" && q.Verdict.Identity[q.Rule.Owner()] != "" {
		field = fmt.Sprintf("identity = [%q], if that is you", q.Verdict.Identity[q.Rule.Owner()])
	}
	switch operator := q.Instance == nil || q.Instance.Operator; {
	case operator && field == "":
		return "own = true of the [[instance]] in the policy; or " + glass
	case operator:
		return fmt.Sprintf("own = true of the [[instance]], or [[own]] with %s, in the policy; or %s", field, glass)
	case field == "":
		return glass // the issuer reports nothing that [[own]] could name
	}
	return fmt.Sprintf("[[own]] provider = %q with %s, in the policy; or %s", q.Instance.Provider, field, glass)
}

func docs(r *rules.Rule) string {
	if r != nil && r.Provider != nil && r.Provider.Docs != "" {
		return "see " + r.Provider.Docs
	}
	return "see its documentation"
}

// Owns reports whether the operator owns a credential of the rule at an
// instance: everything there is the operator's, or the issuer reported an
// identity of the operator's in the field that decides.
func (p *Policy) Owns(i *issuer.Instance, r *rules.Rule, identity map[string]string) bool {
	if i == nil {
		return false
	}
	if i.Own {
		return true
	}
	if r == nil {
		return false
	}
	for _, field := range r.Owners() {
		who := identity[field]
		for _, o := range p.Own {
			if who != "" && o.Provider == i.Provider && p.appliesTo(o, i) && slices.Contains(o.Identity, who) {
				return true
			}
		}
	}
	return false
}

// appliesTo reports whether an identity counts at an instance. An identity without a URL counts
// only at the provider's public hosts: on another server the same number is a different user.
func (p *Policy) appliesTo(o Own, i *issuer.Instance) bool {
	if o.URL != "" {
		return same(o.URL, i.URL.String())
	}
	return !i.Operator || i.Public
}

func same(a, b string) bool {
	u, err := url.Parse(a)
	v, err2 := url.Parse(b)
	return err == nil && err2 == nil && u.Scheme == v.Scheme && strings.EqualFold(u.Host, v.Host) && strings.TrimRight(u.Path, "/") == strings.TrimRight(v.Path, "/")
}
