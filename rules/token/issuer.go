package token

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/quellhq/quell/rules/regex"
)

// Facts are statements of a token's own claims about its issuer, its type and its revocation.
// They are unverified: no signature was checked.
type Facts struct {
	Issuer string `json:"issuer,omitempty"` // a known name, or the host of iss
	Type   string `json:"type,omitempty"`   // access token, ID token, refresh token, session …
	Kill   string `json:"kill,omitempty"`   // how a person can revoke it
	// Bound is set if using the token requires a key of its holder (RFC 8705, RFC 9449).
	Bound bool `json:"bound,omitempty"`
}

//go:embed issuers.toml
var issuersTOML []byte

// knownIssuer is an issuer that is recognised by iss, or by a claim that only its tokens have.
type knownIssuer struct {
	Match string `toml:"match"`
	Claim string `toml:"claim"`
	Name  string `toml:"name"`
	Kill  string `toml:"kill"`
	// TypeClaim is the claim whose value, followed by " key", is the type.
	TypeClaim string `toml:"type_claim"`
	// Public are the claims of tokens that are meant to be in every page, and PublicRule is
	// the rule that reports them.
	Public     map[string]string `toml:"public"`
	PublicRule string            `toml:"public_rule"`
	// Sample is set where only documentation prints tokens of the issuer.
	Sample bool `toml:"sample"`

	match *regexp.Regexp
}

func (i *knownIssuer) is(j JWT) bool {
	if i.Claim != "" {
		_, ok := j.Claims[i.Claim]
		return ok
	}
	return i.match.MatchString(j.Issuer)
}

// known is the entry of issuers.toml that the token belongs to; nil: none.
func (j JWT) known() *knownIssuer {
	all, err := knownIssuers()
	if err != nil {
		return nil // a test validates the embedded file
	}
	for i := range all {
		if all[i].is(j) {
			return &all[i]
		}
	}
	return nil
}

// knownIssuers are the issuers of issuers.toml, in its order.
var knownIssuers = sync.OnceValues(func() ([]knownIssuer, error) {
	var f struct {
		Issuers []knownIssuer `toml:"issuer"`
	}
	dec := toml.NewDecoder(bytes.NewReader(issuersTOML))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return nil, err
	}
	for i := range f.Issuers {
		x := &f.Issuers[i]
		if x.Match == "" && x.Claim == "" {
			return nil, errors.New("an issuer is recognised by match or by claim")
		}
		if (len(x.Public) == 0) != (x.PublicRule == "") {
			return nil, fmt.Errorf("issuer %s: public and public_rule go together", x.Name)
		}
		var err error
		if x.match, err = regexp.Compile(x.Match); err != nil {
			return nil, err
		}
	}
	return f.Issuers, nil
})

var hostRE = regex.Lazy(`^https?://([A-Za-z0-9.-]+(?::[0-9]{1,5})?)`)

// Facts reads the issuer and the type of the token from its header and claims. It returns nil
// if they state nothing.
func (j JWT) Facts() *Facts {
	f := &Facts{Type: j.use()}
	known := j.known()
	if known != nil {
		f.Issuer, f.Kill = known.Name, known.Kill
	}
	if m := hostRE().FindStringSubmatch(j.Issuer); f.Issuer == "" && m != nil {
		f.Issuer = m[1]
	}
	if cnf, ok := j.Claims["cnf"].(map[string]any); ok {
		f.Bound = cnf["jkt"] != nil || cnf["x5t#S256"] != nil
	}
	if known != nil && known.TypeClaim != "" {
		if v, _ := j.Claims[known.TypeClaim].(string); v != "" {
			f.Type = v + " key"
		}
	}
	if *f == (Facts{}) {
		return nil
	}
	return f
}

// Host returns the host of iss, with its port if it has one. It is an unverified claim.
func (j JWT) Host() string {
	if m := hostRE().FindStringSubmatch(j.Issuer); m != nil {
		return strings.ToLower(m[1])
	}
	return ""
}

// use returns the token's type: by the typ of RFC 9068, Cognito's token_use, and the claims of
// Keycloak and Cursor. Other types have the same format as access tokens.
func (j JWT) use() string {
	switch strings.ToLower(strings.TrimPrefix(strings.ToLower(j.Type), "application/")) {
	case "at+jwt":
		return "access token"
	case "logout+jwt":
		return "logout token"
	case "secevent+jwt":
		return "security event"
	case "dpop+jwt":
		return "proof of possession"
	}
	str := func(k string) string { v, _ := j.Claims[k].(string); return v }
	switch use := str("token_use"); use {
	case "access", "refresh":
		return use + " token"
	case "id":
		return "ID token"
	}
	switch typ := str("typ"); strings.ToLower(typ) {
	case "bearer":
		return "access token"
	case "id":
		return "ID token"
	case "refresh":
		return "refresh token"
	case "offline":
		return "offline refresh token"
	case "serialized-id":
		return "session"
	}
	switch {
	case str("type") == "session" || str("session_id") != "" && str("scope") == "":
		return "session"
	case str("scope") != "" || str("scp") != "" || j.Claims["scp"] != nil:
		return "access token"
	case str("nonce") != "" || str("at_hash") != "":
		return "ID token"
	}
	return ""
}

// NoCredential reports whether the token grants no access: a logout token, a security event, or
// a proof of possession, which is useless without its key.
func (j JWT) NoCredential() bool {
	switch j.use() {
	case "logout token", "security event", "proof of possession":
		return true
	}
	return false
}

// Unsigned reports whether anybody could have written the token (RFC 7515, 3.6).
func (j JWT) Unsigned() bool { return strings.EqualFold(j.Algorithm, "none") }

// signatures are the possible signature lengths per algorithm, in bytes (RFC 7518, 3; RFC
// 8037).
var signatures = map[string][]int{"HS256": {32}, "HS384": {48}, "HS512": {64}, "ES256": {64}, "ES384": {96}, "ES512": {132}, "EdDSA": {64, 114},
	"RS256": {256, 384, 512}, "RS384": {256, 384, 512}, "RS512": {256, 384, 512}, "PS256": {256, 384, 512}, "PS384": {256, 384, 512}, "PS512": {256, 384, 512}}

// WholeSignature reports whether the signature of a compact JWS has a valid length for its
// algorithm. If not, the token was cut off or invented.
func (j JWT) WholeSignature(s string) bool {
	want, ok := signatures[j.Algorithm]
	if !ok {
		return true
	}
	n := base64.RawURLEncoding.DecodedLen(len(strings.TrimRight(s[strings.LastIndexByte(s, '.')+1:], "=")))
	for _, w := range want {
		if n == w {
			return true
		}
	}
	return false
}

// ParseJWE reads the header of a compact JWE (RFC 7516), whose claims are encrypted. Some
// issuers put the expiry into the header.
func ParseJWE(s string) (expires time.Time, ok bool) {
	parts := strings.Split(s, ".")
	if len(parts) != 5 {
		return time.Time{}, false
	}
	var head struct {
		Alg string `json:"alg"`
		Enc string `json:"enc"`
		Exp any    `json:"exp"`
	}
	if decode(parts[0], &head) != nil || head.Alg == "" || head.Enc == "" {
		return time.Time{}, false
	}
	return instant(head.Exp), true
}

// ParsePASETO reads the expiry of a public PASETO. Its claims precede the signature, which has
// 64 bytes (version 1: 256, version 3: 96). A local PASETO is encrypted.
func ParsePASETO(s string) (expires time.Time, ok bool) {
	parts := strings.Split(s, ".")
	if len(parts) < 3 || len(parts) > 4 || len(parts[0]) != 2 {
		return time.Time{}, false
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return time.Time{}, false
	}
	if parts[1] == "local" {
		return time.Time{}, true
	}
	sig := map[string]int{"v1": 256, "v2": 64, "v3": 96, "v4": 64}[parts[0]]
	var claims struct {
		Exp time.Time `json:"exp"`
	}
	if sig == 0 || len(b) <= sig || json.Unmarshal(b[:len(b)-sig], &claims) != nil {
		return time.Time{}, false
	}
	return claims.Exp.UTC(), true
}

// Macaroon reports whether s is a macaroon in the first format of libmacaroons: packets of four
// hex digits, a name and a value, beginning with the location.
func Macaroon(s string) bool {
	b, err := base64.RawURLEncoding.DecodeString(strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(s))
	if err != nil || len(b) < 40 {
		return false
	}
	rest := string(b[4:])
	return strings.HasPrefix(rest, "location ") && strings.Contains(rest, "identifier ") && strings.Contains(rest, "signature ")
}
