package detect

import "testing"

// Lines without marks are skipped, and still counted.
func TestLinesBetweenMarksCount(t *testing.T) {
	const cri = "2024-01-01T00:00:00.000000001Z stdout "
	for line, want := range map[string]string{
		// A name that the next line repeats is a prefix; a name that recurs farther away is
		// text.
		"web-1  | a\nweb-1  | b\nplain\n":           "a\nb\nplain\n",
		"web-1  | a\nplain\nweb-1  | b\nplain\n":    "web-1  | a\nplain\nweb-1  | b\nplain\n",
		"[alpha] a\nplain\nplain\n[alpha] b\nend\n": "[alpha] a\nplain\nplain\n[alpha] b\nend\n",
		"plain\nplain\n[alpha] a\n[alpha] b\nend":   "plain\nplain\na\nb\nend",
		// A marked line continues in the next line, whatever that begins with.
		cri + "P abc\ndef\nghi\n":                 "abcdef\nghi\n",
		"plain\n" + cri + "P abc\n" + cri + "F d": "plain\nabcd",
		// Marks after lines without any, and at both ends of the text.
		"plain\nplain\n\x1b[31mred\x1b[0m\nplain\n": "plain\nplain\nred\nplain\n",
		"\x1b[1mplain\nplain":                       "plain\nplain",
		"plain\nplain\x1b[0m":                       "plain\nplain",
		"plain\na[0] = b[31]\nplain\n":              "plain\na[0] = b[31]\nplain\n",
		"plain\n[31mred[0m\n":                       "plain\nred\n",
		"plain\nabc\bd\nplain":                      "plain\nabd\nplain",
	} {
		var raw, c text
		raw.data = []byte(line)
		raw.seen.take(raw.data)
		got := line
		if c.clean(&raw) {
			got = string(c.data)
		}
		if got != want {
			t.Errorf("%q is cleaned to %q, not %q", line, got, want)
		}
	}
}
