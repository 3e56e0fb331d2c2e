package detect

import (
	"cmp"
	_ "embed"
	"encoding/binary"
	"maps"
	"math"
	"regexp/syntax"
	"slices"
	"sync"
	"unicode/utf8"
)

// laterCost is how much rarer an inner literal must be than the first one: its
// automaton says less, since it sees only the rest of a match.
const laterCost = 64

// maxGrams bounds what a short literal is expanded to.
const maxGrams = 8192

// cheapest gives the grams of the literals that occur least, with how often
// that is expected per byte. Short literals are completed by what may follow
// them, or by the byte before, which is none of a word.
func cheapest(lits []string, rest *syntax.Prog, wordBefore bool) ([]placedGram, float64) {
	short := slices.ContainsFunc(lits, func(l string) bool { return len(l) < gramLen })
	if !short {
		return cover(lits)
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
	var out []placedGram
	total := 0.0
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

// cover gives grams that occur little and of which each literal has one: the one that
// costs least for each literal that it adds, until none is left.
func cover(lits []string) ([]placedGram, float64) {
	var out []placedGram
	total := 0.0
	left := slices.Clone(lits)
	for len(left) > 0 {
		has := map[placedGram]int{} // how many of those left
		for _, l := range left {
			for off := 0; off+gramLen <= len(l); off++ {
				has[placedGram{gramOf(l[off:]), int16(off)}]++
			}
		}
		var best placedGram
		least, cost := math.Inf(1), 0.0
		for _, g := range slices.SortedFunc(maps.Keys(has), placedGram.compare) {
			p := frequency(g.gram)
			if g.gram&0xff*0x01010101 == g.gram {
				p = max(p, oneByte) // encoded zeros, lines of dashes
			}
			if each := p / float64(has[g]); each < least {
				best, least, cost = g, each, p
			}
		}
		out, total = append(out, best), total+cost
		left = slices.DeleteFunc(left, func(l string) bool {
			off := int(best.off)
			return off+gramLen <= len(l) && gramOf(l[off:]) == best.gram
		})
	}
	return out, total
}

func (g placedGram) compare(o placedGram) int {
	return cmp.Or(cmp.Compare(g.off, o.off), cmp.Compare(g.gram, o.gram))
}

// rarity is -log2 of how often a byte occurs in CI logs and Go sources, with
// bit 0x20 set, for 0x20-0x3f and 0x60-0x7f.
const rarity = "" +
	"\x03\x0a\x08\x09\x0b\x09\x0b\x0a\x08\x06\x06\x0b\x07\x05\x05\x05\x05\x05\x05\x06\x06\x06\x06\x07\x06\x07\x06\x08\x0b\x09\x0a\x0c" +
	"\x0a\x05\x06\x05\x06\x04\x07\x06\x06\x05\x08\x07\x06\x06\x05\x05\x06\x0a\x05\x05\x05\x06\x07\x08\x07\x08\x08\x07\x09\x08\x0c\x08"

// oneByte is how often a gram of one byte is expected at least.
const oneByte = 1.0 / 512

// commonGrams are the commonest ones in the texts of the Go distribution: four bytes each,
// and -log2 of how often each occurs per byte, in eighths. letters_gen.go makes them.
//
//go:embed common.grams
var commonGrams []byte

const commonGram = gramLen + 1 // bytes

// common has how often each of them occurs; the last one's is least.
var common = sync.OnceValue(func() map[uint32]float64 {
	out := map[uint32]float64{}
	for g := range slices.Chunk(commonGrams, commonGram) {
		out[binary.LittleEndian.Uint32(g)] = math.Exp2(-float64(g[gramLen]) / 8)
	}
	return out
})

// frequency is how often a gram is expected per byte, its collisions in the
// bitmap included.
func frequency(g uint32) float64 {
	collisions := math.Ldexp(1, -hashBits)
	if p, ok := common()[g]; ok {
		return p + collisions
	}
	least := math.Exp2(-float64(commonGrams[len(commonGrams)-1]) / 8)
	return min(estimate(g), least) + collisions
}

// estimate is a guess by which letters follow each other.
func estimate(g uint32) float64 {
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
	return math.Exp2(-n)
}
