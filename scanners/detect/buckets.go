package detect

import (
	"cmp"
	"slices"
)

// Grams are put into buckets so that few places of ordinary text look, byte by
// byte, as if they belonged to one: the byte at each of the four places must be one
// that some gram of the bucket has there.

const bucketCount = 24

// buckets say of each byte below 0x80 which of eight buckets it can belong to at
// each of the four places, and so for the next eight.
type buckets [bucketCount / 8 * gramLen][128]byte

// byteSet is how many of a bucket's grams have each 7-bit byte at a place, and how
// often those bytes occur in text, all together.
type byteSet struct {
	n      [128]int
	weight float64
}

type bucket [gramLen]byteSet

// frequencyOf is how often a byte occurs, either case of a letter counted.
func frequencyOf(folded byte) float64 { return frequencies[folded&0x1f|folded>>1&0x20] }

var frequencies = func() (f [64]float64) {
	for i := range f {
		f[i] = 1 / float64(uint32(1)<<rarity[i])
	}
	return f
}()

// added is the bucket's weight with a gram in it.
func (k *bucket) added(gram uint32) float64 {
	w := 1.0
	for p := range k {
		c := byte(gram>>(8*p)) & 0x7f
		x := k[p].weight
		if k[p].n[c] == 0 {
			x += frequencyOf(c)
		}
		w *= x
	}
	return w
}

// count adds a gram, or takes one away.
func (k *bucket) count(gram uint32, by int) {
	for p := range k {
		c := byte(gram>>(8*p)) & 0x7f
		s := &k[p]
		if s.n[c] == 0 {
			s.weight += frequencyOf(c)
		}
		if s.n[c] += by; s.n[c] == 0 {
			s.weight -= frequencyOf(c)
		}
	}
}

func (k *bucket) weight() float64 {
	w := 1.0
	for p := range k {
		w *= k[p].weight
	}
	return w
}

// How often each gram is asked where it adds least: for the tables in the binary, and
// for those that are made at a start.
const (
	bucketRounds = 8
	fewRounds    = 2
)

// bucketTables puts each gram where it adds least, the most frequent ones first,
// and goes over all of them again: where the first ones belong shows with the last.
func bucketTables(entries []gramEntry, rounds int) (out buckets) {
	var grams []uint32
	for _, e := range entries {
		grams = append(grams, e.gram)
	}
	slices.SortFunc(grams, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(frequency(b), frequency(a)), cmp.Compare(a, b))
	})
	grams = slices.Compact(grams)
	all := make([]bucket, bucketCount)
	var weights [bucketCount]float64
	in := make([]int, len(grams))
	for round := range rounds {
		for i, g := range grams {
			if k := in[i]; round > 0 {
				all[k].count(g, -1)
				weights[k] = all[k].weight()
			}
			best, least := 0, 0.0
			for k := range all {
				if more := all[k].added(g) - weights[k]; k == 0 || more < least {
					best, least = k, more
				}
			}
			in[i] = best
			all[best].count(g, 1)
			weights[best] = all[best].weight()
		}
	}
	for i := range all {
		for p := range gramLen {
			for c, n := range all[i][p].n {
				if n == 0 {
					continue
				}
				// Folding set bit 0x20: both bytes look alike.
				out[i/8*gramLen+p][c] |= 1 << (i % 8)
				out[i/8*gramLen+p][c&^0x20] |= 1 << (i % 8)
			}
		}
	}
	return out
}
