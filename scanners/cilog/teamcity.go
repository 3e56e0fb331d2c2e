package cilog

import (
	"bytes"

	"github.com/quellhq/quell/scanners"
)

// A line begins with the time in brackets, a letter for its severity and a colon, tabs for the
// nesting, and the innermost block's name in brackets.
var teamCity = Format{
	Name:   "teamcity",
	About:  "TeamCity",
	First:  "[",
	Detect: func(head []byte) bool { return bytes.Contains(head, []byte("TeamCity server version is ")) },
	Line: func(b []byte, _ int) Line {
		i := bracketed(b)
		if i == 0 || i+1 >= len(b) || b[i+1] != ':' || bytes.IndexByte([]byte(" iWEF"), b[i]) < 0 {
			return Line{}
		}
		for i += 2; i < len(b) && (b[i] == '\t' || b[i] == ' '); i++ {
		}
		return Line{Prefix: i}
	},
	Mark: func(b []byte, text int) Mark {
		if b[0] != '[' || text == 0 {
			return Mark{}
		}
		s := b[text:]
		k := -1
		if len(s) > 0 && s[0] == '[' {
			k = bytes.Index(s, []byte("] "))
		}
		if k < 0 {
			return Mark{Kind: scanners.MarkGroup}
		}
		m := Mark{Kind: scanners.MarkGroup, From: text + 1, To: text + k}
		if bytes.HasPrefix(s, []byte("[Step ")) {
			m.Kind = scanners.MarkStep
		}
		return m
	},
}
