package rules

import (
	"slices"
	"testing"
)

func TestNoiseNames(t *testing.T) {
	names := NoiseCookies()
	if len(names) < 250 {
		t.Fatalf("only %d names", len(names))
	}
	sorted := slices.Sorted(slices.Values(names))
	for i := 1; i < len(sorted); i++ {
		if sorted[i] == sorted[i-1] {
			t.Errorf("%s is there twice", sorted[i])
		}
	}
	for _, n := range []string{"csrftoken", "CSRFToken", "__Host-csrftoken", "_ga_ABC123", "session.sig", "nextPageToken"} {
		if !NoiseCookie(n) {
			t.Errorf("%s is not known", n)
		}
	}
	for _, n := range []string{"session", "sessionid", "auth_token"} {
		if NoiseCookie(n) {
			t.Errorf("%s grants access", n)
		}
	}
}

func TestKindsAreReadAsIdentifiers(t *testing.T) {
	for in, want := range map[Kind]Kind{"api_key": KindAPIKey, "API key": KindAPIKey, "bearer_token": KindBearer, "jwt": KindJWT, "session_cookie": KindSessionCookie, "sausage": "sausage"} {
		if got := kindOf(in); got != want {
			t.Errorf("%s is read as %s", in, got)
		}
	}
}
