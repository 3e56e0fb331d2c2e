package cilog

import (
	"bytes"

	"github.com/quellhq/quell/scanners"
)

// A step's output by API v1.1 is a JSON array of messages. The local runner writes `====>> STEP`.
var circleCI = Format{
	Name:   "circleci",
	About:  "CircleCI (a step's output by API v1.1, and its local runner), and AWS Lambda",
	First:  "=",
	Output: []string{`"message":"`},
	Detect: func(head []byte) bool {
		return bytes.HasPrefix(head, []byte(circleStep)) || bytes.Contains(head, []byte("\n"+circleStep)) || bytes.HasPrefix(head, []byte("Build-agent version ")) ||
			bytes.HasPrefix(head, []byte(`[{"message":"`)) || bytes.HasPrefix(head, []byte(`[{"type":"out","`)) || bytes.HasPrefix(head, []byte(`[{"type":"err","`))
	},
	Mark: func(b []byte, text int) Mark {
		if bytes.HasPrefix(b[text:], []byte(circleStep)) {
			return named(scanners.MarkStep, b, text+len(circleStep))
		}
		return Mark{}
	},
}

const circleStep = "====>> "
