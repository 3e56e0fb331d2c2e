package redact

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules"
)

const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/=_-.~<>&\"\\ %\u00e9"

// value returns a value of at least n bytes.
func value(r *rand.Rand, n int) string {
	letters := []rune(alphabet)
	var b strings.Builder
	for b.Len() < n {
		b.WriteRune(letters[r.IntN(len(letters))])
	}
	return b.String()
}

// encodings returns encodings that a reader can decode, computed without the package's code.
func encodings(v string) map[string]string {
	j, _ := json.Marshal(v)
	out := map[string]string{
		"as it is": v, "hex": hex.EncodeToString([]byte(v)), "HEX": fmt.Sprintf("%X", v),
		"query": url.QueryEscape(v), "path": url.PathEscape(v), "percent": "%" + strings.Join(pairs(hex.EncodeToString([]byte(v))), "%"),
		"JSON": string(j[1 : len(j)-1]),
	}
	for k := range 3 {
		for l := range 3 {
			text := strings.Repeat("x", k) + v + strings.Repeat("y", l)
			out[fmt.Sprintf("base64 after %d before %d", k, l)] = base64.StdEncoding.EncodeToString([]byte(text))
			out[fmt.Sprintf("base64url after %d before %d", k, l)] = base64.URLEncoding.EncodeToString([]byte(text))
		}
	}
	return out
}

func pairs(s string) (out []string) {
	for i := 0; i < len(s); i += 2 {
		out = append(out, s[i:i+2])
	}
	return out
}

func TestEveryEncodingIsRemovedFromEveryPlace(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 200 {
		v := value(r, MinLen+r.IntN(60))
		red := New(rules.NewSecretString("another-secret-0"), rules.NewSecretString(v))
		for name, form := range encodings(v) {
			// No escape begins before the value.
			before, after := strings.NewReplacer(`\`, "", "%", "").Replace(value(r, r.IntN(20))), value(r, r.IntN(20))
			got := red.String(before + form + after)
			if strings.Contains(got, form) || !strings.Contains(got, rules.Redacted) {
				t.Fatalf("%s of a value of %d bytes is left", name, len(v))
			}
			// Base64 digits that a neighbour shares with the value remain.
			if rest := strings.ReplaceAll(got, rules.Redacted, ""); len(rest) > len(before)+len(after)+10 {
				t.Fatalf("%s: %d bytes too much are left", name, len(rest)-len(before)-len(after))
			}
		}
	}
}

func TestOtherTextStays(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	red := New()
	for range 1000 {
		red.Add(rules.NewSecretString(value(r, 12+r.IntN(40))))
	}
	for range 1000 {
		if s := value(r, 200); red.String(s) != s {
			t.Fatalf("%q became %q", s, red.String(s))
		}
	}
	if s := "a short text"; (*Redactor)(nil).String(s) != s || New().String(s) != s {
		t.Error("a Redactor without secrets changes text")
	}
}

func TestSecrets(t *testing.T) {
	const key = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA1234567890\nabcdefghijklmnopqrstuvwx\n-----END KEY-----"
	for _, c := range []struct {
		name    string
		secrets []string
		text    string
		want    string
	}{
		{"a value too short to be one is left", []string{"seven77"}, "at seven77 x", "at seven77 x"},
		{"all places of one value", []string{"secret-1"}, "secret-1,secret-1 secret-1", "[redacted],[redacted] [redacted]"},
		{"a value within a longer one", []string{"secret-1", "xx-secret-1-yy"}, "a xx-secret-1-yy b", "a [redacted] b"},
		{"the longer one alone at its own end", []string{"secret-1", "xx-secret-1"}, "xx-secret-1", "[redacted]"},
		{"values that overlap", []string{"abcdefgh", "efghijkl"}, "-abcdefghijkl-", "-[redacted]-"},
		{"values side by side", []string{"abcdefgh", "ijklmnop"}, "abcdefghijklmnop", "[redacted]"},
		{"one line of several", []string{key}, "subject: abcdefghijklmnopqrstuvwx", "subject: [redacted]"},
		{"one line of several with its breaks escaped", []string{strings.ReplaceAll(key, "\n", `\n`)}, "x MIIEpAIBAAKCAQEA1234567890 y", "x [redacted] y"},
		{"the armour of a key is no secret", []string{key}, "-----BEGIN KEY-----", "-----BEGIN KEY-----"},
	} {
		t.Run(c.name, func(t *testing.T) {
			red := New()
			for _, s := range c.secrets {
				red.Add(rules.NewSecretString(s))
			}
			if got := red.String(c.text); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// FuzzRedactor checks that a secret never survives, whatever surrounds it.
func FuzzRedactor(f *testing.F) {
	f.Add("abcdefgh", "x", "y")
	f.Add("aaaaaaaa", "aaaa", "aaaa")
	f.Add("abababababab", "ab", "ab")
	f.Fuzz(func(t *testing.T, v, before, after string) {
		if len(v) < MinLen || strings.Contains(rules.Redacted, v) || strings.Contains(v, "[") || strings.Contains(v, "]") {
			t.Skip()
		}
		red := New(rules.NewSecretString(v))
		if got := red.String(before + v + after); strings.Contains(got, v) {
			t.Errorf("%q is left in %q", v, got)
		}
	})
}

func BenchmarkString(b *testing.B) {
	for _, n := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprintf("%d secrets", n), func(b *testing.B) {
			r := rand.New(rand.NewPCG(3, 4))
			red := New()
			for range n {
				red.Add(rules.NewSecretString("ghp_" + value(r, 36)))
			}
			text := strings.Repeat("services/some-service_2/", 7) + "config.yaml"
			b.SetBytes(int64(len(text)))
			b.ResetTimer()
			for b.Loop() {
				red.String(text)
			}
		})
	}
}

func BenchmarkAdd(b *testing.B) {
	r := rand.New(rand.NewPCG(5, 6))
	var list []rules.Secret
	for range 100_000 {
		list = append(list, rules.NewSecretString("ghp_"+value(r, 36)))
	}
	b.ReportAllocs()
	for b.Loop() {
		New(list...)
	}
}

func TestTheKeyOfAWebhookIsRedactedWithoutItsAddress(t *testing.T) {
	key := strings.Repeat("k7Qz", 17)
	r := New(rules.NewSecretString("https://discord.example/api/webhooks/" + strings.Repeat("1", 18) + "/" + key))
	if got := r.String(`{"token":"` + key + `"}`); strings.Contains(got, key) {
		t.Errorf("got %s", got)
	}
}
