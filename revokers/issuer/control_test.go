package issuer_test

import (
	"strings"
	"testing"

	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// A control without a rule counts for a rule that detects its value by context alone,
// and not for one whose values have another form.
func TestAControlOfARuleThatDetectsByContext(t *testing.T) {
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		rule, control string
		want          bool
	}{
		{"gitea-token", strings.Repeat("0123456789abcdef", 3)[:40], true},
		{"gitea-token", "made-up", false},
		{"vault-approle-secret-id", "hvs." + strings.Repeat("A1b2", 24), false},
	} {
		i := &issuer.Instance{Controls: []issuer.Control{{Secret: credential.NewSecretString(c.control)}}}
		if _, ok := i.Control(set.Rule(c.rule)); ok != c.want {
			t.Errorf("%s, %d characters: %v", c.rule, len(c.control), ok)
		}
	}
}
