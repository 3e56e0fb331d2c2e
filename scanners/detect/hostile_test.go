package detect

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules/testenv"
	"github.com/quellhq/quell/scanners"
)

// hostile are texts that each make one part of the engine do as much work as possible.
func hostile(n int) map[string][]byte {
	fill := func(s string) []byte { return []byte(strings.Repeat(s, n/len(s)+1))[:n] }
	nested := fill("x y ")[:n/4]
	for range 5 {
		nested = []byte(base64.StdEncoding.EncodeToString(nested))
	}
	out := map[string][]byte{"nested base64": nested[:min(len(nested), n)]}
	for _, s := range []string{
		"a", "=", "%", "%25", "%2525252525", `\`, `\\`, `\x41`, `\u0041`, `\"`, "&amp;", "&#x26;", "=3D", "=\n", "'\\''", "''a", "\x00", "a\x00", "\x00a", "A=b\x00", "\b", "a\b",
		"\x1b", "\x1b[", "\x1b[0m", "\x1b]", "\x1b_", "a\x1b[0mb", "[0m", "[8mha:", "\xef\xbb\xbf", "\xc5\xbf", "\u212a", "\xff",
		"ghp_abc\n", "ghp_abcd***", "ghp_", "g\nh\np\n_\n", "ghp_0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT\n", "ghp_0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT000000 ",
		"-----BEGIN PRIVATE KEY-----\n", "-----BEGIN PRIVATE KEY", "ey", "-ey", "glpat-", "-glpat-", "hvs.-hvs", "Fe26.2**", "eyJhbGciOiJIUzI1NiJ9.ey", "eyJhbGciOiJIUzI1NiJ9.eyJhbGciOiJIUzI1NiJ9.", "token", "token=", "token=abcdefghij0123456789 ", "api_key: ", "password='",
		"facebook 1234567890123456|", "kind: Secret\ndata:\n a: b\n", `"github_token"`, `{"github_token":"x"`, `"A":"b",`, "authorization: bearer ", "Set-Cookie: sessionid=", "sessionid=abcdefghijklmnop0123456789; ",
		"https://a:q8Zk2mXw71Lp0vB3nT5r@h ", "https://", "https://a:", "machine a login b password q8Zk2mXw71Lp0vB3nT5r\n", "machine ", "cookie=", "cookie:", "cookie=sid=q8Zk2mXw71Lp0vB3nT5r;", "set-cookie:sid=q8Zk2mXw71Lp0vB3nT5r", "sid=q8Zk2mXw71Lp0vB3nT5r; cookie:", `"httponly":`, `{"httponly":1,`, `"httponly":1,"a":1,`,
		"\tTRUE\t/\tTRUE\t0\tsid\tq8Zk2mXw71Lp0vB3nT5r", "curl ", "curl -b ", `{"expires_at":1,"authorization":"Bearer q8Zk2mXw71Lp0vB3nT5r",`, "SAMLResponse=", "se=1&sp=1&", "X-Amz-Signature=", "tid=", "v4.local.", "macaroon=",
		`tokens:["`, `"tokens":["q8Zk2mXw71Lp0vB3nT5r",`, "Host: a.example\nCookie: sid=q8Zk2mXw71Lp0vB3nT5r\n",
		"token='q8Zk2mXw71Lp0vB3nT5r' ", "token=q8Zk2mXw71Lp0vB3nT5r ", `token:"{"a":"`,
		"2026-05-03T01:16:34.3352086Z ", "2026-05-03T01:16:34.3352086Z \n", "2024-05-22T12:43:46.962646Z 00O+a\n", "2024-01-01T00:00:00.000000001Z stdout P a\n", `{"log":"a","stream":"stdout"` + "\n", "[a] \n", "a | \n",
		"00000000: 4141\n", "0000000 041101\n", "0123456789abcdef0123456789abcdef", "H4sIAAAAAAAA/", strings.Repeat("a", 64) + "\n", strings.Repeat("a", 76) + "=\n",
	} {
		out[fmt.Sprintf("%.40q", s)] = fill(s)
	}
	return out
}

// No text may cost many times as much as ordinary text.
func BenchmarkHostile(b *testing.B) {
	e := New(builtin(b))
	for name, text := range hostile(512 << 10) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				for range e.Detect(scanners.Chunk{Artifact: &scanners.Artifact{}, Data: text, Line: 1, Column: 1, To: len(text)}) {
				}
			}
		})
	}
}

// The work on a hostile text is limited by its length: the test counts the bytes that
// automatons read and the bytes that are derived, and doesn't measure time.
func TestHostileTextsAreBounded(t *testing.T) {
	testenv.Sequential(t)
	e := New(builtin(t))
	for name, b := range hostile(64 << 10 / fewer) {
		l := look{e: e, s: &scratch{}, chunk: scanners.Chunk{Artifact: &scanners.Artifact{}, Data: b, To: len(b)}, budget: maxDerived}
		l.text(&text{data: bytes.Clone(b)}, 0)
		if derived := l.spent; derived > 64*len(b) {
			t.Errorf("%s: %d bytes are derived of %d", name, derived, len(b))
		}
		s := &scratch{}
		e.find(s, b, []span{{0, len(b)}}, func(raw) {})
		if s.steps > (maxSteps+1)*len(b) {
			t.Errorf("%s: automatons look %d times at each byte", name, s.steps/len(b))
		}
	}
}
