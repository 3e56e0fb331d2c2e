package detect

import (
	"archive/zip"
	"bytes"
	"compress/bzip2"
	"encoding/base64"
	"io"
	"strings"

	"github.com/therootcompany/xz"

	"github.com/quellhq/quell/scanners"
)

// minPackedRun is the shortest run of base64 that can encode one of these forms with a
// credential in it.
const minPackedRun = 64

// minTarRun is the length of one tar block (512 bytes) in base64.
const minTarRun = 684

// packedForm returns the name of the archive or compressed form that a run of base64 encodes,
// by the signature at its beginning, or "". Forms that package inflate reads are not included.
func packedForm(run []byte) string {
	if len(run) < minPackedRun {
		return ""
	}
	switch run[0] {
	case 'U':
		if bytes.HasPrefix(run, []byte("UEsDB")) { // PK\x03\x04
			return "zip"
		}
		if bytes.HasPrefix(run, []byte("UmFyIRoH")) { // Rar!\x1a\x07
			return "rar"
		}
	case 'Q':
		if bytes.HasPrefix(run, []byte("Qlpo")) && bytes.HasPrefix(run[6:], []byte("FBWSZTW")) { // BZh9 and the digits of pi
			return "bzip2"
		}
	case '/':
		if bytes.HasPrefix(run, []byte("/Td6WFoA")) { // \xfd7zXZ\x00
			return "xz"
		}
	case 'N':
		if bytes.HasPrefix(run, []byte("N3q8ryc")) { // 7z\xbc\xaf\x27
			return "7z"
		}
	}
	if len(run) >= minTarRun {
		var head [264]byte // up to the magic of POSIX.1-1988, at 257
		if _, err := base64.RawStdEncoding.Decode(head[:], run[:352]); err == nil && string(head[257:262]) == "ustar" {
			return "tar"
		}
	}
	return ""
}

// packed searches the archive that a run of base64 encodes. It reports false where the run
// turns out to be no archive.
func (l *look) packed(t *text, w span, form string, depth int) bool {
	c := l.derive(t)
	defer l.s.free(c)
	run := t.data[w.start:w.end]
	if len(run)%4 == 1 {
		run = run[:len(run)-1]
	}
	c.data = append(c.data[:0], make([]byte, base64.RawStdEncoding.DecodedLen(len(run)))...)
	n, err := base64.RawStdEncoding.Decode(c.data, run)
	if c.data = c.data[:n]; err != nil {
		return false
	}
	c.segs = append(c.segs, segment{from: w.start, to: w.end, kind: groups})
	c.inside = t.inside && w.start == 0
	if depth+1 >= maxDepth {
		l.chunk.Reached(scanners.GapLimitDepth)
		return true
	}
	if form == "tar" { // its members are not compressed
		if c.cutOff(l.chunk) {
			l.chunk.Reached(scanners.GapLimitDecoding)
		}
		l.decoded(c, "base64", depth)
		return true
	}
	limit := max(0, min(maxInflated, l.budget))
	var out bytes.Buffer
	err = unpacked(form, c.data, &limited{w: &out, left: limit})
	if l.chunk.Meter.Expand(out.Len()) != nil {
		out.Reset()
		err = errOver
	}
	switch {
	case err == errOver || err != nil && c.cutOff(l.chunk):
		l.chunk.Reached(scanners.GapLimitDecoding)
	case err == nil || !c.alone(): // the first of several lines is cut, and not damaged
	case err == errForm:
		l.chunk.Reached(scanners.GapUnsupported)
	default:
		l.chunk.Reached(scanners.GapDamaged)
	}
	if out.Len() == 0 {
		return true
	}
	c.decoded = l.s.with(c.decoded, "base64")
	g := l.derive(c)
	defer l.s.free(g)
	g.put(out.Bytes(), 0, len(c.data), whole)
	l.decoded(g, form, depth+1)
	return true
}

type packedError string

func (e packedError) Error() string { return string(e) }

const (
	errOver packedError = "more than the limit"
	errForm packedError = "a form that is not opened here"
)

// unpacked writes what b contains to w: for a zip, the names of its members and each one's
// content, on separate lines.
func unpacked(form string, b []byte, w io.Writer) error {
	switch form {
	case "bzip2":
		_, err := io.Copy(w, bzip2.NewReader(bytes.NewReader(b)))
		return err
	case "xz":
		r, err := xz.NewReader(bytes.NewReader(b), 4*maxInflated)
		if err != nil {
			return err
		}
		_, err = io.Copy(w, r)
		return err
	case "zip":
		z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return err
		}
		var failed error
		for _, f := range z.File {
			if _, err := io.WriteString(w, strings.ToValidUTF8(f.Name, "?")+"\n"); err != nil {
				return err
			}
			switch err := zipMember(f, w); {
			case err == errOver:
				return err
			case err != nil:
				failed = err
			}
			if _, err := io.WriteString(w, "\n"); err != nil {
				return err
			}
		}
		return failed
	}
	return errForm
}

// encryptedFlag is bit 0 of a member's flags (APPNOTE.TXT, 4.4.4).
const encryptedFlag = 1

// zipMember writes the content of one member of a zip to w.
func zipMember(f *zip.File, w io.Writer) error {
	if f.Flags&encryptedFlag != 0 {
		return errForm
	}
	r, err := f.Open()
	if err == zip.ErrAlgorithm {
		return errForm
	}
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(w, r)
	return err
}

// limited is a writer that accepts a limited number of bytes.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(b []byte) (int, error) {
	if len(b) > l.left {
		n, _ := l.w.Write(b[:l.left])
		l.left = 0
		return n, errOver
	}
	l.left -= len(b)
	return l.w.Write(b)
}
