package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/quellhq/quell/revokers/aws"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
)

// Login is how quell signs in at a Vault, in place of the credential in admin.
type Login struct {
	Method   string `toml:"method"`
	Mount    string `toml:"mount,omitempty"`
	Role     string `toml:"role,omitempty"`
	RoleID   string `toml:"role_id,omitempty"`
	SecretID string `toml:"secret_id,omitempty"`
	Wrapped  bool   `toml:"wrapped,omitempty"` // secret_id is a response-wrapping token
	JWT      string `toml:"jwt,omitempty"`
	// GitHubAudience makes GitHub Actions issue the JWT.
	GitHubAudience string `toml:"github_audience,omitempty"`
	// AWSKey is ID:SECRET or ID:SECRET:SESSION; empty: that of the environment.
	AWSKey    string `toml:"aws_key,omitempty"`
	AWSRegion string `toml:"aws_region,omitempty"`
	AWSServer string `toml:"aws_server_id,omitempty"`
}

// podToken is where Kubernetes mounts the token of a pod's service account.
const podToken = "file:/var/run/secrets/kubernetes.io/serviceaccount/token"

func (l *Login) validate(provider string) error {
	switch {
	case provider != vaultProvider:
		return fmt.Errorf("login: only an instance of %s has one", vaultProvider)
	case !slices.Contains(issuer.LoginMethods(), l.Method):
		return fmt.Errorf("login.method is not one of %s", strings.Join(issuer.LoginMethods(), ", "))
	case issuer.HasDotSegment(l.Mount):
		return fmt.Errorf("login.mount contains a dot segment")
	case l.Method == issuer.LoginAppRole && l.RoleID == "":
		return fmt.Errorf("login by approle needs role_id")
	case l.Wrapped && l.SecretID == "":
		return fmt.Errorf("login.wrapped needs secret_id, which is the wrapping token")
	case (l.Method == issuer.LoginKubernetes || l.Method == issuer.LoginJWT) && l.Role == "":
		return fmt.Errorf("login by %s needs role", l.Method)
	case l.Method == issuer.LoginJWT && (l.JWT == "") == (l.GitHubAudience == ""):
		return fmt.Errorf("login by jwt needs jwt or github_audience")
	case l.AWSRegion != "" && !aws.IsRegion(l.AWSRegion):
		return errors.New("login.aws_region is no region, as eu-west-1")
	case strings.HasPrefix(l.SecretID, "vault:") || strings.HasPrefix(l.JWT, "vault:") || strings.HasPrefix(l.AWSKey, "vault:"):
		return fmt.Errorf("login: a login can't read its own credential from Vault (hint: env:NAME or file:PATH)")
	}
	return nil
}

func (l *Login) build(read func(string) (credential.Secret, error)) (*issuer.Login, error) {
	if l == nil {
		return nil, nil
	}
	out := &issuer.Login{Method: l.Method, Mount: l.Mount, Role: l.Role, RoleID: l.RoleID, Wrapped: l.Wrapped, GitHubAudience: l.GitHubAudience, Region: l.AWSRegion, Server: l.AWSServer}
	var err error
	if out.SecretID, err = read(l.SecretID); err != nil {
		return nil, err
	}
	if out.AWSKey, err = read(l.AWSKey); err != nil {
		return nil, err
	}
	jwt := l.JWT
	if l.Method == issuer.LoginKubernetes && jwt == "" {
		jwt = podToken
	}
	out.JWT, err = read(jwt)
	return out, err
}

// Managed names where quell plan looks for leaked secrets in a Vault.
type Managed struct {
	KV          []string `toml:"kv,omitempty"`
	StaticRoles []string `toml:"static_roles,omitempty"`
	AppRoles    []string `toml:"approles,omitempty"`
	Audit       string   `toml:"audit,omitempty"`
	AuditLog    string   `toml:"audit_log,omitempty"`
}
