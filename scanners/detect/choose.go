package detect

import (
	"cmp"
	"maps"
	"math"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// laterCost is how much rarer an inner literal must be than the first one: its
// automaton says less, since it sees only the rest of a match.
const laterCost = 4

// maxGrams bounds what a short literal is expanded to.
const maxGrams = 8192

// cheapest gives the grams of the literals that occur least, with how often
// that is expected per byte. Short literals are completed by what may follow
// them, or by the byte before, which is none of a word.
func cheapest(lits []string, rest *syntax.Prog, wordBefore bool) ([]placedGram, float64) {
	var out []placedGram
	total := 0.0
	short := false
	for _, l := range lits {
		if len(l) < gramLen {
			short = true
			break
		}
		if slices.ContainsFunc(lits, func(p string) bool { return p != l && strings.HasPrefix(l, p) }) {
			continue // where it stands the shorter one does
		}
		at, least := 0, 1.0
		for off := 0; off+gramLen <= len(l); off++ {
			p := frequency(gramOf(l[off:]))
			if l[off:off+gramLen] == strings.Repeat(l[off:off+1], gramLen) {
				p = max(p, oneByte) // encoded zeros, lines of dashes
			}
			if p < least {
				at, least = off, p
			}
		}
		out = append(out, placedGram{gramOf(l[at:]), int16(at)})
		total += least
	}
	if !short {
		return out, total
	}
	auto := newAutomaton(rest)
	set := map[uint32]struct{}{}
	for c := textStart; c <= afterOther; c++ {
		g, ok := auto.grams(c, maxGrams)
		if !ok {
			return nil, 0
		}
		maps.Copy(set, g)
	}
	out, total = nil, 0
	for g := range set {
		out = append(out, placedGram{g, 0})
		total += frequency(g)
	}
	if !wordBefore {
		return out, total
	}
	heads := map[uint32]struct{}{}
	for g := range set {
		heads[g<<8] = struct{}{}
	}
	var before []placedGram
	rare := 0.0
	for c := range 256 {
		if word(byte(c)) {
			continue
		}
		for h := range heads {
			before = append(before, placedGram{h | uint32(c|0x20), -1})
		}
	}
	slices.SortFunc(before, func(a, b placedGram) int { return cmp.Compare(a.gram, b.gram) })
	before = slices.Compact(before)
	for _, p := range before {
		rare += frequency(p.gram)
	}
	if rare < total && len(before) <= maxGrams {
		return before, rare
	}
	return out, total
}

// rarity is -log2 of how often a byte occurs in CI logs and Go sources, with
// bit 0x20 set, for 0x20-0x3f and 0x60-0x7f.
const rarity = "" +
	"\x03\x0a\x08\x09\x0b\x09\x0b\x0a\x08\x06\x06\x0b\x07\x05\x05\x05\x05\x05\x05\x06\x06\x06\x06\x07\x06\x07\x06\x08\x0b\x09\x0a\x0c" +
	"\x0a\x05\x06\x05\x06\x04\x07\x06\x06\x05\x08\x07\x06\x06\x05\x05\x06\x0a\x05\x05\x05\x06\x07\x08\x07\x08\x08\x07\x09\x08\x0c\x08"

// oneByte is how often a gram of one byte is expected at least.
const oneByte = 1.0 / 512

// frequency is how often a gram is expected per byte, its collisions in the
// bitmap included.
func frequency(g uint32) float64 {
	n := 0.0
	before := byte(0)
	for range gramLen {
		c := byte(g)
		switch {
		case c >= utf8.RuneSelf:
			n += 12
		case letter(before) && letter(c):
			n += math.Log2('z'-'a'+1) - float64(int(follows[int(before-'a')*26+int(c-'a')])-'Q')/4
		default:
			n += float64(rarity[c&0x1f|c>>1&0x20])
		}
		before = c
		g >>= 8
	}
	return math.Exp2(-n) + math.Ldexp(1, -hashBits)
}
