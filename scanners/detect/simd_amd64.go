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

// blockMasks are what surveyMasks tells of a block's places.
type blockMasks struct {
	patterns uint64 // a pattern may begin
	digits   uint64 // base64Class
	breaks   uint64
	controls uint64 // ESC, a backspace, a byte-order mark's first byte
	nuls     uint64
	folding  uint64 // the first two bytes of a rune that folds into ASCII
}

//go:noescape
func surveyMasks(halves *surveyHalves, b *byte, blocks int, masks *blockMasks)

// surveyHalves are what surveyMasks looks up: for the low half of an ASCII byte and for its
// high half, sixteen entries each. What a byte has is what both entries have: of digits,
// a bit for each high half there is; of patterns' first bytes, a bit for each pattern;
// of their second ones the same, but for some bytes more than are one. Then the bytes that
// runes which fold begin with, sixteen times each.
type surveyHalves struct {
	digits, first, second [2][16]byte
	folding               [4][16]byte
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
		set(&t.first, c, surveyTables[0][c])
		set(&t.second, c, surveyTables[1][c])
	}
	for i := range t.folding {
		for k := range t.folding[i] {
			t.folding[i][k] = string([]rune{longS, kelvin})[i]
		}
	}
	return t
}()

// blocks surveys whole blocks of b and returns how far: 0 where the processor can't.
func (s *survey) blocks(b []byte) int {
	s.words = s.words[:0]
	if !haveAVX2 {
		return 0
	}
	const most = 16
	var masks [most]blockMasks
	i := 0
	var nuls, folding, before uint64 // the NULs of all, of the block before
	for {
		n := min((len(b)-i-2)/blockSize, most)
		if n <= 0 {
			s.nuls, s.unfolded = nuls != 0, folding == 0
			return i
		}
		surveyMasks(&ofHalves, &b[i], n, &masks[0])
		for k := range masks[:n] {
			m := &masks[k]
			s.words = append(s.words, m.digits)
			nuls |= m.nuls
			if before|m.nuls != 0 {
				for x := before &^ (before>>1 | m.nuls<<63) & (before>>2 | m.nuls<<62); x != 0; x &= x - 1 {
					s.wides = append(s.wides, uint32(i-blockSize+bits.TrailingZeros64(x)))
				}
				// A NUL behind another one ends nothing.
				m.patterns &^= m.nuls & (m.nuls<<1 | before>>63)
				before = m.nuls
			}
			folding |= m.folding
			for x := m.breaks; x != 0; x &= x - 1 {
				s.lines = append(s.lines, uint32(i+bits.TrailingZeros64(x)))
			}
			for x := m.patterns | m.controls; x != 0; x &= x - 1 {
				at := i + bits.TrailingZeros64(x)
				if c := b[at]; c < utf8.RuneSelf && surveyTables[0][c] != 0 {
					s.note(at, surveyTables[0][c]&surveyTables[1][b[at+1]&0x7f]&surveyTables[2][b[at+2]&0x7f])
				} else {
					s.marks = append(s.marks, uint32(at))
				}
			}
			i += blockSize
		}
	}
}
