// Package interp interprets the probes and revocations of rules files. It
// implements the same interfaces as every native.
package interp

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
	"github.com/quellhq/quell/rules/token"
)

// scope resolves the variables of a request about one or several targets.
type scope struct {
	t revokers.Target
	// batch are further targets that the same request ends.
	batch []revokers.Target
	// late are values that a step of the revocation read; those in hidden are
	// credentials themselves.
	late   map[string]string
	hidden map[string]bool
	// jars are late values that are several cookies, for the header Cookie alone.
	jars map[string]bool
	// show replaces secrets and late values by their placeholders.
	show bool
}

// placeholder reports whether a plan shows the variable's name and not its
// value.
func (s *scope) placeholder(name string) bool {
	head, _, _ := strings.Cut(name, ".")
	if slices.Contains([]string{"token", "admin", "client", "part"}, head) {
		return true
	}
	if _, _, batch := batchIndex(name); batch {
		return true
	}
	base, _, ok := rules.SplitVariable(name, func(n string) bool { _, late := s.late[n]; return late })
	return ok && base != ""
}

// get resolves a variable with its functions. ok is false if nothing sets it.
func (s *scope) get(name string) (value string, ok bool) {
	if s.show && s.placeholder(name) {
		return "{" + name + "}", true
	}
	if i, rest, ok := batchIndex(name); ok {
		if i > len(s.batch) {
			return "", false
		}
		one := &scope{t: s.batch[i-1]}
		return one.get("token" + rest)
	}
	base, functions, ok := rules.SplitVariable(name, func(n string) bool { _, _, is := s.base(n); return is })
	if !ok {
		return "", false
	}
	v, set, _ := s.base(base)
	if !set || functions == "" {
		return v, set
	}
	return s.t.Rule.Apply(v, functions, claim)
}

// base resolves a variable without functions. is reports whether there is such
// a variable, set whether it has a value.
func (s *scope) base(name string) (v string, set, is bool) {
	i := s.t.Instance
	switch name {
	case "token":
		return s.t.Secret.Reveal(), true, true
	case "cookie":
		return s.t.Cookie, s.t.Cookie != "", true
	case "origin":
		return i.Origin(), true, true
	case "live_marker":
		return i.Settings[name], true, true
	case "admin":
		return i.Admin.Reveal(), !i.Admin.IsZero(), true
	case "admin.user", "admin.password", "admin.basic":
		user, pass, ok := strings.Cut(i.Admin.Reveal(), ":")
		return map[string]string{"admin.user": user, "admin.password": pass, "admin.basic": basic(user, pass)}[name], ok, true
	case "client.id":
		return ClientID(s.t), ClientID(s.t) != "", true
	case "client.secret":
		return i.ClientSecret.Reveal(), !i.ClientSecret.IsZero(), true
	case "client.basic":
		return basic(url.QueryEscape(i.ClientID), url.QueryEscape(i.ClientSecret.Reveal())), i.ClientID != "", true
	}
	if part, found := strings.CutPrefix(name, "part."); found {
		p, ok := s.t.Parts[part]
		_, declared := s.t.Rule.Parts[part]
		return p.Reveal(), ok, ok || declared
	}
	if group, found := strings.CutPrefix(name, "token."); found {
		v, ok := s.t.Rule.Named(s.t.Secret.Reveal())[group]
		return v, ok, slices.Contains(s.t.Rule.Names(), group)
	}
	if v, found := s.late[name]; found {
		return v, true, true
	}
	if v, found := s.t.Captures[name]; found {
		return v, true, true
	}
	v = i.Settings[name]
	return v, v != "", v != "" || slices.Contains(rules.Variables, name)
}

// ClientID is the operator's OAuth client at the instance, or the public one
// that the vendor ships.
func ClientID(t revokers.Target) string {
	if t.Instance.ClientID != "" || t.Rule.Provider == nil {
		return t.Instance.ClientID
	}
	return t.Rule.Provider.Client.ID
}

// claim reads a claim of a JWT by its dotted path.
func claim(jwt, path string) (string, bool) {
	j, err := token.ParseJWT(jwt)
	if err != nil {
		return "", false
	}
	b, err := json.Marshal(j.Claims)
	if err != nil {
		return "", false
	}
	v, ok := lookup(decode(b), path)
	return text(v), ok && text(v) != ""
}

func basic(user, pass string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+pass))
}

// UnsetError reports that a request needs a variable which nothing sets.
type UnsetError struct{ Name string }

func (e UnsetError) Error() string { return fmt.Sprintf("nothing sets {%s}", e.Name) }

// expand replaces the variables of a template.
func (s *scope) expand(template string, get func(string) (string, bool)) (string, error) {
	out, ok := rules.Expand(template, get)
	if ok {
		return out, nil
	}
	for _, v := range rules.Vars(template) {
		if _, ok := get(v); !ok {
			return "", UnsetError{v}
		}
	}
	return out, nil
}

// sent are the values of the credential that a request about the target can
// contain: an issuer that echoes them does not change what its refusal means.
func (s *scope) sent() []string {
	secret := s.t.Secret.Reveal()
	out := []string{secret}
	if v, err := url.PathUnescape(secret); err == nil && v != secret {
		out = append(out, v)
	}
	for _, p := range s.t.Parts {
		out = append(out, p.Reveal())
	}
	for _, v := range s.t.Rule.Named(secret) {
		if len(v) >= 4 {
			out = append(out, v)
		}
	}
	for _, f := range []string{"sha256.hex", "sha256.b64url", "base64"} {
		if v, ok := s.t.Rule.Apply(secret, f, claim); ok && len(v) >= 4 {
			out = append(out, v)
		}
	}
	if s.t.Rule.Inner != nil {
		for _, n := range s.t.Rule.Inner.Names() {
			if v, ok := s.t.Rule.Apply(secret, "base64."+n, claim); ok && len(v) >= 4 {
				out = append(out, v)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b string) int { return len(b) - len(a) })
	return out
}

// Has reports whether the operator gave what a probe or revocation needs, and
// otherwise the name of the missing setting.
func Has(t revokers.Target, needs []string) (missing string, ok bool) {
	for _, n := range needs {
		switch n {
		case "admin":
			ok = !t.Instance.Admin.IsZero()
		case "sessions_db":
			ok = !t.Instance.SessionsDB.IsZero()
		case "client":
			ok = ClientID(t) != ""
		case "client.secret":
			ok = !t.Instance.ClientSecret.IsZero()
		default:
			if part, found := strings.CutPrefix(n, "part."); found {
				_, ok = t.Parts[part]
				break
			}
			ok = t.Instance.Settings[n] != ""
		}
		if !ok {
			return n, false
		}
	}
	return "", true
}

// Begins reports whether a credential's parts begin as a revocation demands.
func Begins(t revokers.Target, parts map[string]string) bool {
	for name, prefix := range parts {
		if !strings.HasPrefix(t.Parts[name].Reveal(), prefix) {
			return false
		}
	}
	return true
}

// batchIndex reads token_N, and what follows the number.
func batchIndex(name string) (n int, rest string, ok bool) {
	d, ok := strings.CutPrefix(name, "token_")
	if !ok {
		return 0, "", false
	}
	digits := d
	if k := strings.IndexByte(d, '.'); k >= 0 {
		digits, rest = d[:k], d[k:]
	}
	n, err := strconv.Atoi(digits)
	return n, rest, err == nil && n > 0
}

// redact replaces the secrets of the scope in a value that an issuer sent.
func (s *scope) redact(v string) string {
	for _, secret := range s.secrets() {
		if secret.Len() > 3 {
			v = strings.ReplaceAll(v, secret.Reveal(), rules.Redacted)
			for _, other := range secret.Spellings() {
				if other.Len() > 7 {
					v = strings.ReplaceAll(v, other.Reveal(), rules.Redacted)
				}
			}
		}
	}
	return v
}

// secrets lists the values that must not appear in anything but the request.
func (s *scope) secrets() []credential.Secret {
	out := []credential.Secret{s.t.Secret, s.t.Instance.Admin, s.t.Instance.ClientSecret}
	for _, p := range s.t.Parts {
		out = append(out, p)
	}
	for _, b := range s.batch {
		out = append(out, b.Secret)
	}
	return out
}

// Expander replaces the variables of a text about a target; unknown ones stay.
func Expander(t revokers.Target) func(string) string {
	s := &scope{t: t}
	return func(text string) string {
		out, ok := rules.Expand(text, s.get)
		if !ok {
			return text
		}
		return out
	}
}
