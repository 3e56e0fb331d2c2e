package detect

import (
	"bytes"
	"cmp"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

// slack is how far outside of a chunk's own part literals are searched for, in bytes: a match
// that starts in it may have its literal later, and one that starts before it may hide another.
const slack = 4 << 10

// look is the search of one chunk and of everything derived from it.
type look struct {
	e      *Engine
	s      *scratch
	chunk  scanners.Chunk
	budget int // bytes that may still be derived from a run of encoded text
	spent  int // bytes that were derived from all runs
	began  time.Time
	late   bool // the file's time limit has passed
	limits int  // how often a limit left out something
	ids    int
	found  []*raw
	// byStart are the indexes in found by the match's place in the chunk, in units of stretch.
	byStart  map[int][]int
	compared int // matches of found that others were compared with
	// elsewhere are matches that only a list of paths suppresses.
	elsewhere []*raw
	pending   []fieldAt // of the current search
}

// Detect implements scanners.Detector.
func (e *Engine) Detect(c scanners.Chunk) iter.Seq[scanners.Match] {
	return func(yield func(scanners.Match) bool) {
		// A scratch that a panic left in the middle of a search is not used again.
		s := e.scratch.Get().(*scratch)
		l := look{e: e, s: s, chunk: c, budget: maxDerived, began: time.Now()}
		l.chunk.OnLimit(func(kind string) {
			l.limits++
			c.Reached(kind)
		})
		s.chunk = text{data: c.Data, inside: c.Offset > 0, seen: s.chunk.seen}
		var found *marks
		if c.Tracked() {
			found = &marks{}
		}
		s.chunk.marks = found
		l.text(&s.chunk, 0)
		l.report(found)
		s.chunk.data, s.chunk.marks = nil, nil
		e.scratch.Put(s)
		kept := resolve(l.found)
		for _, m := range kept {
			if m.owner < c.From || (m.owner >= c.To && c.To < len(c.Data)) {
				continue
			}
			if m.place.end == len(c.Data) && c.To < len(c.Data) {
				c.Reached(scanners.GapLimitMatch)
			}
			out := m.out()
			if c.Artifact != nil && c.Artifact.Location.Source == "log" {
				out.Mask = maskState(c.Data, m)
			}
			if !yield(out) {
				return
			}
		}
		l.suppressed(kept, yield)
	}
}

// suppressed yields the matches that only a list of paths suppresses.
func (l *look) suppressed(kept []*raw, yield func(scanners.Match) bool) {
	for _, m := range resolve(l.elsewhere) {
		if m.owner < l.chunk.From || m.owner >= l.chunk.To && l.chunk.To < len(l.chunk.Data) ||
			slices.ContainsFunc(kept, func(k *raw) bool { return clash(m, k) }) {
			continue
		}
		out := m.out()
		out.Suppressed = true
		if !yield(out) {
			return
		}
	}
}

func (m *raw) out() scanners.Match {
	out := scanners.Match{Rule: m.rule.Rule, Secret: rules.NewSecret(m.value), Start: m.place.start, End: m.place.end, Confidence: m.confidence,
		Decoded: m.decoded, Views: m.views, Partial: m.partial, Offline: m.offline, Cookie: m.cookie, Claims: m.claims, Token: m.token, Allowed: m.allowed}
	for _, p := range m.pieces {
		out.Pieces = append(out.Pieces, [2]int{p.start, p.end})
	}
	return out
}

// text searches t, then the text as a reader sees it, its joined lines, and everything encoded
// in it.
func (l *look) text(t *text, depth int) {
	main := l.s.text()
	defer l.s.free(main)
	t.seen.take(t.data)
	if !main.clean(t) {
		main = t
	} else {
		main.seen.take(main.data)
	}
	own := span{0, len(main.data)}
	if t.parent == nil {
		own = span{max(0, l.chunk.From-slack), min(len(t.data), l.chunk.To+slack)}
		if main != t {
			own = span{main.place(own.start), main.place(own.end)}
		}
	}
	l.find(main, []span{own}, func(m *raw) bool {
		if main == t {
			return t.fresh(m.start, m.end)
		}
		at := main.outer(m.start, m.end)
		return t.fresh(at.start, at.end) || main.touched(m.start, m.end)
	})
	l.unfinished(t, main)
	if len(t.cuts) == 0 {
		l.secretsObject(main)
	}
	octets := slices.Clone(l.s.octets)
	joins := slices.Clone(l.s.joins)
	l.s.joins = l.s.joins[:0]
	l.counted(main, l.s.takeCounted())
	if main != t {
		l.apart(main, own)
		l.find(t, main.hidden(), func(m *raw) bool { return t.fresh(m.start, m.end) })
		l.s.joins = l.s.joins[:0]
	}
	l.lines(main, own, joins, depth)
	l.decode(main, own, depth)
	if depth < maxDepth {
		l.octets(main, own, octets, depth)
	}
}

// unfinished counts the attempts of the chunk's own part that had not ended where its context
// ends: with more context they might have matched.
func (l *look) unfinished(t, main *text) {
	if t.parent == nil && l.chunk.To < len(t.data) && !l.chunk.Binary {
		for _, pos := range l.s.open {
			if at := main.owner(pos); at >= l.chunk.From && at < l.chunk.To {
				l.chunk.Reached(scanners.GapLimitMatch)
			}
		}
	}
}

// fresh reports whether a match in a derived text is absent from its parent: where nothing was
// replaced in it or next to it, the parent contains it as well. The end of a piece of a line
// that was cut off is not the end of a token.
func (t *text) fresh(start, end int) bool {
	if t.openStart && start == 0 || t.openEnd && end == len(t.data) {
		return false
	}
	return len(t.cuts) == 0 || t.touched(start, end)
}

// hidden lists the parts of the parent that the text does not contain: control strings and
// characters that backspaces deleted.
func (t *text) hidden() []span {
	var out []span
	b := t.parent.data
	last, line := 0, 0 // the first line end at or after the last payload, as far as known
	for _, p := range t.payloads {
		to := min(len(b), p.end+near)
		if p.end < last || line < p.end {
			line = p.end
		}
		last = p.end
		if line < to && b[line] != '\n' {
			if i := bytes.IndexByte(b[line:to], '\n'); i >= 0 {
				line += i
			} else {
				line = to
			}
		}
		to = min(to, line)
		if n := len(out); n > 0 && p.start <= out[n-1].end {
			out[n-1].end = max(out[n-1].end, to)
			continue
		}
		from := max(0, p.start-near)
		from += bytes.LastIndexByte(b[from:p.start], '\n') + 1
		if n := len(out); n > 0 && from <= out[n-1].end {
			out[n-1].end = max(out[n-1].end, to)
		} else {
			out = append(out, span{from, to})
		}
	}
	return out
}

// apart searches again the lines in which something was removed between two bytes that are not
// white space, with a space there: a colour may separate a token from the preceding word, or
// cut the token.
func (l *look) apart(t *text, own span) {
	b := t.data
	for i := 0; i < len(t.cuts); {
		k := t.cuts[i]
		if k < own.start || k >= own.end || !t.close(k) {
			i++
			continue
		}
		from, to := max(0, k-near), min(len(b), k+near)
		from += bytes.LastIndexByte(b[from:k], '\n') + 1
		if n := bytes.IndexByte(b[k:to], '\n'); n >= 0 {
			to = k + n
		}
		c := l.derive(t)
		c.seen.unfolded = t.seen.unfolded
		c.openStart, c.openEnd = from > 0 && b[from-1] != '\n', to < len(b) && b[to] != '\n'
		at := from
		for ; i < len(t.cuts) && t.cuts[i] < to; i++ {
			if k := t.cuts[i]; k > from && t.close(k) {
				c.copy(at, k)
				c.cut()
				c.put([]byte{' '}, k, k, whole)
				c.cut()
				at = k
			}
		}
		c.copy(at, to)
		l.find(c, []span{{0, len(c.data)}}, func(m *raw) bool { return c.fresh(m.start, m.end) })
		l.s.joins = l.s.joins[:0]
		l.s.free(c)
	}
}

// close reports whether a space at k would separate two bytes that are not yet separated. Next
// to white space and other control characters, as programs contain them, it would not.
func (t *text) close(k int) bool {
	return k > 0 && k < len(t.data) && t.data[k-1] > ' ' && t.data[k] > ' ' && t.data[k-1] != 0x7f && t.data[k] != 0x7f
}

// find searches the given parts of t and keeps the matches that judge accepts.
func (l *look) find(t *text, parts []span, wanted func(*raw) bool) {
	keep := func(m *raw) bool {
		ok := wanted(m)
		if ok {
			l.s.raws++
		}
		return ok
	}
	l.s.unfolded, l.s.binary = t.seen.unfolded, l.chunk.Binary && len(t.decoded) == 0
	l.e.find(l.s, t.data, parts, func(m raw) {
		m.text = t.data
		switch m.rule.Parse {
		case "cookies":
			l.cookies(t, &m, keep)
			return
		case "list":
			l.list(t, &m, keep)
			return
		case "fields":
			l.fields(t, &m, keep)
			return
		}
		if !keep(&m) {
			return
		}
		if l.e.judged(l.s, t, &m, l.chunk) && !(m.rule.ID == kubernetesSecret && l.kubernetes(t, m)) {
			l.add(t, m)
		}
	})
	if len(t.decoded) == 0 {
		for _, p := range l.s.masked {
			l.partial(t, p)
		}
	}
	l.s.masked = l.s.masked[:0]
	if len(l.pending) > 0 {
		l.deferred(t)
	}
}

func (l *look) add(t *text, m raw) {
	// A value that reaches the end of its line may continue in the next one.
	if k := lineEnd(t.data, m.secret.end); k >= 0 && !m.partial {
		l.s.joins = append(l.s.joins, k)
	}
	m.value = slices.Clone(t.data[m.secret.start:m.secret.end])
	m.place, m.owner = t.raw(m.secret.start, m.secret.end), t.owner(m.secret.start)
	m.decoded, m.views, m.run = t.decoded, t.views, t.id
	for x, w := t, m.secret; x.parent != nil; x = x.parent {
		w = x.outer(w.start, w.end)
		if x.parent.id != x.id && x.parent.id > 0 {
			m.trail = append(m.trail, step{x.parent.id, w})
		}
	}
	if t.parent != nil {
		m.pieces = t.spans(m.secret.start, m.secret.end)
		if len(m.pieces) < 2 {
			m.pieces = nil
		} else if len(t.views) == 0 && len(t.decoded) == 0 {
			m.views = []string{"log"}
		}
	}
	m.leads = m.rule.leads && m.secret.start == m.start
	if !m.claimsRead {
		m.claims = m.readClaims(t, 0)
	}
	m.text = nil
	if m.elsewhere {
		l.elsewhere = append(l.elsewhere, &m)
		return
	}
	if l.byStart == nil {
		l.byStart = map[int][]int{}
	}
	l.byStart[m.place.start/stretch] = append(l.byStart[m.place.start/stretch], len(l.found))
	l.found = append(l.found, &m)
}

// derive returns a child of t. The caller fills and frees it.
func (l *look) derive(t *text) *text {
	c := l.s.text()
	c.reset(t)
	return c
}

// decoded searches the output of a decoder for a part of t.
func (l *look) decoded(c *text, step string, depth int) {
	if !l.spend(len(c.data)) {
		return
	}
	l.ids++
	c.id = l.ids
	c.decoded = l.s.with(c.decoded, step)
	k, ok := l.emptyKey(c, depth)
	if ok && l.knownEmpty(k) {
		return
	}
	before := *l
	raws := l.s.raws
	l.text(c, depth+1)
	if ok && l.s.raws == raws && l.limits == before.limits && !l.late && len(l.found) == len(before.found) && len(l.elsewhere) == len(before.elsewhere) && len(l.s.joins) == 0 {
		l.e.cache.empty.put(k, effort{l.ids - before.ids, l.spent - before.spent})
	}
}

// step is the position of a match in a text that its own text was decoded from.
type step struct {
	run int
	at  span
}

func (m *raw) within(run int) (span, bool) {
	for _, s := range m.trail {
		if s.run == run {
			return s.at, true
		}
	}
	return span{}, false
}

// resolve keeps one match per position. Of matches that overlap it prefers a sure one to a
// doubtful one, then the most specific, then one that recognises the token by its beginning,
// then the longer, then the one that was read from the raw bytes. A fallback with a format
// ranks below one with a name.
func resolve(found []*raw) []*raw {
	slices.SortStableFunc(found, func(a, b *raw) int {
		if a.partial != b.partial {
			return compareBool(a.partial, b.partial)
		}
		// A more specific rule gives way where it is less sure.
		if n := compareBool(a.doubtful(), b.doubtful()); n != 0 {
			return n
		}
		if n := b.rule.Specific() - a.rule.Specific(); n != 0 {
			return n
		}
		// A product that signs its tokens is recognised by a claim.
		if n := compareBool(a.rule.ID == "jwt", b.rule.ID == "jwt"); n != 0 {
			return n
		}
		// The result must not depend on what else is in the chunk.
		return cmp.Or(a.guess()-b.guess(), len(b.value)-len(a.value), len(a.decoded)-len(b.decoded), a.place.start-b.place.start, strings.Compare(a.rule.ID, b.rule.ID))
	})
	// An index of kept matches by position: a chunk may contain thousands.
	near := map[int][]int{}
	var kept []*raw
	for _, m := range found {
		from, to := m.place.start/stretch, max(m.place.end-1, m.place.start)/stretch
		clashes := false
		for i := from; i <= to && !clashes; i++ {
			clashes = slices.ContainsFunc(near[i], func(k int) bool { return clash(m, kept[k]) })
		}
		if clashes {
			continue
		}
		for i := from; i <= to; i++ {
			near[i] = append(near[i], len(kept))
		}
		kept = append(kept, m)
	}
	slices.SortStableFunc(kept, func(a, b *raw) int { return a.place.start - b.place.start })
	return kept
}

// doubtful is a match of low confidence, except for a public value: that is certain.
func (m *raw) doubtful() bool { return m.confidence == rules.Low && m.rule.Kind != rules.KindPublic }

// guess orders equally specific matches: a prefix that one issuer's tokens have is the
// strongest evidence, a format that many issuers use the weakest.
func (m *raw) guess() int {
	switch {
	case !m.leads:
		return 1
	case m.rule.Fallback:
		return 2
	}
	return 0
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// clash reports whether two matches are of the same text, so that only one may be reported.
// Several secrets of one encoded run have the same raw position, and each counts; but a rule
// that recognised the run itself only by its position gives way to a match inside the run.
func clash(a, b *raw) bool {
	if a.place.start >= b.place.end || b.place.start >= a.place.end {
		return false
	}
	if (a.extends && !b.spliced() || b.extends && !a.spliced()) && a.place.start == b.place.start {
		return false
	}
	if a.run == b.run && a.run > 0 {
		return a.secret.start < b.secret.end && b.secret.start < a.secret.end
	}
	if a.run > 0 && b.run > 0 {
		if w, ok := b.within(a.run); ok {
			return w.start < a.secret.end && a.secret.start < w.end
		}
		if w, ok := a.within(b.run); ok {
			return w.start < b.secret.end && b.secret.start < w.end
		}
		return bytes.Contains(a.value, b.value) || bytes.Contains(b.value, a.value)
	}
	return true
}
