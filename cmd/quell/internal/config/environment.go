package config

import "strings"

// Environment returns a getenv of the process's environment as it is now, and
// removes from the process what would change how a library behaves: Vault's
// client reads VAULT_ variables by itself, and fails if one is malformed. quell
// takes addresses and tokens from the policy.
func Environment(environ []string, unset func(string) error) func(string) string {
	vars := make(map[string]string, len(environ))
	for _, kv := range environ {
		k, v, _ := strings.Cut(kv, "=")
		vars[k] = v
		if strings.HasPrefix(k, "VAULT_") {
			_ = unset(k) // only an invalid name fails
		}
	}
	return func(name string) string { return vars[name] }
}
