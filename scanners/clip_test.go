package scanners

import (
	"strings"
	"testing"
)

func TestClip(t *testing.T) {
	for _, c := range []struct {
		name, in string
		n        int
		want     string
	}{
		{"short enough", "one two", 7, "one two"},
		{"between words", "one two three", 7, "one two…"},
		{"within a word", "one two three", 9, "one two…"},
		{"within the only word", "onetwothree", 5, "…"},
		{"within a rune", "ab éé", 4, "ab…"},
		{"nothing", "abc", 0, "…"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Clip(c.in, c.n); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestClipShowsNoPartOfAWord(t *testing.T) {
	const text = "fix the build with made-up-token-value and go on"
	for n := range len(text) {
		for _, w := range strings.Fields(strings.TrimSuffix(Clip(text, n), "…")) {
			if !strings.Contains(" "+text+" ", " "+w+" ") {
				t.Errorf("%d bytes show %q", n, w)
			}
		}
	}
}
