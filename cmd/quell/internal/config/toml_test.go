package config

import (
	"testing"
)

type file struct {
	Version int `toml:"version"`
	Kill    struct {
		Max    int    `toml:"max,omitempty"`
		MaxAge string `toml:"max_age,omitempty"`
	} `toml:"kill"`
	Instance []struct {
		ProbePath  string            `toml:"probe_path"`
		LogoutPath string            `toml:"logout_path"`
		Headers    map[string]string `toml:"headers"`
		Rotate     *struct {
			Vault string `toml:"vault"`
		} `toml:"rotate"`
	} `toml:"instance"`
}

func TestAnUnknownKeyNamesTheOneThatWasMeant(t *testing.T) {
	for text, want := range map[string]string{
		"verison = 1":                                      `f:1: unknown key "verison" (hint: did you mean "version"?)`,
		"version = 1\n[kill]\nmaxage = '1m'":               `f:3: unknown key "kill.maxage" (hint: did you mean "kill.max_age"?)`,
		"[kill]\nmaximum = 1":                              `f:2: unknown key "kill.maximum" (hint: did you mean "kill.max"?)`,
		"[[instance]]\nprobepath = '/'":                    `f:2: unknown key "instance.probepath" (hint: did you mean "instance.probe_path"?)`,
		"max_age = '1m'":                                   `f:1: unknown key "max_age" (hint: did you mean "kill.max_age"?)`,
		"[[instance]]\n[instance.rotate]\nvaul = 'x'":      `f:3: unknown key "instance.rotate.vaul" (hint: did you mean "instance.rotate.vault"?)`,
		"[[instance]]\n[instance.headers]\nanything = 'x'": "",
		"zebra = 1":                                        `f:1: unknown key "zebra"`,
	} {
		err := ReadTOML("f", []byte(text), &file{})
		if (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"scan", "check", "plan", "apply", "contain", "ledger", "policy", "rules", "version"}
	for s, want := range map[string]string{"scna": "scan", "appyl": "apply", "polcy": "policy", "led": "ledger", "ver": "version", "zzz": "", "": "", "x": "", "frobnicate": ""} {
		if got := Nearest(s, names); got != want {
			t.Errorf("%q: %q", s, got)
		}
	}
}

func FuzzDistance(f *testing.F) {
	f.Add("scan", "scna")
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a)+len(b) > 200 {
			return
		}
		d := distance(a, b)
		if d != distance(b, a) || (d == 0) != (a == b) || d > max(len(a), len(b)) || d < max(len(a), len(b))-min(len(a), len(b)) {
			t.Errorf("%q %q: %d", a, b, d)
		}
	})
}
