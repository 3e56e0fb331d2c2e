package cilog

import (
	"bytes"

	"github.com/quellhq/quell/scanners"
)

// The agent writes the time in a control string (APC) before each line and within lines. A
// group is a line that begins with `--- `, `+++ ` or `~~~ `, and ends where the next begins.
var buildkite = Format{
	Name:   "buildkite",
	About:  "Buildkite",
	Masks:  []string{"[REDACTED]"},
	Detect: func(head []byte) bool { return bytes.Contains(head, []byte(buildkiteTime)) },
	Control: func(b []byte, at, n int) Mark {
		if !bytes.HasPrefix(b[at:at+n], []byte(buildkiteTime)) || !atLineBegin(b, at) {
			return Mark{}
		}
		for _, head := range []string{"--- ", "+++ ", "~~~ "} {
			if bytes.HasPrefix(b[at+n:], []byte(head)) {
				return named(scanners.MarkGroup, b, at+n+len(head))
			}
		}
		return Mark{}
	},
}

const buildkiteTime = "\x1b_bk;t="
