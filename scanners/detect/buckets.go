package detect

import (
	"cmp"
	"slices"
)

// Grams are put into sixteen buckets so that few places of ordinary text look,
// byte by byte, as if they belonged to one: the byte at each of the four places
// must be one that some gram of the bucket has there.

const bucketCount = 16

// byteSet is a set of 7-bit bytes and how often they occur, all together.
type byteSet struct {
	in     [128]bool
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
		if !k[p].in[c] {
			x += frequencyOf(c)
		}
		w *= x
	}
	return w
}

func (k *bucket) add(gram uint32) {
	for p := range k {
		if c := byte(gram>>(8*p)) & 0x7f; !k[p].in[c] {
			k[p].in[c] = true
			k[p].weight += frequencyOf(c)
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

// bucketTables puts each gram where it adds least, the most frequent ones first.
func bucketTables(grams []uint32) (out [2 * gramLen][128]byte) {
	var buckets [bucketCount]bucket
	grams = slices.Clone(grams)
	slices.SortFunc(grams, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(frequency(b), frequency(a)), cmp.Compare(a, b))
	})
	for _, g := range slices.Compact(grams) {
		best, least := 0, 0.0
		for i := range buckets {
			more := buckets[i].added(g) - buckets[i].weight()
			if i == 0 || more < least {
				best, least = i, more
			}
		}
		buckets[best].add(g)
	}
	for i := range buckets {
		for p := range gramLen {
			for c, in := range buckets[i][p].in {
				if !in {
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
