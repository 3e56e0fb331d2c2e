package house

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
)

// section is the text of a page from a heading to the next one of its level.
func section(t *testing.T, name, heading string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(top, name))
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(b), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("%s has no %q", name, heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// firstColumn are the words of the first column of a table.
func firstColumn(text string) (out []string) {
	for _, m := range regexp.MustCompile("(?m)^\\| ([A-Za-z_`, ]+) \\|").FindAllStringSubmatch(text, -1) {
		for _, w := range strings.Split(strings.ReplaceAll(m[1], "`", ""), ", ") {
			if w != "reason" && w != "outcome" {
				out = append(out, w)
			}
		}
	}
	return out
}

// docs/verdicts.md and README.md have every reason and outcome that there is, and the figures of
// the program.
func TestThePagesHaveEveryReasonAndOutcome(t *testing.T) {
	var want []string
	for _, r := range revokers.Reasons() {
		if !slices.Contains([]revokers.Reason{revokers.Authenticated, revokers.Revoked, revokers.Expired, revokers.SignedOut}, r) {
			want = append(want, string(r))
		}
	}
	unknown := section(t, "docs/verdicts.md", "Unknown")
	got := firstColumn(unknown)
	if n := len(revokers.Unanswered()); len(got) < n {
		t.Fatalf("only %q", got)
	}
	for i, r := range got {
		if counted := i < 8; revokers.Reason(r).Unanswered() != counted {
			t.Errorf("%s is reason %d: the page states that the first eight are unanswered", r, i+1)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("docs/verdicts.md has %q\nthere are %q", got, want)
	}
	outcomes := []string{"Confirmed", "AlreadyDead", "StillAlive", "Unconfirmed", "UntilExpiry", "Held"}
	for name, heading := range map[string]string{"README.md": "What the outcomes mean", "docs/verdicts.md": "Outcomes of a kill"} {
		if got := firstColumn(section(t, name, heading)); !slices.Equal(got, outcomes) {
			t.Errorf("%s has %q, not %q", name, got, outcomes)
		}
	}
	if text := section(t, "docs/verdicts.md", "Outcomes of a kill"); !strings.Contains(strings.Join(strings.Fields(text), " "), fmt.Sprintf("aims at %d looks (%.3f)", prove.TargetLooks, prove.Risk(prove.TargetLooks))) {
		t.Errorf("docs/verdicts.md lacks %d looks (%.3f)", prove.TargetLooks, prove.Risk(prove.TargetLooks))
	}
	if age := (&policy.Policy{}).MaxAge(); !strings.Contains(section(t, "README.md", "From a leaked log to Confirmed"), fmt.Sprintf("older than %d minutes", age/time.Minute)) {
		t.Errorf("README.md states another age of a plan than %s", age)
	}
}
