package scanners

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf16"
)

// column returns the SARIF column of a byte offset, computed with the standard library.
func column(line string, at int) int { return len(utf16.Encode([]rune(line[:at]))) + 1 }

func TestColumnsInUTF16(t *testing.T) {
	for _, before := range []string{"", "# T=", "# Schlüssel für Größe: ", "🔑 ключ = ", "日本語の長い行です、", strings.Repeat("aé🔑漢", 300_000), strings.Repeat("x", 1_100_000) + "é"} {
		text := "one é line\n" + before + "token" + "\nmore"
		k := NewChunker(4096)
		found := 0
		_, err := k.Each(strings.NewReader(text), &Artifact{}, func(c Chunk) error {
			at := bytes.Index(c.Data, []byte("token"))
			if at < c.From || at >= c.To {
				return nil
			}
			found++
			l := c.Locate(at, at+5)
			if want := column(before+"token", len(before)); l.Column-l.Excess != want || l.EndColumn-l.EndExcess != want+5 || l.Column != len(before)+1 {
				t.Errorf("after %d bytes: %d to %d, want %d", len(before), l.Column-l.Excess, l.EndColumn-l.EndExcess, want)
			}
			return nil
		})
		if err != nil || found != 1 {
			t.Errorf("found %d times, %v", found, err)
		}
	}
}

func FuzzExcess(f *testing.F) {
	f.Add("aé🔑漢 and some more text")
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ToValidUTF8(s, "")
		if got, want := excess([]byte(s)), len(s)-len(utf16.Encode([]rune(s))); got != want {
			t.Errorf("%q: %d, want %d", s, got, want)
		}
	})
}
