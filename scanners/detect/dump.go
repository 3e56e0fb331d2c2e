package detect

import (
	"bytes"
	"encoding/binary"
	"strconv"
)

// dumper joins the bytes that consecutive rows of a hex dump show: xxd's, hexdump's (-C and
// words) and od's (octal words, -x, -b, -c, -t x1).
type dumper struct {
	l     *look
	t     *text
	depth int
	c     *text
	next  address // the address that the next row must have
}

// line adds a row, or ends the dump where l is no row.
func (d *dumper) line(l line) {
	b := d.t.data[l.start:l.end]
	if len(b) < minRow {
		d.flush()
		return
	}
	row, ok := dumpRow(b)
	if !ok || d.c != nil && !row.address.follows(d.next) {
		d.flush()
	}
	if !ok {
		return
	}
	if d.c == nil {
		d.c = d.l.derive(d.t)
		d.next = address{-1, -1}
	}
	for _, x := range row.bytes {
		d.c.put([]byte{x.value}, l.start+x.at.start, l.start+x.at.end, whole)
	}
	d.next = row.address.plus(len(row.bytes), d.next)
}

func (d *dumper) flush() {
	if d.c == nil {
		return
	}
	if looksDecoded(d.c.data) && d.depth < maxDepth {
		d.l.decoded(d.c, "hexdump", d.depth)
	}
	d.l.s.free(d.c)
	d.c = nil
}

// address is the address of a row in both readings: only the difference between two rows shows
// whether it is octal (od) or hex (hexdump). -1: not readable in this radix.
type address struct{ hex, octal int64 }

func parseAddress(s []byte) address {
	a := address{-1, -1}
	if v, err := strconv.ParseInt(string(s), 16, 63); err == nil {
		a.hex = v
	}
	if v, err := strconv.ParseInt(string(s), 8, 63); err == nil {
		a.octal = v
	}
	return a
}

func (a address) follows(want address) bool {
	return a.hex >= 0 && a.hex == want.hex || a.octal >= 0 && a.octal == want.octal
}

// plus is the address that the next row must have. want is the address that a itself had to
// have, which decided the radix if there was an earlier row.
func (a address) plus(n int, want address) address {
	next := address{a.hex + int64(n), a.octal + int64(n)}
	if a.follows(want) {
		if a.hex != want.hex {
			next.hex = -1
		}
		if a.octal != want.octal {
			next.octal = -1
		}
	}
	return next
}

// minAddress is the smallest number of digits in an address, and minRow the smallest number of
// bytes in a row.
const (
	minAddress = 6
	minRow     = 10
)

// hexDigits marks hex digits with 1.
var hexDigits = func() (t [256]byte) {
	for c := range t {
		if hexDigit(byte(c)) {
			t[c] = 1
		}
	}
	return t
}()

type dumpedRow struct {
	address address
	bytes   []dumpedByte
}

type dumpedByte struct {
	value byte
	at    span
}

// dumpRow reads one row: an address of six digits or more, and groups of digits that all have
// the same width.
func dumpRow(b []byte) (row dumpedRow, ok bool) {
	i := 0
	for i < len(b) && hexDigit(b[i]) {
		i++
	}
	if i < minAddress || i > 16 || i+3 >= len(b) {
		return row, false
	}
	xxd := b[i] == ':'
	row.address = parseAddress(b[:i])
	if xxd {
		i++
	}
	if b[i] != ' ' {
		return row, false
	}
	if !xxd && i == 7 && len(b) > i+4 && b[i+1] == ' ' && b[i+2] == ' ' && b[i+3] != ' ' {
		return odChars(row.address, b, i)
	}
	var groups []span
	for i < len(b) {
		gap := i
		for i < len(b) && b[i] == ' ' {
			i++
		}
		// Two spaces end xxd's bytes. hexdump -C and od z separate the text by a mark, and have
		// one wide gap in the middle.
		if i >= len(b) || xxd && i-gap > 1 && len(groups) > 0 || b[i] == '|' || b[i] == '>' {
			break
		}
		k := i
		for k < len(b) && hexDigit(b[k]) {
			k++
		}
		if k == i || k < len(b) && b[k] != ' ' {
			return row, false
		}
		groups = append(groups, span{i, k})
		i = k
	}
	if len(groups) == 0 || len(groups) > 64 {
		return row, false
	}
	base := 16
	width := groups[0].end - groups[0].start
	if width == 3 || width == 6 {
		base = 8
	}
	for n, g := range groups {
		w := g.end - g.start
		if w != width && (!xxd || n != len(groups)-1 || w%2 != 0 || w > width) {
			return row, false
		}
		v, err := strconv.ParseUint(string(b[g.start:g.end]), base, 64)
		if err != nil {
			return row, false
		}
		var word [8]byte
		size := w / 2
		if base == 8 {
			size = w / 3
		}
		switch {
		case size < 1 || size > 8 || base == 16 && w%2 != 0 || base == 8 && v>>(8*size) != 0:
			return row, false
		case xxd:
			binary.BigEndian.PutUint64(word[:], v<<(64-8*size))
		default:
			binary.LittleEndian.PutUint64(word[:], v)
		}
		for k := range size {
			at := g
			if xxd {
				at = span{g.start + 2*k, g.start + 2*k + 2}
			}
			row.bytes = append(row.bytes, dumpedByte{word[k], at})
		}
	}
	return row, true
}

// odChars reads a row of od -c: cells of four columns.
func odChars(at address, b []byte, i int) (row dumpedRow, ok bool) {
	row.address = at
	for ; i < len(b); i += 4 {
		cell := b[i:min(len(b), i+4)]
		text := bytes.TrimLeft(cell, " ")
		at := span{i + len(cell) - len(text), i + len(cell)}
		switch {
		case len(text) == 0 && len(cell) == 4:
			row.bytes = append(row.bytes, dumpedByte{' ', span{i + 3, i + 4}})
		case len(text) == 0:
		case len(text) == 1:
			row.bytes = append(row.bytes, dumpedByte{text[0], at})
		case text[0] == '\\':
			c, ok := simpleEscapes[text[1]]
			if text[1] == '0' {
				c, ok = 0, true
			}
			if !ok || len(text) != 2 {
				return row, false
			}
			row.bytes = append(row.bytes, dumpedByte{c, at})
		case len(text) == 3:
			v, err := strconv.ParseUint(string(text), 8, 8)
			if err != nil {
				return row, false
			}
			row.bytes = append(row.bytes, dumpedByte{byte(v), at})
		default:
			return row, false
		}
	}
	return row, len(row.bytes) > 0
}
