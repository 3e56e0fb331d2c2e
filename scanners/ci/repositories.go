package ci

import (
	"context"
	"encoding/base64"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/git"
)

// Repository is one that a system hosts.
type Repository struct {
	// Name is the beginning of the findings' paths.
	Name string
	URL  *url.URL
	// Optional is set for a wiki: the system does not report whether it was ever written.
	Optional bool
}

// Sources implements scanners.Session: the repositories, each with all refs that the server
// shows, those of pull and merge requests too.
func (s *session) Sources(ctx context.Context) iter.Seq2[scanners.Source, error] {
	return func(yield func(scanners.Source, error) bool) {
		for _, src := range s.imageSources() {
			if !yield(src, nil) {
				return
			}
		}
		if s.Repositories == nil {
			return
		}
		end := false
		err := s.repositories(ctx, func(r Repository) bool {
			remote := &git.Remote{URL: r.URL, Cache: s.Cache, Getenv: func(name string) string {
				if !s.Client.ownHost(r.URL) {
					return ""
				}
				user, token := s.Client.login(ctx)
				switch name {
				case "QUELL_GIT_TOKEN":
					return token
				case "QUELL_GIT_USER":
					if s.GitUser != nil {
						return s.GitUser(user)
					}
				}
				return ""
			}}
			src := &hosted{Source: &git.Source{Dir: r.URL.String(), Remote: remote, Memory: s.Memory}, Repository: r}
			end = !yield(src, nil)
			return !end
		})
		var refused *Unauthorized
		if errors.As(err, &refused) && s.read.Load() == 0 && !end {
			yield(nil, &scanners.Fatal{Err: refused})
			return
		}
		if end {
			return
		}
		for _, err := range each(err) {
			var gap scanners.Gap
			if errors.As(err, &gap) {
				gap.Err = clean(gap.Err)
			} else {
				gap = scanners.Gap{Reason: "the list of repositories", Err: clean(err)}
			}
			if !yield(nil, gap) {
				return
			}
		}
	}
}

// each returns the errors that errors.Join combined.
func each(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// repositories calls Repositories. A panic in it, but not one in yield, is an error.
func (s *session) repositories(ctx context.Context, yield func(Repository) bool) (err error) {
	outside := false
	defer func() {
		if outside {
			return // the caller's, which passes on
		}
		if x := recover(); x != nil {
			err = internal(x)
		}
	}()
	return s.Repositories(ctx, func(r Repository) bool {
		outside = true
		more := yield(r)
		outside = false
		return more
	})
}

// ownHost reports whether the repositories at u belong to the named address: the same scheme,
// host and port; for GitHub's and Bitbucket's own servers, whose API is at api.HOST, also HOST.
func (c *Client) ownHost(u *url.URL) bool {
	if c.named(u) {
		return true
	}
	host := c.Base.Hostname()
	return u.Scheme == "https" && c.Base.Scheme == "https" && u.Port() == "" && c.Base.Port() == "" && "api."+u.Hostname() == host && (host == "api.github.com" || host == "api.bitbucket.org" || strings.HasSuffix(host, ".ghe.com"))
}

// login gives the credential as git sends it, and its user if the API gets one; an empty token:
// there is none.
func (c *Client) login(ctx context.Context) (user, token string) {
	if c.Auth == nil {
		return "", ""
	}
	h := http.Header{}
	if c.Auth(ctx, h) != nil {
		return "", ""
	}
	if v := h.Get("Private-Token"); v != "" {
		return "", v
	}
	kind, v, _ := strings.Cut(h.Get("Authorization"), " ")
	if !strings.EqualFold(kind, "Basic") {
		return "", v
	}
	b, err := base64.StdEncoding.DecodeString(v)
	if err != nil {
		return "", ""
	}
	user, token, _ = strings.Cut(string(b), ":")
	return user, token
}

// hosted is a repository of a system: its findings name it.
type hosted struct {
	*git.Source
	Repository
}

// Open implements scanners.Source.
func (h *hosted) Open(ctx context.Context) (scanners.Session, error) {
	s, err := h.Source.Open(ctx)
	return &hostedSession{s, h.Repository}, err
}

type hostedSession struct {
	scanners.Session
	Repository
}

// Artifacts implements scanners.Session.
func (h *hostedSession) Artifacts(ctx context.Context) iter.Seq2[scanners.Artifact, error] {
	return func(yield func(scanners.Artifact, error) bool) {
		for a, err := range h.Session.Artifacts(ctx) {
			if h.Optional && errors.Is(err, transport.ErrRepositoryNotFound) {
				continue
			}
			if !yield(a, err) {
				return
			}
		}
	}
}

// Attribute implements scanners.Session.
func (h *hostedSession) Attribute(ctx context.Context, findings []*rules.Finding) error {
	err := h.Session.Attribute(ctx, findings)
	for _, f := range findings {
		notes := map[string]string{}
		for k, v := range f.Location.Notes {
			notes[k] = v
		}
		notes["repository"] = h.Name
		if nested := f.Location.Notes["repository"]; nested != "" {
			notes["repository"] += "/" + nested
		}
		f.Location.Notes = notes
		if f.Location.Path != "" {
			f.Location.Path = h.Name + "/" + f.Location.Path
		}
	}
	return err
}
