package scanners

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"sync"
)

// chunkSize is the size in bytes of a chunk's own part. Larger chunks amortise the overlap;
// smaller ones distribute better over workers.
const chunkSize = 512 << 10

// Chunker cuts streams into overlapping chunks. It is safe for concurrent use.
type Chunker struct {
	overlap int
	free    sync.Pool
}

// NewChunker returns a Chunker for a detector that needs overlap bytes of context.
func NewChunker(overlap int) *Chunker { return &Chunker{overlap: overlap} }

func (k *Chunker) buffer() []byte {
	if b, ok := k.free.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, chunkSize+2*k.overlap)
}

// Free releases a chunk's buffer for reuse.
func (k *Chunker) Free(c Chunk) {
	if cap(c.Data) > chunkSize+2*k.overlap {
		return // grown beyond the standard size
	}
	b := c.Data[:0]
	k.free.Put(&b)
}

// maxChunk is the size in bytes up to which a chunk can grow so as not to cut a run of encoded
// text.
const maxChunk = 4 << 20

// longRun is the number of bytes that a run must continue after a chunk's own part for the
// chunk to grow.
const longRun = 8 << 10

// inRun reports whether the own part of a chunk would end within a long run of base64 or hex
// digits, on one line or on lines wrapped as encoders do.
func (k *Chunker) inRun(b []byte) bool {
	at := len(b) - k.overlap
	if k.overlap <= longRun || at < 0 {
		return false
	}
	last := -1
	width := 0
	for i, c := range b[at : at+longRun] {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '+', c == '/', c == '-', c == '_':
		case c == '\r' && b[at+i+1] == '\n':
		case c == '\n':
			if last >= 0 && width > 0 && i-last != width || i-last > maxWrapped {
				return false
			}
			if last >= 0 {
				width = i - last
			}
			if last = i; width > 0 && width < minWrapped {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// Encoders wrap lines at 60 to 76 digits; the limit leaves room for longer lines and CRLF.
const minWrapped, maxWrapped = 60, 130

// Each calls f for the chunks of r in order. All chunks except the last have overlap bytes
// after their own part; all except the first have overlap bytes before it. Each chunk has its
// own buffer, which f, or a later owner, can Free. Each returns the number of bytes read.
func (k *Chunker) Each(r io.Reader, a *Artifact, f func(Chunk) error) (int64, error) {
	buf := k.buffer()
	c := Chunk{Artifact: a, Line: 1, Column: 1}
	var total int64
	for {
		n, err := fill(r, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		total += int64(n)
		for err == nil && len(buf) < maxChunk && k.inRun(buf) {
			buf = slices.Grow(buf, chunkSize)
			n, err = fill(r, buf[len(buf):len(buf)+chunkSize])
			buf = buf[:len(buf)+n]
			total += int64(n)
		}
		c.Data, c.To = buf, len(buf)
		if c.Offset == 0 {
			c.Binary = binary(buf)
		}
		if errors.Is(err, io.EOF) {
			// A chunk ends where a hole begins; the next chunk begins after the hole.
			if n, ok := hole(r); ok {
				rest := c
				rest.advance(buf)
				rest.Offset, rest.Column = rest.Offset+n, rest.Column+int(n)
				rest.From = 0
				rest.Binary = c.Binary || c.Offset == 0 && len(buf) < 8000
				if err := f(c); err != nil {
					return total, err
				}
				buf, c = k.buffer(), rest
				continue
			}
		}
		if err != nil {
			// Scan what was read before the stream failed.
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return total, errors.Join(err, f(c))
		}
		c.To = len(buf) - k.overlap
		drop := c.To - k.overlap
		rest := c
		rest.advance(buf[:drop])
		rest.From = k.overlap
		buf = append(k.buffer(), buf[drop:]...)
		if err := f(c); err != nil {
			return total, err
		}
		c = rest
	}
}

// binary reports whether a file with this beginning is binary: like git, it looks for a NUL in
// the first 8,000 bytes.
func binary(begin []byte) bool { return bytes.IndexByte(begin[:min(len(begin), 8000)], 0) >= 0 }

// advance moves the position of Data[0] past b.
func (c *Chunk) advance(b []byte) {
	c.Offset += int64(len(b))
	if n := bytes.Count(b, []byte{'\n'}); n > 0 {
		last := bytes.LastIndexByte(b, '\n')
		c.Line += n
		c.Column, c.Excess = len(b)-last, excess(b[last+1:])
	} else {
		c.Column += len(b)
		c.Excess += excess(b)
	}
}

// fill reads until b is full. It returns io.EOF if the stream ends before.
func fill(r io.Reader, b []byte) (int, error) {
	n := 0
	for n < len(b) {
		m, err := r.Read(b[n:])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
