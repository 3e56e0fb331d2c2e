package detect

import (
	"encoding/base64"
	"slices"
	"unicode/utf8"

	"github.com/quellhq/quell/scanners"
)

// Limits of decoding: how deep encodings are nested (gitleaks has the same
// five), the shortest run worth a try, and how many bytes one chunk may become.
const (
	maxDepth   = 5
	minEncoded = 24
	maxDecoded = 8 << 20
)

// base64Class marks the bytes of both alphabets (RFC 4648, sections 4 and 5).
var base64Class = func() (t [256]bool) {
	for c := range t {
		t[c] = word(byte(c)) || c == '+' || c == '/' || c == '-'
	}
	return t
}()

// decoder looks into encoded runs of a chunk.
type decoder struct {
	e      *Engine
	s      *scratch
	chunk  scanners.Chunk
	budget int
	run    int // numbers the decoded texts
	emit   func(raw)
}

// into decodes every base64 run of text that holds text itself, and searches
// that, nested. place gives the raw bytes of a part of text; at the raw place of
// one byte, by which a match belongs to one chunk or the next.
func (d *decoder) into(text []byte, chain []string, place func(start, end int) (int, int), at func(int) int) {
	if len(chain) == maxDepth {
		return
	}
	for i := 0; i < len(text); {
		if !base64Class[text[i]] {
			i++
			continue
		}
		start := i
		for i < len(text) && base64Class[text[i]] {
			i++
		}
		end := i
		for i < len(text) && i < end+2 && text[i] == '=' {
			i++
		}
		if end-start < minEncoded {
			continue
		}
		// A run that the chunk cuts begins in any of the four phases.
		phases := 1
		if start == 0 && len(chain) == 0 && d.chunk.Offset > 0 {
			phases = 4
		}
		var plain []byte
		phase := 0
		for ; phase < phases && plain == nil; phase++ {
			plain = unbase64(text[start+phase : end])
		}
		phase--
		if plain == nil || d.budget < len(plain) {
			continue
		}
		d.budget -= len(plain)
		d.run++
		id, steps := d.run, append(slices.Clone(chain), "base64")
		from, to := place(start, i)
		group := func(off int) int { return at(start + phase + off/3*4) }
		d.e.find(d.s, plain, nil, func(m raw) {
			m.text, m.decoded, m.run = plain, steps, id
			m.rawStart, m.rawEnd, m.owner = from, to, group(m.secret.start)
			if d.e.judge(&m, d.chunk) {
				d.emit(m)
			}
		})
		// Whatever is nested stands, in the raw text, where this run stands.
		d.into(plain, steps, func(int, int) (int, int) { return from, to }, group)
	}
}

// unbase64 decodes a run of either alphabet, padded or not, and gives nil where
// the result is no text: most long words decode to noise.
func unbase64(run []byte) []byte {
	if len(run)%4 == 1 {
		run = run[:len(run)-1]
	}
	enc := base64.RawStdEncoding
	if slices.ContainsFunc(run, func(c byte) bool { return c == '-' || c == '_' }) {
		enc = base64.RawURLEncoding
	}
	var head [24]byte
	n, err := enc.Decode(head[:], run[:min(len(run), 32)&^3])
	if err != nil || !printable(head[:n]) {
		return nil
	}
	out := make([]byte, enc.DecodedLen(len(run)))
	n, err = enc.Decode(out, run)
	if err != nil || !printable(out[:n]) {
		return nil
	}
	return out[:n]
}

// printable reports whether b is text: no control characters but white space,
// and nearly no bytes that are not UTF-8 (a run may be cut within a rune).
func printable(b []byte) bool {
	bad := 0
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			bad++
		case r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f:
			return false
		}
		i += n
	}
	return bad <= 1+len(b)/64
}
