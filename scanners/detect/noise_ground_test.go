package detect

import (
	"encoding/base64"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

// Texts of source trees and images that have the form of a credential and grant nothing, with
// the text next to each that has one.
func TestTheFormAloneIsNoCredential(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	from := func(alphabet string, n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = alphabet[random.IntN(len(alphabet))]
		}
		return string(b)
	}
	const hexes, letters = "0123456789abcdef", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	hex := func(n int) string { return from(hexes, n) }
	uuid := func() string { return hex(8) + "-" + hex(4) + "-4" + hex(3) + "-a" + hex(3) + "-" + hex(12) }
	blob := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.IntN(256))
		}
		return base64.StdEncoding.EncodeToString(b)
	}
	lines := func(s string, width int) string {
		var out strings.Builder
		for part := range slices.Chunk([]byte(s), width) {
			out.Write(part)
			out.WriteByte('\n')
		}
		return out.String()
	}
	square, easypost := "EAAA"+from(letters, 44), "EZAK"+from(letters, 54)
	begin, end := "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----"
	sum := from(letters, 30) + "00000000"
	for name, c := range map[string]struct{ noise, credential string }{
		"a token's form between + and / of base64": {
			lines(blob(60)+"Dx+"+square+"/"+blob(60), 1<<20), "SQUARE_TOKEN=" + square + "\n"},
		"the same in wrapped lines": {
			lines(blob(87)+blob(30)+"Dx+"+easypost+"+"+blob(90), 76), "EASYPOST=" + easypost + "\n"},
		"marks of a key in code": {
			"_MARKER = ('" + begin + "',\n                 '" + end + "')\nOTHER = ('-----BEGIN PRIVATE KEY-----', '-----END PRIVATE KEY-----')\n",
			begin + "\n" + lines(blob(600), 64) + end + "\n"},
		"a key of words": {
			begin + "\n   1foo\n   2bar\n   3foobar\n   4 more words of it to be long enough for a key\n" + end + "\n",
			"key = \"" + begin + "\\n" + blob(600) + "\\n" + end + "\"\n"},
		"a list of checksums after a name": {
			hex(32) + "  usr/share/i18n/locales/sk_SK\n" + hex(32) + "  usr/share/i18n/locales/sl_SI\n", "sid=SK" + hex(32) + "\n"},
		"marks of a key in a program": {
			begin + "\n\x01\x00\x07END_KEY\x08\x03\x00Ljava2/util/ListOfKeysAndMore1/x/y/z\x00\x1a\n" + end + "\n", "\x00\x01" + begin + "\n" + lines(blob(600), 64) + end + "\n\x00"},
		"a password and its hash":         {"(\"password\", '" + hex(40) + "'),\n", "password = '" + hex(40) + "'\n"},
		"a fingerprint":                   {"* Release GPG key: " + strings.ToUpper(hex(40)) + "\n$ cloud ssh-keys remove --key='" + hex(64) + "'\n", "api_key='" + hex(64) + "'\n"},
		"a name in front of words":        {"googlecloudsdk.command_lib.looker.util:ModifyInstanceBackupName\n", "looker_client_secret=" + from("abcdefghjkmnpqrstvwxyz23456789", 24) + "\n"},
		"the id of a server of tokens":    {"authServerId := \"" + from(letters, 20) + "\" // string\n", "authSecret := \"" + from(letters, 20) + "\"\n"},
		"the signature of AWS":            {"'Authorization': 'AWS4-HMAC-SHA256+Credential=key/20110909/us-east-2/sts/aws4_request,Signature=" + hex(64) + "'\n", "'Authorization': 'Bearer " + hex(64) + "'\n"},
		"a public key of OpenPGP":         {"expiringKeyHex = \"988d04533a52bc0104" + hex(200) + "\"\n", "encryptionKeyHex = \"" + hex(64) + "\"\n"},
		"numbers":                         {"Token{rawToken(`0e12456789`)}\n token = 0x21..0x27 | 0x2a\n", "token = " + hex(32) + "\n"},
		"what somebody left out":          {"authenticity = token: '99ae8af...snip...ec0f262ac'\n", "token: '" + hex(40) + "'\n"},
		"the words of a name":             {"Next page token: " + from(letters, 25) + "\n", "Access token: " + from(letters, 25) + "\n"},
		"a word in place of a token":      {"createTokenAuth(\"ghp_" + sum[:28] + "00000000\");\n", "token: " + generated(t, "ghp_{base62:30}{crc32}") + "\n"},
		"the signature of a request":      {"Authorization: SharedKey golangrocks:" + blob(32) + "\n", "AccountKey=" + blob(64) + ";EndpointSuffix=core.windows.net\n"},
		"an OAuth 1.0 signature":          {"oauth_signature=\"" + blob(20) + "\", oauth_version=\"1.0\"\n", "oauth_token=\"" + from(letters, 32) + "\", oauth_version=\"1.0\"\n"},
		"bytes that count up":             {"Token=0102030405060708090a0b0c0d0e0f10\n", "Token=" + hex(32) + "\n"},
		"a badge":                         {"![c](https://codecov.io/gh/acme/app/branch/main/graph/badge.svg?token=" + from(letters, 10) + ")\n", "https://api.acme.io/report?token=" + from(letters, 32) + "\n"},
		"the id of a request":             {"\"Postman-Token\": \"" + uuid() + "\",\n", "\"Acme-Token\": \"" + hex(40) + "\",\n"},
		"a flag that repeats a call":      {"aws ec2 create --client-token " + uuid() + "\n", "aws x --auth-token " + hex(40) + "\n"},
		"a grant token":                   {"\"GrantToken\": \"AQpAM2RhZTk1MGMyNTk2" + blob(60) + "\"\n", "\"AccessToken\": \"" + from(letters, 60) + "\"\n"},
		"a lock":                          {"\"PolicyUpdateToken\": \"1:" + blob(16) + "\",\n", "\"PolicyToken\": \"" + from(letters, 40) + "\",\n"},
		"a page":                          {"$skiptoken=" + from(letters, 60) + "\n", "user_token=" + from(letters, 60) + "\n"},
		"a place for telemetry":           {"InstrumentationKey=" + uuid() + ";IngestionEndpoint=https://x\n", "api_key = \"" + uuid() + "\"\n"},
		"a constant whose name ends so":   {"TimeoutKey = \"" + uuid() + "\"\n", "ApiKey = \"" + uuid() + "\"\n"},
		"the key of an emulator":          {"AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;\n", "AccountKey=" + blob(64) + ";\n"},
		"a certificate of a Secret":       {"kind: Secret\ndata:\n  certificate: " + base64.StdEncoding.EncodeToString([]byte("-----BEGIN CERTIFICATE-----\n"+blob(300))) + "\n", "kind: Secret\ndata:\n  password: " + blob(30) + "\n"},
		"words of a manual":               {"curl -u user:secret https://example.com\ncurl -u \"key:secret\" https://example.com\n", "curl -u admin:" + from(letters, 20) + " https://example.com\n"},
		"a name of a constant":            {"[\"PF\",\"MUTATES_ARG_WITHOUT_ACCESSOR\",\"PC\"]\n", "Cookie: PF=" + from(letters, 28) + "; a=b\n"},
		"a list, one of which has a word": {"\"WGREKULAPIKEYC7SYGKHAPIY2A\",\n\"WWW2774FKTKUX3QMP4BECSRHLWJI\",\n", "API_KEY=" + from(letters, 32) + "\n"},
		"an unsigned token by its name":   {"token = eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSIsImFkbWluIjp0cnVlfQ.\nDone in 3 seconds\n", "token = " + from(letters, 40) + "\n"},
		"a public key between the marks of a private key": {
			begin + "\n        MIIBCgKCAQEA4ej0p7bQ7L/r4rVGUz9RN4VQWoej1Bg1mYWIDYslvKrk1gpj7wZg\n        kdmM7oVK2OfgrSj/FCTkInKPqaCR0gD7K080mL+mLrU3PUnB8wgaIe+VLuS4Lj0t\n" + end + "\n",
			begin + "\n" + lines(blob(600), 64) + end + "\n"},
		"a netrc's words in a program": {
			"machine\x00 login\x01 password )\x08r\xc2\x00\x00\x00r1\x00\x00\x00r2\nmachine a login b password )\x08r\xc2\x00\x00\x00r1\x00\x00\x00r2\x00\n", "machine a login b password " + from(letters, 40) + "\n"},
		"words in another script": {
			`"genseckey.secret.key", "keyPassword=\u751F\u6210\u3055\u308C\u305F\u79D8\u5BC6\u30AD\u30FC"` + "\n", `keyPassword=` + from(letters, 24) + "\n"},
		"the fingerprint of an OpenPGP key": {
			`"GPG_KEY=` + strings.ToUpper(hex(40)) + `",` + "\n", `"API_KEY=` + hex(40) + `",` + "\n"},
		"a public key as a multicodec": {
			`"publicKeyMultibase": "zQ3sh` + from(letters, 44) + `", key := "zDnae` + from(letters, 44) + `"` + "\n", `"apiKey": "` + from(letters, 44) + `"` + "\n"},
		"a curve": {
			"KeyAlgorithmEcSecp384r1 = \"EC_secp384r1\"\n", "apiKey = \"" + from(letters, 24) + "\"\n"},
		"the name of a service account": {
			`"client_email": "svc@project-123.iam.gserviceaccount.com", "private_key_id": "` + hex(40) + `"` + "\n", "glpat" + "-" + from(letters, 20) + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			e := New(builtin(t))
			for _, m := range matches(e, c.noise) {
				if m.Confidence > rules.Low {
					t.Errorf("%s: %d bytes of\n%s", m.Rule.ID, m.Secret.Len(), c.noise)
				}
			}
			if !slices.ContainsFunc(matches(e, c.credential), func(m scanners.Match) bool { return m.Confidence > rules.Low }) {
				t.Errorf("not found: %s", c.credential)
			}
		})
	}
}

// A line that ends with a session is not joined with the words after it, and the exact value of
// one line is among the results.
func TestAWholeTokenInAWrapperIsNotJoined(t *testing.T) {
	e := New(builtin(t))
	jwt := generated(t, "{jwt:+1h}")
	want := "%7B%22token%22%3A%22" + jwt + "%22%7D"
	for _, text := range []string{
		"Resolving dependencies\n> cookie: lang=en; pb_auth=" + want + "\nDone in 3 seconds\n",
		"#HttpOnly_app.example\tFALSE\t/\tTRUE\t1999999999\tpb_auth\t" + want + "\nDone in 3 seconds\n",
	} {
		if !slices.ContainsFunc(matches(e, text), func(m scanners.Match) bool { return m.Secret.Reveal() == want }) {
			t.Errorf("not found in\n%s", text)
		}
	}
}

func generated(t *testing.T, generator string) string {
	t.Helper()
	s, err := rules.Generate(generator, rand.NewChaCha8([32]byte{1}))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
