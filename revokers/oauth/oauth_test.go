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
	"github.com/quellhq/quell/rules"
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
		x := &revokers.Exchange{Client: &revokers.Client{PerSecond: 1000}, Instance: &revokers.Instance{Provider: "oauth", URL: u, Operator: true, ClientID: "c", ClientSecret: rules.NewSecretString("s")},
			Rule: &rules.Rule{}, Credential: rules.Credential{Ref: rules.Ref{Kind: rules.KindBearer}, Secret: rules.NewSecretString(secret)}}
		if v := (Token{&Issuers{}}).Probe(t.Context(), x); v.Liveness != revokers.Unknown {
			t.Errorf("%s: %s", name, v.Liveness)
		}
		if r, err := (Revoke{&Issuers{}}).Revoke(t.Context(), x); err == nil && r.Accepted {
			t.Errorf("%s: accepted", name)
		}
		srv.Close()
	}
	if leaked.Load() != 0 {
		t.Errorf("the token was sent %d times", leaked.Load())
	}
}
