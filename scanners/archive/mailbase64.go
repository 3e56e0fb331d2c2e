package archive

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"regexp"
)

// base64Lines reports whether a text begins with full lines of base64.
func base64Lines(r *bufio.Reader) bool {
	const lines = 4
	head, _ := r.Peek(lines * 80)
	list := bytes.SplitN(head, []byte{'\n'}, lines+1)
	if len(list) <= lines {
		return false
	}
	for _, line := range list[:lines] {
		line = bytes.TrimSuffix(line, []byte{'\r'})
		if len(line) != len(bytes.TrimSuffix(list[0], []byte{'\r'})) || len(line) < 60 || !encodedLine.Match(line) {
			return false
		}
	}
	return true
}

var encodedLine = regexp.MustCompile(`^[A-Za-z0-9+/]+$`)

// encodedEnd matches a line whose end is base64 after other text.
var encodedEnd = regexp.MustCompile(`[^A-Za-z0-9+/=][A-Za-z0-9+/]{12,}$`)

// stray reports whether a text has lines of base64 that decode to neither text nor a known
// format, or that continue a damaged line: the rest of an encoded part whose boundary, header and beginning are lost. Keys and
// signatures between -----BEGIN and -----END are no such lines.
func (o *opening) stray(r *bufio.Reader) bool {
	const lines = 4
	var run []byte // the decoded lines
	n, armored := 0, false
	joined, end := false, false // whether the line before the run, or the last one, ends with base64
	for {
		line, err := r.ReadSlice('\n')
		cut := err == bufio.ErrBufferFull
		line = bytes.TrimRight(line, "\r\n")
		armored = bytes.HasPrefix(line, []byte("-----BEGIN ")) || armored && !bytes.HasPrefix(line, []byte("-----END "))
		switch {
		case armored || cut || len(line) < 60 || len(line) > 76 || len(line)%4 != 0 || !encodedLine.Match(line):
			n, run = 0, run[:0]
			end = !armored && encodedEnd.Match(line)
		default:
			if n == 0 {
				joined = end
			}
			run, _ = base64.StdEncoding.AppendDecode(run, line)
			if n++; n == lines {
				const strong = 3 // bytes of a magic number that random bytes do not have
				if f := o.opener.find(run); joined || !plausibleText(run) && (f == nil || len(f.magic) < strong) {
					return true
				}
			}
		}
		if err != nil && !cut {
			return false
		}
	}
}
