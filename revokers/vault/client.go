// Package vault acts on HashiCorp Vault: it looks up and ends tokens, and
// rotates what Vault manages.
package vault

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
)

// client makes a Vault client that holds one token and shares nothing: the
// library's SetToken on a shared client would race, and its RevokeSelf ignores
// its argument and ends the token that the client holds.
func client(d issuer.Doer, i *issuer.Instance, token credential.Secret) (*api.Client, error) {
	// A Config of our own instead of DefaultConfig, which reads VAULT_ADDR,
	// VAULT_TOKEN and proxies from the environment.
	cfg := &api.Config{
		Address:          i.URL.String(),
		HttpClient:       &http.Client{Transport: only{issuer.Transport(d, i), i.Settings["namespace"]}, Timeout: time.Minute},
		MaxRetries:       0,
		DisableRedirects: true,
	}
	c, err := api.NewClient(cfg)
	if err != nil {
		return nil, errors.New("the Vault client can't be set up: a VAULT_ variable of the environment is malformed")
	}
	c.ClearNamespace()
	if ns := i.Settings["namespace"]; ns != "" {
		c.SetNamespace(ns)
	}
	c.SetWrappingLookupFunc(func(string, string) string { return "" })
	c.SetToken(token.Reveal())
	return c, nil
}

// only drops the headers that the library takes from the environment.
type only struct {
	next      http.RoundTripper
	namespace string
}

func (o only) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for k := range r.Header {
		keep := slices.Contains([]string{"X-Vault-Token", "X-Vault-Request", "Content-Type", "Accept"}, k) || k == "X-Vault-Namespace" && o.namespace != ""
		if !keep {
			delete(r.Header, k)
		}
	}
	return o.next.RoundTrip(r)
}

// phrases are Vault's own messages that explain a failure. Nothing else of a
// response is repeated: a server or a proxy may echo the request.
var phrases = []string{
	"permission denied", "invalid token", "bad token", "check-and-set parameter did not match", "no handler for route", "unsupported path", "unsupported operation",
	"unknown role", "no such role", "namespace not authorized", "Vault is sealed", "rate limit quota exceeded", "standby",
}

// message returns those known phrases that the messages of an error contain.
func message(r *api.ResponseError) string {
	all := strings.Join(r.Errors, "; ")
	out := []string{fmt.Sprintf("Vault answered %d", r.StatusCode)}
	for _, p := range phrases {
		if strings.Contains(all, p) {
			out = append(out, p)
		}
	}
	return strings.Join(out, ": ")
}

// notKnown marks that Vault does not know an accessor or a lease.
type notKnown struct{ error }

func (e *notKnown) Unwrap() error { return e.error }

// unknown reports whether Vault answered that it does not know what was asked about.
func unknown(r *api.ResponseError) bool {
	all := strings.Join(r.Errors, "; ")
	for _, p := range []string{"invalid accessor", "invalid lease", "failed to find accessor entry", "lease not found"} {
		if strings.Contains(all, p) {
			return true
		}
	}
	return false
}

// reason keeps Vault's known phrases and drops the request.
func reason(op string, err error) error {
	var r *api.ResponseError
	switch {
	case err == nil:
		return fmt.Errorf("%s: Vault answered without data: there is no such path, or a proxy answered", op)
	case errors.Is(err, api.ErrSecretNotFound):
		return fmt.Errorf("%s: Vault has no such secret", op)
	case errors.As(err, &r) && unknown(r):
		return &notKnown{fmt.Errorf("%s: Vault does not know it (%w)", op, revokers.ErrRefused)}
	case errors.As(err, &r) && r.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%s: permission denied (%w) (hint: quell vault policy prints what quell needs)", op, revokers.ErrRefused)
	case errors.As(err, &r) && r.StatusCode >= 400 && r.StatusCode < 500 && r.StatusCode != 472 && r.StatusCode != 473:
		return fmt.Errorf("%s: %s (%w)", op, message(r), revokers.ErrRefused)
	case errors.As(err, &r):
		return fmt.Errorf("%s: %s", op, message(r))
	}
	return fmt.Errorf("%s: no answer from Vault", op)
}

// withStatus stores the status of the next answer.
func withStatus(c *api.Client, status *int) *api.Client {
	return c.WithResponseCallbacks(func(r *api.Response) { *status = r.StatusCode })
}

func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	case []any:
		out := make([]string, len(v))
		for i, e := range v {
			out[i] = text(e)
		}
		return strings.Join(out, ",")
	}
	return fmt.Sprint(v)
}
