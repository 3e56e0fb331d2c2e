package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/quellhq/quell/scanners"
)

// oldTar recognises a pre-POSIX tar by its header's checksum.
func oldTar(head []byte) bool {
	if len(head) < 512 || head[0] == 0 {
		return false
	}
	field := strings.Trim(string(head[148:156]), " \x00")
	want, err := strconv.ParseInt(field, 8, 32)
	if err != nil || field == "" {
		return false
	}
	sum := int64(0)
	for i, c := range head[:512] {
		if i >= 148 && i < 156 {
			c = ' '
		}
		sum += int64(c)
	}
	return sum == want
}

// untar opens a tar archive and those that follow it.
func untar(o *opening) error {
	for {
		if err := Tar(NewTar(o.in), o.note, o.member, o.gap); err != nil {
			return err
		}
		more, err := Padding(o.buf)
		if !more {
			return err
		}
		if head, _ := o.buf.Peek(512); !oldTar(head) {
			return nil
		}
	}
}

// TarReader reads a tar archive and locates the holes of its sparse members.
type TarReader struct {
	*tar.Reader
	under *counted
}

// NewTar returns a TarReader of r.
func NewTar(r io.Reader) *TarReader {
	under := &counted{r: r}
	return &TarReader{tar.NewReader(under), under}
}

// counted counts the bytes that it passes on, and keeps those of one range.
type counted struct {
	r        io.Reader
	n        int64
	from, to int64
	kept     []byte
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	if lo, hi := max(c.from, c.n), min(c.to, c.n+int64(n)); lo < hi {
		c.kept = append(c.kept, b[lo-c.n:hi-c.n]...)
	}
	c.n += int64(n)
	return n, err
}

// keep keeps the bytes from one offset to another, which are still to be read.
func (c *counted) keep(from, to int64) { c.from, c.to, c.kept = from, to, c.kept[:0] }

// tailLen is the number of bytes of a member that are read again together with its padding,
// because a value may begin in one and end in the other.
const tailLen = 1 << 10

// paddingName is appended to the name of a member to name what its padding contains.
const paddingName = "(padding)"

// padded returns the end of the last member and its padding, if that is not all zeros. The
// reader has to be at the next header.
func (t *TarReader) padded(pad int64) []byte {
	kept := t.under.kept
	if pad == 0 || int64(len(kept)) < pad || len(bytes.Trim(kept[int64(len(kept))-pad:], "\x00")) == 0 {
		return nil
	}
	return kept
}

// HasContent reports whether content can follow a header. That holds for all but a few types,
// because tar extracts unknown types as files.
func HasContent(h *tar.Header) bool {
	switch h.Typeflag {
	case tar.TypeLink, tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeDir, tar.TypeFifo, tar.TypeXGlobalHeader:
		return false
	}
	return true
}

// Tar walks a tar archive. It calls note with each name and its related words, and member with
// each file. It returns the error of the archive or of member.
func Tar(t *TarReader, note func(words ...string), member func(name string, r io.Reader) error, gap func(name string, err error)) error {
	last, pad := "", int64(0)
	for {
		h, err := t.Next()
		if kept := t.padded(pad); kept != nil {
			if err := member(last+paddingName, bytes.NewReader(bytes.Clone(kept))); err != nil {
				return err
			}
		}
		if pad = 0; err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("tar: %w", err)
		}
		note(TarWords(h)...)
		if !HasContent(h) {
			continue
		}
		r, holes := t.Content(h)
		if holes == nil {
			last, pad = clean(h.Name), -h.Size&511
			end := t.under.n + h.Size
			t.under.keep(max(t.under.n, end-tailLen), end+pad)
		}
		if err := member(clean(h.Name), r); err != nil {
			return err
		}
		if err := holes.Err(); err != nil {
			gap(clean(h.Name), err)
		}
	}
}

// Content returns the content of the member that Next returned. The caller checks holes.Err
// after reading.
func (t *TarReader) Content(h *tar.Header) (r io.Reader, holes *Sparse) {
	if !isSparse(h) {
		return t.Reader, nil
	}
	s := &Sparse{t: t}
	return s, s
}

func isSparse(h *tar.Header) bool {
	return h.Typeflag == tar.TypeGNUSparse || h.PAXRecords["GNU.sparse.major"] != "" || h.PAXRecords["GNU.sparse.size"] != "" || h.PAXRecords["GNU.sparse.realsize"] != "" || h.PAXRecords["GNU.sparse.map"] != ""
}

// maxHoles is the maximum total, in bytes, of the holes of one sparse member. The library
// generates them as zeros, which takes time.
const maxHoles = 64 << 30

// errHoles is the error of a sparse member above maxHoles.
var errHoles = scanners.OfKind(scanners.GapLimitBytes, errors.New("a sparse file with holes of over 64 GiB: what follows them was not read"))

// Sparse reads a sparse member. Read stops where a hole begins. It implements scanners.Holed.
type Sparse struct {
	t    *TarReader
	next []byte // already read
	hole int64  // bytes of the current hole
	all  int64  // bytes of all holes
	err  error
	buf  []byte
}

// holeStep is the granularity of skipping holes, in bytes.
const holeStep = 256 << 10

func (s *Sparse) Read(b []byte) (int, error) {
	for {
		switch {
		case s.hole > 0:
			return 0, io.EOF
		case len(s.next) > 0:
			n := copy(b, s.next)
			s.next = s.next[n:]
			return n, nil
		case s.err != nil:
			return 0, s.err
		}
		s.fill()
	}
}

// fill reads the next data, skipping a hole before it.
func (s *Sparse) fill() {
	if s.buf == nil {
		s.buf = make([]byte, holeStep)
	}
	for s.err == nil {
		before := s.t.under.n
		n, err := io.ReadFull(s.t.Reader, s.buf)
		if err == io.ErrUnexpectedEOF {
			err = io.EOF
		}
		s.err = err
		if n < holeStep || s.t.under.n != before {
			s.next = s.buf[:n]
			return
		}
		// These zeros cost no read.
		s.hole += holeStep
		if s.all += holeStep; s.all > maxHoles {
			s.err = io.EOF
		}
	}
}

// Hole implements scanners.Holed.
func (s *Sparse) Hole() (int64, bool) {
	n := s.hole
	s.hole = 0
	return n, n > 0
}

// Err returns an error if part of the member was not read.
func (s *Sparse) Err() error {
	if s != nil && s.all > maxHoles {
		return errHoles
	}
	return nil
}

// TarWords returns the text of a tar header: the name, a link's target, the owners, and the pax
// records.
func TarWords(h *tar.Header) []string {
	words := []string{h.Name}
	for _, w := range []string{h.Linkname, h.Uname, h.Gname} {
		if w != "" && w != "root" {
			words = append(words, w)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(h.PAXRecords)) {
		words = append(words, k+"="+h.PAXRecords[k])
	}
	return words
}
