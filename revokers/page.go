package revokers

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/html"

	"github.com/quellhq/quell/rules/regex"
)

// Page holds the parts of a response that show whether its reader is signed in. Parts that
// vary without a meaning (nonces, times, blocks that come and go) are left out.
type Page struct {
	// SignIn is set for a form with one password field: two or more change a
	// password.
	SignIn bool
	// SignOut is set for a link or a form that logs out.
	SignOut bool
	// Over is set for words such as "your session has expired".
	Over bool
	// Forgets is set if the response deletes the session's cookie.
	Forgets bool
	// In and Out are set for a JSON document that shows it: with a user or without.
	In, Out bool
}

// Anonymous reports whether the page looks like the one of a user who is not
// signed in.
func (p Page) Anonymous() bool {
	return p.Forgets || (p.SignIn || p.Over) && !p.SignOut || p.Out && !p.In
}

// Authenticated reports whether the page shows a signed-in user where none of
// the others does: it offers to sign out, or its document names a user.
func (p Page) Authenticated(others []Page) bool {
	return !p.Anonymous() &&
		(p.SignOut && !slices.ContainsFunc(others, func(o Page) bool { return o.SignOut }) ||
			p.In && !p.Out && !slices.ContainsFunc(others, func(o Page) bool { return o.In || !o.Out }))
}

// ReadPage reads a response to a request with a session cookie. logout is the
// path that ends a session, if it is known.
func ReadPage(h http.Header, body []byte, cookie, logout string, now time.Time) Page {
	var p Page
	for _, c := range (&http.Response{Header: h}).Cookies() {
		gone := c.MaxAge < 0 || c.Value == "" || !c.Expires.IsZero() && c.Expires.Before(now)
		p.Forgets = p.Forgets || c.Name == cookie && gone
	}
	var doc any
	if json.Unmarshal(body, &doc) == nil {
		p.In, p.Out = identity(doc, 3)
		if o, ok := doc.(map[string]any); ok && len(o) == 0 || doc == nil {
			p.Out = true
		}
		return p
	}
	passwords := 0
	z := html.NewTokenizer(strings.NewReader(string(body)))
	skip := ""
	for {
		switch z.Next() {
		case html.ErrorToken:
			p.SignIn = passwords == 1
			return p
		case html.TextToken:
			p.Over = p.Over || skip == "" && overRE().Match(z.Text())
		case html.EndTagToken:
			if n, _ := z.TagName(); string(n) == skip {
				skip = ""
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			switch t.Data {
			case "script", "style", "template", "noscript":
				if t.Type == html.StartTagToken {
					skip = t.Data
				}
			case "input":
				if strings.EqualFold(of(t, "type"), "password") {
					passwords++
				}
			case "a", "form", "button":
				for _, key := range []string{"href", "action", "formaction"} {
					p.SignOut = p.SignOut || signsOut(of(t, key), logout)
				}
			}
		}
	}
}

func of(t html.Token, key string) string {
	for _, a := range t.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// SignsOut reports whether a path is called like one that logs out.
func SignsOut(path string) bool { return signOutRE().MatchString(path) }

// signsOut reports whether an address is the one that logs out, or is called
// like one.
func signsOut(address, logout string) bool {
	if address == "" {
		return false
	}
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	if signOutRE().MatchString(u.Path) || SignOutQuery(u.Query()) != "" {
		return true
	}
	path, query, _ := strings.Cut(logout, "?")
	if path == "" || path == "/" || !strings.HasSuffix(u.Path, path) {
		return false
	}
	has := u.Query()
	want, err := url.ParseQuery(query)
	for k, v := range want {
		if !slices.Equal(has[k], v) {
			return false
		}
	}
	return err == nil
}

// SignOutQuery returns the parameter that makes a page log out, such as
// action=logout, empty if there is none.
func SignOutQuery(q url.Values) string {
	for _, k := range slices.Sorted(maps.Keys(q)) {
		if len(q[k]) == 1 && signOutWordRE().MatchString(q.Get(k)) {
			return url.Values{k: q[k]}.Encode()
		}
	}
	return ""
}

var (
	signOutWordRE = regex.Lazy(`(?i)^(?:log|sign)[_-]?(?:out|off)$`)
	signOutRE     = regex.Lazy(`(?i)(?:^|[/_.-])(?:log|sign)[_-]?(?:out|off)(?:$|[/_.?-])`)
	overRE        = regex.Lazy(`(?i)session\s+(?:has\s+|is\s+|was\s+)?(?:expired|timed\s+out|invalid|ended|terminated)|(?:log|sign)\s?in\s+(?:again|to\s+continue|required)|(?:logged|signed)[\s-]+out|not\s+(?:logged|signed)\s+in`)
)

// Members of documents that show whether there is a user.
var (
	flags   = []string{"authenticated", "isauthenticated", "loggedin", "isloggedin", "signedin", "issignedin"}
	reverse = []string{"anonymous", "isanonymous", "guest", "isguest"}
	people  = []string{"user", "currentuser", "username", "userid", "email", "account", "session", "me", "subject", "sub"}
)

// identity looks for them in the outer levels of a document.
func identity(doc any, depth int) (in, out bool) {
	o, ok := doc.(map[string]any)
	if !ok || depth == 0 {
		return false, false
	}
	for k, v := range o {
		k = strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(k))
		b, isBool := v.(bool)
		switch {
		case isBool && slices.Contains(flags, k):
			in, out = in || b, out || !b
		case isBool && slices.Contains(reverse, k):
			in, out = in || !b, out || b
		case slices.Contains(people, k):
			empty := v == nil || v == "" || v == false || v == 0.0
			if m, ok := v.(map[string]any); ok {
				empty = len(m) == 0
			}
			in, out = in || !empty, out || empty
		}
		i, n := identity(v, depth-1)
		in, out = in || i, out || n
	}
	return in, out
}
