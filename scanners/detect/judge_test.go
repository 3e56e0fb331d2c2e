package detect

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"testing"
)

// No random token may be taken for a word, a placeholder or a sample.
func TestRandomTokensAreFound(t *testing.T) {
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
