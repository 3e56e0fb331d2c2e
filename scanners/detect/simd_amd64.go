package detect

import (
	"math/bits"
	"unicode/utf8"

	"golang.org/x/sys/cpu"
)

// haveAVX2 is set where the processor, and the system, has it (Haswell, Zen and later).
var haveAVX2 = cpu.X86.HasAVX2

//go:noescape
func tripleMasks(t *triples, b *byte, blocks int, masks *uint64)

// masks is inGo, with AVX2 where that is.
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

// surveyHalves are what surveyMasks looks up: for the low half of an ASCII byte and for its
// high half, sixteen entries each. What a byte has is what both entries have: of digits,
// base64 and hex, a bit for each high half there is (with base64 are the other seamBytes, in
// the two bits of halves that have none); of mayStamp, as stampBit has them; of patterns'
// first bytes, a bit for each pattern; of their second ones the same, but for some bytes
// more than are one. Then the bytes that runes which fold begin with, sixteen times each.
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
			// Bytes that share a bit must be all bytes of their low halves and high halves:
			// the two entries can't tell which low half came with which high one.
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

// stampBit is one for the digits, and one for each other byte of mayStamp, of which there may be
// seven.
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

// ofNoKind is a byte that no survey notes, nor anything before it because of it.
const ofNoKind = 0x7f

// padding is what stands behind a text's end where the last of it is surveyed.
var padding = func() (t [2*blockSize + 2]byte) {
	for i := range t {
		t[i] = ofNoKind
	}
	return t
}()

// blocks surveys b a block at a time and reports false where the processor can't.
func (s *survey) blocks(b []byte) bool {
	if !haveAVX2 {
		return false
	}
	s.words = s.words[:0]
	begin := uint64(1)               // a line begins with the next block
	var nuls, folding, before uint64 // the NULs of all, of the block before
	var hex, seams uint64            // of the block before
	var last [len(padding)]byte
	part, n := b, 0
	for i := 0; i < len(b); {
		// What is looked at lies in part; two bytes behind a block are read.
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
				// A NUL behind another one ends nothing.
				m.patterns &^= m.nuls & (m.nuls<<1 | before>>63)
				before = m.nuls
			}
			folding |= m.folding
			// The byte behind the block is looked at if it stands behind a line break.
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
				s.stamps = append(s.stamps, uint32(i+bits.TrailingZeros64(x)))
			}
			begin = m.breaks >> 63
			// At an address's sixth digit, as addressed has it, with none before the first.
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

// widesOf notes the places of a block at i, of which the NULs are given and those of the
// next one, where UTF-16 may be.
func (s *survey) widesOf(nuls, next uint64, i int) {
	for x := nuls &^ (nuls>>1 | next<<63) & (nuls>>2 | next<<62); x != 0; x &= x - 1 {
		s.wides = append(s.wides, uint32(i+bits.TrailingZeros64(x)))
	}
}
