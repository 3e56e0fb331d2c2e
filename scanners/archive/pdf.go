package archive

import (
	"bytes"
	"io"

	"github.com/quellhq/quell/scanners/inflate"
)

// maxPDFStream is how much of one stream is read.
const maxPDFStream = 64 << 20

// pdfStream inflates a stream. Where it shows text, that follows as it is read: the
// strings of one line, which letter spacing cuts, without what stands between.
func pdfStream(b []byte) io.Reader {
	z, err := inflate.NewZlib(bytes.NewReader(b))
	if err != nil {
		return bytes.NewReader(nil)
	}
	defer z.Close()
	raw, _ := io.ReadAll(io.LimitReader(z, maxPDFStream))
	if !bytes.Contains(raw, []byte("TJ")) && !bytes.Contains(raw, []byte("Tj")) {
		return bytes.NewReader(raw)
	}
	return io.MultiReader(bytes.NewReader(raw), bytes.NewReader(shown(raw)))
}

// shown is the text that a page's operators show (ISO 32000, 9.4.3): literal
// strings, a new line for each operator that moves to one.
func shown(b []byte) []byte {
	out := []byte{'\n'}
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '(':
			depth := 1
			for i++; i < len(b) && depth > 0; i++ {
				switch b[i] {
				case '\\':
					if i++; i < len(b) {
						out = append(out, b[i])
					}
				case '(':
					depth++
					out = append(out, '(')
				case ')':
					if depth--; depth > 0 {
						out = append(out, ')')
					}
				default:
					out = append(out, b[i])
				}
			}
			i--
		case c == 'T' && i+1 < len(b) && (b[i+1] == 'd' || b[i+1] == 'D' || b[i+1] == '*' || b[i+1] == 'm'), c == '\'' || c == '"', c == 'E' && i+1 < len(b) && b[i+1] == 'T':
			if out[len(out)-1] != '\n' {
				out = append(out, '\n')
			}
		}
	}
	return out
}
