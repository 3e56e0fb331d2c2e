package revokers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/quellhq/quell/rules"
)

// Exchange is one credential at one issuer: what a rules file's requests are
// filled in from.
type Exchange struct {
	Client     *Client
	Instance   *Instance
	Rule       *rules.Rule
	Credential rules.Credential
	// SeenLive tells that this credential was live before: some answers mean
	// dead only to who knows that.
	SeenLive bool
	// Kept is what earlier answers told: subject, an id …
	Kept map[string]string
}

// get resolves a variable. The second result is false where nobody set it.
func (x *Exchange) get(name string) (string, bool) {
	i := x.Instance
	token := x.Credential.Secret.Reveal()
	switch name {
	case "token":
		return token, true
	case "token.last8":
		return token[max(0, len(token)-8):], len(token) > 8
	case "cookie":
		return x.Credential.Cookie, x.Credential.Cookie != ""
	case "origin":
		return i.Origin(), true
	case "live_marker":
		return i.Settings[name], true
	case "admin":
		return i.Admin.Reveal(), !i.Admin.IsZero()
	case "admin.basic":
		user, pass, ok := strings.Cut(i.Admin.Reveal(), ":")
		return basic(user, pass), ok
	case "client.basic":
		return basic(url.QueryEscape(i.ClientID), url.QueryEscape(i.ClientSecret.Reveal())), i.ClientID != ""
	}
	if v, ok := x.Kept[name]; ok {
		return v, true
	}
	v := i.Settings[name]
	return v, v != ""
}

// Has reports whether the operator gave what a probe or a revocation needs.
func (x *Exchange) Has(needs []string) (missing string, ok bool) {
	for _, n := range needs {
		switch n {
		case "admin":
			ok = !x.Instance.Admin.IsZero()
		case "client":
			ok = x.Instance.ClientID != ""
		default:
			ok = x.Instance.Settings[n] != ""
		}
		if !ok {
			return n, false
		}
	}
	return "", true
}

func (x *Exchange) expand(s string, get func(string) (string, bool)) (string, error) {
	out, ok := rules.Expand(s, get)
	if !ok {
		for _, v := range rules.Vars(s) {
			if _, ok := get(v); !ok {
				return "", fmt.Errorf("nothing tells {%s}", v)
			}
		}
	}
	return out, nil
}

// whole are variables that stand for a path of several segments.
var whole = []string{"probe_path", "logout_path", "login_path"}

func (x *Exchange) send(ctx context.Context, q *rules.Request) (Answer, error) {
	path, query, header, body, err := x.fill(q, x.get)
	if err != nil {
		return Answer{}, err
	}
	return x.Client.Do(ctx, x.Instance, q.Method, path, query, header, body)
}

func (x *Exchange) fill(q *rules.Request, get func(string) (string, bool)) (path string, query url.Values, header http.Header, body any, err error) {
	path, err = x.expand(q.Path, func(n string) (string, bool) {
		v, ok := get(n)
		if !slices.Contains(whole, n) {
			v = url.PathEscape(v)
		}
		return v, ok
	})
	if err != nil {
		return
	}
	str := func(s string) string {
		v, e := x.expand(s, get)
		err = errors.Join(err, e)
		return v
	}
	for k, v := range q.Query {
		if query == nil {
			query = url.Values{}
		}
		query.Set(k, str(v))
	}
	header = http.Header{}
	for k, v := range q.Header {
		header.Set(k, str(v))
	}
	if q.Form != nil {
		form := url.Values{}
		for k, v := range q.Form {
			form.Set(k, str(v))
		}
		body = form
	}
	if q.JSON != nil {
		body = fillJSON(q.JSON, str)
	}
	return path, query, header, body, err
}

// fillJSON fills the strings of a structured body: a token can't break out of
// the string that it stands in.
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

// Preview shows the request with variables where secrets go.
func (x *Exchange) Preview(q *rules.Request) Preview {
	show := func(n string) (string, bool) {
		if n == "token" || strings.HasPrefix(n, "token.") || strings.HasPrefix(n, "admin") || strings.HasPrefix(n, "client") {
			return "{" + n + "}", true
		}
		if v, ok := x.get(n); ok {
			return v, true
		}
		return "{" + n + "}", true
	}
	path, query, header, body, _ := x.fill(q, show)
	if p, err := url.PathUnescape(path); err == nil {
		path = p
	}
	p := Preview{Method: q.Method, URL: x.Instance.Origin() + strings.TrimRight(x.Instance.URL.Path, "/") + path, Header: map[string]string{}}
	if len(query) > 0 {
		p.URL += "?" + query.Encode()
	}
	for k := range header {
		p.Header[k] = header.Get(k)
	}
	switch b := body.(type) {
	case url.Values:
		flat := map[string]string{}
		for k := range b {
			flat[k] = b.Get(k)
		}
		p.Body, _ = json.Marshal(flat)
	case nil:
	default:
		p.Body, _ = json.Marshal(b)
	}
	return p
}
