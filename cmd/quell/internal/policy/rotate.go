package policy

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// Rotate configures how Vault replaces what the instance issues, and where consumers read the
// replacement. See issuer.Rotation.
type Rotate struct {
	Vault      string   `toml:"vault"`
	Rule       string   `toml:"rule,omitempty"`
	Engine     string   `toml:"engine,omitempty"`
	StaticRole string   `toml:"static_role,omitempty"`
	OtherRole  string   `toml:"other_role,omitempty"`
	OtherUser  string   `toml:"other_user,omitempty"`
	UserField  string   `toml:"user_field,omitempty"`
	Root       string   `toml:"root,omitempty"`
	Lease      string   `toml:"lease,omitempty"`
	AppRole    string   `toml:"approle,omitempty"`
	Reissue    bool     `toml:"reissue,omitempty"`
	TokenRole  string   `toml:"token_role,omitempty"`
	Policies   []string `toml:"policies,omitempty"`
	UserPass   string   `toml:"userpass,omitempty"`
	PKI        string   `toml:"pki,omitempty"`
	Transit    string   `toml:"transit,omitempty"`
	Entity     string   `toml:"entity,omitempty"`
	Accessors  []string `toml:"accessors,omitempty"`
	Tokens     bool     `toml:"tokens,omitempty"`
	KV         string   `toml:"kv,omitempty"`
	Value      string   `toml:"value,omitempty"`
	Generate   string   `toml:"generate,omitempty"`
	Destroy    bool     `toml:"destroy,omitempty"`
	Stores     []string `toml:"stores,omitempty"`
	Sessions   bool     `toml:"sessions,omitempty"`
	Reload     *Reload  `toml:"reload,omitempty"`
}

// Reload is how quell observes that consumers have reloaded before the old value ends.
type Reload struct {
	URL    string `toml:"url,omitempty"`
	Marker string `toml:"marker,omitempty"`
	// Audit is an audit device, and AuditLog the file that it writes.
	Audit    string         `toml:"audit,omitempty"`
	AuditLog string         `toml:"audit_log,omitempty"`
	Wait     rules.Duration `toml:"wait,omitempty"`
	Timeout  rules.Duration `toml:"timeout,omitempty"`
}

// rotates are all rotations of an instance.
func (i Instance) rotates() []Rotate {
	var out []Rotate
	if i.Rotate != nil {
		out = append(out, *i.Rotate)
	}
	return append(out, i.Rotations...)
}

// engines are the kinds of a static role or root.
var engines = []string{"", "database", "ldap", "aws", "gcp", "azure", "terraform"}

func (r Rotate) validate(needsRule bool) error {
	switch {
	case needsRule && r.Rule == "":
		return errors.New("rotations: each names its rule")
	case r.Vault == "":
		return errors.New("rotate.vault is missing: the URL of an [[instance]] of vault")
	case !slices.Contains(engines, r.Engine):
		return fmt.Errorf("rotate.engine is not one of %s", strings.Join(engines[1:], ", "))
	case r.Value != "" && r.Generate != "":
		return errors.New("rotate: value and generate exclude each other")
	case (r.Value != "" || r.Generate != "" || r.Destroy) && r.KV == "":
		return errors.New("rotate: value, generate and destroy need kv, the place that they are about")
	case (r.AppRole != "" || r.Reissue || r.UserPass != "") && r.KV == "" && len(r.Stores) == 0:
		return errors.New("rotate: approle, reissue and userpass make a new secret, and neither kv nor stores say where it goes")
	case r.UserPass != "" && r.Generate == "":
		return errors.New("rotate.userpass needs generate: the password policy that makes the new password")
	case len(r.Policies) > 0 && (!r.Reissue || slices.Contains(r.Policies, "root")):
		return errors.New("rotate.policies are those of the replacement of reissue, and root is none of them")
	case r.OtherRole != "" && (r.StaticRole == "" || r.OtherUser == "" || r.KV == "" || r.Value != "" || r.Generate != ""):
		return errors.New("rotate.other_role goes with static_role, other_user and kv, and without value and generate")
	case r.OtherRole == "" && (r.OtherUser != "" || r.UserField != ""):
		return errors.New("rotate.other_user and user_field are about other_role")
	case r.Tokens && r.AppRole == "" && r.UserPass == "":
		return errors.New("rotate.tokens is about the tokens that approle or userpass issued")
	}
	if r.Reload != nil {
		if r.Reload.Wait < 0 || r.Reload.Timeout < 0 {
			return errors.New("rotate.reload: a duration is negative")
		}
		if (r.Reload.Audit == "") != (r.Reload.AuditLog == "") {
			return errors.New("rotate.reload: audit, the path of the device, and audit_log, the file that it writes, go together")
		}
		if r.Reload.URL != "" {
			u, err := url.Parse(r.Reload.URL)
			if err != nil {
				return errors.New("rotate.reload.url is no URL")
			}
			return issuer.CheckURL(u)
		}
	}
	return nil
}

func (r Rotate) build(read func(string) (credential.Secret, error)) (*issuer.Rotation, error) {
	out := &issuer.Rotation{
		Vault: strings.TrimRight(r.Vault, "/"), Rule: r.Rule, Engine: r.Engine, StaticRole: r.StaticRole, Other: r.OtherRole, OtherUser: r.OtherUser, UserField: r.UserField, Root: r.Root, Lease: r.Lease,
		AppRole: r.AppRole, Reissue: r.Reissue, Token: r.TokenRole, Policies: r.Policies, UserPass: r.UserPass, PKI: r.PKI, Transit: r.Transit, Entity: r.Entity,
		Accessor: r.Accessors, Tokens: r.Tokens, KV: r.KV, Generate: r.Generate, Destroy: r.Destroy, Stores: r.Stores, Sessions: r.Sessions,
	}
	if out.Engine == "" {
		out.Engine = "database"
	}
	if w := r.Reload; w != nil {
		out.Reload = issuer.Reload{Marker: w.Marker, Audit: w.Audit, AuditLog: w.AuditLog, Wait: time.Duration(w.Wait), Timeout: time.Duration(w.Timeout)}
		if w.URL != "" {
			u, err := url.Parse(w.URL)
			if err != nil {
				return nil, errors.New("policy: rotate.reload.url is no URL")
			}
			out.Reload.URL = u
		}
	}
	var err error
	out.Value, err = read(r.Value)
	return out, err
}

// References are the references to secrets in the policy.
func (p *Policy) References() []string {
	var out []string
	for _, i := range p.Instance {
		out = append(out, i.Admin, i.ClientSecret, i.Control)
		for _, c := range i.Controls {
			for _, ref := range c.Parts {
				out = append(out, ref)
			}
		}
		for _, r := range i.rotates() {
			out = append(out, r.Value)
		}
	}
	return append(out, p.Notify...)
}
