package scanners

import endian "encoding/binary"

// excess returns by how many the bytes of UTF-8 text outnumber its UTF-16 code units. Each
// continuation byte counts, except one of the three in a rune that takes two units.
func excess(b []byte) (n int) {
	for len(b) >= 8 && endian.LittleEndian.Uint64(b)&0x8080808080808080 == 0 {
		b = b[8:]
	}
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c >= 0xf0:
			n--
		case c >= 0x80 && c < 0xc0:
			n++
		case c < 0x80 && len(b)-i >= 8 && endian.LittleEndian.Uint64(b[i:])&0x8080808080808080 == 0:
			i += 7
		}
	}
	return n
}
