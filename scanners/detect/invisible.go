package detect

import (
	"bytes"
	"slices"
)

// invisible searches lines with characters that are not visible, or that look like a space: a
// page, a chat or a word processor inserts them into or before a token.
func (l *look) invisible(t *text, own span) {
	b := t.data
	end := min(own.end, len(b))
	done := own.start
	next := leads{-1, -1, -1}
	for k, bit := range []uint8{leadC2, leadE2, leadEF} {
		if t.seen.leads&bit == 0 {
			next[k] = end
		}
	}
	if next == (leads{end, end, end}) {
		return
	}
	for i := own.start; i < end && l.budget >= 0; {
		if i = next.from(b, i, end); i == end {
			return
		}
		size, _ := unseen(b, i)
		if size == 0 {
			i++
			continue
		}
		from, to := max(done, i-near), min(len(b), i+near)
		from += bytes.LastIndexByte(b[from:i], '\n') + 1
		if n := bytes.IndexByte(b[i:to], '\n'); n >= 0 {
			to = i + n
		}
		var begins []int // where matches begin without spaces removed
		within := l.visible(t, from, to, false, func(c *text, m *raw) bool {
			begins = append(begins, c.outer(m.start, m.end).start)
			return c.fresh(m.start, m.end)
		})
		if within {
			l.visible(t, from, to, true, func(c *text, m *raw) bool {
				return m.rule.leads && c.fresh(m.start, m.end) && c.split(m.secret.start, m.secret.end) && !slices.Contains(begins, c.outer(m.start, m.end).start)
			})
		}
		done, i = to, max(to, i+size)
	}
}

// visible searches a part of a line as a reader sees it: without invisible characters, and with a
// space for each that looks like one. It reports whether such a space is between two letters
// of a token. With glued set, the text is without those spaces: a page that may not break a
// line inserts them into a token, but usually they are the spaces that they look like.
func (l *look) visible(t *text, from, to int, glued bool, wanted func(c *text, m *raw) bool) (within bool) {
	b := t.data
	c := l.derive(t)
	defer l.s.free(c)
	c.openStart, c.openEnd = from > 0 && b[from-1] != '\n', to < len(b) && b[to] != '\n'
	at := from
	for k := from; k < to; {
		size, space := unseen(b, k)
		if size == 0 {
			k++
			continue
		}
		c.copy(at, k)
		c.cut()
		if space {
			inside := k > from && k+size < to && tokenLetter(b[k-1]) && tokenLetter(b[k+size])
			within = within || inside
			if !glued || !inside {
				c.put([]byte{' '}, k, k+size, whole)
				c.cut()
			}
		}
		k += size
		at = k
	}
	c.copy(at, to)
	if l.spend(len(c.data)) {
		c.seen.unfolded = t.seen.unfolded
		l.find(c, []span{{0, len(c.data)}}, func(m *raw) bool { return wanted(c, m) })
		l.s.joins = l.s.joins[:0]
	}
	return within
}

func tokenLetter(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_'
}

// leads are the next positions of the first bytes of invisible characters, one for each byte.
type leads [3]int

// from is the first of them from i on, or end.
func (n *leads) from(b []byte, i, end int) int {
	first := end
	for k, lead := range []byte{0xc2, 0xe2, 0xef} {
		if n[k] < i {
			if n[k] = end; i < end {
				if at := bytes.IndexByte(b[i:end], lead); at >= 0 {
					n[k] = i + at
				}
			}
		}
		first = min(first, n[k])
	}
	return first
}

// unseen is the length of an invisible character at b[i], or 0, and whether it is a space: soft
// hyphen, no-break spaces, zero-width space and joiners, word joiner, direction marks.
func unseen(b []byte, i int) (size int, space bool) {
	switch b[i] {
	case 0xc2:
		if i+1 < len(b) && (b[i+1] == 0xad || b[i+1] == 0xa0) {
			return 2, b[i+1] == 0xa0
		}
	case 0xe2:
		if i+2 >= len(b) {
			return 0, false
		}
		switch c, d := b[i+1], b[i+2]; {
		case c == 0x80 && (d >= 0x8b && d <= 0x8f || d >= 0xaa && d <= 0xae), c == 0x81 && (d >= 0xa0 && d <= 0xa4 || d >= 0xa6 && d <= 0xaf):
			return 3, false
		case c == 0x80 && (d >= 0x80 && d <= 0x8a || d == 0xaf):
			return 3, true
		}
	case 0xef:
		if i+2 < len(b) && b[i+1] == 0xbb && b[i+2] == 0xbf {
			return 3, false
		}
	}
	return 0, false
}
