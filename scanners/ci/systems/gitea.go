package systems

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/ci"
)

// gitea reads Gitea's and Forgejo's Actions (the server's own /api/swagger).
func gitea() System {
	return System{Name: "gitea", Target: "OWNER[/REPO]…", About: "Gitea and Forgejo: logs of the jobs of workflow runs, and artifacts", AddressEnv: []string{"GITEA_SERVER_URL", "GITEA_URL"}, API: "api/v1/",
		TokenEnv: []string{"GITEA_TOKEN", "FORGEJO_TOKEN"}, Auth: func(_ string, token rules.Secret) func(context.Context, http.Header) error {
			return ci.Header("Authorization", "token ", token)
		}, Check: words("OWNER[/REPO]"), list: listGitea, clones: cloneGitea, packages: packagesGitea, page: pageGitea}
}

const giteaPage = 50

func listGitea(s *scan, target string) error {
	n, err := giteaRepos(s, target, func(owner, name string) error {
		return s.concerning(owner+"/"+name, giteaRepo(s, owner, name))
	})
	if err != nil {
		return err
	}
	return s.none(target, n)
}

func cloneGitea(s *scan, target string, yield func(ci.Repository) bool) error {
	_, err := giteaRepos(s, target, func(owner, name string) error {
		full := owner + "/" + name
		if !yield(ci.Repository{Name: full, URL: s.web(owner, name+".git")}) || !yield(ci.Repository{Name: full + ".wiki", URL: s.web(owner, name+".wiki.git"), Optional: true}) {
			return errEnd
		}
		return nil
	})
	if errors.Is(err, errEnd) {
		return nil
	}
	return err
}

// giteaRepos calls each for the repositories of a target, and counts them.
func giteaRepos(s *scan, target string, each func(owner, name string) error) (int, error) {
	owner, name, one := strings.Cut(target, "/")
	if one {
		return 1, each(owner, name)
	}
	type repo struct {
		Name     string
		FullName string `json:"full_name"`
	}
	list := func(kind string) (n int, err error) {
		for page := 1; ; page++ {
			var repos []repo
			if _, err := s.get(&repos, []string{kind, owner, "repos"}, "page", strconv.Itoa(page), "limit", strconv.Itoa(giteaPage)); err != nil {
				return n, err
			}
			fresh := 0
			for _, r := range repos {
				if s.again("repository " + r.FullName + "/" + r.Name) {
					continue
				}
				fresh++
				n++
				if err := each(owner, r.Name); err != nil {
					return n, err
				}
			}
			if fresh == 0 {
				return n, nil
			}
		}
	}
	n, err := list("orgs")
	if ci.Is404(err) && n == 0 {
		n, err = list("users")
	}
	return n, err
}

func pageGitea(s *scan, target string, page int) (list []ci.Repo, next int, err error) {
	owner, _, one := strings.Cut(target, "/")
	if one {
		return []ci.Repo{{Name: target}}, 0, nil
	}
	var repos []struct {
		Name    string
		Private *bool
	}
	for _, kind := range []string{"orgs", "users"} {
		if _, err = s.get(&repos, []string{kind, owner, "repos"}, "page", strconv.Itoa(page), "limit", strconv.Itoa(giteaPage)); !ci.Is404(err) {
			break
		}
	}
	if err != nil {
		return nil, 0, fmt.Errorf("the list of repositories: %w", err)
	}
	for _, r := range repos {
		list = append(list, ci.Repo{Name: owner + "/" + r.Name, Public: r.Private != nil && !*r.Private})
	}
	if len(repos) > 0 {
		next = page + 1 // a server may give fewer than it is asked for: the empty page is the last one
	}
	return list, next, nil
}

type giteaRun struct {
	ID         int64
	RunAttempt int    `json:"run_attempt"`
	Status     string // completed, in_progress, queued …
	CreatedAt  string `json:"created_at"`
	StartedAt  string `json:"started_at"`
	HTMLURL    string `json:"html_url"`
}

func giteaRepo(s *scan, owner, name string) error {
	base := []string{"repos", owner, name, "actions"}
	if s.Run != "" {
		var run giteaRun
		if _, err := s.get(&run, append(base[:4:4], "runs", s.Run)); err != nil {
			return fmt.Errorf("run %s: %w", s.Run, err)
		}
		return giteaOne(s, owner, name, run)
	}
	c := chooser{Options: s.Options}
	got := 0
	for page := 1; ; page++ {
		var list struct {
			Runs  []giteaRun `json:"workflow_runs"`
			Total int        `json:"total_count"`
		}
		_, err := s.get(&list, append(base[:4:4], "runs"), "page", strconv.Itoa(page), "limit", strconv.Itoa(giteaPage))
		if err != nil {
			return fmt.Errorf("the list of runs: %w", err)
		}
		old := 0
		got += len(list.Runs)
		for _, run := range list.Runs {
			if s.again(fmt.Sprintf("%s/%s/%d", owner, name, run.ID)) {
				continue
			}
			created := parseTime(run.CreatedAt)
			if created.IsZero() {
				created = parseTime(run.StartedAt)
			}
			if created.Year() < 2000 {
				created = time.Time{} // Gitea's zero time
			}
			yes, end := c.take(created)
			if end {
				return nil
			}
			if !yes {
				old++
				continue
			}
			if err := s.concerning(fmt.Sprintf("%s/%s/actions-run/%d", owner, name, run.ID), giteaOne(s, owner, name, run)); err != nil {
				return err
			}
		}
		if len(list.Runs) == 0 || list.Total > 0 && got >= list.Total || c.enough(len(list.Runs), old) {
			return nil
		}
	}
}

func giteaOne(s *scan, owner, name string, run giteaRun) error {
	base := []string{"repos", owner, name, "actions"}
	id := strconv.FormatInt(run.ID, 10)
	at := s.at(fmt.Sprintf("%s/%s/actions-run/%s", owner, name, id))
	at.Run, at.Origin = id, s.origin(append(base[:4:4], "runs", id)...)
	if run.HTMLURL != "" {
		at.Notes = map[string]string{"url": run.HTMLURL}
	}
	open := !ended(run.Status)
	if s.Logs {
		more, err := giteaJobs(s, append(base[:4:4], "runs", id), owner+"/"+name, at, open)
		if err != nil {
			return err
		}
		open = open || more
	}
	if s.Artifacts {
		if err := giteaArtifacts(s, append(base[:4:4], "runs", id, "artifacts"), owner, name, at); err != nil {
			return err
		}
	}
	if open {
		return s.notEnded(at, "the run has not ended: it may write more")
	}
	return nil
}

func giteaJobs(s *scan, base []string, repo string, at rules.Location, open bool) (more bool, err error) {
	got := 0
	for page := 1; ; page++ {
		var list struct {
			Jobs []struct {
				ID         int64
				Name       string
				Status     string
				Conclusion string
				RunAttempt int    `json:"run_attempt"`
				StartedAt  string `json:"started_at"`
			}
			Total int `json:"total_count"`
		}
		if _, err := s.get(&list, append(base[:len(base):len(base)], "jobs"), "page", strconv.Itoa(page), "limit", strconv.Itoa(giteaPage)); err != nil {
			return more, fmt.Errorf("the list of jobs: %w", err)
		}
		got += len(list.Jobs)
		for _, j := range list.Jobs {
			if waits(j.Status) || waits(j.Conclusion) || j.Status == "queued" {
				more = more || waits(j.Status) && !waits(j.Conclusion) || j.Status == "queued"
				continue
			}
			here := at
			here.Job, here.Attempt = j.Name, max(j.RunAttempt, 1)
			here.Path = fmt.Sprintf("%s/attempt-%d/%d_%s.log", at.Path, here.Attempt, j.ID, ci.Clean(j.Name))
			key := fmt.Sprintf("%s/job/%d/%d", repo, j.ID, here.Attempt)
			if !ended(j.Status) || open {
				key = ""
				more = more || !ended(j.Status)
			}
			owner, name, _ := strings.Cut(repo, "/")
			err := s.item(ci.Item{At: here, Key: key, Fetch: s.download(s.url([]string{"repos", owner, name, "actions", "jobs", strconv.FormatInt(j.ID, 10), "logs"}), "")})
			if err != nil {
				return more, err
			}
			for n := here.Attempt - 1; n >= 1; n-- {
				// The API has the log of a job's last attempt alone.
				earlier := here
				earlier.Attempt = n
				earlier.Path = fmt.Sprintf("%s/attempt-%d/%d_%s.log", at.Path, n, j.ID, ci.Clean(j.Name))
				if !s.Gap(earlier, scanners.OfKind(scanners.GapNotFetched, fmt.Errorf("the server's API does not give the logs of earlier attempts"))) {
					return more, errEnd
				}
			}
		}
		if len(list.Jobs) == 0 || got >= list.Total {
			return more, nil
		}
	}
}

func giteaArtifacts(s *scan, base []string, owner, name string, at rules.Location) error {
	got := 0
	for page := 1; ; page++ {
		var list struct {
			Artifacts []struct {
				ID      int64
				Name    string
				Expired bool
			}
			Total int `json:"total_count"`
		}
		if _, err := s.get(&list, base, "page", strconv.Itoa(page), "limit", strconv.Itoa(giteaPage)); err != nil {
			return fmt.Errorf("the list of artifacts: %w", err)
		}
		got += len(list.Artifacts)
		for _, a := range list.Artifacts {
			here := at
			here.Source, here.Path = "artifact", at.Path+"/artifacts/"+ci.Clean(a.Name)
			here.Origin = s.origin("repos", owner, name, "actions", "artifacts", strconv.FormatInt(a.ID, 10))
			if a.Expired {
				if !s.Gap(here, ci.ErrExpired) {
					return errEnd
				}
				continue
			}
			u := s.url([]string{"repos", owner, name, "actions", "artifacts", strconv.FormatInt(a.ID, 10), "zip"})
			if err := s.item(ci.Item{At: here, Key: fmt.Sprintf("%s/%s/artifact/%d", owner, name, a.ID), Fetch: s.download(u, "")}); err != nil {
				return err
			}
		}
		if len(list.Artifacts) == 0 || got >= list.Total {
			return nil
		}
	}
}
