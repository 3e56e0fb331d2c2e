package detect

import (
	"math/rand/v2"
	"testing"
)

// sharedPrefix compares eight bytes at once where it can. The reference compares the lines number
// by number and byte by byte.
func TestThePrefixOfTwoLinesIsThatOfEachByte(t *testing.T) {
	steps := func(b []byte) (out []span) {
		for i, c := range b {
			if i > 0 && digit(c) && digit(b[i-1]) {
				out[len(out)-1].end++
			} else {
				out = append(out, span{i, i + 1})
			}
		}
		return out
	}
	reference := func(a, b []byte) (inA, inB int) {
		ofA, ofB := steps(a), steps(b)
		for n := range min(len(ofA), len(ofB)) {
			x, y := a[ofA[n].start], b[ofB[n].start]
			if ofA[n].start >= maxPrefix || x != y && !(digit(x) && digit(y)) {
				break
			}
			if x == ' ' || x == '\t' {
				inA, inB = ofA[n].end, ofB[n].end
			}
		}
		if assigns(a[max(0, inA-48):inA]) {
			return 0, 0
		}
		return inA, inB
	}
	r := rand.New(rand.NewPCG(5, 6))
	pieces := []string{"2026-05-03T01:16:34.3352086Z ", "12", "9", "1234567890123", " ", "\t", "job", "[name] ", "token=", "é", "x:/", ";", "\x80", "\xb0", "00"}
	shared := 0
	for range 100_000 / fewer {
		var a, b []byte
		for range r.IntN(16) {
			p := pieces[r.IntN(len(pieces))]
			a, b = append(a, p...), append(b, p...)
			if r.IntN(6) == 0 {
				a = append(a, pieces[r.IntN(len(pieces))]...)
			}
			if r.IntN(6) == 0 {
				b = append(b, pieces[r.IntN(len(pieces))]...)
			}
		}
		n, m := sharedPrefix(a, b)
		if x, y := reference(a, b); n != x || m != y {
			t.Fatalf("%q and %q share %d and %d bytes, not %d and %d", a, b, n, m, x, y)
		}
		if n > 8 {
			shared++
		}
	}
	if shared == 0 {
		t.Error("no two lines shared a prefix")
	}
	for c := range 256 {
		if got := noDigits(uint64(c) * eachByte); got != 0 == digit(byte(c)) || got != 0 && got != 0x80*eachByte {
			t.Errorf("%#x: %x", c, got)
		}
	}
}
