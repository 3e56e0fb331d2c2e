package inflate

import "hash/adler32"

// An Adler-32 checksum (RFC 1950) consists of two sums modulo 65,521, the largest prime below
// 65,536: one plus all bytes, and the sum of the first sum after each byte.
const adlerMod = 65521

// adlerMost is how many bytes are added before the sums are reduced: the largest multiple of
// adlerBlock for which the second sum fits 32 bits (zlib's NMAX).
const (
	adlerBlock = 32
	adlerMost  = 5552 / adlerBlock * adlerBlock
)

// Adler32 updates the checksum sum with b. The initial checksum is 1.
func Adler32(sum uint32, b []byte) uint32 {
	a, c := sum&0xffff, sum>>16
	for len(b) >= adlerBlock && haveAVX2 {
		n := min(len(b), adlerMost) / adlerBlock
		var s adlerSums
		adlerBlocks(&adlerWeights, &b[0], n, &s)
		// The sum before a block counts once for each byte of the block.
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
	// Combine the checksums of two adjoining texts; the second one starts at 1.
	rest := adler32.Checksum(b)
	n := uint32(len(b) % adlerMod)
	c = (c + rest>>16 + n*((a+adlerMod-1)%adlerMod)%adlerMod) % adlerMod
	a = (a + rest&0xffff + adlerMod - 1) % adlerMod
	return c<<16 | a
}

// adlerSums are sums over several blocks: of the bytes, of the bytes weighted by the number of
// positions of their block that include them, and of the byte sums before each block.
type adlerSums struct {
	bytes    [4]uint64
	weighted [8]uint32
	before   [4]uint64
}
