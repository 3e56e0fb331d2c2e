package systems

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners/ci"
)

// bitbucket reads Bitbucket Pipelines (developer.atlassian.com/cloud/bitbucket/rest).
func bitbucket() System {
	return System{Name: "bitbucket", Target: "WORKSPACE[/REPO]…", About: "Bitbucket Pipelines: logs of all steps", Address: "https://api.bitbucket.org", API: "2.0/",
		TokenEnv: []string{"BITBUCKET_TOKEN", "BITBUCKET_ACCESS_TOKEN", "BITBUCKET_API_TOKEN", "BITBUCKET_APP_PASSWORD"}, UserEnv: []string{"BITBUCKET_USERNAME", "BITBUCKET_EMAIL"},
		Auth: func(user string, token rules.Secret) func(context.Context, http.Header) error {
			if user != "" {
				return ci.Basic(user, token)
			}
			return ci.Header("Authorization", "Bearer ", token)
		}, NoArtifacts: "Bitbucket's API does not give the artifacts of pipelines", Check: words("WORKSPACE[/REPO]"), list: listBitbucket, clones: cloneBitbucket, gitUser: bucketUser}
}

// bucketUser is the name that git sends (support.atlassian.com: using access tokens, using API
// tokens): the API takes an API token with its owner's mail address, which git does not.
func bucketUser(user string) string {
	switch {
	case user == "":
		return "x-token-auth" // an access token
	case strings.Contains(user, "@"):
		return "x-bitbucket-api-token-auth"
	}
	return user
}

type bucketRepository struct {
	Slug, Name string
	HasWiki    bool `json:"has_wiki"`
}

// cloneBitbucket lists the repositories of a target with their wikis, and a workspace's snippets.
func cloneBitbucket(s *scan, target string, yield func(ci.Repository) bool) error {
	workspace, repo, one := strings.Cut(target, "/")
	host := s.web()
	if host.Host == "api.bitbucket.org" {
		host.Host = "bitbucket.org"
	}
	ended := false
	add := func(list []bucketRepository) (bool, error) {
		for _, r := range list {
			slug := cmp.Or(r.Slug, r.Name)
			name := workspace + "/" + ci.Clean(slug)
			ended = !yield(ci.Repository{Name: name, URL: host.JoinPath(workspace, url.PathEscape(slug)+".git")}) ||
				r.HasWiki && !yield(ci.Repository{Name: name + ".wiki", URL: host.JoinPath(workspace, url.PathEscape(slug)+".git", "wiki"), Optional: true})
			if ended {
				return true, nil
			}
		}
		return false, nil
	}
	if one {
		var r bucketRepository
		if _, err := s.get(&r, []string{"repositories", workspace, repo}); err != nil {
			return err
		}
		_, err := add([]bucketRepository{r})
		return err
	}
	var failed []error
	if err := bucketPages(s, s.url([]string{"repositories", workspace}, "pagelen", "100"), add); err != nil {
		failed = append(failed, s.unlisted(target, err))
	}
	if ended || s.ctx.Err() != nil {
		return errors.Join(failed...)
	}
	err := bucketPages(s, s.url([]string{"snippets", workspace}, "pagelen", "100"), func(list []struct {
		ID    string
		Links struct{ Clone []struct{ Name, Href string } }
	}) (bool, error) {
		for _, x := range list {
			name := workspace + "/snippets/" + ci.Clean(x.ID)
			i := slices.IndexFunc(x.Links.Clone, func(l struct{ Name, Href string }) bool { return strings.HasPrefix(l.Name, "http") })
			if i < 0 {
				failed = append(failed, s.unlisted(name, errors.New("the snippet has no address")))
				continue
			}
			u, err := url.Parse(x.Links.Clone[i].Href)
			if err != nil || u.Host == "" || !ci.Private(u) {
				failed = append(failed, s.unlisted(name, errors.New("the snippet has no address")))
				continue
			}
			u.User = nil
			if !yield(ci.Repository{Name: name, URL: u}) {
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil && !ci.Is404(err) && !ci.IsGone(err) {
		failed = append(failed, s.unlisted(workspace+"/snippets", err))
	}
	return errors.Join(failed...)
}

type bucketPage[T any] struct {
	Values []T
	Next   string
}

// bucketPages calls each for the pages of a list.
func bucketPages[T any](s *scan, u *url.URL, each func([]T) (end bool, err error)) error {
	for {
		var page bucketPage[T]
		if _, err := s.read(u, &page); err != nil {
			return err
		}
		end, err := each(page.Values)
		if err != nil || end || page.Next == "" {
			return err
		}
		to, err := u.Parse(page.Next)
		if err != nil || to.String() == u.String() {
			return fmt.Errorf("the address of the next page can't be read")
		}
		u = to
	}
}

func listBitbucket(s *scan, target string) error {
	workspace, repo, one := strings.Cut(target, "/")
	if one {
		return s.concerning(target, bucketRepo(s, workspace, repo))
	}
	n := 0
	err := bucketPages(s, s.url([]string{"repositories", workspace}, "pagelen", "100"), func(list []struct{ Slug, Name string }) (bool, error) {
		for _, r := range list {
			slug := r.Slug
			if slug == "" {
				slug = r.Name
			}
			n++
			if err := s.concerning(workspace+"/"+slug, bucketRepo(s, workspace, slug)); err != nil {
				return true, err
			}
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("the list of repositories: %w", err)
	}
	return s.none(target, n)
}

type bucketPipeline struct {
	UUID      string
	Number    int64  `json:"build_number"`
	CreatedOn string `json:"created_on"`
	State     struct{ Name string }
}

func bucketRepo(s *scan, workspace, repo string) error {
	if s.Run != "" {
		var p bucketPipeline
		if _, err := s.get(&p, []string{"repositories", workspace, repo, "pipelines", s.Run}); err != nil {
			return fmt.Errorf("pipeline %s: %w", s.Run, err)
		}
		return bucketSteps(s, workspace, repo, p)
	}
	c := chooser{Options: s.Options}
	u := s.url([]string{"repositories", workspace, repo, "pipelines", ""}, "sort", "-created_on", "pagelen", "100")
	err := bucketPages(s, u, func(list []bucketPipeline) (bool, error) {
		old := 0
		for _, p := range list {
			if s.again(workspace + "/" + repo + "/" + p.UUID) {
				continue
			}
			yes, end := c.take(parseTime(p.CreatedOn))
			if end {
				return true, nil
			}
			if !yes {
				old++
				continue
			}
			if err := s.concerning(fmt.Sprintf("%s/%s/pipelines/%s", workspace, repo, bucketRun(p)), bucketSteps(s, workspace, repo, p)); err != nil {
				return true, err
			}
		}
		return c.enough(len(list), old), nil
	})
	if err != nil {
		return fmt.Errorf("the list of pipelines: %w", err)
	}
	return nil
}

func bucketRun(p bucketPipeline) string {
	if p.Number > 0 {
		return strconv.FormatInt(p.Number, 10)
	}
	return strings.Trim(p.UUID, "{}")
}

func bucketSteps(s *scan, workspace, repo string, p bucketPipeline) error {
	base := []string{"repositories", workspace, repo, "pipelines", p.UUID, "steps"}
	at := s.at(fmt.Sprintf("%s/%s/pipelines/%s", workspace, repo, bucketRun(p)))
	at.Run, at.Origin = bucketRun(p), s.origin("repositories", workspace, repo, "pipelines", bucketRun(p))
	open := p.State.Name != "" && p.State.Name != "COMPLETED"
	err := bucketPages(s, s.url(append(base[:6:6], ""), "pagelen", "100"), func(list []struct {
		UUID, Name string
		State      struct {
			Name   string
			Result struct{ Name string }
		}
	}) (bool, error) {
		for _, x := range list {
			if waits(x.State.Name) || waits(x.State.Result.Name) {
				continue
			}
			here := at
			here.Step = x.Name
			here.Path = fmt.Sprintf("%s/steps/%s.log", at.Path, ci.Clean(strings.Trim(x.UUID, "{}")))
			key := "step/" + p.UUID + x.UUID
			if !ended(x.State.Name) || open {
				key = ""
			}
			// The API answers 406 to a wish for JSON.
			if err := s.item(ci.Item{At: here, Key: key, Fetch: s.download(s.url(append(base[:6:6], x.UUID, "log")), "application/octet-stream")}); err != nil {
				return true, err
			}
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("the list of steps: %w", err)
	}
	if open {
		return s.notEnded(at, "the pipeline has not ended: it may write more")
	}
	return nil
}
