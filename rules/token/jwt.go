// Package token parses credentials with readable content, for scanners and revokers. It
// verifies no signatures.
package token

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// JWT is the content of a JSON Web Token (RFC 7519). All of it is unverified.
type JWT struct {
	Algorithm string
	KeyID     string
	Type      string
	Issuer    string
	Subject   string
	ID        string
	ClientID  string
	Scope     string
	Audience  []string
	Expires   time.Time // zero if absent
	Issued    time.Time
	Claims    map[string]any
}

var errNotJWT = errors.New("not a JWT")

// ParseJWT reads the header and the claims of a compact JWS. A JWE, whose
// claims are encrypted, is not one.
func ParseJWT(s string) (JWT, error) {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return JWT{}, errNotJWT
	}
	var head struct {
		Alg string `json:"alg"`
		Kid string `json:"kid"`
		Typ string `json:"typ"`
		Enc string `json:"enc"`
	}
	if decode(parts[0], &head) != nil || head.Alg == "" || head.Enc != "" {
		return JWT{}, errNotJWT
	}
	claims := map[string]any{}
	if decode(parts[1], &claims) != nil {
		return JWT{}, errNotJWT
	}
	str := func(k string) string { v, _ := claims[k].(string); return v }
	j := JWT{Algorithm: head.Alg, KeyID: head.Kid, Type: head.Typ, Issuer: str("iss"), Subject: str("sub"), ID: str("jti"), ClientID: str("client_id"), Scope: str("scope"),
		Expires: instant(claims["exp"]), Issued: instant(claims["iat"]), Claims: claims}
	switch a := claims["aud"].(type) {
	case string:
		j.Audience = []string{a}
	case []any:
		for _, e := range a {
			if s, ok := e.(string); ok {
				j.Audience = append(j.Audience, s)
			}
		}
	}
	return j, nil
}

func decode(s string, v any) error {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// instant reads a NumericDate (RFC 7519, section 2): seconds since 1970. Dates after the year
// 9999 count as absent, because no issuer means them.
func instant(v any) time.Time {
	f, ok := v.(float64)
	if !ok || f <= 0 || f >= 253402300800 {
		return time.Time{}
	}
	return time.Unix(int64(f), 0).UTC()
}

// Public returns the rule of tokens that are meant to be in every page, such as Supabase's
// anonymous key; empty: the token is no such token.
func (j JWT) Public() (rule string) {
	known := j.known()
	if known == nil {
		return ""
	}
	for claim, want := range known.Public {
		if v, _ := j.Claims[claim].(string); v != want {
			return ""
		}
	}
	return known.PublicRule
}

// Sample reports whether the token is one that documentation prints: that of jwt.io and similar
// pages (sub 1234567890, John Doe), and those of RFC 7519 and RFC 7515 (joe's
// http://example.com/is_root).
func (j JWT) Sample() bool {
	name, _ := j.Claims["name"].(string)
	known := j.known()
	_, root := j.Claims["http://example.com/is_root"]
	return root || j.Subject == "1234567890" && (name == "John Doe" || name == "") || known != nil && known.Sample
}
