package inflate

import (
	"encoding/binary"
	"errors"
	"io"
)

var errZlib = errors.New("not a zlib stream")

// IsZlib recognises a zlib stream by its first two bytes (RFC 1950): deflate, a header that is
// a multiple of 31, no preset dictionary.
func IsZlib(b []byte) bool {
	return len(b) >= 2 && b[0]&15 == 8 && b[0]>>4 <= 7 && (uint(b[0])<<8|uint(b[1]))%31 == 0 && b[1]&32 == 0
}

// Zlib decodes a zlib stream and verifies its checksum.
type Zlib struct {
	held
	sum uint32
	err error

	ended bool
}

// NewZlib reads the header of the zlib stream at the beginning of src. It reads ahead of the
// stream's end. The caller must close the Zlib.
func NewZlib(src io.Reader) (*Zlib, error) {
	z := &Zlib{held: held{open(src)}, sum: 1}
	var head [2]byte
	if err := z.d.bytes(head[:]); err != nil {
		z.Close()
		return nil, err
	}
	if !IsZlib(head[:]) {
		z.Close()
		return nil, errZlib
	}
	return z, nil
}

// Trailing returns the data after the stream, or nil if the stream has not ended. It is valid
// after Read has returned io.EOF and until Close.
func (z *Zlib) Trailing() io.Reader {
	if z.err != io.EOF || z.d == nil {
		return nil
	}
	return z.d.rest(nil)
}

// Ended reports whether the compressed data was read to its end; the checksum after it can
// still be wrong.
func (z *Zlib) Ended() bool { return z.ended }

func (z *Zlib) Read(p []byte) (int, error) {
	if z.d == nil {
		return 0, errClosed
	}
	if z.err != nil {
		return 0, z.err
	}
	n, err := z.d.read(p)
	z.sum = Adler32(z.sum, p[:n])
	if n > 0 {
		return n, nil
	}
	if err == io.EOF {
		z.ended = true
		var tail [4]byte
		if e := z.d.bytes(tail[:]); e != nil {
			err = e
		} else if binary.BigEndian.Uint32(tail[:]) != z.sum {
			err = ErrChecksum
		}
	}
	z.err = err
	return 0, err
}
