package scanners

import "testing"

func TestLongPartsOfANameAreSetApart(t *testing.T) {
	token := "abcdefghijklmnopqrst"
	for name, want := range map[string]string{
		"src/main.go":                "src/main.go",
		token:                        token,
		token + ".txt":               token + " txt",
		token + ".tar.gz":            token + " tar gz",
		"a/" + token + "/b.txt":      "a/" + token + " b.txt",
		token + ".json/x":            token + " json x",
		token + "." + token:          token + "." + token,
		"a b/" + token + ".log\nxyz": "a b/" + token + " log xyz",
	} {
		if got := apart(name); got != want {
			t.Errorf("%q: %q, not %q", name, got, want)
		}
	}
}
