package archive

import (
	"bytes"
	"html"
	"io"
	"path"
	"strings"
)

// inRuns reports whether a zip member contains a document's text as XML, by its path in Office
// Open XML (ECMA-376) and OpenDocument. An editor can split such text into runs at any place,
// with any markup between them, so one token can span several runs.
func inRuns(name string) bool {
	dir, base := path.Split(name)
	switch dir {
	case "word/", "ppt/slides/", "ppt/notesSlides/", "xl/worksheets/":
		return path.Ext(base) == ".xml"
	case "xl/":
		return base == "sharedStrings.xml" || strings.HasPrefix(base, "comments")
	case "":
		return base == "content.xml"
	}
	return false
}

// maxText is the maximum size, in bytes, of one document's joined text.
const maxText = 64 << 20

// document reads a document's XML unchanged, followed by the paragraphs that consist of more
// than one run, without markup.
type document struct {
	r    io.Reader
	kept []byte
	over bool          // the text exceeds the limit
	text *bytes.Reader // nil before the XML has ended
}

func (d *document) Read(b []byte) (int, error) {
	if d.text != nil {
		return d.text.Read(b)
	}
	n, err := d.r.Read(b)
	if d.over = d.over || len(d.kept)+n > maxText; !d.over {
		d.kept = append(d.kept, b[:n]...)
	}
	if err == io.EOF {
		d.text, err = bytes.NewReader(paragraphs(d.kept)), nil
		d.kept = nil
	}
	return n, err
}

// paragraphs returns the paragraphs that consist of several runs, one per line.
func paragraphs(b []byte) []byte {
	var out, line []byte
	runs := 0
	for len(b) > 0 {
		text, rest, tagged := bytes.Cut(b, []byte{'<'})
		if len(text) > 0 {
			line = append(line, html.UnescapeString(string(text))...)
			if len(bytes.TrimSpace(text)) > 0 {
				runs++
			}
		}
		if !tagged {
			break
		}
		tag, rest, _ := bytes.Cut(rest, []byte{'>'})
		b = rest
		name, _, _ := bytes.Cut(bytes.TrimPrefix(bytes.TrimSuffix(tag, []byte{'/'}), []byte{'/'}), []byte{' '})
		if _, local, ok := bytes.Cut(name, []byte{':'}); ok {
			name = local
		}
		ends := len(tag) > 0 && tag[0] == '/'
		switch s := string(name); {
		case ends && (s == "p" || s == "h" || s == "si" || s == "is"):
			if runs > 1 {
				out = append(append(append(out, '\n'), line...), '\n')
			}
			line, runs = line[:0], 0
		case s == "br" || s == "cr" || s == "line-break":
			line = append(line, '\n')
		case s == "tab" || s == "s":
			line = append(line, ' ')
		}
	}
	return out
}
