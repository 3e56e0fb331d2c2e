package systems

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners/ci"
)

// travis reads Travis CI's API of version 3 (developer.travis-ci.com).
func travis() System {
	return System{Name: "travis", Target: "OWNER[/REPO]", About: "Travis CI: logs of the jobs of builds", Address: "https://api.travis-ci.com", AddressEnv: []string{"TRAVIS_ENDPOINT"},
		TokenEnv: []string{"TRAVIS_TOKEN", "TRAVIS_API_TOKEN"}, Auth: func(_ string, token rules.Secret) func(context.Context, http.Header) error {
			auth := ci.Header("Authorization", "token ", token)
			return func(ctx context.Context, h http.Header) error {
				h.Set("Travis-API-Version", "3")
				return auth(ctx, h)
			}
		}, NoArtifacts: "Travis CI uploads artifacts to the owner's own storage", Check: words("OWNER[/REPO]"), list: listTravis}
}

type travisPage struct {
	Pagination struct {
		IsLast bool `json:"is_last"`
		Limit  int
		Offset int
		Count  int
	} `json:"@pagination"`
}

func (p travisPage) last(n int) bool {
	return n == 0 || p.Pagination.IsLast || p.Pagination.Count > 0 && p.Pagination.Offset+n >= p.Pagination.Count
}

func listTravis(s *scan, target string) error {
	if strings.Contains(target, "/") {
		return travisRepo(s, target)
	}
	n := 0
	for offset := 0; ; {
		var page struct {
			travisPage
			Repositories []struct{ Slug string }
		}
		if _, err := s.get(&page, []string{"owner", target, "repos"}, "limit", "100", "offset", strconv.Itoa(offset)); err != nil {
			return fmt.Errorf("the list of repositories: %w", err)
		}
		for _, r := range page.Repositories {
			n++
			if err := s.concerning(r.Slug, travisRepo(s, r.Slug)); err != nil {
				return err
			}
		}
		offset += len(page.Repositories)
		if page.last(len(page.Repositories)) {
			return s.none(target, n)
		}
	}
}

func travisRepo(s *scan, slug string) error {
	if s.Run != "" {
		return travisBuild(s, slug, s.Run, "")
	}
	c := chooser{Options: s.Options}
	for offset := 0; ; {
		var page struct {
			travisPage
			Builds []struct {
				ID        int64
				State     string
				StartedAt string `json:"started_at"`
				CreatedAt string `json:"created_at"`
			}
		}
		if _, err := s.get(&page, []string{"repo", slug, "builds"}, "limit", "100", "offset", strconv.Itoa(offset), "sort_by", "id:desc"); err != nil {
			return fmt.Errorf("the list of builds: %w", err)
		}
		old := 0
		for _, b := range page.Builds {
			id := strconv.FormatInt(b.ID, 10)
			if s.again(slug + "/" + id) {
				continue
			}
			created := parseTime(b.CreatedAt)
			if created.IsZero() {
				created = parseTime(b.StartedAt)
			}
			yes, end := c.take(created)
			if end {
				return nil
			}
			if !yes {
				old++
				continue
			}
			if err := s.concerning(slug+"/builds/"+id, travisBuild(s, slug, id, b.State)); err != nil {
				return err
			}
		}
		offset += len(page.Builds)
		if page.last(len(page.Builds)) || c.enough(len(page.Builds), old) {
			return nil
		}
	}
}

func travisBuild(s *scan, slug, id, state string) error {
	var list struct {
		Jobs []struct {
			ID            int64
			Number, State string
			FinishedAt    string `json:"finished_at"`
		}
	}
	if _, err := s.get(&list, []string{"build", id, "jobs"}); err != nil {
		return err
	}
	at := s.at(slug + "/builds/" + id)
	at.Run = id
	open := !ended(state)
	for _, j := range list.Jobs {
		if waits(j.State) || j.State == "queued" || j.State == "received" {
			open = true
			continue
		}
		here := at
		here.Path, here.Job = fmt.Sprintf("%s/jobs/%d.log", at.Path, j.ID), j.Number
		here.Origin = s.origin("job", strconv.FormatInt(j.ID, 10), "log")
		// A job that is restarted keeps its id.
		key := "job/" + strconv.FormatInt(j.ID, 10) + "/" + j.FinishedAt
		if !ended(j.State) {
			key, open = "", true
		}
		if err := s.item(ci.Item{At: here, Key: key, Fetch: s.download(s.url([]string{"job", strconv.FormatInt(j.ID, 10), "log.txt"}), "text/plain")}); err != nil {
			return err
		}
	}
	if open {
		return s.notEnded(at, "the build has not ended: it may write more")
	}
	return nil
}
