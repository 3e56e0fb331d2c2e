package interp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// Whoami asks an instance who the holder of a login is. ids are values of the
// provider's owner field: the holder's own, and those of organisations that they
// own; name is what people recognise.
func Whoami(ctx context.Context, d issuer.Doer, i *issuer.Instance, p *rules.Provider, login credential.Secret) (ids []string, name string, err error) {
	t := revokers.Target{Credential: credential.Credential{Secret: login}, Rule: &rules.Rule{ID: "login", Provider: p}, Instance: i}
	s := &scope{t: t}
	for n, w := range p.Whoami {
		r, err := s.fill(w.Request, true)
		if err != nil {
			return nil, "", err
		}
		a, err := d.Do(ctx, i, r)
		switch {
		case err != nil:
			return nil, "", err
		case a.Status != http.StatusOK && n > 0:
			continue // a login without the scope to list organisations owns itself
		case a.Status != http.StatusOK:
			return nil, "", fmt.Errorf("it answered %d", a.Status)
		}
		for _, e := range rows(decode(a.Body), w.List) {
			if !matchJSON(w.Where, e) {
				continue
			}
			if v, ok := lookup(e, w.ID); ok && text(v) != "" && !slices.Contains(ids, text(v)) {
				ids = append(ids, text(v))
			}
			if v, ok := lookup(e, w.Name); ok && name == "" && w.Name != "" {
				name = text(v)
			}
		}
	}
	if len(ids) == 0 {
		return nil, "", errors.New("it does not say who you are")
	}
	return ids, name, nil
}

// rows are the elements of a list at a path, or the one document there.
func rows(doc any, path string) []any {
	v := doc
	if path != "" {
		v, _ = lookup(doc, path)
	}
	if list, ok := v.([]any); ok {
		return list
	}
	return []any{v}
}
