package rules

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/quellhq/quell/rules/regex"
	"github.com/quellhq/quell/rules/token"
)

var alphabets = map[string]string{
	"base62": base62,
	"base36": base36,
	"b64url": base62 + "-_",
	"b64":    base62 + "+/",
	"hex":    "0123456789abcdef",
	"HEX":    "0123456789ABCDEF",
	"digit":  "0123456789",
	"lower":  "abcdefghijklmnopqrstuvwxyz",
	"alnum":  "abcdefghijklmnopqrstuvwxyz0123456789",
	"aspnet": "abcdefghijklmnopqrstuvwxyz012345",
	"base32": "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
}

var generatorRE = regex.Lazy(`\{(/?[A-Za-z0-9]+)(?::([0-9A-Za-z+-]+))?\}`)

// Generate expands a generator: text with {alphabet:length}, {crc32} (GitHub's check digits of
// the last generated run), {crc32gitlab} and {crc32grafana} (of everything before), {jwt:+1h}
// or {jwt:-1h} (a JWT with a random signature and that expiry), and {base64}…{/base64} or
// {base64url}…{/base64url} around text to encode. random supplies the choices: a fixed stream
// gives fixed examples, and crypto/rand gives a token that was never issued.
func Generate(generator string, random io.Reader) (string, error) {
	var out strings.Builder
	var last string
	encoded := -1 // offset in out of the text within {base64}
	pos := 0
	for _, m := range generatorRE().FindAllStringSubmatchIndex(generator, -1) {
		out.WriteString(generator[pos:m[0]])
		pos = m[1]
		name, arg := generator[m[2]:m[3]], ""
		if m[4] >= 0 {
			arg = generator[m[4]:m[5]]
		}
		switch name {
		case "base64", "base64url":
			if encoded >= 0 {
				return "", errors.New("generator: base64 within base64")
			}
			encoded = out.Len()
			continue
		case "/base64", "/base64url":
			if encoded < 0 {
				return "", fmt.Errorf("generator {%s} closes nothing", name)
			}
			e := base64.StdEncoding
			if name == "/base64url" {
				e = base64.RawURLEncoding
			}
			done, plain := out.String()[:encoded], out.String()[encoded:]
			out.Reset()
			out.WriteString(done + e.EncodeToString([]byte(plain)))
			encoded = -1
			continue
		case "crc32":
			out.WriteString(encode(crc32.ChecksumIEEE([]byte(last)), base62, 6))
			continue
		case "crc32gitlab":
			out.WriteString(encode(crc32.ChecksumIEEE([]byte(out.String())), base36, 7))
			continue
		case "crc32grafana":
			out.WriteString(grafanaSum(strings.TrimSuffix(out.String(), "_")))
			continue
		case "jwt":
			d, err := time.ParseDuration(arg)
			if err != nil {
				return "", fmt.Errorf("generator {jwt:%s}: %w", arg, err)
			}
			sig := make([]byte, 48)
			if _, err := io.ReadFull(random, sig); err != nil {
				return "", err
			}
			id, sig := sig[:16], sig[16:]
			claims := fmt.Sprintf(`{"iss":"https://issuer.example","sub":"alice","jti":"%x","exp":%d}`, id, time.Now().Add(d).Unix())
			e := base64.RawURLEncoding
			out.WriteString(e.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + e.EncodeToString([]byte(claims)) + "." + e.EncodeToString(sig))
			continue
		}
		a, ok := alphabets[name]
		if !ok && arg == "" {
			out.WriteString(generator[m[0]:m[1]]) // a placeholder of the example, not of the generator
			continue
		}
		n, err := strconv.Atoi(arg)
		if !ok || err != nil || n < 1 || n > 4096 {
			return "", fmt.Errorf("generator %s is not {alphabet:length}", generator[m[0]:m[1]])
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(random, b); err != nil {
			return "", err
		}
		for i := range b {
			b[i] = a[int(b[i])%len(a)]
		}
		last = string(b)
		out.WriteString(last)
	}
	out.WriteString(generator[pos:])
	return out.String(), nil
}

// NeverIssued returns a token of the same form as secret that no issuer has issued: from the
// rule's first generator of a bare token, or by replacing each letter and digit by another of
// its class. random supplies the choices.
func (r *Rule) NeverIssued(secret Secret, random io.Reader) (Secret, error) {
	if s, ok, err := resigned(secret.Reveal(), random); ok || err != nil {
		return NewSecretString(s), err
	}
	if s, ok, err := anotherKey(secret.Reveal(), random); ok || err != nil {
		return NewSecretString(s), err
	}
	for _, e := range r.Examples {
		if s, err := Generate(e, random); err == nil && s != e && r.matchesWhole(s) {
			return NewSecretString(s), nil
		}
	}
	s := []byte(secret.Reveal())
	choice := make([]byte, len(s))
	if _, err := io.ReadFull(random, choice); err != nil {
		return Secret{}, err
	}
	// Keep the first bytes: they are often a prefix and suffice to recognise the form. The rest
	// contains the secret.
	keep := min(len(s)/5, 8)
	fixed := fixedBytes(s)
	for i := keep; i < len(s); i++ {
		if fixed[i] {
			continue
		}
		for _, class := range []string{"0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"} {
			if strings.IndexByte(class, s[i]) < 0 {
				continue
			}
			if hexAt(s, i) && class[0] != '0' {
				class = class[:6]
			}
			s[i] = class[int(choice[i])%len(class)]
		}
	}
	return NewSecret(s), nil
}

// maxKey bounds the keys that are read, in bytes of DER: to check a larger one takes minutes.
// One of 8192 bits has 4.7 KiB.
const maxKey = 8 << 10

// anotherKey replaces an RSA private key in PEM by a new one of the same size, with the same
// encoding of line breaks, because a random text of that form is not a valid key.
func anotherKey(s string, random io.Reader) (string, bool, error) {
	if !strings.Contains(s, "PRIVATE KEY-----") {
		return "", false, nil
	}
	escaped := !strings.Contains(s, "\n") && strings.Contains(s, `\n`)
	block, _ := pem.Decode([]byte(strings.NewReplacer(`\n`, "\n", `\r`, "").Replace(s)))
	if block == nil || len(block.Bytes) > maxKey {
		return "", false, nil
	}
	var old any
	old, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		old, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	k, ok := old.(*rsa.PrivateKey)
	if err != nil || !ok || k.N.BitLen() > 8192 {
		return "", false, nil
	}
	fresh, err := rsa.GenerateKey(random, min(max(k.N.BitLen(), 1024), 4096))
	if err != nil {
		return "", false, err
	}
	if block.Type == "PRIVATE KEY" {
		if block.Bytes, err = x509.MarshalPKCS8PrivateKey(fresh); err != nil {
			return "", false, err
		}
	} else {
		block.Bytes = x509.MarshalPKCS1PrivateKey(fresh)
	}
	out := strings.TrimSuffix(string(pem.EncodeToMemory(block)), "\n")
	if escaped {
		out = strings.ReplaceAll(out, "\n", `\n`)
	}
	return out, true, nil
}

// resigned replaces the signature of a JWT at the end of s by a random one of the same length.
// It keeps the claims: an issuer that reads them before it verifies the signature then takes
// the same path as for the issued token.
func resigned(s string, random io.Reader) (string, bool, error) {
	begin := strings.Index(s, "ey")
	if begin < 0 || strings.Count(s[begin:], ".") != 2 {
		return "", false, nil
	}
	if _, err := token.ParseJWT(s[begin:]); err != nil {
		return "", false, nil
	}
	dot := strings.LastIndexByte(s, '.')
	raw := make([]byte, base64.RawURLEncoding.DecodedLen(len(s)-dot-1))
	if len(raw) == 0 {
		return "", false, nil
	}
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", false, err
	}
	return s[:dot+1] + base64.RawURLEncoding.EncodeToString(raw), true, nil
}

func (r *Rule) matchesWhole(s string) bool {
	if r.Regex == nil {
		return false
	}
	m := r.Regex.Regexp().FindStringSubmatch(s)
	return m != nil && r.secretOf(m) == s
}

func (r *Rule) secretOf(m []string) string {
	if r.SecretGroup > 0 && r.SecretGroup < len(m) {
		return m[r.SecretGroup]
	}
	for _, s := range m[1:] {
		if s != "" {
			return s
		}
	}
	return m[0]
}

// IsForm reports whether all of s has the form that the rule detects.
func (r *Rule) IsForm(s Secret) bool { return r.matchesWhole(s.Reveal()) }

// InContext reports whether the rule detects s in place of the secret of one of its
// examples: a rule that detects values by context has no form of their own.
func (r *Rule) InContext(s Secret) bool {
	if r.Regex == nil {
		return false
	}
	for _, e := range r.Examples {
		text, err := Generate(e, zeros{})
		if err != nil {
			continue
		}
		m := r.Regex.Regexp().FindStringSubmatch(text)
		if m == nil {
			continue
		}
		was, now := r.secretOf(m), s.Reveal()
		if was == "" || was == text {
			continue
		}
		if m = r.Regex.Regexp().FindStringSubmatch(strings.Replace(text, was, now, 1)); m != nil && r.secretOf(m) == now {
			return true
		}
	}
	return false
}

// CanBe reports whether a secret can be a credential of the rule: whether it has the rule's
// form or that of the cookie's value. A rule that detects values by context alone accepts any.
func (r *Rule) CanBe(cookie string, s Secret) bool {
	if r.Cookie == nil {
		return r.Fallback || r.Regex == nil || r.IsForm(s) || r.IsForm(NewSecretString(cookie+"="+s.Reveal())) || !r.IsForm(r.example())
	}
	re, err := regexp.Compile(`^(?:` + r.Cookie.Value + `)$`)
	return cookie != "" && err == nil && re.MatchString(s.Reveal())
}

// example returns the first example of the rule, expanded.
func (r *Rule) example() Secret {
	for _, e := range r.Examples {
		if s, err := Generate(e, zeros{}); err == nil {
			return NewSecretString(s)
		}
	}
	return Secret{}
}

// zeros is an endless stream of zero bytes, for deterministic examples.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// namedIn returns the named groups of a secret.
func (r *Rule) namedIn(s Secret) map[string]string { return r.Named(s.Reveal()) }
