package rules

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
)

// Variables are the variables that every request may name. Rules add the named
// groups of their expression ({token.NAME}), the parts of their credentials
// ({part.NAME}), and values kept from earlier answers.
//
//	token           the credential
//	cookie          the cookie's name
//	origin          scheme, host and port of the instance
//	probe_path      a page of the instance that only signed-in users can open
//	logout_path     the path of a request that ends a session
//	logout_method   the method of that request; POST unless set
//	login_path      the path to which the instance redirects users who are not signed in
//	live_marker     text that only signed-in users see; empty unless set
//	dead_marker     text of the sign-in page
//	csrf            the place of the instance's token against forged requests (CSRF)
//	user            the account that the operator names
//	namespace       the organisation, project or Vault namespace that the operator names
//	admin           the operator's credential at the instance
//	admin.user      its part before the first colon
//	admin.password  its part after the first colon
//	admin.basic     both, as a Basic header
//	client.id       the operator's OAuth client, or the file's public one
//	client.secret   its secret
//	client.basic    both, as a Basic header
var Variables = []string{
	"token", "cookie", "origin",
	"probe_path", "logout_path", "logout_method", "login_path", "live_marker", "dead_marker", "csrf", "user", "namespace",
	"admin", "admin.user", "admin.password", "admin.basic",
	"client.id", "client.secret", "client.basic",
}

// settings are the operator's settings that a probe or a revocation can require.
var settings = []string{"probe_path", "logout_path", "live_marker", "dead_marker", "login_path", "csrf", "user", "namespace", "revoke_orphan", "sessions_db", "admin", "client", "client.secret"}

// Functions follow a variable after a dot.
//
//	sha256.hex     SHA-256, 64 hex digits
//	sha256.b64url  SHA-256, unpadded base64url
//	base64         the value decoded; .base64.NAME is a group of the rule's inner expression
//	jwt.CLAIM      a claim of a JWT, without verifying its signature
//	last8          the last eight characters
var Functions = []string{"sha256.hex", "sha256.b64url", "base64", "jwt.CLAIM", "last8"}

// SplitVariable separates a variable from its functions. known reports whether a name is a
// complete variable; the longest match wins.
func SplitVariable(name string, known func(string) bool) (base, functions string, ok bool) {
	for end := len(name); end > 0; end = strings.LastIndexByte(name[:end], '.') {
		if known(name[:end]) {
			return name[:end], strings.TrimPrefix(name[end:], "."), true
		}
	}
	return "", "", false
}

// Apply computes the functions of a variable's value. ok is false if the value lacks what they
// need. jwt returns a claim of a JWT.
func (r *Rule) Apply(value, functions string, jwt func(token, claim string) (string, bool)) (out string, ok bool) {
	for functions != "" {
		head, rest, _ := strings.Cut(functions, ".")
		switch head {
		case "last8":
			if len(value) <= 8 {
				return "", false
			}
			value, functions = value[len(value)-8:], rest
		case "sha256":
			sum := sha256.Sum256([]byte(value))
			form, after, _ := strings.Cut(rest, ".")
			switch form {
			case "hex":
				value = hex.EncodeToString(sum[:])
			case "b64url":
				value = base64.RawURLEncoding.EncodeToString(sum[:])
			default:
				return "", false
			}
			functions = after
		case "base64":
			plain, ok := unbase64(value)
			if !ok {
				return "", false
			}
			value, functions = plain, rest
			if group, after, _ := strings.Cut(rest, "."); group != "" && slices.Contains(r.innerNames(), group) {
				if value, ok = named(r.Inner.Regexp(), plain)[group]; !ok {
					return "", false
				}
				functions = after
			}
		case "jwt":
			return jwt(value, rest)
		default:
			return "", false
		}
	}
	return value, true
}

// unbase64 decodes both base64 alphabets, padded or not.
func unbase64(s string) (string, bool) {
	s = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
	b, err := base64.RawStdEncoding.DecodeString(s)
	return string(b), err == nil && len(b) > 0
}

// validFunctions reports whether Apply supports the functions.
func (r *Rule) validFunctions(functions string) bool {
	for functions != "" {
		head, rest, _ := strings.Cut(functions, ".")
		switch head {
		case "last8":
			functions = rest
		case "sha256":
			form, after, _ := strings.Cut(rest, ".")
			if form != "hex" && form != "b64url" {
				return false
			}
			functions = after
		case "base64":
			functions = rest
			if group, after, _ := strings.Cut(rest, "."); slices.Contains(r.innerNames(), group) {
				functions = after
			}
		case "jwt":
			return rest != "" && !strings.HasPrefix(rest, ".") && !strings.HasSuffix(rest, ".") && !strings.Contains(rest, "..")
		default:
			return false
		}
	}
	return true
}

func (r *Rule) innerNames() []string {
	if r.Inner == nil {
		return nil
	}
	return r.Inner.Names()
}

// SecretVariable reports whether the value of a variable must not appear in URLs, plans and
// errors. Groups, claims and digests of a credential only identify it, except for the group
// named secret.
func (r *Rule) SecretVariable(name string) bool {
	known := func(n string) bool { return slices.Contains(Variables, n) || r.isPart(n) }
	base, functions, _ := SplitVariable(name, known)
	switch {
	case base == "token":
		return slices.Contains([]string{"", "base64", "secret", "secret.base64"}, functions)
	case base == "admin", base == "admin.password", base == "admin.basic", base == "client.secret", base == "client.basic":
		return !strings.HasPrefix(functions, "sha256.") && functions != "last8"
	case strings.HasPrefix(base, "part."):
		p := r.Parts[strings.TrimPrefix(base, "part.")]
		return !p.Public && (functions == "" || functions == "base64")
	}
	return batchRE().MatchString(name) && !strings.Contains(name, ".")
}

func (r *Rule) isPart(name string) bool {
	part, ok := strings.CutPrefix(name, "part.")
	_, declared := r.Parts[part]
	return ok && declared
}
