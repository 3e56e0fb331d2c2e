package pack

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"sync"
)

// A pack's objects are small, their size is known and their bytes are all there: a
// decoder from slice to slice needs no window and no reader between, and takes half
// the time of one that streams. Larger objects are streamed by the library's.
//
// RFC 1951. A code's table is looked up by the next bits; longer codes go on in a
// table of their own. An entry of a table is
//
//	bits  0-4   how many bits the code takes, in this table
//	bits  5-9   how many extra bits follow; for a subtable, the bits it is looked up by
//	bits 10-12  what it is
//	bits 16-31  the literal, the base of the length or distance, or where the
//	            subtable begins
type code uint32

const (
	isLiteral  = 1 << 10
	isEnd      = 1 << 11
	isSubtable = 1 << 12

	litBits  = 10
	distBits = 8
	lenBits  = 7 // of the code that codes' lengths are written in

	// As many entries as the tables of complete codes may take: 1,334 and 402 for
	// these alphabets, lookups and a code's fifteen bits, by zlib's enough.c; powers
	// of two bound an index without a branch.
	litEnough  = 2048
	distEnough = 512
)

var errDeflate = errors.New("damaged deflate stream")

// deflate holds the tables of one block.
type deflate struct {
	lit  [litEnough]code
	dist [distEnough]code
	pre  [1 << lenBits]code
	lens [286 + 32]uint8
}

var lengthBase = [29]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
var lengthExtra = [29]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
var distBase = [30]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
var distExtra = [30]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}

// The entries of the symbols of each alphabet, without the bits of their codes. 0: it
// stands for nothing.
var litSymbols, distSymbols, preSymbols = alphabets()

func alphabets() (lit, dist, pre []code) {
	lit, dist, pre = make([]code, 288), make([]code, 32), make([]code, 19)
	for s := range lit {
		switch {
		case s < 256:
			lit[s] = isLiteral | code(s)<<16
		case s == 256:
			lit[s] = isEnd
		case s-257 < len(lengthBase):
			lit[s] = code(lengthExtra[s-257])<<5 | code(lengthBase[s-257])<<16
		}
	}
	for s := range distBase {
		dist[s] = code(distExtra[s])<<5 | code(distBase[s])<<16
	}
	for s := range pre {
		pre[s] = isLiteral | code(s)<<16
	}
	return lit, dist, pre
}

// fixed are the tables of blocks with fixed codes.
var fixed = sync.OnceValue(func() *deflate {
	d := &deflate{}
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
	_ = build(d.lit[:], l[:], litBits, litSymbols)
	for i := range 32 {
		l[i] = 5
	}
	_ = build(d.dist[:], l[:32], distBits, distSymbols)
	return d
})

// build fills a table for codes of the given lengths.
// A symbol's entry, without its bits, stands in symbols.
func build(table []code, lens []uint8, tableBits uint, symbols []code) error {
	var count [16]int
	longest := uint(0)
	for _, n := range lens {
		count[n]++
		longest = max(longest, uint(n))
	}
	count[0] = 0
	left := 1
	for n := 1; n < 16; n++ {
		left = left<<1 - count[n]
		if left < 0 {
			return errDeflate // more codes than there are bits for
		}
	}
	// An incomplete code is one only of a single symbol, or of none.
	if left > 0 && longest > 1 {
		return errDeflate
	}
	if left > 0 {
		clear(table) // a complete one fills all that is looked up
	}
	var next, first [16]int
	for n := 1; n < 15; n++ {
		next[n+1] = (next[n] + count[n]) << 1
		first[n+1] = first[n] + count[n]
	}
	// The symbols in the order of their codes: those of one subtable come one after
	// another.
	var order [288]uint16
	for s, l := range lens {
		if l != 0 {
			order[first[l]] = uint16(s)
			first[l]++
		}
	}
	used := 1 << tableBits
	subStart, subPrefix, subBits := 0, -1, uint(0)
	at := 0
	for n := uint(1); n <= longest; n++ {
		for range count[n] {
			c := next[n]
			next[n]++
			e := symbols[order[at]]
			at++
			reversed := int(bits.Reverse16(uint16(c)) >> (16 - n))
			if n <= tableBits {
				if e != 0 {
					e |= code(n)
				}
				for i := reversed; i < 1<<tableBits; i += 1 << n {
					table[i] = e
				}
				count[n]--
				continue
			}
			if prefix := reversed & (1<<tableBits - 1); prefix != subPrefix {
				// As many bits as the codes that begin so need.
				subPrefix, subStart, subBits = prefix, used, n-tableBits
				room := 1 << subBits
				for tableBits+subBits < longest {
					if room -= count[tableBits+subBits]; room <= 0 {
						break
					}
					subBits++
					room <<= 1
				}
				if used += 1 << subBits; used > len(table) {
					return errDeflate
				}
				table[prefix] = isSubtable | code(subBits)<<5 | code(tableBits) | code(subStart)<<16
			}
			if e != 0 {
				e |= code(n - tableBits)
			}
			for i := reversed >> tableBits; i < 1<<subBits; i += 1 << (n - tableBits) {
				table[subStart+i] = e
			}
			count[n]--
		}
	}
	return nil
}

// bitReader holds the next bits of a stream, the first one lowest.
type bitReader struct {
	src  []byte
	pos  int
	buf  uint64
	n    uint // how many of buf's bits are there
	over int  // bytes of zeros that stand for what is behind the end
}

// fill makes at least 56 bits ready.
func (r *bitReader) fill() {
	if r.pos+8 <= len(r.src) {
		r.buf |= binary.LittleEndian.Uint64(r.src[r.pos:]) << r.n
		r.pos += int((63 - r.n) >> 3)
		r.n |= 56
		return
	}
	for r.n <= 56 {
		if r.pos < len(r.src) {
			r.buf |= uint64(r.src[r.pos]) << r.n
			r.pos++
		} else {
			r.over++
		}
		r.n += 8
	}
}

func (r *bitReader) take(n uint) int {
	v := int(r.buf & (1<<n - 1))
	r.buf >>= n
	r.n -= n
	return v
}

// inflate decodes the stream that src begins with to exactly len(dst) bytes, and
// gives how many of src it is.
func (d *deflate) inflate(dst, src []byte) (int, error) {
	r := bitReader{src: src}
	o := 0
	for final := false; !final; {
		r.fill()
		final = r.take(1) == 1
		switch r.take(2) {
		case 0:
			r.take(r.n & 7)
			// What was taken ahead is given back.
			ahead := int(r.n>>3) - r.over
			if ahead < 0 {
				return 0, errSize
			}
			p := r.pos - ahead
			if p+4 > len(src) {
				return 0, errSize
			}
			n := int(binary.LittleEndian.Uint16(src[p:]))
			if n != int(^binary.LittleEndian.Uint16(src[p+2:])) {
				return 0, errDeflate
			}
			p += 4
			if n > len(src)-p || n > len(dst)-o {
				return 0, errSize
			}
			copy(dst[o:], src[p:p+n])
			o += n
			r = bitReader{src: src, pos: p + n}
			continue
		case 1:
			f := fixed()
			n, err := block(&r, f, dst, o)
			if err != nil {
				return 0, err
			}
			o = n
		case 2:
			if err := d.dynamic(&r); err != nil {
				return 0, err
			}
			n, err := block(&r, d, dst, o)
			if err != nil {
				return 0, err
			}
			o = n
		default:
			return 0, errDeflate
		}
		if r.over > int(r.n>>3) {
			return 0, errSize // bits from behind the end were used
		}
	}
	if o != len(dst) {
		return 0, errSize
	}
	return r.pos - (int(r.n>>3) - r.over), nil
}

// dynamic reads the codes of a block.
func (d *deflate) dynamic(r *bitReader) error {
	order := [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	nlit, ndist, npre := r.take(5)+257, r.take(5)+1, r.take(4)+4
	if nlit > 286 || ndist > 30 {
		return errDeflate
	}
	var pre [19]uint8
	for i := range npre {
		if r.n < 3 {
			r.fill()
		}
		pre[order[i]] = uint8(r.take(3))
	}
	if err := build(d.pre[:], pre[:], lenBits, preSymbols); err != nil {
		return err
	}
	lens := d.lens[:nlit+ndist]
	for i := 0; i < len(lens); {
		if r.n < 14 {
			r.fill()
		}
		e := d.pre[r.buf&(1<<lenBits-1)]
		if e == 0 {
			return errDeflate
		}
		r.take(uint(e & 31))
		s := int(e >> 16)
		if s < 16 {
			lens[i] = uint8(s)
			i++
			continue
		}
		var v uint8
		n := 0
		switch s {
		case 16:
			if i == 0 {
				return errDeflate
			}
			v, n = lens[i-1], 3+r.take(2)
		case 17:
			n = 3 + r.take(3)
		default:
			n = 11 + r.take(7)
		}
		if n > len(lens)-i {
			return errDeflate
		}
		for range n {
			lens[i] = v
			i++
		}
	}
	if lens[256] == 0 {
		return errDeflate // the block could not end
	}
	if err := build(d.lit[:], lens[:nlit], litBits, litSymbols); err != nil {
		return err
	}
	return build(d.dist[:], lens[nlit:], distBits, distSymbols)
}

// block decodes one block behind dst[:o], and gives where it ends.
func block(r *bitReader, d *deflate, dst []byte, o int) (int, error) {
	src, pos, buf, n := r.src, r.pos, r.buf, r.n
	for {
		if pos+8 <= len(src) {
			buf |= binary.LittleEndian.Uint64(src[pos:]) << (n & 63)
			pos += int((63 - n) >> 3)
			n |= 56
		} else {
			if r.over > 16 {
				return 0, errSize
			}
			r.pos, r.buf, r.n = pos, buf, n
			r.fill()
			pos, buf, n = r.pos, r.buf, r.n
		}
		e := d.lit[buf&(1<<litBits-1)]
		if e&isSubtable != 0 {
			buf >>= litBits
			n -= litBits
			e = d.lit[(uint(e>>16)+uint(buf&(1<<(e>>5&31)-1)))&(litEnough-1)]
		}
		buf >>= e & 31
		n -= uint(e & 31)
		if e&isLiteral != 0 {
			if o >= len(dst) {
				return 0, errSize
			}
			dst[o] = byte(e >> 16)
			o++
			// Of 56 bits at most 15 are gone: two short codes more are there.
			e = d.lit[buf&(1<<litBits-1)]
			if e&isLiteral == 0 || o >= len(dst) {
				continue
			}
			buf >>= e & 31
			n -= uint(e & 31)
			dst[o] = byte(e >> 16)
			o++
			e = d.lit[buf&(1<<litBits-1)]
			if e&isLiteral == 0 || o >= len(dst) {
				continue
			}
			buf >>= e & 31
			n -= uint(e & 31)
			dst[o] = byte(e >> 16)
			o++
			continue
		}
		if e == 0 {
			return 0, errDeflate
		}
		if e&isEnd != 0 {
			r.pos, r.buf, r.n = pos, buf, n
			return o, nil
		}
		extra := uint(e >> 5 & 31)
		length := int(e>>16) + int(buf&(1<<extra-1))
		buf >>= extra
		n -= extra
		// 15 and 5 bits are gone of 56; a distance takes 28 at most.
		e = d.dist[buf&(1<<distBits-1)]
		if e&isSubtable != 0 {
			buf >>= distBits
			n -= distBits
			e = d.dist[(uint(e>>16)+uint(buf&(1<<(e>>5&31)-1)))&(distEnough-1)]
		}
		if e == 0 {
			return 0, errDeflate
		}
		buf >>= e & 31
		n -= uint(e & 31)
		extra = uint(e >> 5 & 31)
		dist := int(e>>16) + int(buf&(1<<extra-1))
		buf >>= extra
		n -= extra
		if dist > o || length > len(dst)-o {
			return 0, errSize
		}
		switch from := o - dist; {
		case dist >= 8 && o+length+8 <= len(dst):
			// Words, over the end: what is behind is written later.
			to, end := o, o+length
			for to < end {
				binary.LittleEndian.PutUint64(dst[to:], binary.LittleEndian.Uint64(dst[from:]))
				to, from = to+8, from+8
			}
		case dist >= length:
			copy(dst[o:o+length], dst[from:])
		default:
			for i := range length {
				dst[o+i] = dst[from+i]
			}
		}
		o += length
	}
}
