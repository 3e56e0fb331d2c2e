package cilog

import (
	"bytes"

	"github.com/quellhq/quell/scanners"
)

// Gitea's and Forgejo's runner embeds act: a time before each line, and `⭐ Run Main STEP` where
// a step begins.
var giteaActions = Format{
	Name:  "gitea",
	About: "Gitea and Forgejo Actions",
	Known: true,
	Detect: func(head []byte) bool {
		return bytes.Contains(head, []byte(" received task ")) && bytes.Contains(head, []byte(" of job ")) || bytes.Contains(head, []byte(actStep))
	},
	Mark: func(b []byte, text int) Mark {
		s := b[text:]
		s = s[:min(len(s), 64)]
		k := bytes.IndexByte(s, actStep[0]) // in few lines
		if k >= 0 {
			k = bytes.Index(s, []byte(actStep))
		}
		if k < 0 {
			return foldedGroup(b, text)
		}
		from := text + k + len(actStep)
		for _, phase := range []string{"Main ", "Pre ", "Post "} {
			if bytes.HasPrefix(b[from:], []byte(phase)) {
				return named(scanners.MarkStep, b, from+len(phase))
			}
		}
		return named(scanners.MarkStep, b, from)
	},
}

const actStep = "⭐ Run "
