package rules

import (
	"regexp"
	"slices"
	"strings"

	"github.com/zricethezav/gitleaks/v8/config"
)

// Rule describes one kind of credential: its form, its probe, and its revocations. A rule of
// gitleaks has only the detection.
type Rule struct {
	ID          string
	Description string
	Provider    *Provider // nil for rules of gitleaks
	Kind        Kind
	Confidence  Confidence
	File        string // the file that defines it
	Line        int

	// Detection, with the semantics of gitleaks.
	Regex       *Expression
	Path        *regexp.Regexp
	SecretGroup int
	Entropy     float64
	Keywords    []string // lower case
	Tags        []string
	Allowlists  []*Allowlist
	SkipReport  bool
	// RequiredNear are rules that must match nearby, as gitleaks defines it.
	RequiredNear []*config.Required

	// Checksum names the built-in test of the token's check digits.
	Checksum string
	// Expiry names the formats of rules/token in which the value contains its own expiry. A
	// session cookie whose rule names none is tried with those that are unmistakable.
	Expiry []string
	// Cookie is set for cookie families and has the names and the value of the cookie.
	Cookie *CookieFamily
	// AnyForm is set for the family of the cookies that the operator names: every value under
	// one of the names is a session, whatever its form.
	AnyForm bool

	Examples   []string // generators, see Generate
	Lookalikes []string

	// Stateless credentials are accepted until they expire, whatever the issuer answers to a
	// revocation.
	Stateless bool
	// Fallback rules recognise a token of any issuer by its context alone. Every more specific
	// rule takes precedence.
	Fallback bool
	// Beside raises the confidence by one step if it matches within 1 KiB of the match, because
	// then the issuer is known.
	Beside *Expression
	// Random requires that the value looks random, not written by a person. It is for values
	// that only their name makes a secret.
	Random bool
	// Parse names the parser for expressions that match several values, which are evaluated one
	// by one: "cookies"; "list", for the strings of a list; or "fields", for the value of the
	// name in the expression's group.
	Parse string
	// Inner has named groups for the decoded value of a base64 token.
	Inner *Expression
	// Parts are further credentials that only work together with this one.
	Parts   map[string]Part
	Probe   *Probe
	Revokes []Revoke
	Cases   []Case
	// RequestsMax is the maximum number of requests of one apply for one credential, the
	// control and never-issued ones included; zero: no limit is known.
	RequestsMax int
	// Note explains why no request determines whether the credential is live, or why none
	// revokes it.
	Note string
	// Derived describes what was issued or made with the credential, and what becomes of it when
	// the credential ends.
	Derived string
	// OwnerFields replace the provider's Owner for this rule.
	OwnerFields []string

	identifies bool // a public part of another rule: an id that grants nothing alone

	whole *Expression // the secret's part of the expression, if it has named groups
}

// Specific ranks rules that match the same bytes; the highest is reported.
func (r *Rule) Specific() int {
	switch {
	case r.AnyForm:
		return 7 // declared by the operator
	case r.Kind == KindPublic:
		return 6 // public, whatever its name
	case r.Fallback && r.Random:
		return 1 // by name and appearance alone
	case r.Fallback, r.identifies:
		return 2 // an id within a signed URL is part of it
	case r.Cookie != nil && r.Confidence == High && !r.Cookie.Pattern():
		return 5 // by name and form, which also identify the application
	case r.Provider != nil && r.Confidence == High && !r.Cookie.Pattern():
		return 4 // by a form of its own
	case r.Provider != nil:
		return 3 // by context
	case r.Generic():
		return 0
	case r.Confidence == Medium:
		return 1
	}
	return 2
}

// CookieFamily describes the session cookie of one application or framework. In a rules file it
// is a [[cookies]] table, because a cookie is found by its name and not by an expression that
// gitleaks could evaluate.
type CookieFamily struct {
	Names []string // exact, or with a * for up to 64 bytes of a name
	Value string   // expression for the whole value as sent
}

// Pattern reports whether a name has a * before its end. A family with the whole name is more
// specific.
func (c *CookieFamily) Pattern() bool {
	return c != nil && slices.ContainsFunc(c.Names, func(n string) bool { return strings.Contains(strings.TrimSuffix(n, "*"), "*") })
}

// Has reports whether the family has a cookie name.
func (c *CookieFamily) Has(name string) bool {
	return slices.ContainsFunc(c.Names, func(n string) bool {
		before, after, pattern := strings.Cut(n, "*")
		if !pattern {
			return n == name
		}
		return len(name) >= len(before)+len(after) && strings.HasPrefix(name, before) && strings.HasSuffix(name, after)
	})
}

// Probed reports whether a read-only request can determine if a credential of the rule is live.
func (r *Rule) Probed() bool { return r.Probe != nil }

// OneIssuer reports whether only one issuer, with a single host, issues credentials of this
// form.
func (r *Rule) OneIssuer() bool {
	return r.Provider != nil && len(r.Provider.Asked) == 1 && !r.Provider.SelfHosted && r.Cookie == nil && !r.Fallback && r.Kind != KindJWT
}

// Owners are the fields of a probe's identity that determine the owner of a credential: unique
// at the issuer and not chosen by users. It is empty if none is declared.
func (r *Rule) Owners() []string {
	switch {
	case len(r.OwnerFields) > 0:
		return r.OwnerFields
	case r.Provider != nil:
		return r.Provider.Owner
	}
	return nil
}

// Owner returns the first of Owners, or "".
func (r *Rule) Owner() string {
	if o := r.Owners(); len(o) > 0 {
		return o[0]
	}
	return ""
}
