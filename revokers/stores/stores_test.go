package stores

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
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
	pending map[string]string
	url     string
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
	raw, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(raw, &body)
	switch path := r.URL.EscapedPath(); {
	case r.Header.Get("X-Amz-Target") != "" && r.Header.Get("Content-Type") == "application/x-amz-json-1.1":
		s.secretsManager(r, body, raw, answer)
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

// secretsManager is AWS Secrets Manager: it checks the signature, keeps versions, and
// moves a label only from the version that has it.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecretVersionStage.html
func (s *server) secretsManager(r *http.Request, body map[string]any, raw []byte, answer func(int, any)) {
	fault := func(kind string) {
		answer(400, map[string]string{"__type": kind, "Message": "about " + s.value})
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		fault("IncompleteSignature")
		return
	}
	again, _ := http.NewRequest(r.Method, s.url+"/", http.NoBody)
	for _, h := range []string{"Content-Type", "X-Amz-Target", "X-Amz-Security-Token"} {
		if v := r.Header.Get(h); v != "" {
			again.Header.Set(h, v)
		}
	}
	sum := sha256.Sum256(raw)
	_ = v4.NewSigner().SignHTTP(r.Context(), aws.Credentials{AccessKeyID: "AKIAMADEUP", SecretAccessKey: admin, SessionToken: "made-up-session"}, again, hex.EncodeToString(sum[:]), "secretsmanager", "eu-west-1", at)
	current := fmt.Sprintf("version-%032d", s.version)
	switch {
	case r.Header.Get("Authorization") != again.Header.Get("Authorization"):
		fault("InvalidSignatureException")
	case body["SecretId"] != "prod/app":
		fault("ResourceNotFoundException")
	case r.Header.Get("X-Amz-Target") == "secretsmanager.GetSecretValue":
		doc, _ := json.Marshal(map[string]any{"DEPLOY": s.value, "other": 7})
		answer(200, map[string]any{"Name": "prod/app", "VersionId": current, "SecretString": string(doc), "VersionStages": []string{"AWSCURRENT"}})
		if s.between != nil {
			s.between()
		}
	case r.Header.Get("X-Amz-Target") == "secretsmanager.PutSecretValue":
		token, stages := fmt.Sprint(body["ClientRequestToken"]), fmt.Sprint(body["VersionStages"])
		if len(token) < 32 || len(token) > 64 || stages != "[QUELLPENDING]" {
			fault("InvalidParameterException")
			return
		}
		s.pending = map[string]string{token: fmt.Sprint(body["SecretString"])}
		answer(200, map[string]any{"Name": "prod/app", "VersionId": token})
	case r.Header.Get("X-Amz-Target") == "secretsmanager.UpdateSecretVersionStage":
		doc, ok := s.pending[fmt.Sprint(body["MoveToVersionId"])]
		var all map[string]any
		if !ok || body["VersionStage"] != "AWSCURRENT" || body["RemoveFromVersionId"] != current || json.Unmarshal([]byte(doc), &all) != nil || all["other"] != 7.0 {
			fault("InvalidParameterException")
			return
		}
		s.value, s.version = fmt.Sprint(all["DEPLOY"]), s.version+1
		answer(200, map[string]any{"Name": "prod/app"})
	default:
		fault("UnknownOperationException")
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
	s.url = srv.URL
	login := admin
	if kind == "aws" {
		login = "AKIAMADEUP:" + admin + ":made-up-session"
	}
	in := &issuer.Instance{Provider: kind, URL: u, Operator: true, Admin: credential.NewSecretString(login), Settings: map[string]string{}}
	target := revokers.Target{
		Credential: credential.Credential{Secret: credential.NewSecretString(leaked)},
		Instance:   &issuer.Instance{URL: u, Rotate: &issuer.Rotation{Stores: []string{entry}}},
		Related:    map[string]*issuer.Instance{kind: in},
	}
	return s, Rotator{Doer: &issuer.Client{}, Key: []byte("k")}, target
}

var entries = map[string]string{"github": "github:acme/app#DEPLOY", "gitlab": "gitlab:acme/app#DEPLOY", "kubernetes": "kubernetes:prod/app#DEPLOY", "aws": "aws:eu-west-1/prod/app#DEPLOY"}

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
			if kind == "kubernetes" || kind == "aws" {
				s.between = func() { s.version++ }
				refused("another wrote in between", &value)
			}
			s.between = nil
			target.Related[kind].Admin = credential.NewSecretString("made-up-wrong")
			refused("a login without rights", &value)
			target.Related[kind].Admin = credential.NewSecretString("AKIAMADEUP:made-up-wrong")
			refused("a key without rights", &value)
		})
	}
}

func TestEntriesThatAreNone(t *testing.T) {
	for _, entry := range []string{"", "github:acme/app", "github:acme#X", "github:../app#X", "github:acme/app#X/Y", "ftp:a/b#c", "kubernetes:a/../b#c", "gitlab:a/b?x#c", "aws:prod/app#X", "aws:eu-west-1#X", "aws:eu-west-1/#X", "aws:evil.example/app#X"} {
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

// The endpoint of Secrets Manager is that of the entry's region, with the key's partition.
func TestTheEndpointOfSecretsManager(t *testing.T) {
	for login, want := range map[string]string{
		"https://sts.amazonaws.com":                   "https://secretsmanager.eu-west-1.amazonaws.com/",
		"https://sts.eu-central-1.amazonaws.com":      "https://secretsmanager.eu-west-1.amazonaws.com/",
		"https://aws.internal.example":                "https://aws.internal.example/",
		"https://sts.amazonaws.com.elsewhere.example": "https://sts.amazonaws.com.elsewhere.example/",
	} {
		_, r, target := at(t, "aws", entries["aws"])
		u, err := url.Parse(login)
		if err != nil {
			t.Fatal(err)
		}
		target.Related["aws"].URL = u
		steps, err := r.Steps(t.Context(), target)
		if err != nil || steps[0].Effect.URL != want {
			t.Errorf("%s: %+v %v", login, steps, err)
		}
	}
}
