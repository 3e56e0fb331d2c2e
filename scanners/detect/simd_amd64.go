package detect

import (
	"encoding/binary"
	"math/bits"

	"golang.org/x/sys/cpu"
)

// haveVBMI is set where the processor, and the system, has AVX-512 with byte
// permutations (Ice Lake, Zen 4 and later).
var haveVBMI = cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VBMI

//go:noescape
func bucketMasks(tables *buckets, b *byte, blocks int, masks *uint64)

const blockSize = 64

// scan is scanScalar, with a first look at 64 places at once.
func (t *gramTable) scan(b []byte, from, to int, hits *[blockLen + 8]uint32) (n, next int) {
	if !haveVBMI {
		return t.scanScalar(b, from, to, hits)
	}
	to = min(to, from+blockLen, len(b)-gramLen+1)
	blocks := (to - from) / blockSize
	if blocks <= 0 {
		return t.scanScalar(b, from, to, hits)
	}
	var masks [blockLen / blockSize]uint64
	bucketMasks(&t.buckets, &b[from], blocks, &masks[0])
	for k, m := range masks[:blocks] {
		for base := from + k*blockSize; m != 0; m &= m - 1 {
			i := base + bits.TrailingZeros64(m)
			h := (binary.LittleEndian.Uint32(b[i:]) | fold4) * hashMul
			hits[n] = uint32(i)
			n += int(t.bitmap[h>>20] >> (h >> 14 & 63) & 1)
		}
	}
	for i := from + blocks*blockSize; i < to; i++ {
		if t.may(gramAt(b[i:])) {
			hits[n] = uint32(i)
			n++
		}
	}
	return n, max(to, from)
}

// blockMasks are what surveyMasks tells of a block.
type blockMasks struct {
	patterns [patternCount]uint64 // only where any is not zero
	any      uint64
	// by the bits of surveyTables' last
	digits, breaks, controls, nuls uint64
	folding                        uint64 // the first two bytes of a rune that folds into ASCII
}

//go:noescape
func surveyMasks(tables *[4][128]byte, b *byte, blocks int, masks *blockMasks)

// surveyMasks2 is surveyMasks with AVX2, and patterns are zero where any is. Its tables
// are surveySteps.
//
//go:noescape
func surveyMasks2(tables *[4][128]byte, b *byte, blocks int, masks *blockMasks)

// surveySteps are surveyTables as AVX2 looks them up, sixteen entries at a time: a byte's
// entry is the exclusive or of all sixteenths up to its own.
var surveySteps = func() (t [4][128]byte) {
	for k := range t {
		for c := range byte(128) {
			t[k][c] = surveyTables[k][c]
			if c >= 16 {
				t[k][c] ^= surveyTables[k][c-16]
			}
		}
	}
	return t
}()

// blocks surveys whole blocks of b and returns how far: 0 where the processor can't.
func (s *survey) blocks(b []byte) int {
	s.words = s.words[:0]
	if !haveVBMI && !cpu.X86.HasAVX2 {
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
		// Called by a variable, masks would be made anew each time.
		if haveVBMI {
			surveyMasks(&surveyTables, &b[i], n, &masks[0])
		} else {
			surveyMasks2(&surveySteps, &b[i], n, &masks[0])
		}
		for k := range masks[:n] {
			m := &masks[k]
			s.words = append(s.words, m.digits)
			nuls |= m.nuls
			if before|m.nuls != 0 {
				for x := before &^ (before>>1 | m.nuls<<63) & (before>>2 | m.nuls<<62); x != 0; x &= x - 1 {
					s.wides = append(s.wides, uint32(i-blockSize+bits.TrailingZeros64(x)))
				}
				// A NUL behind another one ends nothing.
				m.patterns[nulPattern] &^= m.nuls<<1 | before>>63
				before = m.nuls
			}
			folding |= m.folding
			for x := m.breaks; x != 0; x &= x - 1 {
				s.lines = append(s.lines, uint32(i+bits.TrailingZeros64(x)))
			}
			controls := m.controls
			if m.any != 0 {
				controls |= m.patterns[atBracket]
				for x := m.patterns[atPipe]; x != 0; x &= x - 1 {
					s.pipes = append(s.pipes, uint32(i+bits.TrailingZeros64(x)))
				}
				for p := range s.escapes {
					for x := m.patterns[p]; x != 0; x &= x - 1 {
						s.escapes[p] = append(s.escapes[p], uint32(i+bits.TrailingZeros64(x)))
					}
				}
			}
			for ; controls != 0; controls &= controls - 1 {
				s.marks = append(s.marks, uint32(i+bits.TrailingZeros64(controls)))
			}
			i += blockSize
		}
	}
}
