package credential

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/quellhq/quell/rules/token"
)

// Ref is everything about a credential except its secret. Findings, events, plan items, sealed
// rows and ledger entries embed it, so that no copy can omit a field.
type Ref struct {
	Rule       string     `json:"rule"`
	Provider   string     `json:"provider"` // empty for rules without a provider
	Kind       Kind       `json:"kind"`
	Confidence Confidence `json:"confidence"`
	// Fingerprint identifies the credential outside the process; see FingerprintKey. A finding
	// has none until the run that owns the key groups it.
	Fingerprint string `json:"fingerprint"`
	Redacted    string `json:"redacted"`
	// Cookie is the cookie's name if the secret is a cookie's value.
	Cookie string `json:"cookie,omitempty"`
	// Cookies are further names under which the text has the same value, sorted.
	Cookies []string `json:"cookies,omitempty"`
	// Apart is set if the value was put together of cookies that are not next to each other in
	// the text, so that they can be those of several sessions.
	Apart   bool    `json:"apart,omitempty"`
	Claims  Claims  `json:"claims,omitzero"`
	Offline Offline `json:"offline"`
	// Token has the token's own statements about its issuer and type.
	Token *token.Facts `json:"token,omitempty"`

	// Group is the fingerprint of the member that keeps a session alive, if
	// several credentials form one session; Role is this one's part in it.
	Group string `json:"group,omitempty"`
	Role  string `json:"role,omitempty"`
	// Renewable is set if another member of the group can mint a new one, so that its expiry
	// does not end access.
	Renewable bool `json:"renewable,omitempty"`
	// PartFingerprints are the fingerprints of a group credential's further parts, such as the
	// secret key that belongs to a key id, by the part's name.
	PartFingerprints map[string]string `json:"parts,omitempty"`
}

// Claims are statements of the scanned text near a credential. They are untrusted: they order
// work and are displayed, and never decide.
type Claims struct {
	Hosts []string `json:"hosts,omitempty"`
	// Near are hosts on nearby lines that look like servers of the provider's product. They are
	// too far away to attribute a credential, but raise doubt whether another server's refusal
	// means that it is dead.
	Near []string `json:"near,omitempty"`
	// Expires is a carrier's expiry: a cookie's Expires or Max-Age, a jar's
	// column, a neighbour's expires_at.
	Expires *time.Time `json:"expires,omitempty"`
	User    string     `json:"user,omitempty"`
	// Database is the database that a connection string names.
	Database string `json:"database,omitempty"`
	// Users and Databases are further ones, where the text names several.
	Users     []string `json:"users,omitempty"`
	Databases []string `json:"databases,omitempty"`
	// Cookies are names under which other texts have the value of a cookie. The value is not sent
	// under them.
	Cookies []string `json:"cookies,omitempty"`
}

// Accounts lists all users that the text names for the credential.
func (c Claims) Accounts() []string { return all(c.User, c.Users) }

// Bases lists all databases that the text names for the credential.
func (c Claims) Bases() []string { return all(c.Database, c.Databases) }

func all(first string, more []string) []string {
	if first == "" {
		return more
	}
	return append([]string{first}, more...)
}

// IsZero reports whether there are no claims.
func (c Claims) IsZero() bool {
	return len(c.Hosts) == 0 && len(c.Near) == 0 && c.Expires == nil && c.User == "" && c.Database == "" && len(c.Cookies) == 0
}

// maxNames is the maximum number of further cookie names per credential.
const maxNames = 64

// Name adds a name under which the text has the value of a cookie. The first one is Cookie.
func (r *Ref) Name(cookie string) {
	switch {
	case cookie == "" || cookie == r.Cookie:
	case r.Cookie == "":
		r.Cookie = cookie
	case len(r.Cookies) < maxNames:
		if i, had := slices.BinarySearch(r.Cookies, cookie); !had {
			r.Cookies = slices.Insert(slices.Clip(r.Cookies), i, cookie)
		}
	}
}

// Names lists all names under which the text has the value of a cookie. complete is false if there
// can be more.
func (r Ref) Names() (names []string, complete bool) {
	if r.Cookie == "" {
		return nil, true
	}
	return append([]string{r.Cookie}, r.Cookies...), len(r.Cookies) < maxNames
}

// Merge adds the claims of another finding of the same credential: hosts, users and cookie names
// in any of the texts hold a verdict back.
func (r *Ref) Merge(o Ref) {
	r.Claims.Merge(o.Claims)
	if r.Cookie == "" {
		return
	}
	names, _ := o.Names()
	for _, n := range names {
		r.Name(n)
	}
}

// As is r with another of its names as the first one.
func (r Ref) As(cookie string) Ref {
	names, _ := r.Names()
	r.Cookie, r.Cookies = cookie, nil
	for _, n := range names {
		r.Name(n)
	}
	return r
}

// maxHosts is the maximum number of hosts per credential.
const maxHosts = 16

// Full reports whether there can be further hosts, users or databases that were left out.
func (c Claims) Full() bool {
	return len(c.Hosts) >= maxHosts || len(c.Near) >= maxHosts || len(c.Users) >= maxHosts || len(c.Databases) >= maxHosts
}

// Merge adds the claims of another finding of the same credential. The first expiry stays;
// hosts, users and databases accumulate.
func (c *Claims) Merge(o Claims) {
	for _, h := range o.Hosts {
		if len(c.Hosts) < maxHosts && !slices.Contains(c.Hosts, h) {
			c.Hosts = append(slices.Clip(c.Hosts), h)
		}
	}
	for _, h := range o.Near {
		if len(c.Near) < maxHosts && !slices.Contains(c.Near, h) {
			c.Near = append(slices.Clip(c.Near), h)
		}
	}
	if c.Expires == nil {
		c.Expires = o.Expires
	}
	for _, n := range o.Cookies {
		if len(c.Cookies) < maxNames && !slices.Contains(c.Cookies, n) {
			c.Cookies = append(slices.Clip(c.Cookies), n)
		}
	}
	for _, u := range o.Accounts() {
		c.User, c.Users = with(c.User, c.Users, u)
	}
	for _, d := range o.Bases() {
		c.Database, c.Databases = with(c.Database, c.Databases, d)
	}
}

// with adds a name to those that are there.
func with(first string, more []string, name string) (string, []string) {
	switch {
	case first == "":
		return name, more
	case name == first || len(more) >= maxHosts || slices.Contains(more, name):
		return first, more
	}
	return first, append(slices.Clip(more), name)
}

// UnmarshalJSON also reads the list of hosts that reports and plans of protocol
// 1 held before claims had names.
func (c *Claims) UnmarshalJSON(b []byte) error {
	var hosts []string
	if json.Unmarshal(b, &hosts) == nil {
		*c = Claims{Hosts: hosts}
		return nil
	}
	type plain Claims
	return json.Unmarshal(b, (*plain)(c))
}

// Credential is one distinct secret, or a set of parts that only work together, with all its
// findings.
type Credential struct {
	Ref
	Secret Secret
	// Parts are the secrets of a group's further parts, by their names in the rules file.
	// Secret is the part that Ref describes.
	Parts    map[string]Secret
	Findings []Finding
}

// Part returns the part called name. The empty name is the secret itself.
func (c *Credential) Part(name string) (Secret, bool) {
	if name == "" {
		return c.Secret, true
	}
	s, ok := c.Parts[name]
	return s, ok
}
