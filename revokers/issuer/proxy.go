package issuer

import (
	"crypto/x509"
	"errors"
	"net/url"
	"os"
	"slices"

	"github.com/quellhq/quell/rules/credential"
)

// ReadCA reads a file of certificates (PEM) that replace the system's roots.
func ReadCA(file string) (*x509.CertPool, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, errors.New("ca: the file that it names can't be read")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, errors.New("ca: the file that it names contains no certificate")
	}
	return pool, nil
}

// ParseProxy reads the URL of a proxy, which may contain a password. The error does not contain
// the URL.
func ParseProxy(s credential.Secret) (u *url.URL, password credential.Secret, err error) {
	u, err = url.Parse(s.Reveal())
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5"}, u.Scheme) {
		return nil, password, errors.New("proxy is no http, https or socks5 URL")
	}
	if p, ok := u.User.Password(); ok {
		password = credential.NewSecretString(p)
	}
	return u, password, nil
}
