package run

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/vault"
	"github.com/quellhq/quell/rules/credential"
)

// VaultPolicy is the least that quell's token needs at the Vault of a URL, or at the
// only one that the policy names. It sends nothing.
func (r *Runtime) VaultPolicy(url string) (string, error) {
	vaults := r.Instances.Of("vault")
	vaults = slices.DeleteFunc(slices.Clone(vaults), func(i *issuer.Instance) bool { return !i.Operator })
	if url != "" {
		vaults = slices.DeleteFunc(vaults, func(i *issuer.Instance) bool {
			return strings.TrimRight(i.URL.String(), "/") != strings.TrimRight(url, "/")
		})
	}
	switch {
	case len(vaults) == 0:
		return "", errors.New("the policy names no such Vault (hint: an [[instance]] with provider = \"vault\")")
	case len(vaults) > 1:
		return "", errors.New("the policy names several Vaults (hint: quell vault policy URL)")
	}
	v := vaults[0]
	grants := vault.TokenGrants(v)
	if v.Managed != nil {
		grants = append(grants, vault.ManagedGrants(v.Managed)...)
	}
	rotator := vault.Rotator{Key: r.Keys.Fingerprint[:]}
	// A Vault without a token of its own here still has its policy.
	at := *v
	if at.Admin.IsZero() {
		at.Admin = credential.NewSecretString("not needed to list paths")
	}
	for _, i := range r.Instances {
		for _, with := range append([]*issuer.Rotation{i.Rotate}, i.Rotations...) {
			if with == nil || with.Vault != strings.TrimRight(v.URL.String(), "/") {
				continue
			}
			one, copied := *i, *with
			one.Rotate = &copied
			if copied.KV != "" && copied.Value.IsZero() && copied.Generate == "" {
				copied.Value = credential.NewSecretString("not needed to list paths")
			}
			g, err := rotator.Grants(revokers.Target{Instance: &one, Related: map[string]*issuer.Instance{"vault": &at}})
			if err != nil {
				return "", fmt.Errorf("policy: instance %s: %w", i.Host(), err)
			}
			grants = append(grants, g...)
		}
	}
	for _, ref := range r.Policy.References() {
		where, ok := strings.CutPrefix(ref, "vault:")
		if !ok {
			continue
		}
		if after, ok := strings.CutPrefix(where, "//"); ok {
			host, rest, _ := strings.Cut(after, "/")
			if !strings.EqualFold(host, v.Host()) {
				continue
			}
			where = rest
		}
		g, err := vault.ReadGrants(where)
		if err != nil {
			return "", fmt.Errorf("policy: %w", err)
		}
		grants = append(grants, g...)
	}
	head := fmt.Sprintf("# quell at %s", v.URL)
	if ns := v.Settings["namespace"]; ns != "" {
		head += ", in namespace " + ns
	}
	return head + "\n" + vault.Policy(grants), nil
}
