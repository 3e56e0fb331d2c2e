package detect

import (
	"encoding/base64"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// Lines of one length are joined with those that follow them, and with no others.
func TestLinesOfOneLengthAmongOthers(t *testing.T) {
	e := New(builtin(t))
	token := withSum("ghp_" + "Zk3xV9qLw2Rt7YbN5cHd8Jf4Gs6Pm1")
	text := base64.StdEncoding.EncodeToString([]byte("export GITHUB_TOKEN=" + token + strings.Repeat(" #", 15)))
	if len(text) != 120 {
		t.Fatal(len(text))
	}
	wrapped := text[:60] + "\n" + text[60:] + "\n"
	filler := strings.Repeat("quietwords", 6)
	for name, s := range map[string]string{
		"alone":                   wrapped,
		"indented":                "\t" + text[:60] + "\n\t" + text[60:] + "\n",
		"after others":            filler + "\n" + filler + "\n(((\n" + wrapped,
		"after others, and words": filler + "\n" + filler + "\nof\nno use\n" + wrapped,
		"before others":           wrapped + "(((\n" + filler + "\n" + filler + "\n",
		"after a longer one":      filler + "x\n" + wrapped,
		"in a long text":          strings.Repeat("one, two;\n", 1000) + wrapped + strings.Repeat("one, two;\n", 1000),
	} {
		found := run(t, e, []byte(s), 0)
		if !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, token) }) {
			t.Errorf("%s: %v", name, found)
		}
	}
}

// A literal that a line break cuts, in lines too short to be wrapped.
func TestShortLinesWithALiteralOverTheirBreak(t *testing.T) {
	e := New(builtin(t))
	token := withSum("ghp_" + "Zk3xV9qLw2Rt7YbN5cHd8Jf4Gs6Pm1")
	for k := 1; k < len("ghp_"); k++ {
		for _, begin := range []string{"", "x = ", "set a "} {
			found := run(t, e, []byte("words\n"+begin+token[:k]+"\n"+token[k:]+"\nwords\n"), 0)
			if !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, token) }) {
				t.Errorf("%q, cut behind %d: %v", begin, k, found)
			}
		}
	}
}

// Lines that have equal length by chance are not one wrapped line.
func TestEqualLinesKeepTheirOwnValues(t *testing.T) {
	e := New(builtin(t))
	word := wordsOf(1)
	kinds := map[string]func() string{
		"of no fixed length": func() string { return "hvs." + word(60) },
		"signed": func() string {
			return "eyJhbGciOiJIUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"`+word(20)+`"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(word(32)))
		},
		"opaque": func() string { return word(40) },
	}
	for name, before := range map[string]string{
		"after a name":           "token=",
		"in a header":            "Authorization: Bearer ",
		"in a log with a stamp":  "2026-01-01T12:00:00.0000000Z Authorization: Bearer ",
		"at the width of a page": strings.Repeat("- ", 20) + "Authorization: Bearer ",
	} {
		for kind, value := range kinds {
			for _, width := range []int{0, 256} {
				var text strings.Builder
				var want []string
				for range 5 {
					v := value()
					line := before + v
					text.WriteString(strings.Repeat(" ", max(0, width-len(line))) + line + "\n")
					want = append(want, v)
				}
				var got []string
				for _, f := range run(t, e, []byte(text.String()), 0) {
					got = append(got, f[strings.LastIndexByte(f, ' ')+1:])
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s, %s, width %d: %d values found, %d are there", name, kind, width, len(got), len(want))
				}
			}
		}
	}
}

// A header or an assignment after a cookie is not the rest of its value, whatever the width of the
// cookie's line.
func TestTheLineAfterACookieIsNoneOfIt(t *testing.T) {
	e := New(builtin(t))
	word := wordsOf(2)
	for _, prefix := range []string{"", "> ", "2026-11-01T10:00:00.0000000Z > "} {
		for _, after := range []string{"Host: app.example.com", "Accept: */*", "X-B3-TraceId: 1", "Priority:", "expires_at: 1796", "PATH=/usr/local/bin:/usr/bin", "HOME=/root"} {
			for n := 20; n < 140; n++ {
				for _, name := range []string{"connect.sid=s%3A" + word(32) + ".", "sessionid="} {
					text := prefix + "GET /me HTTP/1.1\n" + prefix + "Cookie: " + name + word(n) + "\n" + prefix + after + "\n" + prefix + "x\n"
					for _, f := range run(t, e, []byte(text), 0) {
						if first, _, _ := strings.Cut(after, ":"); strings.Contains(f, first) || strings.Contains(f, after[:4]) {
							t.Fatalf("%q: %s", text, f)
						}
					}
				}
			}
		}
	}
}

// wordsOf returns a function that makes random values of n letters and digits.
func wordsOf(seed uint64) func(n int) string {
	random := rand.New(rand.NewPCG(25, seed))
	return func(n int) string {
		const letters = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
		b := make([]byte, n)
		for i := range b {
			b[i] = letters[random.IntN(len(letters))]
		}
		return string(b)
	}
}
