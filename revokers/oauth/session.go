package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
)

// EndSession ends the sign-in session at the issuer that an ID token is of, by
// RP-initiated logout: https://openid.net/specs/openid-connect-rpinitiated-1_0.html.
// A service that verifies the ID token by its signature accepts it until it expires.
type EndSession struct{ Issuers *Issuers }

// Batch implements revokers.Revoker.
func (EndSession) Batch() int { return 1 }

// prepare finds the endpoint. The hint has to be an ID token of the operator's
// client: an issuer ends nothing, or somebody else's session, by any other.
func (v EndSession) prepare(ctx context.Context, t revokers.Target) (endpoint string, err error) {
	j, err := claims(t)
	if err != nil || strings.EqualFold(j.Type, "at+jwt") || j.Subject == "" {
		return "", errors.New("it is no ID token, and only an ID token names the session to end")
	}
	if !slices.Contains(j.Audience, t.Instance.ClientID) {
		return "", errors.New("it is no ID token of the client that the policy names (hint: client_id of the [[instance]])")
	}
	m, err := v.Issuers.discover(ctx, t.Instance)
	if err != nil {
		return "", fmt.Errorf("discovery: %w", err)
	}
	if m.EndSession == "" {
		return "", errors.New("the issuer's metadata name no end_session_endpoint of its own")
	}
	return m.EndSession, nil
}

func (EndSession) effect(t revokers.Target, endpoint string) revokers.Effect {
	body, _ := json.Marshal(map[string]string{"id_token_hint": "{token}", "client_id": "{client.id}"})
	return revokers.Effect{Name: "end-session", Method: http.MethodPost, URL: address(t.Instance, endpoint), Body: body, Elements: []string{t.Fingerprint}}
}

func address(i *issuer.Instance, path string) string {
	return i.Origin() + strings.TrimRight(i.URL.Path, "/") + path
}

// Plan implements revokers.Revoker.
func (v EndSession) Plan(ctx context.Context, ts []revokers.Target) ([]revokers.Effect, error) {
	endpoint, err := v.prepare(ctx, ts[0])
	if err != nil {
		return nil, err
	}
	return []revokers.Effect{v.effect(ts[0], endpoint)}, nil
}

// Send implements revokers.Revoker. The token is in the body, not in the address.
// An issuer that asks the user to confirm answers with a page as well: the answer
// proves nothing.
func (v EndSession) Send(ctx context.Context, ts []revokers.Target, _ revokers.Effect, before func(revokers.Effect) error) (revokers.Receipt, error) {
	t := ts[0]
	endpoint, err := v.prepare(ctx, t)
	if err != nil {
		return revokers.Receipt{}, err
	}
	if err := before(v.effect(t, endpoint)); err != nil {
		return revokers.Receipt{}, err
	}
	a, err := v.Issuers.Doer.Do(ctx, t.Instance, issuer.Request{Method: http.MethodPost, Path: endpoint, Header: http.Header{}, Body: logoutHint(t)})
	if err != nil {
		return revokers.Receipt{}, err
	}
	return revokers.All(1, answered(a, a.Status < 400)), nil
}

func answered(a issuer.Response, accepted bool) revokers.Acknowledgement {
	out := revokers.Acknowledgement{Status: a.Status, Accepted: accepted, At: time.Now().UTC()}
	if !accepted {
		out.Detail = fmt.Sprintf("the issuer answered %d", a.Status)
	}
	return out
}

// Global ends all sessions and refresh tokens of a user, if the issuer's
// metadata announce the endpoint:
// https://datatracker.ietf.org/doc/draft-parecki-oauth-global-token-revocation/.
type Global struct{ Issuers *Issuers }

// Batch implements revokers.Revoker.
func (Global) Batch() int { return 1 }

// prepare finds the endpoint and the user: the subject that the issuer named, never
// one that a token alone claims.
func (v Global) prepare(ctx context.Context, t revokers.Target) (endpoint string, subject map[string]string, err error) {
	sub := t.Captures["subject"]
	if sub == "" {
		return "", nil, errors.New("the issuer did not name the user that the token is of")
	}
	m, err := v.Issuers.discover(ctx, t.Instance)
	if err != nil {
		return "", nil, fmt.Errorf("discovery: %w", err)
	}
	if m.Global == "" {
		return "", nil, errors.New("the issuer's metadata name no global_token_revocation_endpoint of its own")
	}
	return m.Global, map[string]string{"format": "iss_sub", "iss": m.Issuer, "sub": sub}, nil
}

func (Global) effect(t revokers.Target, endpoint string, subject map[string]string) revokers.Effect {
	body, _ := json.Marshal(map[string]any{"sub_id": subject})
	return revokers.Effect{Name: "global", Method: http.MethodPost, URL: address(t.Instance, endpoint), Header: map[string]string{"Authorization": "Bearer {admin}"}, Body: body, Elements: []string{t.Fingerprint}}
}

// Plan implements revokers.Revoker.
func (v Global) Plan(ctx context.Context, ts []revokers.Target) ([]revokers.Effect, error) {
	endpoint, subject, err := v.prepare(ctx, ts[0])
	if err != nil {
		return nil, err
	}
	return []revokers.Effect{v.effect(ts[0], endpoint, subject)}, nil
}

// Send implements revokers.Revoker.
func (v Global) Send(ctx context.Context, ts []revokers.Target, _ revokers.Effect, before func(revokers.Effect) error) (revokers.Receipt, error) {
	t := ts[0]
	endpoint, subject, err := v.prepare(ctx, t)
	if err != nil {
		return revokers.Receipt{}, err
	}
	if err := before(v.effect(t, endpoint, subject)); err != nil {
		return revokers.Receipt{}, err
	}
	a, err := v.Issuers.Doer.Do(ctx, t.Instance, issuer.Request{Method: http.MethodPost, Path: endpoint, Header: byAdmin(t.Instance), Body: map[string]any{"sub_id": subject}})
	if err != nil {
		return revokers.Receipt{}, err
	}
	return revokers.All(1, answered(a, a.Status == http.StatusNoContent)), nil
}
