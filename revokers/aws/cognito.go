package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/token"
)

// SignOutUser signs a user of a Cognito user pool out everywhere, by the operator's key.
//
// https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_AdminUserGlobalSignOut.html
type SignOutUser struct{ Doer issuer.Doer }

// Batch implements revokers.Revoker.
func (SignOutUser) Batch() int { return 1 }

const (
	signOutTarget = "AWSCognitoIdentityProviderService.AdminUserGlobalSignOut"
	signOutType   = "application/x-amz-json-1.1"
)

// poolIssuer is the issuer of a user pool's tokens: host, region and pool.
var poolIssuer = regexp.MustCompile(`^https://(cognito-idp\.([a-z]{2}(?:-[a-z]+)+-[0-9])\.amazonaws\.com(?:\.cn)?)/(([a-z]{2}(?:-[a-z]+)+-[0-9])_[A-Za-z0-9]{1,64})$`)

// pool is the user whom a token belongs to.
type pool struct{ region, id, user string }

// poolOf reads the pool from the token's issuer. The user is the one whom Cognito named for the
// live token: claims of a token that was not checked sign no one out.
func poolOf(t revokers.Target) (pool, error) {
	j, err := token.ParseJWT(t.Secret.Reveal())
	if err != nil {
		return pool{}, errors.New("the access token is not a JWT, so the user pool is not known")
	}
	m := poolIssuer.FindStringSubmatch(j.Issuer)
	switch {
	case m == nil || m[2] != m[4]:
		return pool{}, errors.New("the issuer of the access token is not a Cognito user pool")
	case strings.HasSuffix(t.Instance.URL.Hostname(), ".amazonaws.com") || strings.HasSuffix(t.Instance.URL.Hostname(), ".amazonaws.com.cn"):
		if t.Instance.URL.Hostname() != m[1] {
			return pool{}, fmt.Errorf("the access token was issued in %s, and the [[instance]] is %s", m[2], t.Instance.URL.Hostname())
		}
	}
	user := t.Captures["username"]
	if user == "" || len(user) > 128 {
		return pool{}, errors.New("the user pool did not name the user of the access token")
	}
	return pool{m[2], m[3], user}, nil
}

// Plan implements revokers.Revoker.
func (v SignOutUser) Plan(_ context.Context, ts []revokers.Target) ([]revokers.Effect, error) {
	p, err := poolOf(ts[0])
	if err != nil {
		return nil, err
	}
	e, _, err := v.effect(ts[0], p)
	return []revokers.Effect{e}, err
}

// effect shows the request, and returns its body.
func (SignOutUser) effect(t revokers.Target, p pool) (revokers.Effect, []byte, error) {
	body, err := json.Marshal(map[string]string{"UserPoolId": p.id, "Username": p.user})
	if err != nil {
		return revokers.Effect{}, nil, fmt.Errorf("sign the user out: %w", err)
	}
	return revokers.Effect{
		Name: "admin-user-global-sign-out", Method: http.MethodPost, URL: root(t.Instance).String(),
		Header: map[string]string{"Authorization": "AWS4-HMAC-SHA256 {admin}", "X-Amz-Target": signOutTarget}, Body: body, Elements: []string{t.Fingerprint},
	}, body, nil
}

func root(i *issuer.Instance) *url.URL {
	u := *i.URL
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/")+"/", ""
	return &u
}

// Send implements revokers.Revoker.
func (v SignOutUser) Send(ctx context.Context, ts []revokers.Target, _ revokers.Effect, before func(revokers.Effect) error) (revokers.Receipt, error) {
	t := ts[0]
	p, err := poolOf(t)
	if err != nil {
		return revokers.Receipt{}, err
	}
	k, ok := adminKeys(t.Instance.Admin)
	if !ok {
		return revokers.Receipt{}, errAdmin
	}
	final, body, err := v.effect(t, p)
	if err != nil {
		return revokers.Receipt{}, err
	}
	q := issuer.Request{Method: http.MethodPost, Path: "/", Header: http.Header{"X-Amz-Target": {signOutTarget}}, Body: issuer.Raw{Type: signOutType, Bytes: body}}
	if q, err = signed(ctx, t.Instance, k, "cognito-idp", p.region, q, time.Now()); err != nil {
		return revokers.Receipt{}, err
	}
	if err := before(final); err != nil {
		return revokers.Receipt{}, err
	}
	resp, err := v.Doer.Do(ctx, t.Instance, q)
	if err != nil {
		return revokers.Receipt{}, err
	}
	ack := revokers.Acknowledgement{Status: resp.Status, At: time.Now().UTC()}
	var doc map[string]any
	switch decoded := json.Unmarshal(resp.Body, &doc) == nil; {
	case resp.Status == http.StatusOK && decoded && doc["__type"] == nil:
		ack.Accepted = true
	default:
		ack.Detail = fmt.Sprintf("Cognito answered %d", resp.Status)
		if kind, _ := doc["__type"].(string); kind != "" {
			ack.Detail += ": " + short(kind[strings.LastIndexByte(kind, '#')+1:], k)
		}
	}
	return revokers.All(1, ack), nil
}
