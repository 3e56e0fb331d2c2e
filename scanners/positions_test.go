package scanners

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// Positions that are looked up in any order are those of a chunk that is read from its
// beginning each time.
func TestPositionsInAnyOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	units := []string{"a", "é", "🔑", "\n", "漢", "some text", "\x80", "\xff"}
	for range 30 {
		var b bytes.Buffer
		for size, lines := r.IntN(4*positionStep), r.IntN(3) > 0; b.Len() < size; {
			if u := units[r.IntN(len(units))]; u != "\n" || lines && r.IntN(20) == 0 {
				b.WriteString(u)
			}
		}
		c := Chunk{Data: b.Bytes(), Line: 1 + r.IntN(9), Column: 1 + r.IntN(9), Excess: r.IntN(3)}
		kept := c
		kept.positions = &positions{}
		for range 200 {
			i := r.IntN(b.Len() + 1)
			line, column, over := c.Line+bytes.Count(c.Data[:i], []byte("\n")), c.Column+i, c.Excess+excess(c.Data[:i])
			if nl := bytes.LastIndexByte(c.Data[:i], '\n'); nl >= 0 {
				column, over = i-nl, excess(c.Data[nl+1:i])
			}
			for _, c := range []Chunk{c, kept} {
				if l, k, o := c.place(i); l != line || k != column || o != over {
					t.Fatalf("byte %d of %d: %d:%d %d, want %d:%d %d", i, b.Len(), l, k, o, line, column, over)
				}
			}
		}
	}
}
