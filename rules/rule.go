package rules

import (
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/zricethezav/gitleaks/v8/config"
)

// Provider is who issues credentials.
type Provider struct {
	ID   string `toml:"id"`
	Name string `toml:"name"`
	Docs string `toml:"docs"` // where the issuer describes its tokens
	// Hosts are where credentials may be sent, the first by default. Without
	// any, only instances that the operator names are asked.
	Hosts []string `toml:"hosts"`
	// Domains are further names of the same service, "*." for all below one.
	// Nothing is sent there; a text that names one does not place a credential
	// elsewhere.
	Domains []string `toml:"domains"`
	// Owner is the field of a probe's identity that decides ownership, OwnerName
	// the one that people recognise.
	Owner     string `toml:"owner"`
	OwnerName string `toml:"owner_name"`
	// Env are variables from which the provider's own clients read a credential:
	// what they hold is never ended.
	Env []string `toml:"env"`
	// Honeytokens are accounts of known canaries, "aws-account:052310077262":
	// a credential of one is never contacted.
	Honeytokens []string `toml:"honeytokens"`
	// SelfHosted is set if servers of other operators issue credentials of the
	// same form.
	SelfHosted bool `toml:"self_hosted"`
}

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
	Parse   string
	Probe   *Probe
	Revokes []Revoke
	Cases   []Case
	// RequestsMax bounds the requests that one credential may cost at its issuer;
	// zero: no bound is known.
	RequestsMax int
	// OwnerField replaces the provider's Owner for this rule.
	OwnerField string
}

// Specific orders rules that match the same bytes: the higher one is reported.
func (r *Rule) Specific() int {
	switch {
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

// Request is one HTTP request with {variables} in its strings.
type Request struct {
	Method string            `toml:"method"`
	Path   string            `toml:"path"`
	Query  map[string]string `toml:"query"`
	Header map[string]string `toml:"header"`
	Form   map[string]string `toml:"form"`
	JSON   map[string]any    `toml:"json"`
}

// Probe is the read-only exchange that decides liveness.
type Probe struct {
	Native  string   `toml:"native"` // instead of a request: a name in revokers' table
	Request *Request `toml:"request"`
	HTML    bool     `toml:"html"` // pages are answers here, not captive portals
	When    []Arm    `toml:"when"`
	Needs   []string `toml:"needs"` // variables that the operator must have given
	Note    string   `toml:"note"`
}

// Arm is one answer and its meaning. All that is given must hold; an arm that
// names a variable which nobody set never holds.
type Arm struct {
	Status   []int             `toml:"status"`
	JSON     map[string]any    `toml:"json"` // dotted path -> value, or list of values
	Header   map[string]string `toml:"header"`
	Body     string            `toml:"body"`     // contained in the body
	Location string            `toml:"location"` // prefix of a redirect's path on the same origin
	Then     string            `toml:"then"`     // live, dead, unknown
	// Also names another cause of the same answer: "asker" if the issuer gives
	// it because of who asks, "credential" if it gives it to living credentials
	// too.
	Also string `toml:"also"`
	// After is the former spelling of also = "asker": "live".
	After string `toml:"after"`
	// Source is the document that says what the answer means. A dead arm
	// without one, or without a condition besides the status, proves nothing by
	// itself.
	Source string            `toml:"source"`
	Reason string            `toml:"reason"`
	Keep   map[string]string `toml:"keep"` // name -> dotted path or header:Name
}

// Condition reports whether the arm looks at more than the status.
func (a Arm) Condition() bool {
	return len(a.JSON) > 0 || len(a.Header) > 0 || a.Body != ""
}

// Tier is what a revocation takes and breaks.
type Tier string

const (
	TierSelf       Tier = "self"       // the credential itself suffices
	TierAdmin      Tier = "admin"      // takes an operator's credential
	TierCollateral Tier = "collateral" // ends more than the one credential
)

// Scope is how far a kill reaches.
type Scope string

// Scopes of a kill.
const (
	ScopeSession  Scope = "this_session"
	ScopeUser     Scope = "all_user_sessions"
	ScopeEveryone Scope = "everyone"
	ScopeNone     Scope = "none"
)

// ScopeOf reads a scope, also in the spelling of earlier releases.
func ScopeOf(s string) Scope {
	switch s {
	case "this session":
		return ScopeSession
	case "all sessions of the user":
		return ScopeUser
	case "everybody":
		return ScopeEveryone
	}
	return Scope(s)
}

// Revoke is one way to end a credential.
type Revoke struct {
	ID         string         `toml:"id"`
	Native     string         `toml:"native"`
	Steps      []Step         `toml:"step"` // before the request
	Request    *Request       `toml:"request"`
	Accept     []int          `toml:"accept"`
	AcceptJSON map[string]any `toml:"accept_json"`
	Tier       Tier           `toml:"tier"`
	Scope      Scope          `toml:"scope"`
	Settle     Duration       `toml:"settle"`
	Reversible bool           `toml:"reversible"`
	Collateral string         `toml:"collateral"`
	Needs      []string       `toml:"needs"`
	Batch      int            `toml:"batch"` // credentials that one request may end: a list with {token} takes them all
	Only       []string       `toml:"only"`  // hosts that have the call, where not every instance does
	Grade      string         `toml:"grade"` // how well the call is confirmed: P, X
	// Once is set if sending the revocation again could do harm.
	Once bool `toml:"once"`
}

// Step prepares a revocation: it reads what the request needs.
type Step struct {
	Request *Request `toml:"request"`
	Status  []int    `toml:"status"`
	// Keep is name -> dotted JSON path, cookie:NAME or input:NAME.
	Keep map[string]string `toml:"keep"`
	// Pick selects the one element of a JSON list for which Where equals
	// Equals; none, several, or a list with more pages stops the revocation.
	Pick *Pick `toml:"pick"`
}

// Pick is an exact selection from a list.
type Pick struct {
	Where  string            `toml:"where"`
	Equals string            `toml:"equals"`
	Keep   map[string]string `toml:"keep"`
}

// Case is an executable example: an issuer that gives the replies in turn.
type Case struct {
	Name     string            `toml:"name"`
	Replies  []Reply           `toml:"replies"`
	Want     []string          `toml:"want"`     // live, dead, unknown, accepted, refused; a reason may follow a colon
	Requests []string          `toml:"requests"` // "METHOD /path" of each request, in order
	With     map[string]string `toml:"with"`     // what the operator set
	Revoke   string            `toml:"revoke"`   // id, where the rule has several
}

// Reply is one answer of a case's issuer.
type Reply struct {
	Status int               `toml:"status"`
	JSON   any               `toml:"json"`
	Body   string            `toml:"body"`
	Header map[string]string `toml:"header"`
}

// Duration reads "30s" from TOML.
type Duration time.Duration

func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Idempotent reports whether the revocation may be sent again: it ends what is
// already ended, and nothing else.
func (v *Revoke) Idempotent() bool { return !v.Once }

// Probed reports whether a request that only reads can tell whether a
// credential of the rule is live.
func (r *Rule) Probed() bool { return r.Probe != nil }

// OneIssuer reports whether the form of the rule's credentials belongs to one
// issuer: the provider's pinned hosts are the only ones that issue it.
func (r *Rule) OneIssuer() bool {
	return r.Provider != nil && len(r.Provider.Hosts) > 0 && !r.Provider.SelfHosted && r.Cookie == nil && !r.Fallback && r.Kind != KindJWT
}

// Has reports whether a host belongs to the provider: one of its pinned hosts,
// or of the further domains that its file names.
func (p *Provider) Has(host string) bool {
	name := strings.ToLower(host)
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
	}
	for _, d := range slices.Concat(p.Hosts, p.Domains) {
		if name == d || strings.HasPrefix(d, "*.") && strings.HasSuffix(name, d[1:]) {
			return true
		}
	}
	return false
}

// Owner is the field of a probe's identity that decides whose the credential
// is: unique at the issuer, and not chosen by users. Empty if none is declared.
func (r *Rule) Owner() string {
	switch {
	case r.OwnerField != "":
		return r.OwnerField
	case r.Provider != nil:
		return r.Provider.Owner
	}
	return ""
}
