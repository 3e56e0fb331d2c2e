package detect

import (
	"go/build"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/cilog"
)

func goroot() string { return build.Default.GOROOT }

func TestViewsReachTokensThroughTheLog(t *testing.T) {
	e := New(builtin(t))
	pat := withSum("ghp_" + "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT")
	h, l := pat[:11], pat[11:]
	for name, c := range map[string]struct {
		text         string
		line, column int
		endLine      int
	}{
		"plain":                       {"x\ny " + pat + "\n", 2, 3, 2},
		"colour inside":               {"x " + h + "\x1b[1m" + l + "\n", 1, 3, 1},
		"OSC inside":                  {"x " + h + "\x1b]8;;http://a\x07" + l + "\n", 1, 3, 1},
		"buildkite APC inside":        {"x " + h + "\x1b_bk;t=1729032357999\x07" + l + "\n", 1, 3, 1},
		"jenkins note inside":         {"x " + h + "\x1b[8mha:////4BBBB=\x1b[0m" + l + "\n", 1, 3, 1},
		"after a BOM and a timestamp": {"\xef\xbb\xbf2026-05-03T01:16:34.3352086Z " + pat + "\n", 1, 33, 1},
		"GitLab's continued line":     {"2024-05-22T12:43:46.962646Z 00O " + h + "\n2024-05-22T12:43:46.962700Z 00O+" + l + "\n", 1, 33, 2},
		"after a carriage return":     {"10%\r20%\r" + pat + "\r\n", 1, 9, 1},
		"with a NUL and bad UTF-8":    {"\x00\xff" + pat + "\x00", 1, 3, 1},
	} {
		b := []byte(c.text)
		var got []rules.Location
		for m := range e.Detect(scanners.Chunk{Artifact: &scanners.Artifact{}, Data: b, Line: 1, Column: 1, To: len(b)}) {
			if m.Rule.ID != "github-pat" || m.Secret.Reveal() != pat {
				t.Errorf("%s: %s", name, m.Rule.ID)
			}
			got = append(got, scanners.Chunk{Artifact: &scanners.Artifact{}, Data: b, Line: 1, Column: 1}.Locate(m.Start, m.End))
		}
		if len(got) != 1 || got[0].Line != c.line || got[0].Column != c.column || got[0].EndLine != c.endLine {
			t.Errorf("%s: %+v, want line %d column %d", name, got, c.line, c.column)
		}
	}
}

// withSum appends GitHub's check digits to a prefix and its body.
func withSum(s string) string {
	out, err := rules.Generate("ghp_{base62:30}{crc32}", &fixed{[]byte(s[4:])})
	if err != nil {
		panic(err)
	}
	return out
}

// fixed makes the generator choose the given text.
type fixed struct{ want []byte }

func (f *fixed) Read(b []byte) (int, error) {
	const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	for i := range b {
		b[i] = byte(strings.IndexByte(base62, f.want[i]))
	}
	return len(b), nil
}

// The longest name that counts as a service's, and a longer one.
func TestNamesOfServices(t *testing.T) {
	for n, want := range map[int]string{3: "a\nb\n", 40: "a\nb\n", cilog.LongestRepeated - 3: "a\nb\n", cilog.LongestRepeated: ""} {
		name := strings.Repeat("s", n) + " | "
		in := text{data: []byte(name + "a\n" + name + "b\n")}
		in.seen.take(in.data)
		var v text
		if got := v.clean(&in); got != (want != "") || got && string(v.data) != want {
			t.Errorf("%d: %v %q", n, got, v.data)
		}
	}
}

// Every byte of a derived text came from the position that it records, and positions never
// decrease.
func FuzzClean(f *testing.F) {
	f.Add([]byte("a\x1b[1mb\x1b]x\x07c\xef\xbb\xbfd\n2026-05-03T01:16:34.3352086Z x"))
	f.Add([]byte("2024-05-22T12:43:46.962646Z 00O a\n2024-05-22T12:43:46.962646Z 00O+b\x1b[8mha:///\x1b[0m"))
	f.Add([]byte("2024-01-01T00:00:00.000000000Z stdout P ab\n2024-01-01T00:00:00.000000000Z stdout F cd\nx\b\by"))
	f.Add([]byte(`{"log":"ab","stream":"stdout","time":"x"}` + "\n" + `{"log":"cd\n","stream":"stdout","time":"x"}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := text{data: b}
		in.seen.take(b)
		var v text
		if !v.clean(&in) {
			return
		}
		last := -1
		for i := range v.data {
			at := v.raw(i, i+1)
			if at.start <= last || at.end != at.start+1 || b[at.start] != v.data[i] {
				t.Fatalf("byte %d of the view is not byte %d of the text", i, at.start)
			}
			last = at.start
		}
	})
}
