package guard

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"

	"github.com/quellhq/quell/rules/credential"
)

// Same reports whether two secrets are one credential in different encodings:
// percent-encoded, quoted, base64 or hex.
func Same(a, b credential.Secret) bool {
	if a.IsZero() || b.IsZero() {
		return false
	}
	other := forms(b.Reveal())
	for f := range forms(a.Reveal()) {
		if other[f] {
			return true
		}
	}
	return false
}

// minForm is the minimum length, in bytes, with which a decoded form identifies a credential.
const minForm = 8

// forms returns the spellings of a value, including the value.
func forms(s string) map[string]bool {
	out := map[string]bool{}
	var add func(string, int)
	add = func(v string, depth int) {
		if out[v] || depth > 2 || depth > 0 && len(v) < minForm {
			return
		}
		out[v] = true
		if u, err := url.PathUnescape(v); err == nil {
			add(u, depth+1)
		}
		if u, err := url.QueryUnescape(v); err == nil {
			add(u, depth+1)
		}
		add(strings.Trim(v, `"'`), depth+1)
		t := strings.TrimRight(v, "=")
		for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			if b, err := e.DecodeString(t); err == nil && printable(b) {
				add(string(b), depth+1)
			}
		}
		if b, err := hex.DecodeString(v); err == nil && printable(b) {
			add(string(b), depth+1)
		}
	}
	add(strings.TrimSpace(s), 0)
	return out
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}

// Own are the credentials that quell itself works with. quell never revokes them.
type Own struct{ forms map[string]bool }

// NewOwn returns an Own that recognises the credentials in every encoding.
func NewOwn(list []credential.Secret) Own {
	o := Own{map[string]bool{}}
	for _, s := range list {
		if s.IsZero() {
			continue
		}
		for f := range forms(s.Reveal()) {
			o.forms[f] = true
		}
	}
	return o
}

// Has reports whether s is one of them.
func (o Own) Has(s credential.Secret) bool {
	if s.IsZero() {
		return false
	}
	for f := range forms(s.Reveal()) {
		if o.forms[f] {
			return true
		}
	}
	return false
}
