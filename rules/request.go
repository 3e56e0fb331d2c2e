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

	// SecretInURL allows a secret in path or query. It appears in nothing that
	// quell writes.
	SecretInURL bool `toml:"secret_in_url"`
	// Reads is set for a POST that changes nothing, according to Source.
	Reads bool `toml:"reads"`
	// Login is set for the POST of a step that signs the operator in.
	Login  bool   `toml:"login"`
	Source string `toml:"source"`

	// Accept, AcceptJSON and After are for the requests of a revocation that has
	// several: what each is answered, and how long to wait before it.
	Accept     []int          `toml:"accept"`
	AcceptJSON map[string]any `toml:"accept_json"`
	After      Duration       `toml:"after"`
}

// Raw is a body that is sent as it is, but for variables, which are escaped as
// the type asks for.
type Raw struct {
	Type string `toml:"type"`
	Text string `toml:"text"`
}

// Probe is the read-only exchange that decides liveness.
type Probe struct {
	Use     string   `toml:"use"`    // takes over [provider.probe.NAME]
	Native  string   `toml:"native"` // instead of a request: a name in revokers' table
	Request *Request `toml:"request"`
	HTML    bool     `toml:"html"` // pages are answers here, not captive portals
	When    []Arm    `toml:"when"`
	Needs   []string `toml:"needs"` // settings that the operator must have given
	Note    string   `toml:"note"`
	Hosts   []string `toml:"hosts"` // where a native sends requests besides the instance
	// Surfaces are further shared probes: all must refuse before the credential
	// is dead.
	Surfaces []string `toml:"surfaces"`
	// Also are the probes of Surfaces.
	Also []*Probe `toml:"-"`
	// Identity are requests that complete the identity of a live credential.
	Identity []Step `toml:"identity"`
}

// Arm is one answer and its meaning. All that is given must hold; an arm that
// names a variable which is not set never holds.
type Arm struct {
	Status   []int          `toml:"status"`
	JSON     map[string]any `toml:"json"`     // conditions by dotted path, see Condition
	Header   map[string]any `toml:"header"`   // conditions by name
	Body     string         `toml:"body"`     // contained in the body
	Location string         `toml:"location"` // prefix of a redirect's path on the same origin
	Then     string         `toml:"then"`     // live, dead, unknown
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

// Condition reports whether the arm looks at more than the status: something
// that the answer has, and not only lacks.
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

// Step prepares a revocation: it reads what the request needs, or signs in.
type Step struct {
	Request *Request `toml:"request"`
	Status  []int    `toml:"status"`
	// Keep is name -> dotted JSON path, header:NAME, cookie:NAME, input:NAME or
	// meta:NAME.
	Keep map[string]string `toml:"keep"`
	Pick *Pick             `toml:"pick"`
}

// Pick selects exactly one element of a list; none or several stop the
// revocation. The list is read to its end: a Link header with rel="next" is
// followed, and so is a cursor that Next names.
type Pick struct {
	// List is the path of the list in the response; empty: the response itself.
	// A * goes through all elements of a list: groups.*.tokens.
	List string `toml:"list"`
	// Where is the element's field that is compared, by exactly one of the
	// following. Fields that show less than four characters never match.
	Where    string `toml:"where"`
	Equals   string `toml:"equals"`
	Prefix   string `toml:"prefix"`    // the field begins with it
	Suffix   string `toml:"suffix"`    // the field ends with it
	PrefixOf string `toml:"prefix_of"` // the field is the beginning of it
	SuffixOf string `toml:"suffix_of"` // the field is the end of it
	Masked   string `toml:"masked"`    // the field is its beginning and end, with "..." or "***" between
	// Only compares nothing: the list contains the calling credential, so its
	// single element is that one.
	Only bool `toml:"only"`
	// JSON are further conditions of the element.
	JSON map[string]any `toml:"json"`
	// Keep is name -> path in the element; ^ leads to the element around it.
	Keep map[string]string `toml:"keep"`

	Next   string `toml:"next"`   // path of the next page's cursor or address
	Cursor string `toml:"cursor"` // query parameter that takes the cursor
	More   string `toml:"more"`   // path of a flag: the list goes on only if it is true
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
		return errors.New("not a duration such as 90s or 15m") // the value may be a secret in the wrong place
	}
	*d = Duration(v)
	return nil
}
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }
