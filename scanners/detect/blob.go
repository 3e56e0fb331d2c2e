package detect

import (
	"bytes"
	"slices"
	"strings"

	"github.com/quellhq/quell/rules/regex"
)

// Values that are only the form of a credential: part of encoded data, a key's marks without a
// key, and what people type in place of a token.

// minAround is how many characters of base64 around a value show that it is a part of it, and
// base64Line the length of a line that encoders write.
const (
	minAround  = 40
	base64Line = 60
)

func standardBase64(c byte) bool { return isLetter(c) || isDigit(c) || c == '+' || c == '/' }

// inBase64 reports whether a value is part of a longer run of base64: its expression matches
// by chance between two of the signs + and /. The decoded run is searched on its own.
func inBase64(b []byte, v span) bool {
	if v.start == 0 || v.end-v.start > lineContext || bytes.ContainsFunc(b[v.start:v.end], func(r rune) bool { return r >= 128 || !standardBase64(byte(r)) && r != '=' }) {
		return false
	}
	begins := b[v.start-1] == '\n'
	if begins && (v.end == len(b) || b[v.end] == '\n' || b[v.end] == '\r') {
		return false // a line of its own
	}
	// goesOn reports whether b[i] is between two lines of the run.
	goesOn := func(i int) bool {
		if i < base64Line || i+1 >= len(b) || b[i] != '\n' || !standardBase64(b[i+1]) {
			return false
		}
		for _, c := range b[i-base64Line : i] {
			if !standardBase64(c) {
				return false
			}
		}
		return true
	}
	from, to := v.start, v.end
	for from > 0 && (standardBase64(b[from-1]) || goesOn(from-1)) && v.start-from < lineContext {
		from--
	}
	for to < len(b) && (standardBase64(b[to]) || goesOn(to)) && to-v.end < lineContext {
		to++
	}
	if from == v.start {
		return false
	}
	// Words of an address have no digits, and few capitals.
	around := string(b[from:v.start]) + string(b[v.end:to])
	return len(around) >= minAround && strings.ContainsRune(around, '+') && mixed(around)
}

// mixed reports whether a text has digits and letters of both cases.
func mixed(s string) bool {
	return strings.ContainsAny(s, "0123456789") && strings.ToLower(s) != s && strings.ToUpper(s) != s
}

// publicBodies begin public keys in base64: RSAPublicKey (RFC 8017, A.1.1) of 1024 to 4096 bits,
// and SubjectPublicKeyInfo of RSA and elliptic curves.
var publicBodies = []string{"MIGJAoGBA", "MIIBCgKCAQEA", "MIIBigKCAYEA", "MIICCgKCAgEA", "MIGfMA0GCSqGSIb3", "MIIBIjANBgkqhkiG9w0BAQEFAAOC", "MIICIjANBgkqhkiG9w0BAQEFAAOC", "MFkwEwYHKoZIzj0", "MHYwEAYHKoZIzj0", "MCowBQYDK2VwAyEA"}

var bodyRE = regex.Lazy(`[A-Za-z0-9+/]{24,}`)

// keyBody reports whether there is a line of a key between the marks of its beginning and end,
// and not code, other marks, a public key or the words of an example.
func keyBody(secret string) bool {
	if !strings.HasPrefix(secret, "-----BEGIN") {
		return true // of another form
	}
	for n, at := range bodyRE().FindAllStringIndex(secret, 16) {
		if n == 0 && slices.ContainsFunc(publicBodies, func(p string) bool { return strings.HasPrefix(secret[at[0]:], p) }) {
			return false
		}
		// Binary data between the mark and the line is code.
		if mixed(secret[at[0]:at[1]]) && !strings.ContainsFunc(secret[:at[0]], func(r rune) bool { return r < '\t' }) {
			return true
		}
	}
	return false
}

// repeated reports whether a value contains one character at least eight times in a row, as in
// ghp_PersonalAccessToken00000000.
func repeated(s string) bool {
	n := 0
	for i := 1; i < len(s); i++ {
		if n++; s[i] != s[i-1] {
			n = 0
		}
		if n == 7 {
			return true
		}
	}
	return false
}

// badgeRE matches the address of a badge up to the token in it, which everybody reads.
var badgeRE = newTest(`(?i)badge[\w./%-]{0,100}\?(?:[\w=%.-]{1,60}&)?token=$`)

// certificateRE matches a member of a Kubernetes Secret that is a certificate.
var certificateRE = newTest(`^(?:[\w.-]{1,64}:\s*)?["']?LS0tLS1CRUdJTiBDRVJUSUZJQ0FUR`)

// typedRE matches names of constants, and the words of a manual in place of a user and password.
var typedRE = newTest(`^[A-Z]{2,}(?:_[A-Z]{2,})+$|^["']?(?:user(?:name)?|key|id|login|name|admin|api_?key|client_?id|token)?:(?:secret|pass(?:word|wd)?|pw|key|token)["']?$`)
