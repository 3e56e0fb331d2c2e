// Package natives is the table of what rules files leave to Go.
package natives

import (
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/oauth"
	"github.com/quellhq/quell/revokers/postgres"
	"github.com/quellhq/quell/revokers/vault"
)

// Table makes the natives of one run. A test holds that every name in a rules
// file stands here, and every name here in a rules file.
func Table() revokers.Natives {
	issuers := &oauth.Issuers{}
	return revokers.Natives{
		Probes: map[string]revokers.Native{
			"oauth-jwt":      oauth.JWT{Issuers: issuers},
			"oauth-token":    oauth.Token{Issuers: issuers},
			"postgres-login": postgres.Login{},
			"vault-token":    vault.Token{},
		},
		Revokes: map[string]revokers.NativeRevoke{
			"oauth-revoke":      oauth.Revoke{Issuers: issuers},
			"vault-revoke-self": vault.RevokeSelf{},
		},
	}
}
