package archive

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"

	"github.com/quellhq/quell/scanners/inflate"
)

// Bounds of one document: what is read of it, of one stream in it, of the text that is put
// together of one stream, and how many of its fonts' maps are tried.
const (
	maxPDF     = 64 << 20
	maxStream  = 64 << 20
	maxShown   = 16 << 20
	maxPieces  = 1 << 20
	maxCharMap = 16
)

// pdfText opens a document's compressed streams, in which its text stands. Its objects are
// not followed: they may lead anywhere.
func pdfText(o *opening) error {
	b, err := io.ReadAll(io.NewSectionReader(o.at, 0, min(o.size, maxPDF)))
	if err != nil {
		return err
	}
	if o.size > maxPDF {
		o.gap("", fmt.Errorf("%w: a PDF of over %d MiB", ErrLimit, maxPDF>>20))
	}
	if err := o.member(wholeMember, bytes.NewReader(b)); err != nil {
		return err
	}
	var maps []charMap
	for s := range streams(b) {
		if m := readCharMap(s); m.tells() && len(maps) < maxCharMap {
			maps = append(maps, m)
		}
	}
	n := 0
	for s := range streams(b) {
		n++
		if err := o.member(fmt.Sprintf("(stream %d)", n), pdfStream(s, maps)); err != nil {
			return err
		}
	}
	return nil
}

// streams gives a document's streams that are deflated.
func streams(b []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for {
			i := bytes.Index(b, []byte("stream"))
			if i < 0 {
				return
			}
			body := b[i+len("stream"):]
			body = bytes.TrimPrefix(bytes.TrimPrefix(body, []byte("\r")), []byte("\n"))
			end := bytes.Index(body, []byte("endstream"))
			if end < 0 {
				return
			}
			dict := b[max(0, i-1024):i]
			if bytes.Contains(dict[max(0, bytes.LastIndex(dict, []byte("obj"))):], []byte("FlateDecode")) && !yield(body[:end]) {
				return
			}
			b = body[end+len("endstream"):]
		}
	}
}

func inflated(b []byte, most int64) []byte {
	z, err := inflate.NewZlib(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	defer z.Close()
	out, _ := io.ReadAll(io.LimitReader(z, most))
	return out
}

// pdfStream inflates a stream. Where it shows text, that follows as it is read.
func pdfStream(b []byte, maps []charMap) io.Reader {
	raw := inflated(b, maxStream)
	if !bytes.Contains(raw, []byte("TJ")) && !bytes.Contains(raw, []byte("Tj")) {
		return bytes.NewReader(raw)
	}
	return io.MultiReader(bytes.NewReader(raw), &page{list: shown(raw), maps: append([]charMap{{width: 1}}, maps...)})
}

// page gives the text of a page, as each of the maps has it: one at a time, for they may be
// large.
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

// piece is what a page shows at one go, and how it stands to the piece before.
type piece struct {
	text []byte // codes of a font's characters
	line bool   // it is in another line
	gap  bool   // it is set off, or moved to by itself: how far isn't told
}

// wideGap is from where on a movement inside a string stands for a space, in thousandths of
// the font's size.
const wideGap = -150

// shown lists what a page's operators show (ISO 32000-1, 9.4).
func shown(b []byte) (list []piece) {
	var numbers []float64
	var pending []piece // of an operator that is still to come
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
			case "ID": // an image's bytes
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

// literal reads a string in parentheses (ISO 32000-1, 7.3.4.2) that begins at b[i], and gives
// the place behind it.
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

// render gives the text that the pieces have by a font's map. What is set off within a line is
// another word, but for characters that are put down one by one.
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

// charMap is what a font's codes mean (ISO 32000-1, 9.10.3).
type charMap struct {
	width int // bytes of a code
	codes map[int]string
}

// tells is false where codes of ASCII characters are those characters: then the codes are the
// text.
func (m *charMap) tells() bool {
	for code, s := range m.codes {
		if m.width > 1 || len(s) == 1 && s[0] > ' ' && int(s[0]) != code {
			return true
		}
	}
	return false
}

func (m *charMap) append(out, text []byte) []byte {
	if m.codes == nil {
		return append(out, text...)
	}
	for ; len(text) >= m.width; text = text[m.width:] {
		if s, ok := m.codes[codeOf(text[:m.width])]; ok {
			out = append(out, s...)
		} else {
			out = append(out, '?')
		}
	}
	return out
}

// readCharMap reads a stream that is a map of codes to Unicode; others have no codes.
func readCharMap(b []byte) (m charMap) {
	if !bytes.Contains(inflated(b, 4<<10), []byte("begincmap")) {
		return m
	}
	raw := inflated(b, 1<<20)
	m = charMap{width: 2, codes: map[int]string{}}
	set := func(code []byte, n int, dst []byte) {
		if len(code) == 0 || len(code) > 2 || len(m.codes) > 1<<16 {
			return
		}
		var units []uint16
		for i := 0; i+1 < len(dst); i += 2 {
			units = append(units, uint16(dst[i])<<8|uint16(dst[i+1]))
		}
		if len(units) == 0 {
			return
		}
		units[len(units)-1] += uint16(n)
		m.width, m.codes[codeOf(code)+n] = len(code), string(utf16.Decode(units))
	}
	for len(raw) > 0 {
		i := bytes.Index(raw, []byte("beginbf"))
		if i < 0 {
			break
		}
		ranges := bytes.HasPrefix(raw[i:], []byte("beginbfrange"))
		raw = raw[i:]
		end := bytes.Index(raw, []byte("endbf"))
		if end < 0 {
			end = len(raw)
		}
		var args [][]byte // the strings of an entry
		list := false
		for k := 0; k < end; {
			switch raw[k] {
			case '[':
				list = true
			case ']':
				list, args = false, nil
			case '<':
				var s []byte
				s, k = hexString(raw, k+1)
				args = append(args, s)
				switch {
				case !ranges && len(args) == 2:
					set(args[0], 0, args[1])
					args = nil
				case ranges && list && len(args) > 2:
					set(args[0], len(args)-3, s)
				case ranges && len(args) == 3:
					for n := range min(1<<16, codeOf(args[1])-codeOf(args[0])+1) {
						set(args[0], n, s)
					}
					args = nil
				}
				continue
			}
			k++
		}
		raw = raw[min(len(raw), max(end, 1)):]
	}
	return m
}

func codeOf(b []byte) (n int) {
	for _, c := range b[:min(len(b), 2)] {
		n = n<<8 | int(c)
	}
	return n
}
