package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners/ci/removal"
)

// Servers gives the CI server of a system that the operator named, with its credential.
type Servers func(system string) (*removal.Server, error)

// DeletionOptions choose what a plan deletes of what CI systems keep.
type DeletionOptions struct {
	Kinds   []string // as removal.Kinds; empty: nothing is deleted
	Comment bool     // comment on the pull requests of the runs
	Servers Servers
	Each    func(text string) // called with the result of each deletion; may be nil
}

// place is what of a CI system credentials were found in.
type place struct {
	origin      string
	credentials []string
	at          []rules.Location
}

// maxFoundAt is how many positions of one place a plan lists.
const maxFoundAt = 20

func placesOf(p *plan.Plan) (out []*place) {
	by := map[string]*place{}
	for _, it := range p.Items {
		for _, l := range it.Exposures {
			if l.Origin == "" {
				continue
			}
			x := by[l.Origin]
			if x == nil {
				x = &place{origin: l.Origin}
				by[l.Origin] = x
				out = append(out, x)
			}
			if !slices.Contains(x.credentials, it.Fingerprint) {
				x.credentials = append(x.credentials, it.Fingerprint)
			}
			if len(x.at) < maxFoundAt {
				x.at = append(x.at, l)
			}
		}
	}
	slices.SortFunc(out, func(a, b *place) int { return strings.Compare(a.origin, b.origin) })
	return out
}

// Leaks is the number of logs and artifacts of CI systems that a plan's credentials are in.
func Leaks(p *plan.Plan) int { return len(placesOf(p)) }

// PlanDeletions adds to a plan the deletion of what CI systems keep of the leak. It only reads.
func (r *Runtime) PlanDeletions(ctx context.Context, p *plan.Plan, o DeletionOptions) error {
	if len(o.Kinds) == 0 {
		return nil
	}
	kind := func(k string) bool { return slices.Contains(o.Kinds, k) }
	for _, k := range o.Kinds {
		if !slices.Contains(removal.Kinds(), k) {
			return fmt.Errorf("--delete %q is not one of %s", k, strings.Join(removal.Kinds(), ", "))
		}
	}
	others := 0
	for _, x := range placesOf(p) {
		d := plan.Deletion{System: removal.System(x.origin), Origin: x.origin, What: x.origin, Tier: rules.TierAdmin, Credentials: x.credentials, FoundAt: x.at}
		s, err := o.Servers(d.System)
		var to *removal.Removal
		if err == nil {
			to, err = s.Of(x.origin)
		}
		var none *removal.Unsupported
		if errors.As(err, &none) {
			d.What = none.What
			err = errors.New(none.Reason)
		}
		if err != nil {
			d.Hold = &policy.Hold{Reason: "it can't be deleted: " + err.Error(), Remedy: "delete it by hand, once its credentials are dead"}
			p.Deletions = append(p.Deletions, d)
			continue
		}
		d.Fill(to.Kind, to.Origin, to.What, to.Method, to.URL, to.Takes, r.keeps(ctx))
		if kind(removal.Caches) && to.Kind == removal.Logs {
			list, err := s.Caches(ctx, to)
			if err != nil {
				// A kill must not wait for a list that can't be read.
				p.Deletions = append(p.Deletions, plan.Deletion{System: d.System, Kind: removal.Caches, Origin: d.Origin, What: "the caches of " + to.What, Tier: d.Tier, Credentials: x.credentials,
					Hold: &policy.Hold{Reason: "they can't be listed: " + err.Error(), Remedy: "quell plan, when they can be"}})
			}
			for _, c := range list {
				e := plan.Deletion{System: d.System, With: d.Origin, Tier: d.Tier, Credentials: x.credentials, FoundAt: x.at}
				e.Fill(c.Kind, c.Origin, c.What, c.Method, c.URL, c.Takes, r.keeps(ctx))
				e.Collateral = "later runs of the branch begin without it; of its content no copy can be kept, only of its entry in the list"
				p.Deletions = append(p.Deletions, e)
			}
		}
		if !kind(to.Kind) {
			others++
			continue
		}
		if o.Comment && to.Kind == removal.Logs {
			if d.Comments, d.Actor, err = s.Comments(ctx, to); err != nil {
				r.Notice(fmt.Sprintf("no pull request gets a comment about %s: %v", to.What, err))
			}
		}
		p.Deletions = append(p.Deletions, d)
	}
	// A request that deletes a run takes its artifacts along, which are deleted before it.
	order := []string{removal.Artifacts, removal.Caches, removal.Logs}
	slices.SortStableFunc(p.Deletions, func(a, b plan.Deletion) int {
		return cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind))
	})
	if others > 0 {
		r.Notice(fmt.Sprintf("the credentials are also in %s of CI systems of a kind that --delete does not name, which stay", count(others, "log or artifact")))
	}
	return nil
}

const legalHold = "legal_hold is set in the policy"

// keeps returns the hold of everything that would be deleted now.
func (r *Runtime) keeps(ctx context.Context) *policy.Hold {
	if h := r.Switch(ctx); h != nil {
		return h
	}
	p, err := r.policyNow(ctx)
	switch {
	case err != nil:
		return &policy.Hold{Reason: "the policy can't be read again to see legal_hold: " + err.Error(), Remedy: "quell policy check shows the mistake"}
	case r.Policy.LegalHold || p.LegalHold:
		return &policy.Hold{Reason: legalHold, Remedy: "legal_hold = false, once nothing need be kept; then quell apply with the same plan"}
	case !p.Allows(rules.TierAdmin):
		return &policy.Hold{Reason: "a deletion uses your credential for the CI system, and the policy does not allow the tier admin", Remedy: fmt.Sprintf("kill.tiers with %q in the policy", rules.TierAdmin)}
	}
	return nil
}

// evidenceDir is the folder of sealed copies: the policy's, or next to the ledger. A ledger that
// is a database keeps them itself.
func (r *Runtime) evidenceDir() string {
	if dir := r.Policy.Evidence; dir != "" {
		if !filepath.IsAbs(dir) {
			file, _ := r.policyFile()
			dir = filepath.Join(filepath.Dir(file), dir)
		}
		return dir
	}
	if ledger.Remote(r.State()) {
		return filepath.Join(r.Dirs.State, "evidence") // on its way into the database
	}
	return filepath.Join(filepath.Dir(r.State()), "evidence")
}

// DeletionText describes a planned deletion.
func DeletionText(d plan.Deletion) string {
	if d.Hold != nil {
		return staying(d, d.Hold).String()
	}
	s := fmt.Sprintf("then delete %s: %s %s (irreversible, tier %s", d.What, d.Method, d.URL, d.Tier)
	if d.Collateral != "" {
		s += "; also: " + d.Collateral
	}
	s += fmt.Sprintf("), once %s in it is proven dead and a sealed copy is kept", count(len(d.Credentials), "credential"))
	for _, c := range d.Comments {
		s += "; then POST " + c
	}
	return s
}
