package oauth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

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

// issuing is an issuer whose endpoints give the answers of a test.
func issuing(t *testing.T, marker string, answer func(w http.ResponseWriter, r *http.Request)) (*Issuers, revokers.Target) {
	t.Helper()
	var srv *httptest.Server
	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/.well-known/") {
			_ = json.NewEncoder(w).Encode(map[string]string{"issuer": srv.URL, "introspection_endpoint": srv.URL + "/i", "userinfo_endpoint": srv.URL + "/u", "jwks_uri": srv.URL + "/k"})
			return
		}
		answer(w, r)
	}))
	t.Cleanup(srv.Close)
	u, _ := url.Parse(srv.URL)
	return &Issuers{Doer: &issuer.Client{}}, revokers.Target{
		Credential: credential.Credential{Ref: credential.Ref{Kind: credential.KindBearer}, Secret: credential.NewSecretString("made-up-opaque-token-0123456789")},
		Rule:       &rules.Rule{Probe: &rules.Probe{Native: "oauth-token"}},
		Instance:   &issuer.Instance{Provider: "oauth", URL: u, Operator: true, ClientID: "c", ClientSecret: credential.NewSecretString("s"), Settings: map[string]string{"dead_marker": marker}},
	}
}

// An answer of which the end was not read neither accepts nor refuses: what is
// missing can be what distinguishes it.
func TestACutAnswerDecidesNothing(t *testing.T) {
	for name, head := range map[string]struct {
		status    int
		challenge string
		body      string
	}{
		"introspection says inactive":  {200, "", `{"active":false,"x":"`},
		"userinfo answers 401":         {401, `Bearer error="invalid_token"`, `{"error":"invalid_token","x":"`},
		"userinfo answers with a user": {200, "", `{"sub":"7","x":"`},
		"a page with the marker":       {401, "", `<p>token revoked</p>`},
	} {
		issuers, target := issuing(t, "token revoked", func(w http.ResponseWriter, _ *http.Request) {
			if head.challenge != "" {
				w.Header().Set("WWW-Authenticate", head.challenge)
			}
			w.WriteHeader(head.status)
			_, _ = w.Write([]byte(head.body + strings.Repeat("x", 2<<20) + `"}`))
		})
		for _, endpoint := range (Token{issuers}).Endpoints(target) {
			a, err := (Token{issuers}).Verify(t.Context(), target, endpoint)
			if err != nil {
				t.Fatal(err)
			}
			if a.Class != revokers.Other || a.Documented != "" {
				t.Errorf("%s, %s: %s, documented %q", name, endpoint, a.Class, a.Documented)
			}
		}
	}
}

// The operator's marker documents a refusal. It never makes one of an answer that
// accepts, or that is about the client.
func TestTheMarkerOfTheOperator(t *testing.T) {
	for name, c := range map[string]struct {
		endpoint, challenge string
		status              int
		body                string
		class               revokers.Class
		documented          bool
	}{
		"introspection, marker in the body":     {introspection, "", 200, `{"active":false,"reason":"token revoked"}`, revokers.Refuses, true},
		"introspection, no marker":              {introspection, "", 200, `{"active":false}`, revokers.Refuses, false},
		"introspection, active with the marker": {introspection, "", 200, `{"active":true,"note":"token revoked"}`, revokers.Accepts, false},
		"introspection refuses the client":      {introspection, "", 401, `{"error":"token revoked"}`, revokers.Other, false},
		"userinfo, marker in the body":          {userinfo, "", 401, `{"error":"token revoked"}`, revokers.Refuses, true},
		"userinfo, marker in the challenge":     {userinfo, `Bearer error="invalid_token", error_description="token revoked"`, 401, "", revokers.Refuses, true},
		"userinfo, a user with the marker":      {userinfo, "", 200, `{"sub":"7","note":"token revoked"}`, revokers.Accepts, false},
		"userinfo is down, with the marker":     {userinfo, "", 503, "token revoked", revokers.Silent, false},
	} {
		issuers, target := issuing(t, "token revoked", func(w http.ResponseWriter, _ *http.Request) {
			if c.challenge != "" {
				w.Header().Set("WWW-Authenticate", c.challenge)
			}
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		})
		a, err := (Token{issuers}).Verify(t.Context(), target, c.endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if a.Class != c.class || (a.Documented == revokers.MarkerSource && a.Also == "") != c.documented {
			t.Errorf("%s: %s, documented %q, also %q", name, a.Class, a.Documented, a.Also)
		}
	}
}

// A demand for a stronger sign-in, for a proof of possession or by conditional access refuses
// no token, even after an accepted revocation, with a live control, and with the operator's
// marker in the answer.
func TestADemandIsNoDeath(t *testing.T) {
	for _, challenge := range []string{
		`Bearer error="insufficient_user_authentication", acr_values="phr"`,
		`DPoP error="use_dpop_nonce"`, `DPoP error="invalid_dpop_proof"`, `DPoP algs="ES256"`,
		`Bearer error="insufficient_claims", claims="eyJ4IjoxfQ=="`,
	} {
		issuers, target := issuing(t, "token revoked", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", challenge)
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte("token revoked"))
		})
		for _, endpoint := range (Token{issuers}).Endpoints(target) {
			a, err := (Token{issuers}).Verify(t.Context(), target, endpoint)
			if err != nil {
				t.Fatal(err)
			}
			target.Seen = &revokers.Sighting{Endpoint: endpoint}
			live := revokers.Answer{Class: revokers.Accepts, Endpoint: endpoint}
			v := revokers.Judge(target, revokers.Evidence{Answer: a, Control: &live, Before: &live, Sent: &revokers.Acknowledgement{Accepted: true}})
			if v.Liveness != revokers.Unknown || v.Reason != revokers.Restricted || v.Remedy == "" {
				t.Errorf("%s, %s: %s (%s), remedy %q", challenge, endpoint, v.Liveness, v.Reason, v.Remedy)
			}
		}
	}
}

// A key set without keys, as an issuer publishes during a rollover, neither proves nor
// disproves a signature: not before a revocation, and not after one that was accepted.
func TestAnEmptyKeySetDecidesNothing(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set := func(k *ecdsa.PrivateKey) string {
		b, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: k.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, id := range []string{"k1", ""} {
		for keys, class := range map[string]revokers.Class{
			`{"keys":[]}`: revokers.Other, `{}`: revokers.Other, `{"keys":null}`: revokers.Other,
			set(key): revokers.Accepts, set(other): revokers.Refuses, // so that the cases above could differ
		} {
			issuers, target := issuing(t, "", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(keys)) })
			signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: id}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			text, err := jwt.Signed(signer).Claims(map[string]any{"iss": target.Instance.URL.String(), "sub": "alice", "exp": time.Now().Add(time.Hour).Unix()}).Serialize()
			if err != nil {
				t.Fatal(err)
			}
			target.Secret = credential.NewSecretString(text)
			a, err := (JWT{issuers}).Verify(t.Context(), target, jwks)
			if err != nil {
				t.Fatal(err)
			}
			if a.Class != class {
				t.Errorf("keys %s, key id %q: %s (%s), want %s", keys, id, a.Class, a.Detail, class)
			}
			if class != revokers.Other {
				continue
			}
			target.Seen = &revokers.Sighting{Endpoint: jwks}
			live := revokers.Answer{Class: revokers.Accepts, Endpoint: jwks}
			for name, e := range map[string]revokers.Evidence{
				"before a revocation": {Answer: a},
				"after a revocation":  {Answer: a, Control: &live, Before: &live, Sent: &revokers.Acknowledgement{Accepted: true}},
			} {
				if v := revokers.Judge(target, e); v.Liveness != revokers.Unknown {
					t.Errorf("keys %s, key id %q, %s: %s (%s)", keys, id, name, v.Liveness, v.Reason)
				}
			}
		}
	}
}
