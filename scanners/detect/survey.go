package detect

import (
	"bytes"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// survey is what one pass over a text records for all later stages: where lines end, where
// something may begin that a view removes or a decoder reads, and which runs of base64 digits
// are long enough. All lists are in ascending order. The later stage decides about each
// position; a survey only leaves out positions where nothing can be.
type survey struct {
	breaks  []uint64 // one bit for each byte, set for line breaks
	seams   []uint32 // those of them after which a token may continue in the next line
	stamps  []uint32 // beginnings of lines with a byte of mayStamp, except a byte-order mark's
	rows    []uint32 // where a line has an address, as in dumps, after its indentation
	marks   []uint32 // what a marker may remove
	pipes   []uint32 // " | "
	escapes [escapeCount][]uint32
	runs    []span   // of base64Class, minEncoded or more
	words   []uint64 // one bit for each byte, set in base64Class; only where blocks are surveyed
	nuls    bool     // the text contains NULs
	wides   []uint32 // a NUL, another byte and a NUL, as in UTF-16
	// unfolded is set where the text has neither of the two runes that fold into ASCII.
	unfolded bool
	begins   uint8          // which of beginBits lines begin with
	leads    uint8          // which of leadBits the text contains
	masks    [16]blockMasks // of the current blocks
}

// blockMasks are the properties of a block's positions, one bit for each position.
type blockMasks struct {
	patterns uint64 // a pattern may begin
	digits   uint64 // base64Class
	breaks   uint64
	controls uint64 // ESC, a backspace, a byte-order mark's first byte
	nuls     uint64
	folding  uint64 // the first two bytes of a rune that folds into ASCII
	hex      uint64 // hexDigits
	seams    uint64 // seamBytes
	stamps   uint64 // mayStamp, except a byte-order mark
	beyond   uint64 // ASCII
}

// beginBits are the bits of survey.begins.
var beginBits = [256]uint8{'[': beginsList, '{': beginsObject}

const (
	beginsList = 1 << iota
	beginsObject
)

// leadBits are the bits of survey.leads: the first bytes of characters that some views look
// for. With a byte of boxes after it, 0xe2 begins a character that draws a box.
var leadBits = [256]uint8{0xc2: leadC2, 0xe2: leadE2, 0xef: leadEF}

const (
	leadC2 = 1 << iota
	leadE2
	leadEF
	leadBox
)

// boxes marks the second bytes of the characters that draw boxes (U+2500 to U+257F).
var boxes = [256]uint8{0x94: leadBox, 0x95: leadBox}

// lead records the byte c beyond ASCII, which next follows.
func (s *survey) lead(c, next byte) {
	bit := leadBits[c]
	if bit == leadE2 {
		bit |= boxes[next]
	}
	s.leads |= bit
}

// pattern describes a position at which something may begin: a byte, and the bytes that may
// follow it.
type pattern struct {
	first        byte
	second, then func(c byte) bool // nil: any
}

// The patterns, in the order of the masks' bits: escapes first, in the order of their list.
const (
	atBracket = escapeCount + iota
	atPipe
	patternCount
)

var patterns = [patternCount]pattern{
	{'%', hexDigit, hexDigit},
	{'\\', func(c byte) bool { return escapable[c] }, nil},
	{'&', func(c byte) bool { return c == '#' || letter(c) }, nil},
	{'=', func(c byte) bool { return c == '\r' || c == '\n' || digit(c) || c >= 'A' && c <= 'F' }, nil},
	{'\'', func(c byte) bool { return c == '\'' || c == '"' || c == '\\' }, nil},
	{0, word, func(c byte) bool { return word(c) || c == '=' }},
	atBracket: {'[', func(c byte) bool { return digit(c) || c == ';' }, func(c byte) bool { return digit(c) || c == ';' || c == 'm' }},
	atPipe:    {' ', func(c byte) bool { return c == '|' }, func(c byte) bool { return c == ' ' }},
}

// escapable marks the bytes that may follow a backslash; see backslash.
var escapable = func() (t [256]bool) {
	for c := range simpleEscapes {
		t[c] = true
	}
	for _, c := range []byte("xuU0123") {
		t[c] = true
	}
	return t
}()

// The bits that a single byte determines.
const (
	ofBase64  = 1 << iota
	isControl // ESC and backspace
	isNUL
)

// surveyTables give for each byte below 0x80 the patterns of which it can be the first, the
// second and the third byte, and its own bits.
var surveyTables = func() (t [4][128]byte) {
	for c := range byte(128) {
		for i, p := range patterns {
			if c == p.first {
				t[0][c] |= 1 << i
			}
			if p.second == nil || p.second(c) {
				t[1][c] |= 1 << i
			}
			if p.then == nil || p.then(c) {
				t[2][c] |= 1 << i
			}
		}
		if base64Class[c] {
			t[3][c] |= ofBase64
		}
		switch c {
		case esc, '\b':
			t[3][c] |= isControl
		case 0:
			t[3][c] |= isNUL
		}
	}
	return t
}()

func (s *survey) reset() {
	s.breaks, s.stamps, s.marks, s.pipes, s.runs, s.wides = s.breaks[:0], s.stamps[:0], s.marks[:0], s.pipes[:0], s.runs[:0], s.wides[:0]
	for i := range s.escapes {
		s.escapes[i] = s.escapes[i][:0]
	}
	s.seams, s.rows = s.seams[:0], s.rows[:0]
	s.nuls, s.unfolded, s.begins, s.leads = false, true, 0, 0
}

// seamBytes marks the bytes that may be on either side of a line break within a token: token
// bytes, and what trim leaves out.
var seamBytes = func() (t [256]bool) {
	for c, in := range tokenByte {
		t[c] = in || c == ' ' || c == '\t' || c == '\r'
	}
	return t
}()

// row records b[i], at which an address may be, if only indentation precedes it in its line.
func (s *survey) row(b []byte, i int) {
	if i+minRow > len(b) || !addressed(b[i:]) {
		return
	}
	for k := i; k > 0 && b[k-1] != '\n'; k-- {
		if b[k-1] != ' ' && b[k-1] != '\t' {
			return
		}
	}
	s.rows = append(s.rows, uint32(i))
}

// byLines records the properties of each line where blocks were not surveyed.
func (s *survey) byLines(b []byte) {
	s.breaks = slices.Grow(s.breaks[:0], len(b)/64+1)[:len(b)/64+1]
	clear(s.breaks)
	for i := 0; i < len(b); {
		s.row(b, indented(b, i))
		if mayStamp[b[i]] && b[i] != bom[0] {
			s.stamps = append(s.stamps, uint32(i))
			s.begins |= beginBits[b[i]]
		}
		k := bytes.IndexByte(b[i:], '\n')
		if k < 0 {
			break
		}
		k += i
		s.breaks[k/64] |= 1 << (k % 64)
		if k > 0 && k+1 < len(b) && seamBytes[b[k-1]] && seamBytes[b[k+1]] {
			s.seams = append(s.seams, uint32(k))
		}
		i = k + 1
	}
}

// lineBegin is where the line begins that contains b[i]; its line break belongs to it.
func (s *survey) lineBegin(i int) int {
	k, w := i/64, uint64(0)
	if k < len(s.breaks) {
		w = s.breaks[k] & (1<<(i%64) - 1)
	}
	for w == 0 {
		if k--; k < 0 {
			return 0
		}
		w = s.breaks[k]
	}
	return k*64 + bits.Len64(w)
}

// shorter reports whether fewer than minWrap bytes precede the line's break at b[i].
func (s *survey) shorter(i int) bool {
	k, n := i/64, i%64
	before := s.breaks[k] << 1 << (63 - n) // now the last break before this one is nearest to the top
	if k > 0 {
		before |= s.breaks[k-1] >> n
	}
	return bits.LeadingZeros64(before) < minWrap || i < minWrap
}

// lineBreak is the first line break from i on, or none.
func (s *survey) lineBreak(i, none int) int {
	for k, used := i/64, i%64; k < len(s.breaks); k, used = k+1, 0 {
		if w := s.breaks[k] >> used << used; w != 0 {
			return k*64 + bits.TrailingZeros64(w)
		}
	}
	return none
}

// note records a position at which the patterns of the mask may begin.
func (s *survey) note(i int, mask byte) {
	for ; mask != 0; mask &= mask - 1 {
		switch k := bits.TrailingZeros8(mask); k {
		case atBracket:
			s.marks = append(s.marks, uint32(i))
		case atPipe:
			s.pipes = append(s.pipes, uint32(i))
		default:
			s.escapes[k] = append(s.escapes[k], uint32(i))
		}
	}
}

// take surveys b.
func (s *survey) take(b []byte) {
	s.reset()
	switch {
	case s.blocks(b):
		s.longRuns()
	case len(b) >= smallText:
		s.scalar(b)
		s.byLines(b)
	default:
		s.bytes(b)
		s.longRuns()
		s.byLines(b)
	}
}

// bytes surveys a text byte by byte.
func (s *survey) bytes(b []byte) {
	s.words = s.words[:0]
	for i, c := range b {
		if i%64 == 0 {
			s.words = append(s.words, 0)
		}
		if c >= utf8.RuneSelf {
			next := byte(0)
			if i+1 < len(b) {
				next = b[i+1]
			}
			s.lead(c, next)
			if c == longSFirst || c == kelvinFirst {
				s.unfolded = false
			}
			if c == bom[0] {
				s.marks = append(s.marks, uint32(i))
			}
			continue
		}
		one := surveyTables[3][c]
		s.words[len(s.words)-1] |= uint64(one&ofBase64) << (i % 64)
		switch {
		case one&isControl != 0:
			s.marks = append(s.marks, uint32(i))
		case one&isNUL != 0:
			s.nuls = true
			if i+2 < len(b) && b[i+1] != 0 && b[i+2] == 0 {
				s.wides = append(s.wides, uint32(i))
			}
		}
		if m := surveyTables[0][c]; m != 0 {
			if i+1 < len(b) {
				m &= surveyTables[1][b[i+1]&0x7f]
			}
			s.note(i, m)
		}
	}
}

// smallText is the length from which a separate search for each byte is worthwhile.
const smallText = 512

// longRuns finds the runs in words that have a bit for each byte.
func (s *survey) longRuns() {
	const needed = minEncoded
	for k, done := 0, 0; k < len(s.words); k++ {
		lo, hi := s.words[k], uint64(0)
		if k+1 < len(s.words) {
			hi = s.words[k+1]
		}
		// Each step keeps the bits at which twice as many set bits begin.
		lo, hi = lo&(lo>>1|hi<<63), hi&(hi>>1)
		lo, hi = lo&(lo>>2|hi<<62), hi&(hi>>2)
		lo, hi = lo&(lo>>4|hi<<60), hi&(hi>>4)
		if lo == 0 {
			continue
		}
		lo, hi = lo&(lo>>8|hi<<56), hi&(hi>>8)
		lo &= lo>>(needed-16) | hi<<(64-(needed-16))
		for lo != 0 {
			start := k*64 + bits.TrailingZeros64(lo)
			if start < done {
				lo &= lo - 1
				continue
			}
			end := s.runEnd(start + needed)
			s.runs = append(s.runs, span{start, end})
			done = end + 1
			if done >= (k+1)*64 {
				break
			}
			lo &= ^uint64(0) << (done % 64)
		}
	}
}

// runEnd is the first position from i on whose bit is not set.
func (s *survey) runEnd(i int) int {
	for k, used := i/64, i%64; k < len(s.words); k, used = k+1, 0 {
		if gap := ^s.words[k] >> used << used; gap != 0 {
			return k*64 + bits.TrailingZeros64(gap)
		}
	}
	return len(s.words) * 64
}

// scalar surveys a text by searching for each byte separately.
func (s *survey) scalar(b []byte) {
	each := func(c byte, f func(i int)) {
		for i := 0; i < len(b); i++ {
			k := bytes.IndexByte(b[i:], c)
			if k < 0 {
				return
			}
			i += k
			f(i)
		}
	}
	s.nuls, s.unfolded = bytes.IndexByte(b, 0) >= 0, foldingRune(b) < 0
	for i := 0; i+3 < len(b); i++ {
		if i = betweenNULs(b, i, len(b)); i < len(b) {
			s.wides = append(s.wides, uint32(i))
		}
	}
	mark := func(i int) { s.marks = append(s.marks, uint32(i)) }
	each(esc, mark)
	each('\b', mark)
	each(bom[0], mark)
	for k, p := range patterns {
		if k == atPipe {
			each('|', func(i int) {
				if i > 0 && b[i-1] == ' ' {
					s.note(i-1, 1<<k)
				}
			})
			continue
		}
		for i := 0; i < len(b); i++ {
			n := bytes.IndexByte(b[i:], p.first)
			if n < 0 {
				break
			}
			i += n
			if i+1 == len(b) || surveyTables[1][b[i+1]&0x7f]>>k&1 != 0 {
				s.note(i, 1<<k)
			}
			for p.first == 0 && i+1 < len(b) && b[i+1] == 0 {
				i++ // of a row of NULs only the last one is worth checking
			}
		}
	}
	slices.Sort(s.marks)
	for _, c := range []byte{0xc2, 0xe2, 0xef} {
		each(c, func(i int) {
			next := byte(0)
			if i+1 < len(b) {
				next = b[i+1]
			}
			s.lead(c, next)
		})
	}
	for i := minEncoded - 1; i < len(b); {
		// A run of the minimum length has a byte at one of these positions.
		if !base64Class[b[i]] {
			i += minEncoded
			continue
		}
		start, end := i, i+1
		for start > 0 && base64Class[b[start-1]] {
			start--
		}
		for end < len(b) && base64Class[b[end]] {
			end++
		}
		if end-start >= minEncoded {
			s.runs = append(s.runs, span{start, end})
		}
		i = end + minEncoded
	}
}

// after is the part of a list that begins with the first position that is i or more.
func after(list []uint32, i int) []uint32 {
	if i <= 0 || len(list) == 0 {
		return list // the usual case
	}
	k, _ := slices.BinarySearch(list, uint32(i))
	return list[k:]
}
