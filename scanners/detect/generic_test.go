package detect

import (
	"strings"
	"testing"

	"github.com/quellhq/quell/rules"
)

// A value that only its name and its randomness make a credential has low confidence where the
// text around it shows another use.
func TestGenericKeysOfAnotherUse(t *testing.T) {
	e := New(builtin(t))
	hex64 := "b2479e365e9660f18c4064331fbdc0f0ae122d41e89fba44f222627db5610ae3"
	uuid := "78fc92d3-2675-43e1-a794-30066b3aea37"
	for name, c := range map[string]struct {
		text   string
		medium bool
	}{
		"a test vector of HPKE":             {`{"info":"4f64","enc":"` + hex64 + `","exporter_secret":"` + strings.ToUpper(hex64) + `","secret":"` + hex64[:62] + `4b","base_nonce":"4a530fc5"}`, false},
		"a test vector of an AEAD":          {"{\n  \"tcId\" : 3,\n  \"key\" : \"" + hex64 + "\",\n  \"iv\" : \"00000000\",\n  \"aad\" : \"\"\n}", false},
		"a key with no such fields":         {`{"name":"prod","secret_key":"` + hex64 + `"}`, true},
		"an API key next to a nonce and iv": {`{"nonce":"1","iv":"2","api_key":"` + hex64 + `"}`, true},
		"a UUID under key alone":            {`"Key": "` + uuid + `",`, false},
		"a UUID under api_key":              {`api_key: "` + uuid + `"`, true},
		"a signature of AWS":                {"SignedHeaders=host;x-amz-security-token, Signature=" + hex64, false},
		"an encrypted key of JOSE":          {`{"encrypted_key":"K7uWnEr4gkH8uS96s9yXCTZCvaiiubcc","iv":"Ft69CRF8monVyiLi"}`, false},
		"a public key":                      {"# public key: age10k7vsqmeg3sp8elfyq5ts55feg4huarpcaf9dmljn9umydg3gymsvx4dp9", false},
	} {
		t.Run(name, func(t *testing.T) {
			medium := false
			for _, m := range matches(e, c.text) {
				medium = medium || m.Confidence >= rules.Medium
			}
			if medium != c.medium {
				t.Errorf("at medium or above: %v in %s", medium, c.text)
			}
		})
	}
}
