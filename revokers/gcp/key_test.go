package gcp_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/gcp"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/natives"
	"github.com/quellhq/quell/rules"
)

const (
	email = "ci@acme-prod.iam.gserviceaccount.com"
	keyID = "3f9c1e7ab25d8046c1f37e9ad2b6408c5e17fa93"
	admin = "ya29.operators-access-token"
)

// iam is the part of the IAM API that is about keys. It checks the signature
// and the audience of what it is sent.
type iam struct {
	mu       sync.Mutex
	public   *rsa.PublicKey
	disabled bool
	may      bool // the account may administer its own keys
	asked    []string
}

func (s *iam) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.Method+" "+r.URL.Path)
	w.Header().Set("Content-Type", "application/json")
	fail := func(status int, word string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"code":%d,"message":"made up","status":%q}}`, status, word)
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	self := token != admin
	if self && !s.valid(token) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://accounts.google.com/", error="invalid_token"`)
		fail(401, "UNAUTHENTICATED")
		return
	}
	if self && !s.may {
		fail(403, "PERMISSION_DENIED")
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /v1/projects/-/serviceAccounts/" + email + "/keys/" + keyID:
		fmt.Fprintf(w, `{"name":"projects/acme-prod/serviceAccounts/%s/keys/%s","disabled":%v}`, email, keyID, s.disabled)
	case "POST /v1/projects/-/serviceAccounts/" + email + "/keys/" + keyID + ":disable":
		s.disabled = true
		fmt.Fprint(w, `{}`)
	case "POST /v1/projects/-/serviceAccounts/" + email + "/keys/" + keyID + ":enable":
		s.disabled = false
		fmt.Fprint(w, `{}`)
	default:
		fail(404, "NOT_FOUND")
	}
}

func (s *iam) valid(token string) bool {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return false
	}
	var c struct {
		jwt.Claims
		Audience string `json:"aud"`
	}
	if parsed.Claims(s.public, &c) != nil || s.disabled {
		return false
	}
	return parsed.Headers[0].KeyID == keyID && c.Issuer == email && c.Subject == email && c.Audience == "https://iam.googleapis.com/" && c.Expiry.Time().Before(time.Now().Add(time.Hour))
}

func start(t *testing.T) (*iam, revokers.Target) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s := &iam{public: &key.PublicKey}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	u, _ := url.Parse(srv.URL)
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	x := revokers.Target{Rule: set.Rule("google-service-account-key"), Instance: &issuer.Instance{Provider: "google", URL: u, Operator: true, Settings: map[string]string{}}}
	// As a JSON file has it.
	quoted, _ := json.Marshal(strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))))
	x.Secret, x.Fingerprint = rules.NewSecretString(strings.Trim(string(quoted), `"`)), "f"
	x.Parts = map[string]rules.Secret{"email": rules.NewSecretString(email), "key_id": rules.NewSecretString(keyID)}
	return s, x
}

func ask(t *testing.T, a *guard.Asker, x *revokers.Target, sent *revokers.Acknowledgement, before *revokers.Answer) (revokers.Verdict, revokers.Answer) {
	t.Helper()
	v := gcp.Key{Doer: &issuer.Client{}}
	endpoint := v.Endpoints(*x)[0]
	e, err := a.Ask(t.Context(), v, *x, endpoint)
	if err != nil {
		t.Fatal(err)
	}
	e.Sent, e.Before = sent, before
	got := revokers.Judge(*x, e)
	if got.Liveness == revokers.Live {
		x.Seen = &revokers.Sighting{Endpoint: endpoint, At: e.Answer.At, Learned: e.Learned}
	}
	return got, e.Answer
}

// A key is asked about and disabled without an access token being minted.
func TestAKeyIsDisabled(t *testing.T) {
	for name, c := range map[string]struct{ may, admin, want bool }{
		"by itself":                          {true, false, true},
		"by itself, without the right to":    {false, false, false},
		"by the operator, and enabled again": {false, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, x := start(t)
			s.may = c.may
			if c.admin {
				x.Instance.Admin = rules.NewSecretString(admin)
			}
			asker := &guard.Asker{}
			v, before := ask(t, asker, &x, nil, nil)
			if v.Liveness != revokers.Live || v.Identity["project"] != "acme-prod" || !v.NegativeControl {
				t.Fatalf("%s: %s", v.Liveness, v.Detail)
			}
			rv, _ := natives.Choose(x)
			if rv == nil || c.admin != (rv.ID == "disable-admin") {
				t.Fatalf("%+v", rv)
			}
			reg := natives.New(natives.Config{Doer: &issuer.Client{}})
			r, err := reg.Revoker(rv)
			if err != nil {
				t.Fatal(err)
			}
			effects, err := r.Plan(t.Context(), []revokers.Target{x})
			if err != nil {
				t.Fatal(err)
			}
			receipt, err := r.Send(t.Context(), []revokers.Target{x}, effects[0], func(e revokers.Effect) error {
				if shown := fmt.Sprint(e); strings.Contains(shown, "BEGIN") || strings.Contains(shown, "eyJ") {
					t.Errorf("the effect shows a secret: %s", shown)
				}
				return nil
			})
			if err != nil || receipt.Of(0).Accepted != c.want || s.disabled != c.want {
				t.Fatalf("%+v, %v", receipt, err)
			}
			ack := receipt.Of(0)
			if v, _ = ask(t, asker, &x, &ack, &before); (v.Liveness == revokers.Dead) != c.want {
				t.Errorf("afterwards %s: %s", v.Liveness, v.Detail)
			}
			if c.admin {
				back, err := reg.Restorer(rv).Restore(t.Context(), x, func(revokers.Effect) error { return nil })
				if err != nil || !back.Accepted || s.disabled {
					t.Errorf("restored: %+v, %v", back, err)
				}
			}
			for _, q := range s.asked {
				if strings.Contains(q, "token") {
					t.Errorf("a token was minted: %s", q)
				}
			}
		})
	}
}

// A key that was cut is not asked about, and proves nothing.
func TestACutKeyIsMalformed(t *testing.T) {
	s, x := start(t)
	x.Secret = rules.NewSecretString(x.Secret.Reveal()[:900])
	if v, _ := ask(t, &guard.Asker{}, &x, nil, nil); v.Liveness != revokers.Unknown || v.Reason != revokers.Malformed || len(s.asked) != 0 {
		t.Errorf("%s (%s), %d requests", v.Liveness, v.Reason, len(s.asked))
	}
	x.Parts = nil
	if got := (gcp.Key{}).Endpoints(x); got != nil {
		t.Errorf("without its account it is asked at %v", got)
	}
}
