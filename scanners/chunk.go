package scanners

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// chunkSize is a chunk's own part. Larger chunks amortise the overlap, smaller
// ones spread better over workers.
const chunkSize = 512 << 10

// Chunker cuts streams into overlapping chunks. It is safe for concurrent use.
type Chunker struct {
	overlap int
	free    sync.Pool
}

// NewChunker makes a Chunker for a detector that needs overlap bytes of
// context.
func NewChunker(overlap int) *Chunker { return &Chunker{overlap: overlap} }

func (k *Chunker) buffer() []byte {
	if b, ok := k.free.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, chunkSize+2*k.overlap)
}

// Free gives a chunk's buffer back, to be used again.
func (k *Chunker) Free(c Chunk) {
	b := c.Data[:0]
	k.free.Put(&b)
}

// Each calls f for the chunks of r in order. All chunks but the last have
// overlap bytes after their own part, all but the first have overlap bytes
// before it. A chunk's buffer is its own: f, or who f gives it to, may Free it.
func (k *Chunker) Each(r io.Reader, a *Artifact, f func(Chunk) error) (int64, error) {
	buf := k.buffer()
	c := Chunk{Artifact: a, Line: 1, Column: 1}
	var total int64
	for {
		n, err := fill(r, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		total += int64(n)
		c.Data, c.To = buf, len(buf)
		if c.Offset == 0 {
			c.Binary = binary(buf)
		}
		if errors.Is(err, io.EOF) {
			// A chunk ends where a hole begins, and the next one begins behind it.
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
			// What was read before a stream broke is still looked at.
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

// binary reports whether a file that begins so is no text: by a NUL in its first 8,000 bytes,
// as git tells it.
func binary(begin []byte) bool { return bytes.IndexByte(begin[:min(len(begin), 8000)], 0) >= 0 }

// advance moves the place of Data[0] past b.
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

// fill reads until b is full; io.EOF says that the stream ended.
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
