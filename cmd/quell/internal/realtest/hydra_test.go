package realtest

import (
	"encoding/json"
	"net/url"
	"os"
	"strings"
	"testing"
)

// hydraServer is Ory Hydra on PostgreSQL. The test decides its sign-ins and consents, as the
// operator's own pages do.
type hydraServer struct{ public, admin string }

func hydra(t *testing.T) hydraServer {
	t.Helper()
	bin := tools(t, "hydra-v2.3.0/hydra")
	pg, public, admin := postgres(t), freePort(t), freePort(t)
	h := hydraServer{"http://127.0.0.1:" + public, "http://127.0.0.1:" + admin}
	env := []string{
		"DSN=postgres://admin:made-up-root@127.0.0.1:" + pg + "/postgres?sslmode=disable", "SECRETS_SYSTEM=made-up-made-up-made-up", "SQA_OPT_OUT=true",
		"URLS_SELF_ISSUER=" + h.public, "URLS_LOGIN=http://127.0.0.1:1/login", "URLS_CONSENT=http://127.0.0.1:1/consent",
		"SERVE_PUBLIC_HOST=127.0.0.1", "SERVE_PUBLIC_PORT=" + public, "SERVE_ADMIN_HOST=127.0.0.1", "SERVE_ADMIN_PORT=" + admin, "LOG_LEVEL=error",
	}
	command(t, env, mkdir(t), bin, "migrate", "sql", "-e", "--yes")
	start(t, h.admin+"/health/ready", env, mkdir(t), bin, "serve", "all", "--dev", "--sqa-opt-out")
	for _, id := range []string{"app", "other"} {
		r := newBrowser(t).send("POST", h.admin+"/admin/clients", `{"client_id":"`+id+`","client_secret":"made-up-client-secret","grant_types":["authorization_code","refresh_token"],"response_types":["code"],"redirect_uris":["`+cb+`"],"scope":"openid offline","token_endpoint_auth_method":"client_secret_basic"}`, "Content-Type", "application/json")
		if r.status != 201 {
			t.Fatalf("no client: %d %.300s", r.status, r.body)
		}
	}
	return h
}

// grant signs a user in for a client. asked reports whether Hydra asked for consent, which it does
// not where the user's consent to the client is remembered.
func (h hydraServer) grant(t *testing.T, user, client string) (out tokens, asked bool) {
	t.Helper()
	b := newBrowser(t)
	accept := func(kind, location, body string) (to string) {
		u, err := url.Parse(location)
		if err != nil {
			t.Fatal(err)
		}
		r := b.send("PUT", h.admin+"/admin/oauth2/auth/requests/"+kind+"/accept?"+u.RawQuery, body, "Content-Type", "application/json")
		var doc struct {
			To string `json:"redirect_to"`
		}
		if err := json.Unmarshal([]byte(r.body), &doc); err != nil || doc.To == "" {
			t.Fatalf("%s: %d %.300s", kind, r.status, r.body)
		}
		return doc.To
	}
	q := url.Values{"client_id": {client}, "response_type": {"code"}, "scope": {"openid offline"}, "state": {"made-up-state"}, "redirect_uri": {cb}}
	r := b.do("GET", h.public+"/oauth2/auth?"+q.Encode(), nil)
	r = b.do("GET", accept("login", r.location, `{"subject":"`+user+`"}`), nil)
	u, _ := url.Parse(r.location)
	consent := b.do("GET", h.admin+"/admin/oauth2/auth/requests/consent?"+u.RawQuery, nil)
	var request struct{ Skip bool }
	if err := json.Unmarshal([]byte(consent.body), &request); err != nil {
		t.Fatalf("consent: %d %.300s", consent.status, consent.body)
	}
	r = b.do("GET", accept("consent", r.location, `{"grant_scope":["openid","offline"],"remember":true,"session":{}}`), nil)
	u, _ = url.Parse(r.location)
	if out = token(t, b, h.public+"/oauth2/token", client, "made-up-client-secret", url.Values{"grant_type": {"authorization_code"}, "code": {u.Query().Get("code")}, "redirect_uri": {cb}}); out.Access == "" || out.Refresh == "" {
		t.Fatalf("no tokens: %s", out.Error)
	}
	return out, !request.Skip
}

func (h hydraServer) active(t *testing.T, token string) bool {
	t.Helper()
	r := newBrowser(t).do("POST", h.admin+"/admin/oauth2/introspect", url.Values{"token": {token}})
	return strings.Contains(r.body, `"active":true`)
}

// The user's consent to a client is deleted, with all grants of that client: access and refresh
// tokens of each end. Tokens of the same user at another client, and of another user, live on.
func TestTheConsentOfAHydraUserIsDeleted(t *testing.T) {
	if os.Getenv("QUELL_CAMPAIGN") == "" {
		t.Skip("make campaign-hydra")
	}
	h := hydra(t)
	leaked, asked := h.grant(t, "alice", "app")
	second, askedAgain := h.grant(t, "alice", "app")
	elsewhere, _ := h.grant(t, "alice", "other")
	control, _ := h.grant(t, "bob", "app")
	if !asked || askedAgain {
		t.Fatalf("consent was asked for: %v, then %v", asked, askedAgain)
	}
	o := newOperator(t)
	o.secrets = []string{leaked.Access, leaked.Refresh, second.Access, control.Access}
	o.env["ADMIN"], o.env["CONTROL"] = "no-login-is-asked-for", control.Access
	o.policy("[kill]\ntiers = [\"self\", \"admin\", \"collateral\"]\n[[instance]]\nprovider = \"ory\"\nurl = \"" + h.admin + "\"\nown = true\nadmin = \"env:ADMIN\"\ncontrol = \"env:CONTROL\"\nsettle = \"1s\"\n")
	log := o.file("job.log", stamp+`{"access_token":"`+leaked.Access+`","refresh_token":"`+leaked.Refresh+`"}`+"\n")
	list := o.kill(1, 0, "log", log)
	a := one(t, list, "ory-token", "Confirmed")
	if a.Scope != "all_user_sessions" || a.Control != "live" {
		t.Errorf("scope %q, control %q", a.Scope, a.Control)
	}
	for _, a := range list {
		if a.Outcome != "Confirmed" && a.Outcome != "AlreadyDead" {
			t.Errorf("%s: %s %s%s", a.Rule, a.Outcome, a.Detail, a.Held)
		}
	}
	for what, c := range map[string]struct {
		token string
		lives bool
	}{
		"its access token": {leaked.Access, false}, "its refresh token": {leaked.Refresh, false},
		"the access token of another grant of the user to the client": {second.Access, false}, "the refresh token of another grant": {second.Refresh, false},
		"the access token of another client": {elsewhere.Access, true}, "another user's access token": {control.Access, true},
	} {
		got := h.active(t, c.token)
		t.Logf("the consent is deleted; %s is live: %v", what, got)
		if got != c.lives {
			t.Errorf("%s is live: %v", what, got)
		}
	}
	if r := token(t, newBrowser(t), h.public+"/oauth2/token", "app", "made-up-client-secret", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {leaked.Refresh}}); r.Access != "" {
		t.Error("the refresh token still works")
	}
	if _, asked := h.grant(t, "alice", "app"); !asked {
		t.Error("the consent is still remembered")
	}
	o.files(log)

	// A grant alone ends by RFC 7009, from its refresh token or its access token.
	for kind, of := range map[string]func(tokens) string{"refresh": func(g tokens) string { return g.Refresh }, "access": func(g tokens) string { return g.Access }} {
		g, _ := h.grant(t, "bob", "app")
		stays, _ := h.grant(t, "bob", "app")
		if r := newBrowser(t).do("POST", h.public+"/oauth2/revoke", url.Values{"token": {of(g)}}, "Authorization", basic("app", "made-up-client-secret")); r.status != 200 {
			t.Fatalf("revoke: %d %.200s", r.status, r.body)
		}
		t.Logf("the %s token is revoked: its access token is live: %v, its refresh token: %v, another grant: %v", kind, h.active(t, g.Access), h.active(t, g.Refresh), h.active(t, stays.Access))
		if h.active(t, g.Access) || h.active(t, g.Refresh) || !h.active(t, stays.Access) {
			t.Errorf("%s: what ends with the grant is not what docs/applications.md has", kind)
		}
	}
}
