package vault

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
)

// A login by AWS is a signed STS request, which Vault forwards. The fake handles it like
// Vault's auth method, and verifies the signature itself instead of calling STS.
// https://github.com/hashicorp/vault/blob/v1.21.1/builtin/credential/aws/path_login.go
func TestLoginByAWS(t *testing.T) {
	const id, secret, session = "AKIAMADEUP", "made-up-secret-key", "made-up-session"
	env := map[string]string{"AWS_ACCESS_KEY_ID": id, "AWS_SECRET_ACCESS_KEY": secret}
	for name, c := range map[string]struct {
		login        issuer.Login
		env          map[string]string
		url, session string
	}{
		"the policy's key":      {issuer.Login{AWSKey: credential.NewSecretString(id + ":" + secret), Role: "quell"}, nil, "https://sts.amazonaws.com/", ""},
		"a temporary key":       {issuer.Login{AWSKey: credential.NewSecretString(id + ":" + secret + ":" + session)}, nil, "https://sts.amazonaws.com/", session},
		"the environment's key": {issuer.Login{}, env, "https://sts.amazonaws.com/", ""},
		"a region and a server": {issuer.Login{Region: "eu-west-1", Server: "vault.example.com"}, env, "https://sts.eu-west-1.amazonaws.com/", ""},
		"no key":                {issuer.Login{}, nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			sent := ""
			f, target := against(t, func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, `{"auth":{"client_token":"made-up-session-token"}}`)
			}, "", issuer.Rotation{})
			c.login.Method = issuer.LoginAWS
			target.Instance.Login = &c.login
			s, err := Login(t.Context(), &issuer.Client{}, target.Instance, func(k string) string { return c.env[k] })
			if c.url == "" {
				if err == nil || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") || len(f.requests()) != 0 {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || s.Token.IsZero() {
				t.Fatal(err)
			}
			got := f.requests()[0]
			sent = strings.TrimRight(got.body, "\x00\n")
			var body map[string]string
			if err := json.Unmarshal([]byte(sent), &body); err != nil || got.path != "/v1/auth/aws/login" || strings.Contains(sent, secret) {
				t.Fatalf("%s %v", got.path, err)
			}
			decoded := func(k string) []byte {
				b, err := base64.StdEncoding.DecodeString(body[k])
				if err != nil {
					t.Fatal(k, err)
				}
				return b
			}
			var headers http.Header
			if err := json.Unmarshal(decoded("iam_request_headers"), &headers); err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(string(decoded("iam_request_url")))
			if err != nil || u.String() != c.url || body["iam_http_request_method"] != "POST" || string(decoded("iam_request_body")) != "Action=GetCallerIdentity&Version=2011-06-15" || body["role"] != c.login.Role {
				t.Errorf("%s %v", u, body)
			}
			again, _ := http.NewRequest("POST", u.String(), http.NoBody)
			for _, h := range []string{"Content-Type", "X-Vault-Aws-Iam-Server-Id"} {
				if v := headers.Get(h); v != "" {
					again.Header.Set(h, v)
				}
			}
			if headers.Get(serverID) != c.login.Server {
				t.Error("the server's id is not in the headers")
			}
			region := c.login.Region
			if region == "" {
				region = "us-east-1"
			}
			at, err := time.Parse("20060102T150405Z", headers.Get("X-Amz-Date"))
			if err != nil || time.Since(at) > time.Minute {
				t.Fatal(at, err)
			}
			sum := sha256.Sum256(decoded("iam_request_body"))
			if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: c.session}, again, hex.EncodeToString(sum[:]), "sts", region, at); err != nil {
				t.Fatal(err)
			}
			if again.Header.Get("Authorization") != headers.Get("Authorization") || headers.Get("Authorization") == "" {
				t.Errorf("STS would refuse the signature")
			}
		})
	}
}
