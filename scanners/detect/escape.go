package detect

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// escape is an encoding that replaces single characters and leaves the others: the text around
// the replaced ones is searched again.
type escape struct {
	name    string
	trigger byte
	// at decodes the n bytes that begin at b[i], a trigger, into at most four bytes (size) of
	// out. n is 0 where nothing is encoded.
	at func(b []byte, i int, out *[4]byte) (size, n int)
	// calls reports whether an encoded character at this position is a reason for a search;
	// nil: always.
	calls func(b []byte, i, n int) bool
	// lines is set where the encoding continues over line breaks.
	lines bool
}

// escapeCount is the number of encodings of single characters.
const escapeCount = 6

var escapes = [escapeCount]escape{
	{name: "percent", trigger: '%', at: percent},
	{name: "escape", trigger: '\\', at: backslash, calls: worthBackslash},
	{name: "html", trigger: '&', at: entity},
	{name: "quoted-printable", trigger: '=', at: quotedPrintable, calls: worthQuoted, lines: true},
	{name: "shell", trigger: '\'', at: shellQuote},
	{name: "nul", trigger: 0, at: nulField, lines: true},
}

// near is how many bytes around a replaced character are searched again.
const near = 2 << 10

// unescape searches the text around encoded characters in a part of t.
func (l *look) unescape(t *text, own span, k int, depth int) {
	b, x := t.data, &escapes[k]
	places := t.seen.escapes[k]
	out := &l.s.out
	var c *text
	from := 0   // start of what is not copied yet
	until := -1 // the end of the text around the last encoded character
	flush := func() {
		if c == nil {
			return
		}
		l.renew(depth)
		c.copy(from, until)
		c.openEnd = until < len(b) && tokenByte[b[until]]
		l.decoded(c, x.name, depth)
		l.s.free(c)
		c = nil
	}
	end := min(own.end, len(b))
	done := own.start
	for _, place := range after(places, own.start) {
		i := int(place)
		if i < done {
			continue
		}
		if l.renew(depth); i >= end || l.budget < 0 {
			break
		}
		size, n := x.at(b, i, out)
		if n == 0 {
			continue
		}
		if x.calls == nil || x.calls(b, i, n) {
			end := min(len(b), i+n+near)
			if !x.lines {
				if k := bytes.IndexByte(b[i+n:end], '\n'); k >= 0 {
					end = i + n + k
				}
			}
			// A token that begins here ends here.
			for limit := min(len(b), end+4*near); end < limit && tokenByte[b[end]]; end++ {
			}
			if i >= until {
				flush()
				c = l.derive(t)
				from = max(0, i-near, until)
				if !x.lines {
					from += bytes.LastIndexByte(b[from:i], '\n') + 1
				}
				c.openStart = from > 0 && tokenByte[b[from-1]]
				// Encoded characters before the first are decoded as well.
				for _, place := range after(places, from) {
					j := int(place)
					if j >= i {
						break
					}
					if j < from {
						continue
					}
					if s, n := x.at(b, j, out); n > 0 && j+n <= i {
						c.replace(out[:s], &from, j, n)
					}
				}
				size, n = x.at(b, i, out)
			}
			until = end
		}
		if c != nil && i >= from && i < until {
			c.replace(out[:size], &from, i, n)
			until = max(until, i+n)
		}
		done = i + n
	}
	flush()
}

// replace copies the text up to i and puts b in place of the n bytes there.
func (t *text) replace(b []byte, from *int, i, n int) {
	t.copy(*from, i)
	t.cut()
	t.put(b, i, i+n, whole)
	t.cut()
	*from = i + n
}

func unhex(c byte) byte {
	switch {
	case digit(c):
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}

func twoHex(b []byte, i int) bool {
	return i+1 < len(b) && hexDigit(b[i]) && hexDigit(b[i+1])
}

// percent decodes RFC 3986, section 2.1.
func percent(b []byte, i int, out *[4]byte) (int, int) {
	if !twoHex(b, i+1) {
		return 0, 0
	}
	out[0] = unhex(b[i+1])<<4 | unhex(b[i+2])
	return 1, 3
}

var simpleEscapes = map[byte]byte{'"': '"', '\'': '\'', '\\': '\\', '/': '/', 'n': '\n', 'r': '\r', 't': '\t', 'b': '\b', 'f': '\f', 'v': '\v', 'a': 7, 'e': esc}

// simple maps the byte after the backslash to the character; zero: no escape.
var simple = func() (t [256]byte) {
	for c, r := range simpleEscapes {
		t[c] = r
	}
	return t
}()

// backslash decodes the escapes of JSON (RFC 8259, section 7), and those of C, Go, Python and
// the shell's $'…'.
func backslash(b []byte, i int, out *[4]byte) (int, int) {
	if i+1 >= len(b) {
		return 0, 0
	}
	c := b[i+1]
	if r := simple[c]; r != 0 {
		out[0] = r
		return 1, 2
	}
	switch {
	case c == 'x':
		return codePoint(b, i, i+2, 2, 16, out)
	case c == 'u' && i+2 < len(b) && b[i+2] == '{':
		k := bytes.IndexByte(b[i+3:min(len(b), i+10)], '}')
		if k < 1 {
			return 0, 0
		}
		s, n := codePoint(b, i, i+3, k, 16, out)
		if n == 0 {
			return 0, 0
		}
		return s, n + 1
	case c == 'u':
		return codePoint(b, i, i+2, 4, 16, out)
	case c == 'U':
		return codePoint(b, i, i+2, 8, 16, out)
	case c >= '0' && c <= '3':
		return codePoint(b, i, i+1, 3, 8, out)
	}
	return 0, 0
}

// codePoint decodes the escape at b[i], whose digits begin at b[from].
func codePoint(b []byte, i, from, digits int, base uint64, out *[4]byte) (size, n int) {
	if from+digits > len(b) {
		return 0, 0
	}
	v := uint64(0)
	for _, c := range b[from : from+digits] {
		if !hexDigit(c) || uint64(unhex(c)) >= base {
			return 0, 0
		}
		v = v*base + uint64(unhex(c))
	}
	n = from + digits - i
	if c := b[i+1]; v < utf8.RuneSelf || c != 'u' && c != 'U' {
		out[0] = byte(v)
		return 1, n
	}
	return utf8.EncodeRune(out[:], rune(v)), n
}

// worthBackslash excludes line breaks and tabs with no token after them: they are frequent in
// source code.
func worthBackslash(b []byte, i, n int) bool {
	switch b[i+1] {
	case 'n', 'r', 't', 'b', 'f', 'v', 'a', '\'':
	default:
		return true
	}
	const token = 8
	if i+n+token > len(b) {
		return false
	}
	for _, c := range b[i+n : i+n+token] {
		if !base64Class[c] {
			return false
		}
	}
	return true
}

var entities = map[string]byte{"amp": '&', "quot": '"', "lt": '<', "gt": '>', "apos": '\'', "nbsp": ' ', "sol": '/', "equals": '=', "plus": '+', "colon": ':', "period": '.', "lowbar": '_'}

// entity decodes a character reference of HTML.
func entity(b []byte, i int, out *[4]byte) (int, int) {
	k := bytes.IndexByte(b[i:min(len(b), i+10)], ';')
	if k < 3 {
		return 0, 0
	}
	name := string(b[i+1 : i+k])
	if name[0] != '#' {
		c, ok := entities[name]
		if !ok {
			return 0, 0
		}
		out[0] = c
		return 1, k + 1
	}
	base := 10
	name = name[1:]
	if name[0] == 'x' || name[0] == 'X' {
		base, name = 16, name[1:]
	}
	v, err := strconv.ParseUint(name, base, 21)
	if err != nil || v == 0 {
		return 0, 0
	}
	return utf8.EncodeRune(out[:], rune(v)), k + 1
}

// quotedPrintable decodes RFC 2045, section 6.7.
func quotedPrintable(b []byte, i int, out *[4]byte) (int, int) {
	if k := lineEnd(b, i); k >= 0 {
		return 0, k + 1 - i
	}
	if !twoHex(b, i+1) || b[i+1] >= 'a' || b[i+2] >= 'a' {
		return 0, 0
	}
	out[0] = unhex(b[i+1])<<4 | unhex(b[i+2])
	return 1, 3
}

// worthQuoted requires an encoded "=", which every such text has, or a soft line break where
// lines have the longest permitted length.
func worthQuoted(b []byte, i, n int) bool {
	if b[i+n-1] != '\n' {
		return b[i+1] == '3' && b[i+2] == 'D'
	}
	const longest = 76 // with the "="; a longer line is not quoted-printable
	from := max(0, i-longest)
	k := bytes.LastIndexByte(b[from:i], '\n')
	if k < 0 && from > 0 {
		return false
	}
	length := i - (from + k)
	return length >= longest-3 && length <= longest && base64Class[b[i-1]]
}

// shellQuote decodes how a shell's trace writes a quote inside of quotes: '\” and '"'"'
// represent one quote, and a change of quotes in the middle of a word represents nothing.
func shellQuote(b []byte, i int, out *[4]byte) (int, int) {
	for _, q := range []string{`'\''`, `'"'"'`} {
		if bytes.HasPrefix(b[i:], []byte(q)) {
			out[0] = '\''
			return 1, len(q)
		}
	}
	if i == 0 || i+2 >= len(b) || !tokenByte[b[i-1]] || !tokenByte[b[i+2]] {
		return 0, 0
	}
	if b[i+1] == '\'' || b[i+1] == '"' {
		return 0, 2
	}
	return 0, 0
}

// nulField is the end of one variable in a process's environment: the next variable begins with
// a name and "=".
func nulField(b []byte, i int, out *[4]byte) (int, int) {
	const longest = 64
	if i == 0 || b[i-1] == 0 {
		return 0, 0
	}
	k := i + 1
	for k < len(b) && k < i+longest && word(b[k]) {
		k++
	}
	if k < i+2 || k >= len(b) || b[k] != '=' && (b[k] != 0 || k < i+9) {
		return 0, 0
	}
	out[0] = '\n'
	return 1, 1
}
