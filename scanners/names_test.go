package scanners

import (
	"strings"
	"testing"
)

func TestLongPartsOfANameAreSetApart(t *testing.T) {
	token := "abcdefghijklmnopqrst"
	hash := "0123456789abcdef0123456789abcdef01234567"
	for name, want := range map[string]string{
		"src/main.go":                "src/main.go",
		token:                        token,
		token + ".txt":               token + " txt",
		token + ".tar.gz":            token + " tar gz",
		"a/" + token + "/b.txt":      "a/" + token + " b.txt",
		token + ".json/x":            token + " json x",
		"pack/pack-" + hash + ".idx": "pack/pack-" + strings.Repeat(" ", 40) + " idx",
		"key=" + hash:                "key=" + hash,
		"dop_" + hash:                "dop_" + hash,
		token + "." + token:          token + "." + token,
		"a b/" + token + ".log\nxyz": "a b/" + token + " log xyz",
	} {
		if got := apart(name); got != want {
			t.Errorf("%q: %q, not %q", name, got, want)
		}
	}
}
