package web

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
)

func TestWhoTheProviderSignsIn(t *testing.T) {
	o := &OIDC{Read: []string{"group:security", "carol@corp.example"}, Approve: []string{"alice@corp.example", "group:leads"}}
	type claims = map[string]any
	for name, c := range map[string]struct {
		token, info   claims
		read, approve bool
	}{
		"listed":                          {claims{"email": "alice@corp.example", "email_verified": true}, nil, true, true},
		"listed, in another case":         {claims{"email": "Alice@Corp.example", "email_verified": "true"}, nil, true, true},
		"not verified":                    {claims{"email": "alice@corp.example", "email_verified": false}, nil, false, false},
		"not verified, as text":           {claims{"email": "alice@corp.example", "email_verified": "false"}, nil, false, false},
		"no word about it":                {claims{"email": "alice@corp.example"}, nil, false, false},
		"verified by userinfo":            {claims{"email": "alice@corp.example"}, claims{"email": "alice@corp.example", "email_verified": true}, true, true},
		"another address is verified":     {claims{"email": "alice@corp.example"}, claims{"email": "mallory@evil.example", "email_verified": true}, false, false},
		"userinfo can't verify it":        {claims{"email": "alice@corp.example", "email_verified": false}, claims{"email": "alice@corp.example", "email_verified": true}, false, false},
		"all from userinfo":               {claims{"sub": "1"}, claims{"email": "carol@corp.example", "email_verified": true}, true, false},
		"not listed":                      {claims{"email": "mallory@corp.example", "email_verified": true}, nil, false, false},
		"not listed, of a group":          {claims{"email": "mallory@corp.example", "email_verified": true, "groups": []any{"x", "leads"}}, nil, true, true},
		"a name that looks like a group":  {claims{"email": "group:leads", "email_verified": true}, nil, false, false},
		"a group that looks like a name":  {claims{"email": "m@corp.example", "email_verified": true, "groups": []any{"alice@corp.example"}}, nil, false, false},
		"an address that is no text":      {claims{"email": []any{"alice@corp.example"}, "email_verified": true}, nil, false, false},
		"a verified address that is none": {claims{"email": " ", "email_verified": true}, nil, false, false},
	} {
		all := maps.Clone(c.token)
		join(all, c.info)
		v, why := o.visitor(all)
		if got := why == ""; got != c.read || v.Approve != c.approve {
			t.Errorf("%s: read %v, approve %v: %s", name, got, v.Approve, why)
		}
	}
}

const madeUpSecret = "made-up-secret-of-the-client"

// A provider whose endpoints redirect, or are not reached by TLS, learns neither the code nor the
// client's secret for another host.
func TestNoOtherHostGetsTheCode(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	plain := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { elsewhere.Add(1) }))
	defer plain.Close()
	for _, c := range []struct {
		name, token string // the token endpoint; empty: the provider's, which redirects
		status      int
		code        int
	}{
		{"307 keeps the body", "", http.StatusTemporaryRedirect, http.StatusUnauthorized},
		{"308 keeps the body", "", http.StatusPermanentRedirect, http.StatusUnauthorized},
		{"302", "", http.StatusFound, http.StatusUnauthorized},
		{"an endpoint without TLS", plain.URL + "/token", 0, http.StatusBadGateway},
		{"an endpoint that is no URL", "https://[", 0, http.StatusBadGateway},
	} {
		t.Run(c.name, func(t *testing.T) {
			elsewhere.Store(0)
			var asked atomic.Int64
			var provider *httptest.Server
			provider = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/token" {
					token := c.token
					if token == "" {
						token = provider.URL + "/token"
					}
					fmt.Fprintf(w, `{"issuer":%q,"authorization_endpoint":%q,"token_endpoint":%q,"jwks_uri":%q}`, provider.URL, provider.URL+"/auth", token, provider.URL+"/keys")
					return
				}
				asked.Add(1)
				if b, _ := io.ReadAll(r.Body); !strings.Contains(string(b), "code=made-up-code") {
					t.Errorf("the exchange is %s", b)
				}
				http.Redirect(w, r, other.URL+"/token", c.status)
			}))
			defer provider.Close()
			file := filepath.Join(t.TempDir(), "ca.pem")
			roots := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: provider.Certificate().Raw})
			roots = append(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.Certificate().Raw})...)
			if err := os.WriteFile(file, roots, 0o600); err != nil {
				t.Fatal(err)
			}
			pool, err := issuer.ReadCA(file)
			if err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			u, _ := url.Parse("http://localhost:8471")
			console, err := New(Options{People: &People{URL: u, OIDC: &OIDC{Issuer: provider.URL, ClientID: "quell", Secret: rules.NewSecretString(madeUpSecret), Network: issuer.Network{CA: pool}}}, Log: func(message string, args ...any) { fmt.Fprintln(&log, append([]any{message}, args...)...) }})
			if err != nil {
				t.Fatal(err)
			}
			q := httptest.NewRequest(http.MethodGet, "http://localhost:8471/login/callback?code=made-up-code&state=s", nil)
			q.AddCookie(&http.Cookie{Name: "quell-oidc", Value: "s|n|v|/"})
			w := httptest.NewRecorder()
			console.Handler().ServeHTTP(w, q)
			if w.Code != c.code || elsewhere.Load() != 0 {
				t.Errorf("%d, and %d requests to another host: %s", w.Code, elsewhere.Load(), log.String())
			}
			if want := c.token == ""; (asked.Load() > 0) != want {
				t.Errorf("%d exchanges: %s", asked.Load(), log.String())
			}
			if strings.Contains(log.String()+w.Body.String(), madeUpSecret) || strings.Contains(log.String()+w.Body.String(), "made-up-code") {
				t.Error("a secret is in the log or on the page")
			}
		})
	}
}

// The provider is reached by the configured proxy, and by none of the environment.
func TestProviderIsReachedAsConfigured(t *testing.T) {
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy"} {
		t.Setenv(name, "http://127.0.0.1:1")
	}
	asked := make(chan string, 10)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.Host
		w.WriteHeader(http.StatusForbidden)
	}))
	defer proxy.Close()
	p, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	get := func(n issuer.Network) error {
		client := newOIDC(n)
		client.client.Timeout = 2 * time.Second
		a, err := client.client.Get("https://login.corp.example/.well-known/openid-configuration")
		if err == nil {
			_ = a.Body.Close()
		}
		return err
	}
	if err := get(issuer.Network{Proxy: p}); err == nil || len(asked) != 1 || <-asked != "CONNECT login.corp.example:443" {
		t.Errorf("by the configured proxy: %v, %d requests", err, len(asked))
	}
	if err := get(issuer.Network{}); err == nil || strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("by the environment's proxy: %v", err)
	}
}
