package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

const admin = "made-up-admin"

// recorded is a request that a fake Vault got.
type recorded struct{ method, path, token, namespace, body string }

// fake answers everything in one way, and records what it was asked.
type fake struct {
	mu   sync.Mutex
	got  []recorded
	says func(w http.ResponseWriter, r *http.Request)
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b := make([]byte, 4096)
	n, _ := r.Body.Read(b)
	r.Body = io.NopCloser(bytes.NewReader(b[:n]))
	f.mu.Lock()
	f.got = append(f.got, recorded{r.Method, r.URL.Path, r.Header.Get("X-Vault-Token"), r.Header.Get("X-Vault-Namespace"), string(b[:n])})
	f.mu.Unlock()
	f.says(w, r)
}

func (f *fake) requests() []recorded {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]recorded(nil), f.got...)
}

func always(status int, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Location", "/v1/elsewhere")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// against makes a target at a fake Vault; with selects what is rotated.
func against(t *testing.T, answer func(http.ResponseWriter, *http.Request), secret string, with issuer.Rotation) (*fake, revokers.Target) {
	t.Helper()
	f := &fake{says: answer}
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	with.Vault = u.String()
	if with.Engine == "" {
		with.Engine = "database"
	}
	v := &issuer.Instance{Provider: "vault", URL: u, Operator: true, Admin: credential.NewSecretString(admin), Settings: map[string]string{}, Rotate: &with}
	c := credential.Credential{Secret: credential.NewSecretString(secret)}
	c.Fingerprint = "0123456789abcdef0123456789abcdef"
	return f, revokers.Target{Credential: c, Rule: &rules.Rule{ID: "vault-service-token"}, Instance: v, Related: map[string]*issuer.Instance{"vault": v}}
}

func rotator() Rotator { return Rotator{Doer: &issuer.Client{}, Key: []byte("made-up-key")} }

// The library's RevokeSelf ignores its argument and ends the token that the client
// holds. It must hold the leaked one and no other.
func TestRevokeSelfSendsTheLeakedTokenAlone(t *testing.T) {
	f, target := against(t, always(204, ""), "made-up-leaked", issuer.Rotation{})
	r, err := RevokeSelf{Doer: &issuer.Client{}}.Send(t.Context(), []revokers.Target{target}, revokers.Effect{}, func(revokers.Effect) error { return nil })
	if err != nil || !r.Of(0).Accepted {
		t.Fatal(r, err)
	}
	got := f.requests()
	if len(got) != 1 || got[0].token != "made-up-leaked" || got[0].path != "/v1/auth/token/revoke-self" {
		t.Errorf("%+v", got)
	}
	// The operator's own token is never ended, for any plan.
	target.Secret = credential.NewSecretString(admin)
	if r, err := (RevokeSelf{Doer: &issuer.Client{}}).Send(t.Context(), []revokers.Target{target}, revokers.Effect{}, func(revokers.Effect) error { return nil }); err != nil || r.Of(0).Accepted || len(f.requests()) != 1 {
		t.Errorf("%+v %v", r, err)
	}
}

// Tokens of one run never reach each other's requests, though the library's client
// would share one.
func TestParallelWorkersKeepTheirTokens(t *testing.T) {
	f, target := against(t, func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{"accessor": r.Header.Get("X-Vault-Token"), "type": "service"}})
	}, "", issuer.Rotation{})
	target.Instance.Admin = credential.Secret{}
	var wg sync.WaitGroup
	for n := range 40 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			one := target
			one.Secret = credential.NewSecretString(fmt.Sprintf("made-up-%d", n))
			a, err := Token{Doer: &issuer.Client{}}.Verify(context.Background(), one, lookupSelf)
			if err != nil || a.Identity["accessor"] != fmt.Sprintf("made-up-%d", n) {
				t.Errorf("%+v %v", a, err)
			}
		}()
	}
	wg.Wait()
	if n := len(f.requests()); n != 40 {
		t.Errorf("%d requests", n)
	}
}

// An empty prefix, another path of the API or a path with .. is refused before anything is
// sent.
func TestPathsThatAreNotPlain(t *testing.T) {
	for _, with := range []issuer.Rotation{
		{Lease: "database"}, {Lease: "/"}, {Lease: "database/creds"}, {Lease: "database/creds/"}, {Lease: "database//creds/x"}, {Lease: "database/creds/../x"}, {Lease: "a/b/*"},
		{StaticRole: "database"}, {StaticRole: "database/.."}, {StaticRole: "database/a?b"}, {StaticRole: "database/%2e%2e"}, {Root: ".."},
		{AppRole: "approle"}, {AppRole: "approle/a#b"}, {PKI: "pki/../x"}, {PKI: "pki/not-a-serial"}, {Transit: "transit"}, {Entity: "../x"}, {Entity: "a/b"},
		{Accessor: []string{""}}, {Accessor: []string{"a/b"}}, {KV: "secret#x", Generate: "default"}, {KV: "secret/../x#y", Generate: "default"}, {KV: "secret/a#y", Generate: "../x"},
		{Engine: "aws", StaticRole: "aws/app"}, {Engine: "gcp", StaticRole: "gcp/app/x"},
	} {
		f, target := against(t, always(204, ""), "made-up-leaked", with)
		if steps, err := rotator().Steps(t.Context(), target); err == nil {
			t.Errorf("%+v: %+v", with, steps)
		}
		if n := len(f.requests()); n != 0 {
			t.Errorf("%+v: %d requests", with, n)
		}
	}
}

// every is a rotation that has each kind of step.
func every() issuer.Rotation {
	return issuer.Rotation{
		StaticRole: "database/app", Root: "database/pg", Lease: "database/creds/app/x", AppRole: "approle/ci", Tokens: true, Reissue: true, UserPass: "userpass/u",
		PKI: "pki/aa:bb", Transit: "transit/k", Entity: "e", Accessor: []string{"acc"}, KV: "secret/a#b", Destroy: true,
	}
}

// An empty answer, a page, a redirect, a standby, sealed or throttled node never
// passes for a step that was taken, nor for a dead credential.
func TestAnswersWithoutAMeaning(t *testing.T) {
	answers := map[string]func(http.ResponseWriter, *http.Request){
		"an empty 200":          always(200, ""),
		"an empty object":       always(200, "{}"),
		"null data":             always(200, `{"data":null}`),
		"data of another shape": always(200, `{"data":{"x":1}}`),
		"a page":                always(200, "<html>sign in</html>"),
		"a redirect":            always(307, ""),
		"a standby":             always(429, ""),
		"a DR secondary":        always(472, `{"errors":["path disabled in replication DR secondary mode"]}`),
		"a performance standby": always(473, ""),
		"sealed":                always(503, `{"errors":["Vault is sealed"]}`),
		"an error":              always(500, `{"errors":["internal error"]}`),
		"permission denied":     always(403, `{"errors":["permission denied"]}`),
		"not found":             always(404, `{"errors":[]}`),
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			_, target := against(t, answer, "made-up-leaked", every())
			steps, err := rotator().Steps(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range steps {
				state, err := rotator().Did(t.Context(), target, s, nil)
				if state == revokers.Done {
					t.Errorf("%s: %v %v", s.Name, state, err)
				}
				fresh := credential.NewSecretString("made-up-fresh")
				if s.Issues {
					fresh = credential.Secret{}
				}
				err = rotator().Do(t.Context(), target, s, &fresh)
				if s.Issues && !fresh.IsZero() {
					t.Errorf("%s: a secret was made of nothing", s.Name)
				}
				if err == nil && name != "an empty 200" && name != "an empty object" && name != "null data" && name != "data of another shape" && name != "not found" {
					t.Errorf("%s: no error", s.Name)
				}
				if err != nil && strings.Contains(err.Error(), "made-up") {
					t.Errorf("%s: a secret is in %v", s.Name, err)
				}
			}
			for _, v := range []revokers.Verifier{Token{Doer: &issuer.Client{}}, SecretID{Rotator: rotator()}} {
				for _, e := range v.Endpoints(target) {
					a, err := v.Verify(t.Context(), target, e)
					if err == nil && a.Class == revokers.Refuses || a.Class == revokers.Accepts {
						t.Errorf("%s: %+v", e, a)
					}
				}
			}
		})
	}
}

// A namespace goes with every request, and nothing of the environment does.
func TestNamespace(t *testing.T) {
	t.Setenv("VAULT_NAMESPACE", "someone-elses")
	t.Setenv("VAULT_TOKEN", "made-up-of-the-environment")
	f, target := against(t, always(204, ""), "made-up-leaked", issuer.Rotation{Lease: "database/creds/app/x"})
	steps, err := rotator().Steps(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	_ = rotator().Do(t.Context(), target, steps[0], nil)
	target.Instance.Settings["namespace"] = "team-a"
	_ = rotator().Do(t.Context(), target, steps[0], nil)
	got := f.requests()
	if len(got) != 4 || got[0].namespace != "" || got[2].namespace != "team-a" || got[3].namespace != "team-a" || got[0].token != admin {
		t.Errorf("%+v", got)
	}
}

// No rotation uses a path that needs sudo unless the policy names what uses it, and
// none uses revoke-prefix or revoke-force at all.
func TestSudoPaths(t *testing.T) {
	with := every()
	for _, tokens := range []bool{false, true} {
		with.Tokens = tokens
		_, target := against(t, always(204, ""), "made-up-leaked", with)
		grants, err := rotator().Grants(target)
		if err != nil {
			t.Fatal(err)
		}
		text := Policy(append(grants, TokenGrants(target.Instance)...))
		if got := strings.Count(text, "sudo"); got != map[bool]int{false: 0, true: 1}[tokens] {
			t.Errorf("%d sudo paths in\n%s", got, text)
		}
		for _, never := range []string{"revoke-prefix", "revoke-force", "*", "+", "create\""} {
			if strings.Contains(text, never) {
				t.Errorf("%s in\n%s", never, text)
			}
		}
	}
}

// Random answers of Vault: no panic, no step that counts as done without an answer
// that proves it, and no secret in an error.
func FuzzAnswers(f *testing.F) {
	f.Add(uint16(200), []byte(`{"data":{"password":"x","last_vault_rotation":"y"}}`), uint64(1))
	f.Add(uint16(400), []byte(`{"errors":["invalid lease"]}`), uint64(2))
	f.Add(uint16(200), []byte(`{"auth":{"client_token":"x","orphan":true}}`), uint64(3))
	f.Add(uint16(200), []byte(`{"data":{"keys":["a",1,null,{}]}}`), uint64(4))
	f.Fuzz(func(t *testing.T, status uint16, body []byte, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		d := doer(func(issuer.Request) (issuer.Response, error) {
			b := append([]byte(nil), body...)
			if len(b) > 0 && r.IntN(3) == 0 {
				b[r.IntN(len(b))] = byte(r.IntN(256))
			}
			return issuer.Response{Status: 100 + int(status)%500, Header: http.Header{"Content-Type": {"application/json"}}, Body: b}, nil
		})
		u, _ := url.Parse("http://127.0.0.1:1")
		with := every()
		with.Vault, with.Engine = u.String(), "database"
		v := &issuer.Instance{Provider: "vault", URL: u, Operator: true, Admin: credential.NewSecretString(admin), Settings: map[string]string{}, Rotate: &with}
		target := revokers.Target{Credential: credential.Credential{Secret: credential.NewSecretString("made-up-leaked")}, Rule: &rules.Rule{}, Instance: v, Related: map[string]*issuer.Instance{"vault": v}}
		rot := Rotator{Doer: d, Key: []byte("k")}
		steps, err := rot.Steps(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			mark, err := rot.Mark(t.Context(), target, s)
			if err != nil {
				mark = nil
			}
			var fresh credential.Secret
			for _, err := range []error{err, rot.Do(t.Context(), target, s, &fresh), func() error { _, err := rot.Did(t.Context(), target, s, mark); return err }(), rot.Undo(t.Context(), target, s, mark)} {
				if err != nil && strings.Contains(err.Error(), "made-up") {
					t.Errorf("%s: a secret is in %v", s.Name, err)
				}
			}
		}
		for _, v := range []revokers.Verifier{Token{Doer: d}, SecretID{Rotator: rot}} {
			for _, e := range v.Endpoints(target) {
				a, err := v.Verify(t.Context(), target, e)
				code := 100 + int(status)%500
				if err == nil && a.Class == revokers.Refuses && code != 403 && code != 204 {
					t.Errorf("%d %q is taken for a refusal", code, body)
				}
			}
		}
	})
}

type doer func(issuer.Request) (issuer.Response, error)

func (d doer) Do(_ context.Context, _ *issuer.Instance, r issuer.Request) (issuer.Response, error) {
	return d(r)
}
