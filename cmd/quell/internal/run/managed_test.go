package run

import (
	"context"
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules/credential"
)

// A canary is sent nowhere: no Vault is asked about it.
func TestACanaryIsNotSearchedFor(t *testing.T) {
	b := setup(t, 1)
	c := b.creds[0]
	for reason, want := range map[revokers.Reason]int{revokers.Canary: 0, revokers.Malformed: 1} {
		n := 0
		b.planner.Managed = func(_ context.Context, creds []credential.Credential) (map[string][]string, map[string]string) {
			n = len(creds)
			return nil, nil
		}
		if _, err := b.planner.Plan(t.Context(), []Checked{{Credential: c, Verdicts: []revokers.Verdict{revokers.Undecided(reason, "")}}}); err != nil {
			t.Fatal(err)
		}
		if n != want {
			t.Errorf("%s: %d credentials were searched for", reason, n)
		}
	}
}
