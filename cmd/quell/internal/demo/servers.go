// Package demo sets up something to find: an OpenID provider and a web
// application on loopback, with live sessions that leak into a CI log, a git
// history and a container image.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

// The clients and the user of zitadel/oidc's example storage.
const (
	client       = "web"
	clientSecret = "secret"
	callback     = "http://127.0.0.1:1/callback" // never listened on: the redirect is read, not followed
	username     = "test-user@localhost"
	password     = "verysecure"
)

func serve(ctx context.Context, h func(origin string) http.Handler) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("demo: %w", err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	origin := "http://localhost:" + port
	s := &http.Server{Handler: h(origin), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.Serve(l) }()
	context.AfterFunc(ctx, func() { _ = s.Close() })
	return origin, nil
}

// provider starts an OpenID provider and returns its issuer.
func provider(ctx context.Context) (string, error) {
	origin, err := serve(ctx, func(origin string) http.Handler {
		issuer := origin + "/"
		storage.RegisterClients(storage.WebClient(client, clientSecret, callback))
		st := storage.NewStorage(storage.NewUserStore(issuer))
		return exampleop.SetupServer(issuer, st, slog.New(slog.NewTextHandler(io.Discard, nil)), false)
	})
	return origin + "/", err
}

// grant is the result of a sign-in at the provider.
type grant struct {
	Access string `json:"access_token"`
}

var formID = regexp.MustCompile(`name="id" value="([^"]+)"`)

// signIn goes through the authorization code flow as a browser does.
func signIn(ctx context.Context, issuer string) (grant, error) {
	var g grant
	jar, err := cookiejar.New(nil)
	if err != nil {
		return g, err
	}
	c := &http.Client{Jar: jar, Timeout: 10 * time.Second, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), callback) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	do := func(method, u string, form url.Values, basic bool) (*http.Response, []byte, error) {
		r, err := http.NewRequestWithContext(ctx, method, u, strings.NewReader(form.Encode()))
		if err != nil {
			return nil, nil, err
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if basic {
			r.SetBasicAuth(client, clientSecret)
		}
		resp, err := c.Do(r)
		if err != nil {
			return nil, nil, err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		return resp, b, err
	}
	_, doc, err := do(http.MethodGet, issuer+".well-known/openid-configuration", nil, false)
	if err != nil {
		return g, fmt.Errorf("demo: sign in: %w", err)
	}
	var meta struct {
		Authorize string `json:"authorization_endpoint"`
		Token     string `json:"token_endpoint"`
	}
	if err := json.Unmarshal(doc, &meta); err != nil {
		return g, errors.New("demo: sign in: the provider has no metadata")
	}
	_, page, err := do(http.MethodGet, meta.Authorize+"?"+url.Values{"client_id": {client}, "response_type": {"code"}, "scope": {"openid"}, "redirect_uri": {callback}, "state": {"s"}}.Encode(), nil, false)
	if err != nil {
		return g, fmt.Errorf("demo: sign in: %w", err)
	}
	id := formID.FindSubmatch(page)
	if id == nil {
		return g, errors.New("demo: sign in: the provider shows no form")
	}
	resp, _, err := do(http.MethodPost, issuer+"login/username", url.Values{"id": {string(id[1])}, "username": {username}, "password": {password}}, false)
	if err != nil {
		return g, fmt.Errorf("demo: sign in: %w", err)
	}
	to, err := resp.Location()
	if err != nil {
		return g, fmt.Errorf("demo: sign in: the provider answered %d", resp.StatusCode)
	}
	_, body, err := do(http.MethodPost, meta.Token, url.Values{"grant_type": {"authorization_code"}, "code": {to.Query().Get("code")}, "redirect_uri": {callback}}, true)
	if err != nil {
		return g, fmt.Errorf("demo: sign in: %w", err)
	}
	if err := json.Unmarshal(body, &g); err != nil || g.Access == "" {
		return g, errors.New("demo: sign in: the provider gave no token")
	}
	return g, nil
}

// app starts a web application with server-side sessions (alexedwards/scs).
func app(ctx context.Context) (string, error) {
	sm := scs.New()
	sm.Lifetime = time.Hour
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		if err := sm.RenewToken(r.Context()); err != nil {
			http.Error(w, "no", http.StatusInternalServerError)
			return
		}
		sm.Put(r.Context(), "user", r.FormValue("user"))
	})
	mux.HandleFunc("GET /account", func(w http.ResponseWriter, r *http.Request) {
		user := sm.GetString(r.Context(), "user")
		if user == "" {
			http.Redirect(w, r, "/login", http.StatusFound)
			return
		}
		fmt.Fprintf(w, "signed in as %q\n", user)
	})
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		if err := sm.Destroy(r.Context()); err != nil {
			http.Error(w, "no", http.StatusInternalServerError)
		}
	})
	return serve(ctx, func(string) http.Handler { return sm.LoadAndSave(mux) })
}

// session signs a user in and returns the cookie's value.
func session(ctx context.Context, origin, user string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, origin+"/login", strings.NewReader(url.Values{"user": {user}}.Encode()))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", fmt.Errorf("demo: %w", err)
	}
	defer resp.Body.Close()
	for _, c := range resp.Cookies() {
		if c.Name == "session" {
			return c.Value, nil
		}
	}
	return "", errors.New("demo: the application set no session cookie")
}
