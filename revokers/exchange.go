package revokers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

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

// Probe sends the rule's probe and reads the answer by its arms.
func (x *Exchange) Probe(ctx context.Context) Verdict {
	a, err := x.send(ctx, x.Rule.Probe.Request)
	if err != nil {
		return x.at(unknown(Unreachable, "%v", err))
	}
	return x.at(x.read(a))
}

func (x *Exchange) at(v Verdict) Verdict {
	v.Host = x.Instance.Host()
	return v
}

func (x *Exchange) read(a Answer) Verdict {
	p := x.Rule.Probe
	switch {
	case a.Status == http.StatusTooManyRequests:
		return unknown(Throttled, "the issuer answered 429")
	case a.Status >= 500:
		return unknown(Unreachable, "the issuer answered %d", a.Status)
	case !p.HTML && isHTML(a):
		return unknown(Unexpected, "a page (%d) where the API answers data: a proxy or a captive portal", a.Status)
	case a.Header.Get("WWW-Authenticate") != "" && strings.Contains(a.Header.Get("WWW-Authenticate"), "insufficient_user_authentication"):
		return unknown(Restricted, "the issuer asks for a stronger sign-in (RFC 9470)")
	}
	var doc any
	_ = json.Unmarshal(a.Body, &doc)
	for _, arm := range p.When {
		if !x.holds(arm, a, doc) {
			continue
		}
		v := Verdict{Reason: arm.Reason, At: time.Now().UTC(), Detail: fmt.Sprintf("the issuer answered %d", a.Status)}
		switch arm.Then {
		case "live":
			v.Liveness = Live
			if v.Reason == "" {
				v.Reason = Authenticated
			}
		case "dead":
			v.Liveness = Dead
			if v.Reason == "" {
				v.Reason = Revoked
			}
		}
		if v.Reason == "" {
			v.Reason = Unexpected
		}
		x.keep(&v, arm.Keep, a, doc)
		return v
	}
	return unknown(Unexpected, "the issuer answered %d, which says nothing", a.Status)
}

func isHTML(a Answer) bool {
	if strings.Contains(strings.ToLower(a.Header.Get("Content-Type")), "html") {
		return true
	}
	b := bytes.ToLower(bytes.TrimSpace(a.Body[:min(len(a.Body), 512)]))
	return bytes.HasPrefix(b, []byte("<!doctype html")) || bytes.HasPrefix(b, []byte("<html"))
}

func (x *Exchange) holds(arm rules.Arm, a Answer, doc any) bool {
	if !slices.Contains(arm.Status, a.Status) || arm.After == "live" && !x.SeenLive {
		return false
	}
	if arm.Body != "" {
		want, ok := rules.Expand(arm.Body, x.get)
		if !ok || !bytes.Contains(a.Body, []byte(want)) {
			return false
		}
	}
	if arm.Location != "" {
		want, ok := rules.Expand(arm.Location, x.get)
		if !ok || !x.redirects(a, want) {
			return false
		}
	}
	for k, v := range arm.Header {
		if a.Header.Get(k) != v {
			return false
		}
	}
	return matchJSON(arm.JSON, doc)
}

// redirects tells whether the answer sends to a path on the same origin.
func (x *Exchange) redirects(a Answer, path string) bool {
	to, err := url.Parse(a.Header.Get("Location"))
	if err != nil {
		return false
	}
	to = x.Instance.URL.ResolveReference(to)
	if to.Host != x.Instance.URL.Host || to.Scheme != x.Instance.URL.Scheme {
		return false
	}
	return to.Path == path || strings.HasPrefix(to.Path, strings.TrimRight(path, "/")+"/")
}

func matchJSON(want map[string]any, doc any) bool {
	for path, w := range want {
		got, ok := lookup(doc, path)
		if !ok {
			return false
		}
		if list, isList := w.([]any); isList {
			if !slices.ContainsFunc(list, func(e any) bool { return text(e) == text(got) }) {
				return false
			}
		} else if text(w) != text(got) {
			return false
		}
	}
	return true
}

// lookup follows a dotted path through objects and, by number, lists.
func lookup(doc any, path string) (any, bool) {
	for _, k := range strings.Split(path, ".") {
		switch d := doc.(type) {
		case map[string]any:
			v, ok := d[k]
			if !ok {
				return nil, false
			}
			doc = v
		case []any:
			n, err := strconv.Atoi(k)
			if err != nil || n < 0 || n >= len(d) {
				return nil, false
			}
			doc = d[n]
		default:
			return nil, false
		}
	}
	return doc, true
}

// text writes a JSON value so that TOML's integers and JSON's numbers agree.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = text(e)
		}
		return strings.Join(parts, ",")
	case map[string]any:
		return ""
	}
	return fmt.Sprint(v)
}

// maxKept bounds what is kept of an answer, which a stranger wrote.
const maxKept = 256

func (x *Exchange) keep(v *Verdict, keep map[string]string, a Answer, doc any) {
	for name, from := range keep {
		var s string
		if h, ok := strings.CutPrefix(from, "header:"); ok {
			s = a.Header.Get(h)
		} else if got, ok := lookup(doc, from); ok {
			s = text(got)
		}
		if s == "" {
			continue
		}
		s = s[:min(len(s), maxKept)]
		if name == "expires" {
			v.Expires = parseTime(s)
		}
		if v.Identity == nil {
			v.Identity = map[string]string{}
		}
		v.Identity[name] = s
		if x.Kept == nil {
			x.Kept = map[string]string{}
		}
		x.Kept[name] = s
	}
}

func parseTime(s string) *time.Time {
	for _, layout := range []string{time.RFC3339, time.DateOnly, "2006-01-02 15:04:05 MST", "2006-01-02 15:04:05 -0700"} {
		if t, err := time.Parse(layout, s); err == nil {
			t = t.UTC()
			return &t
		}
	}
	return nil
}

// RevokeAll ends x's credential and the others of the same kind at the same
// issuer by one request, whose list with {token} takes them all.
func (x *Exchange) RevokeAll(ctx context.Context, r *rules.Revoke, others []rules.Secret) (Receipt, error) {
	q := *r.Request
	q.JSON, _ = repeat(q.JSON, 1+len(others)).(map[string]any)
	y := *x
	y.Kept = maps.Clone(x.Kept)
	if y.Kept == nil {
		y.Kept = map[string]string{}
	}
	for i, s := range others {
		y.Kept[nth(i+1)] = s.Reveal()
	}
	all := *r
	all.Request = &q
	return y.Revoke(ctx, &all)
}

func nth(i int) string { return "token_" + strconv.Itoa(i) }

// repeat makes of each list ["{token}"] one with a place for n tokens.
func repeat(v any, n int) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = repeat(e, n)
		}
		return out
	case []any:
		if len(v) == 1 && v[0] == "{token}" {
			out := []any{"{token}"}
			for i := 1; i < n; i++ {
				out = append(out, "{"+nth(i)+"}")
			}
			return out
		}
	}
	return v
}

// Revoke runs the steps of a revocation and then its request.
func (x *Exchange) Revoke(ctx context.Context, r *rules.Revoke) (Receipt, error) {
	refused := func(status int, format string, args ...any) Receipt {
		return Receipt{Status: status, Detail: fmt.Sprintf(format, args...), At: time.Now().UTC()}
	}
	for n, s := range r.Steps {
		a, err := x.send(ctx, s.Request)
		if err != nil {
			return Receipt{}, fmt.Errorf("step %d: %w", n+1, err)
		}
		if len(s.Status) > 0 && !slices.Contains(s.Status, a.Status) {
			return refused(a.Status, "step %d was answered %d", n+1, a.Status), nil
		}
		if err := x.learn(s, a); err != nil {
			return refused(a.Status, "step %d: %v", n+1, err), nil
		}
	}
	a, err := x.send(ctx, r.Request)
	if err != nil {
		return Receipt{}, err
	}
	if !slices.Contains(r.Accept, a.Status) {
		return refused(a.Status, "the issuer answered %d", a.Status), nil
	}
	var doc any
	_ = json.Unmarshal(a.Body, &doc)
	if !matchJSON(r.AcceptJSON, doc) {
		return refused(a.Status, "the issuer answered %d, but did not say that it revoked", a.Status), nil
	}
	return Receipt{Accepted: true, Status: a.Status, At: time.Now().UTC()}, nil
}

func (x *Exchange) learn(s rules.Step, a Answer) error {
	if x.Kept == nil {
		x.Kept = map[string]string{}
	}
	var doc any
	_ = json.Unmarshal(a.Body, &doc)
	for name, from := range s.Keep {
		v, err := extract(from, a, doc)
		if err != nil {
			return err
		}
		x.Kept[name] = v
	}
	if s.Pick == nil {
		return nil
	}
	list, ok := doc.([]any)
	if !ok {
		return errors.New("the answer is no list")
	}
	if strings.Contains(a.Header.Get("Link"), `rel="next"`) {
		return errors.New("the list goes on over more pages: which one is meant can't be told for sure")
	}
	want, err := x.expand(s.Pick.Equals, x.get)
	if err != nil {
		return err
	}
	var found any
	n := 0
	for _, e := range list {
		if got, ok := lookup(e, s.Pick.Where); ok && text(got) == want {
			found = e
			n++
		}
	}
	if n != 1 {
		return fmt.Errorf("%d entries of the list fit; only exactly one may be acted on", n)
	}
	for name, from := range s.Pick.Keep {
		v, ok := lookup(found, from)
		if !ok || text(v) == "" {
			return fmt.Errorf("the entry has no %s", from)
		}
		x.Kept[name] = text(v)
	}
	return nil
}

func extract(from string, a Answer, doc any) (string, error) {
	if n, ok := strings.CutPrefix(from, "cookie:"); ok {
		for _, c := range (&http.Response{Header: a.Header}).Cookies() {
			if c.Name == n && c.Value != "" {
				return c.Value, nil
			}
		}
		return "", fmt.Errorf("the answer sets no cookie %s", n)
	}
	if n, ok := strings.CutPrefix(from, "input:"); ok {
		for _, tag := range inputRE.FindAll(a.Body, -1) {
			if m := nameRE.FindSubmatch(tag); m != nil && string(m[1]) == n {
				if v := valueRE.FindSubmatch(tag); v != nil {
					return html.UnescapeString(string(v[1])), nil
				}
			}
		}
		return "", fmt.Errorf("the page has no field %s", n)
	}
	v, ok := lookup(doc, from)
	if !ok || text(v) == "" {
		return "", fmt.Errorf("the answer has no %s", from)
	}
	return text(v), nil
}

var (
	inputRE = regexp.MustCompile(`(?is)<input\b[^>]{0,1000}>`)
	nameRE  = regexp.MustCompile(`(?i)\bname\s*=\s*["']([^"']+)["']`)
	valueRE = regexp.MustCompile(`(?i)\bvalue\s*=\s*["']([^"']*)["']`)
)

// Fields collects what a dotted path leads to in a JSON document, or in each
// element where the document is a list.
func Fields(doc any, path string) []string {
	list, ok := doc.([]any)
	if !ok {
		list = []any{doc}
	}
	var out []string
	for _, e := range list {
		if v, ok := lookup(e, path); ok {
			out = append(out, text(v))
		}
	}
	return out
}
