package cilog

import (
	"bytes"

	"github.com/quellhq/quell/scanners"
)

// `tkn pipelinerun logs` writes `[TASK : STEP] text` before each line.
var tektonRun = Format{
	Name:   "tekton",
	About:  "Tekton (tkn)",
	First:  "[",
	Known:  true,
	Detect: func(head []byte) bool { return taskStep(head) > 0 },
	Mark: func(b []byte, text int) Mark {
		if n := taskStep(b[text:]); n > 0 {
			return Mark{Kind: scanners.MarkStep, From: text + 1, To: text + n}
		}
		return Mark{}
	},
}

// taskStep returns where the names end in `[TASK : STEP] `; 0: the line has no such prefix.
func taskStep(b []byte) int {
	k := bytes.IndexByte(b[:min(len(b), LongestRepeated)], ']')
	if k < 6 || b[0] != '[' || !bytes.HasPrefix(b[k:], []byte("] ")) {
		return 0
	}
	task, step, _ := bytes.Cut(b[1:k], []byte(" : "))
	for _, name := range [][]byte{task, step} {
		if len(name) == 0 {
			return 0
		}
		for _, c := range name {
			if !wordByte(c) && c != '-' && c != '.' {
				return 0
			}
		}
	}
	return k
}
