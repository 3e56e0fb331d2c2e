package interp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
)

// Logout ends a session by the application's own logout, as its pages do: with
// the method, the token against forged requests and the headers that the
// operator's settings name.
type Logout struct {
	Doer issuer.Doer
	// Method is used unless the operator sets logout_method.
	Method string
	// CSRF and To are used unless the operator sets csrf and csrf_to.
	CSRF, To string
}

// Batch implements revokers.Revoker.
func (l Logout) Batch() int { return 1 }

const logoutEffect = "logout"

// Plan implements revokers.Revoker. It asks for nothing: the token is read when
// the request is sent.
func (l Logout) Plan(_ context.Context, ts []revokers.Target) ([]revokers.Effect, error) {
	s := &scope{t: ts[0], show: true}
	c, err := l.csrf(ts[0].Instance)
	if err != nil {
		return nil, err
	}
	_, e, err := l.request(s, c, csrfToken{shown: true})
	if err != nil {
		return nil, err
	}
	e.Elements = elementsOf(ts)
	return []revokers.Effect{e}, nil
}

// Send implements revokers.Revoker. Redirects of the application to itself are
// followed, since some log out in several steps.
func (l Logout) Send(ctx context.Context, ts []revokers.Target, _ revokers.Effect, before func(revokers.Effect) error) (revokers.Receipt, error) {
	t := ts[0]
	refused := func(status int, format string, args ...any) revokers.Receipt {
		return revokers.All(len(ts), revokers.Acknowledgement{Status: status, Detail: fmt.Sprintf(format, args...), At: time.Now().UTC()})
	}
	c, err := l.csrf(t.Instance)
	if err != nil {
		return revokers.Receipt{}, err
	}
	v := &visit{doer: l.Doer, t: t, jar: map[string]string{}}
	got, err := c.read(ctx, v)
	var answered errStep
	switch {
	case errors.As(err, &answered):
		return refused(answered.status, "the token against forged requests: %v", answered.err), nil
	case err != nil:
		return revokers.Receipt{}, fmt.Errorf("the token against forged requests: %w", err)
	}
	r, _, err := l.request(&scope{t: t}, c, got)
	if err != nil {
		return revokers.Receipt{}, err
	}
	_, final, err := l.request(&scope{t: t, show: true}, c, csrfToken{shown: true})
	if err != nil {
		return revokers.Receipt{}, err
	}
	final.Elements = elementsOf(ts)
	if err := before(final); err != nil {
		return revokers.Receipt{}, err
	}
	r.Header.Set("Cookie", v.cookies())
	a, err := l.Doer.Do(ctx, t.Instance, r)
	if err != nil {
		return revokers.Receipt{}, err
	}
	v.keep(a)
	last, _, err := v.walk(ctx, r, a)
	switch {
	case a.Status >= 400:
		return refused(a.Status, "the application answered %d%s", a.Status, logoutHint(a.Status)), nil
	case err != nil:
		return refused(a.Status, "the application answered %d, and what it redirects to did not answer: %v", a.Status, err), nil
	case last.Status >= 500:
		return refused(last.Status, "the application answered %d, and %d where that leads", a.Status, last.Status), nil
	}
	return revokers.All(len(ts), revokers.Acknowledgement{Accepted: true, Status: a.Status, At: time.Now().UTC()}), nil
}

// logoutHint names the setting that a status of the logout suggests.
func logoutHint(status int) string {
	switch status {
	case http.StatusNotFound, http.StatusGone:
		return ": check logout_path of the [[instance]]"
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return ": check logout_method of the [[instance]] (GET, POST or DELETE)"
	case http.StatusBadRequest, http.StatusForbidden, 419, http.StatusUnprocessableEntity:
		return ": it may ask for a token against forged requests: csrf of the [[instance]]"
	case http.StatusUnsupportedMediaType:
		return ": it may take JSON: csrf_to = \"json:NAME\" of the [[instance]]"
	}
	return ""
}

// request makes the logout's request and the effect that shows it.
func (l Logout) request(s *scope, c csrf, tok csrfToken) (issuer.Request, revokers.Effect, error) {
	in := s.t.Instance
	r := issuer.Request{Method: strings.ToUpper(in.Settings["logout_method"]), Path: in.Settings["logout_path"], Header: http.Header{}}
	if r.Method == "" {
		r.Method = l.Method
		if c.kind == csrfLink {
			r.Method = http.MethodGet
		}
	}
	switch {
	case !slices.Contains([]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}, r.Method):
		return r, revokers.Effect{}, errors.New("logout_method of the [[instance]] is not GET, POST, PUT, PATCH or DELETE")
	case !strings.HasPrefix(r.Path, "/"):
		return r, revokers.Effect{}, errors.New("logout_path of the [[instance]] does not begin with /")
	}
	if r.Method != http.MethodGet {
		// The headers that a browser sends with a form of the application's own page: many
		// applications refuse a request without them.
		r.Header.Set("Origin", in.Origin())
		r.Header.Set("Referer", in.Origin()+strings.TrimRight(in.URL.Path, "/")+pathOnly(c.path))
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	value := tok.value
	if tok.shown {
		value = "{csrf}"
	}
	for name, v := range in.Headers {
		v = strings.NewReplacer("{csrf}", value, "{origin}", in.Origin()).Replace(v)
		if err := inHeader(name, v); err != nil {
			return r, revokers.Effect{}, err
		}
		r.Header.Set(name, v)
	}
	if err := c.put(&r, tok, value); err != nil {
		return r, revokers.Effect{}, err
	}
	path, query, _ := strings.Cut(r.Path, "?")
	shown := revokers.Effect{Name: logoutEffect, Method: r.Method, URL: in.Origin() + strings.TrimRight(in.URL.Path, "/") + path, Header: map[string]string{}}
	if query = issuer.MergeQuery(query, r.Query); query != "" {
		shown.URL += "?" + strings.ReplaceAll(query, "%7Bcsrf%7D", "{csrf}")
	}
	for k := range r.Header {
		shown.Header[k] = r.Header.Get(k)
	}
	shown.Header["Cookie"] = s.t.Cookie + "={token}" + (&scope{t: s.t, show: true}).signature("Cookie")
	if c.kind == csrfDouble || c.kind == csrfCookie {
		shown.Header["Cookie"] += "; " + c.name + "={csrf}"
	}
	var err error
	shown.Body, err = c.shownBody(r.Body)
	return r, shown, err
}

func pathOnly(p string) string {
	p, _, _ = strings.Cut(p, "?")
	return p
}

// maxRedirects bounds the redirects of one page or logout.
const maxRedirects = 5

// visit is a short stay at the application with the leaked session: the cookies
// that its pages set are sent back, as a browser does. The session's own cookie
// stays the leaked one.
type visit struct {
	doer issuer.Doer
	t    revokers.Target
	jar  map[string]string
}

func (v *visit) cookies() string {
	out := v.t.Cookie + "=" + v.t.Secret.Reveal() + (&scope{t: v.t}).signature("Cookie")
	for _, name := range sortedKeys(v.jar) {
		if _, signed := v.t.Parts[rules.SignaturePart]; name != v.t.Cookie && !(signed && name == v.t.Cookie+rules.SignatureSuffix) {
			out += "; " + name + "=" + v.jar[name]
		}
	}
	return out
}

// signature is what follows a session cookie in the header: the cookies that are
// sent with it.
func (s *scope) signature(header string) string {
	if !strings.EqualFold(header, "Cookie") || s.t.Cookie == "" {
		return ""
	}
	out := ""
	for _, name := range sortedKeys(s.t.Rule.Parts) {
		p, ok := s.t.Parts[name]
		suffix := s.t.Rule.Parts[name].Suffix
		if !ok || suffix == "" {
			continue
		}
		v := p.Reveal()
		if inCookie(name, v) != nil {
			continue // it can be no signature
		}
		if s.show {
			v = "{part." + name + "}"
		}
		out += "; " + s.t.Cookie + suffix + "=" + v
	}
	return out
}

// keep notes the cookies that a response sets.
func (v *visit) keep(r issuer.Response) {
	for _, c := range (&http.Response{Header: r.Header}).Cookies() {
		if c.MaxAge < 0 || c.Value == "" {
			delete(v.jar, c.Name)
			continue
		}
		v.jar[c.Name] = c.Value
	}
}

// get reads a page of the application and returns its path, after redirects on
// the same origin.
func (v *visit) get(ctx context.Context, path string) (issuer.Response, string, error) {
	r := issuer.Request{Method: http.MethodGet, Path: path, Header: http.Header{}, Reads: true}
	static(v.t.Instance, r.Header)
	r.Header.Set("Cookie", v.cookies())
	a, err := v.doer.Do(ctx, v.t.Instance, r)
	if err != nil {
		return a, path, err
	}
	v.keep(a)
	return v.walk(ctx, r, a)
}

// walk follows redirects within the instance's address, and no other.
func (v *visit) walk(ctx context.Context, r issuer.Request, a issuer.Response) (issuer.Response, string, error) {
	for range maxRedirects {
		next, ok := v.next(r.Path, a)
		if !ok || pathOnly(next) == "/" || pathOnly(next) == v.t.Instance.Settings["login_path"] {
			break // the end of every logout
		}
		if a.Status != http.StatusTemporaryRedirect && a.Status != http.StatusPermanentRedirect {
			r.Method, r.Body = http.MethodGet, nil
		}
		r.Path, r.Query = next, nil
		r.Reads = r.Method == http.MethodGet
		r.Header = r.Header.Clone()
		r.Header.Set("Cookie", v.cookies())
		var err error
		if a, err = v.doer.Do(ctx, v.t.Instance, r); err != nil {
			return a, r.Path, err
		}
		v.keep(a)
	}
	return a, r.Path, nil
}

// next is where a redirect leads, relative to the instance. ok is false for what
// is no redirect, and for another origin or another application of this one.
func (v *visit) next(from string, a issuer.Response) (path string, ok bool) {
	if a.Status < 300 || a.Status > 399 || a.Header.Get("Location") == "" {
		return "", false
	}
	base := strings.TrimRight(v.t.Instance.URL.EscapedPath(), "/")
	at, err := url.Parse(v.t.Instance.Origin() + base + from)
	if err != nil {
		return "", false
	}
	to, err := at.Parse(a.Header.Get("Location"))
	if err != nil || to.Scheme != v.t.Instance.URL.Scheme || to.Host != v.t.Instance.URL.Host || to.User != nil {
		return "", false
	}
	rest, ok := strings.CutPrefix(to.EscapedPath(), base)
	if !ok || rest == "" && base != "" || issuer.HasDotSegment(rest) {
		return "", false
	}
	if rest == "" {
		rest = "/"
	}
	if !strings.HasPrefix(rest, "/") {
		return "", false
	}
	if to.RawQuery != "" {
		rest += "?" + to.RawQuery
	}
	return rest, true
}

// static adds the operator's headers that need no token.
func static(in *issuer.Instance, h http.Header) {
	for name, v := range in.Headers {
		if !strings.Contains(v, "{csrf}") {
			h.Set(name, strings.ReplaceAll(v, "{origin}", in.Origin()))
		}
	}
}
