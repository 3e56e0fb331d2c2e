package archive

import (
	"bytes"
	"encoding/hex"
	"io"
	"strconv"
)

// page reads a page's text once per font map. It renders one map at a time because a text can
// be large.
type page struct {
	list []piece
	maps []charMap
	text bytes.Reader
}

func (p *page) Read(b []byte) (int, error) {
	for p.text.Len() == 0 {
		if len(p.maps) == 0 {
			return 0, io.EOF
		}
		p.text.Reset(render(p.list, p.maps[0]))
		p.maps = p.maps[1:]
	}
	return p.text.Read(b)
}

// piece is one string that a page shows, and its position relative to the preceding one.
type piece struct {
	text []byte // character codes of a font
	line bool   // on another line
	gap  bool   // after a gap or a move; its width is unknown
}

// wideGap is the adjustment inside a string from which on a movement to the right renders as a
// space, in thousandths of the font size (negative is to the right).
const wideGap = -150

// shown lists the strings that a page's operators show (ISO 32000-1, 9.4).
func shown(b []byte) (list []piece) {
	var numbers []float64
	var pending []piece // strings whose operator follows
	var gap, line bool
	height := 0.0
	number := func(fromEnd int) float64 {
		if k := len(numbers) - fromEnd; k >= 0 {
			return numbers[k]
		}
		return 0
	}
	for i := 0; i < len(b) && len(list)+len(pending) < maxPieces; {
		switch c := b[i]; {
		case c == '(':
			var s []byte
			s, i = literal(b, i+1)
			pending = append(pending, piece{text: s, gap: number(1) <= wideGap})
			numbers = numbers[:0]
			continue
		case c == '<' && i+1 < len(b) && b[i+1] != '<':
			var s []byte
			s, i = hexString(b, i+1)
			pending = append(pending, piece{text: s, gap: number(1) <= wideGap})
			numbers = numbers[:0]
			continue
		case c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.':
			k := i + 1
			for k < len(b) && (b[k] >= '0' && b[k] <= '9' || b[k] == '.' || b[k] == '-') {
				k++
			}
			f, _ := strconv.ParseFloat(string(b[i:k]), 64)
			numbers = append(numbers[max(0, len(numbers)-5):], f)
			i = k
			continue
		case c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '\'' || c == '"':
			k := i + 1
			for k < len(b) && (b[k] >= 'A' && b[k] <= 'Z' || b[k] >= 'a' && b[k] <= 'z' || b[k] >= '0' && b[k] <= '9' || b[k] == '*') {
				k++
			}
			op := string(b[i:k])
			i = k
			switch op {
			case "Td", "TD":
				line, gap = line || number(1) != 0, true
			case "Tm":
				line, gap = line || number(1) != height, true
				height = number(1)
			case "T*":
				line = true
			case "'", "\"", "Tj", "TJ":
				line = line || op == "'" || op == "\""
				if len(pending) > 0 {
					pending[0].line, pending[0].gap = line, pending[0].gap || gap
					line, gap = false, false
				}
				list = append(list, pending...)
			case "ID": // the bytes of an image
				end := bytes.Index(b[i:], []byte("EI"))
				if end < 0 {
					return list
				}
				i += end
			}
			pending, numbers = pending[:0], numbers[:0]
			continue
		case c == '/':
			for i++; i < len(b) && b[i] > ' ' && !bytes.ContainsRune([]byte("()<>[]{}/%"), rune(b[i])); i++ {
			}
			continue
		case c == '%':
			if k := bytes.IndexByte(b[i:], '\n'); k >= 0 {
				i += k
			} else {
				i = len(b)
			}
			continue
		}
		i++
	}
	return list
}

// literal reads a string in parentheses (ISO 32000-1, 7.3.4.2) that begins at b[i], and returns
// it with the offset after it.
func literal(b []byte, i int) (out []byte, next int) {
	for depth := 1; i < len(b); i++ {
		c := b[i]
		switch {
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth == 0 {
				return out, i + 1
			}
		case c == '\\' && i+1 < len(b):
			i++
			switch c = b[i]; {
			case c >= '0' && c <= '7':
				n := 0
				k := i
				for ; k < min(i+3, len(b)) && b[k] >= '0' && b[k] <= '7'; k++ {
					n = n<<3 | int(b[k]-'0')
				}
				c, i = byte(n), k-1
			case c == '\n':
				continue
			default:
				if e, ok := pdfEscapes[c]; ok {
					c = e
				}
			}
		}
		out = append(out, c)
	}
	return out, i
}

var pdfEscapes = map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', 'b': '\b', 'f': '\f'}

// hexString reads a string in angle brackets that begins at b[i].
func hexString(b []byte, i int) (out []byte, next int) {
	end := bytes.IndexByte(b[i:], '>')
	if end < 0 {
		return nil, len(b)
	}
	digits := bytes.Join(bytes.Fields(b[i:i+end]), nil)
	if len(digits)%2 == 1 {
		digits = append(digits, '0')
	}
	out = make([]byte, len(digits)/2)
	n, _ := hex.Decode(out, digits)
	return out[:n], i + end + 1
}

// render returns the text of the pieces by a font's map. A gap within a line separates words,
// except where characters are placed one by one.
func render(list []piece, m charMap) []byte {
	out := []byte{'\n'}
	before := 0
	for _, p := range list {
		if len(out) > maxShown {
			break
		}
		switch {
		case p.line:
			out = append(out, '\n')
		case p.gap && max(before, len(p.text)) > m.width:
			out = append(out, ' ')
		}
		out, before = m.append(out, p.text), len(p.text)
	}
	return append(out, '\n')
}
