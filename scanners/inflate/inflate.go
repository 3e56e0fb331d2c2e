// Package inflate decodes deflate streams: bare (RFC 1951), in zlib (RFC 1950) and in gzip (RFC
// 1952).
//
// Decoding takes most of the time of scanning a layer or walking a pack. This decoder takes a
// third to a half of the time of the library that decodes everything else (bench:
// BenchmarkReader). The output is verified with the stream's checksum; FuzzDecode and
// FuzzReader compare it with the library's output.
package inflate

import (
	"encoding/binary"
	"errors"
	"io"
)

// ErrDamaged is the error of bytes that are not valid in a deflate stream.
var ErrDamaged = errors.New("damaged deflate stream")

// ErrSize is the error of Decode if the stream's output is not exactly as long as dst. A
// truncated stream can cause it too.
var ErrSize = errors.New("its size is not what its header says")

const (
	// The slack that fast needs. fastIn: input bytes for the reads of one round. fastOut:
	// output bytes for the longest match, the surplus of a copy in words, and literals.
	fastIn  = 32
	fastOut = 258 + 32 + 10
	// At most so many bytes are decoded between returns to Go: assembly is not preempted.
	fastMost = 256 << 10
)

// state is a decoder's position in a stream. Between two symbols it is complete.
type state struct {
	src  []byte
	pos  int
	buf  uint64 // the next bits, the first one lowest
	n    uint   // number of bits in buf
	over int    // zero bytes in buf after the end of src
	last bool   // src contains the end of the stream
	dst  []byte
	o    int // bytes of dst that are decoded

	portable bool // don't use assembly
}

// fill provides at least 56 bits. It reports false if it needs more of the stream.
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

// cut reports whether bits after the end of the input were used.
func (s *state) cut() bool { return s.over > int(s.n>>3) }

// align drops the bits up to the next byte boundary, and returns the bytes read ahead.
func (s *state) align() {
	s.pos -= int(s.n>>3) - s.over
	s.buf, s.n, s.over = 0, 0, 0
}

// dynamic reads the code tables of a block: at most maxCodes bytes of src.
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
		return ErrDamaged // without an end-of-block code
	}
	if err := build(t.lit[:], lens[:nlit], litBits, litSymbols); err != nil {
		return err
	}
	return build(t.dist[:], lens[nlit:], distBits, distSymbols)
}

// maxCodes is the maximum size, in bytes, of a dynamic block's header: its kind, the three
// counts, nineteen lengths, and 316 codes of seven bits plus seven extra bits.
const maxCodes = (3+14+19*3+316*14)/8 + 1

// stop is the reason for which block stops.
type stop int

const (
	stopEnd  stop = iota // end of the block
	stopIn               // needs more input
	stopOut              // dst is full up to most
	stopSize             // the next match extends beyond most
)

// block decodes symbols until the block ends, dst[:most] is full or src is used up. It can
// overwrite dst[most:].
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

// damaged returns the error of an invalid code, which truncation can cause as well.
func (s *state) damaged() error {
	if s.over > 0 {
		return io.ErrUnexpectedEOF
	}
	return ErrDamaged
}

// extra takes an entry's bits from the input, and returns the extra bits among them.
func (s *state) extra(e entry) int {
	n, of := uint(e&31), uint(e>>8&15)
	return s.take(n) >> of
}

// Decoder decodes streams from slice to slice. The zero value is ready for use.
type Decoder struct{ t tables }

// Decode decodes the stream at the beginning of src to exactly len(dst) bytes. It returns the
// stream's size in bytes. It can overwrite dst[len(dst):cap(dst)], and is faster if that has at
// least 300 bytes. The errors are ErrDamaged, ErrSize and io.ErrUnexpectedEOF.
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

// stored reads the length of a stored block, in bytes.
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
