package vault

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
)

// Rotator replaces a credential that Vault stores. The target's related
// instance "vault" is that Vault; its instance's Rotate selects what to rotate. Each
// kind of secret is a file of this package.
type Rotator struct {
	Doer issuer.Doer
	// Key keys the digests of what the store holds, so that they reveal nothing.
	Key []byte
}

// Orders of steps. A new value is written and its readers observed before the old
// one ends, where both can live at once.
const (
	orderSwap   = 10 // replaces and ends in one: a static role
	orderIssue  = 20
	orderWrite  = 30
	orderReload = 50
	orderEnd    = 60
	orderTokens = 70
	orderAfter  = 90
)

// act is one step with what takes it and what looks at it.
type act struct {
	revokers.Step
	// held returns what the store holds that the step changes; its digest is the
	// mark. mark, if set, replaces that.
	held func(context.Context) (string, error)
	mark func(context.Context) ([]byte, error)
	do   func(context.Context, *credential.Secret) error
	// did reports the state since the mark; nil: Done if what is held has changed.
	did    func(ctx context.Context, mark []byte) (revokers.State, error)
	undo   func(ctx context.Context, mark []byte) error
	grants []Grant
}

// job is one target with its Vault, from which acts are made.
type job struct {
	r    Rotator
	t    revokers.Target
	v    *issuer.Instance
	with *issuer.Rotation
	acts []act
}

func (j *job) add(order int, a act) {
	a.Order = order
	a.Effect.Name = a.Name
	if a.Effect.Header == nil {
		a.Effect.Header = map[string]string{"X-Vault-Token": "{vault.admin}"}
	}
	a.Effect.Elements = []string{j.t.Fingerprint}
	j.acts = append(j.acts, a)
}

// effect is a request to a path of the API, whose segments are given unescaped.
func (j *job) effect(method string, body string, path ...string) revokers.Effect {
	e := revokers.Effect{Method: method, URL: j.v.URL.JoinPath(append([]string{"v1"}, path...)...).String()}
	if body != "" {
		e.Body = []byte(body)
	}
	return e
}

func (j *job) client() (*api.Client, error) { return client(j.r.Doer, j.v, j.v.Admin) }

// read reads a path; an answer without data is an error.
func (j *job) read(ctx context.Context, path string) (map[string]any, error) {
	c, err := j.client()
	if err != nil {
		return nil, err
	}
	s, err := c.Logical().ReadWithContext(ctx, path)
	if err != nil || s == nil || len(s.Data) == 0 {
		return nil, reason("read "+path, err)
	}
	return s.Data, nil
}

// write writes to a path and returns the data of the answer, which may be empty.
func (j *job) write(ctx context.Context, path string, body map[string]any) (map[string]any, error) {
	c, err := j.client()
	if err != nil {
		return nil, err
	}
	s, err := c.Logical().WriteWithContext(ctx, path, body)
	if err != nil {
		return nil, reason("write "+path, err)
	}
	if s == nil {
		return nil, nil
	}
	return s.Data, nil
}

// list lists the keys below a path. Vault answers 404 about a path without any.
func (j *job) list(ctx context.Context, path string) ([]string, error) {
	c, err := j.client()
	if err != nil {
		return nil, err
	}
	status := 0
	s, err := withStatus(c, &status).Logical().ListWithContext(ctx, path)
	switch {
	case err != nil:
		return nil, reason("list "+path, err)
	case s == nil && status == http.StatusNotFound:
		return nil, nil
	case s == nil:
		return nil, reason("list "+path, nil)
	}
	keys, ok := s.Data["keys"].([]any)
	if !ok {
		return nil, reason("list "+path, nil)
	}
	out := make([]string, 0, len(keys))
	for _, k := range keys {
		out = append(out, text(k))
	}
	return out, nil
}

// checked is a step that is done once Vault shows it: an empty answer, or that of a
// proxy, is no sign that anything happened.
func checked(do func(context.Context) error, did func(context.Context, []byte) (revokers.State, error)) func(context.Context, *credential.Secret) error {
	return func(ctx context.Context, _ *credential.Secret) error {
		if err := do(ctx); err != nil {
			return err
		}
		switch state, err := did(ctx, nil); {
		case err != nil:
			return err
		case state != revokers.Done:
			return errors.New("the request was accepted, and Vault does not show that it did anything")
		}
		return nil
	}
}

// tag names what quell issues for this incident. It is a digest, so that it does
// not link the fingerprint to the secret.
func (j *job) tag() string {
	return hex.EncodeToString(j.r.digest("tag", j.t.Fingerprint)[:12])
}

// tagKey is the metadata key of the tag.
const tagKey = "quell_incident"

func (r Rotator) job(t revokers.Target) (*job, error) {
	v, err := vaultOf(t)
	if err != nil {
		return nil, err
	}
	j := &job{r: r, t: t, v: v, with: t.Instance.Rotate}
	for _, add := range []func() error{j.static, j.root, j.approle, j.reissue, j.kv, j.userpass, j.reload, j.lease, j.pki, j.transit, j.entity, j.accessors, j.destroy} {
		if err := add(); err != nil {
			return nil, err
		}
	}
	if len(j.acts) == 0 && len(j.with.Stores) == 0 {
		return nil, errors.New("the policy names nothing to rotate")
	}
	seen := map[string]bool{}
	for _, a := range j.acts {
		if seen[a.Name] {
			return nil, fmt.Errorf("the rotation has the step %s twice (hint: [[instance.rotations]] with a rule each)", a.Name)
		}
		seen[a.Name] = true
	}
	slices.SortStableFunc(j.acts, func(a, b act) int { return a.Order - b.Order })
	return j, nil
}

func vaultOf(t revokers.Target) (*issuer.Instance, error) {
	v := t.Related["vault"]
	switch {
	case t.Instance.Rotate == nil:
		return nil, errors.New("the policy names nothing to rotate")
	case v == nil:
		return nil, errors.New("the policy names no Vault instance " + t.Instance.Rotate.Vault)
	case v.Admin.IsZero():
		return nil, fmt.Errorf("the Vault instance %s has neither admin nor login", v.Host())
	}
	return v, nil
}

// Steps implements revokers.Rotator.
func (r Rotator) Steps(_ context.Context, t revokers.Target) ([]revokers.Step, error) {
	j, err := r.job(t)
	if err != nil {
		return nil, err
	}
	out := make([]revokers.Step, len(j.acts))
	for i, a := range j.acts {
		out[i] = a.Step
	}
	return out, nil
}

func (r Rotator) act(t revokers.Target, s revokers.Step) (act, error) {
	j, err := r.job(t)
	if err != nil {
		return act{}, err
	}
	for _, a := range j.acts {
		if a.Name == s.Name {
			return a, nil
		}
	}
	return act{}, fmt.Errorf("the policy no longer has the step %s", s.Name)
}

func (r Rotator) digest(value, at string) []byte {
	m := hmac.New(sha256.New, r.Key)
	fmt.Fprintf(m, "%d:%s%s", len(value), value, at)
	return m.Sum(nil)
}

// Mark implements revokers.Rotator.
func (r Rotator) Mark(ctx context.Context, t revokers.Target, s revokers.Step) ([]byte, error) {
	a, err := r.act(t, s)
	if err != nil {
		return nil, err
	}
	if a.mark != nil {
		return a.mark(ctx)
	}
	if a.held == nil {
		return nil, nil
	}
	v, err := a.held(ctx)
	if err != nil {
		return nil, err
	}
	return r.digest(v, ""), nil
}

// Do implements revokers.Rotator.
func (r Rotator) Do(ctx context.Context, t revokers.Target, s revokers.Step, fresh *credential.Secret) error {
	a, err := r.act(t, s)
	if err != nil {
		return err
	}
	if fresh == nil {
		fresh = &credential.Secret{}
	}
	if s.Needs && fresh.IsZero() {
		return fmt.Errorf("%s: the new secret is not known (%w)", s.Name, revokers.ErrRefused)
	}
	return a.do(ctx, fresh)
}

// Did implements revokers.Rotator.
func (r Rotator) Did(ctx context.Context, t revokers.Target, s revokers.Step, mark []byte) (revokers.State, error) {
	a, err := r.act(t, s)
	if err != nil {
		return revokers.Unsure, err
	}
	switch {
	case a.did != nil:
		return a.did(ctx, mark)
	case a.held == nil:
		return revokers.Unsure, nil
	}
	v, err := a.held(ctx)
	if err != nil {
		return revokers.Unsure, err
	}
	if hmac.Equal(mark, r.digest(v, "")) {
		return revokers.NotDone, nil
	}
	return revokers.Done, nil
}

// Undo implements revokers.Rotator.
func (r Rotator) Undo(ctx context.Context, t revokers.Target, s revokers.Step, mark []byte) error {
	a, err := r.act(t, s)
	if err != nil {
		return err
	}
	if a.undo == nil {
		return errors.New("nothing to undo: Vault itself holds what it issued")
	}
	return a.undo(ctx, mark)
}

// named splits mount/name at the last slash. Neither may climb, and a name that
// would be empty or another path of the API is refused.
func named(what, s string) (mount, name string, err error) {
	s = strings.Trim(s, "/")
	i := strings.LastIndexByte(s, '/')
	if i <= 0 || !clean(s) {
		return "", "", fmt.Errorf("%s %q is not mount/name", what, s)
	}
	return s[:i], s[i+1:], nil
}

// clean reports whether a path of the API is written plainly: no empty or dot
// segments, and nothing that a URL takes for something else.
func clean(s string) bool {
	for _, p := range strings.Split(s, "/") {
		if p == "" || p == "." || p == ".." {
			return false
		}
	}
	return !strings.ContainsAny(s, "?#%*+\\\"") && !strings.ContainsFunc(s, func(r rune) bool { return r < 0x21 || r == 0x7f })
}

const put = http.MethodPut
