package removal

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quellhq/quell/scanners/ci"
)

// run holds GitHub's fields of a workflow run.
type run struct {
	ID           int64     `json:"id"`
	Event        string    `json:"event"`
	HeadBranch   string    `json:"head_branch"`
	CreatedAt    time.Time `json:"created_at"`
	UpdatedAt    time.Time `json:"updated_at"`
	PullRequests []pull    `json:"pull_requests"`
	Actor        struct {
		Login string `json:"login"`
	} `json:"actor"`
}

// pull is a pull request that a run is of.
type pull struct {
	Number int `json:"number"`
	Base   struct {
		Repo struct {
			URL string `json:"url"`
		} `json:"repo"`
	} `json:"base"`
}

// entry is one of a list of caches.
type entry struct {
	ID        int64     `json:"id"`
	Ref       string    `json:"ref"`
	Key       string    `json:"key"`
	Version   string    `json:"version"`
	CreatedAt time.Time `json:"created_at"`
	Size      int64     `json:"size_in_bytes"`
}

// after is how long after the end of a run its caches may be listed as created.
const after = 5 * time.Minute

// runOf reads the run of a removal of its logs; nil: it is of another kind.
func (s *Server) runOf(ctx context.Context, r *Removal) (*run, error) {
	if s.System != "github" || r.words["#run"] == "" {
		return nil, nil
	}
	var x run
	if _, err := s.Client.JSON(ctx, s.Client.At(r.words.path("repos/:o/:r/actions/runs/#run")...), &x); err != nil {
		return nil, fmt.Errorf("run %s: %w", r.words["#run"], err)
	}
	if strconv.FormatInt(x.ID, 10) != r.words["#run"] {
		return nil, fmt.Errorf("run %s: the server answers with another one", r.words["#run"])
	}
	// The number of a pull request into another repository, as a fork's runs have, is that of
	// something else here.
	repository := s.Client.At(r.words.path("repos/:o/:r")...).String()
	x.PullRequests = slices.DeleteFunc(x.PullRequests, func(p pull) bool { return !strings.EqualFold(p.Base.Repo.URL, repository) })
	return &x, nil
}

// refs are those under which a run stores caches.
func (x *run) refs() (out []string) {
	for _, p := range x.PullRequests {
		out = append(out, fmt.Sprintf("refs/pull/%d/merge", p.Number))
	}
	if x.HeadBranch != "" && x.Event != "pull_request" {
		out = append(out, "refs/heads/"+x.HeadBranch)
	}
	return out
}

// Caches gives the removals of the caches that were stored while the run of r, a removal of its
// logs, went on, under its branch. GitHub does not report which run stored a cache, and has no
// request for its content.
func (s *Server) Caches(ctx context.Context, r *Removal) (out []*Removal, err error) {
	x, err := s.runOf(ctx, r)
	if x == nil || err != nil {
		return nil, err
	}
	for _, ref := range x.refs() {
		list, err := s.caches(ctx, r, ref)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			if e.CreatedAt.Before(x.CreatedAt) || e.CreatedAt.After(x.UpdatedAt.Add(after)) {
				continue
			}
			id := strconv.FormatInt(e.ID, 10)
			parts := append(r.words.path("repos/:o/:r/actions/caches"), id)
			out = append(out, s.cache(s.Client.Origin(s.System, parts...), r.words, id, e.Key))
		}
	}
	return out, nil
}

func (s *Server) cache(origin string, w values, id, key string) *Removal {
	return &Removal{System: s.System, Kind: Caches, Origin: origin, What: fmt.Sprintf("cache %s of %s/%s, %q", id, w[":o"], w[":r"], key), Method: "DELETE",
		URL: s.Client.At(append(w.path("repos/:o/:r/actions/caches"), id)...).String(), words: w, cache: id}
}

// Cache gives the removal of a cache at an origin.
func (s *Server) Cache(origin string) (*Removal, error) {
	parts, ok := s.Client.Below(origin[len(System(origin))+1:])
	w, ok2 := match("repos/:o/:r/actions/caches/#id", parts)
	if System(origin) != s.System || s.System != "github" || !ok || !ok2 {
		return nil, &Unsupported{origin, "it is no cache at the address that you named"}
	}
	return s.cache(origin, w, w["#id"], ""), nil
}

// caches lists the caches of a ref; empty: of all.
func (s *Server) caches(ctx context.Context, r *Removal, ref string) (out []entry, err error) {
	for page := 1; ; page++ {
		var list struct {
			Caches []entry `json:"actions_caches"`
			Total  int     `json:"total_count"`
		}
		u := s.Client.At(r.words.path("repos/:o/:r/actions/caches")...)
		q := u.Query()
		q.Set("per_page", "100")
		q.Set("page", strconv.Itoa(page))
		if ref != "" {
			q.Set("ref", ref)
		}
		u.RawQuery = q.Encode()
		if _, err := s.Client.JSON(ctx, u, &list); err != nil {
			return nil, fmt.Errorf("the list of caches: %w", err)
		}
		out = append(out, list.Caches...)
		if len(list.Caches) == 0 || len(out) >= list.Total {
			return out, nil
		}
	}
}

// cacheEntry is the copy of a cache: GitHub gives its entry in the list and no content. The error
// is ci.ErrExpired if the list does not have it.
func (s *Server) cacheEntry(ctx context.Context, r *Removal) (*ci.Blob, error) {
	list, err := s.caches(ctx, r, "")
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		if strconv.FormatInt(e.ID, 10) == r.cache {
			b, err := json.Marshal(e)
			if err != nil {
				return nil, err
			}
			return s.Client.NewBlob(bytes.NewReader(b))
		}
	}
	return nil, ci.ErrExpired
}

// Comments gives the addresses of the comments of the pull requests that the run of r belongs
// to, and the login of who started it.
func (s *Server) Comments(ctx context.Context, r *Removal) (addresses []string, actor string, err error) {
	x, err := s.runOf(ctx, r)
	if x == nil || err != nil {
		return nil, "", err
	}
	for _, p := range x.PullRequests {
		addresses = append(addresses, s.Client.At(append(r.words.path("repos/:o/:r/issues"), strconv.Itoa(p.Number), "comments")...).String())
	}
	return addresses, x.Actor.Login, nil
}
