package detect

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/klauspost/compress/zstd"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

// These mark the position of the secret's first byte and the one after its last byte.
const (
	from = "\x01"
	upto = "\x02"
)

// mangling is one way in which logs and files change a token: text with marks around what must
// be reported.
type mangling struct {
	name    string
	make    func(tok string) string
	decoded string
	pieces  int
}

const ghaStamp = "2026-05-03T01:16:34.3352086Z "

// stamped puts a prefix before each line.
func stamped(prefix, s string) string {
	lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	return prefix + strings.Join(lines, "\n"+prefix) + "\n"
}

// hard wraps at a width; marks don't count.
func hard(s, sep string, width int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n == width && string(r) != upto {
			b.WriteString(sep)
			n = 0
		}
		b.WriteRune(r)
		if string(r) != from && string(r) != upto {
			n++
		}
	}
	return b.String()
}

func deflated(f func(*bytes.Buffer) interface {
	Write([]byte) (int, error)
	Close() error
}, s string) string {
	var b bytes.Buffer
	w := f(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func gz(s string) string {
	return deflated(func(b *bytes.Buffer) interface {
		Write([]byte) (int, error)
		Close() error
	} {
		return gzip.NewWriter(b)
	}, s)
}

func dumpOf(s string, row func(off int, b []byte) string) string {
	var out strings.Builder
	for i := 0; i < len(s); i += 16 {
		out.WriteString(row(i, []byte(s[i:min(len(s), i+16)])) + "\n")
	}
	return out.String()
}

// mark puts the marks around the n-th to the last of the bytes of tok in a dump whose bytes all
// have the same width.
func manglings() []mangling {
	all := func(s string) string { return from + s + upto }
	half := func(tok, with string) string { return from + tok[:17] + with + tok[17:] + upto }
	quote := func(tok, s string) string { return strings.Replace(s, tok, all(tok), 1) }
	header := func(tok string) string { return "Authorization: Bearer " + tok + "\n" }
	return []mangling{
		{"plain", func(t string) string { return "x " + all(t) + "\n" }, "", 0},
		{"CSI inside", func(t string) string { return "token=" + half(t, "\x1b[1;31m") + "\x1b[0m\n" }, "", 2},
		{"CSI without ESC inside", func(t string) string { return "token=" + half(t, "[0m") + "\n" }, "", 2},
		{"OSC link inside", func(t string) string { return "token=" + half(t, "\x1b]8;;https://a.example/\x1b\\") + "\n" }, "", 2},
		{"token in a link's address", func(t string) string {
			return "see \x1b]8;;https://a.example/?t=" + all(t) + "\x1b\\here\x1b]8;;\x1b\\\n"
		}, "", 0},
		{"APC inside", func(t string) string { return "token=" + half(t, "\x1b_bk;t=1729032357206\a") + "\n" }, "", 2},
		{"Jenkins note inside", func(t string) string { return "token=" + half(t, "\x1b[8mha:////4BBBB=\x1b[0m") + "\n" }, "", 2},
		{"colour glued before", func(t string) string { return "a\x1b[32m" + all(t) + "\x1b[0mb\n" }, "", 0},
		{"BOM inside", func(t string) string { return "token=" + half(t, "\xef\xbb\xbf") + "\n" }, "", 2},
		{"backspaces inside", func(t string) string { return "token=" + half(t, "xy\b\b") + "\n" }, "", 2},
		{"overwritten by a carriage return", func(t string) string { return "token " + all(t) + "\r********\n" }, "", 0},
		{"GitLab's +", func(t string) string {
			return "2024-05-22T12:43:46.962646Z 00O x " + half(t, "\n2024-05-22T12:43:46.962700Z 00O+") + "\n"
		}, "", 2},
		{"CRI P", func(t string) string {
			return "2024-01-01T00:00:00.000000001Z stdout P x " + half(t, "\n2024-01-01T00:00:00.000000002Z stdout F ") + "\n"
		}, "", 2},
		{"CRI P after 16 KiB", func(t string) string {
			return "2024-01-01T00:00:00.000000001Z stdout P " + strings.Repeat("x ", 8<<10) + half(t, "\n2024-01-01T00:00:00.000000002Z stdout F ") + "\n"
		}, "", 2},
		{"docker's json-file", func(t string) string {
			return `{"log":"x ` + half(t, `","stream":"stdout","time":"2024-01-01T00:00:00Z"}`+"\n"+`{"log":"`) + `\n","stream":"stdout","time":"2024-01-01T00:00:00Z"}` + "\n"
		}, "", 2},
		{"wrapped at 80", func(t string) string { return hard(strings.Repeat("y", 30)+" --token "+all(t)+" --b\n", "\n", 60) }, "", 2},
		{"wrapped across stamps", func(t string) string {
			return stamped(ghaStamp, hard("curl -H \"Authorization: Bearer "+all(t)+"\" https://a.example\n", "\n", 40))
		}, "", 2},
		{"wrapped in its prefix", func(t string) string {
			return stamped(ghaStamp, hard(strings.Repeat("y", 37)+" "+all(t)+"\n", "\n", 40))
		}, "", 2},
		{"wrapped with CRLF", func(t string) string { return hard(strings.Repeat("z ", 22)+all(t)+"\r\n", "\r\n", 60) }, "", 2},
		{"wrapped and indented", func(t string) string { return "    tok: " + half(t, "\n      ") + "\n" }, "", 2},
		{"continued by a backslash", func(t string) string { return "T=" + half(t, "\\\n") + "\n" }, "", 2},
		{"quoted-printable, soft break", func(t string) string {
			return "a=3Db\n" + strings.Repeat("w", 55) + " " + half(t, "=\r\n") + "\n"
		}, "", 2},
		{"prefix of docker compose", func(t string) string { return stamped("web-1  | ", "x\n"+all(t)+"\ny\n") }, "", 0},
		{"TeamCity's prefix, wrapped", func(t string) string {
			return stamped("[08:02:41]i:\t\t ", hard(strings.Repeat("v", 20)+" "+all(t)+"\n", "\n", 40))
		}, "", 2},
		{"UTF-16LE", func(t string) string { return wideOf("Authorization: Bearer "+all(t)+"\r\n", false) }, "utf-16", 0},
		{"UTF-16BE with a BOM", func(t string) string { return "\xfe\xff" + wideOf("Authorization: Bearer "+all(t)+"\r\n", true) }, "utf-16", 0},
		{"environment of a process", func(t string) string { return "PATH=/bin\x00HOME=/root\x00TOKEN=" + all(t) + "\x00LANG=C\x00" }, "", 0},
		{"base64", func(t string) string { return "data " + all(std(t)) + "\n" }, "base64", 0},
		{"base64, phase 1", func(t string) string { return "data " + all(std(" "+t)) + "\n" }, "base64", 0},
		{"base64, phase 2", func(t string) string { return "data " + all(std("x:"+t)) + "\n" }, "base64", 0},
		{"base64 without its beginning", func(t string) string {
			x := std("line of text: " + t)
			return "data " + x[:2] + " " + x[2:4] + from + x[4:] + upto + "\n"
		}, "base64", 0},
		{"base64 after other text", func(t string) string { return "data " + all(std("ab "+t)) + "\n" }, "base64", 0},
		{"base64url, unpadded", func(t string) string {
			return "data " + all(base64.RawURLEncoding.EncodeToString([]byte(header(t)))) + "\n"
		}, "base64", 0},
		{"base64 three times", func(t string) string { return "data " + all(std(std(std(t)))) + "\n" }, "base64 base64 base64", 0},
		{"base64 at 76 columns across stamps", func(t string) string {
			text := "first line of a file\n" + header(t)
			return stamped(ghaStamp, from+hard(std(text), "\n", 40)+upto)
		}, "base64", -1},
		{"base64 of two lines", func(t string) string {
			return "Content-Transfer-Encoding: base64\n\n" + from + hard(std("Hello\n\n"+header(t)), "\n", 76) + upto + "\n"
		}, "base64", -1},
		{"base64 of two lines, indented", func(t string) string {
			return "<data>\n\t" + from + hard(std("Hello\n\n"+header(t)), "\n\t", 68) + upto + "\n</data>\n"
		}, "base64", -1},
		{"hex", func(t string) string { return "x " + all(hex.EncodeToString([]byte(t))) + "\n" }, "hex", 0},
		{"hex in base64", func(t string) string { return "x " + all(std(hex.EncodeToString([]byte(header(t))))) + "\n" }, "base64 hex", 0},
		{"gzip in base64", func(t string) string { return "x " + all(std(gz(header(t)))) + "\n" }, "base64 gzip", 0},
		{"zlib in base64", func(t string) string {
			var b bytes.Buffer
			w := zlib.NewWriter(&b)
			_, _ = w.Write([]byte(header(t)))
			_ = w.Close()
			return "x " + all(std(b.String())) + "\n"
		}, "base64 zlib", 0},
		{"zstd in base64", func(t string) string {
			w, _ := zstd.NewWriter(nil)
			return "x " + all(std(string(w.EncodeAll([]byte(header(t)), nil)))) + "\n"
		}, "base64 zstd", 0},
		{"PowerShell -enc", func(t string) string {
			return "powershell -enc " + all(std(wideOf("$t='"+t+"'", false))) + "\n"
		}, "base64 utf-16", 0},
		{"percent", func(t string) string { return "u?t=" + from + strings.Replace(t, "_", "%5F", 1) + upto + "&x\n" }, "percent", -1},
		{"percent twice", func(t string) string { return "u?t=" + from + strings.Replace(t, "_", "%255F", 1) + upto + "&x\n" }, "percent percent", -1},
		{"JSON in JSON", func(t string) string { return quote(t, fmt.Sprintf("%q", fmt.Sprintf("%q", "a\n"+t+"\n"))) + "\n" }, "escape escape", 0},
		{"\\u and \\x", func(t string) string { return `t="` + from + `\x67\u0068` + t[2:] + upto + "\"\n" }, "escape", -1},
		{"HTML entities", func(t string) string { return "v=&quot;" + from + "&#x67;&#104;" + t[2:] + upto + "&quot;\n" }, "html", -1},
		{"quoted-printable", func(t string) string { return "a=3Db " + from + strings.Replace(t, "_", "=5F", 1) + upto + "\n" }, "quoted-printable", -1},
		{"set -x", func(t string) string { return `+ curl -H 'X: '\''` + all(t) + `'\'` + "''\n" }, "", 0},
		{"quotes in a word", func(t string) string { return "+ T=" + half(t, "''") + "\n" }, "shell", -1},
		{"xxd", func(t string) string {
			return markDump(t, 18, dumpOf("Authorization: Be "+t, func(off int, b []byte) string {
				var hexes strings.Builder
				for i, c := range b {
					if i > 0 && i%2 == 0 {
						hexes.WriteByte(' ')
					}
					fmt.Fprintf(&hexes, "%02x", c)
				}
				return fmt.Sprintf("%08x: %-39s  %s", off, hexes.String(), visible(b))
			}), func(i int) (int, int) { c := 10 + i/2*5 + i%2*2; return c, c + 2 })
		}, "hexdump", -1},
		{"hexdump -C", func(t string) string {
			return markDump(t, 3, dumpOf("AB "+t, func(off int, b []byte) string {
				var hexes strings.Builder
				for i, c := range b {
					if i == 8 {
						hexes.WriteByte(' ')
					}
					fmt.Fprintf(&hexes, "%02x ", c)
				}
				return fmt.Sprintf("%08x  %-49s |%s|", off, hexes.String(), visible(b))
			}), func(i int) (int, int) { c := 10 + i*3 + i/8; return c, c + 2 })
		}, "hexdump", -1},
		{"od -c", func(t string) string {
			return markDump(t, 3, dumpOf("A \n"+t, func(off int, b []byte) string {
				var cells strings.Builder
				for _, c := range b {
					if c == '\n' {
						cells.WriteString("  \\n")
					} else {
						fmt.Fprintf(&cells, "%4c", c)
					}
				}
				return fmt.Sprintf("%07o%s", off, cells.String())
			}), func(i int) (int, int) { return 7 + i*4 + 3, 7 + i*4 + 4 })
		}, "hexdump", -1},
		{"od's octal words", func(t string) string {
			return markDump(t, 4, dumpOf("ABC\n"+t, func(off int, b []byte) string {
				var words strings.Builder
				for i := 0; i < len(b); i += 2 {
					w := int(b[i])
					if i+1 < len(b) {
						w |= int(b[i+1]) << 8
					}
					fmt.Fprintf(&words, " %06o", w)
				}
				return fmt.Sprintf("%07o%s", off, words.String())
			}), func(i int) (int, int) { c := 8 + i/2*7; return c, c + 6 })
		}, "hexdump", -1},
		{"hexdump's words", func(t string) string {
			return markDump(t, 4, dumpOf("ABC\n"+t, func(off int, b []byte) string {
				var words strings.Builder
				for i := 0; i < len(b); i += 2 {
					w := int(b[i])
					if i+1 < len(b) {
						w |= int(b[i+1]) << 8
					}
					fmt.Fprintf(&words, " %04x", w)
				}
				return fmt.Sprintf("%07x%s", off, words.String())
			}), func(i int) (int, int) { c := 8 + i/2*5; return c, c + 4 })
		}, "hexdump", -1},
		{"a Kubernetes Secret's docker config", func(t string) string {
			inner := `{"auths":{"r.example":{"auth":"` + std("u:"+t) + `"}}}`
			return "data:\n  .dockerconfigjson: " + all(std(inner)) + "\n"
		}, "base64 base64", 0},
		{"git's extraheader", func(t string) string {
			return "http.https://github.com/.extraheader=AUTHORIZATION: basic " + all(std("x-access-token:"+t)) + "\n"
		}, "base64", 0},
	}
}

func visible(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '.'
		}
		return r
	}, string(b))
}

// markDump puts the marks around the bytes of tok, skip bytes after the start.
func markDump(tok string, skip int, dump string, column func(i int) (int, int)) string {
	lines := strings.SplitAfter(dump, "\n")
	last := skip + len(tok) - 1
	a, _ := column(skip % 16)
	_, b := column(last % 16)
	l := lines[last/16]
	lines[last/16] = l[:b] + upto + l[b:]
	l = lines[skip/16]
	lines[skip/16] = l[:a] + from + l[a:]
	return strings.Join(lines, "")
}

func wideOf(s string, big bool) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(s)) {
		switch {
		case u < 3:
			b.WriteByte(byte(u)) // a mark
		case big:
			b.Write([]byte{byte(u >> 8), byte(u)})
		default:
			b.Write([]byte{byte(u), byte(u >> 8)})
		}
	}
	return b.String()
}

// unmark removes the marks and returns their positions.
func unmark(s string) (text string, start, end int) {
	start = strings.Index(s, from)
	s = s[:start] + s[start+1:]
	end = strings.Index(s, upto)
	return s[:end] + s[end+1:], start, end
}

func TestEveryManglingIsSeenThrough(t *testing.T) {
	e := New(builtin(t))
	tok, err := rules.Generate("ghp_{base62:30}{crc32}", rand.NewChaCha8([32]byte{11}))
	if err != nil {
		t.Fatal(err)
	}
	padding := strings.Repeat("a line of padding that holds nothing at all\n", 13000)
	for _, m := range manglings() {
		t.Run(m.name, func(t *testing.T) {
			text, start, end := unmark(m.make(tok))
			want := fmt.Sprintf("github-pat %s %d-%d %s", tok, start, end, m.decoded)
			if got := seen(t, e, text, 0, m.pieces); !slices.Equal(got, []string{want}) {
				t.Fatalf("%q:\n got %q\nwant %q", text[max(0, start-100):min(len(text), end+100)], got, want)
			}
			// The result is the same wherever a chunk ends.
			for _, border := range []int{512 << 10, 512<<10 + e.MaxLen()}[:max(2/fewer, 1)] {
				for _, at := range []int{(start + end) / 2, start, end - 1, end + 20}[:max(4/fewer, 1)] {
					pad := border - at
					if got := seen(t, e, padding[:pad-1]+"\n"+text, pad, m.pieces); !slices.Equal(got, []string{want}) {
						t.Fatalf("moved by %d:\n got %q\nwant %q", pad, got, want)
					}
				}
			}
		})
	}
}

// A private key has many lines, each with a timestamp.
func TestPrivateKeyAcrossStamps(t *testing.T) {
	e := New(builtin(t))
	key := "-----BEGIN RSA PRIVATE KEY-----\n" + hard(std(strings.Repeat("0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT", 20)), "\n", 64) + "\n-----END RSA PRIVATE KEY-----"
	for _, stamp := range []string{"", ghaStamp, "2024-05-22T12:43:46.962646Z 00O ", "2024-01-01T00:00:00.000000001Z stdout F ", "web-1  | ", "[08:02:41]i:\t\t ", "[2026-05-04T13:55:01.123Z] "} {
		found := 0
		b := []byte(stamped(stamp, "x\n"+key+"\ny\n"))
		for m := range e.Detect(scanners.Chunk{Artifact: &scanners.Artifact{}, Data: b, Line: 1, Column: 1, To: len(b)}) {
			if m.Rule.ID == "private-key" && m.Secret.Reveal() == key && b[m.Start] == '-' {
				found++
			}
		}
		if found != 1 {
			t.Errorf("behind %q: found %d times", stamp, found)
		}
	}
}

// The first word of the next line is not part of a token that its own line contains completely.
func TestWholeTokensAreNotMadeLonger(t *testing.T) {
	e := New(builtin(t))
	const token = "ghp_0aB1cD2eF3gH4iJ5kL6mN7"
	for _, text := range []string{
		"Authorization: Bearer " + token + "\nnext line of the log\n",
		`{"log":"Authorization: Bearer ` + token + `\n","stream":"stdout","time":"x"}` + "\n" + `{"log":"next\n","stream":"stdout","time":"x"}` + "\n",
		"2024-01-01T00:00:00.1Z stdout F Authorization: Bearer " + token + "\n2024-01-01T00:00:00.2Z stdout F next\n",
	} {
		if got := seen(t, e, text, 0, -1); len(got) != 1 || strings.Fields(got[0])[1] != token {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// A token longer than a chunk's context is counted, not dropped in silence.
func TestTooLongIsCounted(t *testing.T) {
	e := New(builtin(t))
	key := "-----BEGIN RSA PRIVATE KEY-----\n" + strings.Repeat("0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT\n", 12000) + "-----END RSA PRIVATE KEY-----\n"
	text := strings.Repeat("x\n", 200<<10) + key + strings.Repeat("y\n", 200<<10)
	if kinds := reached(t, e, text); !slices.Contains(kinds, scanners.GapLimitMatch) {
		t.Errorf("%v", kinds)
	}
}

func seen(t *testing.T, e *Engine, text string, pad, pieces int) []string {
	t.Helper()
	var out []string
	a := &scanners.Artifact{}
	_, err := scanners.NewChunker(e.MaxLen()).Each(strings.NewReader(text), a, func(c scanners.Chunk) error {
		for m := range e.Detect(c) {
			l := c.Locate(m.Start, m.End)
			out = append(out, fmt.Sprintf("%s %s %d-%d %s", m.Rule.ID, m.Secret.Reveal(), int(l.Offset)-pad, int(l.EndOffset)-pad, strings.Join(m.Decoded, " ")))
			if pieces >= 0 && len(m.Pieces) != pieces {
				t.Errorf("%d pieces, not %d", len(m.Pieces), pieces)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
