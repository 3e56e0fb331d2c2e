package detect

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/quellhq/quell/scanners"
)

// Lines that were wrapped in the middle of a token are joined only for a reason: an attempt to
// match that ended at a line's end, a literal on both sides of a line break, or several lines
// of equal length.

// minWrap is the smallest width at which lines of equal length count as wrapped; no terminal is
// narrower.
const minWrap = 40

// maxJoin limits how many bytes are joined, and how far after the chunk's own part lines are
// read.
const maxJoin = 12 << 10

// widths are those at which tools and terminals wrap.
var widths = []int{60, 64, 70, 72, 74, 75, 76, 77, 78, 79, 80, 90, 96, 98, 99, 100, 118, 119, 120, 128, 130, 131, 132, 140, 150, 160, 180, 200, 256, 512, 1000, 1024, 2048, 4096}

// lineEnd is the position of the line break, if only a mark of continuation (the shell's \,
// quoted-printable's =) is between b[i] and it, else -1.
func lineEnd(b []byte, i int) int {
	if i < len(b) && (b[i] == '\\' || b[i] == '=') {
		i++
	}
	if i < len(b) && b[i] == '\r' {
		i++
	}
	if i < len(b) && b[i] == '\n' {
		return i
	}
	return -1
}

// broke records where an attempt may have failed only because of a line break or a mask. The
// gram was off bytes after pos.
func (e *Engine) broke(s *scratch, b []byte, p *placed, pos, off, stop int) {
	if p.quiet {
		return
	}
	if off > 0 {
		if k := bytes.IndexByte(b[pos:min(len(b), pos+off)], '\n'); k >= 0 {
			s.joins = append(s.joins, pos+k)
			return
		}
	}
	if stop-pos < gramLen || stop >= len(b) {
		return
	}
	if k := lineEnd(b, stop); k >= 0 {
		s.joins = append(s.joins, k)
	} else if p.leading && p.least > 0 && maskLen(b[stop:]) > 0 {
		s.masked = append(s.masked, masked{p, pos, stop})
	}
}

// tokenByte marks the bytes that may be on both sides of a line break inside a token.
var tokenByte = func() (t [256]bool) {
	for c := range t {
		t[c] = base64Class[c] || c == '=' || c == '.' || c == '%' || c == '~'
	}
	return t
}()

// line is a line's text, without indentation and line break.
type line struct {
	span
	next int // where the next one begins
}

func lineAt(b []byte, i int) line {
	l := line{span{i, len(b)}, len(b)}
	if k := bytes.IndexByte(b[i:], '\n'); k >= 0 {
		l.end, l.next = i+k, i+k+1
	}
	l.trim(b)
	return l
}

// line is the text from i on to the end of its line.
func (t *text) line(i int) line {
	if k := t.seen.lineBreak(i, -1); k >= 0 {
		return line{span{i, k}, k + 1}
	}
	return line{span{i, len(t.data)}, len(t.data)}
}

// trim leaves out indentation and what precedes the line break.
func (l *line) trim(b []byte) {
	for l.end > l.start && (b[l.end-1] == '\r' || b[l.end-1] == ' ') {
		l.end--
	}
	l.start = min(indented(b, l.start), l.end)
}

// indented is the first position from i on that has neither a space nor a tab.
func indented(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		if solid := nonzero(w^' '*eachByte) & nonzero(w^'\t'*eachByte); solid != 0 {
			return i + bits.TrailingZeros64(solid)/8
		}
	}
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	return i
}

const eachByte = 0x0101010101010101

// nonzero has the high bit of each byte of w that is not zero.
func nonzero(w uint64) uint64 {
	const low = 0x7f * eachByte
	return ((w & low) + low | w) &^ low
}

// lines processes the line breaks of t: it joins lines where required and searches the joined
// text, and it reads rows of hex dumps.
func (l *look) lines(t *text, own span, joins []int, depth int) {
	end := min(len(t.data), own.end+maxJoin)
	start := own.start
	if start > 0 {
		if k := t.seen.lineBreak(start, end); k < end {
			start = k + 1
		}
	}
	joins = l.seams(t, span{start, end}, joins, depth)
	l.rows(t, span{start, end}, depth)
	l.tables(t, span{start, end})
	l.columns(t, span{start, end})
	l.events(t, span{start, end})
	slices.Sort(joins)
	done := 0
	for _, k := range joins {
		l.renew(depth)
		if k >= done {
			done = l.joinAt(t, k)
		}
	}
}

// seams processes the line breaks within a possible token, of lines that begin in part: it
// joins lines of equal length, and adds to joins the breaks that may have a literal on both
// sides.
func (l *look) seams(t *text, part span, joins []int, depth int) []int {
	b := t.data
	var run []line // of equal length
	flush := func() {
		l.joinRun(t, run, (part.start > 0 || t.inside) && len(run) > 0 && run[0].start <= part.start, depth)
		run = run[:0]
	}
	last := -1 // where the line that was last checked ends
	for _, k := range after(t.seen.seams, part.start) {
		at := int(k)
		if at+1 >= part.end {
			break
		}
		// The next line's first byte decides in most cases.
		next := indented(b, at+1)
		if next == len(b) || !tokenByte[b[next]] {
			continue
		}
		end := at
		for end > 0 && (b[end-1] == '\r' || b[end-1] == ' ') {
			end--
		}
		if end == 0 || !tokenByte[b[end-1]] {
			continue
		}
		straddled := l.e.grams.mayStraddle(b, end, next)
		if !straddled && last != at && t.seen.shorter(at) {
			continue
		}
		prev, cur := line{span{t.seen.lineBegin(at), at}, at + 1}, t.line(at+1)
		prev.trim(b)
		if last >= 0 && last != at {
			flush()
		}
		last = cur.next - 1
		cur.trim(b)
		begin := prev.start
		if prev.end-prev.start >= minWrap {
			prev, cur = unprefixed(b, prev, cur)
		}
		n, m := cur.end-cur.start, prev.end-prev.start
		joined := false
		if m >= minWrap && (prev.start == begin || wrapWidth(m)) && n <= m && (n == m || len(run) > 1 || encoded(b, prev, cur)) {
			if len(run) == 0 {
				run = append(run, prev)
			}
			run = append(run, cur)
			joined = n == m
		}
		if !joined && wrapWidth(m) && n <= m && addressGoesOn(b, prev, cur) {
			joins = append(joins, at)
		}
		if !joined && straddled && l.e.straddles(l.s, b, prev, cur) {
			joins = append(joins, at)
		}
		if !joined && len(run) > 0 {
			flush()
		}
	}
	flush()
	return joins
}

// wrapWidth reports whether n is a width at which tools and terminals wrap.
func wrapWidth(n int) bool { return n >= widths[0] && slices.Contains(widths, n) }

// addressGoesOn reports whether a line ends within the user and password of a URL, and the next
// line has the sign that ends them.
func addressGoesOn(b []byte, prev, cur line) bool {
	word := b[prev.start:prev.end]
	word = word[bytes.LastIndexByte(word, ' ')+1:]
	k := bytes.Index(word, []byte("://"))
	if k < 0 || bytes.IndexByte(word[k+3:], ':') < 0 || bytes.ContainsAny(word[k+3:], "/@") {
		return false
	}
	next := b[cur.start:cur.end]
	if k := bytes.IndexAny(next, " /"); k >= 0 {
		next = next[:k]
	}
	return bytes.IndexByte(next, '@') > 0
}

// encoded reports whether two lines are base64 that was wrapped as one run.
func encoded(b []byte, prev, cur line) bool {
	if w := prev.end - prev.start; w%4 != 0 && !slices.Contains(widths, w) {
		return false // encoders wrap between groups
	}
	not := func(c byte) bool { return !base64Class[c] }
	last := bytes.TrimRight(b[cur.start:cur.end], "=")
	return !slices.ContainsFunc(b[prev.start:prev.end], not) && !slices.ContainsFunc(last, not)
}

// rows reads the rows of hex dumps that begin in part.
func (l *look) rows(t *text, part span, depth int) {
	dump := dumper{l: l, t: t, depth: depth}
	follows := 0 // where a row must be to continue the last one
	for _, i := range after(t.seen.rows, part.start) {
		row := t.line(int(i))
		begins := t.seen.lineBegin(int(i))
		if begins >= part.end {
			break
		}
		if begins != follows {
			dump.flush()
		}
		row.trim(t.data)
		dump.line(row)
		follows = row.next
	}
	dump.flush()
}

// addressed is false where no row with an address begins. It combines several digits to avoid
// mispredicted branches.
func addressed(row []byte) bool {
	d := (*[minAddress]byte)(row)
	return hexDigits[d[0]]&hexDigits[d[1]]&hexDigits[d[2]]&hexDigits[d[5]] != 0
}

// lineBegin is where the line of b[i] begins, if that is near.
func lineBegin(b []byte, i int) int {
	from := max(0, i-maxPrefix)
	return from + bytes.LastIndexByte(b[from:i], '\n') + 1
}

// spend subtracts n bytes from the budget and reports whether there were as many.
func (l *look) spend(n int) bool {
	l.spent += n
	if !l.late && (l.spent > maxSpent || l.chunk.Meter.Over(l.began)) {
		l.late, l.budget = true, -1
		l.chunk.Reached(scanners.GapLimitTime)
	}
	if l.budget -= n; l.budget < 0 {
		l.chunk.Reached(scanners.GapLimitDecoding)
		return false
	}
	return true
}

// mayStraddle is false where no gram can be on both sides of the break between a line that ends
// at b[end] and one that begins at b[next], as three bytes on either side show.
func (t *gramTable) mayStraddle(b []byte, end, next int) bool {
	if end < gramLen || next+gramLen > len(b) {
		return true
	}
	six := uint64(binary.LittleEndian.Uint32(b[end-gramLen:])>>8) | uint64(binary.LittleEndian.Uint32(b[next:]))<<24
	// All three are looked up, to avoid mispredicted branches.
	x, y, z := (uint32(six)|fold4)*hashMul, (uint32(six>>8)|fold4)*hashMul, (uint32(six>>16)|fold4)*hashMul
	return (t.bitmap[x>>20]>>(x>>14&63)|t.bitmap[y>>20]>>(y>>14&63)|t.bitmap[z>>20]>>(z>>14&63))&1 != 0
}

// straddles reports whether a literal is on both sides of the break between two lines, with a
// token after it.
func (e *Engine) straddles(s *scratch, b []byte, prev, cur line) bool {
	var buf [2 * 64]byte
	n := copy(buf[:32], b[max(prev.start, prev.end-32):prev.end])
	all := buf[:n+copy(buf[n:], b[cur.start:min(cur.end, cur.start+64)])]
	for i := max(0, n-gramLen+1); i < n && i+gramLen <= len(all); i++ {
		g := gramAt(all[i:])
		if !e.grams.may(g) {
			continue
		}
		for _, x := range e.grams.at(g) {
			p := &e.anchors[x.anchor]
			pos := i - int(x.off)
			if x.gram != g || pos < 0 || p.mark != nil || p.keyword != nil || p.quiet {
				continue
			}
			if t := s.automaton(p, x.anchor).try(all, pos, classOf(all, pos)); t.may || t.stop >= len(all) && t.stop-n >= gramLen {
				return true
			}
		}
	}
	return false
}
