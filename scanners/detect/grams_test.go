package detect

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// The code that scans many positions at once must find what scanning each one finds.
func TestScansAgree(t *testing.T) {
	e := New(builtin(t))
	r := rand.New(rand.NewPCG(13, 14))
	total := 0
	for n := range 100 / fewer {
		b := noise(e, r, 1+r.IntN(9000))
		if n%4 == 0 {
			for range len(b) / 50 {
				b[r.IntN(len(b))] = byte(r.IntN(256))
			}
		}
		if n%4 == 1 { // only literals, up to the end
			b = b[:0]
			for size := 1 + r.IntN(3000); len(b) < size; {
				a := e.anchors[r.IntN(len(e.anchors))]
				if len(a.literals) == 0 {
					continue
				}
				b = append(b, a.literals[r.IntN(len(a.literals))]...)
			}
			b = b[:len(b):len(b)]
		}
		from := r.IntN(min(len(b), 200))
		got, want := e.grams.places(b, from), []uint32{}
		for i := from; i+gramLen <= len(b); i++ {
			if e.grams.has(gramAt(b[i:])) {
				want = append(want, uint32(i))
			}
		}
		total += len(want)
		if !slices.Equal(got, want) {
			t.Fatalf("%d places, not %d", len(got), len(want))
		}
		if blocks := (len(b) - 2) / blockSize; blocks > 0 {
			one, two := make([]uint64, blocks), make([]uint64, blocks)
			e.grams.triples.masks(b, one)
			e.grams.triples.inGo(b, two)
			if !slices.Equal(one, two) {
				t.Fatalf("%x, not %x", one, two)
			}
		}
	}
	if total < 2000/fewer {
		t.Errorf("only %d places", total)
	}
}

func (t *gramTable) has(g uint32) bool {
	return slices.ContainsFunc(t.list, func(e gramEntry) bool { return e.gram == g })
}

// places lists where a gram occurs: a hash alone may belong to another gram.
func (t *gramTable) places(b []byte, from int) []uint32 {
	out := []uint32{}
	var p passed
	for from+gramLen <= len(b) {
		n, next := t.scan(b, from, len(b), &p)
		for _, i := range p.hits[:n] {
			if t.has(gramAt(b[i:])) {
				out = append(out, i)
			}
		}
		from = next
	}
	return out
}
