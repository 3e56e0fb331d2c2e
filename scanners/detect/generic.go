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
	return cacheKeyRE.MatchString(secret) || resourceRE.MatchString(secret) || listedRE.Match(before) || idRE.Match(before) && !sessionIDRE.Match(before) || signedRE.Match(before) ||
		hexRE.MatchString(secret) && (hashedRE.Match(before) || printRE.Match(m.text[max(0, m.secret.start-nameContext):m.secret.start])) || strings.HasPrefix(secret, "Signature=") || notNameRE.Match(before) || otherUseRE.Match(m.text[max(0, m.start-16):m.secret.start]) ||
		uuidRE.MatchString(strings.TrimPrefix(secret, "uuid=")) && (bareKeyRE.Match(m.text[max(0, m.secret.start-32):m.secret.start]) || keyNameRE.Match(before) && !grantsRE.Match(before)) ||
		hexRE.MatchString(secret) && !accessRE.Match(before) && vector(m)
}

// cacheKeyRE matches a word and the digest of a lock file, as in the names of CI caches.
var cacheKeyRE = newTest(`^[\w.-]{1,100}-(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{128})(?:-[0-9]{0,12})?$`)

// resourceRE matches Amazon's ids of resources, i-0a1b2c3d, and names of types and algorithms.
var resourceRE = newTest(`^[a-z]{1,12}-(?:[0-9a-f]{8}|[0-9a-f]{17}|(?:[0-9a-f]{8}-)?(?:[0-9a-f]{4}-){3}[0-9a-f]{12})$|^[a-z][a-z0-9]*(?:_[a-z0-9]+)+_t$|(?i)mlkem\d|^x25519|^secp\d|\.this\.`)

// idRE matches a name of an identifier; the one of a session signs a user in.
var (
	idRE        = newTest(`(?:[a-z]I[dD]|_id|-id|\brkey)["']?\s{0,3}(?::=|=>|[:=])\s{0,3}["']?$`)
	sessionIDRE = newTest(`(?i)sess|sid`)
)

// listedRE matches an item of a list of random words, one of which contains the rule's word.
var listedRE = newTest(`[A-Z2-7]{20,}["'],\s{0,8}["']$`)

// signedRE matches what precedes the signature of one request, as Azure Storage writes it.
var signedRE = newTest(`(?i)shared_?key(?:_?lite)?\s[\w-]{1,64}:$`)

// hashedRE matches the password before its hash in a list of both, and printRE what precedes the
// fingerprint of a key: a word for it within the line, or the command that takes one.
var (
	hashedRE = newTest(`(?i)password["'],\s{0,4}["']$`)
	printRE  = newTest(`(?i)(?:fingerprint|ssh-keys|\b[gp]pg\b)[^\n]{0,200}\bkeys?\b[=:\s"']{1,4}$`)
)

// keyNameRE matches a name that ends in "key", and grantsRE a word that shows in it what the key
// is for. A UUID under another name is a constant.
var (
	keyNameRE = newTest(`(?i)key["']?\s{0,4}(?:=>|:=|[:=,])\s{0,4}["']?$`)
	grantsRE  = newTest(`(?i)api|acc|auth|token|client|passw|cred|secret|priv|crypt|sign|master|licen|subscri|service|write|admin|ingest|integr|app|user|deploy|server|rout|product|project|feed|stream|webhook|encod|license|account|sdk|env`)
)

// notNameRE matches words that contain "auth" or "token" with another meaning.
var notNameRE = newTest(`(?i)^[\w.-]{0,50}(?:page|continuation|next)_?token|^[\w.-]{0,50}author?(?:$|[^i])|^[\w.-]{0,50}authentic|^[\w.-]{0,50}site-?_?key|^sec-websocket-`)

// otherUseRE matches names, next to the value, of signed, public, encrypted or derived data:
// AWS's Signature, the members of JOSE (RFC 7516, encrypted_key) and U2F's key handles.
var otherUseRE = newTest(`(?i)(?:(?:\b|_)signature|keyed_?hash|token_?hash|key_?handle|encrypted_?key|wrapped_?key|pub(?:lic)?[_ -]?key|pub_?[xy]|secret_?hash|key_?schedule\w{0,16}|derive_?key)["'\]\\]{0,3}\s{0,8}(?:=>|:=|[:=,])\s{0,4}["'\\]{0,3}$`)

// bareKeyRE matches the name "key" alone: a UUID after it is much more often an identifier than
// a credential.
var bareKeyRE = newTest(`(?i)(?:^|[\s{,;(\["'])key["']?\s{0,4}[:=]\s{0,4}["']?$`)

// accessRE matches words that show in a name what the value gives access to; no test vector has
// them.
var accessRE = newTest(`(?i)api|access|auth|token|client|passw|cred`)

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
