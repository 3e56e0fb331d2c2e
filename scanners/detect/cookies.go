package detect

import (
	"bytes"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/regex"
)

// maxCookies is how many bytes of a header are read: browsers send at most 4 KiB per cookie
// (RFC 6265, 6.1), and servers rarely accept more than 8 KiB in total. It must not exceed
// slack, or the cut of a chunk would decide what is found.
const maxCookies = slack

// maxName is the longest cookie name that is checked.
const maxName = 128

// maxAttributes is how far the search for a cookie's own attributes goes.
const maxAttributes = 512

var (
	// sessionNameRE matches the names that applications give to session cookies.
	sessionNameRE = newTest(`(?i)(?:sess(?:ion)?(?:id|[_.-]?token|[_.-]?key)?|sid|auth(?:[_.-]?token)?|jwt|access[_.-]?token|id[_.-]?token|refresh[_.-]?token|remember(?:[_.-]?me|[_.-]?token|[_.-]?user)?|sso|login|token)`)
	// strongNameRE matches the names that are certainly those of session cookies.
	strongNameRE = newTest(`(?i)(?:sess(?:ion)?(?:[_.-]?id|[_.-]?token|[_.-]?key)?$|sess(?:ion)?[_.-]|[_.-]sid$|^sid$|auth|jwt|access[_.-]?token|remember)`)
	uuidRE       = newTest(`^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)
	// structureRE matches values that a framework made: iron, express, itsdangerous, Django,
	// ASP.NET Core, gorilla, Fernet, JOSE, Laravel, Rails, Tornado, Plug.
	structureRE = newTest(`^(?:Fe26\.2\*|s(?:%3A|:)[\w-]{20,}\.[A-Za-z0-9+/%]{40,}|\.?[\w-]{8,}\.[\w-]{6}\.[\w-]{27}$|\.?[\w-]{8,}:[0-9A-Za-z]{6}:[\w-]{27,43}$|CfDJ8[\w-]{60,}|MT[A-Za-z0-9_-]{60,}|gAAAAA[\w-]{60,}|ey[\w-]{10,}\.[\w-]*\.[\w-]{10,}|eyJpdiI6[\w%+/=]{60,}|[A-Za-z0-9+/%]{20,}(?:=|%3D){0,2}--[A-Za-z0-9+/%]{16,}|"?2\|1:0\||SFMyNTY\.g3|BAh[\w%+/=]{20,}--)`)
)

// parsed is how far one rule has read the cookies of a text. The matches of a text come rule by
// rule, so the position of one rule does not apply to the next.
type parsed struct {
	rule *compiled
	end  int
}

// by returns p for a rule: it starts at the beginning of the text if another rule was active.
func (p *parsed) by(rule *compiled) *parsed {
	if p.rule != rule {
		*p = parsed{rule: rule}
	}
	return p
}

// cookiePair is one cookie with its position.
type cookiePair struct {
	name, value span
	httpOnly    bool
}

// cookies separates the cookies at m's position and keeps those that look like sessions of an
// application that no family describes.
func (l *look) cookies(t *text, m *raw, keep func(*raw) bool) {
	b := t.data
	at := b[m.start:m.end]
	var list []cookiePair
	// A header that has been read isn't read again from a name inside it: cookie=cookie=… would
	// take quadratic time.
	if m.end < t.parsed.by(m.rule).end {
		return
	}
	switch {
	case at[0] == '\t':
		list = jarRow(b, m.end)
	case bytes.HasSuffix(at, []byte(" ")) && (at[0]|0x20 == 'a' || at[0]|0x20 == 'r'):
		list = header(b, m.end, true)
	case at[0] == '#':
		if keep(m) {
			l.jetBrainsRows(t, m.rule, m.end)
		}
		return
	case (at[0]|0x20 == 'd' || at[0]|0x20 == 'h') && (at[len(at)-1] == ':' || at[len(at)-1] == '='), at[0]|0x20 == 'c' && (at[len(at)-1] == '(' || at[len(at)-1] == '{'):
		if keep(m) {
			l.cookieObject(t, m.rule, m.end)
		}
		return
	case at[len(at)-1] == '(' || at[0] == '$' || at[0] == '<' && at[len(at)-1] == '=':
		list = cookiePairs(b, m.end, 1)
	case m.end < len(b) && b[m.end] == '{':
		list = cookiePairs(b, m.end+1, 64)
	default:
		set := len(at) > 4 && bytes.EqualFold(at[:4], []byte("set-"))
		list = header(b, m.end, set)
	}
	for _, c := range list {
		t.parsed.end = max(t.parsed.end, c.value.end)
	}
	for _, c := range list {
		if n, ok := l.sessionCookie(t, m, c); ok && keep(&n) && l.e.judged(l.s, t, &n, l.chunk) {
			l.add(t, n)
		}
	}
}

// sessionCookie judges one cookie by its name, its value and its attributes.
func (l *look) sessionCookie(t *text, m *raw, c cookiePair) (raw, bool) {
	name, value := string(t.data[c.name.start:c.name.end]), string(t.data[c.value.start:c.value.end])
	structured := structureRE.MatchString(value)
	if len(value) < 20 || !sessionNameRE.MatchString(name) || uuidRE.MatchString(value) && !c.httpOnly {
		return raw{}, false
	}
	// The match begins where its carrier does: a view may contain only that.
	n := raw{rule: m.rule, start: min(m.start, c.name.start), end: c.value.end, secret: c.value, cookie: name, text: t.data, confidence: rules.Low, structured: structured}
	if c.httpOnly || structured || strongNameRE.MatchString(name) {
		n.confidence = rules.Medium
	}
	return n, true
}

// header reads name=value pairs separated by semicolons: all of a Cookie header, or the one
// pair of Set-Cookie with its attributes.
func header(b []byte, from int, set bool) []cookiePair {
	end := min(len(b), from+maxCookies)
	if i := bytes.IndexByte(b[from:end], '\n'); i >= 0 {
		end = from + i
	}
	var out []cookiePair
	for i := from; i < end; {
		for i < end && (b[i] == ' ' || b[i] == ';') {
			i++
		}
		name := span{i, i}
		for i < min(end, name.start+maxName) && nameByte(b[i]) {
			i++
		}
		name.end = i
		if i == end || b[i] != '=' || name.end == name.start {
			return out
		}
		i++
		quoted := i < end && b[i] == '"'
		if quoted {
			i++
		}
		value := span{i, i}
		for i < end && valueByte(b[i]) {
			i++
		}
		value.end = i
		if i == from+maxCookies {
			return out // part of a value is no value
		}
		out = append(out, cookiePair{name: name, value: value})
		if set {
			// The cookie's attributes may be on the line in any order.
			out[0].httpOnly = bytes.Contains(bytes.ToLower(b[i:min(end, i+maxAttributes)]), []byte("httponly"))
			return out
		}
		if quoted && i < end && b[i] == '"' {
			i++
		}
		if i == end || b[i] != ';' {
			return out
		}
	}
	return out
}

// nameByte and valueByte: RFC 6265's token and cookie-octet, without the characters that end a
// string or a bracket in texts that quote a header.
func nameByte(c byte) bool {
	return c > ' ' && c < 0x7f && bytes.IndexByte([]byte(`=;,"'()<>@[]{}\?`), c) < 0
}

func valueByte(c byte) bool {
	return c > ' ' && c < 0x7f && bytes.IndexByte([]byte(`;,"'\<>)[]}`), c) < 0
}

// jarRow reads what follows the fifth field of a row in a Netscape cookie jar.
func jarRow(b []byte, from int) []cookiePair {
	end := min(len(b), from+maxCookies)
	if i := bytes.IndexByte(b[from:end], '\n'); i >= 0 {
		end = from + i
	}
	tab := bytes.IndexByte(b[from:end], '\t')
	if tab <= 0 || tab > maxName {
		return nil
	}
	c := cookiePair{name: span{from, from + tab}, value: span{from + tab + 1, from + tab + 1}}
	for c.value.end < end && valueByte(b[c.value.end]) {
		c.value.end++
	}
	if c.value.end == from+maxCookies {
		return nil // part of a value is no value
	}
	row := b[max(0, from-maxAttributes):from]
	c.httpOnly = bytes.HasPrefix(row[bytes.LastIndexByte(row, '\n')+1:], []byte("#HttpOnly_"))
	return []cookiePair{c}
}

// maxPaired is the longest value that pairRE matches: the largest repeat count that Go's regexp
// allows.
const maxPaired = 999

// pairRE is a name and a value as members of an object, as arguments of a call or of an object
// that is its argument, as rows of PHP's information page, and as JMeter's elements.
var pairRE = regex.Lazy(`^[\s,]{0,40}(?:\{\s{0,40}["']?name["']?\s{0,4}:\s{0,4})?\\{0,3}["']([^"'\s\\]{1,128})\\{0,3}["']\]?` +
	`(?:</td><td class="v">|[ ]elementType="Cookie"[^<>]{0,200}>\s{0,40}<stringProp name="Cookie\.value">|\s{0,4}(?:=>|:|,)\s{0,4}(?:["']?value["']?\s{0,4}:\s{0,4})?\\{0,3}["'])` +
	`([^\s"'<,;\\]{1,999})`)

// cookiePairs reads up to n consecutive names and values.
func cookiePairs(b []byte, from, n int) []cookiePair {
	var out []cookiePair
	end := min(len(b), from+maxCookies)
	for i := from; i < end && len(out) < n; {
		p := pairRE().FindSubmatchIndex(b[i:end])
		if p == nil || p[5]-p[4] == maxPaired {
			return out // part of a value is no value
		}
		out = append(out, cookiePair{name: span{i + p[2], i + p[3]}, value: span{i + p[4], i + p[5]}})
		i += p[1]
		if i < end && (b[i] == '"' || b[i] == '\'') {
			i++
		}
	}
	return out
}

// jetBrainsRows records the rows of a cookie jar of JetBrains' HTTP client: domain, path, name,
// value and date, separated by tabs.
func (l *look) jetBrainsRows(t *text, rule *compiled, from int) {
	b := t.data
	for i := t.line(from).next; i < len(b) && i < from+maxCookies; {
		line := t.line(i)
		m := jetBrainsRE().FindSubmatchIndex(b[i:line.end])
		if m == nil {
			return
		}
		l.pending = append(l.pending, fieldAt{rule: rule, name: span{i + m[2], i + m[3]}, value: span{i + m[4], i + m[5]}, cookie: true})
		i = line.next
	}
}

var jetBrainsRE = regex.Lazy(`^[^\t\n]{1,255}\t/[^\t\n]{0,255}\t([^\t\n]{1,128})\t([^\t\n ]{1,999})(?:\t|\r?$)`)

// list judges the strings of a list that m's position opens.
func (l *look) list(t *text, m *raw, keep func(*raw) bool) {
	// The next list has its own position: nothing is read twice, and the result doesn't depend
	// on where a chunk begins.
	b := t.data[:min(len(t.data), m.end+maxCookies)]
	if i := bytes.Index(b[m.end:], []byte("okens")); i >= 0 {
		b = b[:m.end+i]
	}
	for i := m.end; i < len(b); {
		quote := b[i]
		switch {
		case quote == ' ' || quote == ',' || quote == '\n' || quote == '\r' || quote == '\t':
			i++
			continue
		case quote != '"' && quote != '\'':
			return
		}
		end := bytes.IndexByte(b[i+1:], quote)
		if end < 0 {
			return
		}
		value := span{i + 1, i + 1 + end}
		i = value.end + 1
		if n := value.end - value.start; n < minListed || n > maxListed || bytes.ContainsAny(b[value.start:value.end], " \t\n\\") {
			continue
		}
		n := raw{rule: m.rule, start: min(m.start, value.start), end: value.end, secret: value, text: t.data, confidence: m.rule.Confidence}
		if keep(&n) && l.e.judged(l.s, t, &n, l.chunk) {
			l.add(t, n)
		}
	}
}

// A string of a list is a token candidate from ten bytes on, as the value of a name is.
const (
	minListed = 10
	maxListed = 2048
)
