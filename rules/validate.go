package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quellhq/quell/rules/regex"
)

// scope has the variables that a request of a rule can use.
type scope struct {
	rule  *Rule
	known map[string]bool
}

func (r *Rule) scope() *scope {
	s := &scope{r, map[string]bool{}}
	for _, v := range Variables {
		s.known[v] = true
	}
	for _, n := range r.Names() {
		s.known["token."+n] = true
	}
	for n := range r.Parts {
		s.known["part."+n] = true
	}
	return s
}

// check returns an error for an undeclared variable.
func (s *scope) check(name string) error {
	_, functions, ok := SplitVariable(name, func(n string) bool { return s.known[n] })
	if ok && s.rule.validFunctions(functions) {
		return nil
	}
	candidates := slices.Collect(maps.Keys(s.known))
	for _, v := range candidates {
		for _, f := range Functions {
			candidates = append(candidates, v+"."+f)
		}
	}
	return fmt.Errorf("unknown variable {%s}%s", name, hint(name, candidates))
}

// checkText returns an error for an unknown variable in a template.
func (s *scope) checkText(text string) error {
	for _, v := range Vars(text) {
		if err := s.check(v); err != nil {
			return err
		}
	}
	return nil
}

// batchRE matches the variable for the token of a further credential in a batch.
var batchRE = regex.Lazy(`^token_[0-9]+(?:\.|$)`)

// keepRE matches the name of a kept value.
var keepRE = regex.Lazy(`^[a-z][a-z0-9_]{0,39}$`)

// keep declares the values kept from an answer.
func (s *scope) keep(m map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		switch {
		case !keepRE().MatchString(name):
			return fmt.Errorf("keep: %q is not a name (a-z, 0-9, _)", name)
		case slices.Contains(Variables, name) && name != "user" && name != "csrf" || batchRE().MatchString(name):
			return fmt.Errorf("keep: %s is a variable of the language", name)
		case m[name] == "" || strings.HasPrefix(m[name], ".") || strings.HasSuffix(m[name], "."):
			return fmt.Errorf("keep: %s has no path", name)
		}
		s.known[name] = true
	}
	return nil
}

func (r *Rule) validate() error {
	if r.Probe == nil && len(r.Revokes) == 0 && len(r.Parts) == 0 && len(r.Cases) == 0 && r.RequestsMax == 0 {
		return nil
	}
	s := r.scope()
	if r.RequestsMax < 0 {
		return r.errorf("requests_max is negative")
	}
	for name, p := range r.Parts {
		if !keepRE().MatchString(name) || p.Rule == "" || p.Within < 0 {
			return r.errorf("part %q needs a name (a-z, 0-9, _) and a rule", name)
		}
	}
	if r.Probe != nil {
		for _, p := range append([]*Probe{r.Probe}, r.Probe.Also...) {
			if err := r.validateProbe(p, s); err != nil {
				return err
			}
		}
	}
	ids := map[string]bool{}
	for i := range r.Revokes {
		v := &r.Revokes[i]
		if ids[v.ID] {
			return r.errorf("revoke %q is there twice", v.ID)
		}
		ids[v.ID] = true
		own := &scope{r, maps.Clone(s.known)}
		if err := r.validateRevoke(v, own); err != nil {
			return err
		}
	}
	for _, c := range r.Cases {
		if err := r.validateCase(c, ids); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rule) validateCase(c Case, ids map[string]bool) error {
	for _, w := range c.Want {
		word, _, _ := strings.Cut(w, ":")
		if !slices.Contains([]string{"live", "dead", "unknown", "accepted", "refused"}, word) {
			return r.errorf("case %q wants %q, which is no outcome", c.Name, w)
		}
	}
	if c.Revoke != "" && !ids[c.Revoke] {
		return r.errorf("case %q: no revoke %q%s", c.Name, c.Revoke, meant(c.Revoke, slices.Collect(maps.Keys(ids))))
	}
	for i, p := range c.Replies {
		if p.Status < 100 || p.Status > 599 {
			return r.errorf("case %q: reply %d has no status", c.Name, i+1)
		}
		if p.When != nil {
			if err := checkConditions(p.When.JSON); err != nil {
				return r.errorf("case %q: reply %d: when: %v", c.Name, i+1, err)
			}
		}
	}
	return nil
}

func (r *Rule) validateNeeds(where string, needs []string) error {
	for _, n := range needs {
		if !slices.Contains(settings, n) && !r.isPart(n) {
			return r.errorf("%s needs %q, which no operator can set%s", where, n, meant(n, slices.Clone(settings)))
		}
	}
	return nil
}

// validateHosts checks that the provider pins the hosts of a native.
func (r *Rule) validateHosts(where, native string, hosts []string) error {
	for _, h := range hosts {
		switch {
		case native == "":
			return r.errorf("%s: hosts is for natives; a request has a host", where)
		case r.Provider == nil || !slices.Contains(r.Provider.Patterns, h):
			return r.errorf("%s: %q is not one of the provider's hosts", where, h)
		}
	}
	return nil
}

// need adds the settings and parts that a request requires.
func (r *Rule) need(needs []string, requests ...*Request) []string {
	add := func(n string) {
		if !slices.Contains(needs, n) {
			needs = append(needs, n)
		}
	}
	for _, q := range requests {
		for _, text := range q.Texts() {
			for _, v := range Vars(text) {
				base, _, _ := SplitVariable(v, func(n string) bool { return slices.Contains(Variables, n) || r.isPart(n) })
				switch head, _, _ := strings.Cut(base, "."); {
				case base == "client.secret", base == "client.basic":
					add("client")
					add("client.secret")
				case head == "admin", head == "client":
					add(head)
				case head == "part" && !r.Parts[strings.TrimPrefix(base, "part.")].Optional:
					add(base)
				case slices.Contains([]string{"probe_path", "logout_path", "namespace"}, base):
					add(base)
				}
			}
		}
	}
	return needs
}

func (r *Rule) validateProbe(p *Probe, s *scope) error {
	if (p.Native == "") == (p.Request == nil) {
		return r.errorf("the probe needs a request or a native, and not both")
	}
	if err := r.validateNeeds("the probe", p.Needs); err != nil {
		return err
	}
	if err := r.validateHosts("the probe", p.Native, p.Hosts); err != nil {
		return err
	}
	if p.Native != "" {
		return nil
	}
	if err := r.validateRead("the probe", p.Request, s); err != nil {
		return err
	}
	p.Needs = r.need(slices.Clone(p.Needs), p.Request)
	has := map[string]bool{}
	for i := range p.When {
		a := &p.When[i]
		if err := r.validateArm(p, a, s); err != nil {
			return r.errorf("arm %d%s", i+1, err)
		}
		has[a.Then] = true
	}
	if !has["live"] || !has["dead"] {
		return r.errorf("the probe has no arm for live or none for dead")
	}
	if len(p.Identity) > 2 {
		return r.errorf("the probe has more than two identity requests")
	}
	for i, step := range p.Identity {
		if step.Request == nil {
			return r.errorf("identity request %d is missing", i+1)
		}
		if err := r.validateRead(fmt.Sprintf("identity request %d", i+1), step.Request, s); err != nil {
			return err
		}
		if err := s.keep(step.Keep); err != nil {
			return r.errorf("identity request %d: %v", i+1, err)
		}
		if step.Pick != nil {
			if err := r.validatePick(step.Pick, s); err != nil {
				return r.errorf("identity request %d: %v", i+1, err)
			}
		}
	}
	return nil
}

// validateArm returns an error that begins with ":" or with a space.
func (r *Rule) validateArm(p *Probe, a *Arm, s *scope) error {
	if !slices.Contains([]string{"live", "dead", "unknown"}, a.Then) {
		return fmt.Errorf(" means %q: it must be live, dead or unknown", a.Then)
	}
	if a.After != "" && a.After != "live" {
		return fmt.Errorf(": after can only be \"live\"")
	}
	if a.After == "live" && a.Also == "" {
		a.Also = "asker"
	}
	if !slices.Contains([]string{"", "asker", "credential"}, a.Also) {
		return fmt.Errorf(": also can only be \"asker\" or \"credential\"")
	}
	if a.Also != "" && a.Then != "dead" {
		return fmt.Errorf(": also is for dead arms")
	}
	if len(a.Status) == 0 {
		return fmt.Errorf(" names no status")
	}
	for _, m := range []map[string]any{a.JSON, a.Header} {
		if err := checkConditions(m); err != nil {
			return fmt.Errorf(": %w", err)
		}
	}
	for _, v := range a.Header {
		if t, ok := v.(map[string]any); ok && t["has"] != nil {
			return fmt.Errorf(": has is for JSON")
		}
	}
	var err error
	if a.Source, err = r.source(a.Source); err != nil {
		return fmt.Errorf(": %w", err)
	}
	if a.Then == "dead" {
		if err := validateDead(p, a); err != nil {
			return err
		}
	}
	for _, text := range []string{a.Body, a.Location} {
		if err := s.checkText(text); err != nil {
			return fmt.Errorf(": %w", err)
		}
	}
	if err := s.keep(a.Keep); err != nil {
		return fmt.Errorf(": %w", err)
	}
	return nil
}

func validateDead(p *Probe, a *Arm) error {
	for _, status := range a.Status {
		switch {
		case status == 408 || status == 429 || status >= 500:
			return fmt.Errorf(": an answer of %d is never dead", status)
		case status == 403 && !a.Condition():
			return fmt.Errorf(": an answer of 403 is never dead without a condition on its body or header")
		case status >= 200 && status < 300 && !a.Condition():
			return fmt.Errorf(": an answer of %d is never dead without a condition on its body or header", status)
		case status >= 300 && status < 400 && (a.Location == "" || !p.HTML) && !a.redirectsWithWord():
			return fmt.Errorf(": a redirect is dead only for a page, and only to a named sign-in path; or with a word of its address that a source documents")
		}
	}
	return nil
}

// redirectsWithWord reports whether the arm is for redirects whose address has a word
// that a source documents, such as error=login_required.
func (a *Arm) redirectsWithWord() bool {
	t, ok := a.Header["Location"].(map[string]any)
	return ok && t["contains"] != nil && a.Source != ""
}

// source resolves the name of a declared source. A URL is its own source.
func (r *Rule) source(s string) (string, error) {
	if s == "" || strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") {
		return s, nil
	}
	if r.Provider != nil {
		if known, ok := r.Provider.Sources[s]; ok {
			return known.URL, nil
		}
		return "", fmt.Errorf("no [provider.source.%s]%s", s, meant(s, slices.Collect(maps.Keys(r.Provider.Sources))))
	}
	return "", fmt.Errorf("source %q is not an address", s)
}

func (r *Rule) validateRevoke(v *Revoke, s *scope) error {
	name := fmt.Sprintf("revoke %q", v.ID)
	switch {
	case v.ID == "":
		return r.errorf("a revoke has no id")
	case (v.Native == "") == (len(v.Requests) == 0):
		return r.errorf("%s needs a request or a native, and not both", name)
	case len(v.Requests) > 3:
		return r.errorf("%s has more than three requests", name)
	case !slices.Contains([]Tier{TierSelf, TierAdmin, TierCollateral}, v.Tier):
		return r.errorf("%s: tier %q is not self, admin or collateral", name, v.Tier)
	case !slices.Contains([]Scope{ScopeSession, ScopeUser, ScopeEveryone, ScopeNone}, v.Scope):
		return r.errorf("%s: scope %q is not this_session, all_user_sessions, everyone or none", name, v.Scope)
	case !slices.Contains([]string{"P", "X"}, v.Grade):
		return r.errorf("%s: grade %q: a revocation must rest on a primary source (P) or on a peer's code (X)", name, v.Grade)
	case v.Settle <= 0 || time.Duration(v.Settle) > 48*time.Hour:
		return r.errorf("%s: settle must be a time up to 48h", name)
	case v.Batch < 0 || v.Batch > 1 && !v.batches():
		return r.errorf("%s: only one JSON request without steps, with one list of {token}, can end several", name)
	case len(v.Steps) > 4:
		return r.errorf("%s has more than four steps", name)
	}
	if err := r.validateNeeds(name, v.Needs); err != nil {
		return err
	}
	for part := range v.Parts {
		if _, ok := r.Parts[part]; !ok {
			return r.errorf("%s: the rule has no part %q%s", name, part, meant(part, slices.Collect(maps.Keys(r.Parts))))
		}
	}
	if err := r.validateHosts(name, v.Native, v.Hosts); err != nil {
		return err
	}
	var err error
	if v.Source, err = r.source(v.Source); err != nil {
		return r.errorf("%s: %v", name, err)
	}
	if err := r.validateSteps(name, v, s); err != nil {
		return err
	}
	for i, q := range v.Requests {
		where := name
		if len(v.Requests) > 1 {
			where = fmt.Sprintf("%s, request %d", name, i+1)
		}
		if len(q.Accept) == 0 {
			return r.errorf("%s accepts no status", where)
		}
		if err := checkConditions(q.AcceptJSON); err != nil {
			return r.errorf("%s: accept_json: %v", where, err)
		}
		if q.After < 0 || time.Duration(q.After) > 5*time.Minute || q.After > 0 && i == 0 {
			return r.errorf("%s: after is a time up to 5m between two requests", where)
		}
		if err := r.validateRequest(where, q, s); err != nil {
			return err
		}
		v.Needs = r.need(v.Needs, q)
	}
	return r.validateRestore(name, v, s)
}

func (r *Rule) validateRestore(name string, v *Revoke, s *scope) error {
	if v.Restore == nil && v.Reversible && r.Provider != nil {
		v.Restore = r.Provider.Restore
	}
	if v.Restore == nil {
		return nil
	}
	if !v.Reversible {
		return r.errorf("%s has a restore and is not reversible", name)
	}
	if v.Restore.Native {
		if v.Native == "" || v.Restore.Request != nil {
			return r.errorf("%s: only a native takes itself back, and it has no request", name)
		}
		return nil
	}
	if v.Restore.Request == nil || len(v.Restore.Accept) == 0 {
		return r.errorf("%s: its restore needs a request and what it accepts", name)
	}
	if v.Restore.Window < 0 {
		return r.errorf("%s: the window of its restore is negative", name)
	}
	c := *v.Restore
	c.Needs = r.need(slices.Clone(c.Needs), c.Request)
	v.Restore = &c
	return r.validateRequest(name+", restore", c.Request, s)
}

// batches reports whether one request of the revocation can end several credentials.
func (v *Revoke) batches() bool {
	return len(v.Requests) == 1 && len(v.Steps) == 0 && lists1(v.Requests[0].JSON) == 1
}

// lists1 counts the lists whose only element contains the token.
func lists1(v any) int {
	n := 0
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			n += lists1(e)
		}
	case []any:
		if len(v) == 1 && slices.ContainsFunc(textsIn(v[0]), func(s string) bool { return strings.Contains(s, "{token") }) {
			return 1
		}
		for _, e := range v {
			n += lists1(e)
		}
	}
	return n
}

func (r *Rule) validateSteps(name string, v *Revoke, s *scope) error {
	logins := 0
	for i := range v.Steps {
		step := &v.Steps[i]
		where := fmt.Sprintf("%s, step %d", name, i+1)
		q := step.Request
		if q == nil {
			return r.errorf("%s has no request", where)
		}
		if q.Login {
			logins++
			if q.Method != "POST" || logins > 1 {
				return r.errorf("%s: one POST may be the login", where)
			}
			if err := r.validateRequest(where, q, s); err != nil {
				return err
			}
		} else if err := r.validateRead(where, q, s); err != nil {
			return err
		}
		v.Needs = r.need(v.Needs, q)
		if err := s.keep(step.Keep); err != nil {
			return r.errorf("%s: %v", where, err)
		}
		if step.Pick != nil {
			if err := r.validatePick(step.Pick, s); err != nil {
				return r.errorf("%s: %v", where, err)
			}
		}
	}
	return nil
}

func (r *Rule) validatePick(p *Pick, s *scope) error {
	_, with, ok := p.Comparison()
	switch {
	case p.Only && (p.Where != "" || with != ""):
		return fmt.Errorf("pick has only and a comparison")
	case !p.Only && (p.Where == "" || !ok):
		return fmt.Errorf("pick needs where and one of equals, prefix, suffix, prefix_of, suffix_of, masked; or only")
	case !p.Only && len(Vars(with)) == 0:
		return fmt.Errorf("pick compares with a text that is the same for all credentials")
	case p.Cursor != "" && p.Next == "":
		return fmt.Errorf("pick has a cursor and no next")
	case p.More != "" && p.Next == "":
		return fmt.Errorf("pick has more and no next")
	case p.Page != "" && p.Next != "":
		return fmt.Errorf("pick pages by page or by next")
	case len(p.Keep) == 0:
		return fmt.Errorf("pick keeps nothing")
	}
	if err := s.checkText(with); err != nil {
		return fmt.Errorf("pick: %w", err)
	}
	if err := checkConditions(p.JSON); err != nil {
		return fmt.Errorf("pick: %w", err)
	}
	return s.keep(p.Keep)
}
