package detect

import (
	"bytes"
	"regexp"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/regex"
)

// fieldAt is a field to search once the search that found it has ended: its name and its value,
// rewritten in the form of a header.
type fieldAt struct {
	name, value, domain span
	cookie, httpOnly    bool
	rule                *compiled // that matched a cookie's object
}

// fields reads the value that belongs to the name at m's position and judges it: a header's
// credential, the cookies of a header, or a value that its name marks as a token.
func (l *look) fields(t *text, m *raw, keep func(*raw) bool) {
	name := span{nameBegin(t.data, m.secret.start, m.secret.end), m.secret.end}
	f, ok := readField(t.data, name)
	if !ok {
		return
	}
	low := bytes.ToLower(t.data[name.start:name.end])
	value := t.data[f.value.start:f.value.end]
	if bytes.HasSuffix(low, []byte("cookie")) {
		if f.quoted && bytes.IndexByte(value, '=') > 0 && keep(m) {
			l.pending = append(l.pending, fieldAt{name: name, value: f.value})
		}
		return
	}
	if at := scheme().FindIndex(value); at != nil {
		f.value.start += at[1]
		value = value[at[1]:]
	}
	if len(value) < minField || len(value) >= maxField || bytes.ContainsAny(value, " \t\n{}<>$*()") {
		return
	}
	if !f.quoted && bytes.Count(value, []byte(":")) > 1 || bytes.Contains(value, []byte("://")) {
		return // coordinates of a package, an address
	}
	// A URL contains the value percent-encoded: the decoded view shows it.
	if percentRE.Match(value) {
		return
	}
	n := raw{rule: m.rule, start: min(name.start, f.value.start), end: max(name.end, f.value.end), secret: f.value, text: t.data, confidence: m.rule.Confidence}
	if !keep(&n) || rules.NoiseCookie(string(low)) || rules.Harmless(string(low)+"=", string(value)) {
		return
	}
	if l.e.judged(l.s, t, &n, l.chunk) {
		l.add(t, n)
	}
}

// minField is the shortest value that counts as a credential by its field's name.
const minField = 16

var percentRE = newTest(`%[0-9A-Fa-f]{2}`)

// cookieObject records the cookie that an object, a call or a tag describes by its members.
func (l *look) cookieObject(t *text, rule *compiled, at int) {
	from, to := enclosing(t.data, span{at, at})
	if t.parsed.end = max(t.parsed.end, to); to-from > maxField {
		return
	}
	read := func(key func() *regexp.Regexp) (field, bool) {
		m := key().FindIndex(t.data[from:to])
		if m == nil {
			return field{}, false
		}
		r := fieldReader{t.data[:to], from + m[1]}
		return r.operand(false)
	}
	name, ok := read(cookieNameRE)
	value, ok2 := read(valueKeyRE)
	if !ok || !ok2 || name.value.end-name.value.start > maxName {
		return
	}
	if len(httpOnlyKeyRE().FindAllIndex(t.data[from:to], 2)) > 1 {
		return // more than one object
	}
	domain, _ := read(domainKeyRE)
	l.pending = append(l.pending, fieldAt{rule: rule, name: name.value, value: value.value, domain: domain.value, cookie: true, httpOnly: httpOnlyRE().Match(t.data[from:to])})
}

var (
	cookieNameRE  = regex.Lazy(`(?i)(?:^|[\s{(<,;"'])(?:name|key)\\{0,3}["']?\s{0,4}(?:=>|[:=])`)
	domainKeyRE   = regex.Lazy(`(?i)(?:^|[\s{(<,;"'])(?:domain|host)\\{0,3}["']?\s{0,4}(?:=>|[:=])`)
	httpOnlyKeyRE = regex.Lazy(`(?i)\bhttp_?only\\{0,3}["']?\s{0,4}(?:=>|[:=])`)
	httpOnlyRE    = regex.Lazy(`(?i)\bhttp_?only\\{0,3}["']?\s{0,4}(?:=>|[:=])\s{0,4}["']?(?:true|yes|1)\b`)
)

// deferred searches the fields that a search has found, each in the form of a header.
func (l *look) deferred(t *text) {
	list := l.pending
	l.pending = nil
	// The notes of the outer search are still to be processed.
	s := l.s
	joins, open, dumps, octets, counted := s.joins, s.open, s.dumps, s.octets, s.counted
	s.joins, s.open, s.dumps, s.octets, s.counted = nil, nil, nil, nil, nil
	defer func() { s.joins, s.open, s.dumps, s.octets, s.counted = joins, open, dumps, octets, counted }()
	for _, f := range list {
		c := l.derive(t)
		at := f.value.start
		say := func(s string) { c.put([]byte(s), at, at+1, whole) }
		if f.cookie {
			say("Set-Cookie: ")
		}
		c.copy(f.name.start, f.name.end)
		if f.cookie {
			say("=")
		} else {
			say(": ")
		}
		c.copy(f.value.start, f.value.end)
		if f.domain.end > f.domain.start {
			say("; Domain=")
			c.copy(f.domain.start, f.domain.end)
		}
		if f.httpOnly {
			say("; HttpOnly")
		}
		if l.spend(len(c.data)) {
			c.seen.unfolded = t.seen.unfolded
			l.find(c, []span{{0, len(c.data)}}, func(m *raw) bool {
				if f.rule != nil && m.rule.Parse == "cookies" {
					m.rule = f.rule
				}
				return m.cookie != "" || m.rule.Parse == "cookies"
			})
		}
		l.s.free(c)
	}
}
