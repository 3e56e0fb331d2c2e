package cilog

import (
	"bytes"

	"github.com/quellhq/quell/scanners"
)

// The API gives a step's log as a JSON array of entries, whose data is base64. `woodpecker exec`
// writes `[STEP:L12:3s] text`.
var woodpeckerCI = Format{
	Name:  "woodpecker",
	About: "Woodpecker",
	First: "[",
	Known: true,
	Detect: func(head []byte) bool {
		s := head[:min(len(head), 300)]
		return bytes.HasPrefix(s, []byte(`[{"`)) && bytes.Contains(s, []byte(`"step_id":`)) && bytes.Contains(s, []byte(`"data":"`)) || stepLine(head, true) > 0
	},
	Mark: func(b []byte, text int) Mark {
		if n := stepLine(b[text:], true); n > 0 {
			return Mark{Kind: scanners.MarkStep, From: text + 1, To: text + n}
		}
		return Mark{}
	},
}
