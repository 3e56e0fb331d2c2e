package config

import "testing"

func TestVaultsVariablesReachNoLibrary(t *testing.T) {
	var gone []string
	getenv := Environment([]string{"HOME=/home/a", "VAULT_ADDR=https://vault.example", "VAULT_SKIP_VERIFY=perhaps", "EMPTY=", "A=b=c"}, func(k string) error { gone = append(gone, k); return nil })
	for name, want := range map[string]string{"HOME": "/home/a", "VAULT_ADDR": "https://vault.example", "A": "b=c", "EMPTY": "", "ABSENT": ""} {
		if got := getenv(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if len(gone) != 2 {
		t.Errorf("removed from the process: %v", gone)
	}
}
