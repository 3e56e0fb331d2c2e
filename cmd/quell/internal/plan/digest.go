package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

// Digest names what an apply of the plan would do: which credentials, at which instances, by which
// requests. Two plans with one digest differ at most in their time, in the verdicts that led to
// them and in how their secrets are sealed. People approve a digest, so that the approval holds
// for the plan that is made again right before the kill, and for no other.
func (p *Plan) Digest() (string, error) {
	type item struct {
		Fingerprint, Rule, Provider, Action, Instance, Page, User, Namespace, Revoke, Unprovable string
		Hold                                                                                     *policy.Hold
		Tier                                                                                     rules.Tier
		Scope                                                                                    rules.Scope
		Reversible                                                                               bool
		Collateral                                                                               string
		Requests                                                                                 []revokers.Effect
		Rotate                                                                                   *Rotate
		Managed                                                                                  []string
	}
	var items []item
	for _, it := range p.Items {
		items = append(items, item{
			Fingerprint: it.Fingerprint, Rule: it.Rule, Provider: it.Provider, Action: it.Action, Instance: it.Instance, Page: it.Page, User: it.User, Namespace: it.Namespace, Revoke: it.Revoke, Unprovable: it.Unprovable,
			Hold: it.Hold, Tier: it.Tier, Scope: it.Scope, Reversible: it.Reversible, Collateral: it.Collateral, Requests: it.Requests, Rotate: it.Rotate, Managed: it.Managed,
		})
	}
	b, err := json.Marshal(struct {
		BreakGlass string
		Items      []item
		Deletions  []Deletion
	}{p.BreakGlass, items, p.Deletions})
	if err != nil {
		return "", fmt.Errorf("plan: %w", err)
	}
	sum := sha256.Sum256(append([]byte("quell plan digest v1\n"), b...))
	return hex.EncodeToString(sum[:]), nil
}
