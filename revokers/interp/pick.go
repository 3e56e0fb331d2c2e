package interp

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
)

// maxPages bounds the pages of one list. A longer one stops the revocation.
const maxPages = 500

// minShown is the least part of a credential that a list has to show, in
// characters.
const minShown = 4

// picker finds the one element of a list that is meant.
type picker struct {
	s     *scope
	pick  *rules.Pick
	how   string
	with  string
	found []element
}

// element is a list's element, and the element of an outer list that it is in.
type element struct {
	v, around any
}

// begin resolves what the elements are compared with.
func (p *picker) begin() error {
	if p.pick.Only {
		return nil
	}
	how, with, _ := p.pick.Comparison()
	v, err := p.s.expand(with, p.s.get)
	if err != nil {
		return err
	}
	if v == "" {
		return errors.New("pick compares with nothing")
	}
	p.how, p.with = how, v
	return nil
}

// pages reads the list to its end.
func (p *picker) pages(ctx context.Context, d issuer.Doer, i *issuer.Instance, r issuer.Request, step rules.Step, a issuer.Response) (last issuer.Response, err error) {
	seen := map[string]bool{}
	for n := 1; ; n++ {
		doc := decode(a.Body)
		count, err := p.take(doc)
		if err != nil {
			return a, errStep{a.Status, err}
		}
		next, more, err := p.next(i, r, a, doc, n, count)
		switch {
		case err != nil:
			return a, errStep{a.Status, err}
		case !more:
			return a, nil
		case n == maxPages:
			return a, errStep{a.Status, fmt.Errorf("the list has more than %d pages", maxPages)}
		}
		key := next.Path + "?" + next.Query.Encode()
		if seen[key] {
			return a, errStep{a.Status, errors.New("the list's pages repeat")}
		}
		seen[key] = true
		r = next
		if a, err = d.Do(ctx, i, r); err != nil {
			return a, err
		}
		if err := expected(step, a); err != nil {
			return a, err
		}
	}
}

// take adds the elements of a page that match.
func (p *picker) take(doc any) (count int, err error) {
	list, err := elements(doc, p.pick.List)
	if err != nil {
		return 0, err
	}
	for _, e := range list {
		if p.matches(e.v) {
			p.found = append(p.found, e)
		}
	}
	return len(list), nil
}

// elements lists the elements at a path, whose * goes through outer lists.
func elements(doc any, path string) ([]element, error) {
	outer := []element{{doc, nil}}
	if path != "" {
		for i, part := range strings.Split(path, ".*.") {
			var next []element
			for _, o := range outer {
				v, ok := lookup(o.v, strings.TrimSuffix(part, ".*"))
				if !ok {
					if i > 0 {
						continue // an element without the inner list
					}
					return nil, fmt.Errorf("the response has no %s", part)
				}
				if i < strings.Count(path, ".*.") {
					list, ok := v.([]any)
					if !ok {
						return nil, fmt.Errorf("%s is no list", part)
					}
					for _, e := range list {
						next = append(next, element{e, o.v})
					}
					continue
				}
				next = append(next, element{v, o.v})
			}
			outer = next
		}
	}
	var out []element
	for _, o := range outer {
		list, ok := o.v.([]any)
		if !ok {
			return nil, errors.New("the response is no list")
		}
		for _, e := range list {
			out = append(out, element{e, o.around})
		}
	}
	return out, nil
}

// dots are what issuers write in place of the part that they do not show.
var dots = regexp.MustCompile(`\.{2,}|…+|\*+|[xX•]{4,}|_{3,}`)

// matches compares an element's field.
func (p *picker) matches(e any) bool {
	if !matchJSON(p.pick.JSON, e) {
		return false
	}
	if p.pick.Only {
		return true
	}
	got, ok := lookup(e, p.pick.Where)
	if !ok {
		return false
	}
	field := text(got)
	switch p.how {
	case "equals":
		return field == p.with
	case "prefix":
		return strings.HasPrefix(field, p.with)
	case "suffix":
		return strings.HasSuffix(field, p.with)
	}
	switch {
	case len(field) < minShown:
		return false
	case p.how == "prefix_of":
		return strings.HasPrefix(p.with, field)
	case p.how == "suffix_of":
		return strings.HasSuffix(p.with, field)
	}
	m := dots.FindStringIndex(field)
	if m == nil {
		return field == p.with
	}
	head, tail := field[:m[0]], field[m[1]:]
	return len(head)+len(tail) >= minShown && tail != "" && len(head)+len(tail) <= len(p.with) && strings.HasPrefix(p.with, head) && strings.HasSuffix(p.with, tail)
}

// end keeps what the one element that matches has.
func (p *picker) end(last issuer.Response) error {
	if len(p.found) != 1 {
		return errStep{last.Status, fmt.Errorf("%d elements of the list match; %w", len(p.found), errSeveral)}
	}
	for name, from := range p.pick.Keep {
		e := p.found[0].v
		if path, ok := strings.CutPrefix(from, "^."); ok {
			e, from = p.found[0].around, path
		}
		v, ok := lookup(e, from)
		if !ok || text(v) == "" {
			return errStep{last.Status, fmt.Errorf("the element has no %s", from)}
		}
		p.s.learn(name, text(v), false)
	}
	return nil
}

// next is the request for the following page.
func (p *picker) next(i *issuer.Instance, r issuer.Request, a issuer.Response, doc any, n, count int) (out issuer.Request, more bool, err error) {
	if to := nextLink(a.Header.Values("Link")); to != "" {
		out, err = follow(i, r, to)
		return out, err == nil, err
	}
	switch {
	case p.pick.Page != "":
		if count == 0 {
			return r, false, nil
		}
		return withQuery(r, p.pick.Page, strconv.Itoa(n+1)), true, nil
	case p.pick.Next == "":
		return r, false, nil
	}
	if p.pick.More != "" {
		if v, _ := lookup(doc, p.pick.More); v != true {
			return r, false, nil
		}
	}
	v, ok := lookup(doc, p.pick.Next)
	cursor := text(v)
	if !ok || cursor == "" || cursor == "false" {
		return r, false, nil
	}
	if p.pick.Cursor != "" {
		return withQuery(r, p.pick.Cursor, cursor), true, nil
	}
	out, err = follow(i, r, cursor)
	return out, err == nil, err
}

func withQuery(r issuer.Request, key, value string) issuer.Request {
	q := url.Values{}
	for k, v := range r.Query {
		q[k] = v
	}
	q.Set(key, value)
	r.Query = q
	return r
}

// nextLink finds the target of rel="next" in Link headers (RFC 8288).
func nextLink(headers []string) string {
	for _, h := range headers {
		for h != "" {
			from := strings.IndexByte(h, '<')
			to := strings.IndexByte(h, '>')
			if from < 0 || to < from {
				break
			}
			target := h[from+1 : to]
			h = h[to+1:]
			params := h
			if k := strings.Index(h, ",<"); k >= 0 {
				params, h = h[:k], h[k+1:]
			} else if k := strings.Index(h, ", <"); k >= 0 {
				params, h = h[:k], h[k+2:]
			} else {
				h = ""
			}
			for _, p := range strings.Split(params, ";") {
				k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
				if strings.EqualFold(k, "rel") {
					for _, rel := range strings.Fields(strings.Trim(v, `"`)) {
						if strings.EqualFold(rel, "next") {
							return target
						}
					}
				}
			}
		}
	}
	return ""
}

// follow is r at the address of a following page, which has to be at the same
// host.
func follow(i *issuer.Instance, r issuer.Request, to string) (issuer.Request, error) {
	base := *i.URL
	root := strings.TrimRight(base.Path, "/")
	here := base
	here.Path, here.RawPath = root+"/", ""
	if u, err := url.Parse(r.Path); err == nil {
		here.Path = root + u.Path
	}
	u, err := here.Parse(to)
	if err != nil {
		return r, errors.New("the address of the next page can't be read")
	}
	if u.Scheme != base.Scheme || u.Host != base.Host {
		return r, fmt.Errorf("the next page is at another host, %s", u.Host)
	}
	path, ok := strings.CutPrefix(u.EscapedPath(), root)
	if !ok || !strings.HasPrefix(path, "/") {
		return r, errors.New("the next page is outside of the instance")
	}
	r.Path, r.Query = path, u.Query()
	return r, nil
}
