package rules

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/quellhq/quell/rules/regex"
)

// namedSuffix ends the id of the rule for cookies that the operator names at instances of a
// provider.
const namedSuffix = "-named"

// SignatureSuffix ends the name of the cookie that signs another (keygrip: cookie-session, Koa):
// a server that uses one accepts the pair only.
const SignatureSuffix = ".sig"

// SignaturePart is the part of a named session that its signature is.
const SignaturePart = "sig"

// NameCookie makes every value of a cookie a session of the provider, whatever its form, as the
// operator declares with cookie = NAME of an instance. The rule has the probe and the
// revocations of the provider's cookie family.
func (s *Set) NameCookie(provider, name string) error {
	if err := CheckCookieName(name); err != nil {
		return err
	}
	family := s.probedCookie(provider)
	if family == nil {
		return fmt.Errorf("quell cannot ask %q about a cookie called %q (hint: provider = \"webapp\" asks any application)", provider, name)
	}
	id := family.ID + namedSuffix
	i := slices.IndexFunc(s.Rules, func(r *Rule) bool { return r.ID == id })
	names := []string{name}
	if i >= 0 {
		if slices.Contains(s.Rules[i].Cookie.Names, name) {
			return nil
		}
		names = append(slices.Clone(s.Rules[i].Cookie.Names), name)
	}
	r := &Rule{
		ID: id, AnyForm: true, Provider: family.Provider, Kind: KindSessionCookie, Confidence: High, File: family.File, Line: family.Line,
		Description: "Session cookie that the policy names",
		Keywords:    lower(names),
		Cookie:      &CookieFamily{Names: names, Value: namedValue},
		Stateless:   family.Stateless, Probe: family.Probe, Revokes: family.Revokes,
		RequestsMax: family.RequestsMax, Note: family.Note, OwnerFields: family.OwnerFields,
		Parts: map[string]Part{SignaturePart: {Rule: id + "-signature", Optional: true, Suffix: SignatureSuffix}},
	}
	var err error
	if r.Regex, err = NewExpression(namedRegex(names)); err != nil {
		return fmt.Errorf("cookie %q: %w", name, err)
	}
	// Groups of the family's form are set where a value has that form. Without them a revocation
	// that names one is refused before anything is sent.
	r.whole = family.whole
	if i >= 0 {
		s.Rules[i] = r
	} else {
		s.Rules = append(s.Rules, r)
	}
	return s.nameSignature(r)
}

// nameSignature adds the rule for the cookies that sign those of r, a rule of NameCookie.
func (s *Set) nameSignature(r *Rule) error {
	var names []string
	for _, n := range r.Cookie.Names {
		names = append(names, n+SignatureSuffix)
	}
	g := &Rule{
		ID: r.Parts[SignaturePart].Rule, Provider: r.Provider, Kind: KindSessionCookie, Confidence: Medium, File: r.File, Line: r.Line,
		Description: "Signature of a session cookie that the policy names", Note: "it is sent together with the cookie that it signs, and ends with that",
		Keywords: lower(names), Cookie: &CookieFamily{Names: names, Value: signatureValue},
	}
	var err error
	if g.Regex, err = NewExpression(cookieRegex(names, signatureValue)); err != nil {
		return fmt.Errorf("cookie %q: %w", names[0], err)
	}
	if err := g.nameGroups(); err != nil {
		return err
	}
	if i := slices.IndexFunc(s.Rules, func(x *Rule) bool { return x.ID == g.ID }); i >= 0 {
		s.Rules[i] = g
	} else {
		s.Rules = append(s.Rules, g)
	}
	return nil
}

// signatureValue is a signature of keygrip: SHA-1 in older versions, SHA-256 in newer ones,
// SHA-512 if the application is configured so.
const signatureValue = `[\w-]{86}|[\w-]{43}|[\w-]{27}`

// probedCookie returns the provider's first cookie family with a probe, or nil.
func (s *Set) probedCookie(provider string) *Rule {
	for _, r := range s.Rules {
		if r.Cookie != nil && !r.AnyForm && r.Probe != nil && r.Provider != nil && r.Provider.ID == provider {
			return r
		}
	}
	return nil
}

// cookieNameRE matches a cookie's name: a token (RFC 9110, 5.6.2).
var cookieNameRE = regex.Lazy("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$")

// CheckCookieName returns an error if no cookie can have the name.
func CheckCookieName(name string) error {
	if !cookieNameRE().MatchString(name) {
		return errors.New("cookie: the name is not one that a cookie can have (RFC 6265, 4.1.1): letters, digits and !#$%&'*+-.^_`|~")
	}
	return nil
}

// namedValue matches any value that a browser sends (cookie-octets of RFC 6265) except for
// quotes and closing brackets, which end it in logs and code. Values of less than six
// characters are flags, not sessions.
const namedValue = `[A-Za-z0-9!#$%&(*+./:=?@\[^_{|~-]{6,}`

// namedRegex finds a cookie by its name alone. A character that can occur within a value does
// not end it, because half of a session is useless. A URL parameter is not a cookie.
func namedRegex(names []string) string {
	var alt []string
	for _, n := range names {
		alt = append(alt, regexp.QuoteMeta(n))
	}
	return `(?:^|[^\w.%?&-])(?:__Host-|__Secure-)?(` + strings.Join(alt, "|") + `)` +
		`(?:` + strings.Join([]string{assigned, paired, member, php, jmeter}, "|") + `)` +
		`(` + namedValue + `)(?:$|[\s;,"'\x60\\<>]|[)\]}](?:$|[^\w]))`
}
