package realtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

// quell plan finds where a Vault keeps what leaked, with the rights that quell vault
// policy prints, and never prints a value.
func TestVaultWhereIsItManaged(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	if err := b.c.Sys().EnableAuthWithOptions("approle", &api.EnableAuthOptions{Type: "approle"}); err != nil {
		t.Fatal(err)
	}
	b.write("auth/approle/role/ci", map[string]any{"token_policies": "default"})
	id := b.write("auth/approle/role/ci/secret-id", nil).Data["secret_id"].(string)
	token := newToken(t, b.c, &api.TokenCreateRequest{Policies: []string{"default"}, TTL: "1h"})
	other := newToken(t, b.c, &api.TokenCreateRequest{Policies: []string{"default"}, TTL: "1h"})
	audit := filepath.Join(mkdir(t), "audit.log")
	if err := b.c.Sys().EnableAuditWithOptions("file", &api.EnableAuditOptions{Type: "file", Options: map[string]string{"file_path": audit}}); err != nil {
		t.Fatal(err)
	}
	_ = lives(t, b.c, token)
	if err := b.c.Sys().PutPolicy("wide", `path "secret/*" { capabilities = ["create", "read", "update", "delete", "list"] }`); err != nil {
		t.Fatal(err)
	}
	wide := newToken(t, b.c, &api.TokenCreateRequest{Policies: []string{"wide"}, TTL: "1h"})
	as, err := b.c.Clone()
	if err != nil {
		t.Fatal(err)
	}
	as.SetToken(wide)
	for _, v := range []struct {
		path string
		data map[string]any
	}{
		{"team/app", map[string]any{"login": map[string]any{"token": token}}},
		{"team/app", map[string]any{"login": map[string]any{"token": "made-up-another-value"}}},
		{"team/deep/one", map[string]any{"id": id}},
		{"elsewhere", map[string]any{"token": token}},
	} {
		if _, err := b.c.KVv2("secret").Put(t.Context(), v.path, v.data); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := as.KVv2("secret").Get(t.Context(), "elsewhere"); err != nil {
		t.Fatal(err)
	}
	if _, err := as.Logical().Read("sys/mounts"); err == nil {
		t.Fatal("the token may do more than its policy")
	}
	b.o.secrets = []string{token, id, other, wide, "made-up-another-value", root}
	b.policy(b.instance("[instance.managed]\nkv = [\"secret/team/\"]\napproles = [\"approle/ci\"]\naudit = \"file\"\naudit_log = \"" + audit + "\"\n"))
	log := b.o.file("job.log", stamp+"VAULT_TOKEN="+token+"\n"+stamp+"VAULT_SECRET_ID="+id+"\n"+stamp+"export VAULT_TOKEN="+other+"\n"+stamp+"VAULT_TOKEN="+wide+"\n")
	report, plan := filepath.Join(b.o.dir, "report.jsonl"), filepath.Join(b.o.dir, "plan.json")
	b.o.quell(1, "scan", "log", log, "--format", "jsonl", "--output", report)
	b.o.quell(0, "plan", report, "--output", plan)
	file, err := os.ReadFile(plan)
	if err != nil {
		t.Fatal(err)
	}
	b.o.clean(string(file))
	var doc struct {
		Plan struct {
			Items []struct {
				Rule    string
				Managed []string
				Least   string
			}
		}
	}
	if err := json.Unmarshal(file, &doc); err != nil {
		t.Fatal(err)
	}
	all, least := "", ""
	for _, it := range doc.Plan.Items {
		least += it.Least
		all += it.Rule + ": " + strings.Join(it.Managed, " | ") + "\n"
	}
	for _, want := range []string{"kv secret/team/app (older version 1)#login.token", "kv secret/team/deep/one#id", "secret id of approle approle/ci, accessor ", "hmac-sha256:"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in\n%s", want, all)
		}
	}
	if strings.Contains(all, "elsewhere") || len(doc.Plan.Items) != 4 {
		t.Errorf("more was searched than the policy names:\n%s", all)
	}
	// The token with wide rights was used for one read.
	if !strings.Contains(least, "path \"secret/data/elsewhere\" {\n  capabilities = [\"read\"]\n}") || strings.Count(least, "path ") != 1 {
		t.Errorf("%s", least)
	}
	if err := b.c.Sys().PutPolicy("least", least); err != nil {
		t.Errorf("Vault refuses it: %v", err)
	}
	recorded, err := os.ReadFile(audit)
	if err != nil {
		t.Fatal(err)
	}
	if hash := find(t, `(hmac-sha256:[0-9a-f]{64})`, all[strings.Index(all, "older version"):]); !strings.Contains(string(recorded), hash) {
		t.Error("the audit log has no such digest")
	}
	// A path that holds nothing: the plan is written, and is not complete.
	b.policy(b.instance("[instance.managed]\nkv = [\"secret/taem/\", \"secret/team/\"]\n"))
	b.o.quell(4, "plan", report, "--output", plan)
}

// jwt makes a signed token of an issuer that the test plays.
func jwt(t *testing.T, key *ecdsa.PrivateKey, claims map[string]any) string {
	t.Helper()
	b, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(b)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// loginPolicy is what quell's own login may do in tests of logins.
const loginPolicy = `path "secret/data/control" { capabilities = ["read"] }
path "auth/token/lookup" { capabilities = ["update"] }
path "auth/token/revoke-self" { capabilities = ["update"] }`

// certificate makes a self-signed certificate, and a file of it with its key.
func certificate(t *testing.T, name string) (file, text string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true, IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	file = filepath.Join(t.TempDir(), name+".pem")
	if err := os.WriteFile(file, []byte(text+string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, text
}

// quell signs in by each method, reads a control from Vault, and leaves no session.
// The method kubernetes is tried at a mount that checks the JWT's signature itself: it
// takes the same request.
func TestVaultLogins(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.c.Sys().PutPolicy("reads", loginPolicy); err != nil {
		t.Fatal(err)
	}
	// The issuer of GitHub's tokens, which Vault discovers.
	discovery := httptest.NewServer(nil)
	t.Cleanup(discovery.Close)
	point, err := key.PublicKey.Bytes() // 4, x, y: SEC 1, 2.3.3
	if err != nil {
		t.Fatal(err)
	}
	discovery.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			_ = json.NewEncoder(w).Encode(map[string]any{"issuer": discovery.URL, "jwks_uri": discovery.URL + "/jwks", "id_token_signing_alg_values_supported": []string{"ES256"}})
		case "/jwks":
			_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]string{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:])}}})
		default:
			w.WriteHeader(404)
		}
	})
	for mount, config := range map[string]map[string]any{
		"jwt":        {"jwt_validation_pubkeys": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))},
		"kubernetes": {"jwt_validation_pubkeys": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))},
		"github":     {"oidc_discovery_url": discovery.URL, "bound_issuer": discovery.URL, "jwt_supported_algs": "ES256"},
	} {
		if err := b.c.Sys().EnableAuthWithOptions(mount, &api.EnableAuthOptions{Type: "jwt"}); err != nil {
			t.Fatal(err)
		}
		b.write("auth/"+mount+"/config", config)
		b.write("auth/"+mount+"/role/quell", map[string]any{"role_type": "jwt", "user_claim": "sub", "bound_audiences": "https://vault.test", "token_policies": "reads", "token_ttl": "5m"})
	}
	if err := b.c.Sys().EnableAuthWithOptions("approle", &api.EnableAuthOptions{Type: "approle"}); err != nil {
		t.Fatal(err)
	}
	b.write("auth/approle/role/quell", map[string]any{"token_policies": "reads", "token_ttl": "5m"})
	b.write("auth/approle/role/quell/role-id", map[string]any{"role_id": "quell"})
	wrapping, err := b.c.Clone()
	if err != nil {
		t.Fatal(err)
	}
	wrapping.SetToken(root)
	wrapping.SetWrappingLookupFunc(func(string, string) string { return "5m" })
	wrapped, err := wrapping.Logical().Write("auth/approle/role/quell/secret-id", nil)
	if err != nil {
		t.Fatal(err)
	}
	control := newToken(t, b.c, &api.TokenCreateRequest{Policies: []string{"default"}, TTL: "1h"})
	leaked := newToken(t, b.c, &api.TokenCreateRequest{Policies: []string{"default"}, TTL: "1h"})
	if _, err := b.c.KVv2("secret").Put(t.Context(), "control", map[string]any{"token": control}); err != nil {
		t.Fatal(err)
	}
	token := jwt(t, key, map[string]any{"iss": discovery.URL, "sub": "quell", "aud": "https://vault.test", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()})
	actions := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer made-up-request-token" || r.URL.Query().Get("audience") != "https://vault.test" || r.URL.Query().Get("api-version") != "2.0" {
			w.WriteHeader(403)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"count": 1, "value": token})
	}))
	t.Cleanup(actions.Close)
	before := b.tokens() - 1 // the wrapping token is used up by the first login
	for _, c := range []struct{ name, login string }{
		{"approle with a wrapped secret id", "method = \"approle\"\nrole_id = \"quell\"\nsecret_id = \"env:WRAPPED\"\nwrapped = true"},
		{"jwt", "method = \"jwt\"\nrole = \"quell\"\njwt = \"env:JWT\""},
		{"jwt of GitHub Actions", "method = \"jwt\"\nmount = \"github\"\nrole = \"quell\"\ngithub_audience = \"https://vault.test\""},
		{"kubernetes", "method = \"kubernetes\"\nrole = \"quell\"\njwt = \"env:JWT\""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOperator(t)
			o.secrets = []string{token, control, leaked, root, wrapped.WrapInfo.Token}
			o.env["WRAPPED"], o.env["JWT"] = wrapped.WrapInfo.Token, token
			o.env["ACTIONS_ID_TOKEN_REQUEST_URL"], o.env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = actions.URL+"/token?api-version=2.0", "made-up-request-token"
			o.policy(fmt.Sprintf("[[instance]]\nprovider = \"vault\"\nurl = %q\nown = true\n[instance.login]\n%s\n[[instance]]\nprovider = \"gitlab\"\nurl = \"https://127.0.0.1:1\"\ncontrol = \"vault:secret/control#token\"\n", b.c.Address(), c.login))
			log := o.file("job.log", stamp+"VAULT_TOKEN="+leaked+"\n")
			out := o.quell(1, "scan", "log", log, "--format", "jsonl")
			if !strings.Contains(out, `"live"`) || strings.Contains(out, "permission denied") || strings.Contains(out, "login by") || strings.Contains(out, "the Vault client") {
				t.Errorf("%s", out)
			}
			if n := b.tokens(); n != before {
				t.Errorf("%d tokens, %d before", n, before)
			}
		})
	}
	// A wrapping token works once, and the error explains that.
	o := newOperator(t)
	o.env["WRAPPED"] = wrapped.WrapInfo.Token
	o.secrets = []string{wrapped.WrapInfo.Token}
	o.policy(fmt.Sprintf("[[instance]]\nprovider = \"vault\"\nurl = %q\nown = true\n[instance.login]\nmethod = \"approle\"\nrole_id = \"quell\"\nsecret_id = \"env:WRAPPED\"\nwrapped = true\n", b.c.Address()))
	o.quell(2, "plan", o.file("empty.jsonl", ""))
}

// tokens counts the tokens of the bed's Vault.
func (b *bed) tokens() int {
	b.t.Helper()
	s, err := b.c.Logical().List("auth/token/accessors")
	if err != nil || s == nil {
		b.t.Fatal(err)
	}
	return len(s.Data["keys"].([]any))
}
