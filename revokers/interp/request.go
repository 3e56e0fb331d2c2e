package interp

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
)

// whole are settings that stand for a path of several segments.
var whole = []string{"probe_path", "logout_path", "login_path"}

// fill makes the request of a rules file for the scope's target.
func (s *scope) fill(q *rules.Request, reads bool) (issuer.Request, error) {
	r := issuer.Request{Method: q.Method, Header: http.Header{}, Reads: reads}
	path, err := s.expand(q.Path, func(n string) (string, bool) {
		v, ok := s.get(n)
		if !slices.Contains(whole, n) {
			v = url.PathEscape(v)
			if v == "." || v == ".." {
				return "", false
			}
		}
		return v, ok
	})
	if err != nil {
		return r, err
	}
	r.Path = path
	if issuer.HasDotSegment(path) {
		return r, errors.New("the path contains a dot segment")
	}
	var errs []error
	str := func(text string) string {
		v, err := s.expand(text, s.get)
		errs = append(errs, err)
		return v
	}
	for k, v := range q.Query {
		if r.Query == nil {
			r.Query = url.Values{}
		}
		r.Query.Set(k, str(v))
	}
	for k, v := range q.Header {
		r.Header.Set(k, str(v))
	}
	if q.Form != nil {
		form := url.Values{}
		for k, v := range q.Form {
			form.Set(k, str(v))
		}
		r.Body = form
	}
	if q.JSON != nil {
		r.Body = fillJSON(s.repeated(q.JSON), str)
	}
	return r, errors.Join(errs...)
}

// fillJSON fills the strings of a structured body, so that a token cannot
// break out of the string that holds it.
func fillJSON(v any, str func(string) string) any {
	switch v := v.(type) {
	case string:
		return str(v)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = fillJSON(e, str)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = fillJSON(e, str)
		}
		return out
	}
	return v
}

// repeated gives each list ["{token}"] one element for each target of a batch.
func (s *scope) repeated(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = s.repeated(e)
		}
		return out
	case []any:
		if len(v) == 1 && v[0] == "{token}" && len(s.batch) > 0 {
			out := []any{"{token}"}
			for i := range s.batch {
				out = append(out, "{token_"+strconv.Itoa(i+1)+"}")
			}
			return out
		}
	}
	return v
}

func batchIndex(name string) (int, bool) {
	d, ok := strings.CutPrefix(name, "token_")
	n, err := strconv.Atoi(d)
	return n, ok && err == nil && n > 0
}

// effect shows a request with placeholders for secrets and late values.
func (s *scope) effect(name string, q *rules.Request, reads bool) (revokers.Effect, error) {
	shown := *s
	shown.show = true
	r, err := shown.fill(q, reads)
	if err != nil {
		return revokers.Effect{}, err
	}
	if p, err := url.PathUnescape(r.Path); err == nil {
		r.Path = p
	}
	i := s.t.Instance
	e := revokers.Effect{Name: name, Method: r.Method, URL: i.Origin() + strings.TrimRight(i.URL.Path, "/") + r.Path, Header: map[string]string{}, Reads: reads}
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
	default:
		e.Body, err = json.Marshal(b)
	}
	return e, err
}
