package cilog

import (
	"math/rand/v2"
	"testing"
)

func TestATimeIsComparedAsItsShape(t *testing.T) {
	const at, others = "2026-05-03T01:16:34", "0129-:T/ \x00\xb0"
	if !dated([]byte(at)) || dated([]byte(at[:18])) {
		t.Error("a time is not one")
	}
	for i := range len(at) {
		for c := range 256 {
			b := []byte(at + ".1Z")
			b[i] = byte(c)
			if dated(b) != shaped(b, dateTime) {
				t.Fatalf("%q: %v", b, dated(b))
			}
		}
	}
	for range 10000 {
		b := []byte(at)
		for range 1 + rand.IntN(3) {
			b[rand.IntN(len(b))] = others[rand.IntN(len(others))]
		}
		if dated(b) != shaped(b, dateTime) {
			t.Fatalf("%q: %v", b, dated(b))
		}
	}
}
