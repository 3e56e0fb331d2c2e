package cilog

import (
	"bytes"

	"github.com/quellhq/quell/scanners"
)

// The agent's own lines begin with `[Container] 2024/05/01 10:00:00.123456 `; the output of
// commands has no prefix.
var codeBuild = Format{
	Name:   "codebuild",
	About:  "AWS CodeBuild",
	First:  "[",
	Detect: func(head []byte) bool { return bytes.Contains(head, []byte(codeBuildHead+"20")) },
	Line: func(b []byte, _ int) Line {
		if !bytes.HasPrefix(b, []byte(codeBuildHead)) {
			return Line{}
		}
		const date = "0000/00/00 "
		if r := b[len(codeBuildHead):]; shaped(r, date+clock) {
			if k := bytes.IndexByte(r[len(date):min(len(r), 40)], ' '); k >= 0 {
				return Line{Prefix: len(codeBuildHead) + len(date) + k + 1}
			}
		}
		return Line{}
	},
	Mark: func(b []byte, text int) Mark {
		if text == 0 || !bytes.HasPrefix(b, []byte(codeBuildHead)) {
			return Mark{}
		}
		const entering, running = "Entering phase ", "Running command "
		switch s := b[text:]; {
		case bytes.HasPrefix(s, []byte(entering)):
			return named(scanners.MarkStep, b, text+len(entering))
		case bytes.HasPrefix(s, []byte(running)):
			return named(scanners.MarkGroup, b, text+len(running))
		case bytes.HasPrefix(s, []byte("Phase complete: ")):
			return Mark{Kind: scanners.MarkStep}
		}
		return Mark{}
	},
}

const codeBuildHead = "[Container] "
