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

// minSealed is the base64 length of the shortest value of a SealedSecret: two bytes of length,
// a session key encrypted by a 4096-bit RSA key, and the tag.
const minSealed = 100

// digestNameRE matches names of digests and revisions.
var digestNameRE = regex.Lazy(`(?i)(?:hash|hashed[_-]?\w*|digest|checksum|check_sum|fingerprint|thumbprint|sha-?(?:1|224|256|384|512)?|md5(?:sum)?|e-?tag|integrity|revision|(?:gpg|pgp)[_-]?keys?(?:[_-]?id)?|commit(?:_?id|_?sha)?|_sum)["'\]]{0,2}[ ]{0,4}(?:=>|[:=,]|\s)`)

// idNameRE matches names of identifiers that sign no user in. A session id is not one of them.
var idNameRE = regex.Lazy(`(?i)(?:client|app|application|tenant|subscription|account|user|key|token|trace|span|request|correlation|transaction|message|event|object|resource|project|team|org|device|install(?:ation)?|deployment|build|job|run|group|role|policy|secret|pair|document|record)[_-]?u?id["'\]]{0,2}[ ]{0,4}(?:=>|[:=,]|\s)`)

var (
	digestRE = regex.Lazy(`^(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{56}|[0-9a-fA-F]{64}|[0-9a-fA-F]{96}|[0-9a-fA-F]{128}|[A-Za-z0-9+/]{22}==|[A-Za-z0-9+/]{27}=|[A-Za-z0-9+/]{43}=|[A-Za-z0-9+/]{86}==)$`)
	constant = regex.Lazy(`^0x[0-9A-Fa-f]+$`)
	regionID = regex.Lazy(`^[a-z]{2}(?:-[a-z]+)+-[0-9][_:][0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$`)                 // Cognito's devices and identities
	openPGP  = regex.Lazy(`^(?:98|99[0-9a-f]{2}|c6[0-9a-f]{2})[0-9a-f]{2}04[0-9a-f]{8}(?:01|11|12|13|16)[0-9a-f]{40,}$`) // a public key packet, RFC 4880 5.5.2
	escaped  = regex.Lazy(`^(?:\\u(?:0[1-9A-Fa-f]|[1-9A-Fa-f][0-9A-Fa-f])[0-9A-Fa-f]{2})+$`)                             // words in a script other than Latin, as Java and JSON write them
	plainID  = regex.Lazy(`^(?:[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|[0-9a-fA-F]{16,64}|[0-9]+)$`)
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
	return constant().MatchString(value) || escaped().MatchString(value) || slices.Contains(samples, value) || counting(value) || regionID().MatchString(value) || openPGP().MatchString(value) || digestNameRE().MatchString(before) && digestRE().MatchString(value) || idNameRE().MatchString(before) && plainID().MatchString(value)
}

// counting reports whether a value is the hexadecimal form of at least eight bytes that count up
// or down by one: 0001020304050607.
func counting(value string) bool {
	b, err := hex.DecodeString(value)
	if err != nil || len(b) < 8 {
		return false
	}
	steps := map[byte]int{}
	for i := 1; i < len(b); i++ {
		steps[b[i]-b[i-1]]++
	}
	return max(steps[1], steps[255])*8 >= (len(b)-1)*7
}
