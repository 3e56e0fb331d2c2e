package detect

import (
	"strings"

	"github.com/quellhq/quell/rules/regex"
)

// vectorContext is how far from a hexadecimal value the other fields of a cryptographic test
// vector are searched for, in bytes.
const vectorContext = 600

// weak reports whether only its name and its randomness make a match of the generic rule a
// credential while the text around it shows another use: a cache's name, a signature, a public
// or an encrypted key, an identifier, or a cryptographic test vector.
func weak(m *raw, secret string) bool {
	before := m.text[m.start:m.secret.start]
	return cacheKeyRE().MatchString(secret) || strings.HasPrefix(secret, "Signature=") || notNameRE().Match(before) || otherUseRE().Match(m.text[max(0, m.start-16):m.secret.start]) ||
		uuidRE().MatchString(secret) && bareKeyRE().Match(m.text[max(0, m.secret.start-32):m.secret.start]) ||
		hexRE().MatchString(secret) && !accessRE().Match(before) && vector(m)
}

// cacheKeyRE matches a word and the digest of a lock file, as in the names of CI caches.
var cacheKeyRE = regex.Lazy(`^[\w.-]{1,100}-(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{128})(?:-[0-9]{0,12})?$`)

// notNameRE matches words that contain "auth" or "token" with another meaning.
var notNameRE = regex.Lazy(`(?i)^[\w.-]{0,50}(?:page|continuation|next)_?token|^[\w.-]{0,50}author?(?:$|[^i])|^[\w.-]{0,50}authentic|^[\w.-]{0,50}site-?_?key|^sec-websocket-`)

// otherUseRE matches names, next to the value, of signed, public, encrypted or derived data:
// AWS's Signature, the members of JOSE (RFC 7516, encrypted_key) and U2F's key handles.
var otherUseRE = regex.Lazy(`(?i)(?:\bsignature|keyed_?hash|token_?hash|key_?handle|encrypted_?key|wrapped_?key|pub(?:lic)?[_ -]?key|pub_?[xy]|secret_?hash|key_?schedule\w{0,16}|derive_?key)["'\]\\]{0,3}\s{0,8}(?:=>|:=|[:=,])\s{0,4}["'\\]{0,3}$`)

// bareKeyRE matches the name "key" alone: a UUID after it is much more often an identifier than
// a credential.
var bareKeyRE = regex.Lazy(`(?i)(?:^|[\s{,;(\["'])key["']?\s{0,4}[:=]\s{0,4}["']?$`)

// accessRE matches words that show in a name what the value gives access to; no test vector has
// them.
var accessRE = regex.Lazy(`(?i)api|access|auth|token|client|passw|cred`)

// vectorRE matches the other fields of a cryptographic test vector, as in NIST's, Wycheproof's
// and RFC 9180's files.
var vectorRE = regex.Lazy(`(?i)(?:^|[\s{,"'_])(base_nonce|nonce|iv|aad|ct|ciphertext|pt|plaintext|msg|tcid|tag|input|output|enc|exporter_secret|shared_secret|key_schedule_context|label|party[uv]|context|hash ?alg|skem|pkrm|in|state|seed|encapsulation|info|digest)["']?\s{0,8}:`)

// vector reports whether at least two different fields of a test vector are near a match.
func vector(m *raw) bool {
	near := m.text[max(0, m.start-vectorContext):min(len(m.text), m.end+vectorContext)]
	first := ""
	for _, f := range vectorRE().FindAllSubmatch(near, 16) {
		switch name := string(f[1]); {
		case first == "":
			first = name
		case first != name:
			return true
		}
	}
	return false
}
