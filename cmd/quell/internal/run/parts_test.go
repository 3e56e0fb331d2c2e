package run

import (
	"testing"

	"github.com/quellhq/quell/rules"
)

func TestAPartBelongsToTheNearestCredential(t *testing.T) {
	provider := &rules.Provider{ID: "x"}
	set := &rules.Set{Rules: []*rules.Rule{
		{ID: "key", Provider: provider, Kind: rules.KindAPIKey, Parts: map[string]rules.Part{"secret": {Rule: "secret", Within: 100}, "account": {Rule: "account"}}},
		{ID: "secret", Provider: provider, Kind: rules.KindAPIKey},
		{ID: "account", Provider: provider, Kind: rules.KindAPIKey},
	}}
	at := func(rule, secret, path string, offset int64) rules.Finding {
		return rules.Finding{
			Ref: rules.Ref{Rule: rule, Provider: "x", Kind: rules.KindAPIKey}, Secret: rules.NewSecretString(secret),
			Location: rules.Location{Path: path, Offset: offset, EndOffset: offset + int64(len(secret))},
		}
	}
	key := rules.FingerprintKey{1}
	creds, err := Credentials([]rules.Finding{
		at("secret", "secret-one", "a", 0), at("key", "key-one", "a", 20), at("secret", "secret-two", "a", 90),
		at("key", "key-far", "a", 5000), at("account", "account-one", "a", 6000),
		at("secret", "secret-elsewhere", "b", 5000),
	}, key, set)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]map[string]rules.Secret{}
	for _, c := range creds {
		parts[c.Fingerprint] = c.Parts
		for name, s := range c.Parts {
			if c.PartFingerprints[name] != key.Fingerprint(s) {
				t.Errorf("%s: the fingerprint of %s is another", c.Rule, name)
			}
		}
	}
	one, far := parts[key.Fingerprint(rules.NewSecretString("key-one"))], parts[key.Fingerprint(rules.NewSecretString("key-far"))]
	if !one["secret"].Equal(rules.NewSecretString("secret-one")) || !one["account"].Equal(rules.NewSecretString("account-one")) {
		t.Error("the nearest parts are not the credential's")
	}
	if _, ok := far["secret"]; ok || !far["account"].Equal(rules.NewSecretString("account-one")) {
		t.Error("a part that is too far away, or in another file, belongs to it")
	}
	if len(parts[key.Fingerprint(rules.NewSecretString("secret-one"))]) != 0 {
		t.Error("a part has parts")
	}
}
