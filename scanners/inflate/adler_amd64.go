package inflate

import "golang.org/x/sys/cpu"

var haveAVX2 = cpu.X86.HasAVX2

// adlerWeights are the weight of each byte of a block, and ones.
var adlerWeights = func() (w struct {
	places [adlerBlock]int8
	ones   [adlerBlock / 2]int16
}) {
	for i := range w.places {
		w.places[i] = int8(adlerBlock - i)
	}
	for i := range w.ones {
		w.ones[i] = 1
	}
	return w
}()

// adlerBlocks sums n blocks; n is at least 1.
//
//go:noescape
func adlerBlocks(weights *struct {
	places [adlerBlock]int8
	ones   [adlerBlock / 2]int16
}, b *byte, n int, sums *adlerSums)
