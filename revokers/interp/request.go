package interp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
)

// whole are settings whose value is a path of several segments.
var whole = []string{"probe_path", "logout_path", "login_path"}

// fill makes the request of a rules file for the scope's target.
func (s *scope) fill(q *rules.Request, reads bool) (issuer.Request, error) {
	r := issuer.Request{Method: q.Method, Header: http.Header{}, Reads: reads}
	if q.Method == "{logout_method}" {
		if r.Method = strings.ToUpper(s.t.Instance.Settings["logout_method"]); r.Method == "" {
			r.Method = http.MethodPost
		}
	}
	var err error
	if r.Path, err = s.path(q.Path); err != nil {
		return r, err
	}
	var errs []error
	str := func(template string, check func(name, v string) error) string {
		var bad error
		v, err := s.expand(template, func(n string) (string, bool) {
			v, ok := s.get(n)
			if ok && bad == nil && !s.show {
				bad = check(n, v)
			}
			return v, ok
		})
		errs = append(errs, err, bad)
		return v
	}
	for k, v := range q.Query {
		if r.Query == nil {
			r.Query = url.Values{}
		}
		r.Query.Set(k, str(v, acceptsAll))
	}
	for k, v := range q.Header {
		check := inHeader
		if strings.EqualFold(k, "Cookie") {
			check = s.inCookie
		}
		r.Header.Set(k, str(v, check)+s.signature(k))
	}
	if q.Basic != nil {
		user, pass := str(q.Basic[0], inUser), str(q.Basic[1], acceptsAll)
		r.Header.Set("Authorization", basic(user, pass))
		if s.show {
			r.Header.Set("Authorization", "Basic "+user+":"+pass)
		}
	}
	body, err := s.body(q, str)
	r.Body = body
	return r, errors.Join(append(errs, err)...)
}

// path fills a path. A variable is one segment of it, except for settings that
// are paths themselves.
func (s *scope) path(template string) (string, error) {
	var bad error
	out, err := s.expand(template, func(n string) (string, bool) {
		v, ok := s.get(n)
		if !ok || s.show && s.placeholder(n) || slices.Contains(whole, n) {
			return v, ok
		}
		if err := inPath(n, v); err != nil && bad == nil {
			bad = err
		}
		return url.PathEscape(v), true
	})
	switch {
	case err != nil:
		return "", err
	case bad != nil:
		return "", bad
	case issuer.HasDotSegment(out):
		return "", errors.New("the path contains a dot segment")
	}
	return out, nil
}

// at returns the target's instance, or the pinned host that the request names. A
// tenant's sub-domain belongs to the provider; servers of the operator's own have
// one host.
func (s *scope) at(q *rules.Request) (*issuer.Instance, error) {
	i, p := s.t.Instance, s.t.Rule.Provider
	if q.Host == "" || p == nil || !p.Has(i.URL.Hostname()) {
		return i, nil
	}
	host, err := p.HostOf(q.Host, i.URL.Hostname(), s.get)
	if err != nil {
		return nil, err
	}
	if host == i.URL.Hostname() {
		return i, nil
	}
	c := *i
	c.URL = &url.URL{Scheme: "https", Host: host}
	return &c, nil
}

// effect shows a request with placeholders for secrets and late values.
func (s *scope) effect(name string, q *rules.Request, reads bool) (revokers.Effect, error) {
	shown := *s
	shown.show = true
	r, err := shown.fill(q, reads)
	if err != nil {
		return revokers.Effect{}, err
	}
	origin := s.t.Instance.Origin() + strings.TrimRight(s.t.Instance.URL.Path, "/")
	if i, err := s.at(q); err == nil {
		origin = i.Origin() + strings.TrimRight(i.URL.Path, "/")
	} else if q.Host != "" {
		origin = "https://" + q.Host // a value of the host's list is still to be read
	}
	e := revokers.Effect{Name: name, Method: r.Method, URL: origin + r.Path, Header: map[string]string{}, Reads: reads}
	if len(r.Query) > 0 {
		if q, err := url.QueryUnescape(r.Query.Encode()); err == nil {
			e.URL += "?" + q
		}
	}
	for k := range r.Header {
		e.Header[k] = r.Header.Get(k)
	}
	switch b := r.Body.(type) {
	case nil:
	case url.Values:
		flat := map[string]string{}
		for k := range b {
			flat[k] = b.Get(k)
		}
		e.Body, err = json.Marshal(flat)
	case issuer.Raw:
		e.Body, err = json.Marshal(string(b.Bytes))
	default:
		e.Body, err = json.Marshal(b)
	}
	return e, err
}

// Checks of values, so that none breaks out of its place.

func acceptsAll(string, string) error { return nil }

var errControl = errors.New("a value contains a control character")

func control(v string) bool {
	return strings.ContainsFunc(v, func(c rune) bool { return c < ' ' || c == 0x7f })
}

func inHeader(name, v string) error {
	if control(v) {
		return fmt.Errorf("{%s}: %w", name, errControl)
	}
	return nil
}

func inCookie(name, v string) error {
	if strings.Contains(v, ";") {
		return fmt.Errorf("{%s}: a semicolon ends a cookie", name)
	}
	return inHeader(name, v)
}

// inCookie allows several cookies in a value that a step kept as such.
func (s *scope) inCookie(name, v string) error {
	if s.jars[name] {
		return inHeader(name, v)
	}
	return inCookie(name, v)
}

func inUser(name, v string) error {
	if strings.Contains(v, ":") {
		return fmt.Errorf("{%s}: a colon ends the user of a Basic header", name)
	}
	return inHeader(name, v)
}

// inPath refuses a value that a server or a proxy could resolve to another path, also after it
// decodes the segment.
func inPath(name, v string) error {
	if v == "" {
		return fmt.Errorf("{%s} is empty, and the path would be another one", name)
	}
	if control(v) {
		return fmt.Errorf("{%s}: %w", name, errControl)
	}
	for {
		for _, segment := range strings.FieldsFunc(v, func(c rune) bool { return c == '/' || c == '\\' || c == ';' }) {
			if segment == "." || segment == ".." {
				return fmt.Errorf("{%s}: the path would contain a dot segment", name)
			}
		}
		plain, err := url.PathUnescape(v)
		if err != nil || plain == v {
			return nil
		}
		v = plain
	}
}

// repeated gives each list of one element that names the token one element for
// each target of a batch.
func (s *scope) repeated(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = s.repeated(e)
		}
		return out
	case []any:
		if len(v) == 1 && len(s.batch) > 0 && namesToken(v[0]) {
			out := []any{v[0]}
			for i := range s.batch {
				out = append(out, renamed(v[0], "token_"+strconv.Itoa(i+1)))
			}
			return out
		}
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = s.repeated(e)
		}
		return out
	}
	return v
}

func namesToken(v any) bool {
	b, err := json.Marshal(v)
	return err == nil && bytes.Contains(b, []byte("{token"))
}

// renamed replaces the variable token by another.
func renamed(v any, name string) any {
	switch v := v.(type) {
	case string:
		return strings.NewReplacer("{token}", "{"+name+"}", "{token.", "{"+name+".").Replace(v)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = renamed(e, name)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = renamed(e, name)
		}
		return out
	}
	return v
}
