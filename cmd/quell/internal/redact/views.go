package redact

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// view is the decoded content of a piece of text, with the position of each byte.
type view struct {
	text []byte
	at   func(decoded span) span // maps to the range in the encoded text
}

// The minimum number of base64 and hex digits of a value of MinLen bytes.
const (
	shortest64  = MinLen * 8 / 6
	shortestHex = MinLen * 2
)

// Decoded calls f with each decoding of s that is text: from base64, hex, percent and backslash
// escapes.
func Decoded(s string, f func(text string)) {
	found := func(v view) {
		if isText(v.text) {
			f(string(v.text))
		}
	}
	digits([]byte(s), found)
	escapes([]byte(s), func(v view) {
		found(v)
		digits(v.text, found)
	})
}

// isText reports whether b is ASCII text. The first and the last byte can have any value,
// because they can result from the digits of neighbours.
func isText(b []byte) bool {
	if len(b) < MinLen {
		return false
	}
	for _, c := range b[1 : len(b)-1] {
		if c < ' ' && c != '\n' && c != '\t' && c != '\r' || c > '~' {
			return false
		}
	}
	return true
}

// digits decodes every run of base64 digits at each of its four offsets, and every run of hex
// digits at both, because a value can begin anywhere in a run.
func digits(text []byte, found func(view)) {
	runs(text, shortest64, sixBits, func(from, to int) {
		for p := from; p < from+4; p++ {
			found(view{unpack(text[p:to], 6, sixBits), func(s span) span {
				return span{p + s.from*8/6, p + (s.to*8+5)/6}
			}})
		}
	})
	runs(text, shortestHex, fourBits, func(from, to int) {
		for p := from; p < from+2; p++ {
			found(view{unpack(text[p:to], 4, fourBits), func(s span) span {
				return span{p + s.from*2, p + s.to*2}
			}})
		}
	})
}

// runs calls f for each run of at least n digits.
func runs(text []byte, n int, digit func(byte) int, f func(from, to int)) {
	from := 0
	for i := 0; i <= len(text); i++ {
		if i < len(text) && digit(text[i]) >= 0 {
			continue
		}
		if i-from >= n {
			f(from, i)
		}
		from = i + 1
	}
}

// unpack joins digits of size bits each into bytes. It drops an incomplete last byte.
func unpack(text []byte, size int, digit func(byte) int) []byte {
	out := make([]byte, 0, len(text)*size/8)
	acc, n := 0, 0
	for _, c := range text {
		acc, n = acc<<size|digit(c), n+size
		if n >= 8 {
			n -= 8
			out = append(out, byte(acc>>n))
			acc &= 1<<n - 1
		}
	}
	return out
}

// sixBits returns the value of a base64 digit in either alphabet, or -1.
func sixBits(c byte) int { return int(sixBitsOf[c]) }

// fourBits returns the value of a hex digit, or -1.
func fourBits(c byte) int { return int(fourBitsOf[c]) }

var (
	sixBitsOf  = values("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", "-", 62, "_", 63)
	fourBitsOf = values("0123456789abcdef", "ABCDEF", 10)
)

// values maps each digit to its index. more lists pairs of further digits and the value of the
// first of them.
func values(digits string, more ...any) (out [256]int8) {
	for i := range out {
		out[i] = -1
	}
	for i := range len(digits) {
		out[digits[i]] = int8(i)
	}
	for k := 0; k+1 < len(more); k += 2 {
		for i, c := range []byte(more[k].(string)) {
			out[c] = int8(more[k+1].(int) + i)
		}
	}
	return out
}

// escapes decodes percent escapes, with and without + for a space, and the backslash escapes of
// JSON, Go and C.
func escapes(text []byte, found func(view)) {
	if bytes.IndexByte(text, '%') >= 0 {
		unescape(text, percent, found)
	}
	if bytes.IndexByte(text, '+') >= 0 {
		unescape(text, form, found)
	}
	if bytes.IndexByte(text, '\\') >= 0 {
		unescape(text, backslash, found)
	}
}

// unescape decodes text. decode returns the decoded escape at the beginning of text and its
// length in bytes, or length 0 if there is none.
func unescape(text []byte, decode func(text []byte) (string, int), found func(view)) {
	var out []byte
	var at []int // offset of each decoded byte
	for i := 0; i < len(text); {
		s, n := decode(text[i:])
		if n == 0 {
			s, n = string(text[i:i+1]), 1
		}
		for k := range len(s) {
			out = append(out, s[k])
			at = append(at, i)
		}
		i += n
	}
	at = append(at, len(text))
	found(view{out, func(s span) span {
		to := s.to
		for to < len(out) && at[to] == at[to-1] { // within one escape
			to++
		}
		return span{at[s.from], at[to]}
	}})
}

func form(text []byte) (string, int) {
	if text[0] == '+' {
		return " ", 1
	}
	return percent(text)
}

func percent(text []byte) (string, int) {
	if len(text) < 3 || text[0] != '%' || fourBits(text[1]) < 0 || fourBits(text[2]) < 0 {
		return "", 0
	}
	return string([]byte{byte(fourBits(text[1])<<4 | fourBits(text[2]))}), 3
}

func backslash(text []byte) (string, int) {
	if len(text) < 2 || text[0] != '\\' {
		return "", 0
	}
	hex := func(n int) (rune, bool) {
		if len(text) < 2+n {
			return 0, false
		}
		v, err := strconv.ParseUint(string(text[2:2+n]), 16, 32)
		return rune(v), err == nil
	}
	switch c := text[1]; c {
	case '"', '\\', '/', '\'':
		return string(text[1:2]), 2
	case 'n':
		return "\n", 2
	case 'r':
		return "\r", 2
	case 't':
		return "\t", 2
	case 'b':
		return "\b", 2
	case 'f':
		return "\f", 2
	case 'x':
		if v, ok := hex(2); ok {
			return string([]byte{byte(v)}), 4
		}
	case 'u', 'U':
		n := map[byte]int{'u': 4, 'U': 8}[c]
		if v, ok := hex(n); ok && utf8.ValidRune(v) {
			return string(v), 2 + n
		}
	}
	return "", 0
}
