package cilog

import (
	"bytes"

	"github.com/quellhq/quell/scanners"
)

// With FF_TIMESTAMPS (the default from runner 18.7 on) a line begins with a time and the
// stream: two hex digits, O or E, and a space or, for a continued line, a plus sign. Sections
// are `section_start:TIME:NAME[OPTIONS]` and `section_end:TIME:NAME`, hidden by a carriage
// return and `ESC [ 0 K`.
var gitlabCI = Format{
	Name:  "gitlab",
	About: "GitLab CI",
	First: "0",
	Masks: []string{"[MASKED]"},
	Detect: func(head []byte) bool {
		return bytes.Contains(head, []byte("Running with gitlab-runner ")) || bytes.Contains(head, []byte("section_start:"))
	},
	Line: func(b []byte, stamp int) Line {
		r := b[stamp:]
		if stamp > 0 && len(r) >= 4 && hexDigit(r[0]) && hexDigit(r[1]) && (r[2] == 'O' || r[2] == 'E') && (r[3] == ' ' || r[3] == '+') {
			return Line{Prefix: stamp + 4, Joins: r[3] == '+'}
		}
		return Line{}
	},
	Control: func(b []byte, at, n int) Mark {
		line := erased(b, at, n)
		for _, section := range gitlabSections {
			word, kind := section.word, section.kind
			k := bytes.LastIndex(line, []byte(word))
			if k < 0 {
				continue
			}
			s := line[k:]
			k = bytes.IndexByte(s[len(word):], ':')
			if k < 0 {
				return Mark{}
			}
			m := Mark{Kind: kind, From: at - 1 - len(s) + len(word) + k + 1, To: at - 1}
			if k := bytes.IndexByte(b[m.From:m.To], '['); k >= 0 {
				m.To = m.From + k
			}
			return m
		}
		return Mark{}
	},
}

var gitlabSections = []hidden{{"section_start:", scanners.MarkSection}, {"section_end:", scanners.MarkClose}}
