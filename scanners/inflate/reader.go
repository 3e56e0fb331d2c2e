package inflate

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"sync"
)

const (
	windowSize = 32 << 10 // maximum distance of a match (RFC 1951, 2)
	inSize     = 32 << 10
	outSize    = windowSize + 64<<10 + fastOut
)

var errClosed = errors.New("inflate: read after Close")

// Reader decodes a stream. It reads ahead of the stream's end in its source. It returns all
// bytes decoded before an error, and then the error.
type Reader struct{ held }

// held is the part of a reader that is released by Close.
type held struct{ d *streamer }

// streamer is the reusable part of a Reader.
type streamer struct {
	t     tables
	s     state // dst[:o] contains the window
	at    *tables
	mode  mode
	left  int  // remaining bytes of a stored block
	last  bool // this is the last block
	full  bool // out has no room for the next symbol
	r     int  // bytes of dst[:o] that were returned
	src   io.Reader
	err   error
	later error // error of src, returned after all preceding data
	taken int64 // bytes read from src

	in  [inSize]byte
	out [outSize]byte
}

// mode is a streamer's position in a stream.
type mode int

const (
	atHead mode = iota // before a block
	inStored
	inBlock
	atEnd
)

// streamers are those that no Reader uses.
var streamers = sync.Pool{New: func() any { return &streamer{} }}

func open(src io.Reader) *streamer {
	d := streamers.Get().(*streamer)
	d.src, d.err, d.later, d.taken = src, nil, nil, 0
	d.s = state{src: d.in[:0], dst: d.out[:]}
	d.begin()
	return d
}

// begin starts a stream at the current input position.
func (d *streamer) begin() {
	d.mode, d.last, d.full, d.left = atHead, false, false, 0
	d.s.o, d.r = 0, 0
}

// NewReader decodes the deflate stream at the beginning of src.
func NewReader(src io.Reader) *Reader { return &Reader{held{open(src)}} }

// Close releases the decoder for reuse. It does not close the source.
func (h *held) Close() error {
	if d := h.d; d != nil {
		h.d = nil
		d.src, d.at = nil, nil
		streamers.Put(d)
	}
	return nil
}

// Offset returns the number of source bytes consumed, checksum included. It is valid after Read
// has returned io.EOF and until Close.
func (h *held) Offset() int64 {
	if h.d == nil {
		return 0
	}
	return h.d.taken - int64(len(h.d.s.src)-h.d.s.pos)
}

// Trailing returns the data after the stream. It is valid after Read has returned io.EOF and
// until Close.
func (z *Reader) Trailing() io.Reader {
	if z.d == nil {
		return nil
	}
	return z.d.rest(nil)
}

func (z *Reader) Read(p []byte) (int, error) {
	if z.d == nil {
		return 0, errClosed
	}
	return z.d.read(p)
}

func (d *streamer) read(p []byte) (int, error) {
	for d.r == d.s.o {
		if d.err != nil {
			return 0, d.err
		}
		if len(p) == 0 {
			return 0, nil
		}
		if d.err = d.step(); d.err == io.ErrUnexpectedEOF && d.later != nil {
			d.err = d.later
		}
	}
	n := copy(p, d.out[d.r:d.s.o])
	d.r += n
	return n, nil
}

// step decodes further after all decoded bytes were returned.
func (d *streamer) step() error {
	const most = outSize - fastOut
	s := &d.s
	if d.full || s.o >= most {
		copy(d.out[:windowSize], d.out[s.o-windowSize:s.o])
		s.o, d.r, d.full = windowSize, windowSize, false
	}
	switch d.mode {
	case atHead:
		return d.head()
	case inStored:
		if s.pos == len(s.src) {
			if s.last {
				return io.ErrUnexpectedEOF
			}
			d.more()
			return nil
		}
		n := copy(s.dst[s.o:min(most, s.o+d.left)], s.src[s.pos:])
		s.o += n
		s.pos += n
		if d.left -= n; d.left == 0 {
			d.ended()
		}
		return nil
	case inBlock:
		why, err := d.at.block(s, most)
		switch {
		case err != nil:
			return err
		case why == stopEnd:
			d.ended()
		case why == stopIn:
			d.more()
		default:
			d.full = true
		}
		return nil
	}
	return io.EOF
}

// head reads a block's header.
func (d *streamer) head() error {
	s := &d.s
	for !s.last && len(s.src)-s.pos < maxCodes+8 {
		d.more()
	}
	s.fill()
	d.last = s.take(1) == 1
	kind := s.take(2)
	if s.cut() {
		return io.ErrUnexpectedEOF
	}
	switch kind {
	case 0:
		s.take(s.n & 7)
		s.align()
		n, err := s.stored()
		if err != nil {
			return err
		}
		d.mode, d.left = inStored, n
		if n == 0 {
			d.ended()
		}
	case 1:
		d.mode, d.at = inBlock, fixed()
	case 2:
		if err := d.t.dynamic(s); err != nil {
			return err
		}
		d.mode, d.at = inBlock, &d.t
	default:
		return ErrDamaged
	}
	return nil
}

// ended finishes a block.
func (d *streamer) ended() {
	d.mode = atHead
	if d.last {
		d.mode = atEnd
		d.s.align()
	}
}

// more reads from the source and appends to the unread input, including the bytes that align
// can return.
func (d *streamer) more() {
	s := &d.s
	ahead := int(s.n >> 3)
	n := copy(d.in[:], s.src[s.pos-ahead:])
	s.src, s.pos = d.in[:n], ahead
	for range 100 {
		k, err := d.src.Read(d.in[n:])
		s.src = d.in[:n+k]
		d.taken += int64(k)
		if err != nil {
			s.last = true
			if err != io.EOF {
				d.later = err
			}
		}
		if err != nil || k > 0 {
			return
		}
	}
	s.last, d.later = true, io.ErrNoProgress
}

// rest returns lead, followed by the data after a stream that was read to its end.
func (d *streamer) rest(lead []byte) io.Reader {
	return io.MultiReader(bytes.NewReader(lead), bytes.NewReader(d.s.src[d.s.pos:]), d.src)
}

// byte returns the next input byte, between streams.
func (d *streamer) byte() (byte, error) {
	s := &d.s
	for s.pos == len(s.src) {
		if s.last {
			return 0, cmp.Or(d.later, io.EOF)
		}
		d.more()
	}
	s.pos++
	return s.src[s.pos-1], nil
}

// bytes fills b from the input, between streams.
func (d *streamer) bytes(b []byte) error {
	for i := range b {
		c, err := d.byte()
		if err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		b[i] = c
	}
	return nil
}
