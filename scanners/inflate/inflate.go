// Package inflate decodes deflate streams, bare (RFC 1951), of zlib (RFC 1950) and of
// gzip (RFC 1952).
//
// A layer's scan and a pack's walk are bound by it, more than by anything else that
// quell does to bytes: this decoder takes a third to a half of the time of the library
// that stands for everything else that is packed (bench: BenchmarkReader). What comes
// out is compared with the stream's checksum, and with what the library makes of the
// same bytes by FuzzDecode and FuzzReader.
package inflate

import (
	"encoding/binary"
	"errors"
	"io"
)

// ErrDamaged is the error of bytes that no deflate stream has at their place.
var ErrDamaged = errors.New("damaged deflate stream")

// ErrSize is Decode's error of a stream that gives more or fewer bytes than are asked
// for: one that is cut short may as well.
var ErrSize = errors.New("its size is not what its header says")

const (
	// What fast needs before it: of the input, for the reads of one round; behind it,
	// for the longest match, the words that a copy takes too many, and literals.
	fastIn  = 32
	fastOut = 258 + 32 + 10
	// No more than so many bytes are made without a look at the scheduler: assembly is
	// not preempted.
	fastMost = 256 << 10
)

// state is where a decoder is in a stream. Between two symbols all of it stands here.
type state struct {
	src  []byte
	pos  int
	buf  uint64 // the next bits, the first one lowest
	n    uint   // how many of them are there
	over int    // bytes of zeros that stand for what is behind the end
	last bool   // src ends where the stream's bytes do
	dst  []byte
	o    int // how many of dst are made

	portable bool // not in assembly
}

// fill makes at least 56 bits ready, or says that more of the stream is needed.
func (s *state) fill() bool {
	if s.pos+8 <= len(s.src) {
		s.buf |= binary.LittleEndian.Uint64(s.src[s.pos:]) << (s.n & 63)
		s.pos += int((63 - s.n) >> 3)
		s.n |= 56
		return true
	}
	if !s.last {
		return false
	}
	for s.n < 56 {
		if s.pos < len(s.src) {
			s.buf |= uint64(s.src[s.pos]) << s.n
			s.pos++
		} else {
			s.over++
		}
		s.n += 8
	}
	return true
}

func (s *state) take(n uint) int {
	v := int(s.buf & (1<<(n&63) - 1))
	s.buf >>= n & 63
	s.n -= n
	return v
}

// cut says that bits from behind the end were used.
func (s *state) cut() bool { return s.over > int(s.n>>3) }

// align drops the bits up to the next byte, and gives back the bytes taken ahead.
func (s *state) align() {
	s.pos -= int(s.n>>3) - s.over
	s.buf, s.n, s.over = 0, 0, 0
}

// dynamic reads the codes of a block: at most maxCodes bytes of src.
func (t *tables) dynamic(s *state) error {
	err := t.codes(s)
	if s.cut() {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (t *tables) codes(s *state) error {
	order := [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	s.fill()
	nlit, ndist, npre := s.take(5)+257, s.take(5)+1, s.take(4)+4
	if nlit > 286 || ndist > 30 {
		return ErrDamaged
	}
	var pre [19]uint8
	for i := range npre {
		if s.n < 3 {
			s.fill()
		}
		pre[order[i]] = uint8(s.take(3))
	}
	if err := build(t.pre[:], pre[:], preBits, preSymbols); err != nil {
		return err
	}
	lens := t.lens[:nlit+ndist]
	for i := 0; i < len(lens); {
		if s.n < 14 {
			s.fill()
		}
		e := t.pre[s.buf&(1<<preBits-1)]
		if e&isNone != 0 {
			return ErrDamaged
		}
		s.take(uint(e & 15))
		c := int(e >> 16)
		if c < 16 {
			lens[i] = uint8(c)
			i++
			continue
		}
		var v uint8
		n := 0
		switch c {
		case 16:
			if i == 0 {
				return ErrDamaged
			}
			v, n = lens[i-1], 3+s.take(2)
		case 17:
			n = 3 + s.take(3)
		default:
			n = 11 + s.take(7)
		}
		if n > len(lens)-i {
			return ErrDamaged
		}
		for range n {
			lens[i] = v
			i++
		}
	}
	if lens[256] == 0 {
		return ErrDamaged // the block could not end
	}
	if err := build(t.lit[:], lens[:nlit], litBits, litSymbols); err != nil {
		return err
	}
	return build(t.dist[:], lens[nlit:], distBits, distSymbols)
}

// maxCodes is the most bytes that the head of a block takes: its kind, the three
// counts, nineteen lengths and 316 codes of seven bits with seven more.
const maxCodes = (3+14+19*3+316*14)/8 + 1

// stop is why a block's decoding stops.
type stop int

const (
	stopEnd  stop = iota // the block's end
	stopIn               // more of the stream is needed
	stopOut              // dst is full up to where it may be
	stopSize             // a match goes on behind that
)

// block decodes symbols until the block ends, dst[:most] is full or src is used up.
// What is behind most, up to dst's end, it writes over.
func (t *tables) block(s *state, most int) (stop, error) {
	for {
		for s.pos+fastIn <= len(s.src) && s.o+fastOut <= len(s.dst) && s.o < most {
			why := t.fast(s, len(s.src)-fastIn, min(most-1, len(s.dst)-fastOut, s.o+fastMost))
			if why == fastDamaged {
				return 0, ErrDamaged
			}
			if why == fastOther {
				break
			}
		}
		if s.o > most {
			return stopSize, nil
		}
		if s.n < 48 && !s.fill() {
			return stopIn, nil
		}
		buf, n := s.buf, s.n
		e := t.lit[s.buf&(1<<litBits-1)]
		if e&(isOther|isEnd|isNone) == isOther {
			s.take(uint(e & 31))
			e = t.lit[int(e>>16)+int(s.buf&(1<<(e>>8&15)-1))]
		}
		if e&isOther != 0 {
			if e&isNone != 0 {
				return 0, s.damaged()
			}
			s.take(uint(e & 31))
			if s.cut() {
				return 0, io.ErrUnexpectedEOF
			}
			return stopEnd, nil
		}
		if s.o >= most {
			s.buf, s.n = buf, n
			return stopOut, nil
		}
		if e&isLiteral != 0 {
			s.take(uint(e & 31))
			if s.cut() {
				return 0, io.ErrUnexpectedEOF
			}
			s.dst[s.o] = byte(e >> 16)
			s.o++
			continue
		}
		length := int(e>>16) + s.extra(e)
		e = t.dist[s.buf&(1<<distBits-1)]
		if e&(isOther|isNone) == isOther {
			s.take(uint(e & 31))
			e = t.dist[int(e>>16)+int(s.buf&(1<<(e>>8&15)-1))]
		}
		if e&isNone != 0 {
			return 0, s.damaged()
		}
		dist := int(e>>16) + s.extra(e)
		if s.cut() {
			return 0, io.ErrUnexpectedEOF
		}
		if dist > s.o {
			return 0, ErrDamaged
		}
		if length > most-s.o {
			s.buf, s.n = buf, n
			return stopSize, nil
		}
		from := s.dst[s.o-dist:]
		to := s.dst[s.o : s.o+length]
		if dist >= length {
			copy(to, from)
		} else {
			for i := range to {
				to[i] = from[i]
			}
		}
		s.o += length
	}
}

// damaged is the error of a code that stands for nothing, or for what was cut off.
func (s *state) damaged() error {
	if s.over > 0 {
		return io.ErrUnexpectedEOF
	}
	return ErrDamaged
}

// extra takes an entry's bits, and gives those of them that are not its code's.
func (s *state) extra(e entry) int {
	n, of := uint(e&31), uint(e>>8&15)
	return s.take(n) >> of
}

// Decoder decodes streams from slice to slice. The zero value is ready for use.
type Decoder struct{ t tables }

// Decode decodes the stream that src begins with to exactly len(dst) bytes, and gives
// how many of src it is. dst's bytes between its length and its capacity are written
// over, and make it faster if there are 300 of them.
func (d *Decoder) Decode(dst, src []byte) (int, error) {
	return d.decode(dst, &state{src: src, last: true})
}

func (d *Decoder) decode(dst []byte, s *state) (int, error) {
	s.dst = dst[:cap(dst)]
	for final := false; !final; {
		s.fill()
		final = s.take(1) == 1
		t := &d.t
		switch s.take(2) {
		case 0:
			s.take(s.n & 7)
			if s.cut() {
				return 0, io.ErrUnexpectedEOF
			}
			s.align()
			n, err := s.stored()
			if err != nil {
				return 0, err
			}
			if n > len(s.src)-s.pos {
				return 0, io.ErrUnexpectedEOF
			}
			if n > len(dst)-s.o {
				return 0, ErrSize
			}
			copy(dst[s.o:], s.src[s.pos:s.pos+n])
			s.o += n
			s.pos += n
			continue
		case 1:
			t = fixed()
		case 2:
			if err := t.dynamic(s); err != nil {
				return 0, err
			}
		default:
			return 0, ErrDamaged
		}
		why, err := t.block(s, len(dst))
		if err != nil {
			return 0, err
		}
		if s.cut() {
			return 0, io.ErrUnexpectedEOF
		}
		if why != stopEnd {
			return 0, ErrSize
		}
	}
	if s.o != len(dst) {
		return 0, ErrSize
	}
	s.align()
	return s.pos, nil
}

// stored reads how long a block of bytes as they are is.
func (s *state) stored() (int, error) {
	if s.pos+4 > len(s.src) {
		return 0, io.ErrUnexpectedEOF
	}
	n := int(binary.LittleEndian.Uint16(s.src[s.pos:]))
	if n != int(^binary.LittleEndian.Uint16(s.src[s.pos+2:])) {
		return 0, ErrDamaged
	}
	s.pos += 4
	return n, nil
}
