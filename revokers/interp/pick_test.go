package interp

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
)

type list = []any
type object = map[string]any

func picking(t *testing.T, pick string, responses ...issuer.Response) (path, detail string, d *recorder) {
	t.Helper()
	r := load(t, "[[rules.revoke.step]]\nrequest = { method = \"GET\", path = \"/list\", query = { n = \"2\" } }\nstatus = [200]\npick = "+pick+"\n[[rules.revoke.request]]\nmethod = \"DELETE\"\npath = \"/keys/{key}\"\n")
	d = &recorder{responses: append(responses, reply(200, nil))}
	v := Revocation{d, &r.Revokes[0]}
	ts := []revokers.Target{target(r, "x_one_abcdefgh")}
	effects, err := v.Plan(t.Context(), ts)
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := v.Send(t.Context(), ts, effects[0], func(revokers.Effect) error { return nil })
	if err != nil {
		return "", err.Error(), d
	}
	if !receipt.Of(0).Accepted {
		return "", receipt.Of(0).Detail, d
	}
	return d.requests[len(d.requests)-1].Path, "", d
}

func linked(a issuer.Response, link string) issuer.Response {
	a.Header = http.Header{"Link": {link}}
	return a
}

func TestPickTakesExactlyOne(t *testing.T) {
	e := func(id, field string) object { return object{"id": id, "f": field} }
	for name, c := range map[string]struct{ pick, field, path string }{
		"equals":                          {"equals = \"{token.last8}\"", "abcdefgh", "/keys/k"},
		"equals, another":                 {"equals = \"{token.last8}\"", "bcdefgh", ""},
		"prefix":                          {"prefix = \"{token.id}\"", "one-more", "/keys/k"},
		"suffix":                          {"suffix = \"{token.last8}\"", "…abcdefgh", "/keys/k"},
		"prefix_of":                       {"prefix_of = \"{token}\"", "x_one_", "/keys/k"},
		"prefix_of, too short":            {"prefix_of = \"{token}\"", "x_o", ""},
		"prefix_of, empty":                {"prefix_of = \"{token}\"", "", ""},
		"suffix_of":                       {"suffix_of = \"{token}\"", "efgh", "/keys/k"},
		"masked by dots":                  {"masked = \"{token}\"", "x_one...efgh", "/keys/k"},
		"masked by an ellipsis":           {"masked = \"{token}\"", "x_…fgh", "/keys/k"},
		"masked by stars":                 {"masked = \"{token}\"", "x_o*******gh", "/keys/k"},
		"masked, another end":             {"masked = \"{token}\"", "x_one...efgx", ""},
		"masked, nothing shown":           {"masked = \"{token}\"", "***", ""},
		"masked, only the common prefix":  {"masked = \"{token}\"", "x_one...", ""},
		"masked, not masked":              {"masked = \"{token}\"", "x_one_abcdefgh", "/keys/k"},
		"masked, more than the token has": {"masked = \"{token}\"", "x_one_abcdefgh...x_one_abcdefgh", ""},
	} {
		path, detail, _ := picking(t, `{ where = "f", `+c.pick+`, keep = { key = "id" } }`, reply(200, list{e("a", "zzzzzzzz"), e("k", c.field)}))
		if path != c.path {
			t.Errorf("%s: %q (%s), want %q", name, path, detail, c.path)
		}
	}
	for name, l := range map[string]list{"none": {e("a", "zzzzzzzz")}, "two": {e("a", "abcdefgh"), e("b", "abcdefgh")}, "an empty list": {}} {
		path, detail, d := picking(t, `{ where = "f", equals = "{token.last8}", keep = { key = "id" } }`, reply(200, l))
		if path != "" || !strings.Contains(detail, "only exactly one") || len(d.requests) != 1 {
			t.Errorf("%s: %q, %q, %d requests", name, path, detail, len(d.requests))
		}
	}
}

func TestPickReadsTheListToItsEnd(t *testing.T) {
	const byLink = `{ where = "f", equals = "{token.last8}", keep = { key = "id" } }`
	const byCursor = `{ list = "data", where = "f", equals = "{token.last8}", keep = { key = "id" }, next = "meta.next", cursor = "after" }`
	const byFlag = `{ list = "data", where = "f", equals = "{token.last8}", keep = { key = "id" }, next = "last", cursor = "after", more = "more" }`
	const byAddress = `{ list = "data", where = "f", equals = "{token.last8}", keep = { key = "id" }, next = "meta.next" }`
	const byPage = `{ where = "f", equals = "{token.last8}", keep = { key = "id" }, page = "page" }`
	hit, miss := object{"id": "k", "f": "abcdefgh"}, object{"id": "a", "f": "zzzzzzzz"}
	page := func(next string, l ...any) issuer.Response {
		return reply(200, object{"data": l, "meta": object{"next": next}})
	}
	flagged := func(more any, last string, l ...any) issuer.Response {
		return reply(200, object{"data": l, "more": more, "last": last})
	}
	for name, c := range map[string]struct {
		pick      string
		responses []issuer.Response
		path      string
		detail    string
		queries   []string
	}{
		"a Link header":                  {byLink, []issuer.Response{linked(reply(200, list{miss}), `</list?n=2&p=2>; rel="next", </list?p=9>; rel="last"`), reply(200, list{hit})}, "/keys/k", "", []string{"n=2", "n=2&p=2"}},
		"a Link header that comes first": {byLink, []issuer.Response{linked(reply(200, list{miss}), `<https://api.example.com/list?p=1>; rel=prev, <https://api.example.com/list?p=3>; rel=next`), reply(200, list{hit})}, "/keys/k", "", []string{"n=2", "p=3"}},
		"a Link header to another host":  {byLink, []issuer.Response{linked(reply(200, list{hit}), `<https://evil.example/list?p=2>; rel="next"`)}, "", "another host", nil},
		"a page of another host's port":  {byLink, []issuer.Response{linked(reply(200, list{hit}), `<https://api.example.com:8443/list?p=2>; rel="next"`)}, "", "another host", nil},
		"pages that repeat":              {byLink, []issuer.Response{linked(reply(200, list{hit}), `</list?p=2>; rel="next"`), linked(reply(200, list{}), `</list?p=2>; rel="next"`)}, "", "repeat", nil},
		"a second one on a later page":   {byLink, []issuer.Response{linked(reply(200, list{hit}), `</list?p=2>; rel="next"`), reply(200, list{hit})}, "", "2 elements", nil},
		"a page that fails":              {byLink, []issuer.Response{linked(reply(200, list{hit}), `</list?p=2>; rel="next"`), reply(403, nil)}, "", "403", nil},
		"a cursor":                       {byCursor, []issuer.Response{page("c&d", miss), page("", hit)}, "/keys/k", "", []string{"n=2", "after=c%26d&n=2"}},
		"a cursor while a flag is true":  {byFlag, []issuer.Response{flagged(true, "c", miss), flagged(false, "d", hit), flagged(false, "d", hit)}, "/keys/k", "", []string{"n=2", "after=c&n=2"}},
		"a flag that is no truth value":  {byFlag, []issuer.Response{flagged("yes", "c", hit), flagged(false, "d", hit)}, "/keys/k", "", []string{"n=2"}},
		"an address":                     {byAddress, []issuer.Response{page("/list?p=2", miss), page("", hit)}, "/keys/k", "", []string{"n=2", "p=2"}},
		"an address at another host":     {byAddress, []issuer.Response{page("//evil.example/list", hit)}, "", "another host", nil},
		"counted pages":                  {byPage, []issuer.Response{reply(200, list{miss}), reply(200, list{hit}), reply(200, list{})}, "/keys/k", "", []string{"n=2", "n=2&page=2", "n=2&page=3"}},
	} {
		path, detail, d := picking(t, c.pick, c.responses...)
		if path != c.path || !strings.Contains(detail, c.detail) {
			t.Errorf("%s: %q, %q, want %q, %q", name, path, detail, c.path, c.detail)
			continue
		}
		for i, want := range c.queries {
			if got := d.requests[i].Query.Encode(); got != want {
				t.Errorf("%s: page %d is asked with %q, want %q", name, i+1, got, want)
			}
		}
		for _, h := range d.hosts {
			if h != "api.example.com" {
				t.Errorf("%s: a request to %s", name, h)
			}
		}
	}
}

func TestNestedListsAndTheElementAround(t *testing.T) {
	doc := object{"groups": list{object{"id": "g1", "tokens": list{object{"id": "a", "f": "zzzzzzzz"}}}, object{"id": "g0"}, object{"id": "g2", "tokens": list{object{"id": "k", "f": "abcdefgh"}}}}}
	got, err := elements(decode(reply(200, doc).Body), "groups.*.tokens")
	if err != nil || len(got) != 2 {
		t.Fatalf("%d elements, %v", len(got), err)
	}
	if v, _ := lookup(got[1].around, "id"); v != "g2" {
		t.Errorf("the element around is %v", v)
	}
	if _, err := elements(decode([]byte(`{"a":{}}`)), "a"); err == nil {
		t.Error("an object is taken as a list")
	}
}

func FuzzNextLink(f *testing.F) {
	f.Add(`</list?p=2>; rel="next"`)
	f.Add(`<>;rel=next,<`)
	f.Add(`<https://evil.example/%2e%2e/>; rel="next"`)
	i := &issuer.Instance{URL: &url.URL{Scheme: "https", Host: "api.example.com", Path: "/base"}}
	f.Fuzz(func(t *testing.T, header string) {
		to := nextLink([]string{header})
		if to == "" {
			return
		}
		r, err := follow(i, issuer.Request{Method: "GET", Path: "/list"}, to)
		if err == nil && !strings.HasPrefix(r.Path, "/") {
			t.Errorf("%q leads to %q", header, r.Path)
		}
	})
}
