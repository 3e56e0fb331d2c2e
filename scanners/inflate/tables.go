package inflate

import (
	"math/bits"
	"sync"
)

// A code's table is looked up by the next bits of the stream; codes that are longer go
// on in a table of their own, behind it. An entry says
//
//	bits  0-7   how many bits it stands for: its code's, in this table, and the extra
//	            ones of a length or a distance
//	bits  8-11  how many of them are the code's; for a subtable, how many bits it is
//	            looked up by
//	bits 13-15  isNone, isEnd, isOther
//	bits 16-30  the literal, the base of the length or distance, or where the
//	            subtable begins
//	bit  31     isLiteral
//
// fast_amd64.s knows these places by their numbers.
type entry uint32

const (
	isLiteral entry = 1 << 31
	isOther   entry = 1 << 15 // none of literal, length and distance: a subtable, unless
	isEnd     entry = 1 << 14 // the block's end, or
	isNone    entry = 1 << 13 // a code that stands for nothing

	litBits  = 11
	distBits = 8
	preBits  = 7 // of the code that codes' lengths are written in

	// As many entries as the tables of complete codes may take: 2,342 and 402 for
	// these alphabets, lookups and a code's fifteen bits, by zlib's enough.c.
	litEnough  = 2342
	distEnough = 402
)

// tables are those of one block.
type tables struct {
	lit  [litEnough]entry
	dist [distEnough]entry
	pre  [1 << preBits]entry
	lens [286 + 30]uint8
}

var lengthBase = [29]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
var lengthExtra = [29]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
var distBase = [30]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
var distExtra = [30]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}

// The entries of each alphabet's symbols, less their codes' bits.
var litSymbols, distSymbols, preSymbols = alphabets()

func alphabets() (lit, dist, pre []entry) {
	lit, dist, pre = make([]entry, 288), make([]entry, 32), make([]entry, 19)
	for s := range lit {
		switch {
		case s < 256:
			lit[s] = isLiteral | entry(s)<<16
		case s == 256:
			lit[s] = isOther | isEnd
		case s-257 < len(lengthBase):
			lit[s] = entry(lengthBase[s-257])<<16 | entry(lengthExtra[s-257])
		default:
			lit[s] = isOther | isNone
		}
	}
	for s := range dist {
		dist[s] = isOther | isNone
		if s < len(distBase) {
			dist[s] = entry(distBase[s])<<16 | entry(distExtra[s])
		}
	}
	for s := range pre {
		pre[s] = entry(s) << 16
	}
	return lit, dist, pre
}

// fixed are the tables of blocks with fixed codes (RFC 1951, 3.2.6).
var fixed = sync.OnceValue(func() *tables {
	t := &tables{}
	var l [288]uint8
	for i := range l {
		switch {
		case i < 144:
			l[i] = 8
		case i < 256:
			l[i] = 9
		case i < 280:
			l[i] = 7
		default:
			l[i] = 8
		}
	}
	_ = build(t.lit[:], l[:], litBits, litSymbols)
	for i := range 32 {
		l[i] = 5
	}
	_ = build(t.dist[:], l[:32], distBits, distSymbols)
	return t
})

// build fills a table for codes of the given lengths, at most 15.
func build(table []entry, lens []uint8, tableBits uint, symbols []entry) error {
	var count, first [16]int
	for _, n := range lens {
		count[n&15]++
	}
	longest, left := uint(0), 1
	for n := uint(1); n < 16; n++ {
		left = left<<1 - count[n]
		if left < 0 {
			return ErrDamaged // more codes than there are bits for
		}
		if count[n] > 0 {
			longest = n
		}
	}
	// An incomplete code is one only of a single symbol, or of none.
	if left > 0 {
		if longest > 1 {
			return ErrDamaged
		}
		for i := range table[:1<<tableBits] {
			table[i] = isOther | isNone
		}
		if longest == 0 {
			return nil
		}
	}
	for n := 1; n < 15; n++ {
		first[n+1] = first[n] + count[n]
	}
	// The symbols in the order of their codes, which are those of one subtable one
	// after another.
	var order [288]uint16
	for s, l := range lens {
		if l != 0 {
			order[first[l&15]] = uint16(s)
			first[l&15]++
		}
	}
	if left > 0 {
		e := symbols[order[0]] + 1<<8 + 1
		for i := 0; i < 1<<tableBits; i += 2 {
			table[i] = e
		}
		return nil
	}
	// The table is made for the shortest codes, and doubled for each bit more. c is the
	// next code, the first bit lowest.
	at, c := 0, 0
	for n := uint(1); n <= min(longest, tableBits); n++ {
		half := 1 << (n - 1)
		copy(table[half:2*half], table[:half])
		for range count[n] {
			table[c] = symbols[order[at]] + entry(n)<<8 + entry(n)
			at++
			c = following(c, n)
		}
	}
	for n := longest; n < tableBits; n++ {
		copy(table[1<<n:2<<n], table[:1<<n])
	}
	used := 1 << tableBits
	subStart, subPrefix, subBits := 0, -1, uint(0)
	for n := tableBits + 1; n <= longest; n++ {
		for left := count[n]; left > 0; left-- {
			if prefix := c & (1<<tableBits - 1); prefix != subPrefix {
				// As many bits as the codes that begin so need.
				subPrefix, subStart, subBits = prefix, used, n-tableBits
				room := 1<<subBits - left
				for room > 0 && tableBits+subBits < longest {
					subBits++
					room = room<<1 - count[tableBits+subBits]
				}
				if used += 1 << subBits; used > len(table) {
					return ErrDamaged
				}
				table[prefix] = isOther | entry(subStart)<<16 | entry(subBits)<<8 | entry(tableBits)
			}
			e := symbols[order[at]] + entry(n-tableBits)<<8 + entry(n-tableBits)
			at++
			for i := subStart + c>>tableBits; i < subStart+1<<subBits; i += 1 << (n - tableBits) {
				table[i] = e
			}
			c = following(c, n)
		}
	}
	return nil
}

// following gives the code of n bits behind c, both with the first bit lowest. Behind
// the last one comes none: what it gives is not used.
func following(c int, n uint) int {
	// Counting up from the other end: the ones there become zeros, the next zero a one.
	free := ^c & (1<<n - 1)
	if free == 0 {
		return c
	}
	top := 1 << (bits.Len(uint(free)) - 1)
	return c&(top-1) | top
}
