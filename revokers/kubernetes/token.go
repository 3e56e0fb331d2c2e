// Package kubernetes asks API servers about tokens of service accounts, and
// ends those that a Secret holds.
package kubernetes

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/interp"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/token"
)

// source is where the API server's messages about a token come from. It also sends
// them if it can't read the object that the token belongs to.
const source = "https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/serviceaccount/claims.go"

// ended are the server's words about a token whose signature is good and whose
// Secret, Pod, Node or account is gone.
var ended = []string{"oken has been invalidated", "oken does not match server's copy"}

// Endpoints of a token: the review by the operator's token, or by its own.
const (
	review     = "POST /apis/authentication.k8s.io/v1/tokenreviews"
	selfReview = "POST /apis/authentication.k8s.io/v1/selfsubjectreviews"
)

// Token asks about tokens of service accounts.
type Token struct{ Doer issuer.Doer }

// Endpoints implements revokers.Verifier.
func (Token) Endpoints(t revokers.Target) []string {
	if t.Instance.Admin.IsZero() {
		return []string{selfReview}
	}
	return []string{review}
}

// user is the identity that a review reports.
type user struct {
	Username string `json:"username"`
	UID      string `json:"uid"`
}

// Verify implements revokers.Verifier. Both requests store nothing.
func (v Token) Verify(ctx context.Context, t revokers.Target, endpoint string) (revokers.Answer, error) {
	secret := t.Secret.Reveal()
	body, bearer := map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}, secret
	if endpoint == review {
		body["kind"], body["spec"], bearer = "TokenReview", map[string]any{"token": secret}, t.Instance.Admin.Reveal()
	}
	_, path, _ := strings.Cut(endpoint, " ")
	resp, err := v.Doer.Do(ctx, t.Instance, issuer.Request{Method: http.MethodPost, Path: path, Header: header(bearer), Body: body, Reads: true})
	if err != nil {
		return interp.NoAnswer(ctx, endpoint, err)
	}
	a := revokers.Answer{Endpoint: endpoint, Status: resp.Status, Detail: fmt.Sprintf("the API server answered %d", resp.Status), At: time.Now().UTC()}
	a.RetryAfter, _ = guard.RetryAfter(resp.Header, time.Now())
	a.Challenge = revokers.Schemes(resp.Header.Values("WWW-Authenticate"))
	var r struct {
		Kind   string          `json:"kind"`
		Status json.RawMessage `json:"status"`
	}
	parsed := json.Unmarshal(resp.Body, &r) == nil
	switch {
	case guard.IsThrottle(resp):
		a.Class, a.Reason = revokers.Silent, revokers.Throttled
	case resp.Status == http.StatusRequestTimeout || resp.Status >= 500:
		a.Class, a.Reason = revokers.Silent, revokers.Unreachable
	case resp.Cut || !parsed:
		a.Class, a.Reason = revokers.Other, revokers.Unexpected
	case endpoint == selfReview:
		self(&a, r.Kind, r.Status, resp, secret)
	case resp.Status == http.StatusUnauthorized || resp.Status == http.StatusForbidden:
		a.Class, a.Reason, a.Detail = revokers.Other, revokers.Restricted, "the operator's token may not create tokenreviews"
	case resp.Status == http.StatusCreated && r.Kind == "TokenReview":
		reviewed(&a, r.Status, secret)
	default:
		a.Class, a.Reason = revokers.Other, revokers.Unexpected
	}
	return a, nil
}

func header(bearer string) http.Header {
	return http.Header{"Authorization": {"Bearer " + bearer}, "Accept": {"application/json"}}
}

// self reads the answer to a token's review of itself.
func self(a *revokers.Answer, kind string, status json.RawMessage, resp issuer.Response, secret string) {
	var s struct {
		User user `json:"userInfo"`
	}
	switch {
	case resp.Status == http.StatusCreated && kind == "SelfSubjectReview" && json.Unmarshal(status, &s) == nil && strings.HasPrefix(s.User.Username, "system:serviceaccount:"):
		accepts(a, s.User, secret)
	case resp.Status == http.StatusUnauthorized:
		a.Class, a.Reason = revokers.Refuses, revokers.Revoked
		a.Raw = revokers.NewRefusal(resp.Status, "", a.Challenge, resp.Body, []string{secret})
	case resp.Status == http.StatusForbidden:
		a.Class, a.Reason = revokers.Other, revokers.Restricted
	default:
		a.Class, a.Reason = revokers.Other, revokers.Unexpected // servers before 1.28 have no such review
	}
}

// reviewed reads the status of a TokenReview.
func reviewed(a *revokers.Answer, status json.RawMessage, secret string) {
	var s struct {
		Authenticated bool   `json:"authenticated"`
		Error         string `json:"error"`
		User          user   `json:"user"`
	}
	switch err := json.Unmarshal(status, &s); {
	case err != nil:
		a.Class, a.Reason = revokers.Other, revokers.Unexpected
	case s.Authenticated && s.Error == "" && s.User.Username != "":
		accepts(a, s.User, secret)
	case s.Authenticated || s.Error == "":
		// Without an error it is the token of another cluster.
		a.Class, a.Reason, a.Detail = revokers.Other, revokers.Unexpected, "the API server does not know who issued it"
	default:
		a.Class, a.Reason, a.Detail = revokers.Refuses, revokers.Revoked, "the API server does not authenticate it"
		a.Raw = revokers.NewRefusal(a.Status, "", "", []byte(s.Error), []string{secret})
		if slices.ContainsFunc(ended, func(w string) bool { return strings.Contains(s.Error, w) }) {
			a.Documented, a.Also, a.Detail = source, revokers.AlsoAsker, "the API server reports that it has been invalidated"
		}
	}
}

func accepts(a *revokers.Answer, u user, secret string) {
	a.Class, a.Reason, a.Detail = revokers.Accepts, revokers.Authenticated, "the API server names its account"
	clean := func(s string) string {
		s = strings.ReplaceAll(s, secret, "…")
		return s[:min(len(s), 256)]
	}
	a.Identity = map[string]string{"uid": clean(u.UID), "user": clean(u.Username)}
}

// DeleteSecret ends a token that a Secret holds by deleting that Secret, if it
// still holds this very token.
type DeleteSecret struct{ Doer issuer.Doer }

// Batch implements revokers.Revoker.
func (DeleteSecret) Batch() int { return 1 }

// place is the path of the Secret that the token's claims name.
func place(t revokers.Target) (string, error) {
	j, err := token.ParseJWT(t.Secret.Reveal())
	if err != nil {
		return "", errors.New("the token is cut or altered")
	}
	namespace, _ := j.Claims["kubernetes.io/serviceaccount/namespace"].(string)
	name, _ := j.Claims["kubernetes.io/serviceaccount/secret.name"].(string)
	if namespace == "" || name == "" {
		return "", errors.New("the token names no Secret that holds it")
	}
	return "/api/v1/namespaces/" + url.PathEscape(namespace) + "/secrets/" + url.PathEscape(name), nil
}

// Plan implements revokers.Revoker.
func (DeleteSecret) Plan(_ context.Context, ts []revokers.Target) ([]revokers.Effect, error) {
	path, err := place(ts[0])
	if err != nil {
		return nil, err
	}
	return []revokers.Effect{effect(ts[0], path)}, nil
}

func effect(t revokers.Target, path string) revokers.Effect {
	return revokers.Effect{
		Name: "delete-secret", Method: http.MethodDelete, URL: t.Instance.Origin() + strings.TrimRight(t.Instance.URL.Path, "/") + path,
		Header: map[string]string{"Authorization": "Bearer {admin}"}, Body: json.RawMessage(`{"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"uid":"{uid}"}}`), Elements: []string{t.Fingerprint},
	}
}

// Send implements revokers.Revoker. The precondition keeps a Secret that was
// made under the same name since.
func (v DeleteSecret) Send(ctx context.Context, ts []revokers.Target, e revokers.Effect, before func(revokers.Effect) error) (revokers.Receipt, error) {
	t := ts[0]
	refused := func(status int, detail string) (revokers.Receipt, error) {
		return revokers.All(1, revokers.Acknowledgement{Status: status, Detail: detail, At: time.Now().UTC()}), nil
	}
	path, err := place(t)
	if err != nil {
		return revokers.Receipt{}, err
	}
	h := header(t.Instance.Admin.Reveal())
	resp, err := v.Doer.Do(ctx, t.Instance, issuer.Request{Method: http.MethodGet, Path: path, Header: h, Reads: true})
	if err != nil {
		return revokers.Receipt{}, err
	}
	var s struct {
		Metadata struct {
			UID string `json:"uid"`
		} `json:"metadata"`
		Data struct {
			Token []byte `json:"token"`
		} `json:"data"`
	}
	switch {
	case resp.Status == http.StatusForbidden || resp.Status == http.StatusUnauthorized:
		return refused(resp.Status, "the operator's token may not get and delete this Secret")
	case resp.Status != http.StatusOK || json.Unmarshal(resp.Body, &s) != nil || s.Metadata.UID == "":
		return refused(resp.Status, fmt.Sprintf("reading the Secret: the API server answered %d", resp.Status))
	case subtle.ConstantTimeCompare(s.Data.Token, []byte(t.Secret.Reveal())) != 1:
		return refused(resp.Status, "the Secret of that name holds another token")
	}
	final := effect(t, path)
	final.Name, final.Late = e.Name, map[string]string{"uid": s.Metadata.UID}
	if err := before(final); err != nil {
		return revokers.Receipt{}, err
	}
	body := map[string]any{"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": map[string]any{"uid": s.Metadata.UID}}
	resp, err = v.Doer.Do(ctx, t.Instance, issuer.Request{Method: http.MethodDelete, Path: path, Header: h, Body: body})
	if err != nil {
		return revokers.Receipt{}, err
	}
	ack := revokers.Acknowledgement{Accepted: resp.Status == http.StatusOK || resp.Status == http.StatusAccepted, Status: resp.Status, At: time.Now().UTC()}
	if !ack.Accepted {
		ack.Detail = fmt.Sprintf("the API server answered %d", resp.Status)
	}
	return revokers.All(1, ack), nil
}
