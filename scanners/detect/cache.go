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

// The versions of a file in a history are mostly equal. A result that depends on a stretch of text
// alone is kept under the SHA-256 of that text and of the other inputs, and used again for the
// next equal stretch. The text itself is not kept, except for the hosts, users and databases that
// a verdict has from a credential's surroundings.

// digest identifies a stretch of text and a question about it.
type digest [sha256.Size]byte

// maxResults is how many results of one kind are kept: a few thousand are enough for versions
// that follow each other. Twice as many are in memory, because the older half is dropped at once.
const maxResults = 1 << 14

// maxResultBytes limits the memory of the results of one kind, again of each half.
const maxResultBytes = 8 << 20

// maxWindow and maxMatches are the length of a window, in bytes, and the number of its matches up
// to which the result is kept: a window that is larger is hardly equal in the next version.
const maxWindow, maxMatches = 64 << 10, 256

// maxKeyText is the capacity of a key's text that is kept for the next key, in bytes.
const maxKeyText = 64 << 10

// memo keeps the results of one kind. Results that were not used for a while are dropped. It
// is safe for concurrent use.
type memo[V any] struct {
	size        func(V) int // what a result occupies beyond its own value, in bytes; nil: nothing
	mu          sync.Mutex
	young, aged map[digest]V
	bytes       int // of young
}

func (r *memo[V]) get(k digest) (V, bool) {
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

func (r *memo[V]) put(k digest, v V) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keep(k, v)
}

func (r *memo[V]) keep(k digest, v V) {
	if r.young == nil || len(r.young) >= maxResults || r.bytes >= maxResultBytes {
		r.young, r.aged, r.bytes = make(map[digest]V, 64), r.young, 0
	}
	r.young[k] = v
	if r.size != nil {
		r.bytes += r.size(v)
	}
}

// cache has the results that an engine keeps.
type cache struct {
	windows  memo[[][]int]
	verdicts memo[verdict]
	empty    memo[effort]
}

func newCache() *cache {
	return &cache{windows: memo[[][]int]{size: sizeOfMatches}, verdicts: memo[verdict]{size: verdict.size}}
}

func sizeOfMatches(list [][]int) (n int) {
	for _, m := range list {
		n += 24 + 8*len(m)
	}
	return n
}

func (v verdict) size() int {
	n := len(v.public) + len(v.issuer)
	for _, list := range [][]string{v.hosts, v.claims.Hosts, v.claims.Near, v.claims.Users, v.claims.Databases} {
		for _, s := range list {
			n += 16 + len(s)
		}
	}
	return n
}

// keyText collects the inputs that a result depends on.
type keyText struct{ b []byte }

func (a *keyText) number(list ...int) {
	for _, n := range list {
		a.b = binary.AppendVarint(a.b, int64(n))
	}
}

func (a *keyText) text(list ...string) {
	for _, s := range list {
		a.number(len(s))
		a.b = append(a.b, s...)
	}
}

func (a *keyText) flags(list ...bool) {
	for _, on := range list {
		n := 0
		if on {
			n = 1
		}
		a.number(n)
	}
}

// digest returns the key of what was collected, and begins a new collection.
func (a *keyText) digest() digest {
	k := digest(sha256.Sum256(a.b))
	if a.b = a.b[:0]; cap(a.b) > maxKeyText {
		a.b = nil
	}
	return k
}

// all runs the expression over a window. Its result depends on the window's text alone.
func (e *Engine) all(s *scratch, r *compiled, window string) [][]int {
	if e.cache == nil || len(window) > maxWindow {
		return r.Regex.Regexp().FindAllStringSubmatchIndex(window, -1)
	}
	s.key.number(r.number)
	s.key.b = append(s.key.b, window...)
	k := s.key.digest()
	if found, ok := e.cache.windows.get(k); ok {
		return found
	}
	found := r.Regex.Regexp().FindAllStringSubmatchIndex(window, -1)
	if len(found) <= maxMatches {
		e.cache.windows.put(k, found)
	}
	return found
}

// verdict is the decision of judge, with the claims of the text around the match.
type verdict struct {
	ok                 bool
	allowed, elsewhere bool
	rule               *compiled
	confidence         rules.Confidence
	public, issuer     string
	offline, carrier   rules.Offline
	hosts              []string
	claims             rules.Claims
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

// judged is judge with a cache of its decisions. The text that judge reads is cut to what it may
// depend on, so that a key made of the same bytes has the same result. m.text is t's.
func (e *Engine) judged(s *scratch, t *text, m *raw, c scanners.Chunk) bool {
	// The lines around it decide this, too.
	m.inBase64 = m.cookie == "" && m.start == m.secret.start && inBase64(m.text, m.secret)
	if e.cache == nil || c.Tracked() {
		return e.judge(s, m, c) // the lines of a log begin with a time, so that hardly one is equal to another
	}
	from, to := m.context()
	s.key.number(m.rule.number, m.start-from, m.end-from, m.secret.start-from, m.secret.end-from, int(m.confidence))
	s.key.flags(m.structured, m.inBase64)
	s.key.text(m.cookie, c.Artifact.Location.Path, c.Artifact.Location.Commit)
	s.key.b = append(s.key.b, m.text[from:to]...)
	k := s.key.digest()
	v, ok := e.cache.verdicts.get(k)
	if !ok {
		x := *m
		x.text = m.text[from:to:to]
		x.start, x.end, x.secret = m.start-from, m.end-from, span{m.secret.start - from, m.secret.end - from}
		if v.ok = e.judge(s, &x, c); v.ok {
			v = verdict{ok: true, allowed: x.allowed, elsewhere: x.elsewhere, rule: x.rule, confidence: x.confidence, public: x.public, issuer: x.issuer,
				offline: x.offline, carrier: x.carrier, hosts: x.hosts, claims: x.readClaims(t, from), token: x.token}
		}
		e.cache.verdicts.put(k, v)
	}
	if !v.ok {
		return false
	}
	m.allowed, m.elsewhere, m.rule, m.confidence, m.public, m.issuer = v.allowed, v.elsewhere, v.rule, v.confidence, v.public, v.issuer
	m.offline, m.carrier, m.token = now(v.offline), now(v.carrier), v.token
	m.hosts = slices.Clone(v.hosts)
	m.claims = v.claims
	for _, list := range []*[]string{&m.claims.Hosts, &m.claims.Near, &m.claims.Users, &m.claims.Databases} {
		*list = slices.Clone(*list)
	}
	m.claimsRead = true
	return true
}

// now is a state by expiry at the present time.
func now(o rules.Offline) rules.Offline {
	if o.Expires == nil {
		return o
	}
	return until(*o.Expires)
}

// effort is the work of searching a derived text that has no match.
type effort struct{ ids, spent int }

// emptyKey returns the key of a derived text whose search depends only on its bytes and a few
// properties. There is no key in a log, or in a text that continues in another chunk, where the
// search depends on more.
func (l *look) emptyKey(t *text, depth int) (digest, bool) {
	if l.e.cache == nil || t.marks != nil || l.chunk.Offset > 0 || l.chunk.To < len(l.chunk.Data) || len(l.s.joins) > 0 || l.late {
		return digest{}, false
	}
	a := &l.s.key
	a.number(depth, len(t.views), len(t.decoded), len(t.cuts))
	// columns depends on the parent, too.
	a.flags(t.inside, t.openStart, t.openEnd, l.chunk.Binary, t.parent.stamped())
	a.text(t.decoded...)
	a.number(t.cuts...)
	a.b = append(a.b, t.data...)
	return a.digest(), true
}

// knownEmpty reports whether a derived text was searched before without a match. If so, it counts
// the effort of that search again, so that limits are reached at the same place.
func (l *look) knownEmpty(k digest) bool {
	x, ok := l.e.cache.empty.get(k)
	if !ok || l.budget < x.spent || l.spent+x.spent > maxSpent {
		return false
	}
	l.ids, l.spent, l.budget = l.ids+x.ids, l.spent+x.spent, l.budget-x.spent
	return true
}
