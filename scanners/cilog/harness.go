package cilog

import (
	"bytes"

	"github.com/quellhq/quell/scanners"
)

// A step's log is one JSON object a line: {"level":"INFO","pos":0,"out":"…","time":"…"}. The text
// of a command is after the words that announce it.
var harness = Format{
	Name:  "harness",
	About: "Harness",
	First: "{",
	Known: true,
	Masks: []string{"**************"},
	Detect: func(head []byte) bool {
		s := head[:min(len(head), 400)]
		return bytes.HasPrefix(s, []byte(`{"level":"`)) && bytes.Contains(s, []byte(`"out":"`)) && bytes.Contains(s, []byte(`"pos":`))
	},
	Mark: func(b []byte, _ int) Mark {
		for _, word := range []string{`"out":"+ `, `"out":"Executing command: `, `"out":"Initializing step `} {
			if k := bytes.Index(b, []byte(word)); k >= 0 {
				m := quoted(scanners.MarkGroup, b, k+len(word))
				if n := bytes.Index(b[m.From:m.To], []byte(`\n`)); n >= 0 {
					m.To = m.From + n
				}
				return m
			}
		}
		return Mark{}
	},
}
