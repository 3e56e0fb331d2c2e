package cilog

import (
	"bytes"

	"github.com/quellhq/quell/scanners"
)

// A line of a step begins with `Step #0: `, or `Step #0 - "id": `.
var cloudBuild = Format{
	Name:  "cloudbuild",
	About: "Google Cloud Build",
	First: "S",
	Detect: func(head []byte) bool {
		return bytes.HasPrefix(head, []byte(`starting build "`)) || bytes.Contains(head, []byte("\nFETCHSOURCE\n"))
	},
	Line: func(b []byte, _ int) Line {
		prefix, _ := cloudBuildStep(b)
		return Line{Prefix: prefix}
	},
	Mark: func(b []byte, text int) Mark {
		if prefix, m := cloudBuildStep(b); prefix > 0 {
			return m
		}
		return Mark{}
	},
}

// cloudBuildStep returns the prefix's length, and the step's id or number.
func cloudBuildStep(b []byte) (prefix int, step Mark) {
	const head = "Step #"
	if !bytes.HasPrefix(b, []byte(head)) {
		return 0, Mark{}
	}
	i := len(head)
	for ; i < len(b) && digit(b[i]); i++ {
	}
	step = Mark{Kind: scanners.MarkStep, To: i}
	if bytes.HasPrefix(b[i:], []byte(` - "`)) {
		k := bytes.IndexByte(b[i+4:min(len(b), i+100)], '"')
		if k < 0 {
			return 0, Mark{}
		}
		step.From, step.To = i+4, i+4+k
		i += 4 + k + 1
	}
	if bytes.HasPrefix(b[i:], []byte(": ")) {
		return i + 2, step
	}
	return 0, Mark{}
}
