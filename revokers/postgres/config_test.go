package postgres

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/quellhq/quell/revokers/issuer"
)

// Neither the URL's query nor the environment of PostgreSQL's own clients decides where a
// password is sent, and which certificates sign the server's.
func TestOnlyThePolicySetsTheConnection(t *testing.T) {
	other := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(other, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]string{
		"PGHOST": "elsewhere.example", "PGPORT": "6432", "PGUSER": "other", "PGPASSWORD": "made-up", "PGDATABASE": "other", "PGSSLMODE": "disable",
		"PGTARGETSESSIONATTRS": "any", "PGAPPNAME": "x", "PGCONNECT_TIMEOUT": "1",
	} {
		t.Setenv(name, v)
	}
	mine := x509.NewCertPool()
	cert := &tls.Certificate{Certificate: [][]byte{{1}}}
	for address, want := range map[string]string{
		"postgres://db.example/shop": "db.example:5432", "postgres://db.example:5433/shop?sslmode=disable&host=elsewhere.example&port=1&sslrootcert=" + other: "db.example:5433",
		"postgres://db.example/shop?sslrootcert=system&sslcert=/x&sslkey=/y&passfile=/z&application_name=app": "db.example:5432",
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := Config(&issuer.Instance{Provider: "postgres", URL: u, Network: issuer.Network{CA: mine, ClientCert: cert}}, "app")
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		c := cfg.TLSConfig
		if got := u.Hostname(); cfg.Host != got || int(cfg.Port) != map[string]int{"db.example:5432": 5432, "db.example:5433": 5433}[want] || cfg.User != "app" || cfg.Database != "shop" || len(cfg.Fallbacks) != 0 {
			t.Errorf("%s: %s:%d as %s in %s", address, cfg.Host, cfg.Port, cfg.User, cfg.Database)
		}
		if c == nil || c.InsecureSkipVerify || c.ServerName != "db.example" || c.RootCAs != mine || len(c.Certificates) != 1 || c.VerifyConnection != nil || c.VerifyPeerCertificate != nil {
			t.Errorf("%s: the certificate is not verified by the policy's: %+v", address, c)
		}
	}
}

// Certificates that the environment names are not used, and a file that can't be read is no
// obstacle.
func TestTheEnvironmentsCertificatesAreIgnored(t *testing.T) {
	for _, n := range []string{"PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "PGPASSFILE"} {
		t.Setenv(n, "/made-up/file.pem")
	}
	u := &url.URL{Scheme: "postgres", Host: "db.example", Path: "/shop"}
	cfg, err := Config(&issuer.Instance{Provider: "postgres", URL: u}, "app")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.TLSConfig.RootCAs != nil {
		t.Error("the roots are those of PGSSLROOTCERT")
	}
}
