package pack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/adler32"
	"io"

	"github.com/quellhq/quell/scanners/inflate"
)

var (
	errSize  = errors.New("its size is not what its header says")
	errAdler = errors.New("its checksum is wrong")
)

// inflater inflates one zlib stream after another.
type inflater struct {
	d inflate.Decoder
	// checked says that the bytes of the next stream, its own checksum among them, were
	// compared with the index's: the sum over what comes out would tell nothing more.
	checked bool
}

// Decoding is faster where so many bytes stand behind a stream, and are free behind
// what it gives.
const (
	spareIn  = 32
	spareOut = 300
)

// zlibHeader checks what RFC 1950 puts before a stream: deflate, a header divisible
// by 31, no preset dictionary.
func zlibHeader(src []byte) error {
	if len(src) < 2 || src[0]&15 != 8 || (uint(src[0])<<8|uint(src[1]))%31 != 0 || src[1]&32 != 0 {
		return errors.New("not a zlib stream")
	}
	return nil
}

// into inflates src to exactly len(dst) bytes, and gives how many of src it took. Bytes
// up to the capacities of both may be read and written over.
func (z *inflater) into(dst, src []byte) (int, error) {
	if err := zlibHeader(src); err != nil {
		return 0, err
	}
	n, err := z.d.Decode(dst, src[2:cap(src)])
	if err != nil {
		return 0, inflateError(err)
	}
	if n += 2; n+4 > len(src) || !z.checked && binary.BigEndian.Uint32(src[n:]) != adler32.Checksum(dst) {
		return 0, errAdler
	}
	return n + 4, nil
}

func inflateError(err error) error {
	switch err {
	case io.EOF, io.ErrUnexpectedEOF, inflate.ErrSize:
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
	if size+spareOut > int64(cap(buf)) {
		buf = make([]byte, size, roomFor(size))
	}
	_, err := z.into(buf[:size], src)
	return buf[:size], err
}

// roomFor is how much is made for n bytes, so that it may be used for more again.
func roomFor(n int64) int64 { return n + min(n/4, 1<<20) + 512 }

// stream gives an object's bytes as they are inflated, and checks them at the end.
type stream struct {
	z    *inflate.Reader
	left int64
	sum  hash.Hash32
}

func newStream(src io.Reader, size int64) (*stream, error) {
	var head [2]byte
	if _, err := io.ReadFull(src, head[:]); err != nil {
		return nil, inflateError(err)
	}
	if err := zlibHeader(head[:]); err != nil {
		return nil, err
	}
	return &stream{inflate.NewReader(src), size, adler32.New()}, nil
}

// Close lets what the stream holds be used again.
func (s *stream) Close() error { return s.z.Close() }

func (s *stream) Read(b []byte) (int, error) {
	if s.left == 0 {
		return 0, s.finish()
	}
	n, err := s.z.Read(b[:min(int64(len(b)), s.left)])
	_, _ = s.sum.Write(b[:n])
	s.left -= int64(n)
	if err != nil && s.left > 0 {
		return n, inflateError(err)
	}
	return n, nil
}

// finish asks that the stream ends here, with the checksum. io.EOF: so it does.
func (s *stream) finish() error {
	var one [1]byte
	switch n, err := s.z.Read(one[:]); {
	case n > 0:
		return errSize
	case err != io.EOF:
		return inflateError(err)
	}
	tail, err := s.z.Tail(4)
	if err != nil || binary.BigEndian.Uint32(tail) != s.sum.Sum32() {
		return errAdler
	}
	s.left = -1
	return io.EOF
}
