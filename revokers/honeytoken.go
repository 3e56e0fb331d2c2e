package revokers

import (
	"slices"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
	"github.com/quellhq/quell/rules/token"
)

// Honeytoken reports whether a credential belongs to an account that is known
// to issue canaries: contacting its issuer alarms whoever placed it.
func Honeytoken(set *rules.Set, c credential.Credential) bool {
	values := []credential.Secret{c.Secret}
	for _, p := range c.Parts {
		values = append(values, p)
	}
	for _, v := range values {
		account := token.AWSAccount(v.Reveal())
		if account == "" {
			continue
		}
		for _, p := range set.Providers {
			if slices.Contains(p.Honeytokens, "aws-account:"+account) {
				return true
			}
		}
	}
	return false
}
