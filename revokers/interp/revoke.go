package interp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/html"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
)

// Revocation is the Revoker of one revocation in a rules file.
type Revocation struct {
	Doer   issuer.Doer
	Revoke *rules.Revoke
}

// Batch implements revokers.Revoker.
func (v Revocation) Batch() int { return max(v.Revoke.Batch, 1) }

// Plan implements revokers.Revoker. Steps that read run when the effect is
// sent: their values are late placeholders.
func (v Revocation) Plan(_ context.Context, ts []revokers.Target) ([]revokers.Effect, error) {
	s := v.scope(ts)
	for _, step := range v.Revoke.Steps {
		for name := range step.Keep {
			s.late[name] = ""
		}
		if step.Pick != nil {
			for name := range step.Pick.Keep {
				s.late[name] = ""
			}
		}
	}
	e, err := s.effect(v.Revoke.ID, v.Revoke.Request, false)
	if err != nil {
		return nil, err
	}
	for _, t := range ts {
		e.Elements = append(e.Elements, t.Fingerprint)
	}
	return []revokers.Effect{e}, nil
}

func (v Revocation) scope(ts []revokers.Target) *scope {
	s := &scope{t: ts[0], batch: ts[1:], late: map[string]string{}}
	// What an earlier answer contained is late: the plan shows its name only if
	// the rules file reads it again before the request.
	return s
}

// Send implements revokers.Revoker.
func (v Revocation) Send(ctx context.Context, ts []revokers.Target, e revokers.Effect, before func(revokers.Effect) error) (revokers.Receipt, error) {
	s := v.scope(ts)
	refused := func(status int, format string, args ...any) revokers.Receipt {
		return revokers.All(len(ts), revokers.Acknowledgement{Status: status, Detail: fmt.Sprintf(format, args...), At: time.Now().UTC()})
	}
	for n, step := range v.Revoke.Steps {
		r, err := s.fill(step.Request, true)
		if err != nil {
			return revokers.Receipt{}, fmt.Errorf("step %d: %w", n+1, err)
		}
		a, err := v.Doer.Do(ctx, s.t.Instance, r)
		if err != nil {
			return revokers.Receipt{}, fmt.Errorf("step %d: %w", n+1, err)
		}
		if len(step.Status) > 0 && !slices.Contains(step.Status, a.Status) {
			return refused(a.Status, "step %d was answered %d", n+1, a.Status), nil
		}
		if err := s.learn(step, a); err != nil {
			return refused(a.Status, "step %d: %v", n+1, err), nil
		}
	}
	r, err := s.fill(v.Revoke.Request, false)
	if err != nil {
		return revokers.Receipt{}, err
	}
	final, err := s.effect(v.Revoke.ID, v.Revoke.Request, false)
	if err != nil {
		return revokers.Receipt{}, err
	}
	for _, t := range ts {
		final.Elements = append(final.Elements, t.Fingerprint)
	}
	if len(s.late) > 0 {
		final.Late = maps.Clone(s.late)
	}
	if err := before(final); err != nil {
		return revokers.Receipt{}, err
	}
	a, err := v.Doer.Do(ctx, s.t.Instance, r)
	if err != nil {
		return revokers.Receipt{}, err
	}
	if !slices.Contains(v.Revoke.Accept, a.Status) {
		return refused(a.Status, "the issuer answered %d", a.Status), nil
	}
	if !matchJSON(v.Revoke.AcceptJSON, decode(a.Body)) {
		return refused(a.Status, "the issuer answered %d, but did not report a revocation", a.Status), nil
	}
	return revokers.All(len(ts), revokers.Acknowledgement{Accepted: true, Status: a.Status, At: time.Now().UTC()}), nil
}

// learn takes what a step reads out of its response.
func (s *scope) learn(step rules.Step, r issuer.Response) error {
	doc := decode(r.Body)
	for name, from := range step.Keep {
		v, err := extract(from, r, doc)
		if err != nil {
			return err
		}
		s.late[name] = v
	}
	if step.Pick == nil {
		return nil
	}
	list, ok := doc.([]any)
	if !ok {
		return errors.New("the response is no list")
	}
	if strings.Contains(r.Header.Get("Link"), `rel="next"`) {
		return errors.New("the list has more pages, so which element is meant is not certain")
	}
	want, err := s.expand(step.Pick.Equals, s.get)
	if err != nil {
		return err
	}
	var found any
	n := 0
	for _, e := range list {
		if got, ok := lookup(e, step.Pick.Where); ok && text(got) == want {
			found = e
			n++
		}
	}
	if n != 1 {
		return fmt.Errorf("%d elements of the list match; only exactly one may be acted on", n)
	}
	for name, from := range step.Pick.Keep {
		v, ok := lookup(found, from)
		if !ok || text(v) == "" {
			return fmt.Errorf("the element has no %s", from)
		}
		s.late[name] = text(v)
	}
	return nil
}

func extract(from string, r issuer.Response, doc any) (string, error) {
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

// attribute finds the first element of a page whose attribute key is want, and
// returns its attribute value.
func attribute(page []byte, element, key, want, value string) (string, bool) {
	z := html.NewTokenizer(strings.NewReader(string(page)))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return "", false
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			if t.Data != element {
				continue
			}
			attr := map[string]string{}
			for _, a := range t.Attr {
				attr[a.Key] = a.Val
			}
			if attr[key] == want && attr[value] != "" {
				return attr[value], true
			}
		}
	}
}
