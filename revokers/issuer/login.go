package issuer

import "github.com/quellhq/quell/rules/credential"

// Login is the method by which quell signs in to a Vault if the operator gives it no token.
type Login struct {
	Method string // one of LoginMethods
	Mount  string // path of the auth mount, without auth/; empty: the method's name
	Role   string // kubernetes, jwt; cert: the certificate role, if several match

	RoleID   string // approle
	SecretID credential.Secret
	// Wrapped is set if SecretID is a response-wrapping token of the secret id.
	Wrapped bool

	JWT credential.Secret // kubernetes, jwt
	// GitHubAudience, if set, makes quell request the JWT from GitHub Actions for this
	// audience.
	GitHubAudience string
}

// Methods of Login.
const (
	LoginAppRole    = "approle"
	LoginKubernetes = "kubernetes"
	LoginJWT        = "jwt"
	LoginCert       = "cert"
)

// LoginMethods lists the methods of Login.
func LoginMethods() []string {
	return []string{LoginAppRole, LoginKubernetes, LoginJWT, LoginCert}
}
