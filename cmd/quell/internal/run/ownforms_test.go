package run

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules/credential"
)

// The caller's credentials and the password of the database are quell's own, in each form in
// which they leak.
func TestCallersSecretsAreOwn(t *testing.T) {
	home := t.TempDir()
	key := "-----BEGIN RSA " + "PRIVATE KEY-----\n" + strings.Repeat("QUJDREVGR0hJSktMTU5PUA\n", 4) + "-----END RSA " + "PRIVATE KEY-----"
	rt, err := New(Options{
		Getenv: func(n string) string { return map[string]string{"HOME": home}[n] }, Offline: true, State: "postgres://quell:made-up-pass-word@127.0.0.1/x",
		Policy: filepath.Join(home, "none.toml"), noPolicy: true,
		Own: []credential.Secret{credential.NewSecretString("bot:made-up-token-0815"), credential.NewSecretString(key + "\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"bot:made-up-token-0815", "made-up-token-0815", "made-up-pass-word", key, strings.ReplaceAll(key, "\n", `\n`)} {
		if !rt.Own.Has(credential.NewSecretString(s)) {
			t.Errorf("%q is not known as quell's own", s)
		}
	}
	if rt.Own.Has(credential.NewSecretString("made-up-token-0816")) {
		t.Error("another one is")
	}
}
