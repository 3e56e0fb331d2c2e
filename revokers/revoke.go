package revokers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quellhq/quell/rules"
)

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
