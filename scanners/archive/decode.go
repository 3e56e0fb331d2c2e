package archive

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zip"
	"github.com/klauspost/compress/zstd"

	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/inflate"
)

func kindUnsupported(err error) error { return scanners.OfKind(scanners.GapUnsupported, err) }

// decoded decompresses a zip member by its compression method. The caller calls done after
// reading. The third result returns the data that follows the compressed stream, or nil if
// there is none or the method can't locate it.
func (o *opening) decoded(method uint16, raw io.Reader, packed int64, size uint64) (r io.Reader, done func(), trailing func() io.Reader, err error) {
	done, trailing = func() {}, func() io.Reader { return nil }
	switch method {
	case zip.Store:
		r = raw
	case zip.Deflate:
		z := inflate.NewReader(raw)
		r, done = z, func() { z.Close() }
		trailing = func() io.Reader {
			if n, err := z.Read(make([]byte, 1)); n > 0 || err != io.EOF || z.Offset() >= packed {
				return nil
			}
			return z.Trailing()
		}
	case 12:
		r = bzip2.NewReader(raw)
	case zstd.ZipMethodWinZip, zstd.ZipMethodPKWare:
		r, done, err = o.zstd(raw)
	case 14:
		in := bufio.NewReader(raw)
		r, done, err = o.zipLZMA(in, size)
		trailing = func() io.Reader {
			if _, err := in.Peek(1); err != nil {
				return nil
			}
			return in
		}
	case 95:
		r, done, err = o.xz(raw)
	default:
		err = errMethod(method)
	}
	return r, done, trailing, err
}

// zipLZMA decompresses a member of method 14 (APPNOTE 5.8.8): a version, the size of the
// properties, the properties, and a stream without the header that the library requires.
func (o *opening) zipLZMA(in *bufio.Reader, size uint64) (io.Reader, func(), error) {
	var h [9]byte
	if _, err := io.ReadFull(in, h[:]); err != nil {
		return nil, nil, err
	}
	if binary.LittleEndian.Uint16(h[2:]) != 5 {
		return nil, nil, errors.New("zip: damaged LZMA properties")
	}
	head := binary.LittleEndian.AppendUint64(bytes.Clone(h[4:9]), size)
	return o.lzmaStream(in, head)
}

// promised compares the content with the size and the checksum that a header states.
type promised struct {
	r    io.Reader
	n    uint64
	size uint64
	sum  uint32
	crc  hash.Hash32 // nil if the header has no checksum
}

func newPromised(r io.Reader, size uint64, sum uint32) *promised {
	return &promised{r: r, size: size, sum: sum, crc: crc32.NewIEEE()}
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
			err = fmt.Errorf("%d bytes, not %d as its header states", p.n, p.size)
		case p.crc != nil && p.crc.Sum32() != p.sum:
			err = errors.New("wrong checksum")
		}
	}
	return n, err
}
