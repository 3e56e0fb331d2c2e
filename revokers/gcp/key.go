// Package gcp asks Google Cloud about keys of service accounts, and disables
// them. It signs a JWT for one API instead of redeeming the key, so that no
// access token is minted.
package gcp

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/interp"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
)

// host is the API that is asked about a key, and audience is what a JWT for it
// names (AIP-4111).
const (
	host     = "iam.googleapis.com"
	audience = "https://iam.googleapis.com/"
)

// Names of the parts that a rules file gives a key.
const (
	partEmail = "email"
	partID    = "key_id"
)

// Key asks about keys of service accounts.
type Key struct{ Doer issuer.Doer }

// Endpoints implements revokers.Verifier.
func (Key) Endpoints(t revokers.Target) []string {
	if t.Parts[partEmail].IsZero() || t.Parts[partID].IsZero() {
		return nil
	}
	return []string{"GET " + at(t.Instance).Host() + "/v1/projects/-/serviceAccounts/{email}/keys/{key_id}"}
}

// at is the API's host; a server of the operator's own has all hosts.
func at(i *issuer.Instance) *issuer.Instance {
	if h := i.URL.Hostname(); h != "googleapis.com" && !strings.HasSuffix(h, ".googleapis.com") {
		return i
	}
	c := *i
	c.URL = &url.URL{Scheme: "https", Host: host}
	return &c
}

// path is the key's resource. The project is the account's own.
func path(t revokers.Target) string {
	return "/v1/projects/-/serviceAccounts/" + url.PathEscape(t.Parts[partEmail].Reveal()) + "/keys/" + url.PathEscape(t.Parts[partID].Reveal())
}

// maxKey bounds a key, in bytes of DER: to check a larger one takes minutes. One
// of 8192 bits has 4.7 KiB.
const maxKey = 8 << 10

// private reads a PEM key, also with the line breaks of a JSON string.
func private(s credential.Secret) (*rsa.PrivateKey, error) {
	text := strings.NewReplacer(`\n`, "\n", `\r`, "").Replace(s.Reveal())
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("the private key is cut or altered")
	}
	if len(block.Bytes) > maxKey {
		return nil, errors.New("the private key is larger than any of a service account")
	}
	if k, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return sized(k)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the private key is cut or altered")
	}
	key, ok := k.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("the private key is not one of RSA, as those of service accounts are")
	}
	return sized(key)
}

// sized refuses a key whose signatures take too long.
func sized(k *rsa.PrivateKey) (*rsa.PrivateKey, error) {
	if k.N.BitLen() > 8192 {
		return nil, errors.New("the private key is larger than any of a service account")
	}
	return k, nil
}

// bearer is a JWT that the key signs for the API. It is good for ten minutes.
func bearer(t revokers.Target, now time.Time) (string, error) {
	key, err := private(t.Secret)
	if err != nil {
		return "", err
	}
	email := t.Parts[partEmail].Reveal()
	opts := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", t.Parts[partID].Reveal())
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, opts)
	if err != nil {
		return "", errors.New("the private key can't sign")
	}
	s, err := jwt.Signed(signer).Claims(jwt.Claims{Issuer: email, Subject: email, IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(10 * time.Minute))}).Claims(map[string]any{"aud": audience}).Serialize()
	if err != nil {
		return "", errors.New("the private key can't sign")
	}
	return s, nil
}

// fault is an error of Google's APIs.
type fault struct {
	Error struct {
		Status  string `json:"status"`
		Details []struct {
			Reason string `json:"reason"`
		} `json:"details"`
	} `json:"error"`
}

// Verify implements revokers.Verifier. An answer that the account lacks the
// right to read its key is one to a key that works.
func (v Key) Verify(ctx context.Context, t revokers.Target, endpoint string) (revokers.Answer, error) {
	a := revokers.Answer{Endpoint: endpoint, At: time.Now().UTC()}
	token, err := bearer(t, time.Now())
	if err != nil {
		a.Class, a.Reason, a.Detail = revokers.Other, revokers.Malformed, err.Error()
		return a, nil
	}
	resp, err := v.Doer.Do(ctx, at(t.Instance), issuer.Request{Method: http.MethodGet, Path: path(t), Header: http.Header{"Authorization": {"Bearer " + token}}, Reads: true})
	if err != nil {
		return interp.NoAnswer(ctx, endpoint, err)
	}
	a.Status, a.Detail = resp.Status, fmt.Sprintf("the IAM API answered %d", resp.Status)
	a.RetryAfter, _ = guard.RetryAfter(resp.Header, time.Now())
	a.Challenge = revokers.Schemes(resp.Header.Values("WWW-Authenticate"))
	var f fault
	var key struct {
		Name string `json:"name"`
	}
	_ = json.Unmarshal(resp.Body, &f)
	_ = json.Unmarshal(resp.Body, &key)
	switch {
	case guard.IsThrottle(resp):
		a.Class, a.Reason = revokers.Silent, revokers.Throttled
	case resp.Status == http.StatusRequestTimeout || resp.Status >= 500:
		a.Class, a.Reason = revokers.Silent, revokers.Unreachable
	case resp.Cut:
		a.Class, a.Reason = revokers.Other, revokers.Unexpected
	case resp.Status == http.StatusOK && strings.HasSuffix(key.Name, "/keys/"+t.Parts[partID].Reveal()),
		resp.Status == http.StatusForbidden && f.Error.Status == "PERMISSION_DENIED":
		a.Class, a.Reason = revokers.Accepts, revokers.Authenticated
		a.Identity = who(t.Parts[partEmail].Reveal())
	case resp.Status == http.StatusUnauthorized:
		a.Class, a.Reason = revokers.Refuses, revokers.Revoked
		a.Raw = revokers.NewRefusal(resp.Status, "", a.Challenge, resp.Body, []string{token, t.Parts[partEmail].Reveal(), t.Parts[partID].Reveal()})
	default:
		a.Class, a.Reason = revokers.Other, revokers.Unexpected
	}
	return a, nil
}

// who derives the identity from the account's e-mail address. Google accepted the key for that
// account, so that the address is not only a claim of the key file.
func who(email string) map[string]string {
	out := map[string]string{"email": email}
	_, domain, _ := strings.Cut(email, "@")
	if project, ok := strings.CutSuffix(domain, ".iam.gserviceaccount.com"); ok {
		out["project"] = project
	}
	return out
}

// Disable disables a key with a JWT that it signs itself.
type Disable struct{ Doer issuer.Doer }

// Batch implements revokers.Revoker.
func (Disable) Batch() int { return 1 }

// Plan implements revokers.Revoker.
func (Disable) Plan(_ context.Context, ts []revokers.Target) ([]revokers.Effect, error) {
	return []revokers.Effect{disable(ts[0])}, nil
}

func disable(t revokers.Target) revokers.Effect {
	return revokers.Effect{
		Name: "disable", Method: http.MethodPost, URL: at(t.Instance).Origin() + strings.TrimRight(at(t.Instance).URL.Path, "/") + "/v1/projects/-/serviceAccounts/{part.email}/keys/{part.key_id}:disable",
		Header: map[string]string{"Authorization": "Bearer JWT signed by {token}"}, Body: json.RawMessage("{}"), Elements: []string{t.Fingerprint},
	}
}

// Send implements revokers.Revoker.
func (v Disable) Send(ctx context.Context, ts []revokers.Target, e revokers.Effect, before func(revokers.Effect) error) (revokers.Receipt, error) {
	t := ts[0]
	token, err := bearer(t, time.Now())
	if err != nil {
		return revokers.Receipt{}, err
	}
	final := disable(t)
	final.Name = e.Name
	if err := before(final); err != nil {
		return revokers.Receipt{}, err
	}
	resp, err := v.Doer.Do(ctx, at(t.Instance), issuer.Request{Method: http.MethodPost, Path: path(t) + ":disable", Header: http.Header{"Authorization": {"Bearer " + token}}, Body: map[string]any{}})
	if err != nil {
		return revokers.Receipt{}, err
	}
	ack := revokers.Acknowledgement{Accepted: resp.Status == http.StatusOK, Status: resp.Status, At: time.Now().UTC()}
	if !ack.Accepted {
		ack.Detail = fmt.Sprintf("the IAM API answered %d", resp.Status)
		if resp.Status == http.StatusForbidden {
			ack.Detail += ": the account may not administer its own keys; admin of the [[instance]], an access token, can"
		}
	}
	return revokers.All(1, ack), nil
}
