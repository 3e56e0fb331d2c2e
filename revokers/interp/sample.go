package interp

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
)

// Sample is an application's answer about one session cookie, for the configuration of its
// instance.
type Sample struct {
	Status   int
	Location string // path of a redirect, with its host if that is another
	Title    string
	page     string // as it was sent, without the credential
	texts    []string
	forms    []form
	metas    []string
}

type form struct{ action, method string }

// Show sends the probe's request about a target once.
func Show(ctx context.Context, d issuer.Doer, t revokers.Target) (Sample, error) {
	s := &scope{t: t}
	r, err := s.fill(t.Rule.Probe.Request, true)
	if err != nil {
		return Sample{}, err
	}
	static(t.Instance, r.Header)
	a, err := d.Do(ctx, t.Instance, r)
	if err != nil {
		return Sample{}, err
	}
	out := Sample{Status: a.Status}
	if u, err := url.Parse(a.Header.Get("Location")); err == nil && a.Header.Get("Location") != "" {
		out.Location = u.Path
		if u.Host != "" && u.Host != t.Instance.Host() {
			out.Location = u.Host + u.Path
		}
	}
	out.page = s.redact(string(a.Body))
	out.read(out.page)
	return out, nil
}

// read takes a page apart.
func (s *Sample) read(body string) {
	doc, err := html.Parse(bytes.NewReader([]byte(body)))
	if err != nil {
		return
	}
	for n := range doc.Descendants() {
		switch {
		case n.Type == html.TextNode && n.Parent != nil && !slices.Contains([]string{"script", "style", "noscript"}, n.Parent.Data):
			text := strings.Join(strings.Fields(n.Data), " ")
			if n.Parent.Data == "title" {
				s.Title = text
			}
			if len(s.texts) < maxTexts && len(text) >= minMarker && len(text) <= 60 && !strings.ContainsAny(text, "0123456789\"'\\,") {
				s.texts = append(s.texts, text)
			}
		case n.Type == html.ElementNode && n.Data == "form":
			s.forms = append(s.forms, form{attr(n, "action"), strings.ToUpper(attr(n, "method"))})
		case n.Type == html.ElementNode && n.Data == "a":
			s.forms = append(s.forms, form{attr(n, "href"), http.MethodGet})
		case n.Type == html.ElementNode && n.Data == "meta" && attr(n, "name") != "":
			s.metas = append(s.metas, attr(n, "name"))
		}
	}
}

// Bounds of the texts that are proposed as markers: a shorter text is on other
// pages by chance, and a page with more texts is not one about a session.
const (
	minMarker = 8 // bytes
	maxTexts  = 2000
)

// Markers lists texts that each page of one kind has and no page of another kind
// has, the shortest first: an operator can choose from them. They are compared
// with the pages as they were sent, as a marker is.
func Markers(have, lack []Sample) []string {
	if len(have) == 0 {
		return nil
	}
	var out []string
	seen := map[string]bool{}
	for _, t := range have[0].texts {
		in := func(s Sample) bool { return strings.Contains(s.page, t) }
		if seen[t] || slices.ContainsFunc(lack, in) || slices.ContainsFunc(have, func(s Sample) bool { return !in(s) }) {
			continue
		}
		seen[t] = true
		out = append(out, t)
	}
	slices.SortStableFunc(out, func(a, b string) int { return len(a) - len(b) })
	return out
}

// Logout is a path of the page that ends a session, and the method of the link
// or form that leads there, relative to the instance. token reports that a link has
// further parameters.
func (s Sample) Logout(in *issuer.Instance) (path, method string, token bool) {
	base := strings.TrimRight(in.URL.Path, "/")
	here, err := url.Parse(in.Origin() + base + in.Settings["probe_path"])
	if err != nil {
		return "", "", false
	}
	for _, f := range s.forms {
		to, err := here.Parse(f.action)
		if err != nil || f.action == "" || to.Host != in.URL.Host {
			continue
		}
		rest, ok := strings.CutPrefix(to.Path, base)
		query := revokers.SignOutQuery(to.Query())
		if query != "" {
			rest += "?" + query
		}
		if ok && (query != "" || revokers.SignsOut(rest)) && (method == "" || method == http.MethodGet) {
			path, method = rest, f.method
			if method == "" {
				method = http.MethodGet
			}
			token = method == http.MethodGet && to.RawQuery != "" && to.Query().Encode() != query
		}
	}
	return path, method, token
}

// Meta is a meta element that looks like a token against forged requests.
func (s Sample) Meta() string {
	for _, m := range s.metas {
		if low := strings.ToLower(m); strings.Contains(low, "csrf") || strings.Contains(low, "xsrf") || low == "_token" {
			return m
		}
	}
	return ""
}
