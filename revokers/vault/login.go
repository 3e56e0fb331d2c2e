package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
)

// Session is quell's own login at a Vault. The token is renewed until End, which
// revokes it.
type Session struct {
	Token credential.Secret

	doer     issuer.Doer
	instance *issuer.Instance
	watcher  *api.LifetimeWatcher
	ended    chan struct{}
}

// Login signs in by the instance's login. getenv supplies what GitHub Actions
// gives to jobs that may ask for a token.
func Login(ctx context.Context, d issuer.Doer, i *issuer.Instance, getenv func(string) string) (*Session, error) {
	l := i.Login
	if l == nil {
		return nil, errors.New("the instance has no login")
	}
	c, err := client(d, i, credential.Secret{})
	if err != nil {
		return nil, err
	}
	path, data, err := request(ctx, d, i, c, getenv)
	if err != nil {
		return nil, err
	}
	s, err := c.Logical().WriteWithContext(ctx, path, data)
	if err != nil || s == nil {
		return nil, reason("login by "+l.Method, err)
	}
	if s.Auth == nil || s.Auth.ClientToken == "" {
		return nil, fmt.Errorf("login by %s: Vault answered without a token (hint: multi-factor logins are not supported)", l.Method)
	}
	out := &Session{Token: credential.NewSecretString(s.Auth.ClientToken), doer: d, instance: i}
	if s.Auth.Renewable && s.Auth.LeaseDuration > 0 {
		out.renew(s)
	}
	return out, nil
}

// renew keeps the token alive at two thirds of its time to live. The library's
// watcher needs a client of its own: it holds the token.
func (s *Session) renew(secret *api.Secret) {
	c, err := client(s.doer, s.instance, s.Token)
	if err != nil {
		return
	}
	w, err := c.NewLifetimeWatcher(&api.LifetimeWatcherInput{Secret: secret, RenewBehavior: api.RenewBehaviorIgnoreErrors})
	if err != nil {
		return
	}
	s.watcher, s.ended = w, make(chan struct{})
	go w.Start()
	go func() {
		for {
			select {
			case <-s.ended:
				return
			case <-w.DoneCh():
				return
			case <-w.RenewCh():
			}
		}
	}()
}

// End revokes the token of the login. Tokens that the operator gave are not
// sessions of quell's and are never ended here.
func (s *Session) End(ctx context.Context) error {
	if s.watcher != nil {
		s.watcher.Stop()
		close(s.ended)
		s.watcher = nil
	}
	// The client holds the token that is to end and no other: the library ignores
	// RevokeSelf's argument.
	c, err := client(s.doer, s.instance, s.Token)
	if err != nil {
		return err
	}
	if err := c.Auth().Token().RevokeSelfWithContext(ctx, ""); err != nil {
		return reason("end quell's own login", err)
	}
	return nil
}

// request returns the path and the body of a login.
func request(ctx context.Context, d issuer.Doer, i *issuer.Instance, c *api.Client, getenv func(string) string) (path string, data map[string]any, err error) {
	l := i.Login
	mount := strings.Trim(l.Mount, "/")
	if mount == "" {
		mount = l.Method
	}
	path = "auth/" + mount + "/login"
	switch l.Method {
	case issuer.LoginAppRole:
		secret := l.SecretID
		if l.Wrapped {
			if secret, err = unwrap(ctx, c, secret); err != nil {
				return "", nil, err
			}
		}
		data = map[string]any{"role_id": l.RoleID}
		if !secret.IsZero() {
			data["secret_id"] = secret.Reveal()
		}
	case issuer.LoginKubernetes, issuer.LoginJWT:
		jwt := l.JWT
		if l.GitHubAudience != "" {
			if jwt, err = actionsToken(ctx, d, l.GitHubAudience, getenv); err != nil {
				return "", nil, err
			}
		}
		if jwt.IsZero() {
			return "", nil, fmt.Errorf("login by %s: no JWT is configured", l.Method)
		}
		data = map[string]any{"role": l.Role, "jwt": strings.TrimSpace(jwt.Reveal())}
	case issuer.LoginCert:
		if i.Network.ClientCert == nil {
			return "", nil, errors.New("login by cert: the instance has no client_cert")
		}
		data = map[string]any{}
		if l.Role != "" {
			data["name"] = l.Role
		}
	case issuer.LoginAWS:
		data, err = awsLogin(ctx, l, getenv)
		if err != nil {
			return "", nil, err
		}
	default:
		return "", nil, fmt.Errorf("login by %s is not supported", l.Method)
	}
	return path, data, nil
}

// unwrap exchanges a wrapping token for the secret id in it. A wrapping token
// works once: if it was used before, somebody else has the secret id.
func unwrap(ctx context.Context, c *api.Client, wrapping credential.Secret) (credential.Secret, error) {
	s, err := c.Logical().UnwrapWithContext(ctx, wrapping.Reveal())
	c.ClearToken()
	if err != nil || s == nil {
		return credential.Secret{}, fmt.Errorf("%w (hint: a wrapping token works once; if quell did not use it, someone else did)", reason("unwrap the secret id", err))
	}
	id := text(s.Data["secret_id"])
	if id == "" {
		return credential.Secret{}, errors.New("unwrap the secret id: the wrapped response has none")
	}
	return credential.NewSecretString(id), nil
}

// actionsToken asks GitHub Actions for the job's token, which the job may do if its
// permissions contain id-token: write.
// https://docs.github.com/en/actions/reference/security/oidc
func actionsToken(ctx context.Context, d issuer.Doer, audience string, getenv func(string) string) (credential.Secret, error) {
	at, bearer := getenv("ACTIONS_ID_TOKEN_REQUEST_URL"), getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
	u, err := url.Parse(at)
	if at == "" || bearer == "" || err != nil {
		return credential.Secret{}, errors.New("login by jwt: this is no job of GitHub Actions that may ask for a token (hint: permissions: id-token: write)")
	}
	in := &issuer.Instance{Provider: "github", URL: &url.URL{Scheme: u.Scheme, Host: u.Host}, Operator: true, Settings: map[string]string{}}
	q := u.Query()
	q.Set("audience", audience)
	a, err := d.Do(ctx, in, issuer.Request{Method: http.MethodGet, Path: u.EscapedPath(), Query: q, Header: http.Header{"Authorization": {"Bearer " + bearer}}, Reads: true})
	if err != nil {
		return credential.Secret{}, fmt.Errorf("login by jwt: GitHub Actions gave no token: %w", err)
	}
	var doc struct{ Value string }
	if a.Status != http.StatusOK || json.Unmarshal(a.Body, &doc) != nil || doc.Value == "" {
		return credential.Secret{}, fmt.Errorf("login by jwt: GitHub Actions answered %d without a token", a.Status)
	}
	return credential.NewSecretString(doc.Value), nil
}
