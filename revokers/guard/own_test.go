package guard_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/rules/credential"
)

func percent(s string) string {
	var out strings.Builder
	for _, b := range []byte(s) {
		fmt.Fprintf(&out, "%%%02x", b)
	}
	return out.String()
}

// encodings are the ways in which a configuration or a log can write a value.
var encodings = map[string]func(string) string{
	"itself":                 func(s string) string { return s },
	"spaces around":          func(s string) string { return "  " + s + "\n" },
	"double quotes":          func(s string) string { return `"` + s + `"` },
	"single quotes":          func(s string) string { return "'" + s + "'" },
	"percent, where needed":  url.PathEscape,
	"percent, as in queries": url.QueryEscape,
	"percent, every byte":    percent,
	"base64":                 func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64 without padding": func(s string) string { return base64.RawStdEncoding.EncodeToString([]byte(s)) },
	"base64 of URLs":         func(s string) string { return base64.URLEncoding.EncodeToString([]byte(s)) },
	"hex":                    func(s string) string { return hex.EncodeToString([]byte(s)) },
	"hex in upper case":      func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
	"base64, then percent":   func(s string) string { return percent(base64.StdEncoding.EncodeToString([]byte(s))) },
	"quotes, then percent":   func(s string) string { return url.QueryEscape(`"` + s + `"`) },
}

func TestACredentialIsTheSameInEveryEncoding(t *testing.T) {
	secret := func(s string) credential.Secret { return credential.NewSecretString(s) }
	for _, value := range []string{"tok_0123456789abcdef", "s:4f/Kq+w==.a b%20", "pässwörd-of-a-user"} {
		for name, encode := range encodings {
			encoded := encode(value)
			if !guard.Same(secret(encoded), secret(value)) || !guard.Same(secret(value), secret(encoded)) {
				if strings.ContainsFunc(value, func(r rune) bool { return r > 0x7e }) && (strings.HasPrefix(name, "base64") || strings.HasPrefix(name, "hex")) {
					continue // in base64 and hex, only ASCII text is recognised
				}
				t.Errorf("%s of %q: not the same", name, value)
			}
			if !guard.NewOwn([]credential.Secret{secret(encoded)}).Has(secret(value)) && value[0] == 't' {
				t.Errorf("%s of %q: not known to be quell's own", name, value)
			}
			if guard.Same(secret(encoded), secret("tok_0123456789abcdeX")) {
				t.Errorf("%s of %q: the same as another one", name, value)
			}
		}
	}
	var none credential.Secret
	if guard.Same(none, none) || guard.NewOwn([]credential.Secret{none}).Has(none) {
		t.Error("an empty credential is one of quell's")
	}
}

// A short value that decodes to a shorter one identifies nothing.
func TestShortDecodedFormsIdentifyNothing(t *testing.T) {
	a, b := base64.StdEncoding.EncodeToString([]byte("abc")), hex.EncodeToString([]byte("abc"))
	if guard.Same(credential.NewSecretString(a), credential.NewSecretString(b)) {
		t.Error("two values are the same by three decoded bytes")
	}
}

func FuzzSame(f *testing.F) {
	f.Add("tok_0123456789abcdef", "%74ok")
	f.Add("\xff%zz\"'", "====")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := credential.NewSecretString(a), credential.NewSecretString(b)
		if guard.Same(x, y) != guard.Same(y, x) {
			t.Error("same one way and not the other")
		}
		if strings.TrimSpace(a) != "" && !guard.Same(x, x) {
			t.Error("not the same as itself")
		}
	})
}
