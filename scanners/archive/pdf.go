package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/quellhq/quell/scanners"
)

// Limits per document: bytes read, bytes of one stream, bytes of the text assembled from one
// stream, and the number of font maps applied.
const (
	maxPDF     = 64 << 20
	maxStream  = 64 << 20
	maxShown   = 16 << 20
	maxPieces  = 1 << 20
	maxCharMap = 16
)

// pdfText opens a document's compressed streams, which contain its text. It does not follow
// references between objects, because a hostile document can make them point anywhere.
func pdfText(o *opening) error {
	b, err := io.ReadAll(io.NewSectionReader(o.at, 0, min(o.size, maxPDF)))
	if err != nil {
		return err
	}
	if o.size > maxPDF {
		o.gap("", limitOf(scanners.GapLimitMemory, "a PDF of over %d MiB", maxPDF>>20))
	}
	if err := o.plain(wholeMember, bytes.NewReader(b)); err != nil {
		return err
	}
	d := &pdf{opening: o, encrypted: encrypt.Match(b)}
	if d.encrypted {
		o.gap("", errEncrypted)
	}
	for s := range streams(b) {
		if err := d.charMap(s); err != nil {
			return err
		}
	}
	if !bytes.Contains(b[max(0, len(b)-2048):], []byte("%%EOF")) {
		o.gap("", scanners.OfKind(scanners.GapDamaged, errors.New("pdf: the end of the document is missing")))
	}
	n, all := 0, 0
	for s := range streams(b) {
		if !s.cut {
			all += 1 + bytes.Count(s.body, []byte("endstream"))
		}
		if len(s.filters) == 0 {
			continue
		}
		n++
		if err := d.stream(fmt.Sprintf("(stream %d)", n), s); err != nil {
			return err
		}
	}
	if ends := bytes.Count(b, []byte("\nendstream")); ends > all {
		d.gap("", scanners.OfKind(scanners.GapDamaged, fmt.Errorf("pdf: the beginnings of %d streams are damaged", ends-all)))
	}
	return nil
}

// encrypt matches the trailer entry that names the encryption (ISO 32000-1, 7.6.1).
var encrypt = regexp.MustCompile(`/Encrypt\s*(<<|\d+\s+\d+\s+R)`)

type pdf struct {
	*opening
	encrypted bool
	maps      []charMap
	skipped   bool // there are more maps than the limit
}

// charMap collects a font's map from codes to characters.
func (d *pdf) charMap(s pdfStream) error {
	if err := d.timely(); err != nil || s.image() {
		return err
	}
	head, _ := s.decode(4 << 10)
	if !bytes.Contains(head, []byte("begincmap")) {
		return nil
	}
	raw, _ := s.decode(1 << 20)
	m := readCharMap(raw)
	switch {
	case !m.changes():
	case len(d.maps) < maxCharMap:
		d.maps = append(d.maps, m)
	case !d.skipped:
		d.skipped = true
		d.gap("", limitOf(scanners.GapLimitMemory, "over %d fonts with letters of their own", maxCharMap))
	}
	return nil
}

// timely returns an error when the file's time is over. Decoding needs this check because it
// spends time outside of members.
func (d *pdf) timely() error {
	if d.budget.Meter.Over(d.budget.Began) {
		return scanners.ErrTime
	}
	return d.ctx.Err()
}

// stream decodes a stream, and passes on its bytes and the text that it shows.
func (d *pdf) stream(name string, s pdfStream) error {
	if err := d.timely(); err != nil {
		return err
	}
	raw, err := s.decode(maxStream + 1)
	switch {
	case errors.Is(err, errImage):
		return nil // the scan of the document covers its bytes
	case err != nil && !d.encrypted:
		d.gap(name, err)
	case len(raw) > maxStream:
		raw = raw[:maxStream]
		d.gap(name, limitOf(scanners.GapLimitBytes, "a stream of over %d MiB", maxStream>>20))
	case s.cut:
		d.gap(name, errCutPDF)
	}
	if len(raw) == 0 {
		return nil
	}
	in := io.Reader(bytes.NewReader(raw))
	if bytes.Contains(raw, []byte("TJ")) || bytes.Contains(raw, []byte("Tj")) {
		list := shown(raw)
		if len(list) >= maxPieces {
			d.gap(name, limitOf(scanners.GapLimitMemory, "a page of over %d pieces of text", maxPieces))
		}
		in = io.MultiReader(in, &page{list: list, maps: append([]charMap{{width: 1}}, d.maps...)})
	}
	return d.member(name, in)
}

var errCutPDF = scanners.OfKind(scanners.GapDamaged, errors.New("pdf: the end of a stream is missing"))
