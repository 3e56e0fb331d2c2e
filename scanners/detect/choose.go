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

// laterCost is how many times rarer an inner literal must be than the first one to be chosen:
// its automaton rejects less, because it sees only the rest of a match.
const laterCost = 64

// maxGrams limits how many grams a short literal is expanded to.
const maxGrams = 8192

// cheapest returns the grams of the literals that occur least, and how often per byte they are
// expected. Short literals are extended by what may follow them, or by the preceding byte,
// which is not part of a word.
func cheapest(lits []string, rest *syntax.Prog, wordBefore bool) ([]placedGram, float64) {
	var short, long []string
	for _, l := range lits {
		if len(l) < gramLen {
			short = append(short, l)
		}
	}
	begin := func(text []byte) bool {
		return slices.ContainsFunc(short, func(s string) bool {
			for i := range len(s) {
				if text[i]|0x20 != s[i]|0x20 {
					return false
				}
			}
			return true
		})
	}
	for _, l := range lits {
		if len(l) >= gramLen && !begin([]byte(l)) {
			long = append(long, l)
		}
	}
	out, total := cover(long)
	if len(short) == 0 {
		return out, total
	}
	auto := newAutomaton(rest)
	set := map[uint32]struct{}{}
	for c := textStart; c <= afterOther; c++ {
		all, ok := auto.grams(c, maxGrams)
		if !ok {
			return nil, 0
		}
		for g := range all {
			if begin(binary.LittleEndian.AppendUint32(nil, g)) {
				set[g] = struct{}{}
			}
		}
	}
	behind := slices.Clone(out)
	for g := range set {
		behind = append(behind, placedGram{g, 0})
	}
	total = costs(behind)
	if !wordBefore {
		return behind, total
	}
	heads := map[uint32]struct{}{}
	for g := range set {
		heads[g<<8] = struct{}{}
	}
	before := out
	for c := range 256 {
		if word(byte(c)) {
			continue
		}
		for h := range heads {
			before = append(before, placedGram{h | uint32(c|0x20), -1})
		}
	}
	slices.SortFunc(before, placedGram.compare)
	before = slices.Compact(before)
	if rare := costs(before); rare < total && len(before) <= maxGrams {
		return before, rare
	}
	return behind, total
}

// cover returns rare grams such that each literal contains one of them: in each round the gram
// with the lowest cost for each literal that it adds, until no literal is left.
func cover(lits []string) ([]placedGram, float64) {
	var out []placedGram
	left := slices.Clone(lits)
	for len(left) > 0 {
		has := map[placedGram]int{} // how many of those left contain it
		for _, l := range left {
			for off := 0; off+gramLen <= len(l); off++ {
				has[placedGram{gramOf(l[off:]), int16(off)}]++
			}
		}
		var best placedGram
		least := math.Inf(1)
		for _, g := range slices.SortedFunc(maps.Keys(has), placedGram.compare) {
			if each := costs([]placedGram{g}) / float64(has[g]); each < least {
				best, least = g, each
			}
		}
		out = append(out, best)
		left = slices.DeleteFunc(left, func(l string) bool {
			off := int(best.off)
			return off+gramLen <= len(l) && gramOf(l[off:]) == best.gram
		})
	}
	return out, costs(out)
}

// rarest is the gram of a literal that occurs least by the estimate alone. The lists of common
// grams would take longer to read than a small scan.
func rarest(literal string) (best placedGram) {
	least := math.Inf(1)
	for off := 0; off+gramLen <= len(literal); off++ {
		g := gramOf(literal[off:])
		if n := estimate(g); n < least {
			best, least = placedGram{g, int16(off)}, n
		}
	}
	return best
}

func (g placedGram) compare(o placedGram) int {
	return cmp.Or(cmp.Compare(g.off, o.off), cmp.Compare(g.gram, o.gram))
}

// rarity is -log2 of how often a byte occurs in CI logs and Go sources, with bit 0x20 set, for
// 0x20-0x3f and 0x60-0x7f.
const rarity = "" +
	"\x03\x0a\x08\x09\x0b\x09\x0b\x0a\x08\x06\x06\x0b\x07\x05\x05\x05\x05\x05\x05\x06\x06\x06\x06\x07\x06\x07\x06\x08\x0b\x09\x0a\x0c" +
	"\x0a\x05\x06\x05\x06\x04\x07\x06\x06\x05\x08\x07\x06\x06\x05\x05\x06\x0a\x05\x05\x05\x06\x07\x08\x07\x08\x08\x07\x09\x08\x0c\x08"

// oneByte is the lowest frequency that is assumed for a gram of one byte.
const oneByte = 1.0 / 512

// The most common grams and triples in the texts of the Go distribution: their bytes, and -log2
// of how often each occurs per byte, in eighths. letters_gen.go generates them.
//
//go:embed common.grams
var commonGrams []byte

//go:embed common.triples
var commonTriples []byte

// common reads one of the two lists: often gives the frequency of each entry, rest the highest
// frequency of what is in neither list.
func common(list []byte, size int) (often map[uint32]float64, rest float64) {
	often = map[uint32]float64{}
	for x := range slices.Chunk(list, size+1) {
		var b [4]byte
		copy(b[:], x[:size])
		rest = math.Exp2(-float64(x[size]) / 8)
		often[binary.LittleEndian.Uint32(b[:])] = rest
	}
	return often, rest
}

// texts is how often grams and triples occur in text.
type texts struct {
	grams, triples map[uint32]float64
	rarest, fewest float64
}

var inTexts = sync.OnceValue(func() (t texts) {
	t.grams, t.rarest = common(commonGrams, gramLen)
	t.triples, t.fewest = common(commonTriples, gramLen-1)
	return t
})

// tripleCost is the cost of an occurrence of a gram's first or last three bytes (one lookup in
// the bitmap, at every second position), relative to the cost of an occurrence of the whole
// gram (one attempt).
const tripleCost = 1.0 / 24

// costs is what it costs per byte of text to search for grams: their expected frequency,
// including collisions in the bitmap, and that of their triples, each counted once.
func costs(grams []placedGram) float64 {
	t := inTexts()
	total := 0.0
	var seen [2]map[uint32]bool
	for _, g := range grams {
		p, ok := t.grams[g.gram]
		if !ok {
			p = min(estimate(g.gram), t.rarest)
		}
		if g.gram&0xff*0x01010101 == g.gram {
			p = max(p, oneByte) // encoded zeros, lines of dashes
		}
		total += p + math.Ldexp(1, -hashBits)
		for i, triple := range []uint32{g.gram & 0xffffff, g.gram >> 8} {
			if seen[i][triple] {
				continue
			}
			if seen[i] == nil {
				seen[i] = map[uint32]bool{}
			}
			seen[i][triple] = true
			p, ok := t.triples[triple]
			if !ok {
				p = t.fewest / 4
			}
			total += p * tripleCost
		}
	}
	return total
}

// estimate estimates a gram's frequency from how often its letters follow each other.
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
