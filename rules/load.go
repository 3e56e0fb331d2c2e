package rules

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/quellhq/quell/rules/credential"
	"github.com/quellhq/quell/rules/token"
)

type fileTOML struct {
	Title       string       `toml:"title"`
	Description string       `toml:"description"`
	Provider    providerTOML `toml:"provider"`
	Rules       []ruleTOML   `toml:"rules"`
	Cookies     []cookieTOML `toml:"cookies"`
}

type ruleTOML struct {
	ID          string          `toml:"id"`
	Description string          `toml:"description"`
	Regex       string          `toml:"regex"`
	Path        string          `toml:"path"`
	SecretGroup int             `toml:"secretGroup"`
	Entropy     float64         `toml:"entropy"`
	Keywords    []string        `toml:"keywords"`
	Tags        []string        `toml:"tags"`
	Allowlists  []allowlistTOML `toml:"allowlists"`
	detailTOML
}

type cookieTOML struct {
	ID          string          `toml:"id"`
	Description string          `toml:"description"`
	Names       []string        `toml:"names"`
	Value       string          `toml:"value"`
	Entropy     float64         `toml:"entropy"`
	Allowlists  []allowlistTOML `toml:"allowlists"`
	detailTOML
}

// detailTOML has quell's additions to a rule, which gitleaks ignores.
type detailTOML struct {
	Kind        Kind            `toml:"kind"`
	Confidence  string          `toml:"confidence"`
	Checksum    string          `toml:"checksum"`
	Expiry      []string        `toml:"expiry"`
	Stateless   bool            `toml:"stateless"`
	Fallback    bool            `toml:"fallback"`
	Beside      string          `toml:"beside"`
	Random      bool            `toml:"random"`
	Parse       string          `toml:"parse"`
	Examples    []string        `toml:"examples"`
	Lookalikes  []string        `toml:"lookalikes"`
	Inner       string          `toml:"inner"`
	Parts       map[string]Part `toml:"parts"`
	Probe       *Probe          `toml:"probe"`
	Revokes     []revokeTOML    `toml:"revoke"`
	Cases       []Case          `toml:"case"`
	Owner       any             `toml:"owner"`
	RequestsMax int             `toml:"requests_max"`
	Note        string          `toml:"note"`
	Derived     string          `toml:"derived"`
}

type allowlistTOML struct {
	Description string   `toml:"description"`
	Condition   string   `toml:"condition"`
	Commits     []string `toml:"-"` // of gitleaks' own file
	Paths       []string `toml:"paths"`
	RegexTarget string   `toml:"regexTarget"`
	Regexes     []string `toml:"regexes"`
	StopWords   []string `toml:"stopwords"`
}

// Load reads one provider's file. It refuses unknown keys, unknown variables, and a probe that
// can't distinguish live from dead. Errors name the file and the line.
func Load(name string, text []byte) (*Set, error) { return load(name, text, false) }

// load doesn't check the expressions of a trusted file, which tests have checked.
func load(name string, text []byte, trusted bool) (*Set, error) {
	var f fileTOML
	dec := toml.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return nil, tomlError(name, text, err)
	}
	p, err := f.Provider.provider(name)
	if err != nil {
		return nil, err
	}
	shared := &sharedTOML{probes: f.Provider.Probes, revokes: f.Provider.Revokes, used: map[string]bool{}, trusted: trusted}
	set := &Set{Providers: map[string]*Provider{p.ID: p}}
	lines := headerLines(text, "rules", len(f.Rules))
	for i, t := range f.Rules {
		r := &Rule{ID: t.ID, Description: t.Description, Provider: p, File: name, Line: at(lines, i),
			SecretGroup: t.SecretGroup, Entropy: t.Entropy, Keywords: lower(t.Keywords), Tags: t.Tags}
		if err := finish(r, t.Regex, t.Path, t.Allowlists, t.detailTOML, shared, KindAPIKey); err != nil {
			return nil, err
		}
		set.Rules = append(set.Rules, r)
	}
	lines = headerLines(text, "cookies", len(f.Cookies))
	for i, t := range f.Cookies {
		r := &Rule{ID: t.ID, Description: t.Description, Provider: p, File: name, Line: at(lines, i), Entropy: t.Entropy,
			Cookie: &CookieFamily{Names: t.Names, Value: t.Value}, Keywords: lower(fixedPart(t.Names))}
		if len(t.Names) == 0 || t.Value == "" {
			return nil, r.errorf("a cookie family needs names and a value")
		}
		if !trusted {
			if _, err := syntax.Parse(t.Value, syntax.Perl); err != nil {
				return nil, r.errorf("value: %v", err)
			}
		}
		if err := finish(r, cookieRegex(t.Names, t.Value), "", t.Allowlists, t.detailTOML, shared, KindSessionCookie); err != nil {
			return nil, err
		}
		set.Rules = append(set.Rules, r)
	}
	if err := shared.unused(name); err != nil {
		return nil, err
	}
	if err := p.finish(name, set.Rules); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, r := range set.Rules {
		for _, part := range r.Parts {
			if named := set.Rule(part.Rule); named != nil && part.Public {
				named.identifies = true
			}
		}
		if seen[r.ID] {
			return nil, r.errorf("the id stands twice")
		}
		seen[r.ID] = true
	}
	return set, nil
}

func (r *Rule) errorf(format string, args ...any) error {
	return fmt.Errorf("%s:%d: rule %s: %s", r.File, r.Line, r.ID, fmt.Sprintf(format, args...))
}

func finish(r *Rule, expr, path string, allow []allowlistTOML, d detailTOML, shared *sharedTOML, kind Kind) error {
	if r.ID == "" {
		return r.errorf("has no id")
	}
	var err error
	if r.Regex, err = expression(expr, shared.trusted); err != nil {
		return r.errorf("regex: %v", err)
	}
	if expr == "" {
		return r.errorf("has no regex")
	}
	if path != "" {
		if r.Path, err = regexp.Compile(path); err != nil {
			return r.errorf("path: %v", err)
		}
	}
	if !shared.trusted && r.SecretGroup > r.Regex.Groups() {
		return r.errorf("secretGroup %d, but the expression has %d groups", r.SecretGroup, r.Regex.Groups())
	}
	for _, a := range allow {
		l, err := a.allowlist(shared.trusted)
		if err != nil {
			return r.errorf("allowlist: %v", err)
		}
		r.Allowlists = append(r.Allowlists, l)
	}
	r.Kind = cmp.Or(kindOf(d.Kind), kind)
	if !slices.Contains(credential.Kinds, r.Kind) {
		return r.errorf("unknown kind %q", r.Kind)
	}
	var ok bool
	if r.Confidence, ok = ParseConfidence(cmp.Or(d.Confidence, "high")); !ok {
		return r.errorf("confidence %q is not low, medium or high", d.Confidence)
	}
	if _, ok := checksums[d.Checksum]; d.Checksum != "" && !ok {
		return r.errorf("unknown checksum %q", d.Checksum)
	}
	for _, e := range d.Expiry {
		if known := token.Expiries(); !slices.Contains(known, e) {
			return r.errorf("no expiry format is named %q%s", e, meant(e, known))
		}
	}
	r.Expiry = d.Expiry
	r.Checksum, r.Stateless, r.Fallback, r.Examples, r.Lookalikes = d.Checksum, d.Stateless, d.Fallback, d.Examples, d.Lookalikes
	r.Random, r.Parse = d.Random, d.Parse
	if d.Beside != "" {
		if r.Beside, err = expression(d.Beside, shared.trusted); err != nil {
			return r.errorf("beside: %v", err)
		}
	}
	if d.Parse != "" && d.Parse != "cookies" && d.Parse != "list" && d.Parse != "fields" {
		return r.errorf("parse %q is not cookies, list or fields", d.Parse)
	}
	if d.Inner != "" {
		if r.Inner, err = expression(d.Inner, shared.trusted); err != nil {
			return r.errorf("inner: %v", err)
		}
	}
	if err := r.nameGroups(); err != nil {
		return err
	}
	r.Parts, r.Cases, r.RequestsMax, r.Note = d.Parts, d.Cases, d.RequestsMax, d.Note
	r.Derived = d.Derived
	if r.OwnerFields, err = stringList(d.Owner); err != nil {
		return r.errorf("owner: %v", err)
	}
	if r.Probe, err = shared.probe(r, d.Probe); err != nil {
		return err
	}
	for _, t := range d.Revokes {
		v, err := shared.revoke(r, t)
		if err != nil {
			return err
		}
		r.Revokes = append(r.Revokes, v)
	}
	return r.validate()
}

// kindOf reads a kind as an identifier, such as api_key, or in words.
func kindOf(k Kind) Kind {
	for _, known := range credential.Kinds {
		if strings.EqualFold(strings.ReplaceAll(string(known), " ", "_"), string(k)) {
			return known
		}
	}
	return k
}

// The separators between a cookie's name and its value. Quotes can be escaped, as in JSON
// within JSON.
const (
	quote    = `[\\]{0,3}["']`
	assigned = `(?:` + quote + `)?(?:[ ]?(?:=>|[=:])[ ]?|\t)(?:` + quote + `)?` // headers, jars, maps, command lines
	paired   = quote + `[ ]?,[ ]?` + quote                                      // arguments of a call, a row
	// Two members of one object, with any others between: HAR, storage states, dumps of
	// browsers and their drivers, Go structs.
	member = quote + `[ ]?,[^{}]{0,200}?["']?[Vv]alue(?:` + quote + `)?[ ]?[:=][ ]?` + quote
	php    = `["']\](?:[ ]=>[ ]|</td><td class="v">)`
	jmeter = `" elementType="Cookie"[^<>]{0,200}>[^<]{0,100}<stringProp name="Cookie\.value">`
)

// cookieRegex matches name and value in headers, command lines, jars, storage dumps and code.
func cookieRegex(names []string, value string) string {
	var alt []string
	for _, n := range names {
		alt = append(alt, strings.ReplaceAll(regexp.QuoteMeta(n), `\*`, `[\w.-]{0,64}`))
	}
	return `(?:^|[^\w.%-])(?:__Host-|__Secure-)?(` + strings.Join(alt, "|") + `)` +
		`(?:` + strings.Join([]string{assigned, paired, member, php, jmeter}, "|") + `)` +
		`(` + value + `)(?:$|[^\w.%+/=-])`
}

func lower(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.ToLower(s)
	}
	return out
}

// fixedPart returns the longest part of each name without a star, as a literal that the text
// must contain.
func fixedPart(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		for _, part := range strings.Split(n, "*") {
			if len(part) > len(out[i]) {
				out[i] = part
			}
		}
	}
	return out
}
