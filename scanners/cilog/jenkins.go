package cilog

import (
	"bytes"

	"github.com/quellhq/quell/scanners"
)

// The Timestamper plugin writes `[TIME] ` before a line, or `HH:mm:ss  ` where it was rendered.
// A pipeline writes `[Pipeline] { (STAGE)`, or `[Pipeline] {` for a block without a name, and
// `[Pipeline] }`, in the log file after a console note.
var jenkins = Format{
	Name:  "jenkins",
	About: "Jenkins",
	First: "[0",
	Detect: func(head []byte) bool {
		start := head
		if shaped(head, clock+" ") { // as a page of the console shows it
			start = head[len(clock+" "):]
		}
		return bytes.HasPrefix(start, []byte("Started by ")) || bytes.HasPrefix(start, []byte("[EnvInject] - ")) || bytes.Contains(head, []byte("[Pipeline] Start of Pipeline")) || bytes.Contains(head, []byte(jenkinsNote))
	},
	Line: func(b []byte, stamp int) Line {
		if b[0] != '[' {
			if shaped(b, clock+"  ") {
				return Line{Prefix: len(clock + "  ")}
			}
			return Line{}
		}
		if n := bracketed(b); n > 0 && n < len(b) && b[n] == ' ' {
			return Line{Prefix: n + 1}
		}
		return Line{}
	},
	Mark: jenkinsBlock,
	Control: func(b []byte, at, n int) Mark {
		if !bytes.HasPrefix(b[at:at+n], []byte(jenkinsNote)) {
			return Mark{}
		}
		return jenkinsBlock(b, at+n)
	},
}

const jenkinsNote = "\x1b[8mha:"

func jenkinsBlock(b []byte, text int) Mark {
	const begin, end = "[Pipeline] {", "[Pipeline] }"
	s := b[text:]
	if len(s) == 0 || s[0] != '[' {
		return Mark{}
	}
	switch {
	case bytes.HasPrefix(s, []byte(end)):
		return Mark{Kind: scanners.MarkClose}
	case !bytes.HasPrefix(s, []byte(begin)):
		return Mark{}
	case !bytes.HasPrefix(s[len(begin):], []byte(" (")):
		return Mark{Kind: scanners.MarkSection}
	}
	m := named(scanners.MarkSection, b, text+len(begin+" ("))
	if k := bytes.LastIndexByte(b[m.From:m.To], ')'); k >= 0 {
		m.To = m.From + k
	}
	return m
}
