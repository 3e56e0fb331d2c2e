package pack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/quellhq/quell/scanners/inflate"
)

var (
	errSize  = errors.New("its size is not what its header says")
	errAdler = inflate.ErrChecksum
	errZlib  = errors.New("not a zlib stream")
)

// inflater decompresses one zlib stream after another.
type inflater struct {
	d inflate.Decoder
}

// The number of readable bytes after a stream, and of writable bytes after its output, that
// make decoding faster.
const (
	spareIn  = 32
	spareOut = 300
)

// into decompresses src to exactly len(dst) bytes, and returns the stream's size in bytes. It
// can read src and overwrite dst up to their capacities.
func (z *inflater) into(dst, src []byte) (int, error) {
	if !inflate.IsZlib(src) {
		return 0, errZlib
	}
	n, err := z.d.Decode(dst, src[2:cap(src)])
	if err != nil {
		return 0, inflateError(err)
	}
	n += 2
	if n+4 > len(src) {
		return 0, errSize
	}
	if binary.BigEndian.Uint32(src[n:]) != inflate.Adler32(1, dst) {
		return 0, errAdler
	}
	return n + 4, nil
}

func inflateError(err error) error {
	switch err {
	case io.EOF, io.ErrUnexpectedEOF, inflate.ErrSize:
		return errSize
	case errAdler:
		return err
	}
	return fmt.Errorf("inflate: %w", err)
}

// deflateRatio is the maximum expansion of deflate. A header that states more is wrong.
const deflateRatio = 1032

// bytes decompresses src to size bytes, into buf if that is large enough.
func (z *inflater) bytes(buf, src []byte, size int64) ([]byte, error) {
	if size > deflateRatio*(int64(len(src))+1) {
		return buf, errSize
	}
	if size+spareOut > int64(cap(buf)) {
		buf = make([]byte, size, roomFor(size))
	}
	_, err := z.into(buf[:size], src)
	return buf[:size], err
}

// roomFor returns the capacity to allocate for n bytes, with a reserve for reuse.
func roomFor(n int64) int64 { return n + min(n/4, 1<<20) + 512 }

// stream decompresses an object and verifies its size and checksum at the end.
type stream struct {
	z    *inflate.Zlib
	left int64
}

func newStream(src io.Reader, size int64) (*stream, error) {
	z, err := inflate.NewZlib(src)
	if err != nil {
		return nil, inflateError(err)
	}
	return &stream{z, size}, nil
}

// Close releases the decoder for reuse.
func (s *stream) Close() error { return s.z.Close() }

func (s *stream) Read(b []byte) (int, error) {
	if s.left == 0 {
		var one [1]byte
		switch n, err := s.z.Read(one[:]); {
		case n > 0:
			return 0, errSize
		case err != io.EOF:
			return 0, inflateError(err)
		}
		return 0, io.EOF
	}
	n, err := s.z.Read(b[:min(int64(len(b)), s.left)])
	s.left -= int64(n)
	if err != nil && s.left > 0 {
		return n, inflateError(err)
	}
	return n, nil
}
