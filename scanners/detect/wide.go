package detect

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// minWide is the shortest UTF-16 string that is searched, in characters.
const minWide = 12

// wideText reports whether b begins as ASCII text in UTF-16.
func wideText(b []byte) bool {
	b = bytes.TrimPrefix(bytes.TrimPrefix(b, []byte{0xff, 0xfe}), []byte{0xfe, 0xff})
	n := 0
	for i := 0; i+1 < min(len(b), 24); i += 2 {
		if b[i] == 0 == (b[i+1] == 0) {
			return false
		}
		n++
	}
	return n >= 8
}

// wide searches UTF-16 text in a part of t: each ASCII character has a NUL next to it, in
// either order. A few other characters between them are skipped.
func (l *look) wide(t *text, own span, depth int) {
	const gap = 4
	b := t.data
	end := min(own.end, len(b))
	for i, places := own.start, after(t.seen.wides, own.start); ; {
		if l.renew(depth); l.budget < 0 {
			return
		}
		for len(places) > 0 && int(places[0]) < i {
			places = places[1:]
		}
		if len(places) == 0 || int(places[0]) >= end || int(places[0])+3 >= len(b) {
			return
		}
		i = int(places[0])
		// The characters are at i+1, i+3, …, and before i if there is one.
		at := i + 1
		if i > 0 && textByte(b[i-1]) {
			at = i - 1
		}
		if to := l.quads(t, i, depth); to > i {
			i = to
			continue
		}
		var c *text
		n, missed := 0, 0
		from := at
		for ; at < len(b) && at < end+maxJoin; at += 2 {
			if wideByte(b, at) {
				n++
				missed = 0
			} else if missed++; missed > gap || b[at] == 0 {
				break
			}
		}
		if n < minWide {
			i++
			continue
		}
		c = l.derive(t)
		c.cut()
		for k := from; k < at; k += 2 {
			ch := byte('?')
			if wideByte(b, k) {
				ch = b[k]
			}
			c.data = append(c.data, ch)
		}
		if from > 0 && b[from-1] == 0 && (at-1 >= len(b) || b[at-1] != 0) {
			from, at = from-1, at-1 // the NUL comes first
		}
		c.segs = append(c.segs, segment{from: from, to: min(at, len(b)), kind: pairs})
		c.cuts = c.cuts[:0]
		l.decoded(c, "utf-16", depth)
		l.s.free(c)
		i = max(at, i+1)
	}
}

// betweenNULs finds the first byte from i on, and before end, that is a NUL with another NUL
// two bytes later, a further byte after that and no NUL between them. It returns end if there
// is none.
func betweenNULs(b []byte, i, end int) int {
	for i+8 <= len(b) && i < end {
		w := binary.LittleEndian.Uint64(b[i:])
		const low = 0x7f7f7f7f7f7f7f7f
		nul := ^((w&low + low) | w | low) // the high bit of each byte that is a NUL
		if nul == 0 {
			k := bytes.IndexByte(b[i+8:], 0)
			if k < 0 {
				return end
			}
			i += 8 + k
			continue
		}
		// The neighbours of the last two bytes are in the next word.
		if hit := nul &^ (nul >> 8) & (nul >> 16); hit != 0 {
			if i += bits.TrailingZeros64(hit) / 8; i+3 < len(b) {
				return min(i, end)
			}
			return end
		}
		i += 6
	}
	for ; i < end; i++ {
		if i+3 < len(b) && b[i] == 0 && b[i+1] != 0 && b[i+2] == 0 {
			return i
		}
	}
	return end
}

// wideByte reports whether b[i] is an ASCII character in UTF-16: there is a NUL next to it.
func wideByte(b []byte, i int) bool {
	return textByte(b[i]) && (i+1 >= len(b) || b[i+1] == 0 || i > 0 && b[i-1] == 0)
}

func textByte(c byte) bool {
	return c >= ' ' && c < 0x7f || c == '\t' || c == '\n' || c == '\r' || c == esc
}

// quads searches UTF-32 text around the NUL at b[i], in either byte order, and returns where it
// ends.
func (l *look) quads(t *text, i, depth int) int {
	b := t.data
	at := i + 1 // of a character: three NULs are after each, or before each
	if at < 4 || at+4 >= len(b) || !quadAt(b, at) || !quadAt(b, at+4) && !quadAt(b, at-4) {
		return i
	}
	from := at
	for from >= 4 && quadAt(b, from-4) {
		from -= 4
	}
	c := l.derive(t)
	defer l.s.free(c)
	for missed, to := 0, from; to < len(b) && missed <= 4; to += 4 {
		ch := byte('?')
		if missed++; quadAt(b, to) {
			ch, missed = b[to], 0
		}
		c.data = append(c.data, ch)
		i = min(to+4, len(b))
	}
	if len(c.data) < minWide {
		return at - 1
	}
	c.segs = append(c.segs, segment{from: from, to: i, kind: quads})
	l.decoded(c, "utf-32", depth)
	return i
}

// quadAt reports whether b[i] is an ASCII character in UTF-32.
func quadAt(b []byte, i int) bool {
	if !textByte(b[i]) {
		return false
	}
	return i+3 < len(b) && b[i+1]|b[i+2]|b[i+3] == 0 || i >= 3 && b[i-1]|b[i-2]|b[i-3] == 0
}
