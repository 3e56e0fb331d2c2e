// Package natives is the table of what rules files leave to Go, and the one
// place that finds the Verifier, Revoker and Rotator of a target.
package natives

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/aws"
	"github.com/quellhq/quell/revokers/gcp"
	"github.com/quellhq/quell/revokers/interp"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/kubernetes"
	"github.com/quellhq/quell/revokers/oauth"
	"github.com/quellhq/quell/revokers/postgres"
	"github.com/quellhq/quell/revokers/rows"
	"github.com/quellhq/quell/revokers/stores"
	"github.com/quellhq/quell/revokers/vault"
	"github.com/quellhq/quell/rules"
)

// Registry finds what asks about a target, ends it and replaces it. It is a
// revokers.Verifier for all rules.
type Registry struct {
	doer      issuer.Doer
	verifiers map[string]revokers.Verifier
	revokers  map[string]revokers.Revoker
	rotator   revokers.Rotator
}

// Config is what natives are set up from.
type Config struct {
	Doer issuer.Doer
	// Offline forbids natives that bring their own connections to use them.
	Offline bool
	// Key keys digests of what stores hold.
	Key []byte
}

// New makes the registry of one run. A test holds that every native that a
// rules file names is in it, and every native in it is named by a rules file.
func New(c Config) *Registry {
	issuers := &oauth.Issuers{Doer: c.Doer}
	vaults := vault.Rotator{Doer: c.Doer, Key: c.Key}
	return &Registry{
		doer: c.Doer,
		verifiers: map[string]revokers.Verifier{
			"aws-key":                    aws.Key{Doer: c.Doer},
			"google-service-account-key": gcp.Key{Doer: c.Doer},
			"kubernetes-review":          kubernetes.Token{Doer: c.Doer},
			"oauth-jwt":                  oauth.JWT{Issuers: issuers},
			"oauth-token":                oauth.Token{Issuers: issuers},
			"postgres-login":             postgres.Login{Offline: c.Offline},
			"vault-token":                vault.Token{Doer: c.Doer},
			"vault-secret-id":            vault.SecretID{Rotator: vaults},
		},
		revokers: map[string]revokers.Revoker{
			"aws-deactivate":           aws.Status{Doer: c.Doer},
			"aws-deactivate-admin":     aws.Status{Doer: c.Doer, Admin: true},
			"aws-revoke-older":         aws.Older{Doer: c.Doer},
			"cognito-sign-out-user":    aws.SignOutUser{Doer: c.Doer},
			"google-disable-key":       gcp.Disable{Doer: c.Doer},
			"oauth-revoke":             oauth.Revoke{Issuers: issuers},
			"oauth-end-session":        oauth.EndSession{Issuers: issuers},
			"oauth-global":             oauth.Global{Issuers: issuers},
			"vault-revoke-self":        vault.RevokeSelf{Doer: c.Doer},
			"vault-revoke-orphan":      vault.RevokeOrphan{Doer: c.Doer},
			"web-logout":               interp.Logout{Doer: c.Doer, Method: http.MethodPost},
			"web-logout-link":          interp.Logout{Doer: c.Doer, Method: http.MethodGet, CSRF: "link"},
			"web-logout-get":           interp.Logout{Doer: c.Doer, Method: http.MethodGet},
			"kubernetes-delete-secret": kubernetes.DeleteSecret{Doer: c.Doer},
			"session-row":              rows.Delete{Offline: c.Offline},
			"django-row":               rows.Delete{Offline: c.Offline, Table: "django_session", Column: "session_key"},
			"express-row":              rows.Delete{Offline: c.Offline, Table: "session", Column: "sid"},
			// Django compares a cookie with a field and knows neither by itself:
			// https://docs.djangoproject.com/en/stable/ref/csrf/#how-it-works
			"django-logout": interp.Logout{Doer: c.Doer, Method: http.MethodPost, CSRF: "double:csrftoken", To: "form:csrfmiddlewaretoken"},
		},
		rotator: rotators{vaults, stores.Rotator{Doer: c.Doer, Key: c.Key}, postgres.Rotator{Offline: c.Offline}},
	}
}

// Names lists the natives of each kind.
func (r *Registry) Names() (verifiers, enders []string) {
	for n := range r.verifiers {
		verifiers = append(verifiers, n)
	}
	for n := range r.revokers {
		enders = append(enders, n)
	}
	slices.Sort(verifiers)
	slices.Sort(enders)
	return verifiers, enders
}

// verifier finds what asks about credentials of a rule.
func (r *Registry) verifier(rule *rules.Rule) revokers.Verifier {
	switch {
	case rule.Probe == nil:
		return nil
	case rule.Probe.Native != "":
		return r.verifiers[rule.Probe.Native]
	}
	return interp.Probe{Doer: r.doer}
}

// Endpoints implements revokers.Verifier.
func (r *Registry) Endpoints(t revokers.Target) []string {
	if v := r.verifier(t.Rule); v != nil {
		return v.Endpoints(t)
	}
	return nil
}

// Verify implements revokers.Verifier.
func (r *Registry) Verify(ctx context.Context, t revokers.Target, endpoint string) (revokers.Answer, error) {
	v := r.verifier(t.Rule)
	if v == nil {
		return revokers.Answer{}, fmt.Errorf("rule %s has no probe", t.Rule.ID)
	}
	return v.Verify(ctx, t, endpoint)
}

// Revoker finds what ends credentials by one revocation of a rule.
func (r *Registry) Revoker(v *rules.Revoke) (revokers.Revoker, error) {
	if v.Native == "" {
		return interp.Revocation{Doer: r.doer, Revoke: v}, nil
	}
	if n := r.revokers[v.Native]; n != nil {
		return n, nil
	}
	return nil, fmt.Errorf("no native revocation %q", v.Native)
}

// Restorer finds what takes a revocation back, or nil if nothing does.
func (r *Registry) Restorer(v *rules.Revoke) revokers.Restorer {
	if !v.Reversible || v.Restore == nil {
		return nil
	}
	if v.Restore.Native {
		n, _ := r.revokers[v.Native].(revokers.Restorer)
		return n
	}
	if v.Native == "" && v.Restore.Request != nil {
		return interp.Revocation{Doer: r.doer, Revoke: v}
	}
	return nil
}

// Rotator finds what replaces a target, or nil if the policy names no store
// for its instance.
func (r *Registry) Rotator(t revokers.Target) revokers.Rotator {
	if t.Instance.Rotate == nil {
		return nil
	}
	return r.rotator
}

// Choose returns the first revocation of t's rule whose needs the operator's
// settings meet, reversible ones first; otherwise the setting that the last one
// lacks. Where the rule has the revocation that the operator names, it is that or
// none.
func Choose(t revokers.Target) (v *rules.Revoke, missing string) {
	want := t.Instance.Settings[issuer.SettingRevocation]
	named := slices.ContainsFunc(t.Rule.Revokes, func(r rules.Revoke) bool { return r.ID == want })
	for i := range t.Rule.Revokes {
		r := &t.Rule.Revokes[i]
		if named && r.ID != want {
			continue
		}
		if len(r.Only) > 0 && !slices.Contains(r.Only, t.Host()) || !interp.Begins(t, r.Parts) {
			continue
		}
		m, ok := interp.Has(t, r.Needs)
		switch {
		case !ok:
			missing = m
		case v == nil || r.Reversible && !v.Reversible:
			v = r
		}
	}
	if v != nil {
		return v, ""
	}
	return nil, missing
}

// Rights are the least rights of the credential that the setting is, by the first revocation of
// t's rule that needs it.
func Rights(t revokers.Target, setting string) string {
	for _, r := range t.Rule.Revokes {
		if setting != "" && slices.Contains(r.Needs, setting) && interp.Begins(t, r.Parts) {
			return r.Rights
		}
	}
	return ""
}
