package archive

import (
	"bytes"
	"encoding/ascii85"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"github.com/quellhq/quell/scanners/inflate"
)

// pdfStream is one stream of a document (ISO 32000-1, 7.3.8).
type pdfStream struct {
	dict    []byte
	body    []byte
	filters []string
	cut     bool // the end is missing
}

// maxDict is the maximum distance, in bytes, between a stream and the beginning of its
// dictionary.
const maxDict = 64 << 10

// streams yields a document's streams. The keyword "stream" follows a dictionary and precedes a
// line break; elsewhere the word is text.
func streams(b []byte) func(yield func(pdfStream) bool) {
	return func(yield func(pdfStream) bool) {
		keyword, end := []byte("stream"), []byte("endstream")
		from := 0
		for {
			i := bytes.Index(b[from:], keyword)
			if i < 0 {
				return
			}
			i += from
			body := b[i+len(keyword):]
			before := bytes.TrimRight(b[max(from, i-16):i], " \t\r\n\x00\f")
			if !bytes.HasSuffix(before, []byte(">>")) || len(body) == 0 || body[0] != '\r' && body[0] != '\n' && body[0] != ' ' {
				from = i + len(keyword)
				continue
			}
			body = bytes.TrimPrefix(bytes.TrimPrefix(bytes.TrimLeft(body, " "), []byte("\r")), []byte("\n"))
			dict := b[max(from, i-maxDict):i]
			dict = dict[max(0, bytes.LastIndex(dict, []byte("obj"))):]
			s := pdfStream{dict: dict, filters: filtersOf(dict)}
			if len(s.filters) == 0 && inflate.IsZlib(body) {
				s.filters = []string{"FlateDecode"} // the dictionary is damaged
			}
			at := len(b) - len(body)
			n := lengthOf(dict)
			if n < 0 || n > len(body) || !bytes.HasPrefix(bytes.TrimLeft(body[n:], "\r\n "), end) {
				n = bytes.Index(body, end)
			}
			if s.cut = n < 0; s.cut {
				n = len(body)
			}
			s.body = body[:n]
			from = min(len(b), at+n+len(end))
			if !yield(s) {
				return
			}
		}
	}
}

var (
	pdfLength    = regexp.MustCompile(`/Length\s+(\d+)\s*(\d+\s+R)?`)
	pdfFilter    = regexp.MustCompile(`/Filter\s*(\[[^\]]*\]|/[A-Za-z0-9]+|\d+\s+\d+\s+R)`)
	pdfName      = regexp.MustCompile(`/([A-Za-z0-9]+)`)
	pdfPredictor = regexp.MustCompile(`/Predictor\s+(\d+)`)
	pdfColumns   = regexp.MustCompile(`/Columns\s+(\d+)`)
	pdfImage     = regexp.MustCompile(`/Subtype\s*/Image|/Type\s*/XRef`)
)

// lengthOf returns the stream's length as its dictionary states it, or -1.
func lengthOf(dict []byte) int {
	m := pdfLength.FindSubmatch(dict)
	if m == nil || len(m[2]) > 0 {
		return -1
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return -1
	}
	return n
}

// filtersOf lists a stream's filters in the order of decoding.
func filtersOf(dict []byte) (out []string) {
	m := pdfFilter.FindSubmatch(dict)
	if m == nil {
		return nil
	}
	if m[1][0] != '[' && m[1][0] != '/' {
		return []string{"(elsewhere)"}
	}
	for _, name := range pdfName.FindAllSubmatch(m[1], -1) {
		out = append(out, string(name[1]))
	}
	return out
}

// image reports whether a stream is an image, which contains no text.
func (s *pdfStream) image() bool { return pdfImage.Match(s.dict) }

// errImage is the error of a stream in an image format.
var errImage = errors.New("an image")

// decode applies a stream's filters. It returns at most the given number of bytes, and returns
// those before an error together with the error.
func (s *pdfStream) decode(most int64) (out []byte, err error) {
	out = s.body
	for _, f := range s.filters {
		switch f {
		case "FlateDecode", "Fl":
			out, err = inflated(out, most)
		case "ASCII85Decode", "A85":
			out, err = unASCII85(out)
		case "ASCIIHexDecode", "AHx":
			out, _ = hexString(append(bytes.Clone(out), '>'), 0)
		case "RunLengthDecode", "RL":
			out, err = unRunLength(out, most)
		case "LZWDecode", "LZW":
			out, err = unLZW(out, most)
		case "DCTDecode", "DCT", "JPXDecode", "CCITTFaxDecode", "CCF", "JBIG2Decode":
			return nil, errImage
		case "Crypt":
			return nil, errEncrypted
		default:
			return nil, kindUnsupported(fmt.Errorf("pdf: filter %s is not supported", f))
		}
		if err != nil {
			break
		}
	}
	if m := pdfPredictor.FindSubmatch(s.dict); m != nil && !s.image() {
		switch {
		case len(m[1]) == 2: // 10 to 15: the PNG predictors
			columns := 1
			if c := pdfColumns.FindSubmatch(s.dict); c != nil {
				columns, _ = strconv.Atoi(string(c[1]))
			}
			out = unpredict(out, columns)
		case string(m[1]) != "1":
			err = errors.Join(err, kindUnsupported(errors.New("pdf: a predictor is not supported")))
		}
	}
	return out, err
}

// inflated returns at most the given number of bytes of a zlib stream. A missing checksum is
// not an error, because many programs omit it.
func inflated(b []byte, most int64) ([]byte, error) {
	z, err := inflate.NewZlib(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	out, err := io.ReadAll(io.LimitReader(z, most))
	if err == io.ErrUnexpectedEOF && z.Ended() {
		err = nil
	}
	return out, err
}

// unASCII85 decodes up to the end mark.
func unASCII85(b []byte) ([]byte, error) {
	b, _, _ = bytes.Cut(b, []byte("~"))
	b = bytes.TrimPrefix(bytes.TrimSpace(b), []byte("<~"))
	out := make([]byte, 4*len(b)) // z encodes four zeros
	n, _, err := ascii85.Decode(out, b, true)
	return out[:n], err
}

// unRunLength decodes run lengths (7.4.5).
func unRunLength(b []byte, most int64) (out []byte, err error) {
	for len(b) > 0 && b[0] != 128 && int64(len(out)) < most {
		n := int(b[0])
		switch {
		case n < 128 && len(b) < n+2, n > 128 && len(b) < 2:
			return out, io.ErrUnexpectedEOF
		case n < 128:
			out = append(out, b[1:n+2]...)
			b = b[n+2:]
		default:
			out = append(out, bytes.Repeat(b[1:2], 257-n)...)
			b = b[2:]
		}
	}
	return out, nil
}

// unLZW decodes the LZW variant of PDF and TIFF (7.4.4): codes grow one code early.
func unLZW(b []byte, most int64) (out []byte, err error) {
	const clearCode, eod, first = 256, 257, 258
	type entry struct{ from, to int } // in out
	var table []entry
	width, bits, have := 9, uint32(0), 0
	last := entry{-1, -1}
	for _, c := range b {
		bits, have = bits<<8|uint32(c), have+8
		if have < width {
			continue
		}
		have -= width
		code := int(bits >> have & (1<<width - 1))
		begin := len(out)
		switch {
		case code == eod:
			return out, nil
		case code == clearCode:
			table, width, last = table[:0], 9, entry{-1, -1}
			continue
		case code < clearCode:
			out = append(out, byte(code))
		case code-first < len(table):
			e := table[code-first]
			out = append(out, out[e.from:e.to]...)
		case code-first == len(table) && last.from >= 0:
			out = append(append(out, out[last.from:last.to]...), out[last.from])
		default:
			return out, errors.New("pdf: damaged LZW")
		}
		if last.from >= 0 && len(table)+first < 4096 {
			// The new entry is the last string plus the first byte of this one, which adjoin in
			// out.
			table = append(table, entry{last.from, last.to + 1})
		}
		last = entry{begin, len(out)}
		for next := len(table) + first + 1; width < 12 && next >= 1<<width; width++ {
		}
		if int64(len(out)) >= most {
			return out, nil
		}
	}
	return out, nil
}

// unpredict reverses the PNG filters of bytes in rows (W3C PNG, 9).
func unpredict(b []byte, columns int) []byte {
	if columns < 1 || columns > 1<<16 {
		return b
	}
	var out []byte
	above := make([]byte, columns)
	for len(b) > 1 {
		kind := b[0]
		row := bytes.Clone(b[1:min(len(b), columns+1)])
		b = b[1+len(row):]
		for i := range row {
			var left, corner byte
			if i > 0 {
				left, corner = row[i-1], above[i-1]
			}
			switch kind {
			case 1:
				row[i] += left
			case 2:
				row[i] += above[i]
			case 3:
				row[i] += byte((int(left) + int(above[i])) / 2)
			case 4:
				row[i] += paeth(left, above[i], corner)
			}
		}
		out = append(out, row...)
		copy(above, row)
	}
	return out
}

func paeth(a, b, c byte) byte {
	p := int(a) + int(b) - int(c)
	x, y, z := abs(p-int(a)), abs(p-int(b)), abs(p-int(c))
	switch {
	case x <= y && x <= z:
		return a
	case y <= z:
		return b
	}
	return c
}

func abs(n int) int { return max(n, -n) }
