package vault

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
)

// Grant is a path that quell uses, and what it does there.
type Grant struct {
	Path         string
	Capabilities []string
	Reason       string
}

// Grants lists what quell's token needs for the rotation of a target. It sends
// nothing.
func (r Rotator) Grants(t revokers.Target) ([]Grant, error) {
	j, err := r.job(t)
	if err != nil {
		return nil, err
	}
	var out []Grant
	for _, a := range j.acts {
		out = append(out, a.grants...)
	}
	return out, nil
}

// ReadGrants are for a reference to mount/path#field.
func ReadGrants(where string) ([]Grant, error) {
	mount, path, _, err := kvPath(where)
	if err != nil {
		return nil, err
	}
	return []Grant{{mount + "/data/" + path, []string{"read"}, "read a secret that the policy names"}}, nil
}

// TokenGrants are for asking about tokens of an instance and ending them. A leaked
// token ends itself, so only revoke-orphan needs a right of quell's, and sudo.
func TokenGrants(i *issuer.Instance) []Grant {
	out := []Grant{
		{"auth/token/lookup-self", []string{"read"}, "know whether quell's own token works"},
		{"auth/token/lookup", []string{"update"}, "ask whether a token is live"},
	}
	if i.Login != nil {
		out = append(out,
			Grant{"auth/token/renew-self", []string{"update"}, "renew quell's own token"},
			Grant{"auth/token/revoke-self", []string{"update"}, "end quell's own token"})
	}
	if i.Settings["revoke_orphan"] != "" {
		out = append(out, Grant{"auth/token/revoke-orphan", []string{"update", "sudo"}, "end one token and leave its children"})
	}
	return out
}

// Policy writes grants as a Vault policy. Paths are in order, each once.
func Policy(grants []Grant) string {
	byPath := map[string]*Grant{}
	var paths []string
	for _, g := range grants {
		have := byPath[g.Path]
		if have == nil {
			have = &Grant{Path: g.Path}
			byPath[g.Path] = have
			paths = append(paths, g.Path)
		}
		for _, c := range g.Capabilities {
			if !slices.Contains(have.Capabilities, c) {
				have.Capabilities = append(have.Capabilities, c)
			}
		}
		if !strings.Contains(have.Reason, g.Reason) {
			have.Reason = strings.TrimPrefix(have.Reason+"; "+g.Reason, "; ")
		}
	}
	slices.Sort(paths)
	var b strings.Builder
	for _, p := range paths {
		g := byPath[p]
		fmt.Fprintf(&b, "# %s\npath %q {\n  capabilities = [", g.Reason, p)
		for i, c := range g.Capabilities {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "%q", c)
		}
		b.WriteString("]\n}\n")
	}
	return b.String()
}
