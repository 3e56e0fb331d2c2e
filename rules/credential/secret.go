// Package credential has the values that detection and revocation share: the secret itself,
// facts about it, and where it was found.
package credential

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
)

// Redacted is what every printer shows in place of a secret.
const Redacted = "[redacted]"

// Secret holds the bytes of a credential. No fmt verb, slog handler, encoder, error or panic
// prints them: the methods below answer for a Secret that is reachable, and a printer that does
// not call them (for an unexported field) finds a function, not bytes. A pointer would not
// suffice, because fmt follows one pointer when it reports a wrong verb.
//
// The zero Secret is empty. Secrets are compared with Equal.
type Secret struct {
	p *box
}

// box hides bytes in a closure: reflection sees an address.
type box struct{ bytes func() []byte }

// NewSecret copies b.
func NewSecret(b []byte) Secret {
	c := make([]byte, len(b))
	copy(c, b)
	return Secret{p: &box{func() []byte { return c }}}
}

// JoinSecrets concatenates secrets: the pieces of a cookie that was sent in several.
func JoinSecrets(list ...Secret) Secret {
	var b []byte
	for _, s := range list {
		if s.p != nil {
			b = append(b, s.p.bytes()...)
		}
	}
	return NewSecret(b)
}

// NewSecretString is NewSecret for a string.
func NewSecretString(s string) Secret { return NewSecret([]byte(s)) }

// Reveal returns the bytes themselves. It is the only access to them, and a test lists the
// files that may call it. The caller must not modify the result.
func (s Secret) Reveal() string {
	if s.p == nil {
		return ""
	}
	return string(s.p.bytes())
}

// Len returns the number of bytes.
func (s Secret) Len() int {
	if s.p == nil {
		return 0
	}
	return len(s.p.bytes())
}

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.Len() == 0 }

// Equal compares in constant time.
func (s Secret) Equal(t Secret) bool {
	return hmac.Equal([]byte(s.Reveal()), []byte(t.Reveal()))
}

// Cut splits the value around the first sep, as strings.Cut.
func (s Secret) Cut(sep string) (before, after Secret, found bool) {
	a, b, found := strings.Cut(s.Reveal(), sep)
	return NewSecretString(a), NewSecretString(b), found
}

// Wipe overwrites the bytes. Every copy of the Secret becomes zeros.
func (s Secret) Wipe() {
	if s.p != nil {
		clear(s.p.bytes())
	}
}

// Hint returns enough of the secret to recognise it and too little to use it: at most four
// leading characters, and never more than a fifth of it.
func (s Secret) Hint() string {
	n := min(4, s.Len()/5)
	head := []byte(s.Reveal()[:n])
	for i, c := range head {
		if c < 0x21 || c > 0x7e {
			head[i] = '.'
		}
	}
	return fmt.Sprintf("%s…(%d bytes)", head, s.Len())
}

// Spellings returns other encodings of the same value: URL-encoded and decoded, with and
// without padding, and in base64. A comparison of values must include all of them.
func (s Secret) Spellings() []Secret {
	v := s.Reveal()
	forms := []string{url.QueryEscape(v), url.PathEscape(v), strings.Trim(v, `"`), strings.TrimRight(v, "="), v + "=", v + "==",
		base64.StdEncoding.EncodeToString([]byte(v)), base64.RawStdEncoding.EncodeToString([]byte(v)), base64.URLEncoding.EncodeToString([]byte(v)), base64.RawURLEncoding.EncodeToString([]byte(v)),
		hex.EncodeToString([]byte(v)), strings.ToUpper(hex.EncodeToString([]byte(v)))}
	for _, decode := range []func(string) (string, error){url.QueryUnescape, url.PathUnescape, plain(base64.StdEncoding), plain(base64.RawStdEncoding), plain(base64.URLEncoding), plain(base64.RawURLEncoding),
		func(s string) (string, error) { b, err := hex.DecodeString(s); return string(b), err }} {
		if d, err := decode(v); err == nil {
			forms = append(forms, d)
		}
	}
	slices.Sort(forms)
	var out []Secret
	for _, f := range slices.Compact(forms) {
		if f != v && f != "" {
			out = append(out, NewSecretString(f))
		}
	}
	return out
}

func plain(e *base64.Encoding) func(string) (string, error) {
	return func(s string) (string, error) {
		b, err := e.DecodeString(s)
		return string(b), err
	}
}

func (Secret) String() string                 { return Redacted }
func (Secret) GoString() string               { return Redacted }
func (Secret) Format(f fmt.State, _ rune)     { _, _ = io.WriteString(f, Redacted) }
func (Secret) MarshalJSON() ([]byte, error)   { return []byte(`"` + Redacted + `"`), nil }
func (Secret) MarshalText() ([]byte, error)   { return []byte(Redacted), nil }
func (Secret) MarshalBinary() ([]byte, error) { return []byte(Redacted), nil }
func (Secret) GobEncode() ([]byte, error)     { return []byte(Redacted), nil }
func (Secret) LogValue() slog.Value           { return slog.StringValue(Redacted) }

// FingerprintKey keys the fingerprints of one installation (HMAC-SHA-256), so that guesses
// can't be matched against a fingerprint without the key.
type FingerprintKey [32]byte

// Fingerprint returns the credential's name outside the process: 32 hex digits.
func (k FingerprintKey) Fingerprint(s Secret) string {
	m := hmac.New(sha256.New, k[:])
	_, _ = io.WriteString(m, s.Reveal())
	return hex.EncodeToString(m.Sum(nil)[:16])
}

func (FingerprintKey) String() string             { return Redacted }
func (FingerprintKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Redacted) }
func (FingerprintKey) LogValue() slog.Value       { return slog.StringValue(Redacted) }
