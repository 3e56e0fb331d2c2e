package stores

import (
	"context"
	"net/http"
	"net/url"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
)

// gitlab writes a project's CI/CD variables; protection, masking and scope stay as
// they are. https://docs.gitlab.com/api/project_level_variables/
type gitlab struct{}

func (gitlab) path(p place) string {
	return "/api/v4/projects/" + url.PathEscape(p.path) + "/variables/" + p.name
}

func (g gitlab) effect(p place) revokers.Effect {
	return revokers.Effect{Method: http.MethodPut, URL: p.at.URL.String() + g.path(p), Header: map[string]string{"Private-Token": "{admin}"}, Body: []byte(`{"value":"{new value}"}`)}
}

func (gitlab) header(p place) http.Header { return http.Header{"Private-Token": {reveal(p.at.Admin)}} }

type variable struct {
	Key string `json:"key"`
	// Value is null for a variable that is masked and hidden.
	Value *string `json:"value"`
}

func (g gitlab) get(ctx context.Context, p place) (v variable, err error) {
	err = p.do(ctx, "read the variable", issuer.Request{Method: http.MethodGet, Path: g.path(p), Header: g.header(p)}, &v, http.StatusOK)
	return v, err
}

func (g gitlab) held(ctx context.Context, p place) (string, error) {
	v, err := g.get(ctx, p)
	if err != nil || v.Value == nil {
		return "", err
	}
	return *v.Value, nil
}

func (g gitlab) put(ctx context.Context, p place, leaked, fresh credential.Secret) error {
	v, err := g.get(ctx, p)
	if err != nil {
		return err
	}
	if v.Value != nil {
		switch now := credential.NewSecretString(*v.Value); {
		case now.Equal(fresh):
			return nil
		case !now.Equal(leaked):
			return errOther
		}
	}
	return p.do(ctx, "write the variable", issuer.Request{Method: http.MethodPut, Path: g.path(p), Header: g.header(p), Body: map[string]string{"value": reveal(fresh)}}, nil, http.StatusOK)
}
