package token

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"time"
)

// Facts are what a token's own claims say of who made it, what it is and how it
// is ended. They are claims: nobody has checked a signature.
type Facts struct {
	Issuer string `json:"issuer,omitempty"` // in the field's words, or the host of iss
	Type   string `json:"type,omitempty"`   // access token, ID token, refresh token, session …
	Kill   string `json:"kill,omitempty"`   // what ends it, for a person to do
	// Bound is set where the token is of no use without a key that its holder has
	// (RFC 8705, RFC 9449).
	Bound bool `json:"bound,omitempty"`
}

// issuers are told by iss; the first that matches counts. The sources of how
// each is ended are the issuers' own documents.
var issuers = []struct {
	iss        *regexp.Regexp
	name, kill string
}{
	{regexp.MustCompile(`^https://token\.actions\.githubusercontent\.com`), "GitHub Actions", "cannot be ended; it is over after minutes: end the cloud sessions that were made from it"},
	{regexp.MustCompile(`^https://accounts\.google\.com$`), "Google", "revoke the grant at oauth2.googleapis.com/revoke"},
	{regexp.MustCompile(`^https://session\.firebase\.google\.com/`), "Firebase session cookie", "revokeRefreshTokens(uid), where the application checks for it"},
	{regexp.MustCompile(`^https://securetoken\.google\.com/`), "Firebase", "revokeRefreshTokens(uid), where the application checks for it"},
	{regexp.MustCompile(`^https://(?:sts\.windows\.net|login\.microsoftonline\.com)/`), "Microsoft Entra ID", "revokeSignInSessions of the user; of an application, remove its secret"},
	{regexp.MustCompile(`^https://[\w-]+\.okta(?:preview|-emea)?\.com(?:/|$)`), "Okta", "revoke the token, or DELETE /api/v1/users/{id}/sessions?oauthTokens=true"},
	{regexp.MustCompile(`^https://[\w.-]+\.auth0\.com/$`), "Auth0", "access tokens are good until they expire: revoke the refresh token, end the user's sessions"},
	{regexp.MustCompile(`^https://cognito-idp\.[\w-]+\.amazonaws\.com/`), "Amazon Cognito", "revoke the refresh token, or AdminUserGlobalSignOut"},
	{regexp.MustCompile(`^https?://[^/]+(?:/auth)?/realms/[^/]+$`), "Keycloak", "delete the session whose id is in sid, or push a not-before"},
	{regexp.MustCompile(`^kubernetes/serviceaccount$`), "Kubernetes (secret of a service account)", "delete the Secret that the token names; it has no end of its own"},
	{regexp.MustCompile(`^https://[\w-]+\.cloudflareaccess\.com$`), "Cloudflare Access", "revoke the user's sessions of the organisation"},
	{regexp.MustCompile(`^(?:supabase|supabase-demo)$`), "Supabase project key", "rotate the JWT secret, or move to publishable and secret keys"},
	{regexp.MustCompile(`^https://[a-z0-9]+\.supabase\.co/auth/v1$`), "Supabase", "sign the session out (scope global), or delete it as an admin"},
	{regexp.MustCompile(`^https://appleid\.apple\.com$`), "Apple", "appleid.apple.com/auth/revoke"},
	{regexp.MustCompile(`^(?:session-service|micros/[\w-]+|https://auth\.atlassian\.com|https://id\.atlassian\.com)`), "Atlassian", "log the user out of all sessions as the organisation's admin"},
	{regexp.MustCompile(`^https://auth\.openai\.com`), "OpenAI", "log out of all devices; codex logout"},
	{regexp.MustCompile(`^https://authentication\.cursor\.sh`), "Cursor", "revoke the session in the dashboard"},
	{regexp.MustCompile(`^https://clerk\.|^https://[\w-]+\.clerk\.accounts\.dev`), "Clerk", "revoke the session whose id is in sid"},
	{regexp.MustCompile(`^https://oidc\.vercel\.com`), "Vercel", "over within the hour"},
	{regexp.MustCompile(`^https://oidc\.circleci\.com/`), "CircleCI", "over within the hour: end the cloud sessions that were made from it"},
	{regexp.MustCompile(`^https://agent\.buildkite\.com$`), "Buildkite", "over within minutes: end the cloud sessions that were made from it"},
	{regexp.MustCompile(`^https://app\.terraform\.io$`), "HCP Terraform", "over within the hour"},
	{regexp.MustCompile(`^argocd$`), "Argo CD", "delete the session; rotate server.secretkey to end all"},
	{regexp.MustCompile(`^jf(?:ac|rt)@`), "JFrog Platform", "POST /access/api/v1/tokens/revoke"},
	{regexp.MustCompile(`^harbor-token-issuer$`), "Harbor", "over within half an hour"},
	{regexp.MustCompile(`^https://auth\.docker\.io$`), "Docker Hub", "over within minutes: revoke the access token that made it"},
	{regexp.MustCompile(`^authentik$`), "authentik", "delete the authenticated session"},
	{regexp.MustCompile(`^https://[\w.-]+\.my\.salesforce\.com`), "Salesforce", "POST /services/oauth2/revoke"},
	{regexp.MustCompile(`^https://gitlab\.[\w.-]+$|^https://gitlab\.com$`), "GitLab job", "cancel the job"},
}

var hostRE = regexp.MustCompile(`^https?://([A-Za-z0-9.-]+(?::[0-9]{1,5})?)`)

// Facts reads who issued the token and what it is off its header and claims.
func (j JWT) Facts() *Facts {
	f := &Facts{Type: j.use()}
	for _, i := range issuers {
		if i.iss.MatchString(j.Issuer) {
			f.Issuer, f.Kill = i.name, i.kill
			break
		}
	}
	if _, ok := j.Claims["kubernetes.io"]; ok {
		f.Issuer, f.Kill = "Kubernetes", "delete the pod or the service account that the token names"
	}
	if m := hostRE.FindStringSubmatch(j.Issuer); f.Issuer == "" && m != nil {
		f.Issuer = m[1]
	}
	if cnf, ok := j.Claims["cnf"].(map[string]any); ok {
		f.Bound = cnf["jkt"] != nil || cnf["x5t#S256"] != nil
	}
	if j.Issuer == "supabase" {
		if role, _ := j.Claims["role"].(string); role != "" {
			f.Type = role + " key"
		}
	}
	if *f == (Facts{}) {
		return nil
	}
	return f
}

// Host is the host of iss, with a port where there is one: a claim.
func (j JWT) Host() string {
	if m := hostRE.FindStringSubmatch(j.Issuer); m != nil {
		return strings.ToLower(m[1])
	}
	return ""
}

// use tells an access token from the others that look like it: RFC 9068's typ,
// Cognito's token_use, Keycloak's and Cursor's own.
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

// NoCredential reports a token that lets nobody in: a notice to log out, a
// security event, a proof that is of no use without its key.
func (j JWT) NoCredential() bool {
	switch j.use() {
	case "logout token", "security event", "proof of possession":
		return true
	}
	return false
}

// Unsigned reports a token that anybody could have written (RFC 7515, 3.6).
func (j JWT) Unsigned() bool { return strings.EqualFold(j.Algorithm, "none") }

// signatures are how many bytes each algorithm's are (RFC 7518, 3; RFC 8037).
var signatures = map[string][]int{"HS256": {32}, "HS384": {48}, "HS512": {64}, "ES256": {64}, "ES384": {96}, "ES512": {132}, "EdDSA": {64, 114},
	"RS256": {256, 384, 512}, "RS384": {256, 384, 512}, "RS512": {256, 384, 512}, "PS256": {256, 384, 512}, "PS384": {256, 384, 512}, "PS512": {256, 384, 512}}

// WholeSignature reports whether a compact JWS has as long a signature as its
// algorithm makes: one that has not was cut off, or made up.
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

// ParseJWE reads the header of a compact JWE (RFC 7516): its claims are
// encrypted. Some issuers put the end of a token's life into the header.
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

// ParsePASETO reads the end of the life of a public PASETO: its claims stand
// before the signature, 64 bytes of it, or 256 in version 1, 96 in version 3.
// A local one is encrypted.
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

// Macaroon reports whether s is one in the first form of libmacaroons: packets
// of four hex digits, a name and a value, the first of them where it is good for.
func Macaroon(s string) bool {
	b, err := base64.RawURLEncoding.DecodeString(strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(s))
	if err != nil || len(b) < 40 {
		return false
	}
	rest := string(b[4:])
	return strings.HasPrefix(rest, "location ") && strings.Contains(rest, "identifier ") && strings.Contains(rest, "signature ")
}
