package detect

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/quellhq/quell/scanners/cilog"
)

// The search finds the literals of all rules at once by their grams: four consecutive bytes,
// each with bit 0x20 set, which folds the case of letters. A table of 256 KiB (text uses a
// small part of it) gives for each three bytes whether a gram begins or ends with them, so that
// one lookup at every second position covers two positions. The remaining positions are looked
// up in a bitmap over a hash of the gram, compared exactly, and passed to the rule's automaton.
const (
	gramLen  = 4
	fold4    = 0x20202020
	hashBits = 18
	hashMul  = 0x9e3779b1 // 2^32 over the golden ratio: Fibonacci hashing
)

func gramAt(b []byte) uint32 { return binary.LittleEndian.Uint32(b) | fold4 }

func gramOf(s string) uint32 { return gramAt([]byte(s)) }

func gramHash(g uint32) uint32 { return g * hashMul >> (32 - hashBits) }

// gramTable maps a gram to its anchors.
type gramTable struct {
	triples triples
	bitmap  [1 << hashBits / 64]uint64
	rank    [1 << hashBits / 64]uint32 // set bits before each word
	first   []uint32                   // by rank: the hash's entries; one more at the end
	list    []gramEntry
}

// triples has flags for each three bytes, indexed by the six bits of each ASCII byte that
// folding leaves.
type triples [1 << 18]byte

// The flags of a triple.
const (
	lastThree  = 1 << iota // the last three bytes of a gram
	firstThree             // its first three
)

// tripleAt packs the first three bytes of a gram.
func tripleAt(gram uint32) uint32 {
	six := func(c uint32) uint32 { return c&0x1f | c>>1&0x20 }
	return six(gram) | six(gram>>8)<<6 | six(gram>>16)<<12
}

type gramEntry struct {
	gram   uint32
	anchor uint16
	off    int8 // position of the gram relative to the anchor's literal
	bound  bool // the literal begins at a word boundary
	// The literal's first eight bytes, folded; mask covers those that all literals which
	// contain the gram have in common.
	head, mask uint64
}

const fold8 = fold4<<32 | fold4

// behead records how the literals begin that contain the entry's gram. A literal shorter than a
// gram may share it with the text that follows.
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
		// The mask ends before the first byte that differs.
		if d := (e.head ^ head) & e.mask; d != 0 {
			mask &= 1<<(bits.TrailingZeros64(d)&^7) - 1
		}
		e.mask &= mask
	}
}

// misses reports whether none of the entry's literals is at b[pos], or a literal that must
// begin a word does not, and no possible reason is visible: a line break within it, or what may
// be one, or a mask.
func (e *gramEntry) misses(b []byte, pos int) bool {
	if pos < 0 || pos+8 > len(b) {
		return false
	}
	d := (binary.LittleEndian.Uint64(b[pos:]) | fold8 ^ e.head) & e.mask
	within := e.bound && pos > 0 && word(b[pos-1])
	if !within && (d == 0 || cuts[b[pos+bits.TrailingZeros64(d)/8]]) {
		return false
	}
	return e.off <= 0 || bytes.IndexByte(b[pos:pos+int(e.off)], '\n') < 0
}

// cuts marks the bytes at which a literal may have been cut: see lineEnd and masks.
var cuts = func() (t [256]bool) {
	for _, c := range []byte("\\=\r\n*") {
		t[c] = true
	}
	for _, m := range cilog.Masks {
		t[m[0]] = true
	}
	return t
}()

// sortGrams sorts entries, which are in the order of their anchors and positions, into the
// order of a table.
func sortGrams(list []gramEntry) []gramEntry {
	order := make([]uint64, len(list))
	for i, e := range list {
		order[i] = uint64(e.gram*hashMul)<<32 | uint64(i)
	}
	slices.Sort(order)
	out := make([]gramEntry, len(list))
	for i, o := range order {
		out[i] = list[uint32(o)]
	}
	return out
}

// compare defines the order of entries in a table: by hash, gram, anchor and position. It
// compares the product that the hash is taken from, which differs for each gram.
func (e gramEntry) compare(o gramEntry) int {
	return cmp.Or(cmp.Compare(e.gram*hashMul, o.gram*hashMul), cmp.Compare(e.anchor, o.anchor), cmp.Compare(e.off, o.off))
}

// newGramTable makes a table of sorted entries.
func newGramTable(sorted []gramEntry) *gramTable {
	t := &gramTable{list: sorted}
	last := uint32(1 << hashBits)
	for i, e := range t.list {
		h := gramHash(e.gram)
		t.bitmap[h/64] |= 1 << (h % 64)
		t.triples[tripleAt(e.gram)] |= firstThree
		t.triples[tripleAt(e.gram>>8)] |= lastThree
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

// at lists the entries whose hash is that of g. The bitmap must contain it.
func (t *gramTable) at(g uint32) []gramEntry {
	h := gramHash(g)
	k := t.rank[h/64] + uint32(bits.OnesCount64(t.bitmap[h/64]&(1<<(h%64)-1)))
	return t.list[t.first[k]:t.first[k+1]]
}

// blockLen is how many positions are scanned before their hits are processed: the text stays in
// the first-level cache between both.
const blockLen = 4096

const blockSize = 64

// fewPlaces is the number of positions that are faster to check one by one.
const fewPlaces = 8

// passed are the positions of a text that pass the filter of a table.
type passed struct {
	hits  [blockLen + 8]uint32
	masks [blockLen / blockSize]uint64
}

// scan writes the positions of b[from:to] whose gram's hash is in the bitmap to p's hits, at
// most blockLen positions for each call. It returns how many there are and where to continue.
func (t *gramTable) scan(b []byte, from, to int, p *passed) (n, next int) {
	hits, masks := &p.hits, &p.masks
	to = min(to, from+blockLen, len(b)-gramLen+1)
	if to-from < fewPlaces {
		for i := from; i < to; i++ {
			if t.may(gramAt(b[i:])) {
				hits[n] = uint32(i)
				n++
			}
		}
		return n, max(to, from)
	}
	blocks := (to - from) / blockSize
	if blocks > 0 {
		t.triples.masks(b[from+1:], masks[:blocks])
	}
	if rest := (to - from) % blockSize; rest > 0 {
		var last [blockSize + 2]byte
		copy(last[:], b[to-rest+1:])
		t.triples.masks(last[:], masks[blocks:blocks+1])
		masks[blocks] &= 1<<rest - 1
		blocks++
	}
	m := 0
	for k, mask := range masks[:blocks] {
		i := from + k*blockSize
		// Four are always written, and the next ones overwrite those that are invalid: this
		// avoids mispredicted branches.
		for end := m + bits.OnesCount64(mask); ; {
			x := (*[4]uint32)(hits[m:])
			x[0] = uint32(i + bits.TrailingZeros64(mask))
			mask &= mask - 1
			x[1] = uint32(i + bits.TrailingZeros64(mask))
			mask &= mask - 1
			x[2] = uint32(i + bits.TrailingZeros64(mask))
			mask &= mask - 1
			x[3] = uint32(i + bits.TrailingZeros64(mask))
			mask &= mask - 1
			if m += 4; m >= end {
				m = end
				break
			}
		}
	}
	for _, k := range hits[:m] {
		h := gramAt(b[k:]) * hashMul
		// Every position is written; only one that passes advances the index.
		hits[n] = k
		n += int(t.bitmap[h>>20] >> (h >> 14 & 63) & 1)
	}
	return n, to
}

// inGo sets the bits of mask for those of 64 positions at which a gram may begin; the first is
// the position before b. A gram may begin where its first or last three bytes are at b's next
// even position. Two bytes after the last block are read.
func (t *triples) inGo(b []byte, masks []uint64) {
	const low, high = 0x1f1f1f1f1f1f1f1f, 0x2020202020202020
	for k := range masks {
		part := b[k*blockSize : k*blockSize+blockSize+2]
		m := uint64(0)
		for i := 0; i < blockSize; i += 8 {
			x := binary.LittleEndian.Uint64(part[i:])
			// Six bits of each byte, side by side.
			x = x&low | x>>1&high
			x = x&0x00ff00ff00ff00ff | x&0xff00ff00ff00ff00>>2
			x = x&0x0000ffff0000ffff | x&0xffff0000ffff0000>>4
			x = x&0x00000000ffffffff | x&0xffffffff00000000>>8
			c := uint64(part[i+8])
			x |= (c&0x1f | c>>1&0x20) << 48
			m |= uint64(t[x&(1<<18-1)]|t[x>>12&(1<<18-1)]<<2|t[x>>24&(1<<18-1)]<<4|t[x>>36&(1<<18-1)]<<6) << i
		}
		masks[k] = m
	}
}
