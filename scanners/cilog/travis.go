package cilog

import (
	"bytes"

	"github.com/quellhq/quell/scanners"
)

// Folds are `travis_fold:start:NAME` and `travis_fold:end:NAME`, hidden as GitLab's sections are.
var travisCI = Format{
	Name:  "travis",
	About: "Travis CI",
	Masks: []string{"[secure]"},
	Detect: func(head []byte) bool {
		return bytes.Contains(head, []byte("travis_fold:start:")) || bytes.Contains(head, []byte("travis_time:start:"))
	},
	Control: func(b []byte, at, n int) Mark {
		line := erased(b, at, n)
		for _, fold := range travisFolds {
			if k := bytes.LastIndex(line, []byte(fold.word)); k >= 0 {
				return Mark{Kind: fold.kind, From: at - 1 - len(line) + k + len(fold.word), To: at - 1}
			}
		}
		return Mark{}
	},
}

var travisFolds = []hidden{{"travis_fold:start:", scanners.MarkOpen}, {"travis_fold:end:", scanners.MarkClose}}
