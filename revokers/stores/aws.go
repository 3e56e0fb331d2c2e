package stores

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/aws"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
)

// secretsManager writes a secret of AWS Secrets Manager, or one key of a secret that is a
// JSON object. The new version becomes the current one only if the version that was read
// is still that: UpdateSecretVersionStage is refused if another wrote in between.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/
type secretsManager struct{}

const (
	// wholeSecret is the name of an entry that is no key of a JSON object.
	wholeSecret = "SecretString"
	// pending labels a new version until it is the current one.
	pending = "QUELLPENDING"
	current = "AWSCURRENT"
)

// secret splits the place REGION/NAME.
func (secretsManager) secret(p place) (region, id string) {
	region, id, _ = strings.Cut(p.path, "/")
	return region, id
}

func (s secretsManager) at(p place) *issuer.Instance {
	region, _ := s.secret(p)
	return aws.Service(p.at, "secretsmanager", region)
}

func (s secretsManager) effect(p place) revokers.Effect {
	_, id := s.secret(p)
	body, _ := json.Marshal(map[string]string{"SecretId": id, "VersionStage": current, "MoveToVersionId": "{version with the new value}", "RemoveFromVersionId": "{version that was read}"})
	return revokers.Effect{
		Method: http.MethodPost, URL: s.at(p).URL.String() + "/", Body: body,
		Header: map[string]string{"X-Amz-Target": "secretsmanager.UpdateSecretVersionStage", "Authorization": "{signature by admin}"},
	}
}

// version is the current version of a secret.
type version struct {
	VersionID string `json:"VersionId"`
	// String is null for a binary secret.
	String *string `json:"SecretString"`
}

// call sends one request of the JSON API.
func (s secretsManager) call(ctx context.Context, p place, what, operation string, body map[string]any, out any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("%s: the request can't be encoded", what)
	}
	region, _ := s.secret(p)
	at := s.at(p)
	r, err := aws.Sign(ctx, at, p.call.at.Admin, "secretsmanager", region, issuer.Request{
		Method: http.MethodPost, Path: "/", Header: http.Header{"X-Amz-Target": {"secretsmanager." + operation}},
		Body: issuer.Raw{Type: "application/x-amz-json-1.1", Bytes: b}, Reads: operation == "GetSecretValue",
	}, time.Now())
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return call{p.doer, at}.send(ctx, what, r, out, http.StatusOK)
}

func (s secretsManager) get(ctx context.Context, p place) (v version, err error) {
	_, id := s.secret(p)
	if err := s.call(ctx, p, "read the secret", "GetSecretValue", map[string]any{"SecretId": id, "VersionStage": current}, &v); err != nil {
		return v, err
	}
	switch {
	case v.VersionID == "":
		return v, errors.New("read the secret: the answer names no version")
	case v.String == nil:
		return v, errors.New("read the secret: it is binary, and quell writes text")
	}
	return v, nil
}

// field is the entry's value in a secret.
func (secretsManager) field(p place, v version) (string, map[string]json.RawMessage, error) {
	if p.name == wholeSecret {
		return *v.String, nil, nil
	}
	var all map[string]json.RawMessage
	var value string
	if json.Unmarshal([]byte(*v.String), &all) != nil || json.Unmarshal(all[p.name], &value) != nil {
		return "", nil, fmt.Errorf("the secret is no JSON object with a text %s (hint: #%s names a secret that is the value itself)", p.name, wholeSecret)
	}
	return value, all, nil
}

func (s secretsManager) held(ctx context.Context, p place) (string, error) {
	v, err := s.get(ctx, p)
	if err != nil {
		return "", err
	}
	value, _, err := s.field(p, v)
	return value, err
}

func (s secretsManager) put(ctx context.Context, p place, leaked, fresh credential.Secret) error {
	v, err := s.get(ctx, p)
	if err != nil {
		return err
	}
	value, all, err := s.field(p, v)
	if err != nil {
		return err
	}
	switch now := credential.NewSecretString(value); {
	case now.Equal(fresh):
		return nil
	case !now.Equal(leaked):
		return errOther
	}
	text := reveal(fresh)
	if all != nil {
		if all[p.name], err = json.Marshal(text); err != nil {
			return errors.New("write the secret: the value can't be encoded")
		}
		b, err := json.Marshal(all)
		if err != nil {
			return errors.New("write the secret: the value can't be encoded")
		}
		text = string(b)
	}
	token := make([]byte, 16)
	_, _ = rand.Read(token) // it never fails: https://pkg.go.dev/crypto/rand#Read
	_, id := s.secret(p)
	var made version
	if err := s.call(ctx, p, "write the secret", "PutSecretValue", map[string]any{"SecretId": id, "SecretString": text, "ClientRequestToken": hex.EncodeToString(token), "VersionStages": []string{pending}}, &made); err != nil {
		return err
	}
	if made.VersionID == "" || made.VersionID == v.VersionID {
		return errors.New("write the secret: the answer names no new version")
	}
	return s.call(ctx, p, "make the new version current", "UpdateSecretVersionStage", map[string]any{"SecretId": id, "VersionStage": current, "MoveToVersionId": made.VersionID, "RemoveFromVersionId": v.VersionID}, nil)
}
