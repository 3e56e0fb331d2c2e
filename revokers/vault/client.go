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

// reason keeps Vault's own words, which contain no secret, and drops the
// request.
func reason(op string, err error) error {
	var r *api.ResponseError
	switch {
	case err == nil:
		return fmt.Errorf("%s: Vault has no such path", op)
	case errors.Is(err, api.ErrSecretNotFound):
		return fmt.Errorf("%s: Vault has no such secret", op)
	case errors.As(err, &r) && r.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%s: permission denied (%w)", op, revokers.ErrRefused)
	case errors.As(err, &r) && r.StatusCode >= 400 && r.StatusCode < 500:
		return fmt.Errorf("%s: Vault answered %d: %s (%w)", op, r.StatusCode, strings.Join(r.Errors, "; "), revokers.ErrRefused)
	case errors.As(err, &r):
		return fmt.Errorf("%s: Vault answered %d: %s", op, r.StatusCode, strings.Join(r.Errors, "; "))
	}
	return fmt.Errorf("%s: no answer from Vault", op)
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
