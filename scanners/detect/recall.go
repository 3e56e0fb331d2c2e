package detect

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/token"
	"github.com/quellhq/quell/scanners"
)

// The versions of a file in a history are mostly equal. What a search computes from a stretch of
// text alone is kept, by the SHA-256 of that text and of everything else that the result depends
// on, and taken from there where the same stretch comes again. Of the text itself, only what a
// verdict says of a credential's surroundings is kept: hosts, users, databases.

// digest identifies a stretch of text and a question about it.
type digest [sha256.Size]byte

// maxRecalled is how many results of one kind are kept: a few thousand are enough for versions
// that follow each other. Twice as many are in memory, because the older half is dropped at once.
const maxRecalled = 1 << 14

// maxRecalledBytes limits the memory of the results of one kind, again of each half.
const maxRecalledBytes = 8 << 20

// maxWindow and maxMatches are the length of a window, in bytes, and the number of its matches up
// to which the result is kept: a window that is larger is hardly equal in the next version.
const maxWindow, maxMatches = 64 << 10, 256

// maxAsked is the capacity of a key's text that is kept for the next key, in bytes.
const maxAsked = 64 << 10

// recalled keeps the results of one kind. Results that were not used for a while are dropped. It
// is safe for concurrent use.
type recalled[V any] struct {
	size        func(V) int // what a result occupies beyond its own value, in bytes; nil: nothing
	mu          sync.Mutex
	young, aged map[digest]V
	bytes       int // of young
}

func (r *recalled[V]) get(k digest) (V, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.young[k]
	if !ok {
		if v, ok = r.aged[k]; ok {
			r.keep(k, v)
		}
	}
	return v, ok
}

func (r *recalled[V]) put(k digest, v V) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keep(k, v)
}

func (r *recalled[V]) keep(k digest, v V) {
	if r.young == nil || len(r.young) >= maxRecalled || r.bytes >= maxRecalledBytes {
		r.young, r.aged, r.bytes = make(map[digest]V, 64), r.young, 0
	}
	r.young[k] = v
	if r.size != nil {
		r.bytes += r.size(v)
	}
}

// recall is what an engine keeps.
type recall struct {
	windows recalled[[][]int]
	verdict recalled[verdict]
	barren  recalled[effort]
}

func newRecall() *recall {
	return &recall{windows: recalled[[][]int]{size: sizeOfMatches}, verdict: recalled[verdict]{size: verdict.size}}
}

func sizeOfMatches(list [][]int) (n int) {
	for _, m := range list {
		n += 24 + 8*len(m)
	}
	return n
}

func (v verdict) size() int {
	n := len(v.public) + len(v.issuer)
	for _, list := range [][]string{v.claims, v.said.Hosts, v.said.Near, v.said.Users, v.said.Databases} {
		for _, s := range list {
			n += 16 + len(s)
		}
	}
	return n
}

// asked collects what a key is made of.
type asked struct{ b []byte }

func (a *asked) number(list ...int) {
	for _, n := range list {
		a.b = binary.AppendVarint(a.b, int64(n))
	}
}

func (a *asked) text(list ...string) {
	for _, s := range list {
		a.number(len(s))
		a.b = append(a.b, s...)
	}
}

func (a *asked) flags(list ...bool) {
	for _, on := range list {
		n := 0
		if on {
			n = 1
		}
		a.number(n)
	}
}

// digest returns the key of what was collected, and begins a new collection.
func (a *asked) digest() digest {
	k := digest(sha256.Sum256(a.b))
	if a.b = a.b[:0]; cap(a.b) > maxAsked {
		a.b = nil
	}
	return k
}

// all runs the expression over a window. Its result depends on the window's text alone.
func (e *Engine) all(s *scratch, r *compiled, window string) [][]int {
	if e.recall == nil || len(window) > maxWindow {
		return r.Regex.Regexp().FindAllStringSubmatchIndex(window, -1)
	}
	s.asked.number(r.number)
	s.asked.b = append(s.asked.b, window...)
	k := s.asked.digest()
	if found, ok := e.recall.windows.get(k); ok {
		return found
	}
	found := r.Regex.Regexp().FindAllStringSubmatchIndex(window, -1)
	if len(found) <= maxMatches {
		e.recall.windows.put(k, found)
	}
	return found
}

// verdict is what judge decided, and what the text around the match says about it.
type verdict struct {
	ok                 bool
	allowed, elsewhere bool
	rule               *compiled
	confidence         rules.Confidence
	public, issuer     string
	offline, carrier   rules.Offline
	claims             []string
	said               rules.Claims
	token              *token.Facts
}

// context is the part of the text that judge and claimed may read for a match: its line, and more
// for some rules.
func (m *raw) context() (from, to int) {
	start, end := min(m.start, m.secret.start), max(m.end, m.secret.end)
	r, near := m.rule, 0
	switch p := r.Provider; {
	case r.Kind == rules.KindBearer:
		near = maxCookies // neighbourExpiry
	case m.cookie != "", r.Kind == rules.KindJWT, r.Kind == rules.KindPassword, r.Beside != nil, p != nil && p.SelfHosted, bytes.HasPrefix(m.text[m.secret.start:], []byte("e")):
		near = lineContext // the last is what a token's own claims may make of it; see readToken
	case r.Generic():
		near = vectorContext
	}
	if r.Random || r.Fallback || r.Provider == nil {
		near = max(near, nameContext) // badgeRE, pageRE
	}
	from, to = max(0, start-near), min(len(m.text), end+near)
	line := lineOf(m.text, start, end)
	begin := max(0, start-lineContext)
	begin += bytes.LastIndexByte(m.text[begin:start], '\n') + 1
	return min(from, begin), max(to, begin+len(line))
}

// judged is judge, and keeps what it decides. The text that judge reads is cut to what it may
// depend on, so that a key made of the same bytes has the same result. m.text is t's.
func (e *Engine) judged(s *scratch, t *text, m *raw, c scanners.Chunk) bool {
	// The lines around it decide this, too.
	m.inBase64 = m.cookie == "" && m.start == m.secret.start && inBase64(m.text, m.secret)
	if e.recall == nil {
		return e.judge(s, m, c)
	}
	from, to := m.context()
	s.asked.number(m.rule.number, m.start-from, m.end-from, m.secret.start-from, m.secret.end-from, int(m.confidence))
	s.asked.flags(m.structured, m.inBase64)
	s.asked.text(m.cookie, c.Artifact.Location.Path, c.Artifact.Location.Commit)
	s.asked.b = append(s.asked.b, m.text[from:to]...)
	k := s.asked.digest()
	v, ok := e.recall.verdict.get(k)
	if !ok {
		x := *m
		x.text = m.text[from:to:to]
		x.start, x.end, x.secret = m.start-from, m.end-from, span{m.secret.start - from, m.secret.end - from}
		if v.ok = e.judge(s, &x, c); v.ok {
			v = verdict{ok: true, allowed: x.allowed, elsewhere: x.elsewhere, rule: x.rule, confidence: x.confidence, public: x.public, issuer: x.issuer,
				offline: x.offline, carrier: x.carrier, claims: x.claims, said: x.claimed(t, from), token: x.token}
		}
		e.recall.verdict.put(k, v)
	}
	if !v.ok {
		return false
	}
	m.allowed, m.elsewhere, m.rule, m.confidence, m.public, m.issuer = v.allowed, v.elsewhere, v.rule, v.confidence, v.public, v.issuer
	m.offline, m.carrier, m.token = now(v.offline), now(v.carrier), v.token
	m.claims = slices.Clone(v.claims)
	m.said = v.said
	for _, list := range []*[]string{&m.said.Hosts, &m.said.Near, &m.said.Users, &m.said.Databases} {
		*list = slices.Clone(*list)
	}
	m.heard = true
	return true
}

// now is a state by expiry at the present time.
func now(o rules.Offline) rules.Offline {
	if o.Expires == nil {
		return o
	}
	return until(*o.Expires)
}

// effort is what the search of a derived text took that found nothing.
type effort struct{ ids, spent int }

// barren is the key of a derived text whose search depends on nothing but its bytes and a few
// properties, and reports whether there is such a key: in a log, and in a text that continues in
// another chunk, other things count.
func (l *look) barren(t *text, depth int) (digest, bool) {
	if l.e.recall == nil || t.marks != nil || l.chunk.Offset > 0 || l.chunk.To < len(l.chunk.Data) || len(l.s.joins) > 0 || l.late {
		return digest{}, false
	}
	a := &l.s.asked
	a.number(depth, len(t.views), len(t.decoded), len(t.cuts))
	// columns asks the parent, too.
	a.flags(t.inside, t.openStart, t.openEnd, l.chunk.Binary, t.parent.stamped())
	a.text(t.decoded...)
	a.number(t.cuts...)
	a.b = append(a.b, t.data...)
	return a.digest(), true
}

// known reports whether a derived text was searched before and has nothing, and counts the
// search as if it were made.
func (l *look) known(k digest) bool {
	x, ok := l.e.recall.barren.get(k)
	if !ok || l.budget < x.spent || l.spent+x.spent > maxSpent {
		return false
	}
	l.ids, l.spent, l.budget = l.ids+x.ids, l.spent+x.spent, l.budget-x.spent
	return true
}
