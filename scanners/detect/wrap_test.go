package detect

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
)

// Lines of one length are joined with those that follow them, and with no others.
func TestLinesOfOneLengthBesideOthers(t *testing.T) {
	e := New(builtin(t))
	token := withSum("ghp_" + "Zk3xV9qLw2Rt7YbN5cHd8Jf4Gs6Pm1")
	text := base64.StdEncoding.EncodeToString([]byte("export GITHUB_TOKEN=" + token + strings.Repeat(" #", 15)))
	if len(text) != 120 {
		t.Fatal(len(text))
	}
	wrapped := text[:60] + "\n" + text[60:] + "\n"
	filler := strings.Repeat("quietwords", 6)
	for name, s := range map[string]string{
		"alone":                     wrapped,
		"indented":                  "\t" + text[:60] + "\n\t" + text[60:] + "\n",
		"behind others":             filler + "\n" + filler + "\n(((\n" + wrapped,
		"behind others, and words":  filler + "\n" + filler + "\nof\nno use\n" + wrapped,
		"before others":             wrapped + "(((\n" + filler + "\n" + filler + "\n",
		"behind one that is longer": filler + "x\n" + wrapped,
		"in a long text":            strings.Repeat("one, two;\n", 1000) + wrapped + strings.Repeat("one, two;\n", 1000),
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
