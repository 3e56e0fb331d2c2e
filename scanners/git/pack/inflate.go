package pack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/adler32"
	"io"

	"github.com/klauspost/compress/flate"
)

var (
	errSize  = errors.New("its size is not what its header says")
	errAdler = errors.New("its checksum is wrong")
)

// inflater inflates one zlib stream after another.
type inflater struct {
	d deflate
	// checked says that the bytes of the next stream, its own checksum among them, were
	// compared with the index's: the sum over what comes out would tell nothing more.
	checked bool
	src     bytes.Reader
	f       io.ReadCloser
}

// zlibHeader checks what RFC 1950 puts before a stream: deflate, a header divisible
// by 31, no preset dictionary.
func zlibHeader(src []byte) error {
	if len(src) < 2 || src[0]&15 != 8 || (uint(src[0])<<8|uint(src[1]))%31 != 0 || src[1]&32 != 0 {
		return errors.New("not a zlib stream")
	}
	return nil
}

func (z *inflater) reset(src []byte) error {
	if err := zlibHeader(src); err != nil {
		return err
	}
	z.src.Reset(src[2:])
	if z.f == nil {
		z.f = flate.NewReader(&z.src)
		return nil
	}
	return z.f.(flate.Resetter).Reset(&z.src, nil)
}

// into inflates src to exactly len(dst) bytes.
func (z *inflater) into(dst, src []byte) error {
	if err := zlibHeader(src); err != nil {
		return err
	}
	n, err := z.d.inflate(dst, src[2:])
	if err != nil {
		return err
	}
	if n+2+4 > len(src) || !z.checked && binary.BigEndian.Uint32(src[n+2:]) != adler32.Checksum(dst) {
		return errAdler
	}
	return nil
}

// finish asks that the stream ends here, with the checksum.
func (z *inflater) finish(sum uint32) error {
	var one [1]byte
	switch n, err := z.f.Read(one[:]); {
	case n > 0:
		return errSize
	case err != io.EOF:
		return inflateError(err)
	}
	var tail [4]byte
	if _, err := io.ReadFull(&z.src, tail[:]); err != nil {
		return errAdler
	}
	if binary.BigEndian.Uint32(tail[:]) != sum {
		return errAdler
	}
	return nil
}

func inflateError(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errSize
	}
	return fmt.Errorf("inflate: %w", err)
}

// deflateRatio is the most bytes that deflate makes of one: a header that says more
// lies.
const deflateRatio = 1032

// bytes inflates src to size bytes, in buf where it is large enough.
func (z *inflater) bytes(buf, src []byte, size int64) ([]byte, error) {
	if size > deflateRatio*(int64(len(src))+1) {
		return buf, errSize
	}
	if size > int64(cap(buf)) {
		buf = make([]byte, size, size+min(size/4, 1<<20)+512)
	}
	return buf[:size], z.into(buf[:size], src)
}

// stream gives an object's bytes as they are inflated, and checks them at the end.
type stream struct {
	z    *inflater
	left int64
	sum  hash.Hash32
}

func (z *inflater) stream(src []byte, size int64) (io.Reader, error) {
	if err := z.reset(src); err != nil {
		return nil, err
	}
	return &stream{z, size, adler32.New()}, nil
}

func (s *stream) Read(b []byte) (int, error) {
	if s.left == 0 {
		if err := s.z.finish(s.sum.Sum32()); err != nil {
			return 0, err
		}
		return 0, io.EOF
	}
	n, err := s.z.f.Read(b[:min(int64(len(b)), s.left)])
	_, _ = s.sum.Write(b[:n])
	s.left -= int64(n)
	if err != nil && s.left > 0 {
		return n, inflateError(err)
	}
	return n, nil
}
