package aws_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/aws"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
)

// userPool takes AdminUserGlobalSignOut alone, from one key, for the user of one pool.
type userPool struct {
	out     []string // users that were signed out
	refused int
}

func (p *userPool) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	fail := func(kind string) {
		p.refused++
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"__type":"com.amazonaws.cognito#%s","message":"no"}`, kind)
	}
	auth := r.Header.Get("Authorization")
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	q, _ := http.NewRequest(r.Method, "http://"+r.Host+r.URL.RequestURI(), nil)
	q.Header.Set("Content-Type", r.Header.Get("Content-Type"))
	q.Header.Set("X-Amz-Target", r.Header.Get("X-Amz-Target"))
	sum := sha256.Sum256(body)
	_ = v4.NewSigner().SignHTTP(context.Background(), sdk.Credentials{AccessKeyID: admins, SecretAccessKey: "admin/secret"}, q, hex.EncodeToString(sum[:]), "cognito-idp", "eu-west-1", at)
	var doc struct{ UserPoolId, Username string }
	switch {
	case err != nil || q.Header.Get("Authorization") != auth:
		fail("UnrecognizedClientException")
	case r.Header.Get("X-Amz-Target") != "AWSCognitoIdentityProviderService.AdminUserGlobalSignOut" || json.Unmarshal(body, &doc) != nil:
		fail("UnknownOperationException")
	case doc.UserPoolId != "eu-west-1_Ab3dEf9hI":
		fail("ResourceNotFoundException")
	case doc.Username != "alice":
		fail("UserNotFoundException")
	default:
		p.out = append(p.out, doc.Username)
		fmt.Fprint(w, `{}`)
	}
}

func accessToken(iss string) string {
	raw := base64.RawURLEncoding
	return raw.EncodeToString([]byte(`{"alg":"RS256","kid":"k"}`)) + "." + raw.EncodeToString([]byte(`{"iss":"`+iss+`","sub":"u1","username":"mallory","token_use":"access","exp":4102444800}`)) + "." + strings.Repeat("aB3-", 86)[:342]
}

// A user whom Cognito named for the live token is signed out of the token's pool, by a signed
// request; nothing is sent for another region's token, a user who is not known or a key that can't
// be read, and a refusal accepts nothing.
func TestAUserOfACognitoPoolIsSignedOut(t *testing.T) {
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	const iss = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab3dEf9hI"
	for name, c := range map[string]struct {
		iss, user, admin, host string
		accepted               bool
		refused                int
		err                    string
	}{
		"signed out":             {iss, "alice", admins + ":admin/secret", "", true, 0, ""},
		"another user":           {iss, "bob", admins + ":admin/secret", "", false, 1, ""},
		"another pool":           {strings.Replace(iss, "_A", "_X", 1), "alice", admins + ":admin/secret", "", false, 1, ""},
		"another key":            {iss, "alice", admins + ":other", "", false, 1, ""},
		"no user":                {iss, "", admins + ":admin/secret", "", false, 0, "did not name the user"},
		"no pool":                {"https://id.example/eu-west-1_Ab3dEf9hI", "alice", admins + ":admin/secret", "", false, 0, "not a Cognito user pool"},
		"regions differ":         {strings.Replace(iss, "idp.eu-west-1", "idp.eu-west-2", 1), "alice", admins + ":admin/secret", "", false, 0, "not a Cognito user pool"},
		"no key":                 {iss, "alice", "word", "", false, 0, "ID:SECRET"},
		"an instance of another": {iss, "alice", admins + ":admin/secret", "cognito-idp.us-east-1.amazonaws.com", false, 0, "issued in eu-west-1"},
	} {
		t.Run(name, func(t *testing.T) {
			p := &userPool{}
			srv := httptest.NewServer(p)
			t.Cleanup(srv.Close)
			u, _ := url.Parse(srv.URL)
			if c.host != "" {
				u = &url.URL{Scheme: "https", Host: c.host}
			}
			x := revokers.Target{Rule: set.Rule("cognito-access-token"), Instance: &issuer.Instance{Provider: "cognito", URL: u, Operator: true, Admin: rules.NewSecretString(c.admin), Settings: map[string]string{}}}
			x.Secret, x.Fingerprint, x.Captures = rules.NewSecretString(accessToken(c.iss)), "f", map[string]string{"username": c.user}
			v := aws.SignOutUser{Doer: &issuer.Client{}}
			noted := 0
			ts := []revokers.Target{x}
			r, err := v.Send(t.Context(), ts, revokers.Effect{}, func(e revokers.Effect) error {
				noted++
				shown, _ := json.Marshal(e)
				if strings.Contains(string(shown), "admin/secret") || strings.Contains(string(shown), x.Secret.Reveal()) || !strings.Contains(string(e.Body), c.user) {
					t.Errorf("the plan shows %s", shown)
				}
				return nil
			})
			switch {
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err) || noted != 0):
				t.Errorf("%v, %d requests noted", err, noted)
			case c.err == "" && (err != nil || r.Of(0).Accepted != c.accepted || noted != 1):
				t.Errorf("%v %+v", err, r.Of(0))
			}
			if c.accepted != (len(p.out) == 1) || p.refused != c.refused {
				t.Errorf("signed out %v, refused %d", p.out, p.refused)
			}
			if _, err := v.Plan(t.Context(), ts); (err == nil) != (c.err == "" || c.err == "ID:SECRET") {
				t.Errorf("plan: %v", err)
			}
		})
	}
}
