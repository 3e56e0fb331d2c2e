package cilog

import (
	"bytes"

	"github.com/quellhq/quell/scanners"
)

// The diagnostic logs of GitHub's runner, Runner_*.log and Worker_*.log: in _diag of a self-hosted
// runner, and with ACTIONS_RUNNER_DEBUG in the archive of a run's logs, below
// runner-diagnostic-logs. The runner's HostTraceListener writes `[{0:u} LEVEL SOURCE] ` before each
// message, not before each of its lines: a job's message, whose secrets are masked, is JSON of many
// lines. Azure's agent, from which it is derived, writes the same.
var githubRunner = Format{
	Name:  "github_runner",
	About: "GitHub's runner, its diagnostic logs",
	First: "[",
	Detect: func(head []byte) bool {
		return traced(bytes.TrimPrefix(head, bom)) > 0 && !bytes.Contains(head, []byte(" INFO Agent"))
	},
	Line: func(b []byte, _ int) Line { return Line{Prefix: traced(b)} },
	Mark: func(b []byte, text int) Mark {
		const step = "Processing step: DisplayName='"
		if text == 0 || !bytes.HasPrefix(b[text:], []byte(step)) {
			return Mark{}
		}
		m := named(scanners.MarkStep, b, text+len(step))
		if k := bytes.IndexByte(b[m.From:m.To], '\''); k >= 0 {
			m.To = m.From + k
		}
		return m
	},
	Known: true,
}

// traced is the length of what the runner writes before a message; 0: nothing.
func traced(b []byte) int {
	const stamp = "[0000-00-00 00:00:00Z "
	if !shaped(b, stamp) {
		return 0
	}
	b = b[len(stamp):]
	for _, level := range []string{"INFO ", "VERB ", "WARN ", "ERR  ", "ERR ", "CRIT "} {
		if !bytes.HasPrefix(b, []byte(level)) {
			continue
		}
		// The source is the name of a class.
		n := len(level)
		for n < len(b) && n < len(level)+64 && (wordByte(b[n]) || b[n] == '.') {
			n++
		}
		if n > len(level) && bytes.HasPrefix(b[n:], []byte("] ")) {
			return len(stamp) + n + len("] ")
		}
	}
	return 0
}
