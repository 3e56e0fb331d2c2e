package github

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/go-github/v88/github"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners/ci"
)

// App signs in as an installation of a GitHub App. Its tokens have read permissions alone,
// and live for an hour: a new one is made before the last one expires.
type App struct {
	ID  string
	Key *rsa.PrivateKey
	// Installation is its number; 0: that of Owner, or of Owner/Repo.
	Installation int64
	Owner        string
	// Permissions are what is asked for, all "read".
	Permissions []string
	// Write are permissions to change something, which only a deletion needs.
	Write []string
	// Minted gets each token that is made; may be nil.
	Minted func(rules.Secret)

	mu      sync.Mutex
	token   string
	expires time.Time
}

// jwt is the App's own credential (docs.github.com: "Generating a JSON Web Token for a GitHub
// App"): ten minutes at most, issued a minute ago because of clocks.
func (a *App) jwt(now time.Time) (string, error) {
	enc := base64.RawURLEncoding
	claims, err := json.Marshal(map[string]any{"iat": now.Add(-time.Minute).Unix(), "exp": now.Add(9 * time.Minute).Unix(), "iss": a.ID})
	if err != nil {
		return "", err
	}
	text := enc.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + enc.EncodeToString(claims)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, a.Key, crypto.SHA256, sum[:])
	if err != nil {
		return "", err
	}
	return text + "." + enc.EncodeToString(sig), nil
}

// Authorize gives a function for ci.Client.Auth and one for ci.Client.Renew. c is a client of
// the same address, for the App's own requests.
func (a *App) Authorize(c *ci.Client) (auth func(context.Context, http.Header) error, renew func(context.Context) bool) {
	c.Auth = func(_ context.Context, h http.Header) error {
		t, err := a.jwt(time.Now())
		h.Set("Authorization", "Bearer "+t)
		return err
	}
	auth = func(ctx context.Context, h http.Header) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.token == "" || time.Until(a.expires) < 5*time.Minute {
			if err := a.mint(ctx, c); err != nil {
				return err
			}
		}
		h.Set("Authorization", "Bearer "+a.token)
		return nil
	}
	return auth, func(context.Context) bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		had := a.token != ""
		a.token = ""
		return had
	}
}

// mint makes an installation token.
func (a *App) mint(ctx context.Context, c *ci.Client) error {
	base := c.Base.String()
	api, err := github.NewClient(github.WithHTTPClient(&http.Client{Transport: c}), github.WithURLs(&base, &base), github.WithUserAgent("quell"), github.WithDisableRateLimitCheck())
	if err != nil {
		return err
	}
	if a.Installation == 0 {
		if a.Installation, err = a.find(ctx, api); err != nil {
			return fmt.Errorf("the App's installation for %s: %w (hint: GITHUB_APP_INSTALLATION_ID names it)", a.Owner, explain(err))
		}
	}
	read := map[string]string{}
	for _, p := range a.Permissions {
		read[p] = "read"
	}
	for _, p := range a.Write {
		read[p] = "write"
	}
	// The library's type leaves out permissions that are newer than it.
	req, err := api.NewRequest(ctx, http.MethodPost, "app/installations/"+strconv.FormatInt(a.Installation, 10)+"/access_tokens", map[string]any{"permissions": read})
	if err != nil {
		return err
	}
	var t github.InstallationToken
	if _, err := api.Do(req, &t); err != nil {
		return fmt.Errorf("a token of the App's installation: %w", explain(err))
	}
	a.token, a.expires = t.GetToken(), t.GetExpiresAt().Time
	if a.token == "" {
		return errors.New("a token of the App's installation: the answer has none")
	}
	if a.Minted != nil {
		a.Minted(rules.NewSecretString(a.token))
	}
	return nil
}

func (a *App) find(ctx context.Context, api *github.Client) (int64, error) {
	owner, name, one := strings.Cut(a.Owner, "/")
	if one {
		i, _, err := api.Apps.GetRepositoryInstallation(ctx, owner, name)
		return i.GetID(), err
	}
	i, _, err := api.Apps.GetOrganizationInstallation(ctx, owner)
	if ci.Is404(explain(err)) {
		i, _, err = api.Apps.GetUserInstallation(ctx, owner)
	}
	return i.GetID(), err
}
