package detect

import (
	"bytes"

	"github.com/quellhq/quell/scanners/cilog"
)

// clean makes the text that a reader of a log sees. It removes terminal control sequences,
// byte-order marks and the prefixes that CI systems and container runtimes put before each
// line, and joins lines that are marked as parts of one. It reports false where nothing
// changed.
//
// A chunk may begin anywhere, so the prefix must be recognisable from the line itself or its
// neighbour (scanners/cilog). Overwritten text stays, in order. Text that backspaces deleted
// stays in the raw text, which is searched around every cut.
func (t *text) clean(p *text) bool {
	b := p.data
	t.reset(p)
	marks := marker{b: b, list: p.seen.marks}
	stamps, pipes := p.seen.stamps, p.seen.pipes
	from := 0 // start of what is not copied yet
	glue := false
	var service []byte // the service of the preceding line
	skip := func(i, n int) {
		t.copy(from, i)
		from = max(from, i+n)
	}
	for i := 0; i < len(b); {
		if !glue {
			for len(pipes) > 0 && int(pipes[0]) < i {
				pipes = pipes[1:]
			}
			for len(stamps) > 0 && int(stamps[0]) < i {
				stamps = stamps[1:]
			}
			// Most lines have nothing to remove: what is removed begins at one of these marks.
			until := marks.next(max(i, from))
			if len(pipes) > 0 {
				until = min(until, int(pipes[0]))
			}
			if until < len(b) {
				until = max(i, p.seen.lineBegin(until))
			}
			if len(stamps) > 0 {
				until = min(until, int(stamps[0]))
			}
			if until == len(b) {
				break
			}
			if until > i {
				i, service = until, nil
			}
		}
		end := p.seen.lineBreak(i, len(b)-1) + 1
		var x cilog.Line
		if mayStamp[b[i]] {
			x = cilog.Recognise(b[i:end])
			t.marks.line(b, i, end, x.Prefix)
		}
		name := []byte(nil)
		for len(pipes) > 0 && int(pipes[0]) < i+x.Prefix {
			pipes = pipes[1:]
		}
		if len(pipes) > 0 && int(pipes[0]) < min(end, i+x.Prefix+cilog.LongestRepeated) || i+x.Prefix < end && b[i+x.Prefix] == '[' {
			name = cilog.Repeated(b[i+x.Prefix : end])
		}
		if len(name) > 0 && (bytes.Equal(name, service) || bytes.HasPrefix(cilog.Text(b[end:]), name)) {
			x.Prefix += len(name)
		}
		service = name
		if x.Joins || glue {
			skip(i, x.Prefix)
			t.unbreak()
		} else if x.Prefix > 0 {
			skip(i, x.Prefix)
		}
		glue = x.Continues
		for k := marks.next(max(i, from)); k < end; k = marks.next(k) {
			n := marks.len(k)
			if n == 0 {
				k++
				continue
			}
			if b[k] == '\b' {
				if p := len(t.payloads); p > 0 && t.payloads[p-1].end == k {
					t.payloads[p-1].end = k + 1
				} else {
					t.payloads = append(t.payloads, span{k, k + 1})
				}
				skip(k, 1)
				if len(t.data) > 0 && t.data[len(t.data)-1] != '\n' {
					t.drop()
				}
			} else {
				skip(k, n)
				t.marks.control(b, k, n)
			}
			t.cut()
			if n >= minPayload {
				t.payloads = append(t.payloads, span{k, k + n})
			}
			if k += n; k > end {
				end = k
			}
		}
		if x.Trailer > 0 {
			skip(end-x.Trailer, x.Trailer-x.Keep)
		}
		i = end
	}
	if from == 0 {
		return false
	}
	t.copy(from, len(b))
	return true
}

// unbreak removes a line break at the end of the copied text.
func (t *text) unbreak() {
	for _, c := range []byte("\n\r") {
		if n := len(t.data); n > 0 && t.data[n-1] == c {
			t.drop()
		}
	}
	t.cut()
}

const esc = 0x1b

// minPayload is the shortest control string that is itself searched: a link's address may
// contain a token.
const minPayload = 24

var bom = []byte("\xef\xbb\xbf")

// marker iterates over the positions at which something to remove may begin.
type marker struct {
	b    []byte
	list []uint32
	// Up to these positions there is no end of a control string (noString) and of a note
	// (noNote). A text with many beginnings and no end is then searched once, not once for each
	// beginning.
	noString, noNote int
}

// index finds the end of a string that begins at i, at most maxControl bytes after it.
func (m *marker) index(i int, none *int, find func([]byte) int) int {
	from, to := max(i, *none), min(len(m.b), i+maxControl)
	if from >= to {
		return -1
	}
	if k := find(m.b[from:to]); k >= 0 {
		return from + k
	}
	*none = to - 1
	return -1
}

func noteEnd(b []byte) int { return bytes.Index(b, []byte("[0m")) }

// stringEnd finds BEL, or ESC and a backslash.
func stringEnd(b []byte) int {
	end := bytes.IndexByte(b, 0x07)
	if end >= 0 {
		b = b[:end]
	}
	if k := bytes.Index(b, []byte{esc, '\\'}); k >= 0 {
		return k
	}
	return end
}

// next is the first position from i on at which something to remove may begin.
func (m *marker) next(i int) int {
	for len(m.list) > 0 && int(m.list[0]) < i {
		m.list = m.list[1:]
	}
	if len(m.list) == 0 {
		return len(m.b)
	}
	return int(m.list[0])
}

// len is how many bytes of what begins at i are to be removed, or 0.
func (m *marker) len(i int) int {
	b := m.b[i:]
	switch b[0] {
	case esc:
		if (len(b) < 2 || b[1] != '[') && m.binary(i) {
			return 0
		}
		return m.control(i)
	case '\b':
		if m.binary(i) {
			return 0
		}
		return 1
	case '[':
		return m.bareControl(i)
	}
	if bytes.HasPrefix(b, bom) {
		return len(bom)
	}
	return 0
}

// binary reports whether the text around i is not terminal output. Programs and databases also
// contain the bytes of backspaces and escapes, with strings next to them.
func (m *marker) binary(i int) bool {
	const around = 8
	for _, c := range m.b[max(0, i-around):min(len(m.b), i+around)] {
		if c < ' ' && unreadable[c] && c != '\a' {
			return true
		}
	}
	return false
}

// maxControl limits the length of a control string (OSC, DCS, APC, a Jenkins note); without an
// end within it the ESC introduced no string.
const maxControl = 16 << 10

// control is the length of the sequence that b begins with, by ECMA-48: CSI with its
// parameters, control strings up to BEL or ST, else ESC and one byte. Jenkins wraps its console
// notes in two CSI sequences with a payload between them.
func (m *marker) control(at int) int {
	b := m.b[at:]
	if len(b) < 2 {
		return 1
	}
	if bytes.HasPrefix(b, []byte("\x1b[8mha:")) {
		if i := m.index(at, &m.noNote, noteEnd); i >= 0 {
			return i + 3 - at
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
		i := m.index(at+2, &m.noString, stringEnd)
		switch {
		case i < 0:
			return 2
		case m.b[i] == esc:
			return i + 2 - at
		}
		return i + 1 - at
	}
	if b[1] >= 0x20 && b[1] <= 0x7e {
		return 2
	}
	return 1
}

// bareControl is the length of a colour sequence, or of a Jenkins note, that lost its ESC on
// the way to the log.
func (m *marker) bareControl(at int) int {
	b := m.b[at:]
	if bytes.HasPrefix(b, []byte("[8mha:")) {
		if i := m.index(at, &m.noNote, noteEnd); i >= 0 {
			return i + 3 - at
		}
	}
	for i := 1; i < min(len(b), 10); i++ {
		switch c := b[i]; {
		case c >= '0' && c <= '9' || c == ';':
		case c == 'm' && i > 1:
			return i + 1
		default:
			return 0
		}
	}
	return 0
}
