package inflate

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

var (
	errGzip     = errors.New("not a gzip stream")
	errTrailing = errors.New("what stands behind its end is no gzip stream")
)

// ErrChecksum is the error of a stream whose content does not match its checksum.
var ErrChecksum = errors.New("its checksum is wrong")

// maxWords is the maximum size, in bytes, of a name, a comment or an extra field that is read.
const maxWords = 64 << 10

// Gzip decodes the consecutive streams of a gzip file and verifies the checksum and size of
// each. Zeros after the last stream are padding, as for gzip(1); other bytes there are an
// error.
type Gzip struct {
	// From the first stream's header, converted to UTF-8.
	Name, Comment string
	Extra         []byte

	held
	sum  uint32
	size uint32
	err  error
	lead []byte // data after the last stream

	later bytes.Buffer // names, comments and extra fields of the other streams
	last  string       // the last line of later
	lost  bool         // later is incomplete
}

// Later returns the names, comments and extra fields of all streams except the first, one per
// line. all is false if they exceed the 1 MiB that is kept.
func (z *Gzip) Later() (text []byte, all bool) { return z.later.Bytes(), !z.lost }

// maxLater is the maximum size, in bytes, of the names kept from the other streams.
const maxLater = 1 << 20

func (z *Gzip) keep(words []byte) {
	if len(words) == 0 || string(words) == z.last {
		return
	}
	if z.later.Len()+len(words) > maxLater {
		z.lost = true
		return
	}
	z.last = string(words)
	z.later.Write(words)
	z.later.WriteByte('\n')
}

// Trailing returns the data after the last stream if Read has reported it, and nil otherwise or
// after Close.
func (z *Gzip) Trailing() io.Reader {
	if z.err != errTrailing || z.d == nil {
		return nil
	}
	return z.d.rest(z.lead)
}

// NewGzip reads the header of a gzip file. The caller must close the Gzip.
func NewGzip(src io.Reader) (*Gzip, error) {
	z := &Gzip{held: held{open(src)}}
	if err := z.header(true); err != nil {
		z.Close()
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return z, nil
}

func (z *Gzip) Read(p []byte) (int, error) {
	if z.d == nil {
		return 0, errClosed
	}
	for {
		if z.err != nil {
			return 0, z.err
		}
		n, err := z.d.read(p)
		z.sum = crc32.Update(z.sum, crc32.IEEETable, p[:n])
		z.size += uint32(n)
		if err == nil || n > 0 {
			return n, nil
		}
		if err == io.EOF {
			err = z.next()
		}
		z.err = err
	}
}

// next verifies the checksum and size of a stream, and begins the next one.
func (z *Gzip) next() error {
	var tail [8]byte
	if err := z.d.bytes(tail[:]); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(tail[:]) != z.sum || binary.LittleEndian.Uint32(tail[4:]) != z.size {
		return ErrChecksum
	}
	if err := z.header(false); err != nil {
		return err
	}
	z.sum, z.size = 0, 0
	z.d.begin()
	z.d.err = nil
	return nil
}

// The flags of a header (RFC 1952, 2.3.1).
const (
	flagSum = 1 << (iota + 1)
	flagExtra
	flagName
	flagComment
	flagReserved = 0xe0
)

// header reads a stream's header. It returns io.EOF at the end of the file.
func (z *Gzip) header(first bool) error {
	var head [10]byte
	b, err := z.d.byte()
	for !first && b == 0 && err == nil {
		if b, err = z.d.byte(); err == nil && b != 0 {
			z.lead = []byte{b}
			return errTrailing
		}
	}
	if err != nil {
		return err
	}
	if head[0] = b; !first && b != 0x1f {
		z.lead = head[:1]
		return errTrailing
	}
	if err := z.d.bytes(head[1:]); err != nil {
		return err
	}
	if head[0] != 0x1f || head[1] != 0x8b || head[2] != 8 || head[3]&flagReserved != 0 {
		if !first {
			z.lead = head[:]
			return errTrailing
		}
		return errGzip
	}
	sum := crc32.ChecksumIEEE(head[:])
	flags := head[3]
	if flags&flagExtra != 0 {
		var n [2]byte
		if err := z.d.bytes(n[:]); err != nil {
			return err
		}
		extra := make([]byte, binary.LittleEndian.Uint16(n[:]))
		if err := z.d.bytes(extra); err != nil {
			return err
		}
		sum = crc32.Update(crc32.Update(sum, crc32.IEEETable, n[:]), crc32.IEEETable, extra)
		if first {
			z.Extra = extra
		} else {
			z.keep(extra)
		}
	}
	for _, f := range []struct {
		flag byte
		to   *string
	}{{flagName, &z.Name}, {flagComment, &z.Comment}} {
		if flags&f.flag == 0 {
			continue
		}
		words, err := z.words()
		if err != nil {
			return err
		}
		sum = crc32.Update(sum, crc32.IEEETable, append(words, 0))
		if first {
			*f.to = latin1(words)
		} else if w := latin1(words); w != z.Name {
			z.keep([]byte(w))
		}
	}
	if flags&flagSum != 0 {
		var n [2]byte
		if err := z.d.bytes(n[:]); err != nil {
			return err
		}
		if binary.LittleEndian.Uint16(n[:]) != uint16(sum) {
			return ErrChecksum
		}
	}
	return nil
}

// words reads bytes up to a zero.
func (z *Gzip) words() ([]byte, error) {
	var b []byte
	for len(b) < maxWords {
		var c [1]byte
		if err := z.d.bytes(c[:]); err != nil {
			return nil, err
		}
		if c[0] == 0 {
			return b, nil
		}
		b = append(b, c[0])
	}
	return nil, errGzip
}

// latin1 decodes ISO 8859-1, the encoding of a header's text (RFC 1952, 2.3.1).
func latin1(b []byte) string {
	r := make([]rune, len(b))
	for i, c := range b {
		r[i] = rune(c)
	}
	return string(r)
}
