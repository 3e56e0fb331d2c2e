package interp

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"

	"github.com/quellhq/quell/revokers/issuer"
)

// Where an application's token against forged requests is read from.
const (
	csrfInput  = "input"  // a field of a form: input:NAME
	csrfMeta   = "meta"   // an element of the page's head: meta:NAME
	csrfCookie = "cookie" // a cookie that goes back twice: cookie:NAME
	csrfJSON   = "json"   // a value of a document: json:PATH
	csrfHeader = "header" // a header of the response: header:NAME
	csrfForm   = "form"   // all hidden fields of the form that logs out
	csrfLink   = "link"   // the query of the link that logs out
	csrfDouble = "double" // a made-up value that is compared with a cookie: double:NAME
)

// csrf is how a logout gets and sends its token. The zero value sends none.
type csrf struct {
	kind, name string
	path       string // of the page that has it
	to, field  string // form, header, json or query, and the name there
}

// csrfToken is what a page had: one value, or the fields of a form.
type csrfToken struct {
	value  string
	fields url.Values
	shown  bool // placeholders instead
}

// CheckCSRF reports an error unless csrf and csrf_to have a meaning.
func CheckCSRF(from, to string) error {
	_, err := parseCSRF(from, to)
	return err
}

func parseCSRF(from, to string) (csrf, error) {
	var c csrf
	if from == "" {
		if to != "" {
			return c, errors.New("csrf_to without csrf: set csrf to the place where the token is read")
		}
		return c, nil
	}
	c.kind, c.name, _ = strings.Cut(from, ":")
	if c.kind == csrfForm || c.kind == csrfLink {
		if c.name != "" || to != "" {
			return c, fmt.Errorf("csrf = %q sends what the %[1]s has: it takes no name, and no csrf_to", c.kind)
		}
		return c, nil
	}
	if !slices.Contains([]string{csrfInput, csrfMeta, csrfCookie, csrfJSON, csrfHeader, csrfDouble}, c.kind) || c.name == "" {
		return c, errors.New("csrf is not form, link, input:NAME, meta:NAME, cookie:NAME, json:PATH, header:NAME or double:NAME")
	}
	if to == "" {
		to = c.usual()
	}
	c.to, c.field, _ = strings.Cut(to, ":")
	if !slices.Contains([]string{"form", "header", "json", "query"}, c.to) || c.field == "" || control(c.field) || strings.ContainsAny(c.field, " :") {
		return c, errors.New("csrf_to is not form:NAME, header:NAME, json:NAME or query:NAME")
	}
	return c, nil
}

// usual is where frameworks expect a token that was read there.
func (c csrf) usual() string {
	switch {
	case c.kind == csrfInput:
		return "form:" + c.name
	case c.kind == csrfHeader:
		return "header:" + c.name
	case strings.EqualFold(c.name, "XSRF-TOKEN"): // Angular, Laravel, Spring
		return "header:X-XSRF-TOKEN"
	case c.name == "csrftoken": // Django
		return "header:X-CSRFToken"
	}
	return "header:X-CSRF-Token"
}

// csrf reads the operator's settings, or takes the framework's.
func (l Logout) csrf(in *issuer.Instance) (csrf, error) {
	from, to := in.Settings["csrf"], in.Settings["csrf_to"]
	if from == "" {
		from, to = l.CSRF, l.To
	}
	c, err := parseCSRF(from, to)
	c.path = in.Settings["csrf_path"]
	if c.path == "" {
		c.path = in.Settings["probe_path"]
	}
	if c.kind != "" && c.kind != csrfDouble && c.path == "" {
		return c, errors.New("csrf needs csrf_path or probe_path of the [[instance]]: the page that has the token")
	}
	return c, err
}

// read gets the token from its page.
func (c csrf) read(ctx context.Context, v *visit) (csrfToken, error) {
	switch c.kind {
	case "":
		return csrfToken{}, nil
	case csrfDouble:
		value := madeUp()
		v.jar[c.name] = value
		return csrfToken{value: value}, nil
	}
	a, at, err := v.get(ctx, c.path)
	if err != nil {
		return csrfToken{}, err
	}
	if a.Status != http.StatusOK {
		return csrfToken{}, errStep{a.Status, fmt.Errorf("the page %s answered %d", pathOnly(c.path), a.Status)}
	}
	switch c.kind {
	case csrfForm:
		fields, err := logoutForm(v, a.Body, at)
		if err != nil {
			return csrfToken{}, errStep{a.Status, err}
		}
		return csrfToken{fields: fields}, nil
	case csrfLink:
		fields, err := logoutLink(v, a.Body, at)
		if err != nil {
			return csrfToken{}, errStep{a.Status, err}
		}
		return csrfToken{fields: fields}, nil
	case csrfCookie:
		value := v.jar[c.name]
		if value == "" {
			return csrfToken{}, errStep{a.Status, fmt.Errorf("the page sets no cookie %s", c.name)}
		}
		// Scripts read it decoded.
		if plain, err := url.PathUnescape(value); err == nil {
			value = plain
		}
		return csrfToken{value: value}, nil
	}
	if c.kind == csrfInput && len(attributes(a.Body, "input", "name", c.name, "value", 2)) > 1 {
		return csrfToken{}, errStep{a.Status, fmt.Errorf("the page has several fields %s with different values: csrf = \"form\" of the [[instance]] takes that of the form that logs out", c.name)}
	}
	from := c.kind + ":" + c.name
	if c.kind == csrfJSON {
		from = c.name
	}
	value, err := extract(from, a, decode(a.Body))
	if err != nil {
		return csrfToken{}, errStep{a.Status, err}
	}
	return csrfToken{value: value}, nil
}

// put places the token in a request.
func (c csrf) put(r *issuer.Request, tok csrfToken, value string) error {
	switch {
	case c.kind == "":
		if r.Method == http.MethodPost {
			// A form without a field, as a button makes: some servers refuse a
			// POST without a type.
			r.Body = url.Values{}
		}
		return nil
	case c.kind == csrfLink:
		r.Query = tok.fields
		if tok.shown {
			r.Query = url.Values{"csrf": {value}}
		}
		if r.Method == http.MethodPost {
			r.Body = url.Values{}
		}
	case c.kind == csrfForm && r.Method == http.MethodGet:
		r.Query = tok.fields
	case c.kind == csrfForm:
		r.Body = tok.fields
		if tok.shown {
			r.Body = url.Values{}
		}
	case c.to == "form":
		r.Body = url.Values{c.field: {value}}
	case c.to == "query":
		r.Query = url.Values{c.field: {value}}
	case c.to == "json":
		r.Body = map[string]any{c.field: value}
	case c.to == "header":
		if err := inHeader(c.field, value); err != nil {
			return err
		}
		r.Header.Set(c.field, value)
		if r.Method == http.MethodPost {
			r.Body = url.Values{}
		}
	}
	return nil
}

// shownBody is the body as a plan shows it.
func (c csrf) shownBody(body any) (json.RawMessage, error) {
	if c.kind == csrfForm {
		return json.Marshal(map[string]string{"{hidden fields of the form}": "{csrf}"})
	}
	flat := map[string]string{}
	switch b := body.(type) {
	case url.Values:
		for k := range b {
			flat[k] = b.Get(k)
		}
	case map[string]any:
		for k, v := range b {
			flat[k], _ = v.(string)
		}
	}
	if len(flat) == 0 {
		return nil, nil
	}
	return json.Marshal(flat)
}

// madeUp is a value for a server that compares a cookie with a field: 32
// letters and digits, as Django has them.
func madeUp() string {
	const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	var b [32]byte
	_, _ = rand.Read(b[:])
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return string(b[:])
}

// logoutPage is a page that is searched for what leads to logout_path.
type logoutPage struct {
	doc        *html.Node
	here, want *url.URL // of the page, and of the logout
}

func parseLogoutPage(v *visit, page []byte, at string) (p logoutPage, err error) {
	if p.doc, err = html.Parse(bytes.NewReader(page)); err != nil {
		return p, fmt.Errorf("the page is no HTML: %w", err)
	}
	in := v.t.Instance
	base := in.Origin() + strings.TrimRight(in.URL.EscapedPath(), "/")
	if p.here, err = url.Parse(base + at); err != nil {
		return p, errors.New("the page has no address")
	}
	if p.want, err = url.Parse(base + in.Settings["logout_path"]); err != nil {
		return p, errors.New("logout_path of the [[instance]] is no path")
	}
	return p, nil
}

// only returns what all of the found have in common; it is an error if they differ,
// since only one of them is the logout.
func (p logoutPage) only(found []url.Values, what string) (url.Values, error) {
	switch {
	case len(found) == 0:
		return nil, fmt.Errorf("the page %s has no %s that leads to logout_path", p.here.Path, what)
	case slices.ContainsFunc(found[1:], func(f url.Values) bool { return f.Encode() != found[0].Encode() }):
		return nil, fmt.Errorf("the page has several %ss that lead to logout_path: %w", what, errSeveral)
	}
	return found[0], nil // the same in a header and a menu
}

// logoutForm finds the form of a page that leads to logout_path, and returns its
// hidden fields.
func logoutForm(v *visit, page []byte, at string) (url.Values, error) {
	p, err := parseLogoutPage(v, page, at)
	if err != nil {
		return nil, err
	}
	var found []url.Values
	for n := range p.doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != "form" {
			continue
		}
		to, err := p.here.Parse(attr(n, "action"))
		if err != nil || !sameAddress(to, p.want) {
			continue
		}
		fields, err := p.pressed(n)
		if err != nil {
			return nil, err
		}
		found = append(found, fields)
	}
	return p.only(found, "form")
}

// logoutLink finds the link of a page that leads to logout_path, and returns what
// its query has besides that of logout_path.
func logoutLink(v *visit, page []byte, at string) (url.Values, error) {
	p, err := parseLogoutPage(v, page, at)
	if err != nil {
		return nil, err
	}
	var found []url.Values
	for n := range p.doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != "a" || attr(n, "href") == "" {
			continue
		}
		to, err := p.here.Parse(attr(n, "href"))
		if err != nil || to.Scheme != p.want.Scheme || to.Host != p.want.Host || to.Path != p.want.Path {
			continue
		}
		query, named := to.Query(), true
		for k, values := range p.want.Query() {
			named = named && slices.Equal(query[k], values)
			delete(query, k)
		}
		if slices.ContainsFunc(sortedKeys(query), func(k string) bool { return overrides(k, p.want.Query()) }) {
			return nil, errors.New("the link that leads to logout_path has a parameter that a server can read as one of logout_path, or as the method: quell does not follow it")
		}
		if named {
			found = append(found, query)
		}
	}
	return p.only(found, "link")
}

// overrides reports whether a parameter of a link can replace one of logout_path: some servers
// ignore case and blanks, read a[b] as a, and _ for other signs; _method replaces the method.
func overrides(key string, named url.Values) bool {
	plain := func(s string) string {
		s, _, _ = strings.Cut(strings.TrimSpace(s), "[")
		s, _, _ = strings.Cut(s, "\x00")
		return strings.ToLower(strings.NewReplacer(" ", "_", ".", "_").Replace(s))
	}
	k := plain(key)
	return k == "_method" || slices.ContainsFunc(sortedKeys(named), func(n string) bool { return plain(n) == k })
}

// sameAddress reports whether two addresses lead to one action: an application
// can choose it by the query.
func sameAddress(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && a.Host == b.Host && a.Path == b.Path && a.Query().Encode() == b.Query().Encode()
}

// controls are the elements that a form sends: those in it, and those elsewhere in
// the page that name it.
func (p logoutPage) controls(form *html.Node) []*html.Node {
	var out []*html.Node
	id := attr(form, "id")
	for n := range p.doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		inside := !has(n, "form") && within(n, form)
		if inside || id != "" && attr(n, "form") == id {
			out = append(out, n)
		}
	}
	return out
}

func within(n, form *html.Node) bool {
	for a := range n.Ancestors() {
		if a == form {
			return true
		}
	}
	return false
}

// pressed are the hidden fields of a form, and its button if that has a name.
// Buttons that lead elsewhere and controls that are disabled send nothing.
func (p logoutPage) pressed(form *html.Node) (url.Values, error) {
	out, buttons := url.Values{}, 0
	for _, n := range p.controls(form) {
		name := attr(n, "name")
		if name == "" || disabled(n) {
			continue
		}
		kind := strings.ToLower(attr(n, "type"))
		switch {
		case n.Data == "input" && kind == "hidden":
		case n.Data == "input" && kind == "submit", n.Data == "button" && kind != "button" && kind != "reset":
			if to, err := p.here.Parse(attr(n, "formaction")); has(n, "formaction") && (err != nil || !sameAddress(to, p.want)) {
				continue
			}
			if buttons++; buttons > 1 {
				return nil, errors.New("the form that leads to logout_path has several buttons with a name, of which a browser sends one: csrf = \"input:NAME\" of the [[instance]] sends the token alone")
			}
		default:
			continue
		}
		out.Add(name, attr(n, "value"))
	}
	return out, nil
}

// disabled reports whether a control, or a group that it is in, is disabled.
func disabled(n *html.Node) bool {
	if has(n, "disabled") {
		return true
	}
	for p := range n.Ancestors() {
		if p.Data == "fieldset" && has(p, "disabled") {
			return true
		}
	}
	return false
}

func has(n *html.Node, key string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == key })
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
