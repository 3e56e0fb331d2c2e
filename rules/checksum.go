package rules

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"strings"
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
const base36 = "0123456789abcdefghijklmnopqrstuvwxyz"

// checksums are the built-in tests of check digits, by their name in a rules file.
var checksums = map[string]func(token string) bool{
	"github-crc32": githubChecksum,
	"gitlab-crc32": gitlabChecksum,
	// From Grafana's pkg/components/satokengen.
	"grafana-crc32": grafanaChecksum,
}

// ValidChecksum reports whether the token's check digits are right. It returns true for a rule
// without a checksum.
func (r *Rule) ValidChecksum(token string) bool {
	f, ok := checksums[r.Checksum]
	return !ok || f(token)
}

func encode(n uint32, alphabet string, width int) string {
	b := make([]byte, width)
	for i := width - 1; i >= 0; i-- {
		b[i] = alphabet[n%uint32(len(alphabet))]
		n /= uint32(len(alphabet))
	}
	return string(b)
}

// githubChecksum: the prefix is followed by a body and six base62 digits (0-9, A-Z, a-z) with
// the CRC-32 of the body. Only the classic lengths (30 and 70) have a checksum; stateless
// installation tokens do not.
func githubChecksum(token string) bool {
	_, rest, ok := strings.Cut(token, "_")
	if !ok || (len(rest) != 36 && len(rest) != 76) || strings.ContainsAny(rest, "_.-") {
		return true
	}
	body, sum := rest[:len(rest)-6], rest[len(rest)-6:]
	return encode(crc32.ChecksumIEEE([]byte(body)), base62, 6) == sum
}

// gitlabChecksum: a routable token ends in seven base36 digits with the CRC-32 of everything
// before them, prefix included. Older tokens have none.
func gitlabChecksum(token string) bool {
	i := strings.LastIndexByte(token, '.')
	if i < 0 || len(token)-i-1 != 9 {
		return true
	}
	body, sum := token[:len(token)-7], token[len(token)-7:]
	return encode(crc32.ChecksumIEEE([]byte(body)), base36, 7) == sum
}

// grafanaChecksum: the last underscore is followed by the CRC-32 of everything before it, in
// little-endian byte order and lower-case hex.
func grafanaChecksum(token string) bool {
	i := strings.LastIndexByte(token, '_')
	return i > 0 && strings.EqualFold(grafanaSum(token[:i]), token[i+1:])
}

func grafanaSum(body string) string {
	return hex.EncodeToString(binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(body))))
}
