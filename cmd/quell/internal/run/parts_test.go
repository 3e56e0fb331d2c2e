package run

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/files"
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

// The id of a key and its session token are one credential with the secret key near them: what
// grants nothing alone is no item of its own. Without the secret key it is one.
func TestPartsThatGrantNothingAloneAreOneCredential(t *testing.T) {
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	key := rules.FingerprintKey{1}
	at := func(rule, secret, path string, offset int64) rules.Finding {
		r := set.Rule(rule)
		return rules.Finding{
			Ref: rules.Ref{Rule: rule, Provider: "aws", Kind: r.Kind, Confidence: r.Confidence}, Secret: rules.NewSecretString(secret),
			Location: rules.Location{Path: path, Offset: offset, EndOffset: offset + int64(len(secret))},
		}
	}
	creds, err := Credentials([]rules.Finding{
		at("aws-access-token", "ASIAQ3EXAMPLEABCDEFG", "a", 10), at("aws-secret-key", "secret-key-one", "a", 40), at("aws-session-token", "session-token-one", "a", 90),
		at("aws-access-token", "ASIAQ3EXAMPLEABCDEFG", "b", 5),
		at("aws-access-token", "AKIAQ3EXAMPLEHIJKLMN", "c", 5),
	}, key, set)
	if err != nil {
		t.Fatal(err)
	}
	if len(creds) != 2 {
		t.Fatalf("%d credentials, want the whole key and the id that is alone", len(creds))
	}
	whole := creds[0]
	if whole.Rule != "aws-secret-key" {
		whole = creds[1]
	}
	if whole.Rule != "aws-secret-key" || len(whole.Parts) != 2 || len(whole.Findings) != 4 || whole.Confidence != rules.High {
		t.Errorf("%s with %d parts at %d places, confidence %s", whole.Rule, len(whole.Parts), len(whole.Findings), whole.Confidence)
	}
	if whole.PartFingerprints["key_id"] != key.Fingerprint(rules.NewSecretString("ASIAQ3EXAMPLEABCDEFG")) {
		t.Error("the fingerprint of the key's id is another")
	}
}

// Of several signed sessions in one text, each is sent with the signature that
// follows it.
func TestEachSessionGetsItsOwnSignature(t *testing.T) {
	values := []string{"H3kPz90sQmWe7TbV2xRn5LdA", "Zt6YbN1uKq4oGf8JcXw2MhRe", "q8Zk2mXw71Lp0vB3nT5rU4yC"}
	sigs := []string{"q8Zk2mXw71Lp0vB3nT5rU4yCq8A", "q8Zk2mXw71Lp0vB3nT5rU4yCq8B", "q8Zk2mXw71Lp0vB3nT5rU4yCq8C"}
	text := "Cookie: sess=" + values[0] + "; sess.sig=" + sigs[0] + "\nCookie: a=b; sess=" + values[1] + "; sess.sig=" + sigs[1] +
		"\n{\"name\":\"sess\",\"value\":\"" + values[2] + "\"},{\"name\":\"sess.sig\",\"value\":\"" + sigs[2] + "\"}\nother.sig=q8Zk2mXw71Lp0vB3nT5rU4yCq8D\n"
	r := runtime(t, "version = 1\n[[instance]]\nprovider = \"webapp\"\nurl = \"http://127.0.0.1:9\"\nown = true\ncookie = \"sess\"\nprobe_path = \"/me\"\n")
	r.options.Offline = true
	file := filepath.Join(t.TempDir(), "a.log")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	if _, err := r.Scan(t.Context(), ScanOptions{Confidence: rules.Medium, Sources: []scanners.Source{files.Source{Name: "path", Targets: []string{file}}}}, recorder(func(e report.Event) error {
		if c, ok := e.(report.Credential); ok && c.Cookie == "sess" {
			got[c.Fingerprint] = c.PartFingerprints[rules.SignaturePart]
		}
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	print := func(s string) string { return r.Keys.Fingerprint.Fingerprint(rules.NewSecretString(s)) }
	for i, v := range values {
		if got[print(v)] != print(sigs[i]) {
			t.Errorf("%s is sent with %q of %v", v, got[print(v)], got)
		}
	}
}
