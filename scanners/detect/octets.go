package detect

import (
	"bytes"
	"math/bits"
)

// This file reads bytes that a program printed one by one: as numbers in brackets, or as pairs
// of hexadecimal digits with separators between them.

// minOctets is the shortest list that is worth a look.
const minOctets = 16

// octetMarks precede a list of bytes whose bracket isn't followed by a digit.
var octetMarks = [][]byte{[]byte(`"Buffer"`), []byte("Uint8Array("), []byte("byte{"), []byte("uint8{"), []byte("bytes([")}

// octets searches the lists of bytes that begin in a part of t, or after a mark.
func (l *look) octets(t *text, own span, marked []int, depth int) {
	b := t.data
	end := min(own.end, len(b))
	done := own.start
	list := func(i int) {
		if at := skipBlank(b, i); i >= done && i < end && l.budget >= 0 && at < len(b) && (digit(b[at]) || b[at] == '-') {
			done = max(done, l.numbers(t, at, depth))
		}
	}
	for _, k := range after(t.seen.marks, own.start) {
		if b[k] == '[' {
			list(int(k) + 1)
		}
	}
	for _, k := range marked {
		if n := bytes.IndexAny(b[k:min(len(b), k+64)], "[{"); n >= 0 {
			list(k + n + 1)
		} else if b[k-1] == '{' {
			list(k)
		}
	}
	t.eachPairs(own.start, end, func(i int) int {
		if l.budget < 0 {
			return end
		}
		separator := b[i+2]
		if separator != ' ' && separator != ':' {
			separator = b[i+4]
		}
		if separator != ' ' && separator != ':' {
			return i + 3
		}
		return l.pairs(t, i, separator, depth)
	})
}

// eachPairs calls f for the positions at which three pairs of hexadecimal digits, or three
// groups of two pairs, begin with one byte between them. f returns where to continue.
func (t *text) eachPairs(from, end int, f func(i int) int) {
	b := t.data
	next := from
	try := func(i int) {
		if i < next || i >= end || i+14 > len(b) || hexDigits[b[i]]&hexDigits[b[i+1]]&hexDigits[b[i+3]] == 0 && hexDigits[b[i]]&hexDigits[b[i+2]]&hexDigits[b[i+5]] == 0 {
			return
		}
		for _, width := range []int{2, 4} {
			ok := b[i+width] == b[i+2*width+1]
			for k := 0; ok && k < 3*width+2; k++ {
				ok = (k%(width+1) == width) != hexDigit(b[i+k])
			}
			if ok {
				next = max(f(i), i+1)
				return
			}
		}
	}
	if len(t.seen.words) == 0 {
		for i := from; i < end; i = max(i+1, next) {
			try(i)
		}
		return
	}
	// A bit is set for each base64 digit: separators come after every two or four of them.
	for k := from / 64; k < len(t.seen.words) && k*64 < end; k++ {
		lo, hi := t.seen.words[k], uint64(0)
		if k+1 < len(t.seen.words) {
			hi = t.seen.words[k+1]
		}
		at := func(n uint) uint64 { return lo>>n | hi<<(64-n) }
		two := lo & at(1) &^ at(2) & at(3) & at(4) &^ at(5) & at(6) & at(7)
		four := lo & at(1) & at(2) & at(3) &^ at(4) & at(5) & at(6) & at(7) & at(8) &^ at(9) & at(10)
		for x := two | four; x != 0; x &= x - 1 {
			try(k*64 + bits.TrailingZeros64(x))
		}
	}
}

func skipBlank(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// numbers reads a list of numbers of one byte each that begins at b[i], decimal or with 0x,
// and returns where it ends.
func (l *look) numbers(t *text, i, depth int) int {
	b := t.data
	var c *text
	n, text := 0, 0
	first := i
	for i < len(b) {
		v, size := octet(b[i:min(len(b), i+5)])
		if size == 0 {
			break
		}
		if printing[byte(v)] {
			text++
		}
		if n++; n >= 8 && text < n-n/8 {
			n = 0 // no text: images and keys are lists, too
			break
		}
		i += size
		at := i
		for i < len(b) && (b[i] == ',' || b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
			i++
		}
		if at == i {
			break
		}
	}
	if n < minOctets {
		return i
	}
	c = l.derive(t)
	defer l.s.free(c)
	for k := first; k < i; {
		v, size := octet(b[k:min(len(b), k+5)])
		if size == 0 {
			k++
			continue
		}
		c.put([]byte{byte(v)}, k, k+size, whole)
		k += size
	}
	if depth < maxDepth && looksDecoded(c.data) {
		l.decoded(c, "bytes", depth)
	}
	return i
}

// octet reads a number of one byte, and its length: -128 to 255, or 0x0 to 0xff.
func octet(b []byte) (v, n int) {
	if len(b) > 2 && b[0] == '0' && b[1]|0x20 == 'x' {
		for n = 2; n < len(b) && n < 4 && hexDigit(b[n]); n++ {
			v = v<<4 | int(unhex(b[n]))
		}
		if n == 2 {
			return 0, 0
		}
		return v, n
	}
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		n = 1
	}
	from := n
	for n < len(b) && digit(b[n]) {
		v = v*10 + int(b[n]-'0')
		n++
	}
	if n == from || n-from > 3 || v > 255 || negative && v > 128 {
		return 0, 0
	}
	if negative {
		v = 256 - v
	}
	return v, n
}

// printing marks the bytes of text.
var printing = func() (t [256]bool) {
	for c := range t {
		t[c] = textByte(byte(c)) || c >= 0x80
	}
	return t
}()

// pairs reads hexadecimal pairs, or groups of them, with a separator between them, from b[i]
// on, over the lines of a dump; it skips the text column of a dump. It returns where they end.
func (l *look) pairs(t *text, i int, separator byte, depth int) int {
	b := t.data
	// A dump's address before the first pair is not part of the bytes.
	begin := max(t.seen.lineBegin(i), i-maxPrefix)
	address := rowAddress(b[begin:min(len(b), i+20)])
	i = max(i, begin+address)
	// Most are a time, or an address of a network interface.
	n := 0
	end := eachPair(b, i, separator, address > 0, func(int) { n++ })
	if n < minOctets || depth >= maxDepth {
		return end
	}
	c := l.derive(t)
	defer l.s.free(c)
	eachPair(b, i, separator, address > 0, func(k int) {
		c.put([]byte{unhex(b[k])<<4 | unhex(b[k+1])}, k, k+2, whole)
	})
	if looksDecoded(c.data) {
		l.decoded(c, "bytes", depth)
	}
	return end
}

// eachPair calls f for the pairs that begin at b[i], and returns where they end.
func eachPair(b []byte, i int, separator byte, addressed bool, f func(k int)) int {
	for i < len(b) {
		n, at := 0, i
		for i+1 < len(b) && hexDigit(b[i]) && hexDigit(b[i+1]) && n < maxField {
			if separator == ' ' && i+2 < len(b) && hexDigit(b[i+2]) && (i+3 >= len(b) || !hexDigit(b[i+3])) {
				break
			}
			f(i)
			i += 2
			n++
			if i < len(b) && b[i] == separator {
				i++
				if i < len(b) && b[i] == separator && n == 8 {
					i++ // hexdump's gap after eight bytes
				}
			}
		}
		if i == at {
			break
		}
		if separator == ':' && i < len(b) && b[i] == '\\' {
			i++
		}
		// The next row of a dump begins at the next line, with its own address.
		k := bytes.IndexByte(b[i:min(len(b), i+80)], '\n')
		if k < 0 || i+k+1 >= len(b) {
			break
		}
		next := indented(b, i+k+1)
		if n := rowAddress(b[i+k+1 : min(len(b), i+k+40)]); n > 0 && addressed {
			next = i + k + 1 + n
		} else if k > 2 || addressed {
			break // the dump is over
		}
		i = next
	}
	return i
}

// rowAddress is the length of a row's address and of what surrounds it in the dumps of tcpdump
// (`0x0010:  `), Wireshark (`0010  `) and Netty (`|00000010| `), or 0.
func rowAddress(b []byte) int {
	i := 0
	for i < len(b) && i < 16 && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	digits := func(from int) int {
		k := from
		for k < len(b) && k < from+8 && (digit(b[k]) || b[k] >= 'a' && b[k] <= 'f') {
			k++
		}
		return k - from
	}
	rest := func(from int, s string) bool { return len(b)-from >= len(s) && string(b[from:from+len(s)]) == s }
	switch {
	case i == len(b):
		return 0
	case b[i] == '|':
		if digits(i+1) == 8 && rest(i+9, "| ") {
			return i + 11
		}
	case rest(i, "0x"):
		if digits(i+2) >= 4 && rest(i+6, ": ") {
			if rest(i+8, " ") {
				return i + 9
			}
			return i + 8
		}
	default:
		if n := digits(i); n >= 4 && rest(i+n, "  ") {
			if rest(i+n+2, " ") {
				return i + n + 3
			}
			return i + n + 2
		}
	}
	return 0
}
