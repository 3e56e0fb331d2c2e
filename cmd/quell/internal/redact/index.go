package redact

import (
	"math/bits"
	"math/rand/v2"
	"slices"
)

// index finds many patterns in a text in one pass. It stores a pattern as its last eight bytes,
// its length and a hash of the whole, never as the text.
type index struct {
	base   uint64 // random base of the hash
	filter []uint64
	// length maps the last eight bytes of a pattern to its length. more has the lengths of
	// further patterns with the same ending.
	length map[uint64]uint32
	more   map[uint64][]uint32
	whole  map[pattern]struct{}
}

type pattern struct {
	hash uint64
	len  uint32
}

// window is the number of bytes at a pattern's end that are its key.
const window = 8

// filterBits is the size of the filter, 512 KiB, that avoids most map lookups.
const filterBits = 22

func newIndex() *index {
	return &index{base: rand.Uint64N(prime-1<<32) + 1<<31, filter: make([]uint64, 1<<filterBits/64),
		length: map[uint64]uint32{}, more: map[uint64][]uint32{}, whole: map[pattern]struct{}{}}
}

// prime is 2^61-1, so that shifts reduce a product.
const prime = 1<<61 - 1

func mulmod(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	s := lo&prime + (lo>>61 | hi<<3)
	s = s&prime + s>>61
	if s >= prime {
		s -= prime
	}
	return s
}

func (x *index) step(h uint64, c byte) uint64 {
	h = mulmod(h, x.base) + uint64(c) + 1
	if h >= prime {
		h -= prime
	}
	return h
}

func (x *index) hash(s []byte) (h uint64) {
	for i := range len(s) {
		h = x.step(h, s[i])
	}
	return h
}

func slot(key uint64) (word uint64, bit uint64) {
	k := key * 0x9e3779b97f4a7c15 >> (64 - filterBits)
	return k / 64, 1 << (k % 64)
}

func (x *index) add(s []byte) {
	if len(s) < window {
		return
	}
	p := pattern{x.hash(s), uint32(len(s))}
	if _, known := x.whole[p]; known {
		return
	}
	x.whole[p] = struct{}{}
	var key uint64
	for i := len(s) - window; i < len(s); i++ {
		key = key<<8 | uint64(s[i])
	}
	word, bit := slot(key)
	x.filter[word] |= bit
	switch n, taken := x.length[key]; {
	case !taken:
		x.length[key] = p.len
	case n != p.len && !slices.Contains(x.more[key], p.len):
		x.more[key] = append(x.more[key], p.len)
	}
}

// maybe reports whether the end of a pattern occurs in s, plain or in base64 or hex. For most
// texts this is the only pass, because false is certain.
func (x *index) maybe(s []byte) bool {
	var raw, hex, low, high uint64 // the last 8 bytes, 16 hex digits, and 10 and 21 base64 digits
	n64 := 0
	for _, c := range s {
		raw = raw<<8 | uint64(c)
		if x.ends(raw) {
			return true
		}
		six := sixBitsOf[c]
		if six < 0 {
			n64 = 0
			continue
		}
		high, low = high<<6|low>>58, low<<6|uint64(six)
		if n64++; n64 >= shortest64 {
			// A value can end at the last bit, or two or four bits before. Six bits before
			// equals the end of the preceding digit.
			if x.ends(low) || x.ends(low>>2|high<<62) || x.ends(low>>4|high<<60) {
				return true
			}
		}
		if four := fourBitsOf[c]; four >= 0 {
			if hex = hex<<4 | uint64(four); x.ends(hex) {
				return true
			}
		}
	}
	return false
}

// ends reports whether any pattern ends with these eight bytes.
func (x *index) ends(key uint64) bool {
	if word, bit := slot(key); x.filter[word]&bit == 0 {
		return false
	}
	_, ok := x.length[key]
	return ok
}

// span is a range of a text.
type span struct{ from, to int }

// find lists the occurrences of patterns in s. For each end it lists only the longest.
func (x *index) find(s []byte) (out []span) {
	var key uint64
	var sums, powers []uint64 // of prefixes; computed on demand
	for i := range len(s) {
		key = key<<8 | uint64(s[i])
		if i < window-1 {
			continue
		}
		if !x.ends(key) {
			continue
		}
		n := x.length[key]
		if sums == nil {
			sums, powers = x.prefixes(s)
		}
		best := 0
		longer := func(n uint32) {
			from := i + 1 - int(n)
			if from < 0 || int(n) <= best {
				return
			}
			h := sums[i+1] + prime - mulmod(sums[from], powers[n])
			if h >= prime {
				h -= prime
			}
			if _, ok := x.whole[pattern{h, n}]; ok {
				best = int(n)
			}
		}
		longer(n)
		for _, n := range x.more[key] {
			longer(n)
		}
		if best > 0 {
			out = append(out, span{i + 1 - best, i + 1})
		}
	}
	return out
}

// merged sorts spans and joins adjoining and overlapping ones.
func merged(list []span) []span {
	slices.SortFunc(list, func(a, b span) int { return a.from - b.from })
	out := list[:0]
	for _, s := range list {
		if n := len(out); n > 0 && s.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, s.to)
			continue
		}
		out = append(out, s)
	}
	return out
}

// prefixes returns the hash of each prefix of s, and the powers of the base.
func (x *index) prefixes(s []byte) (sums, powers []uint64) {
	sums, powers = make([]uint64, len(s)+1), make([]uint64, len(s)+1)
	powers[0] = 1
	for i := range len(s) {
		sums[i+1] = x.step(sums[i], s[i])
		powers[i+1] = mulmod(powers[i], x.base)
	}
	return sums, powers
}
