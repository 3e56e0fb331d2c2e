package oauth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// provider is an issuer that ends sessions by an ID token and by a user.
type provider struct {
	omit, elsewhere bool // the endpoints are not in the metadata; are at another host
	ended           []string
	foreign         int
}

func (p *provider) start(t *testing.T) (*Issuers, *url.URL) {
	t.Helper()
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { p.foreign++ }))
	t.Cleanup(other.Close)
	var srv *httptest.Server
	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			m := map[string]string{"issuer": srv.URL}
			at := srv.URL
			if p.elsewhere {
				at = other.URL
			}
			if !p.omit {
				m["end_session_endpoint"], m["global_token_revocation_endpoint"] = at+"/end", at+"/global"
			}
			_ = json.NewEncoder(w).Encode(m)
		case "/end":
			if r.Method != http.MethodPost || r.URL.RawQuery != "" || r.PostFormValue("client_id") != "app" || r.PostFormValue("id_token_hint") == "" {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			p.ended = append(p.ended, "session")
			http.Redirect(w, r, "/bye", http.StatusFound)
		case "/global":
			var body struct {
				Subject map[string]string `json:"sub_id"`
			}
			b, _ := io.ReadAll(r.Body)
			if r.Header.Get("Authorization") != "Bearer operator" || r.Header.Get("Content-Type") != "application/json" || json.Unmarshal(b, &body) != nil || body.Subject["format"] != "iss_sub" || body.Subject["iss"] != srv.URL {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			p.ended = append(p.ended, body.Subject["sub"])
			w.WriteHeader(http.StatusNoContent)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &Issuers{Doer: &issuer.Client{}}, u
}

func unsigned(header, claims string) credential.Secret {
	raw := base64.RawURLEncoding
	return credential.NewSecretString(raw.EncodeToString([]byte(header)) + "." + raw.EncodeToString([]byte(claims)) + "." + strings.Repeat("aB3-", 86)[:342])
}

// Only an ID token of the operator's client ends the session at the issuer, and only a
// user that the issuer named is signed out everywhere; both at the issuer's own
// endpoints and nowhere else.
func TestSessionsEndAtTheIssuer(t *testing.T) {
	const claims = `{"iss":"https://i.example","sub":"u1","aud":"app","exp":4102444800}`
	idToken := unsigned(`{"alg":"RS256","typ":"JWT"}`, claims)
	for name, c := range map[string]struct {
		secret          credential.Secret
		subject         string
		global          bool
		omit, elsewhere bool
		want            string // what ended; empty: nothing was sent
	}{
		"an ID token":                         {secret: idToken, want: "session"},
		"an access token":                     {secret: unsigned(`{"alg":"RS256","typ":"at+jwt"}`, claims)},
		"an ID token of another client":       {secret: unsigned(`{"alg":"RS256","typ":"JWT"}`, strings.Replace(claims, `"app"`, `"other"`, 1))},
		"an opaque token":                     {secret: credential.NewSecretString("made-up-opaque-token-0123456789")},
		"no end-session endpoint":             {secret: idToken, omit: true},
		"an end-session endpoint elsewhere":   {secret: idToken, elsewhere: true},
		"everything of a user":                {secret: credential.NewSecretString("made-up-opaque-token-0123456789"), subject: "u1", global: true, want: "u1"},
		"a user that only the token claims":   {secret: idToken, global: true},
		"no global revocation":                {secret: idToken, subject: "u1", global: true, omit: true},
		"global revocation at another server": {secret: idToken, subject: "u1", global: true, elsewhere: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := &provider{omit: c.omit, elsewhere: c.elsewhere}
			issuers, u := p.start(t)
			target := revokers.Target{
				Credential: credential.Credential{Ref: credential.Ref{Fingerprint: "f", Kind: credential.KindJWT}, Secret: c.secret}, Rule: &rules.Rule{},
				Instance: &issuer.Instance{Provider: "oauth", URL: u, Operator: true, ClientID: "app", ClientSecret: credential.NewSecretString("s"), Admin: credential.NewSecretString("operator")},
			}
			if c.subject != "" {
				target.Captures = map[string]string{"subject": c.subject}
			}
			var r interface {
				Plan(ctx context.Context, ts []revokers.Target) ([]revokers.Effect, error)
				Send(ctx context.Context, ts []revokers.Target, e revokers.Effect, before func(revokers.Effect) error) (revokers.Receipt, error)
			} = EndSession{issuers}
			if c.global {
				r = Global{issuers}
			}
			ts := []revokers.Target{target}
			effects, err := r.Plan(t.Context(), ts)
			if (err == nil) != (c.want != "") {
				t.Fatalf("planned %v, %v", effects, err)
			}
			announced := 0
			receipt, err := r.Send(t.Context(), ts, revokers.Effect{}, func(e revokers.Effect) error {
				announced++
				b, _ := json.Marshal(e)
				if want, _ := json.Marshal(effects[0]); string(b) != string(want) || strings.Contains(string(b), c.secret.Reveal()) || strings.Contains(string(b), "operator") {
					t.Errorf("announced %s, planned %s", b, want)
				}
				return nil
			})
			if c.want == "" {
				if err == nil || announced != 0 || len(p.ended) != 0 || p.foreign != 0 {
					t.Errorf("%v, %v ended, %d requests elsewhere", err, p.ended, p.foreign)
				}
				return
			}
			if err != nil || announced != 1 || len(p.ended) != 1 || p.ended[0] != c.want || !receipt.Of(0).Accepted {
				t.Errorf("%v, %v ended, %+v", err, p.ended, receipt)
			}
		})
	}
}
