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
		for _, fold := range travisFolds {
			if s := erased(b, at, n, fold.word); s != nil {
				return Mark{Kind: fold.kind, From: at - 1 - len(s) + len(fold.word), To: at - 1}
			}
		}
		return Mark{}
	},
}

var travisFolds = []hidden{{"travis_fold:start:", scanners.MarkOpen}, {"travis_fold:end:", scanners.MarkClose}}
