package inflate

import "hash/adler32"

// A checksum of RFC 1950 is two sums modulo the largest prime below 65,536: of the
// bytes and one, and of that sum after each byte.
const adlerMod = 65521

// adlerMost is how many bytes are summed up before the sums are reduced: what the second
// one can have become fits 32 bits (zlib's NMAX), in whole blocks.
const (
	adlerBlock = 32
	adlerMost  = 5552 / adlerBlock * adlerBlock
)

// Adler32 goes on with a checksum, which begins with 1.
func Adler32(sum uint32, b []byte) uint32 {
	a, c := sum&0xffff, sum>>16
	for len(b) >= adlerBlock && haveAVX2 {
		n := min(len(b), adlerMost) / adlerBlock
		var s adlerSums
		adlerBlocks(&adlerWeights, &b[0], n, &s)
		// What each block begins with counts for all of its places.
		c += uint32(adlerBlock*n) * a
		c = (c + uint32(adlerBlock*(s.before[0]+s.before[1]+s.before[2]+s.before[3]))) % adlerMod
		for _, w := range s.weighted {
			c += w
		}
		a += uint32(s.bytes[0] + s.bytes[1] + s.bytes[2] + s.bytes[3])
		a, c = a%adlerMod, c%adlerMod
		b = b[adlerBlock*n:]
	}
	if len(b) == 0 {
		return c<<16 | a
	}
	// Those of two texts, one behind the other, from those of each: the second one's
	// begin with 1.
	rest := adler32.Checksum(b)
	n := uint32(len(b) % adlerMod)
	c = (c + rest>>16 + n*((a+adlerMod-1)%adlerMod)%adlerMod) % adlerMod
	a = (a + rest&0xffff + adlerMod - 1) % adlerMod
	return c<<16 | a
}

// adlerSums are those of some blocks: of their bytes, of these weighted with how many
// places of the block they count for, and of the bytes before each block.
type adlerSums struct {
	bytes    [4]uint64
	weighted [8]uint32
	before   [4]uint64
}
