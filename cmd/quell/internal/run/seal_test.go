package run

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/revokers"
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

// Expired is a verdict without a request, so the value itself has to prove it: an edited report
// makes no credential dead.
func TestAnEditedExpiryIsNoDeath(t *testing.T) {
	r := again(t, t.TempDir(), "version = 1\n", nil)
	ids, err := r.Identities()
	if err != nil {
		t.Fatal(err)
	}
	jwt := func(exp time.Time) string {
		part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
		return part(`{"alg":"RS256"}`) + "." + part(fmt.Sprintf(`{"sub":"alice","exp":%d}`, exp.Unix())) + "." + strings.Repeat("Ab3", 100)
	}
	old := time.Now().Add(-24 * time.Hour)
	for name, x := range map[string]struct {
		rule, value string
		over        bool
	}{
		"an opaque token":          {"gitlab-pat", "glpat-" + strings.Join([]string{"aB3xK9qLm", "Z7wErTyUiOp"}, ""), false},
		"a token that is good":     {"jwt", jwt(time.Now().Add(time.Hour)), false},
		"a token that has expired": {"jwt", jwt(old), true},
	} {
		c := rules.Credential{Ref: rules.Ref{Rule: x.rule, Offline: rules.Offline{State: rules.OfflineExpired, Expires: &old}}, Secret: rules.NewSecretString(x.value)}
		sealed, err := SealCredential(c, r.Sealer)
		if err != nil {
			t.Fatal(err)
		}
		got, err := OpenCredential(r.Rules, c.Ref, sealed, ids...)
		if err != nil || revokers.Over(got.Ref, time.Now()) != x.over || (got.Offline.State == rules.OfflineExpired) != x.over {
			t.Errorf("%s: %+v, %v", name, got.Offline, err)
		}
	}
}

// A name that only the file gives a cookie holds verdicts back, and the value is not sent under it.
func TestACookieNameOfTheFileAlone(t *testing.T) {
	r := again(t, t.TempDir(), "version = 1\n", nil)
	ids, err := r.Identities()
	if err != nil {
		t.Fatal(err)
	}
	c := rules.Credential{Ref: rules.Ref{Rule: "express-session", Cookie: "one", Cookies: []string{"two"}}, Secret: rules.NewSecretString("made-up-value-of-a-cookie")}
	sealed, err := SealCredential(c, r.Sealer)
	if err != nil {
		t.Fatal(err)
	}
	c.Cookies = []string{"two", "three"}
	got, err := OpenCredential(r.Rules, c.Ref, sealed, ids...)
	if err != nil || !slices.Equal(got.Cookies, []string{"two"}) || !slices.Equal(got.Claims.Cookies, []string{"three"}) {
		t.Errorf("%+v, %v", got.Ref, err)
	}
}
