package run

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
)

// spaces is a Vault whose tokens are known in one namespace each.
type spaces struct {
	mu   sync.Mutex
	live map[string]string // token -> namespace
	// asked are the requests about a token.
	asked int
}

func (s *spaces) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	token := r.Header.Get("X-Vault-Token")
	in, ok := s.live[token]
	s.asked++
	w.Header().Set("Content-Type", "application/json")
	switch {
	case !ok || in != strings.Trim(r.Header.Get("X-Vault-Namespace"), "/"):
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}`)
	case r.URL.Path == "/v1/auth/token/lookup-self":
		fmt.Fprint(w, `{"data":{"accessor":"a1","type":"service","display_name":"ci","path":"auth/token/create"}}`)
	case r.URL.Path == "/v1/auth/token/revoke-self":
		delete(s.live, token)
		w.WriteHeader(http.StatusNoContent)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// Two namespaces of one Vault are two issuers: an answer of one of them about a token of
// the other decides nothing, and a kill goes where the token was Live.
func TestInstancesOfOneAddressWithDifferentNamespaces(t *testing.T) {
	const text = "hvs." + "CAESIMadeUpTokenOfANamespace0123456789ABCDEFGHIJKLMN"
	s := &spaces{live: map[string]string{text: "team"}}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	entry := func(namespace string) string {
		out := fmt.Sprintf("[[instance]]\nprovider = \"vault\"\nurl = %q\nown = true\nsettle = \"1ms\"\n", srv.URL)
		if namespace != "" {
			out += fmt.Sprintf("namespace = %q\n", namespace)
		}
		return out
	}
	head := "version = 1\n[kill]\ntiers = [\"self\", \"collateral\"]\n"
	home := t.TempDir()
	for _, other := range []string{"", "other"} {
		s.live[text] = "team"
		file := head + entry(other) + entry("team")
		r := again(t, home, file, nil)
		c := rules.Credential{Ref: rules.Ref{Rule: "vault-service-token", Provider: "vault", Kind: rules.KindBearer, Confidence: rules.High}, Secret: rules.NewSecretString(text)}
		c.Fingerprint = r.Keys.Fingerprint.Fingerprint(c.Secret)
		checked := r.Checker().One(t.Context(), c)
		if v := checked.Verdict(); v.Liveness != revokers.Live || checked.Target.Instance.Settings["namespace"] != "team" {
			t.Fatalf("next to %q: %s %s", other, v.Liveness, v.Detail)
		}
		keepRow(t, r, ledgerRow(t, r, c, checked))
		var out collected
		sum, err := again(t, home, file, nil).Recheck(t.Context(), &out, false)
		if err != nil || sum.Live != 1 {
			t.Errorf("next to %q: recheck finds %d live, %v", other, sum.Live, err)
		}
		// The sighting in one namespace makes no refusal in the other a death.
		k := again(t, home, head+entry(other), nil)
		if v := k.Checker().One(t.Context(), c).Verdict(); v.Liveness == revokers.Dead {
			t.Errorf("next to %q: %s at the other namespace alone", other, v.Liveness)
		}
		asked := s.asked
		sum, err = k.Recheck(t.Context(), &out, false)
		if err != nil || sum.Dead != 0 || sum.Credentials != 1 || s.asked != asked {
			t.Errorf("next to %q: recheck asks another namespace %d times and finds %d dead of %d, %v", other, s.asked-asked, sum.Dead, sum.Credentials, err)
		}
		if other != "" {
			// A row of an earlier release names no namespace.
			row := ledgerRow(t, r, c, checked)
			row.Ref.Namespace = ""
			keepRow(t, r, row)
			if sum, err = again(t, home, head+entry(other), nil).Recheck(t.Context(), &out, false); err != nil || sum.Dead != 0 || sum.Credentials != 1 {
				t.Errorf("next to %q: a row without a namespace: %d dead of %d, %v", other, sum.Dead, sum.Credentials, err)
			}
			keepRow(t, r, ledgerRow(t, r, c, checked))
		}
		if a := end(t, again(t, home, file, nil), c, "p"+other); a.Outcome != prove.Confirmed || s.live[text] != "" {
			t.Errorf("next to %q: %s: %s %s; live: %t", other, a.Outcome, a.Detail, a.Held, s.live[text] != "")
		}
	}
}

func keepRow(t *testing.T, r *Runtime, row ledger.Sealed) {
	t.Helper()
	led, err := r.Ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer led.Close()
	if err := led.Keep(t.Context(), row); err != nil {
		t.Fatal(err)
	}
}

// ledgerRow is what an apply keeps of a credential.
func ledgerRow(t *testing.T, r *Runtime, c rules.Credential, checked Checked) ledger.Sealed {
	t.Helper()
	sealed, err := SealCredential(c, r.Sealer)
	if err != nil {
		t.Fatal(err)
	}
	in := checked.Target.Instance
	return ledger.Sealed{Incident: c.Fingerprint, Value: sealed, Ref: ledger.Ref{Ref: c.Ref, Instance: in.URL.String(), Namespace: in.Settings["namespace"], Endpoint: checked.Target.Seen.Endpoint, Learned: checked.Target.Seen.Learned}}
}
