package rules

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"
)

// Variables that a request may name, besides what an earlier answer kept.
//
//	token         the credential
//	token.last8   its last eight characters
//	cookie        the cookie's name
//	probe_path    a page of the instance that only a signed-in user gets
//	logout_path   where the instance ends a session
//	live_marker   text that only a signed-in user sees; empty unless given
//	dead_marker   text of the sign-in page
//	login_path    where the instance sends who is not signed in
//	admin         the operator's credential at the instance
//	admin.basic   the same, user:password, as a Basic header
//	client.basic  the operator's OAuth client, as a Basic header
//	origin        scheme, host and port of the instance
var Variables = []string{"token", "token.last8", "cookie", "probe_path", "logout_path", "live_marker", "dead_marker", "login_path", "admin", "admin.basic", "client.basic", "origin"}

var variableRE = regexp.MustCompile(`\{([A-Za-z_][\w.]*)\}`)

// Vars lists the variables in s.
func Vars(s string) []string {
	var out []string
	for _, m := range variableRE.FindAllStringSubmatch(s, -1) {
		out = append(out, m[1])
	}
	return out
}

// Expand replaces the variables of s. ok is false where one is not set.
func Expand(s string, get func(string) (string, bool)) (out string, ok bool) {
	ok = true
	out = variableRE.ReplaceAllStringFunc(s, func(m string) string {
		v, found := get(m[1 : len(m)-1])
		ok = ok && found
		return v
	})
	return out, ok
}

var settings = []string{"probe_path", "logout_path", "live_marker", "dead_marker", "login_path", "admin", "client"}

func (r *Rule) validate() error {
	known := map[string]bool{}
	for _, v := range Variables {
		known[v] = true
	}
	if p := r.Probe; p != nil {
		if err := r.validateProbe(p, known); err != nil {
			return err
		}
	}
	for i := range r.Revokes {
		if err := r.validateRevoke(&r.Revokes[i], known); err != nil {
			return err
		}
	}
	for _, c := range r.Cases {
		for _, w := range c.Want {
			word, _, _ := strings.Cut(w, ":")
			if !slices.Contains([]string{"live", "dead", "unknown", "accepted", "refused"}, word) {
				return r.errorf("case wants %q, which is no outcome", w)
			}
		}
	}
	return nil
}

func (r *Rule) validateProbe(p *Probe, known map[string]bool) error {
	if (p.Native == "") == (p.Request == nil) {
		return r.errorf("the probe needs a request or a native, and not both")
	}
	for _, n := range p.Needs {
		if !slices.Contains(settings, n) {
			return r.errorf("the probe needs %q, which no operator can set", n)
		}
	}
	if p.Native != "" {
		return nil
	}
	if err := r.validateRequest("probe", p.Request, known); err != nil {
		return err
	}
	if !slices.Contains([]string{"GET", "HEAD", "POST"}, p.Request.Method) {
		return r.errorf("the probe's method %s is not one that only reads", p.Request.Method)
	}
	has := map[string]bool{}
	for i, a := range p.When {
		if !slices.Contains([]string{"live", "dead", "unknown"}, a.Then) {
			return r.errorf("arm %d means %q: it must be live, dead or unknown", i+1, a.Then)
		}
		if a.After != "" && a.After != "live" {
			return r.errorf("arm %d: after can only be \"live\"", i+1)
		}
		if a.After == "live" && a.Also == "" {
			p.When[i].Also = "asker"
		}
		if !slices.Contains([]string{"", "asker", "credential"}, a.Also) {
			return r.errorf("arm %d: also can only be \"asker\" or \"credential\"", i+1)
		}
		if len(a.Status) == 0 {
			return r.errorf("arm %d names no status", i+1)
		}
		has[a.Then] = true
		if a.Then == "dead" {
			for _, s := range a.Status {
				switch {
				case s == 403 || s == 429 || s >= 500:
					return r.errorf("arm %d: an answer of %d is never dead", i+1, s)
				case s >= 300 && s < 400 && (a.Location == "" || !p.HTML):
					return r.errorf("arm %d: a redirect is dead only for a page, and only to a named sign-in path", i+1)
				}
			}
		}
		for _, s := range []string{a.Body, a.Location} {
			for _, v := range Vars(s) {
				if !known[v] {
					return r.errorf("arm %d: unknown variable {%s}", i+1, v)
				}
			}
		}
		for k := range a.Keep {
			known[k] = true
		}
	}
	if !has["live"] || !has["dead"] {
		return r.errorf("the probe has no arm for live or none for dead")
	}
	return nil
}

func (r *Rule) validateRevoke(v *Revoke, known map[string]bool) error {
	name := fmt.Sprintf("revoke %q", v.ID)
	v.Scope = ScopeOf(string(v.Scope))
	switch {
	case v.ID == "":
		return r.errorf("a revoke has no id")
	case (v.Native == "") == (v.Request == nil):
		return r.errorf("%s needs a request or a native, and not both", name)
	case v.Request != nil && len(v.Accept) == 0:
		return r.errorf("%s accepts no status", name)
	case !slices.Contains([]Tier{TierSelf, TierAdmin, TierCollateral}, v.Tier):
		return r.errorf("%s: tier %q is not self, admin or collateral", name, v.Tier)
	case !slices.Contains([]Scope{ScopeSession, ScopeUser, ScopeEveryone, ScopeNone}, v.Scope):
		return r.errorf("%s: scope %q is not this_session, all_user_sessions, everyone or none", name, v.Scope)
	case !slices.Contains([]string{"P", "X"}, v.Grade):
		return r.errorf("%s: grade %q: a revocation must rest on a primary source (P) or on a peer's code (X)", name, v.Grade)
	case v.Settle <= 0 || time.Duration(v.Settle) > 48*time.Hour:
		return r.errorf("%s: settle must be a time up to 48h", name)
	case v.Batch < 0 || v.Batch > 1 && (v.Request == nil || v.Request.JSON == nil || len(v.Steps) > 0):
		return r.errorf("%s: only a JSON request without steps can end several", name)
	case len(v.Steps) > 3:
		return r.errorf("%s: more than four requests", name)
	}
	for _, n := range v.Needs {
		if !slices.Contains(settings, n) {
			return r.errorf("%s needs %q, which no operator can set", name, n)
		}
	}
	for i, s := range v.Steps {
		if s.Request == nil || s.Request.Method != "GET" {
			return r.errorf("%s: step %d must be a GET", name, i+1)
		}
		if err := r.validateRequest(name, s.Request, known); err != nil {
			return err
		}
		for k := range s.Keep {
			known[k] = true
		}
		if s.Pick != nil {
			for k := range s.Pick.Keep {
				known[k] = true
			}
		}
	}
	if v.Request == nil {
		return nil
	}
	return r.validateRequest(name, v.Request, known)
}

func (r *Rule) validateRequest(where string, q *Request, known map[string]bool) error {
	for _, s := range q.strings() {
		for _, v := range Vars(s) {
			if !known[v] {
				return r.errorf("%s: unknown variable {%s}", where, v)
			}
		}
	}
	if strings.Contains(q.Path, "{token}") || anyContains(q.Query, "{token}") {
		return r.errorf("%s: a token in a URL ends up in logs", where)
	}
	if !strings.HasPrefix(q.Path, "/") && !strings.HasPrefix(q.Path, "{") {
		return r.errorf("%s: path %q does not begin with /", where, q.Path)
	}
	if _, err := url.Parse(variableRE.ReplaceAllString(q.Path, "x")); err != nil {
		return r.errorf("%s: path: %v", where, err)
	}
	if q.Form != nil && q.JSON != nil {
		return r.errorf("%s: a body is form or json", where)
	}
	return nil
}

// strings are all that may hold variables, in a fixed order.
func (q *Request) strings() []string {
	out := []string{q.Path}
	for _, m := range []map[string]string{q.Query, q.Header, q.Form} {
		for _, v := range m {
			out = append(out, v)
		}
	}
	out = append(out, stringsIn(q.JSON)...)
	sort.Strings(out)
	return out
}

func stringsIn(v any) []string {
	var out []string
	switch v := v.(type) {
	case string:
		out = append(out, v)
	case []any:
		for _, e := range v {
			out = append(out, stringsIn(e)...)
		}
	case map[string]any:
		for _, e := range v {
			out = append(out, stringsIn(e)...)
		}
	}
	return out
}

func anyContains(m map[string]string, s string) bool {
	for _, v := range m {
		if strings.Contains(v, s) {
			return true
		}
	}
	return false
}
