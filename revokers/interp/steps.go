package interp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/html"

	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
)

// errStep is an issuer's answer to a step after which the revocation can't continue.
type errStep struct {
	status int
	err    error
}

func (e errStep) Error() string { return e.err.Error() }

// step sends a step's request and saves the values that it reads from the response. The
// error is an errStep if the issuer answered.
func (s *scope) step(ctx context.Context, d issuer.Doer, step rules.Step) error {
	i, err := s.at(step.Request)
	if err != nil {
		return err
	}
	r, err := s.fill(step.Request, !step.Request.Login)
	if err != nil {
		return err
	}
	a, err := d.Do(ctx, i, r)
	if err != nil {
		return err
	}
	if err := expected(step, a); err != nil {
		return err
	}
	doc := decode(a.Body)
	for name, from := range step.Keep {
		v, err := extract(from, a, doc)
		if err != nil {
			return errStep{a.Status, err}
		}
		s.learn(name, v, step.Request.Login || secretSource(from))
		if from == allCookies {
			if s.jars == nil {
				s.jars = map[string]bool{}
			}
			s.jars[name] = true
		}
	}
	if step.Pick == nil {
		return nil
	}
	p := &picker{s: s, pick: step.Pick}
	if err := p.begin(); err != nil {
		return err
	}
	last, err := p.pages(ctx, d, i, r, step, a)
	if err != nil {
		return err
	}
	return p.end(last)
}

func (s *scope) learn(name, v string, hidden bool) {
	if s.late == nil {
		s.late = map[string]string{}
	}
	s.late[name] = v
	if hidden {
		if s.hidden == nil {
			s.hidden = map[string]bool{}
		}
		s.hidden[name] = true
	}
}

// secretSource reports whether what a step keeps from there is a credential: a
// cookie, or a form's token.
func secretSource(from string) bool {
	return strings.HasPrefix(from, "cookie:") || strings.HasPrefix(from, "input:") || strings.HasPrefix(from, "meta:") || from == bodyText
}

// Sources of a step's keep besides paths and names.
const (
	allCookies = "cookie:*"
	bodyText   = "body:text"
)

// maxWord bounds a body that is one word, in bytes.
const maxWord = 256

// word returns a body that is one word, without the space around it.
func word(body []byte) (string, error) {
	v := strings.TrimSpace(string(body))
	if v == "" || len(v) > maxWord || strings.ContainsFunc(v, func(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune(`<>{}"`, c) }) {
		return "", errors.New("the body is not one word")
	}
	return v, nil
}

// cookies returns the cookies that a response sets, as the header Cookie has them. Those that it
// deletes are left out; of several with one name the last counts.
func cookies(r issuer.Response) (string, error) {
	set := map[string]string{}
	for _, c := range (&http.Response{Header: r.Header}).Cookies() {
		delete(set, c.Name)
		if strings.TrimSpace(c.Value) != "" && c.MaxAge >= 0 && (c.Expires.IsZero() || c.Expires.After(time.Now())) {
			set[c.Name] = c.Value
		}
	}
	if len(set) == 0 {
		return "", errors.New("the response sets no cookie")
	}
	var list []string
	for _, name := range sortedKeys(set) {
		list = append(list, name+"="+set[name])
	}
	return strings.Join(list, "; "), nil
}

func expected(step rules.Step, a issuer.Response) error {
	want := step.Status
	if len(want) == 0 {
		want = []int{http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent}
		if step.Pick == nil {
			return nil
		}
	}
	if !slices.Contains(want, a.Status) {
		return errStep{a.Status, fmt.Errorf("the issuer answered %d", a.Status)}
	}
	return nil
}

// extract takes one value out of a response.
func extract(from string, r issuer.Response, doc any) (string, error) {
	if n, ok := strings.CutPrefix(from, "header:"); ok {
		if v := r.Header.Get(n); v != "" {
			return v, nil
		}
		return "", fmt.Errorf("the response has no header %s", n)
	}
	switch from {
	case allCookies:
		return cookies(r)
	case bodyText:
		return word(r.Body)
	}
	if n, ok := strings.CutPrefix(from, "cookie:"); ok {
		for _, c := range (&http.Response{Header: r.Header}).Cookies() {
			if c.Name == n && c.Value != "" {
				return c.Value, nil
			}
		}
		return "", fmt.Errorf("the response sets no cookie %s", n)
	}
	if n, ok := strings.CutPrefix(from, "input:"); ok {
		if v, ok := attribute(r.Body, "input", "name", n, "value"); ok {
			return v, nil
		}
		return "", fmt.Errorf("the page has no field %s", n)
	}
	if n, ok := strings.CutPrefix(from, "meta:"); ok {
		if v, ok := attribute(r.Body, "meta", "name", n, "content"); ok {
			return v, nil
		}
		return "", fmt.Errorf("the page has no meta element %s", n)
	}
	v, ok := lookup(doc, from)
	if !ok || text(v) == "" {
		return "", fmt.Errorf("the response has no %s", from)
	}
	return text(v), nil
}

// attribute finds the first element of a page whose attribute key has the value want, and
// returns its attribute value.
func attribute(page []byte, element, key, want, value string) (string, bool) {
	if all := attributes(page, element, key, want, value, 1); len(all) > 0 {
		return all[0], true
	}
	return "", false
}

// attributes are up to limit different values of that attribute, in the order
// of the page.
func attributes(page []byte, element, key, want, value string, limit int) (out []string) {
	z := html.NewTokenizer(bytes.NewReader(page))
	for len(out) < limit {
		switch z.Next() {
		case html.ErrorToken:
			return out
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			if t.Data != element {
				continue
			}
			attr := map[string]string{}
			for _, a := range t.Attr {
				attr[a.Key] = a.Val
			}
			if attr[key] == want && attr[value] != "" && !slices.Contains(out, attr[value]) {
				out = append(out, attr[value])
			}
		}
	}
	return out
}

var errSeveral = errors.New("only exactly one may be acted on")
