package detect

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules"
)

// TestNoiseIsNoSession gives every cookie that grants no access the value and the attributes of
// a session cookie, in every kind of text that contains cookies.
func TestNoiseIsNoSession(t *testing.T) {
	e := New(builtin(t))
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(alphabet string, n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = alphabet[random.IntN(len(alphabet))]
		}
		return string(b)
	}
	const lower = "abcdefghijklmnopqrstuvwxyz0123456789"
	const mixed = lower + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	shapes := []func() string{
		func() string { return pick("0123456789abcdef", 32) },
		func() string { return pick("0123456789abcdef", 40) },
		func() string { return pick(mixed+"-_", 43) },
		func() string { return pick(lower, 26) },
		func() string { return pick(mixed, 64) },
		func() string { return "s%3A" + pick(mixed+"-_", 32) + "." + pick(mixed, 43) },
	}
	carriers := []string{
		"Cookie: lang=en; %s=%s; tz=UTC",
		"Set-Cookie: %s=%s; Path=/; Secure; HttpOnly; SameSite=Lax",
		"#HttpOnly_app.example\tFALSE\t/\tTRUE\t0\t%s\t%s",
		`{"name": "%s", "value": "%s", "domain": "app.example", "path": "/", "httpOnly": true}`,
		"* Added cookie %s=\"%s\" for domain app.example, path /, expire 0",
		"curl -b '%s=%s' https://app.example/",
	}
	texts, flagged := 0, 0
	for i, glob := range rules.NoiseCookies() {
		if i%fewer != 0 {
			continue
		}
		name := strings.ReplaceAll(glob, "*", "x1")
		for _, shape := range shapes {
			for _, c := range carriers {
				text := fmt.Sprintf(c, name, shape())
				texts++
				for _, m := range matches(e, text) {
					flagged++
					t.Errorf("%s: %s is taken for a session: %s", m.Rule.ID, name, text)
				}
			}
		}
	}
	t.Logf("%d of %d look-alikes flagged", flagged, texts)
}
