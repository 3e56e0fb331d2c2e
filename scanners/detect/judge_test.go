package detect

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/quellhq/quell/rules/testenv"
)

// No random token may be mistaken for a word, a placeholder or a sample.
func TestRandomTokensAreFound(t *testing.T) {
	testenv.Sequential(t)
	e := New(builtin(t))
	src := rand.NewChaCha8([32]byte{31})
	token := func() string {
		b := make([]byte, 32)
		_, _ = src.Read(b)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	missed := 0
	const n = 3000 / fewer
	for range n {
		access, refresh := token(), token()
		got := seen(t, e, fmt.Sprintf(`{"access_token":"%s","refresh_token":"%s"}`, access, refresh)+"\n", 0, -1)
		if len(got) != 2 {
			missed++
		}
	}
	if missed > 0 {
		t.Errorf("%d of %d pairs", missed, n)
	}
}

// Tokens printed in standards belong to no account.
func TestPrintedTokensAreNone(t *testing.T) {
	e := New(builtin(t))
	for _, text := range []string{
		"curl -H \"Authorization: Bearer mF_9.B5f-4.1JqM\" https://api.example/v1/things\n",                                // RFC 6750
		`{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"example","refresh_token":"tGzv3JOkF0XG5Qx2TlKWIA"}` + "\n", // RFC 6749
	} {
		if got := seen(t, e, text, 0, -1); len(got) > 0 {
			t.Errorf("%q: %v", text, got)
		}
	}
}
