package run

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
)

// vaultTokens is a fake Vault of tokens with their parents. As in Vault, a token that is
// revoked takes its children with it.
type vaultTokens struct {
	mu     sync.Mutex
	parent map[string]string
	kills  int
}

func (v *vaultTokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	token := r.Header.Get("X-Vault-Token")
	w.Header().Set("Content-Type", "application/json")
	switch _, live := v.parent[token]; {
	case !live:
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"errors":["permission denied","invalid token"]}`)
	case r.URL.Path == "/v1/auth/token/lookup-self":
		_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{"accessor": "a-" + token[len(token)-4:], "type": "service", "display_name": "token", "policies": []string{"default"}}})
	case r.URL.Path == "/v1/auth/token/revoke-self":
		v.kills++
		delete(v.parent, token)
		for child, of := range v.parent {
			if of == token {
				delete(v.parent, child)
			}
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"errors":[]}`)
	}
}

func (v *vaultTokens) counts() (live, kills int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.parent), v.kills
}

// The children of a Vault token are other applications' credentials. Its revocation is of
// tier collateral: the default tiers hold it, and a policy that names the tier sends it.
func TestAVaultTokenWithChildrenIsCollateral(t *testing.T) {
	for tiers, ends := range map[string]bool{"": false, `"self"`: false, `"self", "admin"`: false, `"self", "admin", "collateral"`: true} {
		token := func(n int) string { return "hvs." + fmt.Sprintf("aB3xK9qLmZ7wErTyUiOpAs%d4", n) }
		parent, child := token(1), token(2)
		v := &vaultTokens{parent: map[string]string{parent: "", child: parent}}
		srv := httptest.NewServer(v)
		defer srv.Close()
		text := "version = 1\n"
		if tiers != "" {
			text += "[kill]\ntiers = [" + tiers + "]\n"
		}
		r := again(t, t.TempDir(), text+fmt.Sprintf("[[instance]]\nprovider = \"vault\"\nurl = %q\nown = true\nsettle = \"1ms\"\n", srv.URL), nil)
		c := rules.Credential{Ref: rules.Ref{Rule: "vault-service-token", Provider: "vault", Kind: rules.KindBearer, Confidence: rules.High}, Secret: rules.NewSecretString(parent)}
		c.Fingerprint = r.Keys.Fingerprint.Fingerprint(c.Secret)
		if ends {
			if a := end(t, r, c, "p1"); a.Outcome != prove.Confirmed {
				t.Errorf("tiers %s: %s (%s)", tiers, a.Outcome, a.Detail)
			}
			if live, kills := v.counts(); live != 0 || kills != 1 {
				t.Errorf("tiers %s: %d revocations, %d tokens are live", tiers, kills, live)
			}
			continue
		}
		checked, err := r.Checker().Check(t.Context(), []rules.Credential{c}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if l := checked[0].Verdict(); l.Liveness != revokers.Live {
			t.Fatalf("tiers %s: %s (%s)", tiers, l.Liveness, l.Detail)
		}
		p, err := r.Planner("").Plan(t.Context(), checked)
		if err != nil {
			t.Fatal(err)
		}
		it := p.Items[0]
		if it.Kills() || it.Hold == nil || !strings.Contains(it.Hold.Reason, "more than the one credential") || !strings.Contains(it.Hold.Reason, "child tokens") || !strings.Contains(it.Hold.Remedy, "kill.tiers") {
			t.Errorf("tiers %q: kills %v, hold %+v", tiers, it.Kills(), it.Hold)
		}
		led, err := r.Ledger(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		a, err := r.Applier(led, "")
		if err != nil {
			t.Fatal(err)
		}
		actions, err := apply(t.Context(), a, p)
		if err != nil || len(actions) != 1 || actions[0].Outcome != prove.Held {
			t.Errorf("tiers %q: %+v, %v", tiers, actions, err)
		}
		if live, kills := v.counts(); live != 2 || kills != 0 {
			t.Errorf("tiers %q: %d revocations, %d tokens are live", tiers, kills, live)
		}
		led.Close()
	}
}
