package token

import (
	"encoding/base64"
	"testing"
	"time"
)

func make3(header, claims string) string {
	e := base64.RawURLEncoding
	return e.EncodeToString([]byte(header)) + "." + e.EncodeToString([]byte(claims)) + "." + e.EncodeToString([]byte("signature"))
}

func TestParseJWT(t *testing.T) {
	j, err := ParseJWT(make3(`{"alg":"RS256","kid":"k"}`, `{"iss":"https://i.example","sub":"s","aud":["a","b"],"exp":1893456000}`))
	if err != nil || j.Issuer != "https://i.example" || len(j.Audience) != 2 || !j.Expires.Equal(time.Unix(1893456000, 0)) {
		t.Errorf("%+v %v", j, err)
	}
	for _, s := range []string{"", "a.b", "a.b.c", make3(`{"alg":"dir","enc":"A256GCM"}`, `{}`), make3(`{"typ":"x"}`, `{}`), make3(`{"alg":"HS256"}`, `[]`)} {
		if _, err := ParseJWT(s); err == nil {
			t.Errorf("%q is no JWT", s)
		}
	}
}

func TestSampleTokensAreKnown(t *testing.T) {
	for claims, want := range map[string]bool{
		`{"sub":"1234567890","name":"John Doe","iat":1516239022}`:          true,
		`{"iss":"joe","exp":1300819380,"http://example.com/is_root":true}`: true,
		`{"iss":"supabase-demo","role":"anon"}`:                            true,
		`{"sub":"1234567","exp":1893456000}`:                               false,
	} {
		if j, _ := ParseJWT(make3(`{"alg":"HS256"}`, claims)); j.Sample() != want {
			t.Errorf("%s: %v", claims, !want)
		}
	}
}

func FuzzParseJWT(f *testing.F) {
	f.Add(make3(`{"alg":"HS256"}`, `{"exp":1e300,"aud":1}`))
	f.Add("...")
	f.Fuzz(func(t *testing.T, s string) {
		if j, err := ParseJWT(s); err == nil && j.Algorithm == "" {
			t.Error("a JWT without an algorithm")
		}
	})
}
