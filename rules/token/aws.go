package token

import (
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strings"
)

// AWSAccount returns the 12-digit account in an AWS access key id, or "" if it has none. Ids
// issued since 2018 contain it in the base32 text after the four-letter prefix.
func AWSAccount(keyID string) string {
	if len(keyID) != 20 || !(strings.HasPrefix(keyID, "AKIA") || strings.HasPrefix(keyID, "ASIA")) {
		return ""
	}
	b, err := base32.StdEncoding.DecodeString(keyID[4:])
	if err != nil || len(b) < 6 {
		return ""
	}
	n := binary.BigEndian.Uint64(append([]byte{0, 0}, b[:6]...))
	return fmt.Sprintf("%012d", n&0x7fffffffff80>>7)
}
