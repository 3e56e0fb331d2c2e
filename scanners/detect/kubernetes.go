package detect

import (
	"bytes"

	"github.com/quellhq/quell/rules"
)

// kubernetesSecret is gitleaks' rule for a Secret in YAML. It captures a key with its value in
// base64; an API server accepts the decoded value.
const kubernetesSecret = "kubernetes-secret-yaml"

// minSecretValue is the shortest decoded value that is a secret, in bytes.
const minSecretValue = 8

// kubernetes adds the decoded values of a Secret's data; m is the first of them. A value made
// of words, such as a user's name, has low confidence. It returns false where the first value
// is not base64 of text.
func (l *look) kubernetes(t *text, m raw) bool {
	b := t.data
	first := true
	for at := m.secret.start; at < len(b) && at < m.end+maxCookies; {
		end := len(b)
		if i := bytes.IndexByte(b[at:], '\n'); i >= 0 {
			end = at + i
		}
		if first && end < m.secret.end {
			return false // in a block scalar, whose lines are joined elsewhere
		}
		line := b[at:end]
		colon := bytes.IndexByte(line, ':')
		if !first && (colon < 0 || len(line) == 0 || line[0] != ' ') {
			break // after the block
		}
		if colon >= 0 {
			value := span{at + colon + 1, end}
			for value.start < value.end && (b[value.start] == ' ' || b[value.start] == '"' || b[value.start] == '\'') {
				value.start++
			}
			value.end = value.start
			for value.end < end && base64Class[b[value.end]] {
				value.end++
			}
			ok := l.secretValue(t, m, value)
			if first && !ok {
				return false
			}
		}
		first = false
		at = end + 1
	}
	return true
}

func (l *look) secretValue(t *text, m raw, value span) bool {
	v := t.data[value.start:value.end]
	c := l.derive(t)
	defer l.s.free(c)
	if len(v) < minSecretValue || !c.base64(v) || len(c.data) < minSecretValue || !printable(c.data) || bytes.ContainsAny(c.data, "\n\x1b") {
		return false
	}
	to := value.end
	for to < len(t.data) && to < value.end+2 && t.data[to] == '=' {
		to++
	}
	c.segs = append(c.segs, segment{from: value.start, to: to, kind: groups})
	l.ids++
	c.id = l.ids
	c.decoded = l.s.with(c.decoded, "base64")
	n := raw{rule: m.rule, end: len(c.data), secret: span{0, len(c.data)}, confidence: m.confidence, allowed: marked(lineOf(t.data, value.start, value.end))}
	if !unguessable(string(c.data)) {
		n.confidence = rules.Low
	}
	l.add(c, n)
	return true
}
