package inflate

import "encoding/binary"

// The reasons for which fast stops.
const (
	fastLimit   = iota // reached a limit
	fastOther          // before a symbol that is neither a literal nor a match
	fastDamaged        // a distance before the beginning of the output
)

// fastGo decodes literals and matches while pos and o do not exceed their limits, which leave
// room for the reads and writes of one round.
func (t *tables) fastGo(s *state, posLimit, oLimit int) int {
	src, dst := s.src, s.dst
	pos, o, buf, n := s.pos, s.o, s.buf, s.n
	why := fastLimit
	for pos <= posLimit && o <= oLimit {
		buf |= binary.LittleEndian.Uint64(src[pos:]) << (n & 63)
		pos += int((63 - n) >> 3)
		n |= 56
		e := t.lit[buf&(1<<litBits-1)]
		if e&isLiteral != 0 {
			buf >>= e & 31
			n -= uint(e & 31)
			dst[o] = byte(e >> 16)
			o++
			e = t.lit[buf&(1<<litBits-1)]
			if e&isLiteral != 0 {
				buf >>= e & 31
				n -= uint(e & 31)
				dst[o] = byte(e >> 16)
				o++
				e = t.lit[buf&(1<<litBits-1)]
				if e&isLiteral != 0 {
					buf >>= e & 31
					n -= uint(e & 31)
					dst[o] = byte(e >> 16)
					o++
					continue
				}
			}
		}
		// Two literals of this table take at most 22 bits, so 34 remain.
		if e&isOther != 0 {
			if e&(isEnd|isNone) != 0 {
				why = fastOther
				break
			}
			sub := t.lit[int(e>>16)+int(buf>>litBits&(1<<(e>>8&15)-1))]
			if sub&isOther != 0 {
				why = fastOther
				break
			}
			buf >>= litBits
			n -= litBits
			e = sub
			if e&isLiteral != 0 {
				buf >>= e & 31
				n -= uint(e & 31)
				dst[o] = byte(e >> 16)
				o++
				continue
			}
		}
		length := int(e>>16) + int(buf&(1<<(e&31)-1)>>(e>>8&15))
		buf >>= e & 31
		n -= uint(e & 31)
		// A length takes at most 20 bits, a distance 28.
		if n < 28 {
			buf |= binary.LittleEndian.Uint64(src[pos:]) << (n & 63)
			pos += int((63 - n) >> 3)
			n |= 56
		}
		e = t.dist[buf&(1<<distBits-1)]
		if e&isOther != 0 {
			if e&isNone != 0 {
				why = fastDamaged
				break
			}
			buf >>= distBits
			n -= distBits
			if e = t.dist[int(e>>16)+int(buf&(1<<(e>>8&15)-1))]; e&isOther != 0 {
				why = fastDamaged
				break
			}
		}
		dist := int(e>>16) + int(buf&(1<<(e&31)-1)>>(e>>8&15))
		buf >>= e & 31
		n -= uint(e & 31)
		if dist > o {
			why = fastDamaged
			break
		}
		from, to, end := o-dist, o, o+length
		o = end
		switch {
		case dist >= 8:
			for {
				binary.LittleEndian.PutUint64(dst[to:], binary.LittleEndian.Uint64(dst[from:]))
				binary.LittleEndian.PutUint64(dst[to+8:], binary.LittleEndian.Uint64(dst[from+8:]))
				if to, from = to+16, from+16; to >= end {
					break
				}
			}
		case dist == 1:
			word := uint64(dst[from]) * 0x0101010101010101
			for ; to < end; to += 8 {
				binary.LittleEndian.PutUint64(dst[to:], word)
			}
		default:
			// Only the first dist bytes of each word are valid; the next word replaces the
			// others.
			for ; to < end; to, from = to+dist, from+dist {
				binary.LittleEndian.PutUint64(dst[to:], binary.LittleEndian.Uint64(dst[from:]))
			}
		}
	}
	s.pos, s.o, s.buf, s.n = pos, o, buf, n
	return why
}
