package run

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/vault"
	"github.com/quellhq/quell/rules/credential"
	"github.com/quellhq/quell/scanners"
)

// vaultTime bounds a login at a Vault, and a read of a reference.
const vaultTime = 30 * time.Second

// signIn signs in at each Vault that the policy has a login for. quell's own
// sessions end with Close.
func (r *Runtime) signIn(i *issuer.Instance) error {
	if i.Login == nil || !i.Admin.IsZero() || r.options.Offline {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), vaultTime)
	defer cancel()
	s, err := vault.Login(ctx, r.Doer, i, r.options.Getenv)
	if err != nil {
		return fmt.Errorf("policy: instance %s: %w", i.Host(), err)
	}
	i.Admin = s.Token
	r.sessions = append(r.sessions, s)
	r.Redactor.Add(s.Token)
	return nil
}

// fromVault resolves mount/path#field at the policy's one Vault, or
// //HOST/mount/path#field at the one of that host.
func (r *Runtime) fromVault(vaults issuer.Instances, ref string) (credential.Secret, error) {
	if r.options.Offline {
		return credential.Secret{}, errors.New("--offline forbids to read a secret from Vault (hint: leave it out)")
	}
	var fit issuer.Instances
	host, rest, named := "", ref, false
	if after, ok := strings.CutPrefix(ref, "//"); ok {
		host, rest, named = strings.Cut(after, "/")
		if !named {
			return credential.Secret{}, errors.New("a secret in a certain Vault is named as vault://HOST/mount/path#field")
		}
	}
	for _, v := range vaults {
		if !named || strings.EqualFold(v.Host(), host) {
			fit = append(fit, v)
		}
	}
	switch {
	case len(fit) == 0 && named:
		return credential.Secret{}, errors.New("the policy names no Vault of the host in the reference")
	case len(fit) == 0:
		return credential.Secret{}, errors.New("a secret is named in Vault, and the policy names no Vault before it (hint: an [[instance]] with provider = \"vault\")")
	case len(fit) > 1:
		return credential.Secret{}, errors.New("a secret is named in Vault, and the policy names several (hint: vault://HOST/mount/path#field)")
	}
	if err := r.signIn(fit[0]); err != nil {
		return credential.Secret{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), vaultTime)
	defer cancel()
	s, err := vault.Read(ctx, r.Doer, fit[0], rest)
	if err == nil {
		r.Redactor.Add(s)
	}
	return s, err
}

// secret resolves a reference of the policy.
func (r *Runtime) secret(ref string) (credential.Secret, error) {
	at, ok := strings.CutPrefix(ref, "vault:")
	if !ok {
		return config.ReadSecret(ref, r.options.Getenv)
	}
	return r.fromVault(r.Instances.Of("vault"), at)
}

// Secret resolves a reference to a secret: env:NAME, file:PATH, or vault:MOUNT/PATH#FIELD in a
// Vault of the policy. The redactor removes it from everything that leaves the process.
func (r *Runtime) Secret(ref string) (credential.Secret, error) {
	s, err := r.secret(ref)
	if err == nil {
		r.Redactor.Add(s)
	}
	return s, err
}

// referred are the secrets that environment variables name by file:PATH or vault:…: like secrets
// in the environment itself they are never killed. One that can't be read is an error
// of the command that needs it.
func (r *Runtime) referred(names []string) (out []credential.Secret) {
	for _, n := range names {
		v := strings.TrimSpace(r.options.Getenv(n))
		if strings.HasPrefix(v, "file:") || strings.HasPrefix(v, "vault:") && !r.options.Offline {
			if s, err := r.Secret(v); err == nil {
				out = append(out, s)
			}
		}
	}
	return out
}

// managed finds where the policy's Vaults keep credentials. What could not be searched
// is a notice that makes the plan incomplete.
func (r *Runtime) managed(ctx context.Context, creds []credential.Credential) (out map[string][]string, least map[string]string) {
	out, least = map[string][]string{}, map[string]string{}
	if r.options.Offline {
		return out, least
	}
	for _, v := range r.Instances {
		if v.Managed == nil {
			continue
		}
		find := vault.Finder{Doer: r.Doer}
		places, err := find.Find(ctx, v, creds)
		uses, err2 := find.Uses(ctx, v, creds)
		for fp, u := range uses {
			least[fp] = strings.TrimPrefix(least[fp]+"\n"+u.Policy(), "\n")
		}
		if err = errors.Join(err, err2); err != nil {
			r.Unread(report.Notice{Kind: scanners.GapUnreadable, Path: v.Host(), Message: fmt.Sprintf("the search in the Vault %s is not complete: %v", v.Host(), err)})
			r.unsearched++
		}
		for _, p := range places {
			out[p.Fingerprint] = append(out[p.Fingerprint], p.Where)
		}
	}
	return out, least
}

// Unsearched is the number of Vaults in which a plan's search was not complete.
func (r *Runtime) Unsearched() int { return r.unsearched }

// Close ends the sessions that quell opened at Vaults.
func (r *Runtime) Close(ctx context.Context) error {
	var errs []error
	for _, s := range r.sessions {
		errs = append(errs, s.End(ctx))
	}
	r.sessions = nil
	return errors.Join(errs...)
}
