package inflate

import (
	"math/bits"
	"sync"
)

// A lookup in a code's table uses the next bits of the stream. Codes that are longer continue
// in a subtable, which is stored after the table. The fields of an entry are
//
//	bits  0-7   number of bits that it takes: those of its code in this table, and the
//	            extra bits of a length or a distance
//	bits  8-11  how many of them are the code's; for a subtable, the number of bits of
//	            its lookup
//	bits 13-15  isNone, isEnd, isOther
//	bits 16-30  the literal, the base of the length or distance, or the position of the
//	            subtable
//	bit  31     isLiteral
//
// fast_amd64.s has these positions as constants.
type entry uint32

const (
	isLiteral entry = 1 << 31
	isOther   entry = 1 << 15 // no literal, length or distance: a subtable, or with
	isEnd     entry = 1 << 14 // the end of the block, or with
	isNone    entry = 1 << 13 // an invalid code

	litBits  = 11
	distBits = 8
	preBits  = 7 // for the code of the code lengths

	// The maximum number of entries for complete codes, by zlib's enough.c with these
	// alphabets, lookup sizes and 15-bit codes: 2,342 and 402.
	litEnough  = 2342
	distEnough = 402
)

// tables are the tables of one block.
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

// The entries of each alphabet's symbols, without the bits of their codes.
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

// fixed returns the tables of blocks with fixed codes (RFC 1951, 3.2.6).
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

// build fills a table for codes of the given lengths, at most 15 bits.
func build(table []entry, lens []uint8, tableBits uint, symbols []entry) error {
	var count, first [16]int
	for _, n := range lens {
		count[n&15]++
	}
	longest, left := uint(0), 1
	for n := uint(1); n < 16; n++ {
		left = left<<1 - count[n]
		if left < 0 {
			return ErrDamaged // more codes than the lengths allow
		}
		if count[n] > 0 {
			longest = n
		}
	}
	// An incomplete code is valid only with a single symbol or without any.
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
	// The symbols in the order of their codes; those of one subtable adjoin.
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
	// Fill the table for the shortest codes, and double it for each further bit. c is the next
	// code, with the first bit lowest.
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
				// The subtable gets as many bits as the codes with this prefix need.
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

// following returns the code of n bits after c, both with the first bit lowest. After the last
// code, the result is not used.
func following(c int, n uint) int {
	// Increment with the bits reversed: leading ones become zeros, the next zero becomes a one.
	free := ^c & (1<<n - 1)
	if free == 0 {
		return c
	}
	top := 1 << (bits.Len(uint(free)) - 1)
	return c&(top-1) | top
}
