package inflate

import "golang.org/x/sys/cpu"

// haveBMI2 is set where the processor has the shifts and the cuts of BMI2 (Haswell,
// Excavator and later).
var haveBMI2 = cpu.X86.HasBMI2

// fastBMI2 is fastGo, to the bit: what stands behind o may differ.
//
//go:noescape
func fastBMI2(t *tables, s *state, posLimit, oLimit int) int

func (t *tables) fast(s *state, posLimit, oLimit int) int {
	if haveBMI2 && !s.portable {
		return fastBMI2(t, s, posLimit, oLimit)
	}
	return t.fastGo(s, posLimit, oLimit)
}
