package token

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

func TestFacts(t *testing.T) {
	for _, x := range []struct{ header, claims, issuer, use string }{
		{`{"alg":"RS256","typ":"at+jwt"}`, `{"iss":"https://dev-1.okta.com/oauth2/default","sub":"a"}`, "Okta", "access token"},
		{`{"alg":"RS256"}`, `{"iss":"https://sso.example/realms/prod","typ":"Refresh"}`, "Keycloak", "refresh token"},
		{`{"alg":"HS512"}`, `{"iss":"https://sso.example/auth/realms/prod","typ":"Serialized-ID","sid":"1"}`, "Keycloak", "session"},
		{`{"alg":"RS256"}`, `{"iss":"https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_x","token_use":"id"}`, "Amazon Cognito", "ID token"},
		{`{"alg":"RS256"}`, `{"iss":"kubernetes/serviceaccount"}`, "Kubernetes (secret of a service account)", ""},
		{`{"alg":"RS256"}`, `{"iss":"https://10.0.0.1","kubernetes.io":{"namespace":"x"}}`, "Kubernetes", ""},
		{`{"alg":"HS256"}`, `{"iss":"supabase","role":"service_role"}`, "Supabase project key", "service_role key"},
		{`{"alg":"HS256"}`, `{"iss":"https://authentication.cursor.sh","type":"session"}`, "Cursor", "session"},
		{`{"alg":"RS256"}`, `{"iss":"https://login.acme.example:8443/oidc","scope":"read"}`, "login.acme.example:8443", "access token"},
		{`{"alg":"RS256"}`, `{"iss":"https://token.actions.githubusercontent.com","job_workflow_ref":"x"}`, "GitHub Actions", ""},
		// A host that only resembles a known issuer's keeps its own name.
		{`{"alg":"RS256"}`, `{"iss":"https://accounts.google.com.evil.example"}`, "accounts.google.com.evil.example", ""},
	} {
		j, err := ParseJWT(make3(x.header, x.claims))
		if err != nil {
			t.Fatal(err)
		}
		if f := j.Facts(); f.Issuer != x.issuer || f.Type != x.use {
			t.Errorf("%s: %+v", x.claims, f)
		}
	}
	j, _ := ParseJWT(make3(`{"alg":"ES256"}`, `{"cnf":{"jkt":"x"}}`))
	if f := j.Facts(); !f.Bound {
		t.Error("a bound token is not told")
	}
	j, _ = ParseJWT(make3(`{"alg":"ES256"}`, `{"a":"x"}`))
	if f := j.Facts(); f != nil {
		t.Errorf("nothing is known of it: %+v", f)
	}
}

func TestTokensThatGrantNoAccess(t *testing.T) {
	for typ, want := range map[string]bool{"logout+jwt": true, "secevent+jwt": true, "application/dpop+jwt": true, "DPoP+JWT": true, "at+jwt": false, "JWT": false, "": false} {
		j, _ := ParseJWT(make3(`{"alg":"ES256","typ":"`+typ+`"}`, `{"sub":"a"}`))
		if j.NoCredential() != want {
			t.Errorf("%q: %v", typ, !want)
		}
	}
}

func TestWholeSignature(t *testing.T) {
	e := base64.RawURLEncoding
	for alg, n := range map[string]int{"HS256": 32, "ES512": 132, "RS256": 256, "EdDSA": 64} {
		s := e.EncodeToString([]byte(`{"alg":"`+alg+`"}`)) + "." + e.EncodeToString([]byte(`{"sub":"a"}`)) + "."
		j, err := ParseJWT(s + e.EncodeToString(make([]byte, n)))
		if err != nil {
			t.Fatal(err)
		}
		if !j.WholeSignature(s+e.EncodeToString(make([]byte, n))) || j.WholeSignature(s+e.EncodeToString(make([]byte, n-1))) {
			t.Errorf("%s: length of the signature", alg)
		}
	}
}

func TestOtherTokens(t *testing.T) {
	e := base64.RawURLEncoding
	end := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	public := "v4.public." + e.EncodeToString(append([]byte(`{"exp":"2030-01-02T03:04:05+00:00"}`), make([]byte, 64)...))
	if exp, ok := ParsePASETO(public); !ok || !exp.Equal(end) {
		t.Error(exp, ok)
	}
	for _, s := range []string{"v4.public." + e.EncodeToString([]byte("{}")), "v5.public.x", "v4.public", "v4.public.***"} {
		if _, ok := ParsePASETO(s); ok {
			t.Errorf("%s is none", s)
		}
	}
	jwe := e.EncodeToString([]byte(`{"alg":"dir","enc":"A256GCM","exp":1893553445}`)) + "..a.b.c"
	if exp, ok := ParseJWE(jwe); !ok || !exp.Equal(end) {
		t.Error(exp, ok)
	}
	if _, ok := ParseJWE(strings.Replace(jwe, "..", ".", 1)); ok {
		t.Error("four parts are no JWE")
	}
	packets := "0019location example.org\n001aidentifier public-key\n002fsignature 0123456789abcdef0123456789abcdef\n"
	if !Macaroon(e.EncodeToString([]byte(packets))) || Macaroon(e.EncodeToString([]byte("0019location of nothing, and words that go on and on"))) {
		t.Error("macaroon")
	}
}

func TestIssuersAreRead(t *testing.T) {
	known, err := knownIssuers()
	if err != nil || len(known) < 29 {
		t.Fatalf("%d issuers, %v", len(known), err)
	}
	for _, i := range known {
		if i.Name == "" || i.Kill == "" {
			t.Errorf("%s has no name or nothing that ends its tokens", i.match)
		}
	}
}
