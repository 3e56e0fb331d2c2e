// Package removal deletes what CI systems keep of a run into which a credential leaked: logs,
// artifacts and caches. The request is made of a Location's Origin alone, which only a scan of
// the operator's own target sets.
package removal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/ci"
	"github.com/quellhq/quell/scanners/ci/github"
	"github.com/quellhq/quell/scanners/ci/systems"
)

// Kinds of what is deleted.
const (
	Logs      = "logs"
	Artifacts = "artifacts"
	Caches    = "caches"
)

// Kinds lists the kinds.
func Kinds() []string { return []string{Logs, Artifacts, Caches} }

// Server is a CI server that the operator named.
type Server struct {
	System string
	Client *ci.Client
	// Installation reports that the token is a GitHub App's installation.
	Installation bool
	// Run and Attempt are the run of an event of GitHub, and its attempt that ended. They count
	// if the server does not describe the run.
	Run     string
	Attempt int
}

// Removal is one request that deletes something.
type Removal struct {
	System string
	Kind   string
	Origin string // as in rules.Location
	What   string // for people
	Method string
	URL    string
	Takes  string // what it deletes besides what leaked; empty: nothing

	form  form
	words values
	cache string // of the list of caches, instead of a form
}

// Unsupported is the error of an origin at which nothing can be deleted.
type Unsupported struct{ What, Reason string }

func (e *Unsupported) Error() string { return e.What + ": " + e.Reason }

// System gives the system that an origin names; empty: it names none.
func System(origin string) string {
	s, _, _ := strings.Cut(origin, ":")
	return s
}

// Of gives the request that deletes what is at an origin. It sends nothing. The error is
// *Unsupported if the system can't delete it.
func (s *Server) Of(origin string) (*Removal, error) {
	system, address, _ := strings.Cut(origin, ":")
	parts, ok := s.Client.Below(address)
	if system != s.System || !ok {
		return nil, &Unsupported{scanners.Clip(origin, 200), "it is not at the address of " + s.System + " that you named, " + s.Client.Base.String() + " (hint: --url names a self-hosted server)"}
	}
	for _, f := range forms {
		if f.system != system {
			continue
		}
		v, ok := match(f.origin, parts)
		if !ok {
			continue
		}
		what := v.text(f.what)
		if f.none != "" {
			return nil, &Unsupported{what, f.none}
		}
		to := parts
		if f.path != "" {
			to = v.path(f.path)
		}
		u := s.Client.At(to...)
		u.RawQuery = f.query
		return &Removal{System: system, Kind: f.kind, Origin: origin, What: what, Method: f.method, URL: u.String(), Takes: v.text(f.takes), form: f, words: v}, nil
	}
	return nil, &Unsupported{scanners.Clip(origin, 200), "quell knows no way to delete it"}
}

// Copy gives a source of everything that a removal deletes, as it is kept now.
func (s *Server) Copy(r *Removal) (*ci.Source, error) {
	if r.cache != "" {
		return &ci.Source{Client: s.Client, List: func(_ context.Context, l *ci.Lister) error {
			l.Item(ci.Item{At: rules.Location{Source: "artifact", System: s.System, Path: "cache.json", Origin: r.Origin}, Fetch: func(ctx context.Context) (*ci.Blob, error) { return s.cacheEntry(ctx, r) }})
			return nil
		}}, nil
	}
	c := r.form.copies
	if c.target == "" {
		return s.addresses(r), nil
	}
	o := ci.Options{Run: strings.Join(r.words.path(c.run), ""), Logs: c.logs, Artifacts: c.artifacts}
	targets := []string{strings.Join(r.words.path(c.target), "/")}
	if s.System == "github" {
		cfg := github.Config{Client: s.Client, Options: o, Targets: targets, Installation: s.Installation}
		if o.Run == s.Run {
			cfg.Known = s.Attempt
		}
		src, err := github.New(cfg)
		if err != nil {
			return nil, err
		}
		return src.Source, nil
	}
	i := slices.IndexFunc(systems.All(), func(x systems.System) bool { return x.Name == s.System })
	return systems.All()[i].New(s.Client, nil, o, targets)
}

// addresses is a source of a form's addresses. Those after the first need not exist.
func (s *Server) addresses(r *Removal) *ci.Source {
	return &ci.Source{Client: s.Client, List: func(_ context.Context, l *ci.Lister) error {
		for n, from := range r.form.copies.from {
			path, query, _ := strings.Cut(from, "?")
			u := s.Client.At(r.words.path(path)...)
			if strings.Contains(u.Path, "/*zip*/") {
				u.RawPath = strings.Replace(u.EscapedPath(), "/%2Azip%2A/", "/*zip*/", 1)
			}
			if name, value, ok := strings.Cut(query, "="); ok {
				value, rest, _ := strings.Cut(value, "&")
				u.RawQuery = name + "=" + url.QueryEscape(r.words.word(value)) + "&" + rest
			}
			at := rules.Location{Source: "artifact", System: s.System, Path: fmt.Sprintf("%d_%s", n+1, ci.Clean(u.Path[strings.LastIndexByte(u.Path, '/')+1:])), Origin: r.Origin}
			if r.Kind == Logs && n == 0 {
				at.Source = "log"
			}
			more := l.Item(ci.Item{At: at, Fetch: func(ctx context.Context) (*ci.Blob, error) {
				return s.fetch(ctx, r, n, u)
			}})
			if !more {
				return nil
			}
		}
		return nil
	}}
}

// fetch downloads address n of a form. The error is ci.ErrNothing if nothing is stored there that
// need exist, and ci.ErrExpired if it was deleted.
func (s *Server) fetch(ctx context.Context, r *Removal, n int, u *url.URL) (*ci.Blob, error) {
	b, err := s.Client.Download(ctx, u, "")
	switch {
	case err == nil && n == 0 && r.erased(b):
		_ = b.Close()
		if r.form.lacks != nil && !s.lacks(ctx, r, n) {
			return nil, errors.New("the server gives an empty log, and does not state that it was erased")
		}
		return nil, ci.ErrExpired
	case n == 0 || !ci.Is404(err):
		return b, err
	case r.form.lacks != nil && !s.lacks(ctx, r, n):
		return nil, fmt.Errorf("the server answers 404 to %s, which it lists", scanners.Clip(u.Path, 200))
	}
	return nil, ci.ErrNothing
}

// erased reports whether a log is what the server gives for one that it has deleted.
func (r *Removal) erased(b *ci.Blob) bool {
	if r.form.erased == nil || b.Size > maxErased {
		return false
	}
	log, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size))
	return err == nil && r.form.erased(log)
}

// lacks reports whether the parent's document, which must be readable, shows that nothing is
// stored at address n.
func (s *Server) lacks(ctx context.Context, r *Removal, n int) bool {
	u := s.Client.At(r.words.path(r.form.parent)...)
	if s.System == "azure" {
		u.RawQuery = "api-version=7.1"
	}
	var doc json.RawMessage
	if _, err := s.Client.JSON(ctx, u, &doc); err != nil {
		return false
	}
	if r.form.lacks == nil {
		return true
	}
	var fields map[string]json.RawMessage
	return json.Unmarshal(doc, &fields) == nil && r.form.lacks(fields, n)
}

// Gone reports whether an error of a copy means that the thing is no longer stored: the server
// reports that, or answers 404 while the token has access to what it belongs to. read is set if
// this token read the thing before.
func (s *Server) Gone(ctx context.Context, r *Removal, err error, read bool) bool {
	switch {
	case errors.Is(err, ci.ErrExpired), ci.IsGone(err):
		return true
	case !ci.Is404(err), r.form.parent == "", r.form.open && !read:
		return false
	}
	return s.lacks(ctx, r, 0)
}

// Send sends the request, once.
func (s *Server) Send(ctx context.Context, r *Removal) (status int, err error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return 0, errors.New("not an address")
	}
	status, reason, err := s.Client.Change(ctx, r.Method, u, nil)
	switch {
	case err != nil:
		return status, err
	case status >= 200 && status < 300, r.form.found && status == http.StatusFound:
		return status, nil
	case status == http.StatusForbidden:
		return status, fmt.Errorf("the server answers 403 %s (hint: docs/ci.md has the scopes that a deletion needs)", reason)
	}
	return status, fmt.Errorf("the server answers %s %s", strconv.Itoa(status), reason)
}
