package detect

import (
	"bytes"
	"slices"
	"sort"
	"strings"

	"github.com/quellhq/quell/rules/regex"
	"github.com/quellhq/quell/rules/token"
)

// joinRun joins lines of equal length and the shorter line after them.
func (l *look) joinRun(t *text, run []line, truncated bool, depth int) {
	l.renew(depth)
	if len(run) < 2 || l.budget < 0 {
		return
	}
	w := run[0].end - run[0].start
	c := l.derive(t)
	defer l.s.free(c)
	c.views = l.s.with(t.views, "joined")
	c.inside = truncated
	for i, ln := range run {
		if i > 0 {
			c.cut()
		}
		c.copy(ln.start, ln.end)
	}
	if !l.spend(len(c.data)) {
		return
	}
	l.joined(c, wrapWidth(w))
	if depth < maxDepth {
		c.seen.take(c.data)
		l.runs(c, span{0, len(c.data)}, depth, c.cuts)
	}
}

// joinAt joins the line that ends at b[k] with those after it: as many as have its length, and
// one more. It returns the position before which no other line needs to be joined with the
// next.
func (l *look) joinAt(t *text, k int) (done int) {
	b := t.data
	from := bytes.LastIndexByte(b[max(0, k-maxJoin):k], '\n') + 1 + max(0, k-maxJoin)
	cur := lineAt(b, from)
	w := cur.end - cur.start
	if cur.next < len(b) {
		bare, _ := unprefixed(b, cur, lineAt(b, cur.next))
		w = bare.end - bare.start
	}
	c := l.derive(t)
	defer l.s.free(c)
	c.views = l.s.with(t.views, "joined")
	c.openStart = from > 0 && b[from-1] != '\n'
	for {
		end := cur.end
		if end > cur.start && (b[end-1] == '\\' || b[end-1] == '=' && end-cur.start <= 76) {
			end--
		}
		c.copy(cur.start, end)
		if cur.next >= len(b) || len(c.cuts) > 0 && cur.end-cur.start != w {
			break
		}
		before := lineAt(b, lineBegin(b, cur.start))
		if len(c.data) >= maxJoin {
			// A token that begins in the last third may not end here.
			done -= maxJoin / 3
			break
		}
		done = cur.next
		_, cur = unprefixed(b, before, lineAt(b, cur.next))
		if cur.end == cur.start || !tokenByte[b[cur.start]] || cur.end-cur.start > max(w, minWrap) && w >= minWrap {
			break
		}
		c.cut()
	}
	if len(c.cuts) > 0 && l.spend(len(c.data)) {
		l.joined(c, wrapWidth(w))
	}
	return max(done, k+1)
}

// renew gives a run of encoded text of the chunk itself its own budget, unless the file's time
// limit has passed.
func (l *look) renew(depth int) {
	if depth == 0 && !l.late {
		l.budget = maxDerived
	}
}

// joined searches lines that were joined. A match counts if its secret contains a line break
// and something other than the length of the lines shows that it continues there. usual is set
// where the lines have a width at which tools wrap.
func (l *look) joined(c *text, usual bool) {
	l.find(c, []span{{0, len(c.data)}}, func(m *raw) bool {
		if !c.split(m.secret.start, m.secret.end) || c.openStart && m.start == 0 || m.rule.Generic() {
			return false
		}
		l.s.raws++
		at := c.raw(m.secret.start, m.secret.end)
		whole, checked := m.rule.complete(c.data[m.secret.start:m.secret.end])
		if proven := whole && checked; !proven && (l.begins(c, m) || c.digestBegins(m.secret)) {
			return false
		}
		k := l.firstIn(span{at.start, at.start + 1}, func(f *raw) bool {
			return f.place.start == at.start && !f.spliced() && f.rule.Specific() >= m.rule.Specific()
		})
		if k < 0 {
			if first := c.cuts[sort.SearchInts(c.cuts, m.secret.start+1)]; !usual && !whole && first-m.secret.start <= gramLen {
				return false // two or three letters at a line's end are no evidence
			}
			return usual || !m.rule.Random && (m.rule.Provider != nil || m.rule.leads)
		}
		// One line already contains a whole match. Its check digits or signature decide;
		// without them both are reported.
		switch whole, checked := l.found[k].rule.complete(l.found[k].value); {
		case checked && !whole:
			return true
		case checked || !usual:
			return false
		}
		m.extends = true
		return true
	})
	l.s.joins = l.s.joins[:0]
}

// begins reports whether the line in which m's secret ends begins something new: another match
// begins where the line does, or the secret's last piece is the name of a value or begins with
// one, or the line has a match of the same rule.
func (l *look) begins(c *text, m *raw) bool {
	last := c.cuts[sort.SearchInts(c.cuts, m.secret.end)-1]
	if beginsField(c.data[last:m.secret.end], c.data[m.secret.end:]) {
		return true
	}
	if next := m.secret.end; next < len(c.data) && (c.data[next] == '=' || c.data[next] == ':') && m.secret.end-last < maxName {
		return true
	}
	end := len(c.data)
	if k := sort.SearchInts(c.cuts, m.secret.end); k < len(c.cuts) {
		end = c.cuts[k]
	} else if k := bytes.IndexByte(c.data[m.secret.end:], '\n'); k >= 0 {
		end = m.secret.end + k
	}
	line := c.raw(last, min(end, m.secret.end+lineContext))
	return l.firstIn(span{line.start, max(line.end, line.start+1)}, func(f *raw) bool {
		return !f.spliced() && (f.place.start == line.start || f.rule == m.rule && f.place.start > line.start && f.place.start < line.end)
	}) >= 0
}

// beginsField reports whether a line whose first bytes are piece, and then rest, is a header ("Host: …")
// or an assignment in capitals ("PATH=…"). Cookie values may contain both signs.
func beginsField(piece, rest []byte) bool {
	k := bytes.IndexAny(piece, ":=")
	if k < 1 || k > maxName {
		return false
	}
	name, after := piece[:k], piece[k+1:]
	if piece[k] == ':' {
		// Names of headers and of members in YAML.
		return len(after) == 0 && (len(rest) == 0 || rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\r' || rest[0] == '\n') && !bytes.ContainsFunc(name, func(r rune) bool {
			return r != '-' && r != '_' && r != '.' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z')
		})
	}
	// Padding of base64 is no assignment.
	return len(after) > 0 && after[0] != '=' && !bytes.ContainsFunc(name, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z')
	})
}

// stretch is how many bytes of the chunk one list of matches is for.
const stretch = 1 << 10

// firstIn is the index of the first match in l.found that begins in a part of the chunk and for
// which f returns true, or -1. f may be called for matches that begin next to the part.
func (l *look) firstIn(part span, f func(*raw) bool) int {
	first := -1
	for i := part.start / stretch; i <= (part.end-1)/stretch; i++ {
		for _, k := range l.byStart[i] {
			if first >= 0 && k > first {
				break
			}
			if l.compared++; f(l.found[k]) {
				first = k
				break
			}
		}
	}
	return first
}

// digestBegins reports whether the last piece of a secret is a digest at the beginning of a line
// of a list of files, as md5sum writes it, and the piece before it is too short to be evidence.
func (t *text) digestBegins(secret span) bool {
	k := sort.SearchInts(t.cuts, secret.end) - 1
	if k < 0 || t.cuts[k] <= secret.start {
		return false
	}
	last := t.cuts[k]
	rest := t.data[secret.end:min(len(t.data), secret.end+2)]
	return hexRE.Match(t.data[last:secret.end]) && slices.Contains([]int{32, 40, 64, 128}, secret.end-last) &&
		(string(rest) == "  " || string(rest) == " *")
}

// spliced reports whether a match was found in joined lines.
func (m *raw) spliced() bool { return slices.Contains(m.views, "joined") }

// complete reports whether a rule's secret is complete by its own check digits or by the length
// of its signature; checked is false where it has neither.
func (r *compiled) complete(value []byte) (whole, checked bool) {
	secret := string(value)
	if r.Checksum != "" {
		return r.ValidChecksum(secret), true
	}
	if k := strings.Index(secret, "ey"); k >= 0 {
		jwt := jwtBytesRE().FindString(secret[k:]) // its wrapping may go on
		if j, err := token.ParseJWT(jwt); err == nil && !j.Unsigned() {
			return j.WholeSignature(jwt), true
		}
	}
	return false, false
}

var jwtBytesRE = regex.Lazy(`^[A-Za-z0-9_.-]+`)
