package rules

// Tier is what a revocation takes and breaks.
type Tier string

// Tiers of a revocation.
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
	ID     string
	Native string
	Steps  []Step // before the requests
	// Requests are sent in order. Each is an effect of its own.
	Requests   []*Request
	Tier       Tier
	Scope      Scope
	Settle     Duration
	Collateral string
	Needs      []string
	Batch      int      // credentials that one request may end: a list with one {token} takes them all
	Only       []string // hosts that have the call, if not every instance does
	Hosts      []string // where a native sends requests besides the instance
	// Parts are how a part of the credential has to begin, for a revocation that
	// ends only some of the rule's credentials.
	Parts  map[string]string
	Grade  string // how well the call is confirmed: P, X
	Source string
	// Always is set if the issuer accepts the request whatever the credential is:
	// its response proves nothing.
	Always bool
	// Mints is set if the response contains a new secret, which goes to a store
	// or nowhere.
	Mints bool
	// Reversible revocations come first; Restore takes one back.
	Reversible bool
	Restore    *Restore
	// Once is set if sending the revocation again could do harm.
	Once bool
}

// Request is the first request, or nil for a native.
func (v *Revoke) Request() *Request {
	if len(v.Requests) == 0 {
		return nil
	}
	return v.Requests[0]
}

// Idempotent reports whether the revocation may be sent again: it ends what is
// already ended, and nothing else.
func (v *Revoke) Idempotent() bool { return !v.Once }

// Part is a further credential that one of the rule is sent with.
type Part struct {
	Rule string `toml:"rule"` // the rule that finds it
	// Within is how far apart the two may be, in bytes; 8 KiB unless given.
	Within   int  `toml:"within"`
	Optional bool `toml:"optional"`
	// Public is set if the part identifies and grants nothing: an account id.
	Public bool `toml:"public"`
}

// Case is an executable example: an issuer that gives the replies.
type Case struct {
	Name     string            `toml:"name"`
	Replies  []Reply           `toml:"replies"`
	Want     []string          `toml:"want"`     // live, dead, unknown, accepted, refused; a reason may follow a colon
	Requests []string          `toml:"requests"` // "METHOD /path" of each request, in order
	With     map[string]string `toml:"with"`     // what the operator set
	Revoke   string            `toml:"revoke"`   // id, if the rule has several
	// Never is the reply to a credential that was never issued; unless given, the
	// first dead arm describes it.
	Never *Reply `toml:"never"`
}

// Reply is one response of a case's issuer. One with On or When answers the
// first request that fits, the others answer in turn.
type Reply struct {
	On     string            `toml:"on"` // "METHOD /path", as in a case's requests
	When   *Asked            `toml:"when"`
	Status int               `toml:"status"`
	JSON   any               `toml:"json"`
	Body   string            `toml:"body"`
	Header map[string]string `toml:"header"`
}

// Asked are conditions of a request, with variables.
type Asked struct {
	Header map[string]string `toml:"header"`
	Query  map[string]string `toml:"query"`
	JSON   map[string]any    `toml:"json"` // conditions by dotted path
	Body   string            `toml:"body"` // contained in the body
}
