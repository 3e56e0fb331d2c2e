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
	ID      string `json:"id_token"`
	Error   string `json:"error"`
}

func oauthPolicy(issuer, client, secret string) string {
	return fmt.Sprintf("[[instance]]\nprovider = \"oauth\"\nurl = %q\nown = true\nclient_id = %q\nclient_secret = \"env:CLIENT_SECRET\"\ncontrol = \"env:CONTROL\"\nsettle = \"2s\"\n", issuer, client)
}

const cb = "http://127.0.0.1:1/cb"

// panva signs alice in at oidc-provider's development form.
func panva(t *testing.T, issuer, resource string) tokens {
	return panvaUser(t, newBrowser(t), issuer, resource, "alice", "openid offline_access api")
}

func panvaUser(t *testing.T, b *browser, issuer, resource, user, scope string) tokens {
	q := url.Values{"client_id": {"app"}, "response_type": {"code"}, "scope": {scope}, "prompt": {"consent"}, "redirect_uri": {cb}}
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
			r = b.do("POST", absolute(issuer, find(t, `action="([^"]+)"`, r.body)), url.Values{"prompt": {find(t, `name="prompt" value="([^"]+)"`, r.body)}, "login": {user}, "password": {"x"}})
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
func oidcServer(t *testing.T, env ...string) (issuer string) {
	need(t, "node")
	need(t, filepath.Join(servers, "node/node_modules/oidc-provider"))
	port := freePort(t)
	issuer = "http://127.0.0.1:" + port
	start(t, issuer+"/.well-known/openid-configuration", append(env, "PORT="+port), filepath.Join(servers, "node"), "node", "oidc.mjs")
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
		// The grant has a second access token. Another grant of the user to the client goes on.
		client := func(form url.Values) tokens {
			return token(t, newBrowser(t), issuer+"/token", "app", "made-up-client-secret", form)
		}
		minted, another := client(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {leaked.Refresh}}), panva(t, issuer, "")
		if minted.Access == "" {
			t.Fatalf("no second access token: %s", minted.Error)
		}
		if minted.Refresh != "" {
			leaked.Refresh = minted.Refresh
			o.secrets = append(o.secrets, minted.Refresh)
		}
		active := func(token string) bool {
			r := newBrowser(t).do("POST", issuer+"/token/introspection", url.Values{"token": {token}}, "Authorization", basic("app", "made-up-client-secret"))
			return strings.Contains(r.body, `"active":true`)
		}
		log := o.file("job.log", stamp+`{"access_token":"`+leaked.Access+`","refresh_token":"`+leaked.Refresh+`"}`+"\n")
		list := o.kill(1, 0, "log", log)
		t.Logf("the grant is deleted by its refresh token; its second access token is live: %v, another grant of the user: %v", active(minted.Access), active(another.Access))
		if active(minted.Access) || !active(another.Access) || !active(another.Refresh) {
			t.Error("the grant is not what ended")
		}
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

// The issuer's own session ends by RP-initiated logout, whose page asks first. The
// tokens of a grant without offline_access end with it; those of one with it do not.
func TestTheSessionOfAnIssuer(t *testing.T) {
	t.Parallel()
	issuer := oidcServer(t)
	in := func(b *browser, user string) { panvaUser(t, b, issuer, "", user, "openid api") }
	s := site{"oidc-provider", "webapp", issuer, "_session", "logout_path = \"/session/end/confirm\"\ncsrf = \"form\"\ncsrf_path = \"/session/end\"\nlive_marker = \"name=logout\"\n", "/session/end", in, "webapp-session-named", "Confirmed"}
	s.run(t)
	active := func(token string) bool {
		r := newBrowser(t).do("POST", issuer+"/token/introspection", url.Values{"token": {token}}, "Authorization", basic("app", "made-up-client-secret"))
		return strings.Contains(r.body, `"active":true`)
	}
	for scope, lives := range map[string]bool{"openid api": false, "openid offline_access api": true} {
		b := newBrowser(t)
		granted := panvaUser(t, b, issuer, "", "alice", scope)
		value := s.of(b)
		if !active(granted.Access) {
			t.Fatal("the access token is not live")
		}
		o := newOperator(t)
		o.secrets = []string{strings.Split(value, ";")[0]}
		o.policy(fmt.Sprintf("[[instance]]\nprovider = \"webapp\"\nurl = %q\nown = true\ncookie = \"_session\"\nprobe_path = %q\nsettle = \"1s\"\n%s", issuer, s.probe, s.settings))
		log := o.file("job.log", stamp+"> Cookie: _session="+value+"\n")
		one(t, o.kill(1, 0, "log", log), "webapp-session-named", "Confirmed")
		if active(granted.Access) != lives {
			t.Errorf("%s: after the logout the access token is live: %v", scope, !lives)
		}
		t.Logf("%s: the session ended; the access token is live: %v", scope, lives)
	}
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
	// Both leak together: the state of the refresh token is reported as not known, since
	// only redeeming it would show it.
	both := signIn()
	o.secrets = append(o.secrets, both.Access, both.Refresh)
	log = o.file("both.log", stamp+`{"access_token":"`+both.Access+`","refresh_token":"`+both.Refresh+`"}`+"\n")
	access := one(t, o.kill(1, 4, "log", log), "oauth-access-token", "Confirmed")
	if len(access.Derived) != 1 || access.Derived[0].Kind != "refresh token" || access.Derived[0].Liveness != "unknown" {
		t.Errorf("what became of the refresh token: %+v", access.Derived)
	}
	if r := token(t, newBrowser(t), meta.Token, "web", "secret", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {both.Refresh}}); r.Access == "" {
		t.Errorf("it was redeemed or ended: %s", r.Error)
	}
	// The sign-in ends by its ID token, which is accepted until it expires. This issuer
	// ends everything of the user at the client with it.
	ended, stays := signIn(), signIn()
	e := newOperator(t)
	e.env["CONTROL"], e.env["CLIENT_SECRET"] = stays.Access, "secret"
	e.secrets = []string{ended.ID, ended.Access, stays.Access}
	e.policy(oauthPolicy(issuer, "web", "") + "revocation = \"end-session\"\n")
	id := one(t, e.kill(1, 3, "log", e.file("id.log", stamp+`{"id_token":"`+ended.ID+`"}`+"\n")), "jwt", "UntilExpiry")
	if id.Receipt == nil || !id.Receipt.Accepted {
		t.Errorf("%+v", id.Receipt)
	}
	live := func(token string) bool {
		return newBrowser(t).do("GET", issuer+"userinfo", nil, "Authorization", "Bearer "+token).status == 200
	}
	t.Logf("end-session by the ID token: its access token is live: %v, one of another sign-in of the user: %v", live(ended.Access), live(stays.Access))
	if live(ended.Access) || live(stays.Access) || id.Scope != "all_user_sessions" {
		t.Errorf("the scope of the kill is said to be %q", id.Scope)
	}
	// Only redeeming shows whether such a refresh token is alive, and quell never
	// redeems: it holds the token and reports that.
	log = o.file("refresh.log", stamp+`{"refresh_token":"`+r.Refresh+`"}`+"\n")
	o.secrets = append(o.secrets, r.Refresh)
	a := one(t, o.kill(4, 4, "log", log), "oauth-refresh-token", "Held")
	if !strings.Contains(a.Held, "not known to be live") {
		t.Errorf("held: %s", a.Held)
	}
}
