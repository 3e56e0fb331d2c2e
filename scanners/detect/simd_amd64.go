package detect

import (
	"math/bits"
	"unicode/utf8"

	"golang.org/x/sys/cpu"
)

// haveAVX2 is set where the processor and the operating system support AVX2 (Haswell, Zen and
// later).
var haveAVX2 = cpu.X86.HasAVX2

//go:noescape
func tripleMasks(t *triples, b *byte, blocks int, masks *uint64)

// masks is inGo, with AVX2 where it is available.
func (t *triples) masks(b []byte, masks []uint64) {
	if !haveAVX2 {
		t.inGo(b, masks)
		return
	}
	_ = b[len(masks)*blockSize+1]
	tripleMasks(t, &b[0], len(masks), &masks[0])
}

//go:noescape
func surveyMasks(halves *surveyHalves, b *byte, blocks int, masks *blockMasks)

// surveyHalves are the lookup tables of surveyMasks: sixteen entries for the low half of an
// ASCII byte and sixteen for its high half. A byte has the properties that both entries have.
// For digits, base64 and hex there is a bit for each high half that occurs (the base64 table
// also has the other seamBytes, in the two bits of halves that don't occur); for mayStamp the
// bits of stampBit; for the first bytes of patterns a bit for each pattern, and the same for
// second bytes, where the tables accept a few bytes too many. Then come the first bytes of
// runes that fold, sixteen times each.
type surveyHalves struct {
	digits, hex, stamps, first, second [2][16]byte
	folding                            [4][16]byte
}

var ofHalves = func() (t surveyHalves) {
	set := func(halves *[2][16]byte, c, bits byte) {
		halves[0][c&15] |= bits
		halves[1][c>>4] |= bits
	}
	for c := range byte(128) {
		if base64Class[c] {
			set(&t.digits, c, 1<<(c>>4))
		}
		if hexDigit(c) {
			set(&t.hex, c, 1<<(c>>4))
		}
		if mayStamp[c] {
			// The set of bytes that share a bit must be every combination of their low and high
			// halves, because the two entries don't show which halves belong together.
			set(&t.stamps, c, stampBit(c))
		}
		set(&t.first, c, surveyTables[0][c])
		set(&t.second, c, surveyTables[1][c])
	}
	for c, in := range seamBytes {
		if in && !base64Class[c] {
			bit := byte(1)
			if c>>4 == 0 || c>>4 == 3 {
				bit = 2
			}
			set(&t.digits, byte(c), bit)
		}
	}
	for i := range t.folding {
		for k := range t.folding[i] {
			t.folding[i][k] = string([]rune{longS, kelvin})[i]
		}
	}
	return t
}()

// stampBit is one bit for the digits, and one for each other byte of mayStamp, of which there
// may be at most seven.
func stampBit(c byte) byte {
	bit := byte(1)
	for x := byte(0); x < c && !digit(c); x++ {
		if mayStamp[x] && !digit(x) {
			bit <<= 1
		}
	}
	if !digit(c) {
		bit <<= 1
	}
	return bit
}

// ofNoKind is a byte that no survey records, and that causes no preceding byte to be recorded.
const ofNoKind = 0x7f

// padding follows the end of a text while its last bytes are surveyed.
var padding = func() (t [2*blockSize + 2]byte) {
	for i := range t {
		t[i] = ofNoKind
	}
	return t
}()

// blocks surveys b block by block. It reports false where the processor lacks the instructions.
func (s *survey) blocks(b []byte) bool {
	if !haveAVX2 {
		return false
	}
	s.words = s.words[:0]
	begin := uint64(1)               // the next block begins a line
	var nuls, folding, before uint64 // the NULs of all blocks, and of the block before
	var hex, seams uint64            // of the block before
	var last [len(padding)]byte
	part, n := b, 0
	for i := 0; i < len(b); {
		// The input is within part; two bytes after a block are read.
		if n = min((len(b)-i-2)/blockSize, len(s.masks)); n > 0 {
			part = b[i:]
		} else {
			last = padding
			n = (copy(last[:], b[i:]) + blockSize - 1) / blockSize
			part = last[:]
		}
		surveyMasks(&ofHalves, &part[0], n, &s.masks[0])
		for k := range s.masks[:n] {
			m := &s.masks[k]
			s.words = append(s.words, m.digits)
			nuls |= m.nuls
			if before|m.nuls != 0 {
				s.widesOf(before, m.nuls, i-blockSize)
				// A NUL after another one ends no variable.
				m.patterns &^= m.nuls & (m.nuls<<1 | before>>63)
				before = m.nuls
			}
			folding |= m.folding
			// The byte after the block is checked if it follows a line break.
			x := m.breaks & (m.seams<<1 | seams>>63) & (m.seams>>1 | 1<<63)
			if x>>63 != 0 && !seamBytes[part[k*blockSize+blockSize]] {
				x &^= 1 << 63
			}
			for ; x != 0; x &= x - 1 {
				s.seams = append(s.seams, uint32(i+bits.TrailingZeros64(x)))
			}
			seams = m.seams
			s.breaks = append(s.breaks, m.breaks)
			for x := m.stamps & (m.breaks<<1 | begin); x != 0; x &= x - 1 {
				at := bits.TrailingZeros64(x)
				s.stamps = append(s.stamps, uint32(i+at))
				s.begins |= beginBits[part[k*blockSize+at]]
			}
			for x := m.beyond; x != 0; x &= x - 1 {
				at := k*blockSize + bits.TrailingZeros64(x)
				s.lead(part[at], part[at+1])
			}
			begin = m.breaks >> 63
			// At the sixth digit of an address, as addressed defines it, if no digit precedes
			// the first.
			row := m.hex & (m.hex<<3 | hex>>61) & (m.hex<<4 | hex>>60) & (m.hex<<5 | hex>>59) &^ (m.hex<<6 | hex>>58)
			for hex = m.hex; row != 0; row &= row - 1 {
				s.row(b, i+bits.TrailingZeros64(row)-5)
			}
			for x := m.patterns | m.controls; x != 0; x &= x - 1 {
				at := bits.TrailingZeros64(x)
				w := part[k*blockSize+at:]
				if c := w[0]; c < utf8.RuneSelf && surveyTables[0][c] != 0 {
					s.note(i+at, surveyTables[0][c]&surveyTables[1][w[1]&0x7f]&surveyTables[2][w[2]&0x7f])
				} else {
					s.marks = append(s.marks, uint32(i+at))
				}
			}
			i += blockSize
		}
	}
	s.widesOf(before, 0, (len(b)-1)/blockSize*blockSize)
	s.nuls, s.unfolded = nuls != 0, folding == 0
	return true
}

// widesOf records the positions of a block at i where UTF-16 may be, given its NULs and those
// of the next block.
func (s *survey) widesOf(nuls, next uint64, i int) {
	for x := nuls &^ (nuls>>1 | next<<63) & (nuls>>2 | next<<62); x != 0; x &= x - 1 {
		s.wides = append(s.wides, uint32(i+bits.TrailingZeros64(x)))
	}
}
