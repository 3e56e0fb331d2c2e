// Package stores writes a replacement to further places that builds read it from. It
// passes through memory only. Each kind of store is a file.
package stores

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/aws"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
)

// Rotator writes to the stores of a rotation, which are named as
// KIND:PLACE#NAME. The target's related instance of the kind is the operator's login
// there.
type Rotator struct {
	Doer issuer.Doer
	Key  []byte // keys the digests of what stores hold
}

// store is one kind.
type store interface {
	// effect is the request that writes, as a plan shows it.
	effect(p place) revokers.Effect
	// held returns what the store shows that a write changes.
	held(ctx context.Context, p place) (string, error)
	// put writes the new value. A store that can be read refuses if it holds neither
	// the leaked nor the new value.
	put(ctx context.Context, p place, leaked, fresh credential.Secret) error
}

// place is one entry of a store.
type place struct {
	call
	path, name string
}

// call sends requests to the store's instance.
type call struct {
	doer issuer.Doer
	at   *issuer.Instance
}

func kinds() map[string]store {
	return map[string]store{"github": github{}, "gitlab": gitlab{}, "kubernetes": kubernetes{}, "aws": secretsManager{}}
}

// providers are the ids of the providers whose instances are servers of a kind.
func providers(kind string) []string {
	if kind == "kubernetes" {
		return []string{"kubernetes", "kubernetes-bootstrap"}
	}
	return []string{kind}
}

// order is the place of the writes among the steps of Vault: after KV.
const order = 40

// parse reads KIND:PLACE#NAME.
func (r Rotator) parse(t revokers.Target, s string) (kind string, st store, p place, err error) {
	kind, rest, _ := strings.Cut(s, ":")
	path, name, ok := strings.Cut(rest, "#")
	st = kinds()[kind]
	switch {
	case st == nil || !ok || !plain(path) || !plain(name) || strings.Contains(name, "/") || !strings.Contains(path, "/"):
		return "", nil, p, fmt.Errorf("store %q is not github:OWNER/REPO#NAME, gitlab:GROUP/PROJECT#NAME, kubernetes:NAMESPACE/SECRET#KEY or aws:REGION/SECRET#KEY", s)
	}
	if region, name, _ := strings.Cut(path, "/"); kind == "aws" && (!aws.IsRegion(region) || name == "") {
		return "", nil, p, fmt.Errorf("store %q does not begin with a region, as aws:eu-west-1/NAME#KEY", s)
	}
	for _, provider := range providers(kind) {
		if at := t.Related[provider]; at != nil {
			return kind, st, place{call{r.Doer, at}, path, name}, nil
		}
	}
	return "", nil, p, fmt.Errorf("store %q needs exactly one [[instance]] of %s with admin", s, strings.Join(providers(kind), " or "))
}

// plain reports whether a path consists of ordinary segments.
func plain(s string) bool {
	for _, p := range strings.Split(s, "/") {
		if p == "" || p == "." || p == ".." {
			return false
		}
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r == '/' || r == '-' || r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	})
}

// Steps implements revokers.Rotator.
func (r Rotator) Steps(_ context.Context, t revokers.Target) ([]revokers.Step, error) {
	if t.Instance.Rotate == nil {
		return nil, nil
	}
	var out []revokers.Step
	for n, s := range t.Instance.Rotate.Stores {
		kind, st, p, err := r.parse(t, s)
		if err != nil {
			return nil, err
		}
		e := st.effect(p)
		e.Name, e.Elements = fmt.Sprintf("write-%s-%d", kind, n+1), []string{t.Fingerprint}
		out = append(out, revokers.Step{Name: e.Name, Effect: e, Where: s, Needs: true, Repeats: true, Order: order})
	}
	return out, nil
}

func (r Rotator) of(ctx context.Context, t revokers.Target, s revokers.Step) (store, place, error) {
	steps, err := r.Steps(ctx, t)
	if err != nil {
		return nil, place{}, err
	}
	n := slices.IndexFunc(steps, func(x revokers.Step) bool { return x.Name == s.Name })
	if n < 0 {
		return nil, place{}, fmt.Errorf("the policy no longer has the step %s", s.Name)
	}
	_, st, p, err := r.parse(t, t.Instance.Rotate.Stores[n])
	return st, p, err
}

func (r Rotator) digest(s string) []byte {
	m := hmac.New(sha256.New, r.Key)
	m.Write([]byte(s))
	return m.Sum(nil)
}

// Mark implements revokers.Rotator.
func (r Rotator) Mark(ctx context.Context, t revokers.Target, s revokers.Step) ([]byte, error) {
	st, p, err := r.of(ctx, t, s)
	if err != nil {
		return nil, err
	}
	v, err := st.held(ctx, p)
	if err != nil {
		return nil, err
	}
	return r.digest(v), nil
}

// Do implements revokers.Rotator.
func (r Rotator) Do(ctx context.Context, t revokers.Target, s revokers.Step, fresh *credential.Secret) error {
	st, p, err := r.of(ctx, t, s)
	if err != nil {
		return err
	}
	if fresh == nil || fresh.IsZero() || fresh.Equal(t.Secret) {
		return fmt.Errorf("%s: the new value is not known (%w)", s.Name, revokers.ErrRefused)
	}
	return st.put(ctx, p, t.Secret, *fresh)
}

// Did implements revokers.Rotator. A write of the same value again harms nothing, and
// another may have written in between: the step is taken again.
func (r Rotator) Did(ctx context.Context, t revokers.Target, s revokers.Step, _ []byte) (revokers.State, error) {
	if _, _, err := r.of(ctx, t, s); err != nil {
		return revokers.Unsure, err
	}
	return revokers.NotDone, nil
}

// Kept implements revokers.Keeper.
func (r Rotator) Kept(ctx context.Context, t revokers.Target, s revokers.Step) (credential.Secret, error) {
	st, p, err := r.of(ctx, t, s)
	if err != nil {
		return credential.Secret{}, err
	}
	if _, hidden := st.(github); hidden {
		return credential.Secret{}, nil // held is a date
	}
	v, err := st.held(ctx, p)
	if err != nil || v == "" {
		return credential.Secret{}, err
	}
	return credential.NewSecretString(v), nil
}

// Undo implements revokers.Rotator.
func (Rotator) Undo(context.Context, revokers.Target, revokers.Step, []byte) error {
	return errors.New("nothing to undo: no store of builds issues a secret")
}

// do sends a request and reads a JSON answer of one of the statuses into out. Errors
// have the status and nothing of the answer, which may contain the value.
func (c call) do(ctx context.Context, what string, r issuer.Request, out any, statuses ...int) error {
	r.Reads = r.Method == http.MethodGet
	return c.send(ctx, what, r, out, statuses...)
}

// send is do for a request whose method does not show whether it only reads.
func (c call) send(ctx context.Context, what string, r issuer.Request, out any, statuses ...int) error {
	a, err := c.doer.Do(ctx, c.at, r)
	switch {
	case err != nil:
		return fmt.Errorf("%s at %s: %w", what, c.at.Host(), err)
	case !slices.Contains(statuses, a.Status) && a.Status >= 400 && a.Status < 500 && a.Status != http.StatusTooManyRequests:
		return fmt.Errorf("%s at %s: it answers %d (%w)", what, c.at.Host(), a.Status, revokers.ErrRefused)
	case !slices.Contains(statuses, a.Status):
		return fmt.Errorf("%s at %s: it answers %d", what, c.at.Host(), a.Status)
	case out != nil && json.Unmarshal(a.Body, out) != nil:
		return fmt.Errorf("%s at %s: the answer is not what its API documents", what, c.at.Host())
	}
	return nil
}

var errOther = errors.New("it holds neither the leaked value nor the new one: nothing was written")
