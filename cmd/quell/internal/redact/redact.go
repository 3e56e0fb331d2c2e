// Package redact removes secrets from text that leaves the process. A Redactor knows every
// secret that a run has seen, shown or not. It recognises each in plain text and in common
// encodings: base64 at any offset, hex, percent and JSON escapes.
package redact

import (
	"bytes"
	"strings"
	"sync"

	"github.com/quellhq/quell/rules"
)

// MinLen is the length in bytes from which a value is redacted. Shorter values can be words,
// whose removal would garble paths and messages.
const MinLen = 8

// Redactor is safe for concurrent use. The nil Redactor knows no secret.
type Redactor struct {
	mu    sync.RWMutex
	index *index
	seen  map[uint64]struct{}
}

// New returns a Redactor that knows the secrets.
func New(secrets ...rules.Secret) *Redactor {
	r := &Redactor{index: newIndex(), seen: map[uint64]struct{}{}}
	for _, s := range secrets {
		r.Add(s)
	}
	return r
}

// Add adds a secret. Each line of a secret of several lines is recognised by itself, because a
// title or a subject shows a single line.
func (r *Redactor) Add(s rules.Secret) {
	if s.Len() < MinLen {
		return
	}
	v := []byte(s.Reveal())
	key := r.index.hash(v)
	r.mu.RLock()
	_, known := r.seen[key]
	r.mu.RUnlock()
	if known {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.seen[key]; known {
		return
	}
	r.seen[key] = struct{}{}
	r.index.add(v)
	for l := range bytes.FieldsFuncSeq(bytes.ReplaceAll(v, []byte(`\n`), []byte("\n")), func(c rune) bool { return c == '\n' || c == '\r' }) {
		if len(l) >= minLine && !bytes.Contains(l, []byte("-----")) {
			r.index.add(l)
		}
	}
	// An issuer can repeat the key of a webhook without the URL in which it leaked.
	if i := bytes.LastIndexByte(v, '/'); bytes.Contains(v, []byte("://")) && len(v)-i-1 >= minLine {
		r.index.add(v[i+1:])
	}
}

// minLine is the length in bytes from which a line of a secret is treated as a secret.
const minLine = 16

// String replaces every form of every known secret in s.
func (r *Redactor) String(s string) string {
	if r == nil || len(s) < MinLen {
		return s
	}
	r.mu.RLock()
	found := r.places([]byte(s))
	r.mu.RUnlock()
	if len(found) == 0 {
		return s
	}
	var b strings.Builder
	at := 0
	for _, f := range found {
		b.WriteString(s[at:f.from])
		b.WriteString(rules.Redacted)
		at = f.to
	}
	b.WriteString(s[at:])
	return b.String()
}

// places lists the occurrences of secrets in the text in any encoding, in order and without
// overlap. Escaped text can contain base64 or hex digits, as in a query.
func (r *Redactor) places(text []byte) []span {
	var out []span
	add := func(v view) {
		for _, s := range r.index.find(v.text) {
			out = append(out, v.at(s))
		}
	}
	all := func(v view) {
		if !r.index.maybe(v.text) {
			return
		}
		add(v)
		digits(v.text, func(in view) {
			add(view{in.text, func(s span) span { return v.at(in.at(s)) }})
		})
	}
	all(view{text, func(s span) span { return s }})
	escapes(text, all)
	return merged(out)
}
