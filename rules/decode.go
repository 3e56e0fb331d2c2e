package rules

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// providerTOML is the table [provider] of a file.
type providerTOML struct {
	ID          string                `toml:"id"`
	Name        string                `toml:"name"`
	Docs        string                `toml:"docs"`
	Hosts       []string              `toml:"hosts"`
	Lists       map[string][]string   `toml:"lists"`
	Domains     []string              `toml:"domains"`
	Owner       any                   `toml:"owner"`
	OwnerName   string                `toml:"owner_name"`
	Env         []string              `toml:"env"`
	Files       []string              `toml:"files"`
	Honeytokens []string              `toml:"honeytokens"`
	SelfHosted  bool                  `toml:"self_hosted"`
	Client      PublicClient          `toml:"client"`
	Sources     map[string]Source     `toml:"source"`
	Probes      map[string]*Probe     `toml:"probe"`
	Revokes     map[string]revokeTOML `toml:"revoke"`
	Restore     *Restore              `toml:"restore"`
	Whoami      []Whoami              `toml:"whoami"`
	Login       *Login                `toml:"login"`
	Audit       string                `toml:"audit"`
}

// revokeTOML is the table [[rules.revoke]] of a file: request is one table or a list of tables.
type revokeTOML struct {
	Use        string            `toml:"use"` // inherits from [provider.revoke.NAME]
	ID         string            `toml:"id"`
	Native     string            `toml:"native"`
	Steps      []Step            `toml:"step"`
	Request    any               `toml:"request"`
	Accept     []int             `toml:"accept"`
	AcceptJSON map[string]any    `toml:"accept_json"`
	Tier       Tier              `toml:"tier"`
	Scope      Scope             `toml:"scope"`
	Settle     Duration          `toml:"settle"`
	Reversible bool              `toml:"reversible"`
	Restore    *Restore          `toml:"restore"`
	Collateral string            `toml:"collateral"`
	Rights     string            `toml:"rights"`
	Needs      []string          `toml:"needs"`
	Batch      int               `toml:"batch"`
	Only       []string          `toml:"only"`
	Hosts      []string          `toml:"hosts"`
	Parts      map[string]string `toml:"parts"`
	Grade      string            `toml:"grade"`
	Source     string            `toml:"source"`
	Claim      string            `toml:"claim"`
	Mints      bool              `toml:"mints"`
	Once       bool              `toml:"once"`
}

// over overrides the keys of base that t sets.
func (t revokeTOML) over(base revokeTOML) revokeTOML {
	out := base
	out.Use = ""
	out.ID, out.Native = cmp.Or(t.ID, base.ID), cmp.Or(t.Native, base.Native)
	out.Tier, out.Scope = cmp.Or(t.Tier, base.Tier), cmp.Or(t.Scope, base.Scope)
	out.Settle, out.Batch = cmp.Or(t.Settle, base.Settle), cmp.Or(t.Batch, base.Batch)
	out.Collateral, out.Grade = cmp.Or(t.Collateral, base.Collateral), cmp.Or(t.Grade, base.Grade)
	out.Source, out.Claim = cmp.Or(t.Source, base.Source), cmp.Or(t.Claim, base.Claim)
	out.Rights = cmp.Or(t.Rights, base.Rights)
	out.Reversible, out.Mints, out.Once = t.Reversible || base.Reversible, t.Mints || base.Mints, t.Once || base.Once
	if t.Steps != nil {
		out.Steps = t.Steps
	}
	if t.Request != nil {
		out.Request = t.Request
	}
	if t.Accept != nil {
		out.Accept = t.Accept
	}
	if t.AcceptJSON != nil {
		out.AcceptJSON = t.AcceptJSON
	}
	if t.Restore != nil {
		out.Restore = t.Restore
	}
	if t.Needs != nil {
		out.Needs = t.Needs
	}
	if t.Only != nil {
		out.Only = t.Only
	}
	if t.Hosts != nil {
		out.Hosts = t.Hosts
	}
	if t.Parts != nil {
		out.Parts = t.Parts
	}
	return out
}

// sharedTOML has the probes and revocations of a file that rules refer to by name.
type sharedTOML struct {
	probes  map[string]*Probe
	revokes map[string]revokeTOML
	used    map[string]bool
	trusted bool // see load
}

func (s *sharedTOML) probe(r *Rule, p *Probe) (*Probe, error) {
	if p == nil {
		return nil, nil
	}
	out := *p
	if p.Use != "" {
		base, err := s.named(r, p.Use)
		if err != nil {
			return nil, err
		}
		out = *base
		out.When = slices.Concat(p.When, base.When)
		out.Note, out.HTML = cmp.Or(p.Note, base.Note), p.HTML || base.HTML
		if p.Request != nil {
			out.Request = p.Request
		}
		if p.Needs != nil {
			out.Needs = p.Needs
		}
		if p.Identity != nil {
			out.Identity = p.Identity
		}
		if p.Surfaces != nil {
			out.Surfaces = p.Surfaces
		}
		out.Native = cmp.Or(p.Native, base.Native)
	}
	out.When = slices.Clone(out.When)
	for _, name := range out.Surfaces {
		also, err := s.named(r, name)
		if err != nil {
			return nil, err
		}
		c := *also
		c.When = slices.Clone(c.When)
		out.Also = append(out.Also, &c)
	}
	return &out, nil
}

func (s *sharedTOML) named(r *Rule, name string) (*Probe, error) {
	p, ok := s.probes[name]
	if !ok {
		return nil, r.errorf("no [provider.probe.%s]%s", name, meant(name, slices.Collect(maps.Keys(s.probes))))
	}
	if p.Use != "" || len(p.Surfaces) > 0 && slices.Contains(p.Surfaces, name) {
		return nil, r.errorf("[provider.probe.%s] can't use another probe", name)
	}
	s.used["probe."+name] = true
	return p, nil
}

func (s *sharedTOML) revoke(r *Rule, t revokeTOML) (Revoke, error) {
	if t.Use != "" {
		base, ok := s.revokes[t.Use]
		if !ok {
			return Revoke{}, r.errorf("no [provider.revoke.%s]%s", t.Use, meant(t.Use, slices.Collect(maps.Keys(s.revokes))))
		}
		s.used["revoke."+t.Use] = true
		base.ID = cmp.Or(base.ID, t.Use)
		t = t.over(base)
	}
	v := Revoke{
		ID: t.ID, Native: t.Native, Steps: t.Steps, Tier: t.Tier, Scope: ScopeOf(string(t.Scope)), Settle: t.Settle,
		Reversible: t.Reversible, Restore: t.Restore, Collateral: t.Collateral, Rights: t.Rights, Needs: slices.Clone(t.Needs), Batch: t.Batch,
		Only: t.Only, Hosts: t.Hosts, Parts: t.Parts, Grade: t.Grade, Source: t.Source, Mints: t.Mints, Once: t.Once,
	}
	if v.Mints {
		// The new secret is discarded, which ends more than the credential: its users need it.
		v.Tier, v.Collateral = TierCollateral, cmp.Or(v.Collateral, "the response contains a new secret, which quell discards")
	}
	if v.Always = t.Claim == "always"; t.Claim != "" && !v.Always {
		return v, r.errorf("revoke %q: claim can only be \"always\"", t.ID)
	}
	requests, err := requestList(t.Request)
	if err != nil {
		return v, r.errorf("revoke %q: %v", t.ID, err)
	}
	for _, q := range requests {
		if q.Accept == nil {
			q.Accept = t.Accept
		}
		if q.AcceptJSON == nil {
			q.AcceptJSON = t.AcceptJSON
		}
	}
	v.Requests = requests
	return v, nil
}

// requestList decodes one request or several.
func requestList(v any) ([]*Request, error) {
	var list []any
	switch v := v.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		list = []any{v}
	case []any:
		list = v
	default:
		return nil, errors.New("request is not a table")
	}
	var out []*Request
	for _, e := range list {
		if _, ok := e.(map[string]any); !ok {
			return nil, errors.New("request is not a table")
		}
		b, err := toml.Marshal(e)
		if err != nil {
			return nil, errors.New("request can't be read")
		}
		q := &Request{}
		d := toml.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err := d.Decode(q); err != nil {
			var strict *toml.StrictMissingError
			if errors.As(err, &strict) && len(strict.Errors) > 0 {
				return nil, fmt.Errorf("unknown key %q in its request", strings.Join(strict.Errors[0].Key(), "."))
			}
			return nil, fmt.Errorf("request: %s", strings.TrimPrefix(err.Error(), "toml: "))
		}
		out = append(out, q)
	}
	return out, nil
}

// unused returns an error for shared parts that no rule uses.
func (s *sharedTOML) unused(file string) error {
	for _, n := range slices.Sorted(maps.Keys(s.probes)) {
		if !s.used["probe."+n] {
			return fmt.Errorf("%s:1: no rule uses [provider.probe.%s]", file, n)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(s.revokes)) {
		if !s.used["revoke."+n] {
			return fmt.Errorf("%s:1: no rule uses [provider.revoke.%s]", file, n)
		}
	}
	return nil
}

// stringList decodes a string or a list of strings.
func stringList(v any) ([]string, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case []any:
		out := make([]string, len(v))
		for i, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil, errors.New("it is neither a name nor a list of names")
			}
			out[i] = s
		}
		return out, nil
	}
	return nil, errors.New("it is neither a name nor a list of names")
}

// meant returns a suggestion that ends an error about an undeclared name.
func meant(name string, candidates []string) string {
	if n := nearest(name, candidates); n != "" {
		return fmt.Sprintf(" (hint: %s)", n)
	}
	return ""
}

func (t providerTOML) provider(file string) (*Provider, error) {
	bad := func(format string, args ...any) (*Provider, error) {
		return nil, fmt.Errorf("%s:1: [provider] %s", file, fmt.Sprintf(format, args...))
	}
	if t.ID == "" {
		return bad("has no id")
	}
	p := &Provider{
		ID: t.ID, Name: t.Name, Docs: t.Docs, Patterns: t.Hosts, Lists: t.Lists, Domains: t.Domains, OwnerName: t.OwnerName, Env: t.Env, Files: t.Files, Honeytokens: t.Honeytokens,
		SelfHosted: t.SelfHosted, Client: t.Client, Sources: t.Sources, Restore: t.Restore, Whoami: t.Whoami, Login: t.Login, Audit: t.Audit,
	}
	var err error
	if p.Owner, err = stringList(t.Owner); err != nil {
		return bad("owner: %v", err)
	}
	if p.Client.ID != "" && p.Client.Source == "" {
		return bad("client: a public client id needs its source")
	}
	for name, s := range p.Sources {
		if !strings.HasPrefix(s.URL, "https://") && !strings.HasPrefix(s.URL, "http://") {
			return bad("source.%s has no url", name)
		}
		if s.Grade != "" && s.Grade != "P" && s.Grade != "X" {
			return bad("source.%s: grade %q is not P or X", name, s.Grade)
		}
	}
	if _, ok := p.Sources["audit"]; p.Audit != "" && !ok {
		return bad("audit: the text needs its source, [provider.source.audit]")
	}
	for _, h := range t.Hosts {
		list, err := p.expand(h)
		if err != nil {
			return bad("%v", err)
		}
		p.Hosts = append(p.Hosts, list...)
	}
	if err := p.validateWhoami(file); err != nil {
		return nil, err
	}
	return p, nil
}

// validateWhoami checks the requests that policy init sends: they must only read, and use no
// variable except the credential.
func (p *Provider) validateWhoami(file string) error {
	r := &Rule{ID: "provider.whoami", Provider: p, File: file, Line: 1}
	s := &scope{r, map[string]bool{"token": true}}
	for i, w := range p.Whoami {
		where := fmt.Sprintf("whoami %d", i+1)
		if w.Request == nil || w.ID == "" {
			return r.errorf("%s needs a request and an id", where)
		}
		if err := r.validateRead(where, w.Request, s); err != nil {
			return err
		}
		if err := checkConditions(w.Where); err != nil {
			return r.errorf("%s: where: %v", where, err)
		}
	}
	if l := p.Login; l != nil && (l.URL == "" && l.URLEnv == "" || len(l.Env) == 0 && l.File == "" || len(p.Whoami) == 0) {
		return r.errorf("login needs url or url_env, env or file, and a whoami request")
	}
	return nil
}
