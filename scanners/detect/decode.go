package detect

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/inflate"
)

// Limits of decoding: how deep encodings are nested (five, as in gitleaks), the shortest run to
// try, how many bytes may be derived from one run of encoded text with everything nested in it,
// and how many of them are inflated at once. A run that reaches a limit does not affect the
// other runs.
const (
	maxDepth    = 5
	minEncoded  = 24
	maxDerived  = 16 << 20
	maxInflated = 4 << 20
	maxSpent    = 1 << 30 // from all runs of a chunk
)

// base64Class marks the bytes of both alphabets (RFC 4648, sections 4 and 5).
var base64Class = func() (t [256]bool) {
	for c := range t {
		t[c] = word(byte(c)) || c == '+' || c == '/' || c == '-'
	}
	return t
}()

// decode searches everything in a part of t that is encoded.
func (l *look) decode(t *text, own span, depth int) {
	l.runs(t, own, depth, nil)
	if depth >= maxDepth {
		return
	}
	for i, places := range &t.seen.escapes {
		if len(places) > 0 {
			l.unescape(t, own, i, depth)
		}
	}
	l.wide(t, own, depth)
	l.invisible(t, own)
}

// runs searches the runs of base64 and hex digits in a part of t; if over is given, only those
// that contain one of these positions.
func (l *look) runs(t *text, own span, depth int, over []int) {
	for _, w := range t.seen.runs {
		if w.end <= own.start {
			continue
		}
		if l.renew(depth); w.start >= own.end || l.budget < 0 {
			return
		}
		if over != nil {
			n, _ := slices.BinarySearch(over, w.start)
			if n == len(over) || over[n] >= w.end {
				continue
			}
		}
		l.run(t, w, depth)
	}
}

// run tries to decode one run.
func (l *look) run(t *text, w span, depth int) {
	b := t.data[w.start:w.end]
	if hexOnly(b) {
		c := l.derive(t)
		defer l.s.free(c)
		c.data = slices.Grow(c.data, len(b)/2)[:len(b)/2]
		n, _ := hex.Decode(c.data, b[:len(b)&^1])
		c.data = c.data[:n]
		if looksDecoded(c.data) {
			c.segs = append(c.segs, segment{from: w.start, to: w.start + 2*n, kind: pairs})
			l.plain(c, "hex", depth)
		}
		return // a hash: base64 of text is not all hex digits
	}
	// Paths and identifiers: of base64 values of 18 bytes, one in 250,000 has no capital
	// letter.
	if !slices.ContainsFunc(b, capital) {
		return
	}
	if form := packedForm(b); form != "" && l.packed(t, w, form, depth) {
		return
	}
	// A run begins where its first group does, or after a word that a separator of the other
	// alphabet joins to it. A run that was cut begins in any of four phases.
	starts := make([]int, 0, 12)
	for s, hopes := 0, ^hopelessPhases(b); s < 4; s++ {
		if hopes>>s&1 != 0 {
			starts = append(starts, s)
		}
	}
	most := len(starts) + 8
	for i, c := range b[:min(len(b)-minEncoded, 64)] {
		if (c == '_' || c == '-' || c == '/') && len(starts) < most {
			starts = append(starts, i+1)
		}
	}
	starts = slices.DeleteFunc(starts, func(s int) bool { return hopeless(b[s:]) })
	if len(starts) == 0 {
		return
	}
	c := l.derive(t)
	defer l.s.free(c)
	for _, s := range starts {
		if !c.base64(b[s:]) {
			continue
		}
		to := w.end
		for to < len(t.data) && to < w.end+2 && t.data[to] == '=' {
			to++
		}
		c.segs = append(c.segs, segment{from: w.start + s, to: to, kind: groups})
		c.inside = t.inside && w.start == 0
		l.plain(c, "base64", depth)
		return
	}
}

// hexOnly reports whether a run consists of hex digits.
func hexOnly(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return !hexDigit(c) })
}

// sextets are the values of the digits of both alphabets.
var sextets = func() (t [256]byte) {
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = byte(i)
	}
	t['-'], t['_'] = t['+'], t['/']
	return t
}()

// unreadable marks the bytes that occur in no text.
var unreadable = func() (t [256]bool) {
	for c := range t {
		t[c] = c < ' ' || c == 0x7f
	}
	for _, c := range []byte{'\n', '\r', '\t', esc, '\b'} {
		t[c] = false
	}
	return t
}()

// The kind of a byte in a UTF-8 text, as far as the byte alone shows it.
const (
	ofASCII   = iota
	follower  // after a lead byte
	lead      // begins a rune
	ofNothing // in no rune
	ofNoText  // unreadable
)

var inUTF8 = func() (t [256]byte) {
	for c := range t {
		switch {
		case unreadable[c]:
			t[c] = ofNoText
		case c < utf8.RuneSelf:
		case c < 0xc0:
			t[c] = follower
		case c >= 0xc2 && c < 0xf5:
			t[c] = lead
		default:
			t[c] = ofNothing
		}
	}
	return t
}()

// wrongAfter is how many bytes can't be part of a rune where a byte of the second kind follows
// one of the first, without regard to earlier bytes. Two such bytes are too many.
var wrongAfter = [8][8]uint8{
	ofASCII:   {follower: 1, ofNothing: 1, ofNoText: 2},
	follower:  {ofNothing: 1, ofNoText: 2},
	lead:      {ofASCII: 1, lead: 1, ofNothing: 2, ofNoText: 2},
	ofNothing: {follower: 1, ofNothing: 1, ofNoText: 2},
}

// mayBegin marks the first bytes of what isn't UTF-8 and is read nevertheless: what an inflater
// reads, and UTF-16. NUL as the second byte marks UTF-16 too.
var mayBegin = func() (t [256]uint8) {
	for c, ok := range inflatable {
		if ok || c == 0 || c >= 0xfe {
			t[c] = 1
		}
	}
	return t
}()

// hopeless reports whether a run of base64 decodes to nothing readable, by its first bytes;
// this holds for most long words. It is true only where looksDecoded is not.
func hopeless(run []byte) bool {
	wrong, before := uint8(0), byte(ofASCII)
	for i := 0; i+4 <= min(len(run), 32); i += 4 {
		v := uint32(sextets[run[i]])<<18 | uint32(sextets[run[i+1]])<<12 | uint32(sextets[run[i+2]])<<6 | uint32(sextets[run[i+3]])
		a, b, c := byte(v>>16), byte(v>>8), byte(v)
		if i == 0 && (mayBegin[a] != 0 || b == 0) {
			return false
		}
		x, y, z := inUTF8[a], inUTF8[b], inUTF8[c]
		if wrong += wrongAfter[before&7][x&7] + wrongAfter[x&7][y&7] + wrongAfter[y&7][z&7]; wrong > 1 {
			return true
		}
		before = z
	}
	return false
}

// hopelessPhases has a bit for each of the first four positions from which a run is hopeless by
// its first two groups. It does not branch for each position, because one result does not
// predict the next.
func hopelessPhases(run []byte) (out uint8) {
	var six [11]uint32
	for i, c := range run[:len(six)] {
		six[i] = uint32(sextets[c])
	}
	for s := range 4 {
		v := six[s]<<18 | six[s+1]<<12 | six[s+2]<<6 | six[s+3]
		w := six[s+4]<<18 | six[s+5]<<12 | six[s+6]<<6 | six[s+7]
		a, b := inUTF8[byte(v>>16)]&7, inUTF8[byte(v>>8)]&7
		c, d := inUTF8[byte(v)]&7, inUTF8[byte(w>>16)]&7
		e, f := inUTF8[byte(w>>8)]&7, inUTF8[byte(w)]&7
		wrong := wrongAfter[ofASCII][a] + wrongAfter[a][b] + wrongAfter[b][c] + wrongAfter[c][d] + wrongAfter[d][e] + wrongAfter[e][f]
		nul := uint8((v>>8&0xff - 1) >> 31) // of the second byte
		out |= (1 - wrong) >> 7 &^ (mayBegin[byte(v>>16)] | nul) << s
	}
	return out
}

// base64 decodes a run of either alphabet, padded or not, into the text. It reports false where
// the result is not readable.
func (t *text) base64(run []byte) bool {
	if len(run)%4 == 1 {
		run = run[:len(run)-1]
	}
	enc := base64.RawStdEncoding
	if bytes.IndexByte(run, '-') >= 0 || bytes.IndexByte(run, '_') >= 0 {
		enc = base64.RawURLEncoding
	}
	var head [24]byte
	n, err := enc.Decode(head[:], run[:min(len(run), 32)&^3])
	if err != nil || !looksDecoded(head[:n]) {
		return false
	}
	size := enc.DecodedLen(len(run))
	t.data = slices.Grow(t.data[:0], size)[:size]
	n, err = enc.Decode(t.data, run)
	t.data = t.data[:n]
	return err == nil && looksDecoded(t.data)
}

// looksDecoded reports whether bytes are text of one kind or another, or compressed data.
func looksDecoded(b []byte) bool { return printable(b) || inflater(b) != nil || wideText(b) }

// plain searches the decoded bytes of a run, or what they inflate to.
func (l *look) plain(c *text, step string, depth int) {
	open := inflater(c.data)
	if depth >= maxDepth || open != nil && depth+1 >= maxDepth {
		if c.nested() && (open == nil || inflates(open, c.data)) {
			l.chunk.Reached(scanners.GapLimitDepth)
		}
		return
	}
	if open == nil {
		l.decoded(c, step, depth)
		return
	}
	r, name, err := open(bytes.NewReader(c.data))
	if err != nil {
		return
	}
	defer r.Close()
	limit := max(0, min(maxInflated, l.budget))
	out, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	over := len(out) > limit
	out = out[:min(len(out), limit)]
	if l.chunk.Meter.Expand(len(out)) != nil {
		over, out = true, nil
	}
	switch {
	case over:
		l.chunk.Reached(scanners.GapLimitDecoding)
	case err != nil && c.cutOff(l.chunk):
		l.chunk.Reached(scanners.GapLimitDecoding)
	case err != nil && (name != "zlib" || len(out) >= minDamaged) && c.alone():
		l.chunk.Reached(scanners.GapDamaged)
	}
	if len(out) == 0 {
		return
	}
	c.decoded = l.s.with(c.decoded, step)
	g := l.derive(c)
	defer l.s.free(g)
	g.put(out, 0, len(c.data), whole)
	l.decoded(g, name, depth+1)
}

// minDamaged is the least output of a damaged zlib stream that counts: its header alone occurs
// in any text.
const minDamaged = 4 << 10

// cutOff reports whether the text was decoded from a run that continues after the chunk.
func (t *text) cutOff(c scanners.Chunk) bool {
	return c.To < len(c.Data) && t.raw(len(t.data)-1, len(t.data)).end+2 >= len(c.Data)
}

// nested reports whether a text was encoded repeatedly on purpose: bytes of binaries can look
// like a single step by chance.
func (t *text) nested() bool {
	n := 0
	for _, step := range t.decoded {
		switch step {
		case "base64", "hex", "gzip", "zlib", "zstd":
			n++
		}
	}
	return n >= maxDepth-1
}

// minAlone is the shortest run that is taken for a complete encoded text. Shorter runs may be
// the first of several lines.
const minAlone = 256

// alone reports whether the text was decoded from one long run, not from several lines.
func (t *text) alone() bool {
	s := t.segs[len(t.segs)-1]
	return len(t.views) == 0 && s.to-s.from >= minAlone
}

// inflates reports whether bytes really are compressed.
func inflates(open func(io.Reader) (io.ReadCloser, string, error), b []byte) bool {
	r, _, err := open(bytes.NewReader(b))
	if err != nil {
		return false
	}
	defer r.Close()
	n, err := io.Copy(io.Discard, io.LimitReader(r, minDamaged))
	return err == nil && n > 0
}

// inflatable marks the first bytes of the formats that an inflater reads.
var inflatable = [256]bool{0x1f: true, 0x78: true, 0x28: true}

// inflater recognises compressed bytes by how they begin: gzip (RFC 1952), zlib (RFC 1950) and
// Zstandard (RFC 8878).
func inflater(b []byte) func(io.Reader) (io.ReadCloser, string, error) {
	switch {
	case len(b) < 8:
	case b[0] == 0x1f && b[1] == 0x8b && b[2] == 8:
		return func(r io.Reader) (io.ReadCloser, string, error) {
			z, err := inflate.NewGzip(r)
			return z, "gzip", err
		}
	case b[0] == 0x78 && inflate.IsZlib(b):
		return func(r io.Reader) (io.ReadCloser, string, error) {
			z, err := inflate.NewZlib(r)
			return z, "zlib", err
		}
	case bytes.HasPrefix(b, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return func(r io.Reader) (io.ReadCloser, string, error) {
			z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(4*maxInflated), zstd.WithDecoderLowmem(true))
			if err != nil {
				return nil, "", err
			}
			return z.IOReadCloser(), "zstd", nil
		}
	}
	return nil
}

// printable reports whether b is text: no control characters except white space, escape and
// backspace, and nearly no bytes that are not UTF-8 (a run may be cut within a rune).
func printable(b []byte) bool {
	bad, most := 0, 1+len(b)/64
	for i := 0; i < len(b); {
		if c := b[i]; c >= ' ' && c < 0x7f {
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			if bad++; bad > most {
				return false
			}
		case r < ' ' && r != '\n' && r != '\r' && r != '\t' && r != esc && r != '\b' || r == 0x7f:
			return false
		}
		i += n
	}
	return true
}
