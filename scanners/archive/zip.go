package archive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zip"

	"github.com/quellhq/quell/scanners"
)

func unzip(o *opening) error {
	z, err := zip.NewReader(o.at, o.size)
	if err != nil {
		return errors.Join(errDirectory, unzipCut(o))
	}
	for _, f := range z.File {
		if err := o.zipMember(f); err != nil {
			return err
		}
	}
	return o.around(z)
}

var errDirectory = scanners.OfKind(scanners.GapDamaged, errors.New("damaged: it has no directory at its end"))

// zipMember opens one member.
func (o *opening) zipMember(f *zip.File) error {
	o.noteFile(f)
	if f.FileInfo().IsDir() && f.CompressedSize64 == 0 {
		return o.counts()
	}
	name := clean(f.Name)
	m, err := o.zipped(f)
	if err != nil {
		o.gap(name, err)
		return nil
	}
	defer m.close()
	var content io.Reader = m
	if inRuns(name) {
		content = &document{r: m}
	}
	if err := o.member(name, content); err != nil {
		return err
	}
	if rest := m.trailing(); rest != nil {
		return o.member(join(name, TrailingMember), rest)
	}
	return nil
}

func (o *opening) noteFile(f *zip.File) {
	text := []string{f.Name, f.Comment, words(unlessName(f.Extra, f.Name))}
	for len(text) > 1 && text[len(text)-1] == "" {
		text = text[:len(text)-1]
	}
	o.note(text...)
}

// unlessName drops an extra field that repeats the name in UTF-8 (APPNOTE 4.6.9).
func unlessName(extra []byte, name string) []byte {
	return bytes.ReplaceAll(extra, []byte(name), nil)
}

// zipped returns a reader of a member that verifies the size and the checksum at the end. The
// library's own reader drops the last bytes if they do not match.
func (o *opening) zipped(f *zip.File) (*zippedMember, error) {
	if f.Flags&1 != 0 {
		return nil, errEncrypted
	}
	raw, err := f.OpenRaw()
	if err != nil {
		return nil, err
	}
	r, done, trailing, err := o.decoded(f.Method, raw, int64(f.CompressedSize64), f.UncompressedSize64)
	if err != nil {
		return nil, err
	}
	return &zippedMember{promised: newPromised(r, f.UncompressedSize64, f.CRC32), close: done, trailing: trailing}, nil
}

type zippedMember struct {
	*promised
	close func() // releases the decoder for reuse
	// trailing returns the data after the compressed stream within the member, or nil. It is
	// valid once the stream has been read to its end.
	trailing func() io.Reader
}

// around scans the parts of a zip that are not members: comments, and the bytes before, between
// and after the members.
func (o *opening) around(z *zip.Reader) error {
	if z.Comment != "" {
		o.note(z.Comment)
	}
	var known []extent
	for _, f := range z.File {
		if at, err := f.DataOffset(); err == nil {
			end := at + int64(f.CompressedSize64)
			known = append(known, extent{at, end + o.descriptor(f, end), f})
		}
	}
	return o.unlisted(known)
}

// descriptor returns the size of the data descriptor after a member whose sizes were unknown
// when its header was written (APPNOTE 4.3.9): with or without a signature, with sizes of 4 or
// 8 bytes.
func (o *opening) descriptor(f *zip.File, end int64) int64 {
	if f.Flags&8 == 0 {
		return 0
	}
	var h [24]byte
	n, _ := o.at.ReadAt(h[:], end)
	b, size := h[:n], int64(0)
	if bytes.HasPrefix(b, []byte("PK\x07\x08")) {
		b, size = b[4:], 4
	}
	if len(b) < 12 || binary.LittleEndian.Uint32(b) != f.CRC32 {
		return 0
	}
	if b = b[4:]; len(b) >= 16 && binary.LittleEndian.Uint64(b) == f.CompressedSize64 && binary.LittleEndian.Uint64(b[8:]) == f.UncompressedSize64 {
		return size + 20
	}
	return size + 12
}

// zipApp recognises a zip after a script, such as a Python zipapp or an executable jar.
func zipApp(head []byte) bool { return bytes.Contains(head, []byte(local)) }

func unzipApp(o *opening) error {
	head := make([]byte, headLen)
	n, _ := o.at.ReadAt(head, 0)
	o.from = int64(max(0, bytes.Index(head[:n], []byte(local))))
	if err := o.plain("(script)", bytes.NewReader(head[:o.from])); err != nil {
		return err
	}
	return unzip(o)
}

// errMethod returns the error of an unsupported compression method.
func errMethod(method uint16) error {
	return kindUnsupported(fmt.Errorf("zip: method %d is not supported", method))
}
