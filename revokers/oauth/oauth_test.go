package oauth

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// Metadata that names endpoints of another origin, or another issuer, sends no
// token anywhere.
func TestMetadataCannotSendATokenElsewhere(t *testing.T) {
	const secret = "made-up-opaque-token-0123456789"
	var leaked atomic.Int32
	watch := func(r *http.Request) {
		_ = r.ParseForm()
		if strings.Contains(r.Form.Encode()+r.Header.Get("Authorization"), secret) {
			leaked.Add(1)
		}
	}
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { watch(r) }))
	defer other.Close()
	for name, change := range map[string]func(m map[string]string){
		"foreign endpoints": func(m map[string]string) {
			for _, k := range []string{"introspection_endpoint", "revocation_endpoint", "userinfo_endpoint", "jwks_uri"} {
				m[k] = other.URL + "/x"
			}
		},
		"another issuer": func(m map[string]string) { m["issuer"] = other.URL },
	} {
		var srv *httptest.Server
		srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			watch(r)
			m := map[string]string{"issuer": srv.URL, "introspection_endpoint": srv.URL + "/i", "revocation_endpoint": srv.URL + "/r", "userinfo_endpoint": srv.URL + "/u"}
			change(m)
			_ = json.NewEncoder(w).Encode(m)
		}))
		u, _ := url.Parse(srv.URL)
		target := revokers.Target{
			Credential: credential.Credential{Ref: credential.Ref{Kind: credential.KindBearer}, Secret: credential.NewSecretString(secret)},
			Rule:       &rules.Rule{},
			Instance:   &issuer.Instance{Provider: "oauth", URL: u, Operator: true, ClientID: "c", ClientSecret: credential.NewSecretString("s")},
		}
		issuers := &Issuers{Doer: &issuer.Client{}}
		for _, endpoint := range (Token{issuers}).Endpoints(target) {
			if a, err := (Token{issuers}).Verify(t.Context(), target, endpoint); err == nil && (a.Class == revokers.Accepts || a.Class == revokers.Refuses) {
				t.Errorf("%s: %s %s", name, endpoint, a.Class)
			}
		}
		sent := func(revokers.Effect) error { t.Errorf("%s: a revocation was about to be sent", name); return nil }
		if _, err := (Revoke{issuers}).Send(t.Context(), []revokers.Target{target}, revokers.Effect{}, sent); err == nil {
			t.Errorf("%s: no error", name)
		}
		srv.Close()
	}
	if leaked.Load() != 0 {
		t.Errorf("the token was sent %d times", leaked.Load())
	}
}
