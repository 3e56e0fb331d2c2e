package policy

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// Instances are the issuers of a run: those of the providers' files, and the operator's, with
// their secrets read. missing decides about a secret that can't be read: a run that kills needs
// it, a run that only probes does not. sole names providers of which the operator has no server
// of their own. Instances of Vault are built first, and passed to vault with each reference
// into a Vault.
func (p *Policy) Instances(set *rules.Set, sole []string, getenv func(string) string, vault func(vaults issuer.Instances, ref string) (credential.Secret, error), missing func(error) error) (issuer.Instances, error) {
	var out issuer.Instances
	for _, id := range slices.Sorted(maps.Keys(set.Providers)) {
		for _, h := range set.Providers[id].Asked {
			out = append(out, &issuer.Instance{Provider: id, URL: &url.URL{Scheme: "https", Host: h}, Public: true, HasPublic: true, Sole: slices.Contains(sole, id)})
		}
	}
	named := make(issuer.Instances, len(p.Instance))
	var vaults issuer.Instances
	for _, first := range []bool{true, false} {
		for n, i := range p.Instance {
			if first != (i.Provider == vaultProvider) {
				continue
			}
			if set.Providers[i.Provider] == nil {
				return nil, fmt.Errorf("policy: instance %d: no provider has the id that it names (hint: quell providers lists them)", n+1)
			}
			if i.Revocation != "" && !slices.Contains(set.Revocations(i.Provider), i.Revocation) {
				return nil, fmt.Errorf("policy: instance %d: revocation is none that a rule of %s has (hint: %s)", n+1, i.Provider, strings.Join(set.Revocations(i.Provider), ", "))
			}
			in, err := i.build(func(ref string) (credential.Secret, error) {
				if at, ok := strings.CutPrefix(ref, "vault:"); ok {
					return vault(vaults, at)
				}
				return config.ReadSecret(ref, getenv)
			}, missing)
			if err != nil {
				return nil, err
			}
			hosts := set.Providers[i.Provider].Hosts
			in.HasPublic, in.Public = len(hosts) > 0, slices.Contains(hosts, in.URL.Hostname())
			// An operator without a server of their own has only the public one.
			in.Sole = in.Sole || in.Public && slices.Contains(sole, i.Provider)
			named[n] = in
			if first {
				vaults = append(vaults, in)
			}
		}
	}
	return append(out, named...), nil
}

// vaultProvider is the id of the provider whose instances keep secrets.
const vaultProvider = "vault"

func (i Instance) build(secret func(ref string) (credential.Secret, error), missing func(error) error) (*issuer.Instance, error) {
	u, err := url.Parse(strings.TrimRight(i.URL, "/"))
	if err != nil {
		return nil, errors.New("policy: an instance has no URL")
	}
	in := &issuer.Instance{
		Provider: i.Provider,
		URL:      u,
		Operator: true,
		Own:      i.Own,
		Sole:     i.Elsewhere != nil && !*i.Elsewhere,
		Cookie:   i.Cookie,
		Settle:   time.Duration(i.Settle),
		ClientID: i.ClientID,
		Settings: map[string]string{
			"probe_path": i.ProbePath, "logout_path": i.LogoutPath, "login_path": i.LoginPath,
			"live_marker": i.LiveMarker, "dead_marker": i.DeadMarker, "user": i.User, "namespace": i.Namespace,
			"logout_method": i.LogoutMethod, "csrf": i.CSRF, "csrf_path": i.CSRFPath, "csrf_to": i.CSRFTo, "sessions_table": i.SessionsTable, "revoke_orphan": yes(i.RevokeOrphan),
			issuer.SettingRevocation: i.Revocation,
		},
		Headers: i.Headers,
	}
	read := func(ref string) (credential.Secret, error) {
		s, err := secret(ref)
		if err != nil {
			return s, missing(fmt.Errorf("policy: instance %s: %w", u.Host, err))
		}
		return s, nil
	}
	if in.Admin, err = read(i.Admin); err != nil {
		return nil, err
	}
	if in.SessionsDB, err = read(i.SessionsDB); err != nil {
		return nil, err
	}
	if in.ClientSecret, err = read(i.ClientSecret); err != nil {
		return nil, err
	}
	if in.Controls, err = i.controls(read); err != nil {
		return nil, err
	}
	for _, r := range i.rotates() {
		with, err := r.build(read)
		if err != nil {
			return nil, err
		}
		if with.Rule == "" {
			in.Rotate = with
		} else {
			in.Rotations = append(in.Rotations, with)
		}
	}
	if m := i.Managed; m != nil {
		in.Managed = &issuer.Managed{KV: m.KV, StaticRoles: m.StaticRoles, AppRoles: m.AppRoles, Audit: m.Audit, AuditLog: m.AuditLog}
	}
	if in.Login, err = i.Login.build(read); err != nil {
		return nil, err
	}
	proxy, err := i.proxy(read)
	if err != nil {
		return nil, err
	}
	if in.Network, in.Further, err = i.network(proxy); err != nil {
		return nil, fmt.Errorf("policy: instance %s: %w", u.Host, err)
	}
	return in, nil
}

// yes is a setting of yes or no: empty is no.
func yes(b bool) string {
	if b {
		return "true"
	}
	return ""
}

func (i Instance) controls(read func(string) (credential.Secret, error)) ([]issuer.Control, error) {
	var out []issuer.Control
	s, err := read(i.Control)
	if err != nil {
		return nil, err
	}
	if !s.IsZero() {
		out = append(out, signed(i.Cookie, s))
	}
	for _, c := range i.Controls {
		k := issuer.Control{Rule: c.Rule}
		for name, ref := range c.Parts {
			s, err := read(ref)
			if err != nil {
				return nil, err
			}
			if name == "" || name == "token" {
				k.Secret = s
				continue
			}
			if k.Parts == nil {
				k.Parts = map[string]credential.Secret{}
			}
			k.Parts[name] = s
		}
		if !k.Secret.IsZero() {
			out = append(out, k)
		}
	}
	return out, nil
}

// signed is a control as the header Cookie has it: a session, and after it the
// cookie that signs it, if there is one.
func signed(cookie string, s credential.Secret) issuer.Control {
	v, sig, ok := s.Cut("; " + cookie + rules.SignatureSuffix + "=")
	if cookie == "" || !ok {
		return issuer.Control{Secret: s}
	}
	return issuer.Control{Secret: v, Parts: map[string]credential.Secret{rules.SignaturePart: sig}}
}

// proxy is the URL of the proxy, which may be a secret because it can contain a password.
func (i Instance) proxy(read func(string) (credential.Secret, error)) (credential.Secret, error) {
	if i.Proxy == "" || reference("proxy", i.Proxy) != nil {
		return credential.NewSecretString(i.Proxy), nil
	}
	return read(i.Proxy)
}

func (i Instance) network(proxy credential.Secret) (n issuer.Network, secrets []credential.Secret, err error) {
	if i.CA != "" {
		if n.CA, err = issuer.ReadCA(i.CA); err != nil {
			return n, nil, err
		}
	}
	if i.ClientCert != "" {
		c, err := tls.LoadX509KeyPair(i.ClientCert, i.ClientCert)
		if err != nil {
			return n, nil, errors.New("client_cert: the file that it names does not contain a certificate and its key")
		}
		n.ClientCert = &c
		b, err := os.ReadFile(i.ClientCert)
		if err != nil {
			return n, nil, errors.New("client_cert: the file that it names can't be read")
		}
		for k, rest := pem.Decode(b); k != nil; k, rest = pem.Decode(rest) {
			if strings.HasSuffix(k.Type, "PRIVATE KEY") {
				secrets = append(secrets, credential.NewSecret(bytes.TrimSpace(pem.EncodeToMemory(k))))
			}
		}
	}
	if !proxy.IsZero() {
		u, password, err := issuer.ParseProxy(proxy)
		if err != nil {
			return n, nil, err
		}
		n.Proxy = u
		if !password.IsZero() {
			secrets = append(secrets, password)
		}
	}
	return n, secrets, nil
}
