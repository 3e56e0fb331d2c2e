package rules

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// The checks byte by byte agree with these expressions.
func TestFormsOfHarmlessValues(t *testing.T) {
	forms := []struct {
		is func(string) bool
		re *regexp.Regexp
	}{
		{digestForm, regexp.MustCompile(`^(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{56}|[0-9a-fA-F]{64}|[0-9a-fA-F]{96}|[0-9a-fA-F]{128}|[A-Za-z0-9+/]{22}==|[A-Za-z0-9+/]{27}=|[A-Za-z0-9+/]{43}=|[A-Za-z0-9+/]{86}==)$`)},
		{plainID, regexp.MustCompile(`^(?:[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|[0-9a-fA-F]{16,64}|[0-9]+)$`)},
		{hexConstant, regexp.MustCompile(`^0x[0-9A-Fa-f]+$`)},
		{isUUID, regexp.MustCompile(`^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)},
		{func(s string) bool { return regional(s) && regionID().MatchString(s) }, regionID()},
	}
	r := rand.New(rand.NewPCG(1, 2))
	alphabets := []string{"0123456789", "0123456789abcdef", "0123456789abcdefABCDEF", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"}
	lengths := []int{0, 1, 8, 15, 16, 22, 27, 31, 32, 33, 40, 43, 56, 64, 65, 86, 96, 128, 129}
	digits := func(n int) string {
		a := alphabets[r.IntN(len(alphabets))]
		b := make([]byte, n)
		for i := range b {
			b[i] = a[r.IntN(len(a))]
		}
		return string(b)
	}
	seen := make([]int, len(forms))
	for range 40_000 {
		s := digits(lengths[r.IntN(len(lengths))])
		switch r.IntN(6) {
		case 0:
			s = "0x" + s
		case 1:
			s += strings.Repeat("=", r.IntN(3))
		case 2:
			s = "eu-west-1:"[r.IntN(2)*10:] + strings.Join([]string{digits(8), digits(4), digits(4), digits(4), digits(12)}, "-")
		case 3:
			s = "ap-south-2_" + strings.ToLower(strings.Join([]string{digits(8), digits(4), digits(4), digits(4), digits(12)}, "-"))
		}
		if len(s) > 0 && r.IntN(8) == 0 {
			k := r.IntN(len(s))
			s = s[:k] + []string{"\n", "é", "-", "\xff", "@", "`", "[", "{", "g", ""}[r.IntN(10)] + s[k+1:]
		}
		for i, f := range forms {
			want := f.re.MatchString(s)
			if got := f.is(s); got != want {
				t.Fatalf("%s of %q: %v", f.re, s, got)
			}
			if want {
				seen[i]++
			}
		}
	}
	for i, n := range seen {
		if n < 50 {
			t.Errorf("%s: %d values", forms[i].re, n)
		}
	}
}
