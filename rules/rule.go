package rules

import (
	"regexp"
	"slices"
	"strings"

	"github.com/zricethezav/gitleaks/v8/config"
)

// Rule says how one kind of credential looks, how its issuer is asked about
// it, and how it is ended. A rule of gitleaks' own carries detection only.
type Rule struct {
	ID          string
	Description string
	Provider    *Provider // nil for rules of gitleaks
	Kind        Kind
	Confidence  Confidence
	File        string // where it was read from
	Line        int

	// Detection, with gitleaks' meanings.
	Regex       *Expression
	Path        *regexp.Regexp
	SecretGroup int
	Entropy     float64
	Keywords    []string // lower case
	Tags        []string
	Allowlists  []*config.Allowlist
	SkipReport  bool
	// RequiredNear are rules that must match near by, in gitleaks' terms.
	RequiredNear []*config.Required

	// Checksum names the built-in test of the token's own check digits.
	Checksum string
	// Cookie is set for cookie families: what a cookie must be called.
	Cookie *CookieFamily
	// AnyForm is set for the family of the cookies that the operator names: every
	// value under one of the names is a session, whatever its form.
	AnyForm bool

	Examples   []string // generators, see Generate
	Lookalikes []string

	// Stateless credentials are accepted until they expire, whatever their
	// issuer answers to a revocation.
	Stateless bool
	// Fallback rules tell a token by its place alone, whoever issued it: any rule
	// that knows more goes before.
	Fallback bool
	// Beside is what, within a KiB of the match, tells whose it is: the
	// confidence is one step higher then.
	Beside *regexp.Regexp
	// Random asks that the value looks made by dice and not by a person: what
	// only its name makes a secret is one then.
	Random bool
	// Parse means that the expression finds where several values stand, which a
	// parser tells apart and which are weighed one by one: "cookies", the strings of
	// a "list", or the value that belongs to the name in the expression's group: "fields".
	Parse string
	// Inner names groups in the decoded value of a base64 token.
	Inner *Expression
	// Parts are further credentials that only work together with this one.
	Parts   map[string]Part
	Probe   *Probe
	Revokes []Revoke
	Cases   []Case
	// RequestsMax bounds the requests that one credential may cost at its issuer;
	// zero: no bound is known.
	RequestsMax int
	// Note is for people: why no request asks about the credential, or why none
	// ends it.
	Note string
	// OwnerFields replace the provider's Owner for this rule.
	OwnerFields []string

	whole *Expression // the secret's part of the expression, if it names groups
}

// Specific orders rules that match the same bytes: the higher one is reported.
func (r *Rule) Specific() int {
	switch {
	case r.AnyForm:
		return 7 // the operator says what it is
	case r.Kind == KindPublic:
		return 6 // whatever its name says, it is public
	case r.Fallback && r.Random:
		return 1 // by its name and its looks alone
	case r.Fallback:
		return 2
	case r.Cookie != nil && r.Confidence == High && !r.Cookie.Pattern():
		return 5 // a name and a form: what the value is, is one thing, and whose session another
	case r.Provider != nil && r.Confidence == High && !r.Cookie.Pattern():
		return 4 // a form of its own
	case r.Provider != nil:
		return 3 // told by its place
	case r.Generic():
		return 0
	case r.Confidence == Medium:
		return 1
	}
	return 2
}

// CookieFamily is how one application or framework names its session cookie.
// In a rules file it is a [[cookies]] table, since a cookie is found by name
// and not by an expression that gitleaks could run.
type CookieFamily struct {
	Names []string // exact, or with a * for up to 64 bytes of a name
	Value string   // expression for the whole value as sent
}

// Pattern reports whether a name may begin with anything: a family that knows
// the whole name knows better.
func (c *CookieFamily) Pattern() bool {
	return c != nil && slices.ContainsFunc(c.Names, func(n string) bool { return strings.Contains(strings.TrimSuffix(n, "*"), "*") })
}

// Probed reports whether a request that only reads can tell whether a
// credential of the rule is live.
func (r *Rule) Probed() bool { return r.Probe != nil }

// OneIssuer reports whether the form of the rule's credentials belongs to one
// issuer that one host speaks for.
func (r *Rule) OneIssuer() bool {
	return r.Provider != nil && len(r.Provider.Asked) == 1 && !r.Provider.SelfHosted && r.Cookie == nil && !r.Fallback && r.Kind != KindJWT
}

// Owners are the fields of a probe's identity that decide whose the credential
// is: unique at the issuer, and not chosen by users. It is empty if none is
// declared.
func (r *Rule) Owners() []string {
	switch {
	case len(r.OwnerFields) > 0:
		return r.OwnerFields
	case r.Provider != nil:
		return r.Provider.Owner
	}
	return nil
}

// Owner is the first of Owners.
func (r *Rule) Owner() string {
	if o := r.Owners(); len(o) > 0 {
		return o[0]
	}
	return ""
}
