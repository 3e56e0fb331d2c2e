package cilog

import (
	"bytes"

	"github.com/quellhq/quell/scanners"
)

// The time since the build began, in brackets: `[00:01:23] text`.
var appVeyor = Format{
	Name:  "appveyor",
	About: "AppVeyor",
	First: "[",
	Known: true,
	Detect: func(head []byte) bool {
		return bytes.HasPrefix(head, []byte("Build started\ngit clone ")) || bytes.HasPrefix(head, []byte("[00:00:0")) && bytes.Contains(head, []byte("] Build started"))
	},
	// `Running Install scripts`, `Running Build scripts` … begin the phases of appveyor.yml.
	Mark: func(b []byte, text int) Mark {
		const running, scripts = "Running ", " scripts"
		s := bytes.TrimRight(b[text:], "\r\n")
		if bytes.HasPrefix(s, []byte(running)) && bytes.HasSuffix(s, []byte(scripts)) && len(s) > len(running+scripts) {
			return Mark{Kind: scanners.MarkStep, From: text + len(running), To: text + len(s) - len(scripts)}
		}
		return Mark{}
	},
	Line: func(b []byte, _ int) Line {
		if n := bracketed(b); n == len(clock)+2 && n < len(b) && b[n] == ' ' {
			return Line{Prefix: n + 1}
		}
		return Line{}
	},
}
