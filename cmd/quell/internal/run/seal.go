package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
	"github.com/quellhq/quell/rules/token"
)

// sealMark begins the sealed form of a credential. Earlier releases sealed the
// secret alone.
const sealMark = "quell-credential-1\n"

// sealed is what is encrypted. The rule and the cookie's name are inside, so
// that a report whose lines were edited cannot send a value to another issuer.
type sealed struct {
	Rule   string `json:"rule"`
	Cookie string `json:"cookie,omitempty"`
	// Cookies are further names of the cookie; see rules.Ref.
	Cookies []string          `json:"cookies,omitempty"`
	Secret  string            `json:"secret"`
	Parts   map[string]string `json:"parts,omitempty"`
}

// ErrRelabelled is returned for a sealed value that belongs to another rule than
// the one that the file names.
var ErrRelabelled = errors.New("the sealed value belongs to another rule or cookie than the line says: the file was changed")

// SealCredential encrypts the secrets of a credential to the recipients of with.
func SealCredential(c credential.Credential, with *config.Sealer) (string, error) {
	s := sealed{Rule: c.Rule, Cookie: c.Cookie, Cookies: c.Cookies, Secret: c.Secret.Reveal()}
	for name, p := range c.Parts {
		if s.Parts == nil {
			s.Parts = map[string]string{}
		}
		s.Parts[name] = p.Reveal()
	}
	b, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	return with.Seal(append([]byte(sealMark), b...))
}

// OpenCredential decrypts what SealCredential made. A value of an earlier
// release must have the form of the rule that ref names.
func OpenCredential(set *rules.Set, ref credential.Ref, value string, with ...age.Identity) (credential.Credential, error) {
	c := credential.Credential{Ref: ref}
	opened, err := config.Open(value, with...)
	if err != nil {
		return c, err
	}
	text, marked := strings.CutPrefix(opened.Reveal(), sealMark)
	if !marked {
		c.Secret = opened
		if r := set.Rule(ref.Rule); r != nil && !r.CanBe(ref.Cookie, opened) {
			return credential.Credential{}, ErrRelabelled
		}
		c.Claims.Merge(credential.Claims{Cookies: c.Cookies})
		c.Cookies, c.Offline = nil, offlineOf(set, c)
		return c, nil
	}
	var s sealed
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return c, errors.New("open: the sealed value is damaged")
	}
	if s.Rule != ref.Rule || s.Cookie != ref.Cookie {
		return credential.Credential{}, ErrRelabelled
	}
	c.Cookies = nil
	for _, n := range ref.Cookies {
		if slices.Contains(s.Cookies, n) {
			c.Name(n)
		} else {
			c.Claims.Merge(credential.Claims{Cookies: []string{n}})
		}
	}
	c.Secret = credential.NewSecretString(s.Secret)
	for name, p := range s.Parts {
		if c.Parts == nil {
			c.Parts = map[string]credential.Secret{}
		}
		c.Parts[name] = credential.NewSecretString(p)
	}
	if r := set.Rule(ref.Rule); r != nil && r.Provider != nil {
		c.Provider, c.Kind = r.Provider.ID, r.Kind
	}
	c.Offline = offlineOf(set, c)
	return c, nil
}

// offlineOf is a credential's own expiry according to the file. Expired is a verdict without a
// request, so only the value itself may prove it: the file may have been changed.
func offlineOf(set *rules.Set, c credential.Credential) credential.Offline {
	if c.Offline.State != credential.OfflineExpired {
		return c.Offline
	}
	ends := ownExpiry(set, c)
	switch {
	case ends.IsZero():
		return credential.Offline{State: credential.OfflineUnknown}
	case ends.After(time.Now()):
		return credential.Offline{State: credential.OfflineUnexpired, Expires: &ends}
	}
	return credential.Offline{State: credential.OfflineExpired, Expires: &ends}
}

// ownExpiry reads the expiry from the value itself; zero: it has none.
func ownExpiry(set *rules.Set, c credential.Credential) time.Time {
	v := c.Secret.Reveal()
	if t, ok := token.ParseJWE(v); ok {
		return t
	}
	// An issuer's prefix may precede a JWT.
	if i := strings.Index(v, "ey"); i >= 0 {
		if j, err := token.ParseJWT(v[i:]); err == nil {
			return j.Expires
		}
	}
	if t, ok := token.ParsePASETO(v); ok {
		return t
	}
	r := set.Rule(c.Rule)
	switch {
	case r != nil && len(r.Expiry) > 0:
		return token.Expiry(v, r.Expiry)
	case c.Cookie != "":
		return token.CookieExpiry(v)
	}
	return time.Time{}
}
