package rules

import (
	"errors"
	"time"
)

// Request is one HTTP request with {variables} in its strings.
type Request struct {
	Method string            `toml:"method"`
	Host   string            `toml:"host"` // one of the provider's hosts; empty: the instance
	Path   string            `toml:"path"`
	Query  map[string]string `toml:"query"`
	Header map[string]string `toml:"header"`
	Basic  []string          `toml:"basic"` // user and password of a Basic header
	// At most one of these is the body.
	Form      map[string]string `toml:"form"`
	JSON      any               `toml:"json"` // a table or a list
	Raw       *Raw              `toml:"raw"`
	Multipart map[string]string `toml:"multipart"`

	// SecretInURL allows a secret in path or query. quell redacts such a URL in all output.
	SecretInURL bool `toml:"secret_in_url"`
	// Reads is set for a POST that changes nothing, according to Source.
	Reads bool `toml:"reads"`
	// Login is set for the POST of a step that signs the operator in.
	Login  bool   `toml:"login"`
	Source string `toml:"source"`

	// Accept, AcceptJSON and After apply to the requests of a revocation that has several: the
	// accepted answers to this request, and the delay before it.
	Accept     []int          `toml:"accept"`
	AcceptJSON map[string]any `toml:"accept_json"`
	After      Duration       `toml:"after"`
}

// Raw is a body that is sent unchanged except for variables, which are escaped as the type
// requires.
type Raw struct {
	Type string `toml:"type"`
	Text string `toml:"text"`
}

// Probe is the read-only request that determines liveness.
type Probe struct {
	Use     string   `toml:"use"`    // inherits from [provider.probe.NAME]
	Native  string   `toml:"native"` // instead of a request: a name in revokers' table
	Request *Request `toml:"request"`
	HTML    bool     `toml:"html"` // HTML pages are valid answers, not captive portals
	When    []Arm    `toml:"when"`
	Needs   []string `toml:"needs"` // settings that the operator must have configured
	Note    string   `toml:"note"`
	Hosts   []string `toml:"hosts"` // hosts besides the instance to which a native sends requests
	// Surfaces are further shared probes: the credential is dead only if all of them refuse it.
	Surfaces []string `toml:"surfaces"`
	// Also are the probes of Surfaces.
	Also []*Probe `toml:"-"`
	// Identity are requests that complete the identity of a live credential.
	Identity []Step `toml:"identity"`
}

// TakesMarker reports whether the operator's dead_marker can decide what the
// probe is answered. A signature and Vault's lookup have no text of their own.
func (p *Probe) TakesMarker() bool { return p.Native == "" || p.Native == "oauth-token" }

// Arm is one answer and its meaning. All conditions must hold. An arm that uses an unset
// variable never matches.
type Arm struct {
	Status   []int          `toml:"status"`
	JSON     map[string]any `toml:"json"`     // conditions by dotted path, see Condition
	Header   map[string]any `toml:"header"`   // conditions by name
	Body     string         `toml:"body"`     // contained in the body
	Location string         `toml:"location"` // prefix of a redirect's path on the same origin
	Then     string         `toml:"then"`     // live, dead, unknown
	// Also names another cause of the same answer: "asker" if the issuer also gives it because
	// of the asker, "credential" if it also gives it for living credentials.
	Also string `toml:"also"`
	// After is the former spelling of also = "asker": "live".
	After string `toml:"after"`
	// Source is the document that states the meaning of the answer. A dead arm without one, or
	// without a condition besides the status, proves nothing by itself.
	Source string            `toml:"source"`
	Reason string            `toml:"reason"`
	Keep   map[string]string `toml:"keep"` // name -> dotted path or header:Name
}

// Condition reports whether the arm has a condition besides the status that requires something
// in the answer, not only its absence.
func (a Arm) Condition() bool {
	return a.Body != "" || positive(a.JSON) || positive(a.Header)
}

func positive(conditions map[string]any) bool {
	for _, v := range conditions {
		if t, ok := v.(map[string]any); !ok || t["absent"] == nil {
			return true
		}
	}
	return false
}

// Step prepares a revocation: it reads values that the request needs, or signs in.
type Step struct {
	Request *Request `toml:"request"`
	Status  []int    `toml:"status"`
	// Keep maps names to a dotted JSON path, header:NAME, cookie:NAME, input:NAME or meta:NAME.
	// cookie:* is all cookies that the response sets, as a Cookie header has them; body:text is a
	// body of one word.
	Keep map[string]string `toml:"keep"`
	Pick *Pick             `toml:"pick"`
}

// Pick selects exactly one element of a list. If none or several match, the revocation stops.
// The list is read to its end: quell follows a Link header with rel="next", and a cursor that
// Next names.
type Pick struct {
	// List is the path of the list in the response; empty: the response itself. A * in it
	// means every element of a list: groups.*.tokens.
	List string `toml:"list"`
	// Where is the element's field that is compared, by exactly one of the following. Fields
	// that show less than four characters never match.
	Where    string `toml:"where"`
	Equals   string `toml:"equals"`
	Prefix   string `toml:"prefix"`    // prefix of the field
	Suffix   string `toml:"suffix"`    // suffix of the field
	PrefixOf string `toml:"prefix_of"` // the field is a prefix of it
	SuffixOf string `toml:"suffix_of"` // the field is a suffix of it
	Masked   string `toml:"masked"`    // the field has its beginning and end, with "..." or "***" between
	// Only skips the comparison: the list contains the calling credential, so a single element
	// is that credential.
	Only bool `toml:"only"`
	// JSON are further conditions of the element.
	JSON map[string]any `toml:"json"`
	// Keep maps names to paths in the element; ^ is the enclosing element.
	Keep map[string]string `toml:"keep"`

	Next   string `toml:"next"`   // path of the next page's cursor or address
	Cursor string `toml:"cursor"` // query parameter that takes the cursor
	More   string `toml:"more"`   // path of a flag that is true if more pages follow
	Page   string `toml:"page"`   // query parameter that counts pages from 1
}

// Comparison returns how and with what the field is compared.
func (p *Pick) Comparison() (how, with string, ok bool) {
	n := 0
	for _, c := range []struct{ how, with string }{
		{"equals", p.Equals}, {"prefix", p.Prefix}, {"suffix", p.Suffix},
		{"prefix_of", p.PrefixOf}, {"suffix_of", p.SuffixOf}, {"masked", p.Masked},
	} {
		if c.with != "" {
			how, with = c.how, c.with
			n++
		}
	}
	return how, with, n == 1
}

// Duration reads "30s" from TOML.
type Duration time.Duration

func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return errors.New("not a duration such as 90s or 15m") // don't quote the value: it can be a misplaced secret
	}
	*d = Duration(v)
	return nil
}
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }
