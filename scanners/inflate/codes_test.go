package inflate

import (
	"bytes"
	"math/bits"
	"math/rand/v2"
	"testing"
)

// bitWriter writes the bits of a deflate stream, the lowest one first.
type bitWriter struct {
	b []byte
	n int
}

func (w *bitWriter) put(v, n int) {
	for i := range n {
		if w.n%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n/8] |= byte(v>>i&1) << (w.n % 8)
		w.n++
	}
}

// codes returns the codes of the given lengths, with the first bit lowest.
func codes(lens []uint8) []int {
	out := make([]int, len(lens))
	c := 0
	for n := 1; n < 16; n++ {
		for s, l := range lens {
			if int(l) == n {
				out[s] = int(bits.Reverse16(uint16(c)) >> (16 - n))
				c++
			}
		}
		c <<= 1
	}
	return out
}

// blockOf writes a block of random symbols in random codes, preferring long ones, and appends
// the decoded block to text. No compressor writes blocks of mostly long codes.
func blockOf(r *rand.Rand, w *bitWriter, text []byte, last bool) []byte {
	lit, dist := lengths(r, 286), lengths(r, 30)
	kind := 2 << 1
	if last {
		kind |= 1
	}
	w.put(kind, 3)
	w.put(286-257, 5)
	w.put(30-1, 5)
	w.put(19-4, 4)
	// Code lengths 0 to 15 have 4-bit codes except two, which have 5 bits; 16 to 18 are unused.
	pre := []uint8{4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5, 6, 7, 7}
	for _, s := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15} {
		w.put(int(pre[s]), 3)
	}
	of := codes(pre)
	for _, l := range append(append([]uint8{}, lit...), dist...) {
		w.put(of[l], int(pre[l]))
	}
	litCodes, distCodes := codes(lit), codes(dist)
	symbol := func(s int) { w.put(litCodes[s], int(lit[s])) }
	longest := func(lens []uint8, from, to int) int {
		s := from + r.IntN(to-from)
		for range r.IntN(4) {
			if k := from + r.IntN(to-from); lens[k] > lens[s] {
				s = k
			}
		}
		return s
	}
	for range 200 + r.IntN(2000) {
		if len(text) == 0 || r.IntN(3) > 0 {
			s := longest(lit, 0, 256)
			symbol(s)
			text = append(text, byte(s))
			continue
		}
		s := longest(lit, 257, 286)
		d := longest(dist, 0, 30)
		for int(distBase[d]) > len(text) {
			d--
		}
		extra := r.IntN(1 << distExtra[d])
		extra = min(extra, len(text)-int(distBase[d]))
		more := r.IntN(1 << lengthExtra[s-257])
		symbol(s)
		w.put(more, int(lengthExtra[s-257]))
		w.put(distCodes[d], int(dist[d]))
		w.put(extra, int(distExtra[d]))
		from := len(text) - int(distBase[d]) - extra
		for range int(lengthBase[s-257]) + more {
			text = append(text, text[from])
			from++
		}
	}
	symbol(256)
	return text
}

// Covers every length of a code, with all extra bits, at every position of a round.
func TestLongCodes(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 7))
	for range 300 {
		var w bitWriter
		var text []byte
		for n := r.IntN(4); n >= 0; n-- {
			text = blockOf(r, &w, text, n == 0)
		}
		compare(t, w.b)
		dst := make([]byte, len(text), len(text)+300)
		if n, err := (&Decoder{}).Decode(dst, w.b); err != nil || n != len(w.b) || !bytes.Equal(dst, text) {
			t.Fatal(err, n, len(w.b), bytes.Equal(dst, text))
		}
	}
}
