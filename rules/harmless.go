package rules

import (
	"encoding/hex"
	"slices"
	"strings"

	"github.com/quellhq/quell/rules/regex"
)

// sealedPrefixes begin ciphertexts and references, which grant nothing without another key.
var sealedPrefixes = []string{
	"ENC[",                      // SOPS, hiera-eyaml
	"AQICAH", "AQECAH", "AQpAM", // AWS KMS: ciphertexts, grant tokens
	"vault:v",                                                                                                 // Vault's transit engine
	"$ANSIBLE_VAULT",                                                                                          //
	"{cipher}",                                                                                                // Spring Cloud Config
	"$2a$", "$2b$", "$2y$", "$argon2", "$pbkdf2", "$1$", "$5$", "$6$", "$apr1$", "$scrypt$", "pbkdf2_sha256$", // password hashes
	"arn:", "op://", "vault:secret/", "@Microsoft.KeyVault(", // references to secrets
}

// publicPrefixes begin public data: digests, public keys, images, addresses.
var publicPrefixes = []string{
	"sha1-", "sha256-", "sha384-", "sha512-", "sha1:", "sha256:", "sha384:", "sha512:", "md5:", "SHA256:", "MD5:", "h1:", "zh:",
	"MCowBQYDK2VwAyEA", "MFkwEwYHKoZIzj0", "MHYwEAYHKoZIzj0", "MIIBIjANBgkqh", "MIICIjANBgkqh", "MIGfMA0GCSqGSIb3", // SubjectPublicKeyInfo
	"AAAAB3NzaC1", "AAAAC3NzaC1", "AAAAE2VjZHNh", // OpenSSH public keys
	"z6Mk", "zQ3sh", "zDnae", "z82L", // did:key: multicodecs of public keys in base58
	"iVBORw0KGgo", "R0lGODlh", "/9j/4AAQ", // images
	"MEQCI", "MEUCI", "MEYCI", // ECDSA signatures in DER
	"AWS4-HMAC-SHA256", "q-sign-algorithm=", // signatures of one request
	"hmac-sha256:", "amzn1.account.", // Vault's audit log, Login with Amazon
}

// samples are keys that the documentation of an emulator prints, for everyone to use.
var samples = []string{
	"Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==", // Azurite
	"C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw==", // Cosmos DB
}

// Sample reports whether a value is a key that an emulator's documentation prints for everyone.
func Sample(value string) bool { return slices.Contains(samples, value) }

// maxCurve is the longest name of an elliptic curve, in bytes: EC_brainpoolP512r1.
const maxCurve = 18

// minSealed is the base64 length of the shortest value of a SealedSecret: two bytes of length,
// a session key encrypted by a 4096-bit RSA key, and the tag.
const minSealed = 100

// digestNameRE matches names of digests and revisions.
var digestNameRE = regex.Lazy(`(?i)(?:hash|hashed[_-]?\w*|digest|checksum|check_sum|fingerprint|thumbprint|sha-?(?:1|224|256|384|512)?|md5(?:sum)?|e-?tag|integrity|revision|(?:gpg|pgp)[_-]?keys?(?:[_-]?id)?|commit(?:_?id|_?sha)?|_sum)["'\]]{0,2}[ ]{0,4}(?:=>|[:=,]|\s)`)

// idNameRE matches names of identifiers that sign no user in. A session id is not one of them.
var idNameRE = regex.Lazy(`(?i)(?:client|app|application|tenant|subscription|account|user|key|token|trace|span|request|correlation|transaction|message|event|object|resource|project|team|org|device|install(?:ation)?|deployment|build|job|run|group|role|policy|secret|pair|document|record)[_-]?u?id["'\]]{0,2}[ ]{0,4}(?:=>|[:=,]|\s)`)

var (
	regionID = regex.Lazy(`^[a-z]{2}(?:-[a-z]+)+-[0-9][_:][0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$`)                 // Cognito's devices and identities
	openPGP  = regex.Lazy(`^(?:98|99[0-9a-f]{2}|c6[0-9a-f]{2})[0-9a-f]{2}04[0-9a-f]{8}(?:01|11|12|13|16)[0-9a-f]{40,}$`) // a public key packet, RFC 4880 5.5.2
	curve    = regex.Lazy(`(?i)^(?:ec[_-])?(?:secp|prime|sect|brainpoolp)[0-9]{3}[a-z][0-9]$`)
	escaped  = regex.Lazy(`^(?:\\u(?:0[1-9A-Fa-f]|[1-9A-Fa-f][0-9A-Fa-f])[0-9A-Fa-f]{2})+$`) // words in a script other than Latin, as Java and JSON write them
)

// Harmless reports whether a value that only its name makes look like a secret grants nothing:
// a ciphertext, a digest, a public key or an identifier. before is the text from the beginning
// of the name to the value.
func Harmless(before, value string) bool {
	for _, list := range [][]string{sealedPrefixes, publicPrefixes} {
		for _, p := range list {
			if strings.HasPrefix(value, p) || strings.HasSuffix(before, p) {
				return true
			}
		}
	}
	if strings.Contains(before, "ENC[") || len(value) >= minSealed && strings.HasPrefix(value, "Ag") && value[2] >= 'A' && value[2] <= 'D' {
		return true
	}
	return hexConstant(value) || strings.HasPrefix(value, `\u`) && escaped().MatchString(value) || Sample(value) || counting(value) || len(value) <= maxCurve && curve().MatchString(value) || regional(value) && regionID().MatchString(value) ||
		(strings.HasPrefix(value, "9") || strings.HasPrefix(value, "c6")) && openPGP().MatchString(value) ||
		digestForm(value) && digestNameRE().MatchString(before) || plainID(value) && idNameRE().MatchString(before)
}

// hexConstant reports 0x and hexadecimal digits.
func hexConstant(value string) bool {
	return len(value) > 2 && value[0] == '0' && value[1] == 'x' && hexadecimal(value[2:])
}

func hexadecimal(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
	}
	return true
}

// digestForm reports whether a value has the length of a common digest: in hexadecimal of MD5,
// SHA-1 and SHA-2, in padded base64 of MD5, SHA-1, SHA-256 and SHA-512.
func digestForm(value string) bool {
	switch len(value) {
	case 32, 40, 56, 64, 96, 128:
		return hexadecimal(value)
	case 24:
		return base64Digits(value, 22, "==")
	case 28:
		return base64Digits(value, 27, "=")
	case 44:
		return base64Digits(value, 43, "=")
	case 88:
		return base64Digits(value, 86, "==")
	}
	return false
}

// base64Digits reports whether a value consists of n digits of base64 and the padding.
func base64Digits(value string, n int, padding string) bool {
	for i := range n {
		if c := value[i]; (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && c != '+' && c != '/' {
			return false
		}
	}
	return value[n:] == padding
}

// plainID reports whether a value is a UUID, 16 to 64 hexadecimal digits, or a number.
func plainID(value string) bool {
	if n := len(value); n >= 16 && n <= 64 && hexadecimal(value) {
		return true
	}
	if isUUID(value) {
		return true
	}
	for i := range len(value) {
		if value[i] < '0' || value[i] > '9' {
			return false
		}
	}
	return value != ""
}

// isUUID reports 8-4-4-4-12 hexadecimal digits.
func isUUID(value string) bool {
	if len(value) != 36 {
		return false
	}
	from := 0
	for _, n := range []int{8, 4, 4, 4, 12} {
		if !hexadecimal(value[from:from+n]) || from+n < len(value) && value[from+n] != '-' {
			return false
		}
		from += n + 1
	}
	return true
}

// regional reports what all matches of regionID have: a UUID after _ or a colon.
func regional(value string) bool {
	k := len(value) - 37
	return k >= 0 && (value[k] == '_' || value[k] == ':') && isUUID(value[k+1:])
}

// counting reports whether a value is the hexadecimal form of at least eight bytes that count up
// or down by one: 0001020304050607.
func counting(value string) bool {
	if len(value) < 16 || len(value)%2 != 0 || !hexadecimal(value) {
		return false
	}
	b, err := hex.DecodeString(value)
	if err != nil {
		return false
	}
	steps := map[byte]int{}
	for i := 1; i < len(b); i++ {
		steps[b[i]-b[i-1]]++
	}
	return max(steps[1], steps[255])*8 >= (len(b)-1)*7
}
