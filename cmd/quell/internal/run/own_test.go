package run

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// Each part of what quell signs in with is its own, also where a scan finds it
// alone.
func TestPartsOfOwnSecretsAreOwn(t *testing.T) {
	home := t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, ".aws"), 0o700); err != nil {
		t.Fatal(err)
	}
	const filed, other = "k7Rz/2mQ+vT9xWbN4LpYdH6sJcFgA1uE8oKiXq3M", "w3Rz/2mQ+vT9xWbN4LpYdH6sJcFgA1uE8oKiXq3M"
	write := func(path, secret string) {
		if err := os.WriteFile(path, []byte("[default]\naws_secret_access_key = "+secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(home, ".aws", "credentials"), filed)
	write(filepath.Join(home, "shared"), other)
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"HOME": home, "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(home, "shared")}
	const id, secret, session, pass = "ASIA" + "Z7VRSQ5TJ2Q3XW4M", "q1Rz/2mQ+vT9xWbN4LpYdH6sJcFgA1uE8oKiXq3M", "IQoJb3JpZ2luX2VjEHoaCXVz", "p4ss-of-the-store"
	own := map[string]bool{}
	for _, s := range OwnSecrets(set, issuer.Instances{{Admin: credential.NewSecretString(id + ":" + secret + ":" + session), SessionsDB: credential.NewSecretString("postgres://app:" + pass + "@127.0.0.1/app")}}, func(n string) string { return env[n] }) {
		own[s.Reveal()] = true
	}
	for _, want := range []string{id, secret, session, pass, filed, other} {
		if !own[want] {
			t.Errorf("%s is not known as its own", want)
		}
	}
}
