package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/interp"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/token"
)

// JWT checks a token that carries its own proof. Nothing is sent but a request
// for the issuer's keys.
type JWT struct{ Issuers *Issuers }

var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}

// Endpoints implements revokers.Verifier.
func (JWT) Endpoints(revokers.Target) []string { return []string{jwks} }

// Verify implements revokers.Verifier: the signature against the issuer's
// keys. Services that verify the token that way accept it until it expires. A
// key that is missing proves nothing: a key set can be incomplete for a while.
func (v JWT) Verify(ctx context.Context, t revokers.Target, endpoint string) (revokers.Answer, error) {
	a := revokers.Answer{Endpoint: endpoint, Class: revokers.Other, At: time.Now().UTC()}
	secret := t.Secret.Reveal()
	j, err := token.ParseJWT(secret)
	if err != nil {
		a.Reason, a.Detail = revokers.Malformed, "it is no JWT"
		return a, nil
	}
	m, err := v.Issuers.discover(ctx, t.Instance)
	if err != nil {
		return interp.NoAnswer(ctx, endpoint, fmt.Errorf("discovery: %w", err))
	}
	if m.JWKS == "" {
		return interp.NoAnswer(ctx, endpoint, errors.New("the issuer names no key set"))
	}
	resp, err := v.Issuers.Doer.Do(ctx, t.Instance, issuer.Request{Method: http.MethodGet, Path: m.JWKS, Reads: true})
	if err != nil {
		return interp.NoAnswer(ctx, endpoint, fmt.Errorf("the issuer's keys: %w", err))
	}
	if silent(&a, resp) {
		return a, nil
	}
	var keys jose.JSONWebKeySet
	if resp.Status != http.StatusOK || json.Unmarshal(resp.Body, &keys) != nil {
		a.Reason, a.Detail = revokers.Unexpected, "the issuer's keys can't be read"
		return a, nil
	}
	p, err := jwt.ParseSigned(secret, algorithms)
	if err != nil {
		a.Reason, a.Detail = revokers.Unsupported, fmt.Sprintf("signed by %s, which the issuer's public keys can't prove", j.Algorithm)
		return a, nil
	}
	known := false
	for _, k := range keys.Keys {
		if j.KeyID != "" && k.KeyID != j.KeyID {
			continue
		}
		known = true
		if p.Claims(k.Key, &map[string]any{}) != nil {
			continue
		}
		if !j.Expires.IsZero() && time.Now().After(j.Expires) {
			a.Reason, a.Detail, a.Expires = revokers.Unexpected, "signed by the issuer, and expired within the leeway of clocks", &j.Expires
			return a, nil
		}
		a.Class, a.Reason, a.Detail = revokers.Accepts, revokers.Authenticated, fmt.Sprintf("signed by the issuer's key %q and not expired", j.KeyID)
		a.Identity = identity(t, map[string]string{"issuer": j.Issuer, "subject": j.Subject, "client": j.ClientID, "scopes": j.Scope, "audience": strings.Join(j.Audience, ",")})
		a.Captures = a.Identity
		if !j.Expires.IsZero() {
			a.Expires = &j.Expires
		}
		return a, nil
	}
	if !known {
		a.Reason, a.Detail = revokers.Unexpected, "the issuer's key set has no key with the token's id"
		return a, nil
	}
	a.Class, a.Reason, a.Detail = revokers.Refuses, "", "no key of the issuer made the signature"
	a.Raw = revokers.NewRefusal(0, "", "", []byte("signature"), nil)
	return a, nil
}
