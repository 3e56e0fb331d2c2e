package inflate

import "golang.org/x/sys/cpu"

// haveBMI2 reports whether the processor has the shift and bit-extract instructions of BMI2
// (Haswell, Excavator and later).
var haveBMI2 = cpu.X86.HasBMI2

// fastBMI2 returns exactly what fastGo returns; only the bytes after o can differ.
//
//go:noescape
func fastBMI2(t *tables, s *state, posLimit, oLimit int) int

func (t *tables) fast(s *state, posLimit, oLimit int) int {
	if haveBMI2 && !s.portable {
		return fastBMI2(t, s, posLimit, oLimit)
	}
	return t.fastGo(s, posLimit, oLimit)
}
