package issuer

import "github.com/quellhq/quell/rules/credential"

// Login is the method by which quell signs in to a Vault if the operator gives it no token.
type Login struct {
	Method string // one of LoginMethods
	Mount  string // path of the auth mount, without auth/; empty: the method's name
	Role   string // kubernetes, jwt, aws; cert: the certificate role, if several match

	RoleID   string // approle
	SecretID credential.Secret
	// Wrapped is set if SecretID is a response-wrapping token of the secret id.
	Wrapped bool

	JWT credential.Secret // kubernetes, jwt
	// GitHubAudience, if set, makes quell request the JWT from GitHub Actions for this
	// audience.
	GitHubAudience string

	// AWSKey signs the request by which Vault learns who quell is at AWS, as ID:SECRET or
	// ID:SECRET:SESSION. It is not sent.
	AWSKey credential.Secret
	Region string // aws: the region of the STS endpoint that Vault asks; empty: the global one
	Server string // aws: the value that the mount requires in X-Vault-AWS-IAM-Server-ID
}

// Methods of Login.
const (
	LoginAppRole    = "approle"
	LoginKubernetes = "kubernetes"
	LoginJWT        = "jwt"
	LoginCert       = "cert"
	LoginAWS        = "aws"
)

// LoginMethods lists the methods of Login.
func LoginMethods() []string {
	return []string{LoginAppRole, LoginKubernetes, LoginJWT, LoginCert, LoginAWS}
}
