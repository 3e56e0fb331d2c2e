package cilog

import (
	"bytes"

	"github.com/quellhq/quell/scanners"
)

// The server streams {"result":{"content":"…","podName":"…"}}, one a line; the pod is the step.
var argo = Format{
	Name:   "argo",
	About:  "Argo Workflows (the server's log stream)",
	First:  "{",
	Known:  true,
	Detect: func(head []byte) bool { return bytes.HasPrefix(head, []byte(`{"result":{"content":"`)) },
	Mark: func(b []byte, _ int) Mark {
		const pod = `","podName":"`
		if k := bytes.LastIndex(b, []byte(pod)); k >= 0 {
			return quoted(scanners.MarkStep, b, k+len(pod))
		}
		return Mark{}
	},
}
