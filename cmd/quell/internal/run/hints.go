package run

import (
	"fmt"
	"maps"
	"slices"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

// SelfHostedHints sums up the credentials that a public host refused and that a
// server of the operator's own may have issued, one notice for each provider.
func SelfHostedHints(set *rules.Set, checked []Checked) []report.Notice {
	n := map[string]int{}
	control := map[string]bool{}
	for _, c := range checked {
		v := c.Verdict()
		p := set.Providers[c.Provider]
		if p == nil || !p.SelfHosted || v.Reason != revokers.Refused || !p.Has(v.Host) {
			continue
		}
		n[p.ID]++
		control[p.ID] = control[p.ID] || v.Documented == "" && v.Control == ""
	}
	var out []report.Notice
	for _, id := range slices.Sorted(maps.Keys(n)) {
		what := "credentials were"
		if n[id] == 1 {
			what = "credential was"
		}
		hint := "--no-self-hosted " + id + ", if you have no server of your own that issues this form"
		if control[id] {
			hint += "; its refusal is not documented, so a control of the [[instance]] is needed too"
		}
		out = append(out, report.Notice{Message: fmt.Sprintf("%d %s %s refused by the public host, which proves nothing alone: %s", n[id], set.Providers[id].Name, what, hint)})
	}
	return out
}
