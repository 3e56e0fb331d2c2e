package scanners

import "testing"

func TestNamesOfFilesAreWords(t *testing.T) {
	for text, want := range map[string]bool{
		"int-ca.privkey.pem":       true,
		"src/main/config_file.go":  true,
		"":                         true,
		"qwmzkfhtylcvbnxaprsdeugo": false,
		"a1b2c3d4e5f6":             false,
		"prefix-8d2k6v0x9r3t7b1n":  false,
	} {
		if got := isWords([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
