package run

import (
	"errors"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules"
)

// A value that an earlier release sealed, without its rule, opens for a rule whose form it
// has and for no other.
func TestAnEarlierSealOpensForItsFormOnly(t *testing.T) {
	r := again(t, t.TempDir(), "version = 1\n", nil)
	ids, err := r.Identities()
	if err != nil {
		t.Fatal(err)
	}
	token := "glpat-" + strings.Join([]string{"aB3xK9qLm", "Z7wErTyUiOp"}, "")
	sealed, err := r.Sealer.Seal([]byte(token))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		rule, cookie string
		opens        bool
	}{{"gitlab-pat", "", true}, {"github-pat", "", false}, {"gitlab-deploy-token", "", false}, {"gitlab-session-cookie", "_gitlab_session", false}, {"express-session", "connect.sid", false}, {"webapp-session", "", false}} {
		if r.Rules.Rule(c.rule) == nil {
			t.Fatalf("there is no rule %s", c.rule)
		}
		got, err := OpenCredential(r.Rules, rules.Ref{Rule: c.rule, Cookie: c.cookie}, sealed, ids...)
		if opens := err == nil && got.Secret.Reveal() == token; opens != c.opens || !opens && (!errors.Is(err, ErrRelabelled) || !got.Secret.IsZero()) {
			t.Errorf("%s: opens %v, %v", c.rule, opens, err)
		}
	}
}
