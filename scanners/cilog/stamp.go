package cilog

import "bytes"

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
	const date = "0000-00-00T00:00:00"
	if !shaped(b, date) {
		return 0
	}
	i := len(date)
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

// erased returns the text before an erased line's carriage return, b[:at], from the last word
// on; nil if the sequence at b[at] is not `ESC [ 0 K` after one. Systems hide markers this way.
func erased(b []byte, at, n int, word string) []byte {
	if at == 0 || b[at-1] != '\r' || string(b[at:at+n]) != "\x1b[0K" {
		return nil
	}
	from := max(0, at-1-maxMarker)
	k := bytes.LastIndex(b[from:at-1], []byte(word))
	if k < 0 || bytes.ContainsAny(b[from+k:at-1], "\r\n\x1b") {
		return nil
	}
	return b[from+k : at-1]
}

// maxMarker limits the length of a hidden marker.
const maxMarker = 256

// atLineBegin reports whether b[at] begins a line, or what a terminal writes over one.
func atLineBegin(b []byte, at int) bool { return at == 0 || b[at-1] == '\n' || b[at-1] == '\r' }
