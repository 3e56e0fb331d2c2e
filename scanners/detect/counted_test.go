package detect

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

// A string in binary data is delimited by its length before it, or by check digits in it. The
// adjacent bytes are letters here, so that nothing else delimits it.
func TestStringsInBinaryData(t *testing.T) {
	e := New(builtin(t))
	generate := func(form string) string {
		tok, err := rules.Generate(form, rand.NewChaCha8([32]byte{12}))
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	pat, npm, long := generate("ghp_{base62:30}{crc32}"), "npm_"+generate("{base62:36}"), generate("glsa_{base62:32}_{hex:8}")
	counts := map[string]func(n int) []byte{
		"a byte":         func(n int) []byte { return []byte{'z', byte(n)} },
		"twice":          func(n int) []byte { return []byte{'z', byte(2 * n)} },
		"network order":  func(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) },
		"little-endian":  func(n int) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(n)) },
		"groups of bits": func(n int) []byte { return binary.AppendUvarint([]byte("z"), uint64(n)) },
	}
	for name, count := range counts {
		for rule, tok := range map[string]string{"github-pat": pat, "npm-access-token": npm, "grafana-service-account-token": long} {
			text := "\x00\x01head" + string(count(len(tok))) + tok + "Nextstring\x00"
			got := inFile(e, text, true)
			if !slices.Equal(got, []string{rule + " " + tok}) {
				t.Errorf("%s, %s: %q", name, rule, got)
			}
		}
	}
	// Adjacent strings, as Go's and Rust's compilers put them.
	row := func(tok string) string { return "\x7fELF\x00" + strings.Repeat("somestring", 9) + tok + "nextstring" }
	wrong := pat[:39] + string(pat[39]^1)
	for text, want := range map[string]int{
		row(pat): 1, row("x" + pat + ":"): 1, row(":" + pat): 1, row(wrong): 0, row(npm): 0, row(pat[:30]): 0, row("ghp_"): 0,
	} {
		if got := inFile(e, text, true); len(got) != want || want == 1 && got[0] != "github-pat "+pat {
			t.Errorf("%q: %q", text, got)
		}
	}
	// A letter can equal the length of what follows by chance, for example in base64 in a
	// program.
	if got := inFile(e, "\x00\x01"+strings.Repeat("A", 20)+string(rune(len(npm)))+npm+"Next", true); len(got) != 0 {
		t.Errorf("behind a letter: %q", got)
	}
	if got := inFile(e, "\x00\x01 "+std("somestring "+strings.Repeat("word ", 9)+"somestring"+pat+"nextstring")+"\n", true); len(got) != 0 {
		t.Errorf("in what is encoded: %q", got)
	}
	// Plain text is searched as before, and a length must be the token's.
	for _, text := range []string{row(pat), "head(" + pat + "Next"} {
		if got := inFile(e, text, false); len(got) != 0 {
			t.Errorf("in a text: %q", got)
		}
	}
	for _, n := range []byte{39, 41, 15, 200} {
		if got := inFile(e, "\x00\x01he"+string([]byte{n})+npm+"Next", true); len(got) != 0 {
			t.Errorf("behind %d: %q", n, got)
		}
	}
}

// Lengths of two bytes need tokens longer than any provider's.
func TestLongStringsInBinaryData(t *testing.T) {
	for n, count := range map[int]string{
		200: "z\xc8\x01", 321: "\x01\x41", 320: "z\xc0\x02", 300: "\x2c\x01\x00\x00",
	} {
		x, err := rules.NewExpression(fmt.Sprintf(`\btok_[a-z0-9]{%d}\b`, n-4))
		if err != nil {
			t.Fatal(err)
		}
		e := New(&rules.Set{Rules: []*rules.Rule{{ID: "long", Regex: x, Provider: &rules.Provider{}}}})
		tok := "tok_" + strings.Repeat("k3v9x2", n)[:n-4]
		if got := inFile(e, "\x00\x01"+count+tok+"Next", true); !slices.Equal(got, []string{"long " + tok}) {
			t.Errorf("%d: %q", n, got)
		}
	}
}

func inFile(e *Engine, text string, binary bool) (out []string) {
	for m := range e.Detect(scanners.Chunk{Artifact: &scanners.Artifact{}, Data: []byte(text), Line: 1, Column: 1, To: len(text), Binary: binary}) {
		out = append(out, m.Rule.ID+" "+m.Secret.Reveal())
	}
	return out
}

// The number of bytes that automatons may read is limited here as well.
func TestCountedIsBounded(t *testing.T) {
	e := New(builtin(t))
	text := []byte("\x00\x01Pnpm_" + strings.Repeat("a1b2c3", 6) + "Next")
	find := func(steps int) int {
		s := e.scratch.New().(*scratch)
		s.binary = true
		e.find(s, text, nil, func(raw) {})
		s.steps = steps
		e.search(s, text, span{0, len(text)})
		return len(s.counted)
	}
	if n, none := find(0), find(maxSteps*len(text)); n != 1 || none != 0 {
		t.Errorf("%d and %d", n, none)
	}
}

// The bytes of backspaces and escapes next to strings of a program are not terminal output.
func TestControlBytesOfPrograms(t *testing.T) {
	e := New(builtin(t))
	pat, err := rules.Generate("ghp_{base62:30}{crc32}", rand.NewChaCha8([32]byte{13}))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		wideOf("token="+pat, true) + "\b\x0b\x11\x00\x00", wideOf("token="+pat, true) + "\x1bz\x11\x00",
		"\x00\x01\x1bP" + wideOf("token="+pat, false) + strings.Repeat("\x00\x01", 20) + "\a",
		"\x00\x01" + pat[:5] + "\x1b[1;31m" + pat[5:] + "\x1b[0m\x00",
	} {
		if got := inFile(e, text, true); len(got) != 1 || got[0] != "github-pat "+pat {
			t.Errorf("%q: %q", text, got)
		}
	}
}
