package detect

import (
	"bytes"
	"sort"
)

// view is text derived from raw bytes, with the place that every byte came
// from: segments of bytes that were copied, in order.
type view struct {
	data []byte
	segs []segment
	// cuts are the places where something was removed, but for what stood at
	// the start of a line.
	cuts []int
}

type segment struct{ view, raw int }

// add copies src[from:to].
func (v *view) add(src []byte, from, to int) {
	if from >= to {
		return
	}
	if n := len(v.segs); n == 0 || v.segs[n-1].raw+len(v.data)-v.segs[n-1].view != from {
		v.segs = append(v.segs, segment{len(v.data), from})
	}
	v.data = append(v.data, src[from:to]...)
}

// cut notes that something is missing here.
func (v *view) cut() {
	if k := len(v.data); k > 0 && v.data[k-1] != '\n' {
		v.cuts = append(v.cuts, k)
	}
}

// touches reports whether something was removed within the view's bytes from
// start to end.
func (v *view) touches(start, end int) bool {
	i := sort.SearchInts(v.cuts, start)
	return i < len(v.cuts) && v.cuts[i] <= end
}

// at gives the raw offset of the view's byte i.
func (v *view) at(i int) int {
	k := sort.Search(len(v.segs), func(k int) bool { return v.segs[k].view > i }) - 1
	return v.segs[k].raw + i - v.segs[k].view
}

// raw gives the raw bytes from the first to the last of view bytes.
func (v *view) raw(start, end int) (int, int) {
	if end <= start {
		return v.at(start), v.at(start)
	}
	return v.at(start), v.at(end-1) + 1
}

// derive makes the text that a reader of a log sees: without terminal control
// sequences, byte-order marks and the stamps that CI systems put before each
// line. It reports false where that is the raw text itself.
func (v *view) derive(b []byte) bool {
	if bytes.IndexByte(b, esc) < 0 && !bytes.Contains(b, bom) && !stamped(b) {
		return false
	}
	v.data, v.segs, v.cuts = v.data[:0], v.segs[:0], v.cuts[:0]
	from := 0
	for i := 0; i < len(b); {
		n := 0
		switch {
		case b[i] == esc:
			n = control(b[i:])
		case b[i] == bom[0] && bytes.HasPrefix(b[i:], bom):
			n = len(bom)
		case (i == 0 || b[i-1] == '\n') || (i >= len(bom) && bytes.Equal(b[i-len(bom):i], bom)):
			n = stamp(b[i:])
			if n > 0 && i > 0 && b[i+n-1] == '+' && n == gitlabStamp {
				// GitLab's + says: the line before goes on here.
				v.add(b, from, i)
				if k := len(v.data); k > 0 && v.data[k-1] == '\n' {
					v.data = v.data[:k-1]
				}
				v.cut()
				i += n
				from = i
				continue
			}
		}
		if n == 0 {
			i++
			continue
		}
		v.add(b, from, i)
		v.cut()
		i += n
		from = i
	}
	v.add(b, from, len(b))
	return len(v.data) != len(b)
}

const esc = 0x1b

var bom = []byte("\xef\xbb\xbf")

// maxControl bounds a control string (OSC, DCS, APC, a Jenkins note): beyond
// it the ESC was no introducer.
const maxControl = 64 << 10

// control is the length of the sequence that begins b, by ECMA-48: CSI with
// its parameters, control strings up to BEL or ST, else ESC and one byte.
// Jenkins wraps its console notes in two CSI sequences with a payload between.
func control(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	if bytes.HasPrefix(b, []byte("\x1b[8mha:")) {
		if i := bytes.Index(b[:min(len(b), maxControl)], []byte("\x1b[0m")); i >= 0 {
			return i + 4
		}
	}
	switch b[1] {
	case '[':
		for i := 2; i < len(b); i++ {
			switch c := b[i]; {
			case c >= 0x40 && c <= 0x7e:
				return i + 1
			case c < 0x20 || c > 0x3f:
				return i
			}
		}
		return len(b)
	case ']', '_', 'P', '^', 'X':
		for i := 2; i < min(len(b), maxControl); i++ {
			if b[i] == 0x07 {
				return i + 1
			}
			if b[i] == esc && i+1 < len(b) && b[i+1] == '\\' {
				return i + 2
			}
		}
		return 2
	}
	if b[1] >= 0x20 && b[1] <= 0x7e {
		return 2
	}
	return 1
}

// Stamps: GitHub Actions and Azure write RFC 3339 with seven digits of a
// second, Z and a space; GitLab six digits, Z, a space, the stream's two hex
// digits, O or E, and a space or, for a continued line, +.
const (
	githubStamp = len("2026-05-03T01:16:34.3352086Z ")
	gitlabStamp = len("2024-05-22T12:43:46.962646Z 00O ")
)

var stampShape = []byte("0000-00-00T00:00:00.")

func stamp(b []byte) int {
	if len(b) < githubStamp {
		return 0
	}
	for i, c := range stampShape {
		if c == '0' && (b[i] < '0' || b[i] > '9') || c != '0' && b[i] != c {
			return 0
		}
	}
	if b[githubStamp-2] == 'Z' && b[githubStamp-1] == ' ' {
		return githubStamp
	}
	if len(b) >= gitlabStamp && b[26] == 'Z' && b[27] == ' ' && (b[30] == 'O' || b[30] == 'E') && (b[31] == ' ' || b[31] == '+') {
		return gitlabStamp
	}
	return 0
}

// stamped looks at the first lines only: a log has stamps throughout.
func stamped(b []byte) bool {
	for range 8 {
		if stamp(bytes.TrimPrefix(b, bom)) > 0 {
			return true
		}
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return false
		}
		b = b[i+1:]
	}
	return false
}
