package carriers

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strings"
)

const (
	digits  = "0123456789"
	hexes   = digits + "abcdef"
	lower   = "abcdefghijklmnopqrstuvwxyz"
	alnum   = digits + lower
	base62  = digits + "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + lower
	b64url  = base62 + "-_"
	b64     = base62 + "+/"
	anyYear = 2000000000 // an expiry in 2033, in seconds since 1970
)

// generator generates random values that no issuer has issued.
type generator struct{ *rand.Rand }

func (d generator) from(alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[d.IntN(len(alphabet))]
	}
	return string(b)
}

func (d generator) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(d.IntN(256))
	}
	return b
}

func (d generator) uuid() string {
	h := d.from(hexes, 32)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
}

// checked appends the six base 62 digits of the CRC-32 that GitHub and npm use.
func (d generator) checked(prefix string) string {
	body := d.from(base62, 30)
	alphabet := "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum, n := [6]byte{}, crc32.ChecksumIEEE([]byte(body))
	for i := 5; i >= 0; i-- {
		sum[i] = alphabet[n%62]
		n /= 62
	}
	return prefix + body + string(sum[:])
}

func (d generator) jwt(alg string, more map[string]any) string {
	claims := map[string]any{"iss": "https://id.corp.dev/", "sub": d.from(base62, 12), "exp": anyYear, "iat": anyYear - 3600}
	for k, v := range more {
		claims[k] = v
	}
	head, _ := json.Marshal(map[string]string{"alg": alg, "typ": "JWT"})
	body, _ := json.Marshal(claims)
	length := map[string]int{"HS256": 32, "ES256": 64, "RS256": 256}[alg]
	e := base64.RawURLEncoding
	return e.EncodeToString(head) + "." + e.EncodeToString(body) + "." + e.EncodeToString(d.bytes(length))
}

// form is a kind of credential value.
type form struct {
	name string
	make func(d generator) string
	// known is set where the value itself shows which issuer or standard it belongs to: it must
	// be found wherever it appears.
	known bool
	// cookie is set where the value occurs only in a cookie.
	cookie bool
}

var forms = []form{
	{name: "github classic", known: true, make: func(d generator) string { return d.checked("ghp_") }},
	{name: "github oauth", known: true, make: func(d generator) string { return d.checked("gho_") }},
	{name: "github fine-grained", known: true, make: func(d generator) string { return "github_pat_11" + d.from(base62, 20) + "_" + d.from(base62, 59) }},
	{name: "github app with jwt", known: true, make: func(d generator) string { return "ghs_" + d.from("123456789", 6) + "_" + d.jwt("RS256", nil) }},
	{name: "gitlab personal", known: true, make: func(d generator) string { return "glpat-" + d.from(b64url, 18) + d.from(base62, 2) }},
	{name: "gitlab job with jwt", known: true, make: func(d generator) string { return "glcbt-" + d.jwt("RS256", nil) }},
	{name: "npm", known: true, make: func(d generator) string { return d.checked("npm_") }},
	{name: "vault", known: true, make: func(d generator) string { return "hvs." + d.from(b64url, 89) + d.from(base62, 1) }},
	{name: "google access", known: true, make: func(d generator) string { return "ya29.a0" + d.from(b64url, 150) + d.from(base62, 1) }},
	{name: "google service access", known: true, make: func(d generator) string { return "ya29.c.c0" + d.from(b64url, 180) + d.from(base62, 1) }},
	{name: "slack bot", known: true, make: func(d generator) string {
		return "xoxb-" + d.from("123456789", 12) + "-" + d.from("123456789", 13) + "-" + d.from(base62, 24)
	}},
	{name: "pypi", known: true, make: func(d generator) string { return "pypi-AgEIcHlwaS5vcmc" + d.from(b64url, 160) + d.from(base62, 1) }},
	{name: "jwt hs256", known: true, make: func(d generator) string { return d.jwt("HS256", nil) }},
	{name: "jwt es256", known: true, make: func(d generator) string {
		return d.jwt("ES256", map[string]any{"scope": "read write", "email": d.from(lower, 8) + "@corp.dev"})
	}},
	{name: "jwt rs256", known: true, make: func(d generator) string {
		return d.jwt("RS256", map[string]any{"jti": d.uuid(), "roles": []string{"admin"}})
	}},
	{name: "20 hex", make: func(d generator) string { return d.from(hexes, 20) }},
	{name: "32 hex", make: func(d generator) string { return d.from(hexes, 32) }},
	{name: "40 hex", make: func(d generator) string { return d.from(hexes, 40) }},
	{name: "64 hex", make: func(d generator) string { return d.from(hexes, 64) }},
	{name: "32 upper hex", make: func(d generator) string { return strings.ToUpper(d.from(hexes, 32)) }},
	{name: "uuid", make: func(d generator) string { return d.uuid() }},
	{name: "26 lower", make: func(d generator) string { return d.from(alnum, 26) }},
	{name: "32 lower", make: func(d generator) string { return d.from(alnum, 32) }},
	{name: "24 base62", make: func(d generator) string { return d.from(base62, 24) }},
	{name: "43 base62", make: func(d generator) string { return d.from(base62, 43) }},
	{name: "43 base64url", make: func(d generator) string { return d.from(b64url, 42) + d.from(base62, 1) }},
	{name: "86 base64url", make: func(d generator) string { return d.from(b64url, 85) + d.from(base62, 1) }},
	{name: "44 base64", make: func(d generator) string { return d.from(b64, 43) + "=" }},
	{name: "88 base64", make: func(d generator) string { return d.from(b64, 86) + "==" }},
	{name: "id|secret", make: func(d generator) string { return fmt.Sprint(1+d.IntN(9999)) + "|" + d.from(base62, 40) }},
	{name: "id:secret", make: func(d generator) string {
		return "aoaAAAAA" + d.from(b64url, 60) + "A:M" + d.from(b64url, 50) + d.from(base62, 1)
	}},
	{name: "salesforce", make: func(d generator) string {
		return "00D" + d.from(base62, 12) + "!AQ" + d.from(base62, 40) + "." + d.from(base62, 53)
	}},
	{name: "dotted with tilde", make: func(d generator) string {
		return d.from(b64url, 30) + "." + d.from(base62, 20) + "~" + d.from(base62, 24)
	}},
	{name: "express cookie", cookie: true, make: func(d generator) string {
		return "s%3A" + d.from(b64url, 32) + "." + d.from(base62, 40) + "%2F" + d.from(base62, 1)
	}},
	{name: "rails cookie", cookie: true, make: func(d generator) string {
		return d.from(b64, 120) + "--" + d.from(b64, 16) + "--" + d.from(b64, 22) + "%3D%3D"
	}},
}

func b64of(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
