package issuer

import (
	"errors"
	"net/url"
	"slices"

	"github.com/quellhq/quell/rules/credential"
)

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
