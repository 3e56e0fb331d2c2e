package cilog

import (
	"bytes"

	"github.com/quellhq/quell/scanners"
)

// Events of a build, one a line or a server-sent event (`data: `). The origin's id names the step
// of each; one event may end within a line of output.
var concourse = Format{
	Name:   "concourse",
	About:  "Concourse (events of a build)",
	First:  "{d",
	Known:  true,
	Masks:  []string{"((redacted))"},
	Output: []string{`"payload":"`},
	Detect: func(head []byte) bool {
		s := bytes.TrimPrefix(head, []byte("data: "))
		s = s[:min(len(s), 600)]
		return bytes.HasPrefix(s, []byte("{")) && bytes.Contains(s, []byte(`"event":"`)) && bytes.Contains(s, []byte(`"version":"`)) && bytes.Contains(s, []byte(`"data":{`))
	},
	Mark: func(b []byte, _ int) Mark {
		const origin = `"origin":{"id":"`
		if k := bytes.Index(b, []byte(origin)); k >= 0 {
			return quoted(scanners.MarkStep, b, k+len(origin))
		}
		return Mark{}
	},
}

// quoted is a mark whose name goes from b[from] to the next quote.
func quoted(kind scanners.MarkKind, b []byte, from int) Mark {
	m := Mark{Kind: kind, From: from, To: from}
	for ; m.To < len(b) && b[m.To] != '"' && b[m.To] != '\n'; m.To++ {
		if b[m.To] == '\\' {
			m.To++
		}
	}
	m.To = min(m.To, len(b))
	return m
}
