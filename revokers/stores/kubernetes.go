package stores

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
)

// kubernetes writes one key of a Secret, on the version that was read: the API server
// refuses the patch if another wrote in between.
// https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/secret-v1/
type kubernetes struct{}

func (kubernetes) path(p place) string {
	ns, name, _ := strings.Cut(p.path, "/")
	return "/api/v1/namespaces/" + ns + "/secrets/" + name
}

func (k kubernetes) effect(p place) revokers.Effect {
	return revokers.Effect{Method: http.MethodPatch, URL: p.at.URL.JoinPath(k.path(p)).String(), Header: map[string]string{"Authorization": "Bearer {admin}"},
		Body: []byte(`{"metadata":{"resourceVersion":"{current version}"},"data":{"` + p.name + `":"{new value, in base64}"}}`)}
}

func (kubernetes) header(p place) http.Header {
	return http.Header{"Authorization": {"Bearer " + reveal(p.at.Admin)}, "Accept": {"application/json"}}
}

func (k kubernetes) get(ctx context.Context, p place) (value credential.Secret, version string, err error) {
	if strings.Count(p.path, "/") != 1 {
		return value, "", errors.New("a Secret is named as NAMESPACE/SECRET#KEY")
	}
	var doc struct {
		Kind     string `json:"kind"`
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
		Data map[string][]byte `json:"data"`
	}
	if err := p.do(ctx, "read the Secret", issuer.Request{Method: http.MethodGet, Path: k.path(p), Header: k.header(p)}, &doc, http.StatusOK); err != nil {
		return value, "", err
	}
	if doc.Kind != "Secret" || doc.Metadata.ResourceVersion == "" {
		return value, "", errors.New("read the Secret: the answer describes none")
	}
	return credential.NewSecret(doc.Data[p.name]), doc.Metadata.ResourceVersion, nil
}

func (k kubernetes) held(ctx context.Context, p place) (string, error) {
	v, _, err := k.get(ctx, p)
	return reveal(v), err
}

func (k kubernetes) put(ctx context.Context, p place, leaked, fresh credential.Secret) error {
	now, version, err := k.get(ctx, p)
	switch {
	case err != nil:
		return err
	case now.Equal(fresh):
		return nil
	case !now.Equal(leaked):
		return errOther
	}
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]string{"resourceVersion": version},
		"data":     map[string]string{p.name: base64.StdEncoding.EncodeToString([]byte(reveal(fresh)))},
	})
	if err != nil {
		return errors.New("write the Secret: the patch can't be encoded")
	}
	return p.do(ctx, "write the Secret", issuer.Request{Method: http.MethodPatch, Path: k.path(p), Header: k.header(p), Body: issuer.Raw{Type: "application/merge-patch+json", Bytes: body}}, nil, http.StatusOK)
}
