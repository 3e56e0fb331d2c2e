package rules

import (
	"slices"
	"strings"
)

// Tier states which credential a revocation requires and what it affects.
type Tier string

// Tiers of a revocation.
const (
	TierSelf       Tier = "self"       // requires only the credential itself
	TierAdmin      Tier = "admin"      // requires an operator's credential
	TierCollateral Tier = "collateral" // ends more than the one credential
)

// Scope is the set of sessions that a revocation ends.
type Scope string

// The scopes of a revocation.
const (
	ScopeSession  Scope = "this_session"
	ScopeUser     Scope = "all_user_sessions"
	ScopeEveryone Scope = "everyone"
	ScopeNone     Scope = "none"
)

// ScopeOf parses a scope. It also accepts the spelling of earlier releases.
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

// Revoke is one way to revoke a credential.
type Revoke struct {
	ID     string
	Native string
	Steps  []Step // run before the requests
	// Requests are sent in order. Each is an effect of its own.
	Requests   []*Request
	Tier       Tier
	Scope      Scope
	Settle     Duration
	Collateral string
	Rights     string // the least rights of the credential that signs the request
	Needs      []string
	Batch      int      // maximum number of credentials per request; a list with one {token} expands to all of them
	Only       []string // hosts that support the call, if not every instance does
	Hosts      []string // hosts besides the instance to which a native sends requests
	// Parts are required prefixes of the credential's parts, for a revocation that works for
	// only some of the rule's credentials.
	Parts  map[string]string
	Grade  string // how well the call is confirmed: P, X
	Source string
	// Always is set if the issuer accepts the request for any credential, so that its response
	// proves nothing.
	Always bool
	// Mints is set if the response contains a new secret, which quell discards. The tier is then
	// TierCollateral, even if the file declares another one.
	Mints bool
	// Reversible revocations come first; Restore reverses one.
	Reversible bool
	Restore    *Restore
	// Once is set if repeating the revocation could do harm.
	Once bool
}

// Request returns the first request, or nil for a native.
func (v *Revoke) Request() *Request {
	if len(v.Requests) == 0 {
		return nil
	}
	return v.Requests[0]
}

// Idempotent reports whether the revocation can be repeated safely: the repetition ends nothing
// else.
func (v *Revoke) Idempotent() bool { return !v.Once }

// ByName reports whether the revocation finds what it ends by a name that the text has near the
// credential. Once that is ended, the name can be given to its replacement, which a repetition
// would end: only while the credential is live does the name mean it.
func (v *Revoke) ByName() bool {
	return slices.ContainsFunc(v.Steps, func(s Step) bool { return s.Pick != nil && strings.Contains(s.Pick.Equals, "{part.") })
}

// Part is a further credential that a credential of the rule is used with.
type Part struct {
	Rule string `toml:"rule"` // the rule that finds it
	// Within is the maximum distance between the two in bytes; 8 KiB unless set.
	Within   int  `toml:"within"`
	Optional bool `toml:"optional"`
	// Suffix is set for a part that is a cookie: its name is the credential's
	// cookie followed by this. It is sent with that cookie.
	Suffix string `toml:"-"`
	// Public is set if the part only identifies, such as an account id.
	Public bool `toml:"public"`
}

// Case is an executable example, with an issuer that gives the replies.
type Case struct {
	Name     string            `toml:"name"`
	Replies  []Reply           `toml:"replies"`
	Want     []string          `toml:"want"`     // live, dead, unknown, accepted or refused; a reason can follow a colon
	Requests []string          `toml:"requests"` // "METHOD /path" of each request, in order
	With     map[string]string `toml:"with"`     // the operator's settings
	Revoke   string            `toml:"revoke"`   // id, if the rule has several revocations
	// Never is the reply to a credential that was never issued. By default it is derived from
	// the first dead arm.
	Never *Reply `toml:"never"`
}

// Reply is one response of a case's issuer. A reply with On or When answers the first matching
// request; the others answer in turn.
type Reply struct {
	On     string            `toml:"on"` // "METHOD /path", as in a case's requests
	When   *Asked            `toml:"when"`
	Status int               `toml:"status"`
	JSON   any               `toml:"json"`
	Body   string            `toml:"body"`
	Header map[string]string `toml:"header"`
}

// Asked are conditions of a request, which can contain variables.
type Asked struct {
	Header map[string]string `toml:"header"`
	Query  map[string]string `toml:"query"`
	JSON   map[string]any    `toml:"json"` // conditions by dotted path
	Body   string            `toml:"body"` // contained in the body
}

// Revocations lists the ids of the revocations that rules of a provider have.
func (s *Set) Revocations(provider string) []string {
	var out []string
	for _, r := range s.Rules {
		if r.Provider == nil || r.Provider.ID != provider {
			continue
		}
		for _, v := range r.Revokes {
			if !slices.Contains(out, v.ID) {
				out = append(out, v.ID)
			}
		}
	}
	slices.Sort(out)
	return out
}
