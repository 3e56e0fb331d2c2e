package detect

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"maps"
	"math/bits"
	"slices"
)

// The literals of all rules are searched for at once by their grams: four bytes
// in a row, each with bit 0x20 set, which folds the case of letters. A bitmap
// over a hash of the gram answers for most places with one look into 32 KiB;
// what passes is compared exactly and then put to the rule's automaton.
const (
	gramLen  = 4
	fold4    = 0x20202020
	hashBits = 18
	hashMul  = 0x9e3779b1 // 2^32 over the golden ratio: Fibonacci hashing
)

func gramAt(b []byte) uint32 { return binary.LittleEndian.Uint32(b) | fold4 }

func gramOf(s string) uint32 { return gramAt([]byte(s)) }

func gramHash(g uint32) uint32 { return g * hashMul >> (32 - hashBits) }

// gramTable finds, for a gram, the anchors that it belongs to.
type gramTable struct {
	// threes are the hashes of each gram's first three bytes, and of its last three: one
	// look tells of two places.
	threes [1 << hashBits / 64]uint64
	bitmap [1 << hashBits / 64]uint64
	rank   [1 << hashBits / 64]uint32 // set bits before each word
	first  []uint32                   // by rank: the hash's entries; one more at the end
	list   []gramEntry
	// buckets are for the look at many places at once; see buckets.go.
	buckets buckets
}

type gramEntry struct {
	gram   uint32
	anchor uint16
	off    int16 // where the gram stands from the anchor's literal on
	// The literal's first eight bytes, folded, as far as the mask goes: those that
	// all literals have which the gram is of.
	head, mask uint64
}

const fold8 = fold4<<32 | fold4

// behead notes how the literals begin which the entry's gram is of. Where one is
// shorter than a gram, the gram may be of that and of what follows it.
func (e *gramEntry) behead(literals []string) {
	if slices.ContainsFunc(literals, func(l string) bool { return len(l) < gramLen }) {
		return
	}
	first := true
	for _, l := range literals {
		if k := int(e.off); k < 0 || k+gramLen > len(l) || gramOf(l[k:]) != e.gram {
			continue
		}
		var b [8]byte
		n := copy(b[:], l)
		head, mask := binary.LittleEndian.Uint64(b[:])|fold8, ^uint64(0)>>(64-8*n)
		if first {
			e.head, e.mask, first = head, mask, false
		}
		// Up to the first byte that differs.
		if d := (e.head ^ head) & e.mask; d != 0 {
			mask &= 1<<(bits.TrailingZeros64(d)&^7) - 1
		}
		e.mask &= mask
	}
}

// misses reports whether none of the entry's literals stands at b[pos], and nothing
// shows why: a line break in it, or what may be one, or a mask.
func (e *gramEntry) misses(b []byte, pos int) bool {
	if pos < 0 || pos+8 > len(b) {
		return false
	}
	d := (binary.LittleEndian.Uint64(b[pos:]) | fold8 ^ e.head) & e.mask
	if d == 0 || cuts[b[pos+bits.TrailingZeros64(d)/8]] {
		return false
	}
	return e.off <= 0 || bytes.IndexByte(b[pos:pos+int(e.off)], '\n') < 0
}

// cuts marks the bytes at which a literal may have been cut: see lineEnd and masks.
var cuts = func() (t [256]bool) {
	for _, c := range []byte("\\=\r\n*") {
		t[c] = true
	}
	for _, m := range masks {
		t[m[0]] = true
	}
	return t
}()

type gramSet map[gramEntry]struct{}

// sorted lists the entries as a table has them: by hash, gram, anchor and place.
func (s gramSet) sorted() []gramEntry {
	out := slices.Collect(maps.Keys(s))
	slices.SortFunc(out, func(a, b gramEntry) int {
		return cmp.Or(cmp.Compare(gramHash(a.gram), gramHash(b.gram)), cmp.Compare(a.gram, b.gram), cmp.Compare(a.anchor, b.anchor), cmp.Compare(a.off, b.off))
	})
	return out
}

// newGramTable makes a table of sorted entries.
func newGramTable(sorted []gramEntry, b buckets) *gramTable {
	t := &gramTable{list: sorted, buckets: b}
	last := uint32(1 << hashBits)
	for i, e := range t.list {
		h := gramHash(e.gram)
		t.bitmap[h/64] |= 1 << (h % 64)
		for _, three := range [2]uint32{e.gram, e.gram >> 8} {
			h := gramHash(three & low3)
			t.threes[h/64] |= 1 << (h % 64)
		}
		if h != last {
			t.first = append(t.first, uint32(i))
			last = h
		}
	}
	t.first = append(t.first, uint32(len(t.list)))
	n := uint32(0)
	for i, w := range t.bitmap {
		t.rank[i] = n
		n += uint32(bits.OnesCount64(w))
	}
	return t
}

// may reports whether the hash of g is in the bitmap.
func (t *gramTable) may(g uint32) bool {
	h := gramHash(g)
	return t.bitmap[h/64]>>(h%64)&1 != 0
}

// at lists the entries whose hash is that of g, which is in the bitmap.
func (t *gramTable) at(g uint32) []gramEntry {
	h := gramHash(g)
	k := t.rank[h/64] + uint32(bits.OnesCount64(t.bitmap[h/64]&(1<<(h%64)-1)))
	return t.list[t.first[k]:t.first[k+1]]
}

// blockLen is how many places are looked at before the hits are worked off: the
// text stays in the first-level cache between both.
const blockLen = 4096

// low3 takes a gram's first three bytes.
const low3 = 1<<24 - 1

// maxPairs is how many pairs of places are looked at before what passed is looked at
// again.
const maxPairs = 256

// scanScalar writes the places of b[from:to] whose gram's hash is in the bitmap to
// hits, at most blockLen places a call, and returns how many and where to go on.
func (t *gramTable) scanScalar(b []byte, from, to int, hits *[blockLen + 8]uint32) (n, next int) {
	to = min(to, from+blockLen, len(b)-gramLen+1)
	i := from
	var pairs [maxPairs + 8]uint8 // of places
	for i+8 <= to {
		begin, end := i, min(i+2*maxPairs, to)
		m := 0
		// Every pair is written, and only one that passes moves on: no branch to miss.
		for pair := uint8(0); i+8 <= end; i += 8 {
			// The three bytes behind a place are the last ones of a gram there, or the
			// first ones of one at the next place.
			w := binary.LittleEndian.Uint64(b[i+1:]) | fold8
			v := binary.LittleEndian.Uint64(b[i+2:i+11])>>40 | fold4
			h0, h1, h2, h3 := uint32(w)&low3*hashMul, uint32(w>>16)&low3*hashMul, uint32(w>>32)&low3*hashMul, uint32(v)&low3*hashMul
			pairs[m&(maxPairs-1)] = pair
			m += int(t.threes[h0>>20] >> (h0 >> 14 & 63) & 1)
			pairs[m&(maxPairs-1)] = pair + 1
			m += int(t.threes[h1>>20] >> (h1 >> 14 & 63) & 1)
			pairs[m&(maxPairs-1)] = pair + 2
			m += int(t.threes[h2>>20] >> (h2 >> 14 & 63) & 1)
			pairs[m&(maxPairs-1)] = pair + 3
			m += int(t.threes[h3>>20] >> (h3 >> 14 & 63) & 1)
			pair += 4
		}
		for _, pair := range pairs[:m] {
			k := begin + 2*int(pair)
			h0, h1 := gramAt(b[k:])*hashMul, gramAt(b[k+1:])*hashMul
			hits[n] = uint32(k)
			n += int(t.bitmap[h0>>20] >> (h0 >> 14 & 63) & 1)
			hits[n] = uint32(k + 1)
			n += int(t.bitmap[h1>>20] >> (h1 >> 14 & 63) & 1)
		}
	}
	for ; i < to; i++ {
		if t.may(gramAt(b[i:])) {
			hits[n] = uint32(i)
			n++
		}
	}
	return n, max(i, from)
}
