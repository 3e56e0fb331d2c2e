package rules

import (
	"net"
	"slices"
	"strings"
)

// Provider is the issuer of credentials.
type Provider struct {
	ID   string
	Name string
	Docs string // the issuer's description of its tokens
	// Hosts are the hosts to which credentials may be sent. Without any, only the instances
	// that the operator names get requests.
	Hosts []string
	// Asked are the hosts that get probes: the first one, and those that no request of the file
	// names.
	Asked []string
	// Patterns are the hosts as written in the file, with closed lists.
	Patterns []string
	Lists    map[string][]string
	// Domains are further host names of the same service; "*." matches all subdomains. quell
	// sends no request there. A text that names one of them names this provider, and no other.
	Domains []string
	// Owner are the fields of a probe's identity that decide ownership: unique at
	// the issuer and not chosen by users. OwnerName is the one that people
	// recognise.
	Owner     []string
	OwnerName string
	// Env lists environment variables, and Files lists files (~ is the home folder, $NAME a
	// variable), from which the provider's own clients read a credential. quell never revokes
	// the credentials in them.
	Env   []string
	Files []string
	// Honeytokens are accounts of known canaries, "aws-account:052310077262". quell sends no
	// request with a credential of such an account.
	Honeytokens []string
	// SelfHosted is set if servers of other operators issue credentials of the
	// same form.
	SelfHosted bool
	// Client is the public OAuth client that the vendor ships; its ID is empty if
	// there is none.
	Client PublicClient
	// Sources are the documents that the file's facts come from, by name.
	Sources map[string]Source
	// Restore is the request that reverses a reversible revocation.
	Restore *Restore
	Whoami  []Whoami
	Login   *Login
	// Audit describes where the issuer's log shows the uses of a credential.
	Audit string
}

// Source is a document that a fact is taken from.
type Source struct {
	URL  string `toml:"url"`
	Date string `toml:"date"` // when it was read, YYYY-MM-DD
	// Grade is P for the provider's own document or code, X for a peer's code.
	Grade string `toml:"grade"`
}

// PublicClient is an OAuth client without a secret.
type PublicClient struct {
	ID     string `toml:"id"`
	Source string `toml:"source"`
}

// Restore is the request that reverses a reversible revocation.
type Restore struct {
	Request *Request       `toml:"request"`
	Native  bool           `toml:"native"` // the native reverses its own revocation
	Accept  []int          `toml:"accept"`
	JSON    map[string]any `toml:"accept_json"`
	Needs   []string       `toml:"needs"`
	// Window is the time after the revocation in which the issuer accepts the reversal; zero
	// means no limit.
	Window Duration `toml:"window"`
	Source string   `toml:"source"`
}

// Whoami is a request that reports who the holder of a credential is, or which
// organisations they own.
type Whoami struct {
	Request *Request `toml:"request"`
	// List is the path of the list in the response; empty: the response itself,
	// whether a list or an object.
	List string `toml:"list"`
	// Where are conditions of an element. Membership in an organisation is not ownership: the
	// role must be an owner's.
	Where map[string]any `toml:"where"`
	ID    string         `toml:"id"`   // path of a value of the provider's owner field
	Name  string         `toml:"name"` // path of the display name
}

// Login is where the provider's own clients store a credential that policy init can use.
type Login struct {
	Env     []string `toml:"env"`      // variables with the credential; the first that is set counts
	URL     string   `toml:"url"`      // address, unless URLEnv is set
	URLEnv  string   `toml:"url_env"`  // variable with the address
	File    string   `toml:"file"`     // file with the credential, if no variable has it
	FileKey string   `toml:"file_key"` // prefix of the credential's line; empty: the whole file
	// Admin is set if the login is the operator's credential at their own instance.
	Admin bool `toml:"admin"`
}

// Has reports whether a host belongs to the provider: one of its pinned hosts,
// or of the further domains that its file names.
func (p *Provider) Has(host string) bool {
	name := hostname(host)
	for _, d := range slices.Concat(p.Hosts, p.Domains) {
		if name == d || strings.HasPrefix(d, "*.") && strings.HasSuffix(name, d[1:]) {
			return true
		}
	}
	return false
}

// Pins reports whether a host is one of those that the file pins.
func (p *Provider) Pins(host string) bool { return slices.Contains(p.Hosts, hostname(host)) }

func hostname(host string) string {
	name := strings.ToLower(host)
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
	}
	return strings.TrimSuffix(name, ".") // the root of the DNS
}
