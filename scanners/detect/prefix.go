package detect

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
)

// maxPrefix is the longest prefix, in bytes, that two adjacent lines may share: job, step and
// time of a CI system, a pod's and a container's name.
const maxPrefix = 200

// sharedPrefix is how many bytes of each of two adjacent lines are a prefix that a tool writes
// before every line: the same up to a blank, except for the digits of times and counters.
func sharedPrefix(a, b []byte) (inA, inB int) {
	i, k := 0, 0
	for i < len(a) && k < len(b) && i < maxPrefix {
		if i+8 <= min(len(a), maxPrefix) && k+8 <= len(b) {
			// Eight bytes at once, up to a number that may continue after them.
			w := binary.LittleEndian.Uint64(a[i:])
			if w == binary.LittleEndian.Uint64(b[k:]) {
				if n := 8 - bits.LeadingZeros64(noDigits(w))/8; n > 0 {
					blank := ^(nonzero(w^' '*eachByte) & nonzero(w^'\t'*eachByte)) & (0x80 * eachByte) << (64 - 8*n) >> (64 - 8*n)
					if blank != 0 {
						last := bits.Len64(blank) / 8
						inA, inB = i+last, k+last
					}
					i, k = i+n, k+n
					continue
				}
			}
		}
		if digit(a[i]) && digit(b[k]) {
			for i < len(a) && digit(a[i]) {
				i++
			}
			for k < len(b) && digit(b[k]) {
				k++
			}
			continue
		}
		if a[i] != b[k] {
			break
		}
		i, k = i+1, k+1
		if c := a[i-1]; c == ' ' || c == '\t' {
			inA, inB = i, k
		}
	}
	if inA == 0 || assigns(a[max(0, inA-48):inA]) {
		return 0, 0
	}
	return inA, inB
}

// noDigits has the high bit of each byte of w that is no digit.
func noDigits(w uint64) uint64 {
	const low, high = 0x0f * eachByte, 0xf0 * eachByte
	return nonzero(w&high^'0'*eachByte) | (w&low+6*eachByte)&(0x10*eachByte)<<3
}

// assigns reports whether a text ends in the name of a credential and the sign that assigns its
// value: lines that share it have different values.
func assigns(b []byte) bool {
	b = bytes.TrimRight(b, " \t\"'")
	end := len(b)
	for end > 0 && isLetter(b[end-1]) {
		end--
	}
	if w := b[end:]; bytes.EqualFold(w, []byte("bearer")) || bytes.EqualFold(w, []byte("token")) {
		b = bytes.TrimRight(b[:end], " \t\"'")
	}
	if len(b) == 0 || b[len(b)-1] != ':' && b[len(b)-1] != '=' {
		return false
	}
	b = bytes.TrimRight(b[:len(b)-1], " \t\"'")
	return slices.ContainsFunc(credentialNames, func(n []byte) bool {
		return len(b) >= len(n) && bytes.EqualFold(b[len(b)-len(n):], n)
	})
}

var credentialNames = [][]byte{[]byte("token"), []byte("authorization"), []byte("cookie"), []byte("key"), []byte("secret"), []byte("session"), []byte("sid"),
	[]byte("password"), []byte("passwd"), []byte("pass"), []byte("credential")}

// unprefixed leaves out the prefix that two adjacent lines share.
func unprefixed(b []byte, prev, cur line) (line, line) {
	n, m := sharedPrefix(b[prev.start:prev.end], b[cur.start:cur.end])
	prev.start, cur.start = min(prev.start+n, prev.end), min(cur.start+m, cur.end)
	return prev, cur
}
