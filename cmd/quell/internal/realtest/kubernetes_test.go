package realtest

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// apiServer is Kubernetes' API server with etcd and without controllers, whose work tests do.
type apiServer struct {
	t   *testing.T
	url string
	ca  string // file
	key *rsa.PrivateKey
	c   *http.Client
}

// object is an API object or a Status.
type object struct {
	Kind     string
	Metadata struct{ Name, UID string }
	Status   struct {
		Token         string
		Authenticated bool
		Error         string
	}
	Message string
}

const kubeAdmin = "made-up-administrator"

func newAPIServer(t *testing.T) *apiServer {
	etcd, server := need(t, "etcd"), tools(t, "kube-apiserver-v1.34.4/kube-apiserver")
	d := t.TempDir()
	store, peer, port := "http://127.0.0.1:"+freePort(t), "http://127.0.0.1:"+freePort(t), freePort(t)
	start(t, store+"/health", nil, d, etcd, "--data-dir", filepath.Join(d, "etcd"), "--listen-client-urls", store, "--advertise-client-urls", store,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer, "--unsafe-no-fsync")
	k := &apiServer{t: t, url: "https://127.0.0.1:" + port, ca: filepath.Join(d, "certs", "apiserver.crt")}
	var err error
	if k.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	file := func(name string, b []byte) string {
		p := filepath.Join(d, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	private := file("sa.key", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k.key)}))
	public := file("sa.pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.public()}))
	users := file("users.csv", []byte(kubeAdmin+",admin,1,system:masters\n"))
	ended, log := run(t, nil, d, server, "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--secure-port", port, "--etcd-servers", store,
		"--cert-dir", filepath.Join(d, "certs"), "--token-auth-file", users, "--service-account-key-file", public, "--service-account-signing-key-file", private,
		"--service-account-issuer", k.url, "--authorization-mode", "RBAC", "--disable-admission-plugins", "ServiceAccount",
		"--service-cluster-ip-range", "10.0.0.0/24", "--endpoint-reconciler-type", "none")
	// The server writes its own certificate when it starts.
	k.c = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if status, _ := k.ask(kubeAdmin, "GET", "/readyz", nil); status == 200 {
			return k
		}
		select {
		case err := <-ended:
			t.Fatalf("the API server ended: %v\n%s", err, tail(log.String()))
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("the API server does not answer")
		}
	}
}

func (k *apiServer) public() []byte {
	b, err := x509.MarshalPKIXPublicKey(&k.key.PublicKey)
	if err != nil {
		k.t.Fatal(err)
	}
	return b
}

// ask sends a request; status is 0 if nothing answers.
func (k *apiServer) ask(token, method, path string, body any) (status int, o object) {
	k.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		k.t.Fatal(err)
	}
	r, err := http.NewRequest(method, k.url+path, bytes.NewReader(b))
	if err != nil {
		k.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	resp, err := k.c.Do(r)
	if err != nil {
		return 0, o
	}
	defer resp.Body.Close()
	_ = json.NewDecoder(resp.Body).Decode(&o)
	return resp.StatusCode, o
}

// do is a request of the administrator's that succeeds.
func (k *apiServer) do(method, path string, body any) object {
	k.t.Helper()
	status, o := k.ask(kubeAdmin, method, path, body)
	if status < 200 || status > 299 {
		k.t.Fatalf("%s %s: %d %s", method, path, status, o.Message)
	}
	return o
}

type fields = map[string]any

// account makes a service account in namespace ci.
func (k *apiServer) account(name string) (uid string) {
	return k.do("POST", "/api/v1/namespaces/ci/serviceaccounts", fields{"metadata": fields{"name": name}}).Metadata.UID
}

// signed is a token as Kubernetes' controller of tokens writes it into a Secret: the claims are
// in its order.
func (k *apiServer) signed(key *rsa.PrivateKey, header, secret, account, uid string) string {
	k.t.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	claims, err := json.Marshal(struct {
		Issuer    string `json:"iss"`
		Namespace string `json:"kubernetes.io/serviceaccount/namespace"`
		Secret    string `json:"kubernetes.io/serviceaccount/secret.name"`
		Account   string `json:"kubernetes.io/serviceaccount/service-account.name"`
		UID       string `json:"kubernetes.io/serviceaccount/service-account.uid"`
		Subject   string `json:"sub"`
	}{"kubernetes/serviceaccount", "ci", secret, account, uid, "system:serviceaccount:ci:" + account})
	if err != nil {
		k.t.Fatal(err)
	}
	text := b64([]byte(header)) + "." + b64(claims)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		k.t.Fatal(err)
	}
	return text + "." + b64(sig)
}

// header names the server's key.
func (k *apiServer) header() string {
	id := sha256.Sum256(k.public())
	return fmt.Sprintf(`{"alg":"RS256","kid":%q}`, base64.RawURLEncoding.EncodeToString(id[:]))
}

// secret makes a Secret that holds a token of an account.
func (k *apiServer) secret(name, account, uid string) (token string) {
	k.t.Helper()
	token = k.signed(k.key, k.header(), name, account, uid)
	k.do("POST", "/api/v1/namespaces/ci/secrets", fields{
		"type":     "kubernetes.io/service-account-token",
		"metadata": fields{"name": name, "annotations": fields{"kubernetes.io/service-account.name": account, "kubernetes.io/service-account.uid": uid}},
		"data":     fields{"token": []byte(token), "namespace": []byte("ci")},
	})
	return token
}

// bound requests a token of an account that lasts as long as a Secret.
func (k *apiServer) bound(account, secret string) (token string) {
	k.t.Helper()
	made := k.do("POST", "/api/v1/namespaces/ci/secrets", fields{"metadata": fields{"name": secret}})
	return k.do("POST", "/api/v1/namespaces/ci/serviceaccounts/"+account+"/token", fields{"spec": fields{"expirationSeconds": 3600,
		"boundObjectRef": fields{"kind": "Secret", "apiVersion": "v1", "name": secret, "uid": made.Metadata.UID}}}).Status.Token
}

// alive returns the server's own review of a token.
func (k *apiServer) alive(token string) (bool, string) {
	k.t.Helper()
	o := k.do("POST", "/apis/authentication.k8s.io/v1/tokenreviews", fields{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": fields{"token": token}})
	return o.Status.Authenticated, o.Status.Error
}

// dies waits until the server refuses a token: it keeps an answer for ten seconds.
func (k *apiServer) dies(token string) {
	k.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
		live, _ := k.alive(token)
		if !live {
			return
		}
		if time.Now().After(deadline) {
			k.t.Fatal("the token lives on")
		}
	}
}

// operatorToken is of an account with exactly the rights that the rule names.
func (k *apiServer) operatorToken() string {
	k.account("quell")
	const rbac = "/apis/rbac.authorization.k8s.io/v1/"
	who := []fields{{"kind": "ServiceAccount", "name": "quell", "namespace": "ci"}}
	k.do("POST", rbac+"namespaces/ci/roles", fields{"metadata": fields{"name": "quell"}, "rules": []fields{{"apiGroups": []string{""}, "resources": []string{"secrets"}, "verbs": []string{"get", "delete"}}}})
	k.do("POST", rbac+"namespaces/ci/rolebindings", fields{"metadata": fields{"name": "quell"}, "subjects": who, "roleRef": fields{"kind": "Role", "name": "quell", "apiGroup": "rbac.authorization.k8s.io"}})
	k.do("POST", rbac+"clusterroles", fields{"metadata": fields{"name": "quell"}, "rules": []fields{{"apiGroups": []string{"authentication.k8s.io"}, "resources": []string{"tokenreviews"}, "verbs": []string{"create"}}}})
	k.do("POST", rbac+"clusterrolebindings", fields{"metadata": fields{"name": "quell"}, "subjects": who, "roleRef": fields{"kind": "ClusterRole", "name": "quell", "apiGroup": "rbac.authorization.k8s.io"}})
	return k.do("POST", "/api/v1/namespaces/ci/serviceaccounts/quell/token", fields{"spec": fields{"expirationSeconds": 3600}}).Status.Token
}

// A token in a Secret ends with its Secret, another token of the same account lives on, and the
// API server's own reviews prove both, although it keeps its answers for ten seconds.
func TestKubernetes(t *testing.T) {
	t.Parallel()
	k := newAPIServer(t)
	k.do("POST", "/api/v1/namespaces", fields{"metadata": fields{"name": "ci"}})
	uid := k.account("deploy")
	leaked, other, control := k.secret("deploy-token", "deploy", uid), k.secret("other-token", "deploy", uid), k.secret("control-token", "deploy", uid)
	bound, operator := k.bound("deploy", "anchor"), k.operatorToken()
	elsewhere, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	foreign := k.signed(elsewhere, k.header(), "deploy-token", "deploy", uid)
	replaced := k.signed(k.key, `{"alg":"RS256","typ":"JWT"}`, "other-token", "deploy", uid)
	for name, token := range map[string]string{"leaked": leaked, "other": other, "control": control, "bound": bound, "operator's": operator} {
		if live, problem := k.alive(token); !live {
			t.Fatalf("the server refuses the %s token: %s", name, problem)
		}
	}
	for name, token := range map[string]string{"foreign": foreign, "replaced": replaced} {
		if live, _ := k.alive(token); live {
			t.Fatalf("the server accepts the %s token", name)
		}
	}
	o := newOperator(t)
	o.secrets = []string{leaked, other, control, bound, foreign, replaced, operator, kubeAdmin}
	o.env["ADMIN"], o.env["CONTROL"] = operator, control
	o.policy(fmt.Sprintf("[[own]]\nprovider = \"kubernetes\"\nurl = %q\nidentity = [%q]\nname = \"deploy\"\n[[instance]]\nprovider = \"kubernetes\"\nurl = %q\nca = %q\nadmin = \"env:ADMIN\"\nelsewhere = false\nsettle = \"11s\"\n"+
		"[[instance.controls]]\nrule = \"kubernetes-secret-token\"\nparts = { token = \"env:CONTROL\" }\n[[instance.controls]]\nrule = \"kubernetes-bound-token\"\nparts = { token = \"env:ADMIN\" }\n", k.url, uid, k.url, k.ca))
	file := func(name, token string) string {
		return o.file(name, stamp+"+ kubectl config set-credentials deploy --token="+token+"\n")
	}
	verdict := func(name, token, want string) {
		t.Helper()
		code := map[string]int{"live": 1, "dead": 0, "unknown": 1}[want]
		report := o.quell(code, "scan", "path", file(name, token), "--format", "jsonl")
		if !strings.Contains(report, `"liveness":"`+want+`"`) {
			t.Errorf("%s: not %s, but %s", name, want, find(t, `("liveness".*)`, report))
		}
	}
	verdict("foreign.log", foreign, "unknown")
	verdict("replaced.log", replaced, "dead")

	// Nothing ends one bound token.
	a := one(t, o.kill(1, 3, "path", file("bound.log", bound)), "kubernetes-bound-token", "UntilExpiry")
	if !strings.Contains(a.Detail, "its issuer can't end it") {
		t.Errorf("%s", a.Detail)
	}

	a = one(t, o.kill(1, 0, "path", file("leaked.log", leaked)), "kubernetes-secret-token", "Confirmed")
	if a.Control != "live" || a.Seconds < 10 {
		t.Errorf("positive control %q, after %.1f s", a.Control, a.Seconds)
	}
	if status, _ := k.ask(leaked, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", fields{"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}); status != 401 {
		t.Errorf("the server answers the killed token with %d", status)
	}
	if status, _ := k.ask(kubeAdmin, "GET", "/api/v1/namespaces/ci/secrets/deploy-token", nil); status != 404 {
		t.Errorf("the Secret still exists: %d", status)
	}
	if live, problem := k.alive(other); !live {
		t.Errorf("another token of the account ended too: %s", problem)
	}
	verdict("other.log", other, "live")

	// By hand: what it is bound to.
	k.do("DELETE", "/api/v1/namespaces/ci/secrets/anchor", nil)
	k.dies(bound)
	verdict("bound.log", bound, "dead")
	verdict("leaked.log", leaked, "dead")
	for _, name := range []string{"leaked", "other", "foreign", "replaced", "bound"} {
		if err := os.Remove(filepath.Join(o.dir, name+".log")); err != nil {
			t.Error(err)
		}
	}
	o.files()
}
