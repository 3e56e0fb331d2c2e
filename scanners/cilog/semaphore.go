package cilog

import (
	"bytes"

	"github.com/quellhq/quell/scanners"
)

// One JSON event per line: {"event":"cmd_started","timestamp":…,"directive":"COMMAND"}, then
// cmd_output events, which may end within a line of output.
var semaphore = Format{
	Name:   "semaphore",
	About:  "Semaphore",
	First:  "{",
	Output: []string{`"output":"`},
	Detect: func(head []byte) bool { return bytes.HasPrefix(head, []byte(`{"event":"job_started"`)) },
	Mark: func(b []byte, text int) Mark {
		const directive = `"directive":"`
		if !bytes.HasPrefix(b[text:], []byte(`{"event":"cmd_started"`)) {
			return Mark{}
		}
		k := bytes.Index(b, []byte(directive))
		if k < 0 {
			return Mark{}
		}
		m := Mark{Kind: scanners.MarkGroup, From: k + len(directive)}
		for m.To = m.From; m.To < len(b) && b[m.To] != '"' && b[m.To] != '\n'; m.To++ {
			if b[m.To] == '\\' {
				m.To++
			}
		}
		m.To = min(m.To, len(b))
		return m
	},
}
