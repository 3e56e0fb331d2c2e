package realtest

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Error   string `json:"error"`
}

func oauthPolicy(issuer, client, secret string) string {
	return fmt.Sprintf("[[instance]]\nprovider = \"oauth\"\nurl = %q\nown = true\nclient_id = %q\nclient_secret = \"env:CLIENT_SECRET\"\ncontrol = \"env:CONTROL\"\nsettle = \"2s\"\n", issuer, client)
}

const cb = "http://127.0.0.1:1/cb"

// panva signs in at oidc-provider's development form.
func panva(t *testing.T, issuer, resource string) tokens {
	b := newBrowser(t)
	q := url.Values{"client_id": {"app"}, "response_type": {"code"}, "scope": {"openid offline_access api"}, "prompt": {"consent"}, "redirect_uri": {cb}}
	if resource != "" {
		q.Set("resource", resource)
	}
	r := b.do("GET", issuer+"/auth?"+q.Encode(), nil)
	for range 12 {
		if strings.HasPrefix(r.location, cb) {
			u, _ := url.Parse(r.location)
			form := url.Values{"grant_type": {"authorization_code"}, "code": {u.Query().Get("code")}, "redirect_uri": {cb}}
			if resource != "" {
				form.Set("resource", resource)
			}
			return token(t, b, issuer+"/token", "app", "made-up-client-secret", form)
		}
		if !strings.HasPrefix(r.location, "http") {
			r.location = issuer + r.location
		}
		r = b.do("GET", r.location, nil)
		if r.status == 200 {
			r = b.do("POST", absolute(issuer, find(t, `action="([^"]+)"`, r.body)), url.Values{"prompt": {find(t, `name="prompt" value="([^"]+)"`, r.body)}, "login": {"alice"}, "password": {"x"}})
		}
	}
	t.Fatal("no code from the provider")
	return tokens{}
}

func absolute(issuer, s string) string {
	if strings.HasPrefix(s, "http") {
		return s
	}
	return issuer + s
}

func token(t *testing.T, b *browser, endpoint, client, secret string, form url.Values) tokens {
	t.Helper()
	r := b.do("POST", endpoint, form, "Authorization", basic(client, secret))
	var out tokens
	if err := json.Unmarshal([]byte(r.body), &out); err != nil {
		t.Fatalf("%v: %s", err, r.body)
	}
	return out
}

func basic(user, pass string) string {
	r, _ := http.NewRequest("GET", "http://x", nil)
	r.SetBasicAuth(user, pass)
	return r.Header.Get("Authorization")
}

// oidcServer runs panva's oidc-provider.
func oidcServer(t *testing.T) (issuer string) {
	need(t, "node")
	need(t, filepath.Join(servers, "node/node_modules/oidc-provider"))
	port := freePort(t)
	issuer = "http://127.0.0.1:" + port
	start(t, issuer+"/.well-known/openid-configuration", []string{"PORT=" + port}, filepath.Join(servers, "node"), "node", "oidc.mjs")
	return issuer
}

// An opaque access token is Confirmed, and the kill takes its refresh token
// along. A JWT is UntilExpiry and never called dead.
func TestOIDCProvider(t *testing.T) {
	t.Parallel()
	issuer := oidcServer(t)
	leaked, control, jwt := panva(t, issuer, ""), panva(t, issuer, ""), panva(t, issuer, "http://127.0.0.1/api")
	setup := func(t *testing.T) *operator {
		o := newOperator(t)
		o.env["CONTROL"], o.env["CLIENT_SECRET"] = control.Access, "made-up-client-secret"
		o.secrets = []string{leaked.Access, leaked.Refresh, control.Access, jwt.Access}
		o.policy(oauthPolicy(issuer, "app", ""))
		return o
	}
	t.Run("opaque", func(t *testing.T) {
		o := setup(t)
		log := o.file("job.log", stamp+`{"access_token":"`+leaked.Access+`","refresh_token":"`+leaked.Refresh+`"}`+"\n")
		list := o.kill(1, 0, "log", log)
		refresh := one(t, list, "oauth-refresh-token", "Confirmed")
		// The refresh token's end takes it along before its own turn.
		one(t, list, "oauth-access-token", "AlreadyDead")
		if len(refresh.Derived) != 1 || refresh.Derived[0].Liveness != "dead" {
			t.Errorf("the refresh token's end takes the access token along, but quell says %+v", refresh.Derived)
		}
		if r := token(t, newBrowser(t), issuer+"/token", "app", "made-up-client-secret", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {leaked.Refresh}}); r.Error != "invalid_grant" {
			t.Errorf("the refresh token still works: %s", r.Error)
		}
		o.files(log)
	})
	t.Run("JWT", func(t *testing.T) {
		o := setup(t)
		log := o.file("job.log", stamp+"Authorization: Bearer "+jwt.Access+"\n")
		a := one(t, o.kill(1, 3, "log", log), "jwt", "UntilExpiry")
		if a.Receipt == nil || a.Receipt.Accepted || !strings.Contains(a.Receipt.Detail, "unsupported_token_type") {
			t.Errorf("receipt %+v", a.Receipt)
		}
		if !strings.Contains(a.Detail, "until 20") {
			t.Errorf("the expiry is not told: %s", a.Detail)
		}
		o.files(log)
	})
	t.Run("access token alone", func(t *testing.T) {
		o := setup(t)
		alone := panva(t, issuer, "")
		o.secrets = append(o.secrets, alone.Access)
		log := o.file("job.log", "> Authorization: Bearer "+alone.Access+"\n")
		one(t, o.kill(1, 0, "log", log), "bearer-token", "Confirmed")
		if r := token(t, newBrowser(t), issuer+"/token", "app", "made-up-client-secret", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {alone.Refresh}}); r.Error == "" {
			t.Error("this issuer ends the grant with the access token, but the refresh token still works")
		}
	})
}

// zitadel's provider leaves the refresh token alive when the access token goes.
func TestZitadel(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	issuer := "http://localhost:" + port + "/"
	storage.RegisterClients(storage.WebClient("web", "secret", cb))
	srv := &http.Server{Handler: exampleop.SetupServer(issuer, storage.NewStorage(storage.NewUserStore(issuer)), slog.New(slog.NewTextHandler(io.Discard, nil)), false)}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	b := newBrowser(t)
	var meta struct {
		Authorize string `json:"authorization_endpoint"`
		Token     string `json:"token_endpoint"`
	}
	if err := json.Unmarshal([]byte(b.do("GET", issuer+".well-known/openid-configuration", nil).body), &meta); err != nil {
		t.Fatal(err)
	}
	signIn := func() tokens {
		b := newBrowser(t)
		r := b.do("GET", meta.Authorize+"?"+url.Values{"client_id": {"web"}, "response_type": {"code"}, "scope": {"openid offline_access"}, "redirect_uri": {cb}, "state": {"s"}}.Encode(), nil)
		for r.location != "" {
			r = b.do("GET", absolute(strings.TrimRight(issuer, "/"), r.location), nil)
		}
		r = b.do("POST", issuer+"login/username", url.Values{"id": {find(t, `name="id" value="([^"]+)"`, r.body)}, "username": {"test-user@localhost"}, "password": {"verysecure"}})
		for !strings.HasPrefix(r.location, cb) {
			if r.location == "" {
				t.Fatalf("no redirect: %d", r.status)
			}
			r = b.do("GET", absolute(strings.TrimRight(issuer, "/"), r.location), nil)
		}
		u, _ := url.Parse(r.location)
		return token(t, b, meta.Token, "web", "secret", url.Values{"grant_type": {"authorization_code"}, "code": {u.Query().Get("code")}, "redirect_uri": {cb}})
	}
	leaked, control := signIn(), signIn()
	o := newOperator(t)
	o.env["CONTROL"], o.env["CLIENT_SECRET"] = control.Access, "secret"
	o.secrets = []string{leaked.Access, leaked.Refresh, control.Access}
	o.policy(oauthPolicy(issuer, "web", ""))
	log := o.file("job.log", stamp+`{"access_token":"`+leaked.Access+`","token_type":"Bearer"}`+"\n")
	one(t, o.kill(1, 0, "log", log), "oauth-access-token", "Confirmed")
	r := token(t, newBrowser(t), meta.Token, "web", "secret", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {leaked.Refresh}})
	if r.Access == "" {
		t.Errorf("this issuer leaves the refresh token alive, but it answered %s", r.Error)
	}
	// Nothing but redeeming it tells whether such a refresh token is alive, and
	// quell does not redeem: it holds it and says so.
	log = o.file("refresh.log", stamp+`{"refresh_token":"`+r.Refresh+`"}`+"\n")
	o.secrets = append(o.secrets, r.Refresh)
	a := one(t, o.kill(4, 4, "log", log), "oauth-refresh-token", "Held")
	if !strings.Contains(a.Held, "not known to be live") {
		t.Errorf("held: %s", a.Held)
	}
}
