package detect

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// A no-break space before or after a value is a space, also where both of its sides are letters.
func TestNoBreakSpacesAroundValues(t *testing.T) {
	e := New(builtin(t))
	r := rand.New(rand.NewPCG(8, 1))
	random := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"[r.IntN(57)]
		}
		return string(b)
	}
	for _, space := range []string{"\u00a0", "\u202f"} {
		for range 20 {
			value := random(40)
			for _, text := range []string{"Authorization: Bearer" + space + value + "\n", "curl -H 'Authorization:" + space + "Bearer" + space + value + "'\n", "API_KEY=" + value + space + "and more words\n"} {
				var got []string
				for _, f := range found(t, e, text) {
					got = append(got, strings.Fields(f)[1])
				}
				if len(got) != 1 || got[0] != value {
					t.Errorf("%q: %q", text, got)
				}
			}
		}
	}
}

// A no-break space within a token of one length that begins with a prefix is removed; one after
// a token is a space.
func TestNoBreakSpacesInTokens(t *testing.T) {
	e := New(builtin(t))
	r := rand.New(rand.NewPCG(5, 6))
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	random := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteByte(letters[r.IntN(len(letters))])
		}
		return b.String()
	}
	secrets := func(text string) (out []string) {
		for _, f := range found(t, e, text) {
			out = append(out, strings.Fields(f)[1])
		}
		return out
	}
	for range 50 {
		gitlab, vault := "glpat"+"-"+random(20), "hvs"+"."+random(90)
		for _, space := range []string{"\u00a0", "\u202f", "\u2007"} {
			for _, token := range []string{gitlab, vault} {
				texts := []string{"token" + space + token + space + "and more words", "first" + space + "words" + space + token + space + "x"}
				if token == gitlab { // of one length: what is before the space is no token
					k := 7 + r.IntN(len(token)-8)
					texts = append(texts, "the token "+token[:k]+space+token[k:]+" end")
				}
				for _, text := range texts {
					if got := secrets(text + "\n"); len(got) != 1 || got[0] != token {
						t.Errorf("%q: %q", text, got)
					}
				}
			}
		}
	}
}
