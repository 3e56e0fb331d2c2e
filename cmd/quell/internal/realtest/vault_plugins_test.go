package realtest

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/quellhq/quell/revokers/issuer"
)

// directory is a real OpenLDAP with the users admin (which Vault binds as) and app.
type directory struct {
	t        *testing.T
	url, pwd string
}

const suffix = "dc=test"

func newDirectory(t *testing.T) directory {
	bin := need(t, "/usr/sbin/slapd")
	d := mkdir(t)
	port := freePort(t)
	if err := os.Mkdir(filepath.Join(d, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf("include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\ninclude /etc/ldap/schema/inetorgperson.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile %s/pid\ndatabase mdb\nsuffix %q\nrootdn \"cn=setup,%s\"\nrootpw made-up-setup\ndirectory %s/data\naccess to attrs=userPassword by dn.exact=\"cn=admin,%s\" write by anonymous auth\naccess to * by dn.exact=\"cn=admin,%s\" write by * read\n", d, suffix, suffix, d, suffix, suffix)
	ldif := "dn: " + suffix + "\nobjectClass: dcObject\nobjectClass: organization\no: test\ndc: test\n\n" +
		"dn: cn=admin," + suffix + "\nobjectClass: inetOrgPerson\nsn: admin\ncn: admin\nuserPassword: made-up-bind\n\n" +
		"dn: cn=app," + suffix + "\nobjectClass: inetOrgPerson\nsn: app\ncn: app\nuid: app\nuserPassword: made-up-first\n\n"
	for name, text := range map[string]string{"slapd.conf": conf, "seed.ldif": ldif} {
		if err := os.WriteFile(filepath.Join(d, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command(t, nil, d, filepath.Join(filepath.Dir(bin), "slapadd"), "-f", d+"/slapd.conf", "-l", d+"/seed.ldif")
	at := "ldap://127.0.0.1:" + port
	c := exec.Command(bin, "-f", d+"/slapd.conf", "-h", at, "-d", "0")
	grouped(c)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(c); _ = c.Wait() })
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if n, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			_ = n.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal("slapd does not answer")
		}
	}
	return directory{t, at, d}
}

// accepts binds to the directory by LDAP's simple bind (RFC 4511, section 4.2).
func (d directory) accepts(cn, password string) bool {
	d.t.Helper()
	n, err := net.Dial("tcp", strings.TrimPrefix(d.url, "ldap://"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer n.Close()
	field := func(tag byte, b string) string { return string([]byte{tag, byte(len(b))}) + b }
	bind := field(0x60, field(0x02, "\x03")+field(0x04, "cn="+cn+","+suffix)+field(0x80, password))
	if _, err := n.Write([]byte(field(0x30, field(0x02, "\x01")+bind))); err != nil {
		d.t.Fatal(err)
	}
	_ = n.SetReadDeadline(time.Now().Add(5 * time.Second))
	b := make([]byte, 256)
	got, err := n.Read(b)
	// LDAPMessage { id, BindResponse { resultCode ENUMERATED, …
	if err != nil || got < 10 || b[5] != 0x61 || b[7] != 0x0a {
		d.t.Fatalf("no answer to a bind: %v %x", err, b[:got])
	}
	return b[9] == 0
}

// A static role and the root credential of the LDAP engine, at a real OpenLDAP.
func TestVaultLDAP(t *testing.T) {
	t.Parallel()
	b := &bed{t, vaultWith(t, "vault-plugin-secrets-openldap"), newOperator(t)}
	d := newDirectory(t)
	if err := b.c.Sys().Mount("ldap", &api.MountInput{Type: "vault-plugin-secrets-openldap"}); err != nil {
		t.Fatal(err)
	}
	b.write("ldap/config", map[string]any{"binddn": "cn=admin," + suffix, "bindpass": "made-up-bind", "url": d.url, "userdn": suffix, "userattr": "uid"})
	b.write("ldap/static-role/app", map[string]any{"dn": "cn=app," + suffix, "username": "app", "rotation_period": "24h"})
	leaked := b.read("ldap/static-cred/app")["password"].(string)
	if !d.accepts("app", leaked) || d.accepts("app", "made-up-first") {
		t.Fatal("the directory does not have the password of the static role")
	}
	b.rotate(leaked, issuer.Rotation{Engine: "ldap", StaticRole: "ldap/app"})
	if fresh := b.read("ldap/static-cred/app")["password"].(string); d.accepts("app", leaked) || !d.accepts("app", fresh) {
		t.Error("the leaked password is accepted, or the new one is not")
	}
	if !d.accepts("admin", "made-up-bind") {
		t.Fatal("Vault's own password is not accepted before")
	}
	b.rotate("made-up-bind", issuer.Rotation{Engine: "ldap", Root: "ldap"})
	if d.accepts("admin", "made-up-bind") {
		t.Error("the leaked password of Vault's own is accepted")
	}
	// Vault has the new one: it can rotate the role again.
	b.write("ldap/rotate-role/app", nil)
}

// Vault's AWS engine at a server that obeys the published form of the three calls that
// rotate-root makes.
func TestVaultAWSRoot(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	keys := map[string]bool{"AKIAMADEUPOLD0000000": true}
	iam := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		_ = r.ParseForm()
		w.Header().Set("Content-Type", "text/xml")
		signer := find(t, `Credential=([A-Z0-9]+)/`, r.Header.Get("Authorization"))
		answer := func(what string) {
			a := r.PostForm.Get("Action")
			fmt.Fprintf(w, `<%sResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><%sResult>%s</%sResult></%sResponse>`, a, a, what, a, a)
		}
		switch {
		case !keys[signer]:
			w.WriteHeader(403)
			fmt.Fprint(w, `<ErrorResponse><Error><Code>InvalidClientTokenId</Code></Error></ErrorResponse>`)
		case r.PostForm.Get("Action") == "GetUser":
			answer(`<User><Path>/</Path><UserName>vault</UserName><UserId>AIDAMADEUP</UserId><Arn>arn:aws:iam::123456789012:user/vault</Arn></User>`)
		case r.PostForm.Get("Action") == "CreateAccessKey":
			keys["AKIAMADEUPNEW0000000"] = true
			answer(`<AccessKey><UserName>vault</UserName><AccessKeyId>AKIAMADEUPNEW0000000</AccessKeyId><Status>Active</Status><SecretAccessKey>made-up-new-secret</SecretAccessKey></AccessKey>`)
		case r.PostForm.Get("Action") == "DeleteAccessKey":
			delete(keys, r.PostForm.Get("AccessKeyId"))
			answer("")
		default:
			w.WriteHeader(400)
		}
	}))
	t.Cleanup(iam.Close)
	b := &bed{t, vaultWith(t, "aws-secrets"), newOperator(t)}
	if err := b.c.Sys().Mount("aws", &api.MountInput{Type: "aws-secrets"}); err != nil {
		t.Fatal(err)
	}
	b.write("aws/config/root", map[string]any{"access_key": "AKIAMADEUPOLD0000000", "secret_key": "made-up-old-secret", "region": "us-east-1", "iam_endpoint": iam.URL, "sts_endpoint": iam.URL, "max_retries": 0})
	b.rotate("made-up-old-secret", issuer.Rotation{Engine: "aws", Root: "aws"})
	mu.Lock()
	defer mu.Unlock()
	if keys["AKIAMADEUPOLD0000000"] || !keys["AKIAMADEUPNEW0000000"] || b.read("aws/config/root")["access_key"] != "AKIAMADEUPNEW0000000" {
		t.Errorf("%v", keys)
	}
}

// Vault's Terraform engine at a server that obeys the published form of the calls that
// rotate-role makes for an organization: a new token replaces the old one.
// https://developer.hashicorp.com/terraform/cloud-docs/api-docs/organization-tokens
func TestVaultTerraformRole(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	made := 0
	tfe := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		w.Header().Set("Content-Type", "application/vnd.api+json")
		w.Header().Set("TFP-API-Version", "2.6")
		switch r.Method + " " + r.URL.Path {
		case "GET /api/v2/ping":
			w.WriteHeader(204)
		case "GET /api/v2/organizations/acme":
			fmt.Fprint(w, `{"data":{"id":"acme","type":"organizations","attributes":{"name":"acme"}}}`)
		case "POST /api/v2/organizations/acme/authentication-token":
			made++
			w.WriteHeader(201)
			fmt.Fprintf(w, `{"data":{"id":"at-%d","type":"authentication-tokens","attributes":{"token":"made-up-terraform-%d"}}}`, made, made)
		default:
			w.WriteHeader(404)
		}
	}))
	t.Cleanup(tfe.Close)
	b := &bed{t, vaultWith(t, "vault-plugin-secrets-terraform"), newOperator(t)}
	if err := b.c.Sys().Mount("terraform", &api.MountInput{Type: "vault-plugin-secrets-terraform"}); err != nil {
		t.Fatal(err)
	}
	b.write("terraform/config", map[string]any{"token": "made-up-terraform-root", "address": tfe.URL})
	b.write("terraform/role/org", map[string]any{"organization": "acme"})
	leaked := b.read("terraform/creds/org")["token"].(string)
	b.rotate(leaked, issuer.Rotation{Engine: "terraform", StaticRole: "terraform/org"})
	mu.Lock()
	defer mu.Unlock()
	if now := b.read("terraform/creds/org")["token"]; now == leaked || now != fmt.Sprintf("made-up-terraform-%d", made) || made != 2 {
		t.Errorf("%d tokens were made", made)
	}
}

// quell signs in by an identity of AWS at Vault's own auth method, which asks a server
// that obeys the published form of GetCallerIdentity.
func TestVaultLoginByAWS(t *testing.T) {
	t.Parallel()
	sts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		w.Header().Set("Content-Type", "text/xml")
		a := r.Header.Get("Authorization")
		if r.PostForm.Get("Action") != "GetCallerIdentity" || !strings.Contains(a, "Credential=AKIAMADEUPQUELL00000/") || !strings.Contains(a, "/us-east-1/sts/aws4_request") || !strings.Contains(a, "x-vault-aws-iam-server-id") {
			w.WriteHeader(403)
			return
		}
		fmt.Fprint(w, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/quell</Arn><UserId>AIDAMADEUP</UserId><Account>123456789012</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>`)
	}))
	t.Cleanup(sts.Close)
	b := &bed{t, vaultWith(t, "aws-auth"), newOperator(t)}
	if err := b.c.Sys().EnableAuthWithOptions("aws", &api.EnableAuthOptions{Type: "aws-auth"}); err != nil {
		t.Fatal(err)
	}
	if err := b.c.Sys().PutPolicy("reads", loginPolicy); err != nil {
		t.Fatal(err)
	}
	b.write("auth/aws/config/client", map[string]any{"sts_endpoint": sts.URL, "sts_region": "us-east-1", "iam_server_id_header_value": "vault.test", "access_key": "AKIAMADEUPVAULT00000", "secret_key": "made-up-of-vault"})
	b.write("auth/aws/role/quell", map[string]any{"auth_type": "iam", "bound_iam_principal_arn": "arn:aws:iam::123456789012:user/quell", "resolve_aws_unique_ids": false, "token_policies": "reads", "token_ttl": "5m"})
	leaked := newToken(t, b.c, &api.TokenCreateRequest{Policies: []string{"default"}, TTL: "1h"})
	before := b.tokens()
	b.o.secrets = []string{leaked, root, "made-up-of-quell"}
	b.o.env["KEY"] = "AKIAMADEUPQUELL00000:made-up-of-quell"
	for id, refused := range map[string]bool{"vault.test": false, "another.test": true} {
		b.o.policy(fmt.Sprintf("[[instance]]\nprovider = \"vault\"\nurl = %q\nown = true\n[instance.login]\nmethod = \"aws\"\nrole = \"quell\"\naws_key = \"env:KEY\"\naws_server_id = %q\n", b.c.Address(), id))
		out := b.o.quell(1, "scan", "log", b.o.file("job.log", stamp+"VAULT_TOKEN="+leaked+"\n"), "--format", "jsonl")
		if !strings.Contains(out, `"live"`) || strings.Contains(out, "login by aws: ") != refused {
			t.Errorf("%s: %s", id, out)
		}
		if n := b.tokens(); n != before {
			t.Errorf("%d tokens, %d before", n, before)
		}
	}
}

// tlsVault is a Vault with a TLS listener, and the file of the authority that signed its
// certificate.
func tlsVault(t *testing.T) (c *api.Client, ca string) {
	bin := tools(t, "vault-v1.21.1/vault")
	d := mkdir(t)
	port := freePort(t)
	command := exec.CommandContext(context.Background(), bin, "server", "-dev", "-dev-tls", "-dev-tls-cert-dir="+d, "-dev-no-store-token", "-dev-root-token-id="+root, "-dev-listen-address=127.0.0.1:"+port)
	command.Env = append(os.Environ(), "HOME="+d, "VAULT_DISABLE_MLOCK=1", "SKIP_SETCAP=1")
	grouped(command)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(command); _ = command.Wait() })
	ca = filepath.Join(d, "vault-ca.pem")
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		cfg := &api.Config{Address: "https://127.0.0.1:" + port, HttpClient: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}}}
		if cfg.ConfigureTLS(&api.TLSConfig{CACert: ca}) == nil {
			var err error
			if c, err = api.NewClient(cfg); err == nil {
				if h, err := c.Sys().Health(); err == nil && h.Initialized && !h.Sealed {
					break
				}
			}
		}
		if time.Now().After(end) {
			t.Fatal("Vault does not answer by TLS")
		}
	}
	c.SetToken(root)
	return c, ca
}

// quell signs in by a client certificate at Vault's own TLS listener, and asks no server
// whose certificate another authority has signed.
func TestVaultLoginByCertificate(t *testing.T) {
	t.Parallel()
	c, ca := tlsVault(t)
	b := &bed{t, c, newOperator(t)}
	if err := c.Sys().EnableAuthWithOptions("cert", &api.EnableAuthOptions{Type: "cert"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Sys().PutPolicy("reads", loginPolicy); err != nil {
		t.Fatal(err)
	}
	own, text := certificate(t, "quell")
	other, _ := certificate(t, "quell")
	b.write("auth/cert/certs/quell", map[string]any{"certificate": text, "allowed_common_names": "quell", "token_policies": "reads", "token_ttl": "5m"})
	leaked := newToken(t, c, &api.TokenCreateRequest{Policies: []string{"default"}, TTL: "1h"})
	before := b.tokens()
	b.o.secrets = []string{leaked, root}
	_, otherCA := certificate(t, "ca")
	wrongCA := b.o.file("other-ca.pem", otherCA)
	for _, c := range []struct {
		name, ca, cert string
		code           int
		says           string
	}{
		{"its own certificate", ca, own, 1, `"liveness":"live"`},
		{"a certificate that the mount does not know", ca, other, 1, "login by cert: "},
		{"a server of another authority", wrongCA, own, 1, "unreachable"},
	} {
		b.o.policy(fmt.Sprintf("[[instance]]\nprovider = \"vault\"\nurl = %q\nown = true\nca = %q\nclient_cert = %q\n[instance.login]\nmethod = \"cert\"\nrole = \"quell\"\n", b.c.Address(), c.ca, c.cert))
		out := b.o.quell(c.code, "scan", "log", b.o.file("job.log", stamp+"VAULT_TOKEN="+leaked+"\n"), "--format", "jsonl")
		if !strings.Contains(out, c.says) || c.cert == own && c.ca == ca && strings.Contains(out, "login by") {
			t.Errorf("%s: %s", c.name, out)
		}
		if n := b.tokens(); n != before {
			t.Errorf("%s: %d tokens, %d before", c.name, n, before)
		}
	}
}
