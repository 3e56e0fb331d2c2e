package policy

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// certificate writes a certificate with its key, and returns the file and the key.
func certificate(t *testing.T) (file, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "quell"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	b, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b})
	file = filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(file, append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), private...), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, string(bytes.TrimSpace(private))
}

// Only the policy decides how an instance is reached, and its secrets are quell's own.
func TestTheNetworkOfAnInstance(t *testing.T) {
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	file, key := certificate(t)
	text := "version = 1\n[[instance]]\nprovider = 'github'\nurl = 'https://api.github.com'\nca = '" + file + "'\nclient_cert = '" + file + "'\nproxy = 'env:PROXY'\n" +
		"[[instance.controls]]\nrule = 'github-pat'\nparts = { token = 'env:MY_PAT', other = 'env:MY_OTHER' }\n"
	p, err := Parse("p", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"PROXY": "http://quell:made-up-pass@proxy.corp.example:3128", "MY_PAT": "made-up-pat", "MY_OTHER": "made-up-half", "HTTPS_PROXY": "http://elsewhere.example"}
	list, err := p.Instances(set, nil, func(n string) string { return env[n] }, nil, func(err error) error { return err })
	if err != nil {
		t.Fatal(err)
	}
	var in *issuer.Instance
	for _, i := range list {
		if i.Operator {
			in = i
		}
	}
	n := in.Network
	if n.CA == nil || n.ClientCert == nil || n.Proxy == nil || n.Proxy.Host != "proxy.corp.example:3128" {
		t.Errorf("%+v", n)
	}
	for _, want := range []string{"made-up-pass", key} {
		found := false
		for _, s := range in.Further {
			found = found || s.Equal(credential.NewSecretString(want))
		}
		if !found {
			t.Errorf("%.30q is not a secret of its own", want)
		}
	}
	c, ok := in.Control(set.Rule("github-pat"))
	if !ok || !c.Secret.Equal(credential.NewSecretString("made-up-pat")) || !c.Parts["other"].Equal(credential.NewSecretString("made-up-half")) {
		t.Errorf("the control of a rule: %v", ok)
	}
	if _, ok := in.Control(set.Rule("github-oauth")); ok {
		t.Error("a control of one rule is taken for another's")
	}
}

func TestSettingsOfANetwork(t *testing.T) {
	const secret = "made-up-pass"
	for setting, want := range map[string]string{
		"proxy='http://proxy.example:3128'": "", "proxy='socks5://127.0.0.1:1080'": "", "proxy='https://proxy.example'": "", "proxy='env:PROXY'": "", "proxy='file:/run/proxy'": "",
		"proxy='http://u:" + secret + "@proxy.example'": "contains a password", "proxy='ftp://proxy.example'": "no http", "proxy='" + secret + "'": "no http", "proxy='env:a b'": "no name of a variable",
		"controls=[{rule='github-pat'}]": "needs a rule and parts", "controls=[{rule='github-pat',parts={token='" + secret + "'}}]": "never written out",
	} {
		_, err := Parse("p", []byte("version = 1\n[[instance]]\nprovider='github'\nurl='https://api.github.com'\n"+setting+"\n"))
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret)) {
			t.Errorf("%s: %v", strings.ReplaceAll(setting, secret, "…"), err)
		}
	}
	for url, want := range map[string]string{"postgres://db.example/x": "uses none", "http://127.0.0.1:1": "without TLS"} {
		_, err := Parse("p", []byte("version = 1\n[[instance]]\nprovider='postgres'\nurl='"+url+"'\nproxy='http://proxy.example'\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// The revocation that an instance names has to be one of its provider's: a name with
// a fault in it would be ignored.
func TestTheRevocationOfAnInstance(t *testing.T) {
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{"user": true, "usr": false, "logout": false} {
		p, err := Parse("p", []byte("version = 1\n[[instance]]\nprovider = 'okta'\nurl = 'https://acme.okta.com'\nrevocation = '"+name+"'\n"))
		if err != nil {
			t.Fatal(err)
		}
		list, err := p.Instances(set, nil, func(string) string { return "" }, nil, func(err error) error { return err })
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "current, me, risk, session, user") {
			t.Errorf("%s: %v", name, err)
		}
		if ok && list[len(list)-1].Settings[issuer.SettingRevocation] != name {
			t.Errorf("%+v", list[len(list)-1].Settings)
		}
	}
}
