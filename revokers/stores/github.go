package stores

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"

	"golang.org/x/crypto/nacl/box"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
)

// github writes secrets of a repository's Actions, sealed to its public key.
// https://docs.github.com/en/rest/actions/secrets
type github struct{}

func (github) path(p place) string { return "/repos/" + p.path + "/actions/secrets/" }

func (g github) effect(p place) revokers.Effect {
	return revokers.Effect{Method: http.MethodPut, URL: p.at.URL.JoinPath(g.path(p), p.name).String(),
		Header: map[string]string{"Authorization": "Bearer {admin}"}, Body: []byte(`{"encrypted_value":"{new value, sealed}","key_id":"{key of the repository}"}`)}
}

func (github) header(p place) http.Header {
	return http.Header{"Authorization": {"Bearer " + reveal(p.at.Admin)}, "Accept": {"application/vnd.github+json"}, "X-Github-Api-Version": {"2022-11-28"}}
}

// held is the time of the last write: GitHub never shows a value.
func (g github) held(ctx context.Context, p place) (string, error) {
	var doc struct {
		Name      string `json:"name"`
		UpdatedAt string `json:"updated_at"`
	}
	if err := p.do(ctx, "read the secret's date", issuer.Request{Method: http.MethodGet, Path: g.path(p) + p.name, Header: g.header(p)}, &doc, http.StatusOK); err != nil {
		return "", err
	}
	if doc.UpdatedAt == "" {
		return "", errors.New("read the secret's date: the answer has none")
	}
	return doc.UpdatedAt, nil
}

func (g github) put(ctx context.Context, p place, _, fresh credential.Secret) error {
	var key struct {
		ID  string `json:"key_id"`
		Key string `json:"key"`
	}
	if err := p.do(ctx, "read the repository's key", issuer.Request{Method: http.MethodGet, Path: g.path(p) + "public-key", Header: g.header(p)}, &key, http.StatusOK); err != nil {
		return err
	}
	raw, err := base64.StdEncoding.DecodeString(key.Key)
	if err != nil || len(raw) != 32 || key.ID == "" {
		return errors.New("read the repository's key: the answer has no key of 32 bytes")
	}
	sealed, err := box.SealAnonymous(nil, []byte(reveal(fresh)), (*[32]byte)(raw), rand.Reader)
	if err != nil {
		return errors.New("seal the new value: no random numbers")
	}
	return p.do(ctx, "write the secret", issuer.Request{Method: http.MethodPut, Path: g.path(p) + p.name, Header: g.header(p),
		Body: map[string]string{"encrypted_value": base64.StdEncoding.EncodeToString(sealed), "key_id": key.ID}}, nil, http.StatusCreated, http.StatusNoContent)
}

// reveal is the one place of this package where a secret leaves its box.
func reveal(s credential.Secret) string { return s.Reveal() }
