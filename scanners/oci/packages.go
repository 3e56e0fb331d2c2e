package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// repositories lists the repositories of a registry whose name begins with below: from the
// catalog if the registry grants access to one, otherwise from its forge's package list.
func (v *visit) repositories(reg name.Registry, below string) ([]string, error) {
	all, err := v.catalog(reg)
	if err == nil || errors.Is(err, errEndless) {
		var out []string
		for _, r := range all {
			if strings.HasPrefix(r, below) {
				out = append(out, r)
			}
		}
		return out, err
	}
	owner, rest, _ := strings.Cut(below, "/")
	if owner == "" {
		return nil, fmt.Errorf("its repositories can't be listed: %w", clean(err))
	}
	names, perr := v.packages(reg, owner)
	if perr != nil {
		return nil, fmt.Errorf("its repositories can't be listed: %w; nor its packages: %w", clean(err), perr)
	}
	var out []string
	for _, n := range names {
		if strings.HasPrefix(n, rest) {
			out = append(out, strings.ToLower(owner)+"/"+n)
		}
	}
	return out, nil
}

// packages lists an owner's images at the registry's forge: at GitHub
// (docs.github.com/rest/packages) for ghcr.io, otherwise by the API of Gitea and Forgejo on the
// registry's host.
func (v *visit) packages(reg name.Registry, owner string) ([]string, error) {
	auth, err := authn.DefaultKeychain.Resolve(reg)
	if err != nil {
		return nil, clean(err)
	}
	login, err := auth.Authorization()
	if err != nil {
		return nil, clean(err)
	}
	base := reg.Scheme() + "://" + reg.RegistryStr()
	bearer := login.RegistryToken
	if reg.RegistryStr() == "ghcr.io" {
		base = "https://api.github.com"
		bearer = login.Password
	}
	base = strings.TrimSuffix(v.s.forge(base), "/")
	type answer []struct {
		Name string `json:"name"`
	}
	ask := func(path string) (out []string, err error) {
		const perPage, mostPages = 50, 400
		seen := map[string]bool{} // Gitea lists each version of a package
		for page := 1; page <= mostPages; page++ {
			req, err := http.NewRequestWithContext(v.ctx, http.MethodGet, fmt.Sprintf("%s%s&per_page=%d&limit=%d&page=%d", base, path, perPage, perPage, page), nil)
			if err != nil {
				return nil, err
			}
			switch {
			case bearer != "":
				req.Header.Set("Authorization", "Bearer "+bearer)
			case login.Username != "":
				req.SetBasicAuth(login.Username, login.Password)
			}
			// Don't follow redirects: the credential is for this host only.
			c := &http.Client{Transport: v.s.way(), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			resp, err := c.Do(req)
			if err != nil {
				return nil, clean(err)
			}
			b, err := io.ReadAll(io.LimitReader(resp.Body, 32<<20))
			resp.Body.Close()
			if err != nil {
				return nil, err
			}
			if resp.StatusCode == http.StatusNotFound {
				return nil, errNoOwner
			}
			var list answer
			if resp.StatusCode != http.StatusOK || json.Unmarshal(b, &list) != nil {
				return nil, fmt.Errorf("the forge answers %d", resp.StatusCode)
			}
			for _, p := range list {
				if !seen[p.Name] {
					seen[p.Name] = true
					out = append(out, p.Name)
				}
			}
			if len(list) < perPage {
				return out, nil
			}
		}
		return nil, errEndless
	}
	who := url.PathEscape(owner)
	if reg.RegistryStr() != "ghcr.io" {
		return ask("/api/v1/packages/" + who + "?type=container")
	}
	out, err := ask("/orgs/" + who + "/packages?package_type=container")
	if errors.Is(err, errNoOwner) {
		out, err = ask("/users/" + who + "/packages?package_type=container")
	}
	return out, err
}

var errNoOwner = errors.New("the forge knows no such owner")

// forge returns the base URL of the forge's API.
func (s *session) forge(base string) string {
	if s.Forge != "" {
		return s.Forge
	}
	return base
}

// mirrored returns the reference at the mirror that the operator named for its registry.
func (s *session) mirrored(ref name.Reference) (name.Reference, bool) {
	to, ok := s.Mirrors[ref.Context().RegistryStr()]
	if !ok {
		return ref, false
	}
	sep := ":"
	if _, digest := ref.(name.Digest); digest {
		sep = "@"
	}
	m, err := name.ParseReference(strings.TrimSuffix(to, "/") + "/" + ref.Context().RepositoryStr() + sep + ref.Identifier())
	return m, err == nil
}

// get reads a manifest, from the mirror first if there is one.
func (s *session) get(ctx context.Context, ref name.Reference) (name.Reference, *remote.Descriptor, error) {
	if m, ok := s.mirrored(ref); ok {
		if d, err := remote.Get(m, options(ctx, s.way())...); err == nil {
			return m, d, nil
		}
	}
	d, err := remote.Get(ref, options(ctx, s.way())...)
	return ref, d, err
}
