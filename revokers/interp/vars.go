// Package interp interprets the probes and revocations of rules files. It
// implements the same interfaces as every native.
package interp

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// scope resolves the variables of a request about one or several targets.
type scope struct {
	t revokers.Target
	// batch are further targets that the same request ends.
	batch []revokers.Target
	// late are values that a step of the revocation read.
	late map[string]string
	// show replaces secrets and late values by their placeholders.
	show bool
}

// secretVars are variables whose values never appear in a plan.
func secretVar(name string) bool {
	head, _, _ := strings.Cut(name, ".")
	return slices.Contains([]string{"token", "admin", "client", "part"}, head) || strings.HasPrefix(name, "token_")
}

// get resolves a variable. ok is false if nothing set it.
func (s *scope) get(name string) (value string, ok bool) {
	if s.show && secretVar(name) {
		return "{" + name + "}", true
	}
	i := s.t.Instance
	token := s.t.Secret.Reveal()
	switch name {
	case "token":
		return token, true
	case "token.last8":
		return token[max(0, len(token)-8):], len(token) > 8
	case "cookie":
		return s.t.Cookie, s.t.Cookie != ""
	case "origin":
		return i.Origin(), true
	case "live_marker":
		return i.Settings[name], true
	case "admin":
		return i.Admin.Reveal(), !i.Admin.IsZero()
	case "admin.basic":
		user, pass, ok := strings.Cut(i.Admin.Reveal(), ":")
		return basic(user, pass), ok
	case "client.id":
		return i.ClientID, i.ClientID != ""
	case "client.secret":
		return i.ClientSecret.Reveal(), !i.ClientSecret.IsZero()
	case "client.basic":
		return basic(url.QueryEscape(i.ClientID), url.QueryEscape(i.ClientSecret.Reveal())), i.ClientID != ""
	}
	if part, found := strings.CutPrefix(name, "part."); found {
		p, ok := s.t.Parts[part]
		return p.Reveal(), ok
	}
	if n, found := batchIndex(name); found && n <= len(s.batch) {
		return s.batch[n-1].Secret.Reveal(), true
	}
	if s.show {
		if _, found := s.late[name]; found {
			return "{" + name + "}", true
		}
	}
	if v, found := s.late[name]; found {
		return v, true
	}
	if v, found := s.t.Captures[name]; found {
		return v, true
	}
	v := i.Settings[name]
	return v, v != ""
}

func basic(user, pass string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+pass))
}

// expand replaces the variables of text.
func (s *scope) expand(text string, get func(string) (string, bool)) (string, error) {
	out, ok := rules.Expand(text, get)
	if ok {
		return out, nil
	}
	for _, v := range rules.Vars(text) {
		if _, ok := get(v); !ok {
			return "", fmt.Errorf("nothing sets {%s}", v)
		}
	}
	return out, nil
}

// sent are the secret values that a request about the target can contain: an
// issuer that echoes them does not change what its refusal means.
func (s *scope) sent() []string {
	out := []string{s.t.Secret.Reveal()}
	if v, err := url.PathUnescape(out[0]); err == nil && v != out[0] {
		out = append(out, v)
	}
	for _, p := range s.t.Parts {
		out = append(out, p.Reveal())
	}
	return out
}

// Has reports whether the operator gave what a probe or revocation needs, and
// otherwise the name of the missing setting.
func Has(t revokers.Target, needs []string) (missing string, ok bool) {
	for _, n := range needs {
		switch n {
		case "admin":
			ok = !t.Instance.Admin.IsZero()
		case "client":
			ok = t.Instance.ClientID != ""
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
