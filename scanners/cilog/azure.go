package cilog

import (
	"bytes"

	"github.com/quellhq/quell/scanners"
)

// The agent's lines begin with a time, as those of GitHub's runner, which was made from it.
var azurePipelines = Format{
	Name:  "azure",
	About: "Azure Pipelines",
	Detect: func(head []byte) bool {
		return bytes.Contains(head, []byte("##[section]Starting: "))
	},
	Mark: func(b []byte, text int) Mark {
		const starting, finishing = "##[section]Starting: ", "##[section]Finishing: "
		if text == len(b) || b[text] != '#' {
			return Mark{}
		}
		switch s := b[text:]; {
		case bytes.HasPrefix(s, []byte(starting)):
			return named(scanners.MarkStep, b, text+len(starting))
		case bytes.HasPrefix(s, []byte(finishing)):
			return Mark{Kind: scanners.MarkStep}
		}
		return foldedGroup(b, text)
	},
}
