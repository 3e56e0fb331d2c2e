package detect

import (
	"bytes"
	"cmp"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/zricethezav/gitleaks/v8/config"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/regex"
	"github.com/quellhq/quell/rules/token"
	"github.com/quellhq/quell/scanners"
)

// judge decides whether to report a match and with which confidence, by gitleaks' entropy and
// allow-lists and by quell's own tests, the cheapest first.
func (e *Engine) judge(s *scratch, m *raw, c scanners.Chunk) bool {
	secret := string(m.text[m.secret.start:m.secret.end])
	line := lineOf(m.text, m.start, m.end)
	m.allowed = marked(line)
	r := m.rule.Rule
	path := c.Artifact.Location.Path
	if r.Path != nil && path != "" && !r.Path.MatchString(path) {
		return false
	}
	if r.Entropy != 0 && entropy(secret) <= leastEntropy(r, secret) {
		return false
	}
	if r.AnyForm && !namedSession(secret) || !r.AnyForm && placeholder(secret) || slices.Contains(printed, secret) || rules.Sample(secret) {
		return false
	}
	// A rule that recognises a token only by its position must not match words.
	if r.Random && !m.structured && !unguessable(bare(r, secret)) || r.Fallback && !r.Random && evidence(secret) < 0 && !diced(secret) {
		return false
	}
	if r.Kind == rules.KindPrivateKey && !keyBody(secret) || m.inBase64 {
		return false
	}
	match := string(m.text[m.start:m.end])
	commit := c.Artifact.Location.Commit
	// gitleaks' path list contains paths where its own broad rules are noisy; a provider's
	// token counts at any path.
	if suppressed(m.rule.allow, s.matches, secret, match, string(line), commit) || suppressed(e.allow, s.matches, secret, match, string(line), commit) {
		return false
	}
	m.elsewhere = suppressedAt(m.rule.allow, s.matches, secret, match, string(line), path, commit) ||
		r.Provider == nil && suppressedAt(e.allow, s.matches, secret, match, string(line), path, commit)
	if m.cookie == "" && (r.Random || r.Fallback || r.Provider == nil && !m.rule.leads) {
		begin := nameBegin(m.text, m.start, m.secret.start)
		if noiseName(m.text, begin, m.secret.start) || pageRE.Match(m.text[max(0, begin-16):m.secret.start]) || rules.Harmless(string(m.text[begin:m.secret.start]), secret) {
			return false
		}
	}
	if r.Generic() && (!unguessable(secret) || weak(m, secret)) {
		m.confidence = rules.Low
	}
	// Words are no value that only a product's name in front of it makes a credential.
	if r.Provider == nil && !r.Generic() && r.Confidence == rules.Medium && len(secret) >= minDiced && evidence(secret) < 0 {
		m.confidence = rules.Low
	}
	if r.Fallback && badgeRE.Match(m.text[max(0, m.secret.start-nameContext):m.secret.start]) {
		m.confidence = rules.Low
	}
	if !r.ValidChecksum(secret) {
		if repeated(secret) {
			return false
		}
		m.confidence = min(m.confidence, rules.Medium)
	}
	if r.Beside != nil && m.confidence < rules.High && r.Beside.Regexp().Match(m.text[max(0, m.start-lineContext):min(len(m.text), m.end+lineContext)]) {
		m.confidence++
	}
	m.offline = rules.Offline{State: rules.OfflineUnknown}
	if !m.readToken(secret) && !r.AnyForm {
		return false
	}
	if m.public != "" && !r.AnyForm {
		if r := e.byID(m.public); r != nil {
			m.rule = r
		}
		m.confidence = rules.Low
	}
	if m.offline.State == rules.OfflineUnknown && len(r.Expiry) > 0 {
		m.offline = until(token.Expiry(secret, r.Expiry))
	}
	if m.offline.State == rules.OfflineUnknown && r.Kind == rules.KindBearer {
		m.carrier = neighbourExpiry(m.text, m.secret.start, m.secret.end)
	}
	m.hosts = claims(line)
	if m.issuer != "" && !slices.Contains(m.hosts, m.issuer) {
		m.hosts = append(m.hosts, m.issuer)
	}
	if len(m.hosts) == 0 && (m.cookie != "" || r.Kind == rules.KindBearer || r.Kind == rules.KindJWT) {
		m.hosts = blockClaims(m.text, m.start, m.end)
	}
	if m.cookie != "" {
		if !r.AnyForm && (strings.HasPrefix(secret, "ajax:") || (r.Fallback || r.Cookie.Pattern()) && rules.NoiseCookie(m.cookie)) {
			return false
		}
		if m.offline.State == rules.OfflineUnknown && len(r.Expiry) == 0 {
			m.offline = until(token.CookieExpiry(secret))
		}
		m.carrier = cookieExpiry(line)
	}
	return true
}

// template are the beginnings of template variables, and what masking programs write.
var template = []string{"${", "$(", "{{", "%(", "****", "....", "redacted", "filtered", "masked", "placeholder"}

// namedSession reports whether a value under a cookie name that the operator configured can be
// a session: it is no mask, no template and no word of a program.
func namedSession(s string) bool {
	low := strings.ToLower(s)
	if slices.ContainsFunc(template, func(p string) bool { return strings.Contains(low, p) }) {
		return false
	}
	return digitsRE().MatchString(s) || uuidRE.MatchString(s) || structureRE.MatchString(s) || evidence(s) >= 0 && strings.ContainsAny(s, "0123456789") || diced(s)
}

var digitsRE = regex.Lazy(`^[0-9]{6,}$`)

// wrappedRE is what an issuer puts before a JWT that is part of its token.
var wrappedRE = regex.Lazy(`^(?:glcbt-|ghs_[0-9]{1,12}_)ey`)

// readToken reads the token's own claims. It returns false for a value that is no token, or
// that grants no access.
func (m *raw) readToken(secret string) bool {
	if k := wrappedRE().FindStringIndex(secret); k != nil {
		// An issuer's prefix and a JWT: the JWT's end is the end of the whole token.
		if j, err := token.ParseJWT(secret[k[1]-2:]); err == nil {
			m.offline, m.token = until(j.Expires), j.Facts()
		}
		return true
	}
	switch r := m.rule; {
	case strings.HasPrefix(secret, "e"):
		if expires, ok := token.ParseJWE(secret); ok {
			m.offline = until(expires)
			return true
		}
		j, err := token.ParseJWT(secret)
		if err != nil {
			// A name's value that ends before the full stop of an unsigned token.
			if u, err := token.ParseJWT(secret + "."); err == nil && u.Unsigned() {
				return false
			}
			return r.Kind != rules.KindJWT && r.Kind != rules.KindUnsigned && r.ID != "jwe"
		}
		m.public = j.Public()
		if j.Sample() || j.NoCredential() || j.Unsigned() != (r.Kind == rules.KindUnsigned) {
			return false
		}
		if !j.Unsigned() && !j.WholeSignature(secret) {
			m.confidence = min(m.confidence, rules.Medium)
		}
		m.offline, m.token, m.issuer = until(j.Expires), j.Facts(), j.Host()
	case r.ID == "paseto":
		expires, ok := token.ParsePASETO(secret)
		m.offline = until(expires)
		return ok
	case r.ID == "macaroon" && strings.HasPrefix(secret, "MDAx"):
		return token.Macaroon(secret)
	}
	return true
}

// nameBegin is where the name begins that a match may begin inside of.
func nameBegin(b []byte, start, value int) int {
	for start > 0 && value-start < 128 && (isLetter(b[start-1]) || isDigit(b[start-1]) || bytes.IndexByte([]byte("_.-"), b[start-1]) >= 0) {
		start--
	}
	return start
}

// noiseName reports whether one of the first 16 names of at least two characters between two
// positions is that of a value that grants no access. A name is cut after 64 bytes.
func noiseName(b []byte, start, value int) bool {
	for n := 0; start < value && n < 16; {
		k := start
		for k < value && k-start < 64 && (word(b[k]) || b[k] == '.' || b[k] == '-') {
			k++
		}
		if k-start >= 2 {
			if n++; rules.NoiseCookie(string(b[start:k])) {
				return true
			}
		}
		start = max(k, start+1)
	}
	return false
}

// pageRE matches such a name that is written as words.
var pageRE = newTest(`(?i)(?:page|continuation|csrf|next|sync|lock) token["']?\s{0,4}[:=]\s{0,4}["']?$`)

// Elsewhere reports whether a rule does not apply to a path. judge calls it where the path is
// known. A source that learns the path only afterwards, as for a git object read by its id,
// must call it then.
func Elsewhere(set *rules.Set, rule, path string) bool {
	r := set.Rule(rule)
	if r == nil || path == "" && r.Path == nil {
		return false
	}
	if r.Path != nil && !r.Path.MatchString(path) {
		return true
	}
	lists := r.Allowlists
	if r.Provider == nil {
		lists = append(slices.Clone(set.Allowlists), lists...)
	}
	return slices.ContainsFunc(lists, func(a *rules.Allowlist) bool {
		return a.MatchCondition != config.AllowlistMatchAnd && a.PathAllowed(path)
	})
}

func until(t time.Time) rules.Offline {
	switch {
	case t.IsZero():
		return rules.Offline{State: rules.OfflineUnknown}
	case t.Before(time.Now()):
		return rules.Offline{State: rules.OfflineExpired, Expires: &t}
	}
	return rules.Offline{State: rules.OfflineUnexpired, Expires: &t}
}

// lineContext limits how many bytes of a match's line are read on either side: a line of a
// minified file may be megabytes long, and contain thousands of matches.
const lineContext = 1024

// nameContext is how much of the text before a value is searched for words that name another
// use of it, in bytes.
const nameContext = lineContext / 4

// marked reports whether a line contains a comment that suppresses findings.
func marked(line []byte) bool {
	return bytes.Contains(line, []byte("gitleaks:allow")) || bytes.Contains(line, []byte("quell:allow"))
}

func lineOf(b []byte, start, end int) []byte {
	from, to := max(0, start-lineContext), min(len(b), end+lineContext)
	from += bytes.LastIndexByte(b[from:start], '\n') + 1
	if i := bytes.IndexByte(b[end:to], '\n'); i >= 0 {
		to = end + i
	}
	return b[from:to]
}

// leastEntropy is the rule's minimum in bits per byte, lowered for a value that can't reach it:
// hexadecimal digits have at most 4 bits each, and n characters at most log2 n. The minimums of
// gitleaks' rules are not lowered.
func leastEntropy(r *rules.Rule, s string) float64 {
	if r.Provider == nil {
		return r.Entropy
	}
	const share = 0.62 // one random value in 10,000 has less than this share of the maximum entropy
	most := math.Log2(float64(len(s)))
	if hexRE.MatchString(s) {
		most = min(most, 4)
	}
	return min(r.Entropy, share*most)
}

var hexRE = newTest(`^(?:[0-9a-f-]+|[0-9A-F-]+)$`)

// entropy is Shannon's, in bits per byte.
func entropy(s string) float64 {
	var n [256]int
	for i := range len(s) {
		n[s[i]]++
	}
	var h float64
	for _, k := range n {
		if k > 0 {
			p := float64(k) / float64(len(s))
			h -= p * math.Log2(p)
		}
	}
	return h
}

// printed are the example tokens of RFC 6749, RFC 6750 and OpenID Connect Core.
var printed = []string{"mF_9.B5f-4.1JqM", "2YotnFZFEjr1zCsicMWpAA", "tGzv3JOkF0XG5Qx2TlKWIA", "SlAV32hkKG", "8xLOxBtZp8"}

// characters counts the different bytes of a value.
func characters(s string) (n int) {
	var seen [256]bool
	for i := range len(s) {
		if !seen[s[i]] {
			seen[s[i]] = true
			n++
		}
	}
	return n
}

var placeholders = []string{"****", "...", "example_token", "your-", "your_", "<token", "redacted", "filtered", "masked", "placeholder"}

// placeholder recognises what people and masking programs write in place of a secret.
func placeholder(s string) bool {
	if len(s) >= 12 && characters(s) < 6 || typedRE.MatchString(s) || certificateRE.MatchString(s) {
		return true
	}
	// AWS's documentation has EXAMPLE in all of its samples. Only these cases count: a random
	// token may contain any four letters of mixed case.
	for _, p := range []string{"EXAMPLE", "xxxx", "XXXX"} {
		if strings.Contains(s, p) {
			return true
		}
	}
	// A sequence or a word shows that the value was typed. A part of a random value may contain
	// one by chance.
	for _, p := range []string{"0123456789abcdef", "0123456789ABCDEF", "deadbeef", "DEADBEEF"} {
		if 2*len(p)*strings.Count(s, p) >= len(s) {
			return true
		}
	}
	low := strings.ToLower(s)
	return slices.ContainsFunc(placeholders, func(p string) bool { return strings.Contains(low, p) })
}

var (
	domainRE = regex.Lazy(`(?i)\bdomain\s?=\s?\.?([a-z0-9.-]+\.[a-z0-9-]+)`)
	urlRE    = regex.Lazy(`(?i)\b(?:https?|wss?|postgres(?:ql)?)://(?:[^\s/@"']{1,256}@)?(\[[0-9a-f:]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?`)
	hostRE   = regex.Lazy(`(?i)\b(?:host|:authority)["']?\s?[:=]\s?["']?([a-z0-9.-]+\.[a-z0-9-]+(?::[0-9]{1,5})?)`)
	jarRE    = regex.Lazy(`^(?:#HttpOnly_)?\.?([A-Za-z0-9.-]+)\t(?:TRUE|FALSE)\t[^\t]*\t(?:TRUE|FALSE)\t([0-9]+)\t`)
)

var headerRE = regex.Lazy(`(?im)^[^\n]{0,64}?(?:\bhost|:authority)["']?\]?[ ]?[:=][ ]?["']?([a-z0-9.-]+\.[a-z0-9-]+(?::[0-9]{1,5})?)|"url"[ ]?:[ ]?"https?://([a-z0-9.-]+(?::[0-9]{1,5})?)`)

// blockClaims searches the adjacent lines for the host, where a request's other headers or a
// HAR entry's address are: the last host before the match, else the first after it.
func blockClaims(b []byte, start, end int) []string {
	for _, part := range [][]byte{b[max(0, start-lineContext):start], b[end:min(len(b), end+lineContext/2)]} {
		if !bytes.Contains(part, []byte("ost:")) && !bytes.Contains(part, []byte("uthority")) && !bytes.Contains(part, []byte(`"url"`)) {
			continue
		}
		found := headerRE().FindAllSubmatch(part, 8)
		if len(found) == 0 {
			continue
		}
		m := found[0]
		if len(part) > 0 && &part[len(part)-1] == &b[max(start-1, 0)] {
			m = found[len(found)-1]
		}
		return []string{strings.ToLower(string(bytes.Join(m[1:], nil)))}
	}
	return nil
}

// claims lists the hosts that the line names, host or host:port.
func claims(line []byte) []string {
	var out []string
	add := func(h string) {
		h = strings.ToLower(h)
		if len(out) < 8 && !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	if bytes.IndexByte(line, '\t') > 0 {
		if m := jarRE().FindSubmatch(line); m != nil {
			add(string(m[1]))
		}
	}
	// Most lines name no host: what every expression requires is searched for first.
	low := bytes.ToLower(line)
	for _, x := range []struct {
		needs string
		re    func() *regexp.Regexp
	}{{"domain", domainRE}, {"://", urlRE}, {"host", hostRE}, {":authority", hostRE}} {
		if !bytes.Contains(low, []byte(x.needs)) {
			continue
		}
		for _, m := range x.re().FindAllSubmatch(line, 4) {
			add(string(bytes.Join(m[1:], nil)))
		}
	}
	return out
}

// bare is a value without the slashes that it begins with, where they make no path of it: a rule
// for one issuer describes the whole form, and 1 of 64 values in base64 begins with one.
func bare(r *rules.Rule, secret string) string {
	if r.Provider == nil || r.Fallback {
		return secret
	}
	return cmp.Or(strings.TrimLeft(secret, "/"), secret)
}
