package stores

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/crypto/nacl/box"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
)

const (
	leaked = "made-up-leaked-value"
	fresh  = "made-up-fresh-value"
	admin  = "made-up-admin-token"
)

// server is a store that obeys its published contract.
type server struct {
	t       *testing.T
	value   string // what it holds
	version int
	between func() // what another does between the read and the write
	public  *[32]byte
	private *[32]byte
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		if v != nil {
			_ = json.NewEncoder(w).Encode(v)
		}
	}
	var body map[string]any
	_ = json.NewDecoder(r.Body).Decode(&body)
	switch path := r.URL.EscapedPath(); {
	case r.Header.Get("Authorization") != "Bearer "+admin && r.Header.Get("Private-Token") != admin:
		answer(401, map[string]string{"message": "Bad credentials " + admin})
	case r.Method == "GET" && path == "/repos/acme/app/actions/secrets/public-key":
		answer(200, map[string]string{"key_id": "7", "key": base64.StdEncoding.EncodeToString(s.public[:])})
	case r.Method == "GET" && path == "/repos/acme/app/actions/secrets/DEPLOY":
		answer(200, map[string]string{"name": "DEPLOY", "updated_at": fmt.Sprintf("2026-01-01T00:00:%02dZ", s.version)})
	case r.Method == "PUT" && path == "/repos/acme/app/actions/secrets/DEPLOY":
		sealed, err := base64.StdEncoding.DecodeString(fmt.Sprint(body["encrypted_value"]))
		plain, ok := box.OpenAnonymous(nil, sealed, s.public, s.private)
		if err != nil || !ok || body["key_id"] != "7" {
			answer(422, nil)
			return
		}
		s.value, s.version = string(plain), s.version+1
		answer(204, nil)
	case r.Method == "GET" && path == "/api/v4/projects/acme%2Fapp/variables/DEPLOY":
		answer(200, map[string]any{"key": "DEPLOY", "value": s.value, "masked": true})
	case r.Method == "PUT" && path == "/api/v4/projects/acme%2Fapp/variables/DEPLOY":
		s.value = fmt.Sprint(body["value"])
		answer(200, map[string]any{"key": "DEPLOY", "value": s.value})
	case path == "/api/v1/namespaces/prod/secrets/app" && r.Method == "GET":
		answer(200, map[string]any{"kind": "Secret", "metadata": map[string]string{"resourceVersion": fmt.Sprint(s.version)}, "data": map[string]string{"DEPLOY": base64.StdEncoding.EncodeToString([]byte(s.value))}})
		if s.between != nil {
			s.between()
		}
	case path == "/api/v1/namespaces/prod/secrets/app" && r.Method == "PATCH":
		meta, _ := body["metadata"].(map[string]any)
		data, _ := body["data"].(map[string]any)
		plain, err := base64.StdEncoding.DecodeString(fmt.Sprint(data["DEPLOY"]))
		switch {
		case r.Header.Get("Content-Type") != "application/merge-patch+json" || err != nil:
			answer(415, nil)
		case meta["resourceVersion"] != fmt.Sprint(s.version):
			answer(409, map[string]string{"kind": "Status", "reason": "Conflict"})
		default:
			s.value, s.version = string(plain), s.version+1
			answer(200, map[string]string{"kind": "Secret"})
		}
	default:
		answer(404, nil)
	}
}

func at(t *testing.T, kind, entry string) (*server, Rotator, revokers.Target) {
	t.Helper()
	s := &server{t: t, value: leaked}
	var err error
	if s.public, s.private, err = box.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	in := &issuer.Instance{Provider: kind, URL: u, Operator: true, Admin: credential.NewSecretString(admin), Settings: map[string]string{}}
	target := revokers.Target{
		Credential: credential.Credential{Secret: credential.NewSecretString(leaked)},
		Instance:   &issuer.Instance{URL: u, Rotate: &issuer.Rotation{Stores: []string{entry}}},
		Related:    map[string]*issuer.Instance{kind: in},
	}
	return s, Rotator{Doer: &issuer.Client{}, Key: []byte("k")}, target
}

var entries = map[string]string{"github": "github:acme/app#DEPLOY", "gitlab": "gitlab:acme/app#DEPLOY", "kubernetes": "kubernetes:prod/app#DEPLOY"}

func TestTheNewValueReachesTheStore(t *testing.T) {
	for kind, entry := range entries {
		t.Run(kind, func(t *testing.T) {
			s, r, target := at(t, kind, entry)
			steps, err := r.Steps(t.Context(), target)
			if err != nil || len(steps) != 1 || !steps[0].Needs {
				t.Fatalf("%+v %v", steps, err)
			}
			shown := fmt.Sprintf("%+v %s", steps[0], steps[0].Effect.Body)
			for _, secret := range []string{leaked, fresh, admin} {
				if strings.Contains(shown, secret) {
					t.Errorf("a secret is in the plan")
				}
			}
			before, err := r.Mark(t.Context(), target, steps[0])
			if err != nil {
				t.Fatal(err)
			}
			value := credential.NewSecretString(fresh)
			for range 2 { // once more does no harm
				if err := r.Do(t.Context(), target, steps[0], &value); err != nil {
					t.Fatal(err)
				}
			}
			if s.value != fresh {
				t.Error("the store does not hold the new value")
			}
			if after, err := r.Mark(t.Context(), target, steps[0]); err != nil || string(after) == string(before) || strings.Contains(string(before), leaked) {
				t.Error("the mark does not show the write", err)
			}
		})
	}
}

// A value that another wrote stays, where the store can be read; nothing is written
// without a new value; and no error contains a secret.
func TestWhatIsNotWritten(t *testing.T) {
	for kind, entry := range entries {
		t.Run(kind, func(t *testing.T) {
			s, r, target := at(t, kind, entry)
			steps, err := r.Steps(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			value := credential.NewSecretString(fresh)
			refused := func(why string, fresh *credential.Secret) {
				t.Helper()
				was := s.value
				err := r.Do(t.Context(), target, steps[0], fresh)
				if err == nil || s.value != was || strings.Contains(err.Error(), "made-up") {
					t.Errorf("%s: %v", why, err)
				}
			}
			refused("no new value", &credential.Secret{})
			old := credential.NewSecretString(leaked)
			refused("the leaked value", &old)
			if kind != "github" {
				s.value = "of somebody else"
				refused("another's value", &value)
				s.value = leaked
			}
			if kind == "kubernetes" {
				s.between = func() { s.version++ }
				refused("another wrote in between", &value)
			}
			target.Related[kind].Admin = credential.NewSecretString("made-up-wrong")
			refused("a login without rights", &value)
		})
	}
}

func TestEntriesThatAreNone(t *testing.T) {
	for _, entry := range []string{"", "github:acme/app", "github:acme#X", "github:../app#X", "github:acme/app#X/Y", "ftp:a/b#c", "kubernetes:a/../b#c", "gitlab:a/b?x#c"} {
		_, r, target := at(t, "github", entry)
		if steps, err := r.Steps(t.Context(), target); err == nil {
			t.Errorf("%q: %+v", entry, steps)
		}
	}
	_, r, target := at(t, "github", entries["github"])
	target.Related = nil
	if _, err := r.Steps(t.Context(), target); err == nil {
		t.Error("there is no login at GitHub")
	}
}
