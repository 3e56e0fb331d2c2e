// Package policy says what may be probed, revoked and rotated, and for what is
// not allowed, why not and which lever would free it.
package policy

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

// Policy is the operator's file.
type Policy struct {
	Version    int        `toml:"version"`
	Kill       Kill       `toml:"kill,omitempty"`
	Own        []Own      `toml:"own,omitempty"`
	Instance   []Instance `toml:"instance,omitempty"`
	Canaries   []string   `toml:"canaries,omitempty"`   // fingerprints that are never contacted
	Recipients []string   `toml:"recipients,omitempty"` // age public keys that plans are sealed to
}

// Kill bounds what may be ended.
type Kill struct {
	Disabled bool           `toml:"disabled,omitempty"` // the switch: nothing is killed
	Tiers    []rules.Tier   `toml:"tiers,omitempty"`    // default self and admin
	Max      int            `toml:"max,omitempty"`      // kills in one run, default 25
	MaxAge   rules.Duration `toml:"max_age,omitempty"`  // how old a plan may be, default 15 minutes
}

// Own is who the operator is at an issuer whose other users are strangers.
type Own struct {
	Provider string   `toml:"provider"`
	Identity []string `toml:"identity"` // logins, user ids, organisations, teams, as a probe tells them
}

// Instance is an issuer that the operator names.
type Instance struct {
	Provider     string         `toml:"provider"`
	URL          string         `toml:"url"`
	Own          bool           `toml:"own,omitempty"` // all that it issues is ours
	Cookie       string         `toml:"cookie,omitempty"`
	ProbePath    string         `toml:"probe_path,omitempty"`
	LogoutPath   string         `toml:"logout_path,omitempty"`
	LoginPath    string         `toml:"login_path,omitempty"`
	LiveMarker   string         `toml:"live_marker,omitempty"`
	DeadMarker   string         `toml:"dead_marker,omitempty"`
	User         string         `toml:"user,omitempty"`
	Namespace    string         `toml:"namespace,omitempty"`
	Settle       rules.Duration `toml:"settle,omitempty"`
	Admin        string         `toml:"admin,omitempty"` // env:NAME or file:PATH, like the other secrets
	ClientID     string         `toml:"client_id,omitempty"`
	ClientSecret string         `toml:"client_secret,omitempty"`
	Control      string         `toml:"control,omitempty"`
	Rotate       *Rotate        `toml:"rotate,omitempty"`
}

// Rotate says where Vault manages what the instance issues.
type Rotate struct {
	Vault      string `toml:"vault"`
	StaticRole string `toml:"static_role,omitempty"`
	KV         string `toml:"kv,omitempty"`
	Value      string `toml:"value,omitempty"`
}

// Load reads a policy file. A missing file is an error only where it was asked
// for by name.
func Load(path string, named bool) (*Policy, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && !named {
		return &Policy{Version: 1}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	return Parse(path, b)
}

// Parse reads a policy.
func Parse(name string, b []byte) (*Policy, error) {
	p := &Policy{}
	if err := config.ReadTOML(name, b, p); err != nil {
		return nil, err
	}
	if p.Version != 1 {
		return nil, fmt.Errorf("%s: version %d is not 1, the only one that this quell knows", name, p.Version)
	}
	for _, t := range p.Kill.Tiers {
		if !slices.Contains([]rules.Tier{rules.TierSelf, rules.TierAdmin, rules.TierCollateral}, t) {
			return nil, fmt.Errorf("%s: tier %q is not self, admin or collateral", name, t)
		}
	}
	for n, i := range p.Instance {
		u, err := url.Parse(i.URL)
		if err != nil || i.Provider == "" {
			return nil, fmt.Errorf("%s: instance %d needs a provider and a URL", name, n+1)
		}
		refs := []string{i.Admin, i.ClientSecret, i.Control}
		if i.Rotate != nil {
			refs = append(refs, i.Rotate.Value)
		}
		for _, r := range refs {
			if r != "" && !strings.HasPrefix(r, "env:") && !strings.HasPrefix(r, "file:") {
				return nil, fmt.Errorf("%s: instance %d: a secret is named as env:NAME or file:PATH, never written out", name, n+1)
			}
		}
		if err := revokers.CheckURL(u); err != nil {
			return nil, fmt.Errorf("%s: instance %d: %w", name, n+1, err)
		}
	}
	return p, nil
}

// Instances are the issuers of a run: those of the providers' files, and the
// operator's with their secrets read. A secret that can't be read is for missing
// to judge: a run that kills needs it, one that asks can do without.
func (p *Policy) Instances(set *rules.Set, getenv func(string) string, missing func(error) error) (revokers.Instances, error) {
	var out revokers.Instances
	for _, id := range slices.Sorted(mapsKeys(set.Providers)) {
		for _, h := range set.Providers[id].Hosts {
			out = append(out, &revokers.Instance{Provider: id, URL: &url.URL{Scheme: "https", Host: h}})
		}
	}
	for _, i := range p.Instance {
		if set.Providers[i.Provider] == nil {
			return nil, fmt.Errorf("policy: no provider %q (quell: hint: quell rules list)", i.Provider)
		}
		u, _ := url.Parse(strings.TrimRight(i.URL, "/"))
		in := &revokers.Instance{Provider: i.Provider, URL: u, Operator: true, Own: i.Own, Cookie: i.Cookie, Settle: time.Duration(i.Settle), ClientID: i.ClientID,
			Settings: map[string]string{"probe_path": i.ProbePath, "logout_path": i.LogoutPath, "login_path": i.LoginPath, "live_marker": i.LiveMarker, "dead_marker": i.DeadMarker, "user": i.User, "namespace": i.Namespace}}
		type slot struct {
			ref string
			to  *rules.Secret
		}
		slots := []slot{{i.Admin, &in.Admin}, {i.ClientSecret, &in.ClientSecret}, {i.Control, &in.Control}}
		if r := i.Rotate; r != nil {
			in.Rotate = &revokers.RotateWith{Vault: strings.TrimRight(r.Vault, "/"), StaticRole: r.StaticRole, KV: r.KV}
			slots = append(slots, slot{r.Value, &in.Rotate.Value})
		}
		for _, s := range slots {
			v, err := config.ReadSecret(s.ref, getenv)
			if err != nil {
				if err := missing(fmt.Errorf("policy: instance %s: %w", u.Host, err)); err != nil {
					return nil, err
				}
			}
			*s.to = v
		}
		out = append(out, in)
	}
	return out, nil
}

func mapsKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// MaxAge is how old a plan may be.
func (p *Policy) MaxAge() time.Duration {
	if p.Kill.MaxAge > 0 {
		return time.Duration(p.Kill.MaxAge)
	}
	return 15 * time.Minute
}

// Max is how many kills one run may make.
func (p *Policy) Max() int {
	if p.Kill.Max > 0 {
		return p.Kill.Max
	}
	return 25
}

func (p *Policy) allows(t rules.Tier) bool {
	if len(p.Kill.Tiers) == 0 {
		return t == rules.TierSelf || t == rules.TierAdmin
	}
	return slices.Contains(p.Kill.Tiers, t)
}

// Hold is why something is not done, and what would free it.
type Hold struct {
	Why   string `json:"why"`
	Lever string `json:"lever"`
}

// Question is what is known when a kill is decided.
type Question struct {
	Verdict    revokers.Verdict
	Rule       *rules.Rule
	Instance   *revokers.Instance
	Revoke     *rules.Revoke // nil: none that the operator's settings allow
	Missing    string        // the setting that a revocation lacks
	Rotation   bool          // Vault replaces it
	OwnSecret  bool          // quell's own credential, or the operator's
	BreakGlass bool
	Done       int // kills decided before in this run
}

// Decide gives the hold, or nil where the kill may go ahead.
func (p *Policy) Decide(q Question) *Hold {
	switch {
	case p.Kill.Disabled:
		return &Hold{"the kill switch is on", "kill.disabled = false in the policy, or unset QUELL_NO_KILL"}
	case q.OwnSecret:
		return &Hold{"it is the operator's or quell's own credential", "none: rotate it by hand"}
	case q.Verdict.Reason == revokers.Canary:
		return &Hold{"it is a canary", "none: whoever set it out wants to know"}
	case q.Verdict.Reason == revokers.NoHost:
		return &Hold{q.Verdict.Detail, "an [[instance]] in the policy: quell policy init --instance PROVIDER=URL"}
	case q.Revoke == nil && q.Rotation:
	case q.Revoke == nil && q.Missing != "":
		return &Hold{"the revocation needs " + q.Missing + " at the instance", q.Missing + " = … of the [[instance]] in the policy"}
	case q.Revoke == nil:
		return &Hold{"no revocation of this kind is known", "none: end it at the issuer; " + docs(q.Rule)}
	}
	if q.Verdict.Liveness == revokers.Unknown && q.Verdict.Reason != revokers.Unsupported && !q.BreakGlass {
		return &Hold{"it is not known to be live: " + q.Verdict.Reason, "ask again later, or --break-glass REASON"}
	}
	if !p.owns(q) && !q.BreakGlass {
		return &Hold{"nothing shows that it is yours", "own = true of the [[instance]], or [[own]] with its identity, in the policy; or --break-glass REASON"}
	}
	if q.Revoke != nil && !p.allows(q.Revoke.Tier) {
		return &Hold{"the revocation breaks more than the one credential: " + q.Revoke.Collateral, fmt.Sprintf("kill.tiers with %q in the policy", q.Revoke.Tier)}
	}
	if q.Done >= p.Max() {
		return &Hold{fmt.Sprintf("the run has its %d kills", p.Max()), "kill.max in the policy"}
	}
	return nil
}

func docs(r *rules.Rule) string {
	if r != nil && r.Provider != nil && r.Provider.Docs != "" {
		return "see " + r.Provider.Docs
	}
	return "see its documentation"
}

// owns reports whether the issuer's own words, or the operator's about the
// instance, show that the credential is the operator's.
func (p *Policy) owns(q Question) bool {
	if q.Instance == nil {
		return false
	}
	if q.Instance.Own {
		return true
	}
	for _, o := range p.Own {
		if o.Provider != q.Instance.Provider {
			continue
		}
		for _, k := range []string{"subject", "owner", "username", "team", "login", "user_id"} {
			if v := q.Verdict.Identity[k]; v != "" && slices.Contains(o.Identity, v) {
				return true
			}
		}
	}
	return false
}

// Disabled reports whether the switch that stops all killing is on.
func (p *Policy) Disabled() bool { return p.Kill.Disabled }
