package archive

import (
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"

	"github.com/klauspost/compress/zip"
	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"

	"github.com/quellhq/quell/scanners/inflate"
)

func unzip(o *opening) error {
	z, err := zip.NewReader(o.at, o.size)
	if err != nil {
		return errors.Join(err, unzipCut(o))
	}
	if z.Comment != "" {
		o.note(z.Comment)
	}
	lost := 0
	for _, f := range z.File {
		o.note(f.Name, f.Comment)
		if f.FileInfo().IsDir() {
			continue
		}
		name := clean(f.Name)
		if f.Flags&1 != 0 {
			o.gap(name, errEncrypted)
			continue
		}
		r, err := zipped(f)
		if err != nil {
			lost++
			o.gap(name, err)
			continue
		}
		var content io.Reader = r
		if inRuns(name) {
			content = &document{r: r}
		}
		err = o.member(name, content)
		r.close()
		if err != nil {
			return err
		}
	}
	if lost > 0 && lost == len(z.File) {
		return unzipCut(o) // its directory leads nowhere
	}
	return nil
}

// zipped gives an entry's bytes, all that come, and then says whether they are what
// the archive promised: the library's own reader drops the last ones where they are
// not.
func zipped(f *zip.File) (*promised, error) {
	raw, err := f.OpenRaw()
	if err != nil {
		return nil, err
	}
	var r io.Reader
	done := func() {}
	switch f.Method {
	case zip.Store:
		r = raw
	case zip.Deflate:
		z := inflate.NewReader(raw)
		r, done = z, func() { z.Close() }
	case 12:
		r = bzip2.NewReader(raw)
	case zstd.ZipMethodWinZip, zstd.ZipMethodPKWare:
		if r, err = zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true)); err != nil {
			return nil, err
		}
	case 14:
		if r, err = zipLZMA(raw, f.UncompressedSize64); err != nil {
			return nil, err
		}
	case 95:
		if r, err = xz.NewReader(raw, maxWindow); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("zip: method %d is not known", f.Method)
	}
	return &promised{r: r, size: f.UncompressedSize64, sum: f.CRC32, crc: crc32.NewIEEE(), close: done}, nil
}

// promised compares what was read with what a header said of it.
type promised struct {
	r    io.Reader
	n    uint64
	size uint64
	sum  uint32
	crc  hash.Hash32

	close func() // lets what r holds be used again
}

func (p *promised) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.n += uint64(n)
	if p.crc != nil {
		_, _ = p.crc.Write(b[:n])
	}
	if err == io.EOF {
		switch {
		case p.n != p.size:
			err = fmt.Errorf("%d bytes, not the %d that its header says", p.n, p.size)
		case p.crc != nil && p.crc.Sum32() != p.sum:
			err = errors.New("its checksum is wrong")
		}
	}
	return n, err
}

// zipLZMA gives what a member of method 14 holds (APPNOTE 5.8.8): a version, the size of
// the properties, the properties, and a stream without the header that the library wants.
func zipLZMA(r io.Reader, size uint64) (io.Reader, error) {
	var h [9]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint16(h[2:]) != 5 {
		return nil, errors.New("zip: damaged LZMA properties")
	}
	return unLZMA(io.MultiReader(bytes.NewReader(binary.LittleEndian.AppendUint64(h[4:9:9], size)), r))
}

// local is how a member begins (APPNOTE 4.3.7).
const local, localLen = "PK\x03\x04", 30

// unzipCut reads the members of a zip whose directory is lost, one behind the other, as far
// as it is told where the next one begins, and what is left as it is.
func unzipCut(o *opening) error {
	at := int64(0)
	for {
		var h [localLen]byte
		if _, err := o.at.ReadAt(h[:], at); err != nil || string(h[:4]) != local {
			break // the directory, or the end
		}
		flags, method := binary.LittleEndian.Uint16(h[6:]), binary.LittleEndian.Uint16(h[8:])
		packed, size := int64(binary.LittleEndian.Uint32(h[18:])), int64(binary.LittleEndian.Uint32(h[22:]))
		name := make([]byte, binary.LittleEndian.Uint16(h[26:]))
		if _, err := o.at.ReadAt(name, at+localLen); err != nil {
			break
		}
		o.note(string(name))
		data := at + localLen + int64(len(name)) + int64(binary.LittleEndian.Uint16(h[28:]))
		// Sizes may stand behind the bytes; those of more than 4 GiB elsewhere.
		told := flags&8 == 0 && packed != math.MaxUint32
		switch {
		case flags&1 != 0 && told:
			o.gap(clean(string(name)), errEncrypted)
		case method == zip.Deflate:
			z := inflate.NewReader(io.NewSectionReader(o.at, data, o.size-data))
			err := o.member(clean(string(name)), z)
			if err == nil && !told {
				_, err = io.Copy(io.Discard, z)
				packed = z.Offset()
			}
			_ = z.Close()
			if err != nil {
				return err
			}
		case method == zip.Store && told && packed == size:
			if err := o.member(clean(string(name)), &promised{r: io.NewSectionReader(o.at, data, packed), size: uint64(size)}); err != nil {
				return err
			}
		case !told || method == zip.Store:
			return o.rest(at)
		}
		if at = data + packed; told {
			continue
		}
		// Behind a descriptor of 12 to 24 bytes.
		var tail [24 + len(local)]byte
		n, _ := o.at.ReadAt(tail[:], at)
		at += int64(max(0, bytes.Index(tail[:n], []byte(local))))
	}
	return o.rest(at)
}

// rest gives what stands behind the members that could be read. Where there were none, the
// file is looked at as it is anyway.
func (o *opening) rest(at int64) error {
	if at == 0 || at >= o.size {
		return nil
	}
	return o.member(restMember, io.NewSectionReader(o.at, at, o.size-at))
}

// zipApp knows a zip behind a script, as Python's zipapps and jars that start themselves are.
func zipApp(head []byte) bool { return bytes.Contains(head, []byte(local)) }

func unzipApp(o *opening) error {
	head := make([]byte, headLen)
	n, _ := o.at.ReadAt(head, 0)
	if err := o.member("(script)", bytes.NewReader(head[:max(0, bytes.Index(head[:n], []byte(local)))])); err != nil {
		return err
	}
	return unzip(o)
}
