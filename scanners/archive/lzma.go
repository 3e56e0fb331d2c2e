package archive

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"

	"github.com/ulikunitz/xz/lzma"

	"github.com/quellhq/quell/scanners"
)

// lzmaHead checks the 13 bytes of an LZMA header: the dictionary's size is a power of two, or
// 1.5 times that, and the stream's size is unknown or less than a TiB.
func lzmaHead(head []byte) bool {
	if len(head) < lzma.HeaderLen {
		return len(head) > 3 // cut short
	}
	if !lzma.ValidHeader(head[:lzma.HeaderLen]) {
		return false
	}
	size := binary.LittleEndian.Uint64(head[5:])
	return size == math.MaxUint64 || size < 1<<40
}

// unlzma opens consecutive LZMA streams that have no container.
func unlzma(o *opening) error {
	in := bufio.NewReader(o.in)
	return o.each(in, lzma.HeaderLen, lzmaHead, func() (io.Reader, func(), error) {
		head := make([]byte, lzma.HeaderLen)
		if _, err := io.ReadFull(in, head); err != nil {
			return nil, nil, err
		}
		return o.lzmaStream(in, head)
	})
}

// lzmaStream reads the stream whose header is head. It reads nothing of in after the stream.
func (o *opening) lzmaStream(in *bufio.Reader, head []byte) (io.Reader, func(), error) {
	dict, size := int64(binary.LittleEndian.Uint32(head[1:])), binary.LittleEndian.Uint64(head[5:])
	if size < uint64(dict) {
		dict = int64(size)
	}
	done, err := o.window(min(dict, maxWindow))
	if err != nil {
		return nil, nil, err
	}
	z, err := lzma.ReaderConfig{DictCap: maxWindow}.NewReader(&afterHead{head: head, Reader: in})
	if err != nil {
		done()
		return nil, nil, err
	}
	return &lzmaReader{z: z, size: size}, done, nil
}

// lzmaReader detects truncation: at the end of its input, the library reports io.EOF whether or
// not the stream has reached its end mark or its size.
type lzmaReader struct {
	z       *lzma.Reader
	n, size uint64
}

func (r *lzmaReader) Read(b []byte) (int, error) {
	n, err := r.z.Read(b)
	r.n += uint64(n)
	if err == io.EOF && !r.z.EOSMarker() && r.n != r.size {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// unreadLen is the number of bytes that decide whether what follows a stream is readable.
const unreadLen = 512

// errTrailing is the error of a stream that ends before its file does: a damaged header can
// state any size.
var errTrailing = scanners.OfKind(scanners.GapDamaged, errors.New("bytes after the end of the stream belong to no format"))

// each opens consecutive streams of one format. next opens a stream and leaves in at its end;
// again recognises another stream by its first bytes. Other trailing bytes become a member of
// their own.
func (o *opening) each(in *bufio.Reader, headLen int, again func([]byte) bool, next func() (io.Reader, func(), error)) error {
	for first := true; ; first = false {
		r, done, err := next()
		if err != nil {
			return err
		}
		name := stem(o.name)
		if !first {
			name = TrailingMember
		}
		err = o.member(name, r)
		done()
		if err != nil {
			return err
		}
		more, err := Padding(in)
		if !more {
			return err
		}
		if head, _ := in.Peek(headLen); !again(head) {
			if first, _ := in.Peek(unreadLen); o.opener.find(first) == nil && !plausibleText(first) {
				o.gap("", errTrailing)
			}
			return o.member(TrailingMember, in)
		}
	}
}

const (
	lzipHeader  = 6
	lzipTrailer = 20
)

// unlzip opens the members of a lzip file (draft-diaz-lzip, 2) and verifies their checksums.
func unlzip(o *opening) error {
	in := bufio.NewReader(o.in)
	again := func(head []byte) bool { return len(head) >= 5 && string(head[:5]) == "LZIP\x01" }
	return o.each(in, lzipHeader, again, func() (io.Reader, func(), error) {
		var h [lzipHeader]byte
		if _, err := io.ReadFull(in, h[:]); err != nil {
			return nil, nil, fmt.Errorf("lzip: %w", err)
		}
		dict := uint32(1) << (h[5] & 0x1f)
		dict -= dict / 16 * uint32(h[5]>>5)
		// An LZMA stream without the header that the library requires; lzip fixes the
		// properties.
		head := []byte{lzma.Properties{LC: 3, LP: 0, PB: 2}.Code()}
		head = binary.LittleEndian.AppendUint32(head, dict)
		head = binary.LittleEndian.AppendUint64(head, math.MaxUint64)
		z, done, err := o.lzmaStream(in, head)
		if err != nil {
			return nil, nil, fmt.Errorf("lzip: %w", err)
		}
		return &lzipMember{in: in, z: z, sum: crc32.NewIEEE()}, done, nil
	})
}

// afterHead is a bufio.Reader with head prepended. With an io.MultiReader instead, which is no
// io.ByteReader, the library would read ahead.
type afterHead struct {
	head []byte
	*bufio.Reader
}

func (a *afterHead) Read(b []byte) (int, error) {
	if len(a.head) > 0 {
		n := copy(b, a.head)
		a.head = a.head[n:]
		return n, nil
	}
	return a.Reader.Read(b)
}

// lzipMember reads one member and verifies its trailer.
type lzipMember struct {
	in  *bufio.Reader
	z   io.Reader
	sum hash.Hash32
	n   uint64
	err error
}

func (m *lzipMember) Read(b []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	n, err := m.z.Read(b)
	_, _ = m.sum.Write(b[:n])
	m.n += uint64(n)
	if err == io.EOF {
		err = m.trailer()
	}
	m.err = err
	return n, err
}

func (m *lzipMember) trailer() error {
	var t [lzipTrailer]byte
	if _, err := io.ReadFull(m.in, t[:]); err != nil {
		return fmt.Errorf("lzip: the trailer is missing: %w", io.ErrUnexpectedEOF)
	}
	if binary.LittleEndian.Uint32(t[:]) != m.sum.Sum32() || binary.LittleEndian.Uint64(t[4:]) != m.n {
		return errors.New("lzip: wrong checksum")
	}
	return io.EOF
}
