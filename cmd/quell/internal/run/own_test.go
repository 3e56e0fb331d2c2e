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
	const second, value, key = "sk-second-half-1", "value-of-a-rotation", "-----BEGIN PRIVATE KEY-----"
	in := &issuer.Instance{
		Admin: credential.NewSecretString(id + ":" + secret + ":" + session), SessionsDB: credential.NewSecretString("postgres://app:" + pass + "@127.0.0.1/app"),
		Controls:  []issuer.Control{{Rule: "r", Secret: credential.NewSecretString("c"), Parts: map[string]credential.Secret{"key": credential.NewSecretString(second)}}},
		Rotations: []*issuer.Rotation{{Value: credential.NewSecretString(value)}},
		Further:   []credential.Secret{credential.NewSecretString(key)},
	}
	for _, s := range OwnSecrets(set, issuer.Instances{in}, func(n string) string { return env[n] }) {
		own[s.Reveal()] = true
	}
	for _, want := range []string{id, secret, session, pass, filed, other, "c", second, value, key} {
		if !own[want] {
			t.Errorf("%s is not known as its own", want)
		}
	}
}
