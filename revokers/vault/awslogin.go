package vault

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/quellhq/quell/revokers/aws"
	"github.com/quellhq/quell/revokers/issuer"
)

// callerIdentity is the body of the request that is signed.
const callerIdentity = "Action=GetCallerIdentity&Version=2011-06-15"

// serverID is the header that a mount can require, so that a signed request for another
// server is of no use to it.
const serverID = "X-Vault-AWS-IAM-Server-ID"

// awsLogin is the body of a login by an identity of AWS. quell signs a request to STS and
// does not send it: Vault sends it, and learns from the answer whose key has signed it.
// Without a key in the policy, that of the environment signs.
// https://developer.hashicorp.com/vault/api-docs/auth/aws#login
func awsLogin(ctx context.Context, l *issuer.Login, getenv func(string) string) (map[string]any, error) {
	key := l.AWSKey
	if key.IsZero() {
		key = aws.LoginKey(getenv("AWS_ACCESS_KEY_ID"), getenv("AWS_SECRET_ACCESS_KEY"), getenv("AWS_SESSION_TOKEN"))
	}
	if key.IsZero() {
		return nil, errors.New("login by aws: there is no key (hint: aws_key of the login, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; quell does not ask an instance's metadata)")
	}
	host, region := "sts.amazonaws.com", "us-east-1"
	sts := &issuer.Instance{Provider: "aws", URL: &url.URL{Scheme: "https", Host: host}}
	if l.Region != "" {
		region = l.Region
		sts = aws.Service(sts, "sts", region)
	}
	r := issuer.Request{Method: http.MethodPost, Path: "/", Header: http.Header{}, Body: issuer.Raw{Type: "application/x-www-form-urlencoded; charset=utf-8", Bytes: []byte(callerIdentity)}}
	if l.Server != "" {
		r.Header.Set(serverID, l.Server)
	}
	r, err := aws.Sign(ctx, sts, key, "sts", region, r, time.Now())
	if err != nil {
		return nil, fmt.Errorf("login by aws: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	headers, err := json.Marshal(r.Header)
	if err != nil {
		return nil, errors.New("login by aws: the headers can't be encoded")
	}
	text := base64.StdEncoding.EncodeToString
	data := map[string]any{
		"iam_http_request_method": r.Method,
		"iam_request_url":         text([]byte(sts.URL.String() + "/")),
		"iam_request_body":        text([]byte(callerIdentity)),
		"iam_request_headers":     text(headers),
	}
	if l.Role != "" {
		data["role"] = l.Role
	}
	return data, nil
}
