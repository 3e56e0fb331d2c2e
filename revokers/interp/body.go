package interp

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"mime"
	"mime/multipart"
	"net/url"
	"slices"
	"strings"

	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
)

// body makes the body of a request, or nil.
func (s *scope) body(q *rules.Request, str func(string, func(name, v string) error) string) (any, error) {
	switch {
	case q.Form != nil:
		form := url.Values{}
		for k, v := range q.Form {
			form.Set(str(k, acceptsAll), str(v, acceptsAll))
		}
		return form, nil
	case q.JSON != nil:
		return fillJSON(s.repeated(q.JSON), func(v string) string { return str(v, acceptsAll) }), nil
	case q.Multipart != nil:
		return s.multipart(q, str)
	case q.Raw != nil:
		escape, err := escaper(q.Raw.Type)
		if err != nil {
			return nil, err
		}
		var bad error
		text, err := s.expand(q.Raw.Text, func(n string) (string, bool) {
			v, ok := s.get(n)
			if !ok || s.show && s.placeholder(n) {
				return v, ok
			}
			v, err := escape(v)
			if err != nil && bad == nil {
				bad = fmt.Errorf("{%s}: %w", n, err)
			}
			return v, true
		})
		if err == nil {
			err = bad
		}
		return issuer.Raw{Type: q.Raw.Type, Bytes: []byte(text)}, err
	}
	return nil, nil
}

func (s *scope) multipart(q *rules.Request, str func(string, func(name, v string) error) string) (any, error) {
	if s.show {
		flat := url.Values{}
		for k, v := range q.Multipart {
			flat.Set(k, str(v, acceptsAll))
		}
		return flat, nil
	}
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, k := range slices.Sorted(maps.Keys(q.Multipart)) {
		if err := w.WriteField(k, str(q.Multipart[k], acceptsAll)); err != nil {
			return nil, fmt.Errorf("the body can't be encoded: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("the body can't be encoded: %w", err)
	}
	return issuer.Raw{Type: w.FormDataContentType(), Bytes: b.Bytes()}, nil
}

// escaper returns what keeps a value inside of its place in a raw body.
func escaper(kind string) (func(string) (string, error), error) {
	t, _, err := mime.ParseMediaType(kind)
	if err != nil {
		return nil, fmt.Errorf("%q is not a media type", kind)
	}
	switch {
	case t == "application/json" || strings.HasSuffix(t, "+json"):
		return func(v string) (string, error) {
			b, err := json.Marshal(v)
			if err != nil {
				return "", err
			}
			return strings.TrimSuffix(strings.TrimPrefix(string(b), `"`), `"`), nil
		}, nil
	case t == "application/xml" || t == "text/xml" || strings.HasSuffix(t, "+xml"):
		return func(v string) (string, error) {
			var b bytes.Buffer
			err := xml.EscapeText(&b, []byte(v))
			return b.String(), err
		}, nil
	case t == "application/x-www-form-urlencoded":
		return func(v string) (string, error) { return url.QueryEscape(v), nil }, nil
	}
	return func(v string) (string, error) {
		if control(v) || strings.ContainsAny(v, "\"'`\\<>&") {
			return "", fmt.Errorf("the value could break out of a body of type %s", t)
		}
		return v, nil
	}, nil
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
