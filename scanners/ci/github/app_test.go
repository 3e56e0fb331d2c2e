package github_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners/ci"
	"github.com/quellhq/quell/scanners/ci/github"
)

// appServer is a GitHub that knows one App by its public key, and its installation 42 for the
// owner o. An installation token lives as long as life.
type appServer struct {
	*httptest.Server
	t    *testing.T
	key  *rsa.PublicKey
	life time.Duration

	mu     sync.Mutex
	minted []map[string]string // the permissions of each token
	live   map[string]bool
}

// jwt reports what is wrong with a JWT of the App, by GitHub's documentation: RS256, the App's id
// as issuer, issued in the past, and valid for ten minutes at most.
func (s *appServer) jwt(text string) error {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return fmt.Errorf("%d parts", len(parts))
	}
	var head struct{ Alg, Typ string }
	var claims struct {
		Iss      string
		Iat, Exp int64
	}
	for i, v := range []any{&head, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err == nil {
			err = json.Unmarshal(b, v)
		}
		if err != nil {
			return err
		}
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err == nil {
		err = rsa.VerifyPKCS1v15(s.key, crypto.SHA256, sum[:], sig)
	}
	now := time.Now().Unix()
	switch {
	case err != nil:
		return err
	case head.Alg != "RS256" || claims.Iss != "7":
		return fmt.Errorf("%+v %+v", head, claims)
	case claims.Iat > now || claims.Exp <= now || claims.Exp-claims.Iat > 600:
		return fmt.Errorf("issued at %d until %d, now %d", claims.Iat, claims.Exp, now)
	}
	return nil
}

func (s *appServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reply := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if strings.HasPrefix(r.URL.Path, "/app/") || strings.HasSuffix(r.URL.Path, "/installation") {
		if err := s.jwt(token); err != nil {
			reply(401, map[string]string{"message": "A JSON web token could not be decoded"})
			return
		}
	} else if !s.live[token] {
		reply(401, map[string]string{"message": "Bad credentials"})
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /orgs/o/installation":
		reply(404, map[string]string{"message": "Not Found"})
	case "GET /users/o/installation", "GET /repos/o/r/installation":
		reply(200, map[string]any{"id": 42})
	case "POST /app/installations/42/access_tokens":
		var in struct{ Permissions map[string]string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			s.t.Error(err)
		}
		s.minted = append(s.minted, in.Permissions)
		fresh := fmt.Sprintf("ghs_made-up-%d", len(s.minted))
		s.live[fresh] = true
		reply(201, map[string]any{"token": fresh, "expires_at": time.Now().Add(s.life).UTC().Format(time.RFC3339), "permissions": in.Permissions})
	case "GET /repos/o/r":
		reply(200, map[string]string{"name": "r"})
	default:
		s.t.Errorf("%s %s", r.Method, r.URL.Path)
		reply(404, map[string]string{"message": "Not Found"})
	}
}

// newApp starts a server, and gives a client that signs in as the App.
func newApp(t *testing.T, life time.Duration, owner string, write ...string) (*appServer, *ci.Client, *github.App) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s := &appServer{t: t, key: &key.PublicKey, life: life, live: map[string]bool{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	base, err := ci.ParseBase(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	a := &github.App{ID: "7", Key: key, Owner: owner, Permissions: []string{"metadata", "actions"}, Write: write}
	c := &ci.Client{Base: base, Backoff: time.Millisecond}
	c.Auth, c.Renew = a.Authorize(&ci.Client{Base: base, Backoff: time.Millisecond})
	return s, c, a
}

func ask(t *testing.T, c *ci.Client) error {
	t.Helper()
	var v any
	_, err := c.JSON(t.Context(), c.At("repos", "o", "r"), &v)
	return err
}

func TestAppTokensReadAlone(t *testing.T) {
	for _, owner := range []string{"o", "o/r"} {
		s, c, a := newApp(t, time.Hour, owner)
		var seen []rules.Secret
		a.Minted = func(x rules.Secret) { seen = append(seen, x) }
		for range 3 {
			if err := ask(t, c); err != nil {
				t.Fatal(err)
			}
		}
		if len(s.minted) != 1 || !maps.Equal(s.minted[0], map[string]string{"metadata": "read", "actions": "read"}) || len(seen) != 1 {
			t.Errorf("%s: %v", owner, s.minted)
		}
		// A token that ends before its time is replaced, once.
		s.mu.Lock()
		clear(s.live)
		s.mu.Unlock()
		if err := ask(t, c); err != nil || len(s.minted) != 2 {
			t.Errorf("%v %v", err, s.minted)
		}
	}
}

func TestAppTokensAreReplacedBeforeTheyExpire(t *testing.T) {
	s, c, _ := newApp(t, 4*time.Minute, "o")
	for range 2 {
		if err := ask(t, c); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.minted) != 2 {
		t.Errorf("%d tokens", len(s.minted))
	}
}

func TestAppThatDeletes(t *testing.T) {
	s, c, a := newApp(t, time.Hour, "o", "actions")
	a.Installation = 42
	if err := ask(t, c); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(s.minted[0], map[string]string{"metadata": "read", "actions": "write"}) {
		t.Errorf("%v", s.minted)
	}
}

func TestAppWithAnotherKey(t *testing.T) {
	s, c, a := newApp(t, time.Hour, "o")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	a.Key = key
	if err := ask(t, c); err == nil || len(s.minted) != 0 {
		t.Errorf("%v %v", err, s.minted)
	}
}
