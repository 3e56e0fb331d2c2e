package scanners

import (
	"bytes"
	"errors"
	"io"
)

// chunkSize is a chunk's own part. Larger chunks amortise the overlap, smaller
// ones spread better over workers.
const chunkSize = 512 << 10

// Chunker cuts a stream into overlapping chunks. One Chunker is used by one
// goroutine; its buffer is reused from stream to stream.
type Chunker struct {
	overlap int
	buf     []byte
}

// NewChunker makes a Chunker for a detector that needs overlap bytes of
// context.
func NewChunker(overlap int) *Chunker {
	return &Chunker{overlap: overlap, buf: make([]byte, 0, chunkSize+2*overlap)}
}

// Each calls f for the chunks of r in order. All chunks but the last have
// overlap bytes after their own part, all but the first have overlap bytes
// before it.
func (k *Chunker) Each(r io.Reader, a *Artifact, f func(Chunk) error) (int64, error) {
	buf := k.buf[:0]
	c := Chunk{Artifact: a, Line: 1, Column: 1}
	var total int64
	for {
		n, err := fill(r, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		total += int64(n)
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			// What was read before the stream broke is still looked at.
			c.Data, c.To = buf, len(buf)
			return total, errors.Join(err, f(c))
		}
		c.Data, c.To = buf, len(buf)
		if !last {
			c.To = len(buf) - k.overlap
		}
		if c.To > c.From || last {
			if err := f(c); err != nil {
				return total, err
			}
		}
		if last {
			return total, nil
		}
		drop := c.To - k.overlap
		c.advance(buf[:drop])
		buf = buf[:copy(buf, buf[drop:])]
		c.From = k.overlap
	}
}

// advance moves the place of Data[0] past b.
func (c *Chunk) advance(b []byte) {
	c.Offset += int64(len(b))
	if n := bytes.Count(b, []byte{'\n'}); n > 0 {
		c.Line += n
		c.Column = len(b) - bytes.LastIndexByte(b, '\n')
	} else {
		c.Column += len(b)
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
