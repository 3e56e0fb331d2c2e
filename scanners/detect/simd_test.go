//go:build amd64

package detect

import (
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/cpu"
)

// AVX2 tells of a block what AVX-512 tells.
func TestSurveysOfBlocksAreTheSame(t *testing.T) {
	if !haveVBMI || !cpu.X86.HasAVX2 {
		t.Skip("this processor has not both")
	}
	r := rand.New(rand.NewPCG(23, 24))
	common := []byte("%2F\\n&a=3D'\"\x00A=\x1b[1; | \b\xef\xc5\xbf\xe2\x84\x80\xff\n")
	for range 20000 / fewer {
		b := make([]byte, 4*blockSize+2)
		for i := range b {
			if b[i] = byte(r.Uint32()); r.IntN(3) > 0 {
				b[i] = common[r.IntN(len(common))]
			}
		}
		var one, two [4]blockMasks
		surveyMasks(&surveyTables, &b[0], 4, &one[0])
		surveyMasks2(&surveySteps, &b[0], 4, &two[0])
		for i := range one {
			if one[i].any == 0 {
				one[i].patterns = [patternCount]uint64{}
			}
		}
		if one != two {
			t.Fatalf("%q:\n%x\n%x", b, one, two)
		}
	}
}
