package rules

import (
	"net/url"
	"slices"
	"sort"
	"strings"

	"github.com/quellhq/quell/rules/regex"
)

// methods lists the allowed HTTP methods. LIST is Vault's.
var methods = []string{"GET", "HEAD", "LIST", "POST", "PUT", "PATCH", "DELETE"}

// headerRE matches a header's name (RFC 9110, 5.6.2).
var headerRE = regex.Lazy("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")

// wholePaths are settings that contain a path of several segments.
var wholePaths = []string{"{probe_path}", "{logout_path}", "{login_path}"}

// validateRead checks a request that must change nothing.
func (r *Rule) validateRead(where string, q *Request, s *scope) error {
	switch q.Method {
	case "GET", "HEAD", "LIST":
	case "POST":
		if !q.Reads || q.Source == "" {
			return r.errorf("%s: a POST that only reads needs reads = true and the source that says so (hint: quell rules convert FILE)", where)
		}
	default:
		return r.errorf("%s: the method %s is not one that only reads", where, q.Method)
	}
	if q.Login {
		return r.errorf("%s can't be a login", where)
	}
	if word := changes(q); word != "" {
		return r.errorf("%s: a request to %q changes something, redeems a token or costs money", where, word)
	}
	return r.validateRequest(where, q, s)
}

// changing are last path segments of requests that do more than read.
var changing = []string{
	"revoke", "revocation", "logout", "signout", "sign_out", "log_out", "refresh", "rotate", "renew", "regenerate", "reset", "delete", "destroy", "disable",
	"completions", "responses", "messages", "sendmessage", "chat.postmessage", "embeddings", "publish",
}

// changes returns the part of a request that shows that it does more than read, or "".
func changes(q *Request) string {
	path := strings.ToLower(strings.TrimRight(q.Path, "/"))
	last := path[strings.LastIndexByte(path, '/')+1:]
	if slices.Contains(changing, last) && (q.Method == "POST" || !slices.Contains([]string{"messages", "responses"}, last)) {
		return last
	}
	for _, m := range []map[string]string{q.Form, q.Query} {
		if g, ok := m["grant_type"]; ok {
			return "grant_type=" + g
		}
	}
	if t, ok := q.JSON.(map[string]any); ok {
		if g, ok := t["grant_type"].(string); ok {
			return "grant_type=" + g
		}
		if g, ok := t["query"].(string); ok && strings.HasPrefix(strings.TrimSpace(g), "mutation") {
			return "mutation"
		}
	}
	return ""
}

func (r *Rule) validateRequest(where string, q *Request, s *scope) error {
	if !slices.Contains(methods, q.Method) && q.Method != "{logout_method}" {
		return r.errorf("%s: method %q is not one of %s", where, q.Method, strings.Join(methods, ", "))
	}
	for _, text := range q.Texts() {
		if err := s.checkText(text); err != nil {
			return r.errorf("%s: %v", where, err)
		}
	}
	if q.Host != "" && (r.Provider == nil || !slices.Contains(r.Provider.Patterns, q.Host)) {
		return r.errorf("%s: host %q is not one of the provider's hosts", where, q.Host)
	}
	if err := r.validatePath(where, q); err != nil {
		return err
	}
	inURL := []string{q.Path}
	for _, v := range q.Query {
		inURL = append(inURL, v)
	}
	secret := slices.ContainsFunc(inURL, func(text string) bool { return slices.ContainsFunc(Vars(text), r.SecretVariable) })
	switch {
	case secret && !q.SecretInURL:
		return r.errorf("%s: a secret in a URL ends up in logs; if the issuer takes it nowhere else, say secret_in_url = true", where)
	case !secret && q.SecretInURL:
		return r.errorf("%s: secret_in_url = true, but no secret is in the path or query", where)
	}
	bodies := 0
	for _, has := range []bool{q.Form != nil, q.JSON != nil, q.Raw != nil, q.Multipart != nil} {
		if has {
			bodies++
		}
	}
	switch {
	case bodies > 1:
		return r.errorf("%s: a body is one of form, json, raw and multipart", where)
	case bodies > 0 && (q.Method == "GET" || q.Method == "HEAD"):
		return r.errorf("%s: a %s has no body", where, q.Method)
	case q.Raw != nil && q.Raw.Type == "":
		return r.errorf("%s: a raw body needs its type", where)
	case q.Basic != nil && len(q.Basic) != 2:
		return r.errorf("%s: basic is a user and a password", where)
	}
	switch q.JSON.(type) {
	case nil, map[string]any, []any:
	default:
		return r.errorf("%s: json is a table or a list", where)
	}
	for name, v := range q.Header {
		switch {
		case !headerRE().MatchString(name):
			return r.errorf("%s: %q is not the name of a header", where, name)
		case slices.Contains([]string{"host", "content-length", "transfer-encoding", "connection"}, strings.ToLower(name)):
			return r.errorf("%s: the header %s is not the file's to set", where, name)
		case strings.EqualFold(name, "Authorization") && q.Basic != nil:
			return r.errorf("%s has both basic and an Authorization header", where)
		case strings.ContainsFunc(v, func(c rune) bool { return c < ' ' || c == 0x7f }):
			return r.errorf("%s: the header %s has a control character", where, name)
		}
	}
	source, err := r.source(q.Source)
	if err != nil {
		return r.errorf("%s: %v", where, err)
	}
	q.Source = source
	return nil
}

func (r *Rule) validatePath(where string, q *Request) error {
	if slices.Contains(wholePaths, q.Path) {
		return nil
	}
	if !strings.HasPrefix(q.Path, "/") {
		return r.errorf("%s: path %q does not begin with /", where, q.Path)
	}
	plain, _ := Expand(q.Path, func(string) (string, bool) { return "x", true })
	u, err := url.Parse(plain)
	if err != nil || u.Host != "" || u.Scheme != "" || strings.HasPrefix(plain, "//") {
		return r.errorf("%s: %q is not a path", where, q.Path)
	}
	if u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(plain, "?#\\") {
		return r.errorf("%s: path %q has more than a path; a query is query = { … }", where, q.Path)
	}
	for _, segment := range strings.Split(strings.Trim(u.Path, "/"), "/") {
		if segment == "." || segment == ".." {
			return r.errorf("%s: path %q has a dot segment", where, q.Path)
		}
	}
	return nil
}

// Texts lists all strings that can contain variables, in a fixed order.
func (q *Request) Texts() []string {
	out := append([]string{q.Path}, q.Basic...)
	if q.Method == "{logout_method}" {
		out = append(out, q.Method)
	}
	for _, m := range []map[string]string{q.Query, q.Header, q.Form, q.Multipart} {
		for k, v := range m {
			out = append(out, k, v)
		}
	}
	if q.Raw != nil {
		out = append(out, q.Raw.Text)
	}
	out = append(out, textsIn(q.JSON)...)
	sort.Strings(out)
	return out
}

// textsIn lists the strings in a JSON value.
func textsIn(v any) []string {
	var out []string
	switch v := v.(type) {
	case string:
		out = append(out, v)
	case []any:
		for _, e := range v {
			out = append(out, textsIn(e)...)
		}
	case map[string]any:
		for _, e := range v {
			out = append(out, textsIn(e)...)
		}
	}
	return out
}
