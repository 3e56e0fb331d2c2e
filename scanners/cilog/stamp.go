package cilog

import (
	"encoding/binary"

	"github.com/quellhq/quell/scanners"
)

// Parts of lines that several systems share.

func digit(c byte) bool { return c >= '0' && c <= '9' }

func hexDigit(c byte) bool { return digit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

func wordByte(c byte) bool {
	return digit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}

// shaped reports whether b begins with the shape, in which 0 matches any digit.
func shaped(b []byte, shape string) bool {
	if len(b) < len(shape) {
		return false
	}
	for i := range len(shape) {
		if shape[i] == '0' {
			if !digit(b[i]) {
				return false
			}
		} else if b[i] != shape[i] {
			return false
		}
	}
	return true
}

// rfc3339 is the length of the time at b's beginning, with any fraction, and Z or an offset.
func rfc3339(b []byte) int {
	i := len(dateTime)
	if !dated(b) {
		return 0
	}
	if i < len(b) && b[i] == '.' {
		for i++; i < len(b) && digit(b[i]); i++ {
		}
	}
	switch {
	case i < len(b) && b[i] == 'Z':
		return i + 1
	case i < len(b) && (b[i] == '+' || b[i] == '-') && shaped(b[i+1:], "00:00"):
		return i + 6
	}
	return 0
}

const dateTime = "0000-00-00T00:00:00"

// dated reports whether b begins with the shape of dateTime. It runs for every line of a log, so
// it compares eight bytes at once.
func dated(b []byte) bool {
	if len(b) < len(dateTime) {
		return false
	}
	return dateWords[0].at(b) && dateWords[1].at(b[8:]) && dateWords[2].at(b[len(dateTime)-8:])
}

// shapeWord is eight bytes of a shape.
type shapeWord struct {
	mask, want uint64 // the high half of a digit, all bits of any other byte
	six, over  uint64 // added to the low halves of digits, these bits are set above nine
}

var dateWords = [3]shapeWord{newShapeWord(dateTime), newShapeWord(dateTime[8:]), newShapeWord(dateTime[len(dateTime)-8:])}

func newShapeWord(shape string) (w shapeWord) {
	for i := range 8 {
		mask, want := uint64(0xff), uint64(shape[i])
		if shape[i] == '0' {
			mask = 0xf0
			w.six |= 0x06 << (8 * i)
			w.over |= 0x10 << (8 * i)
		}
		w.mask |= mask << (8 * i)
		w.want |= want << (8 * i)
	}
	return w
}

// at reports whether b begins with the eight bytes.
func (w *shapeWord) at(b []byte) bool {
	x := binary.LittleEndian.Uint64(b)
	const low = 0x0f0f0f0f0f0f0f0f
	return x&w.mask == w.want && (x&low+w.six)&w.over == 0
}

// timestamp is the length of a time and the space after it. GitHub Actions, Azure Pipelines,
// Gitea, docker logs -t and kubectl logs --timestamps write no more than that.
func timestamp(b []byte) int {
	if i := rfc3339(b); i > 0 && i < len(b) && b[i] == ' ' {
		return i + 1
	}
	return 0
}

const clock = "00:00:00"

// bracketed is the length of a time in brackets, by RFC 3339 or of the day.
func bracketed(b []byte) int {
	n := rfc3339(b[1:])
	if n == 0 && shaped(b[1:], clock) {
		n = len(clock)
	}
	if n == 0 || 1+n >= len(b) || b[1+n] != ']' {
		return 0
	}
	return n + 2
}

// hidden is a marker in an erased line.
type hidden struct {
	word string
	kind scanners.MarkKind
}

// erased returns the text of an erased line before its carriage return, b[:at]; nil if the
// sequence at b[at] is not `ESC [ 0 K` after one. Systems hide markers this way.
func erased(b []byte, at, n int) []byte {
	if at == 0 || b[at-1] != '\r' || string(b[at:at+n]) != "\x1b[0K" {
		return nil
	}
	from := at - 1
	for from > max(0, at-1-maxMarker) && b[from-1] != '\r' && b[from-1] != '\n' && b[from-1] != 0x1b {
		from--
	}
	return b[from : at-1]
}

// maxMarker limits the length of a hidden marker.
const maxMarker = 256

// atLineBegin reports whether b[at] begins a line, or what a terminal writes over one.
func atLineBegin(b []byte, at int) bool { return at == 0 || b[at-1] == '\n' || b[at-1] == '\r' }
