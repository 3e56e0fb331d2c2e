package cilog

import (
	"bytes"

	"github.com/quellhq/quell/scanners"
)

// The runner's Logging.cs writes a time and a space before each message (not before each of
// its lines). `##[group]Run …` is the only sign in a job's log that a step begins; the group
// itself shows the step's command and environment and ends before its output.
var githubActions = Format{
	Name:  "github",
	About: "GitHub Actions, and Gitea's and Forgejo's",
	Detect: func(head []byte) bool {
		return bytes.Contains(head, []byte("Current runner version: '")) || bytes.Contains(head, []byte("##[group]Run ")) ||
			bytes.Contains(head, []byte("##[group]GITHUB_TOKEN Permissions")) || bytes.Contains(head, []byte("Complete job name: "))
	},
	Mark: func(b []byte, text int) Mark {
		const group, run, job = "##[group]", "##[group]Run ", "Complete job name: "
		s := b[text:]
		if len(s) == 0 || s[0] != '#' && s[0] != 'P' && s[0] != 'C' {
			return Mark{} // the usual case: this runs for every line of a log
		}
		switch {
		case bytes.HasPrefix(s, []byte(run)):
			return named(scanners.MarkStep, b, text+len(group))
		case bytes.HasPrefix(s, []byte("Post job cleanup.")):
			return Mark{Kind: scanners.MarkStep, From: text, To: text + len("Post job cleanup")}
		case bytes.HasPrefix(s, []byte(job)):
			return named(scanners.MarkJob, b, text+len(job))
		}
		return foldedGroup(b, text)
	},
}

// foldedGroup reads `##[group]NAME` and `##[endgroup]`.
func foldedGroup(b []byte, text int) Mark {
	const group = "##[group]"
	switch s := b[text:]; {
	case bytes.HasPrefix(s, []byte(group)):
		return named(scanners.MarkOpen, b, text+len(group))
	case bytes.HasPrefix(s, []byte("##[endgroup]")):
		return Mark{Kind: scanners.MarkClose}
	}
	return Mark{}
}
