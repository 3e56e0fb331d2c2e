package detect

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/quellhq/quell/scanners"
)

// The fast paths for binary data find what the general path finds.
func TestQuickWaysEqualPlainOnes(t *testing.T) {
	d := rand.New(rand.NewPCG(3, 9))
	for range 20000 {
		b := make([]byte, d.IntN(60))
		for k := range b {
			b[k] = "\x00\x00\x00\x01aé\x80\xff"[d.IntN(8)]
		}
		from, end := d.IntN(len(b)+1), d.IntN(len(b)+1)
		want := end
		for i := from; i < end; i++ {
			if i+3 < len(b) && b[i] == 0 && b[i+1] != 0 && b[i+2] == 0 {
				want = i
				break
			}
		}
		if got := betweenNULs(b, from, end); got != want && !(from >= end && got >= end) {
			t.Fatalf("%q from %d to %d: %d, not %d", b, from, end, got, want)
		}
	}
	for range 2000 {
		b := bytes.Repeat([]byte{'x'}, 1+d.IntN(20000))
		for range d.IntN(30) {
			b[d.IntN(len(b))] = '\n'
		}
		text := &text{parent: &text{data: b}}
		for range d.IntN(20) {
			from := d.IntN(len(b))
			text.payloads = append(text.payloads, span{from, min(len(b), from+d.IntN(50))})
		}
		if d.IntN(3) > 0 {
			slices.SortFunc(text.payloads, func(a, b span) int { return a.start - b.start })
		}
		var want []span
		for _, p := range text.payloads {
			from, to := max(0, p.start-near), min(len(b), p.end+near)
			from += bytes.LastIndexByte(b[from:p.start], '\n') + 1
			if i := bytes.IndexByte(b[p.end:to], '\n'); i >= 0 {
				to = p.end + i
			}
			if n := len(want); n > 0 && from <= want[n-1].end {
				want[n-1].end = max(want[n-1].end, to)
			} else {
				want = append(want, span{from, to})
			}
		}
		if got := text.hidden(); !slices.Equal(got, want) {
			t.Fatalf("%v: %v, not %v", text.payloads, got, want)
		}
	}
}

// Programs contain long rows of UTF-8 continuation bytes that belong to no rune.
func TestRowsOfContinuationBytes(t *testing.T) {
	e := New(builtin(t))
	for _, n := range []int{0, 1, 2, 3, 4, 5, 50, 200, 5000} {
		for _, r := range []string{"\u212a", "\u017f"} {
			row := bytes.Repeat([]byte{0x80}, n)
			for _, b := range [][]byte{append(slices.Clone(row), r...), append([]byte(r), row...), append(append(slices.Clone(row), r...), row...)} {
				for range e.Detect(scanners.Chunk{Artifact: &scanners.Artifact{}, Data: b, Line: 1, Column: 1, To: len(b)}) {
					t.Error("a match in nothing")
				}
			}
		}
	}
	for _, c := range []struct {
		b    string
		i, w int
	}{{"", 0, 0}, {"aé", 2, 1}, {"a\u212a", 3, 1}, {"a\U0001f511", 4, 1}, {"\x80\x80\x80\x80\x80", 4, 4}, {"a\x80\x80\x80\x80", 4, 4}, {"abc", 2, 2}} {
		if c.b == "" {
			continue
		}
		if got := runeStart([]byte(c.b), c.i); got != c.w {
			t.Errorf("%q at %d: %d, not %d", c.b, c.i, got, c.w)
		}
	}
}
