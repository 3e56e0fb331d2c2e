package scanners

import (
	"bytes"
	"errors"
	"io"
	"slices"
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
	if cap(c.Data) > chunkSize+2*k.overlap {
		return // one that grew
	}
	b := c.Data[:0]
	k.free.Put(&b)
}

// maxChunk is how long a chunk may become so that a run of encoded text is not cut.
const maxChunk = 4 << 20

// longRun is how far a run goes on after a chunk's own part where the chunk grows.
const longRun = 8 << 10

// inRun reports whether the own part of a chunk would end in the middle of a long run of
// base64 or hex digits, in one line or in lines as encoders wrap them.
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

// Encoders wrap lines at 60 to 76 digits; a line break of two bytes comes on top.
const minWrapped, maxWrapped = 60, 130

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
