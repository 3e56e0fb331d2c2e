package systems

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners/ci"
)

// buildkite reads Buildkite's REST API (buildkite.com/docs/apis/rest-api).
func buildkite() System {
	return System{Name: "buildkite", Target: "ORG[/PIPELINE]…", About: "Buildkite: logs of all jobs with retried ones, and artifacts", Address: "https://api.buildkite.com", API: "v2/",
		AddressEnv: []string{"BUILDKITE_REST_API_ENDPOINT"}, TokenEnv: []string{"BUILDKITE_API_TOKEN", "BUILDKITE_API_ACCESS_TOKEN"}, Auth: bearer, Check: words("ORG[/PIPELINE]"), list: listBuildkite}
}

type kiteBuild struct {
	ID        string
	Number    int64
	State     string
	CreatedAt string `json:"created_at"`
	WebURL    string `json:"web_url"`
	Pipeline  struct{ Slug string }
	Jobs      []kiteJob
}

type kiteJob struct {
	ID, Type, Name, State string
	StepKey               string `json:"step_key"`
	RetriesCount          int    `json:"retries_count"`
	StartedAt             string `json:"started_at"`
}

func listBuildkite(s *scan, target string) error {
	org, slug, one := strings.Cut(target, "/")
	base := []string{"organizations", org}
	if one {
		base = append(base, "pipelines", slug)
	}
	if s.Run != "" {
		var b kiteBuild
		if _, err := s.get(&b, append(base[:len(base):len(base)], "builds", s.Run), "include_retried_jobs", "true"); err != nil {
			return err
		}
		return kiteBuildOf(s, org, slug, b)
	}
	choosers := map[string]*chooser{}
	u := s.url(append(base, "builds"), "per_page", "100", "page", "1", "include_retried_jobs", "true")
	for u != nil {
		var list []kiteBuild
		h, err := s.read(u, &list)
		if err != nil {
			return fmt.Errorf("the list of builds: %w", err)
		}
		old, done, fresh := 0, 0, 0
		for _, b := range list {
			p := b.Pipeline.Slug
			if p == "" {
				p = slug
			}
			if s.again(fmt.Sprintf("%s/%s/%d", org, p, b.Number)) {
				continue
			}
			fresh++
			c := choosers[p]
			if c == nil {
				c = &chooser{Options: s.Options}
				choosers[p] = c
			}
			yes, end := c.take(parseTime(b.CreatedAt))
			if end {
				done++
				continue
			}
			if !yes {
				old++
				continue
			}
			if err := s.concerning(fmt.Sprintf("%s/%s/builds/%d", org, p, b.Number), kiteBuildOf(s, org, p, b)); err != nil {
				return err
			}
		}
		if len(list) == 0 || fresh == 0 || old == len(list) || one && done > 0 {
			return nil
		}
		u = next(h, u)
	}
	return nil
}

func kiteBuildOf(s *scan, org, slug string, b kiteBuild) error {
	n := strconv.FormatInt(b.Number, 10)
	at := s.at(fmt.Sprintf("%s/%s/builds/%s", org, slug, n))
	at.Run = n
	base := []string{"organizations", org, "pipelines", slug, "builds", n}
	jobs, err := kiteJobs(s, base, b.Jobs)
	if err != nil {
		return fmt.Errorf("the list of jobs: %w", err)
	}
	names := map[string]string{}
	places := map[string]rules.Location{}
	open := !ended(b.State)
	for _, j := range jobs {
		if j.Type != "" && j.Type != "script" {
			continue // waits, blocks and triggers have no log
		}
		name := j.Name
		if name == "" {
			name = j.StepKey
		}
		names[j.ID] = name
		here := at
		here.Job, here.Attempt = name, j.RetriesCount+1
		here.Path = at.Path + "/jobs/" + ci.Clean(j.ID)
		places[j.ID] = here
		if !s.Logs || waits(j.State) || j.State == "assigned" || j.State == "accepted" {
			continue
		}
		key := "job/" + j.ID
		if !ended(j.State) {
			key, open = "", true
		}
		here.Path += "/output.log"
		here.Origin = s.origin(append(base[:len(base):len(base)], "jobs", j.ID, "log")...)
		plain := s.url([]string{"organizations", org, "jobs", j.ID, "log.txt"})
		long := s.url(append(base[:len(base):len(base)], "jobs", j.ID, "log.txt"))
		doc := s.url([]string{"organizations", org, "jobs", j.ID, "log"})
		err := s.item(ci.Item{At: here, Key: key, Fetch: func(ctx context.Context) (*ci.Blob, error) { return kiteLog(ctx, s, plain, long, doc) }})
		if err != nil {
			return err
		}
	}
	if s.Artifacts {
		if err := kiteArtifacts(s, base, at, places); err != nil {
			if err := s.concerning(at.Path+"/artifacts", err); err != nil {
				return err
			}
		}
	}
	if open {
		return s.notEnded(at, "the build has not ended: it may write more")
	}
	return nil
}

// kiteJobs lists the jobs of a build with retried ones; have are those that came with the build.
func kiteJobs(s *scan, base []string, have []kiteJob) ([]kiteJob, error) {
	var out []kiteJob
	u := s.url(append(base[:len(base):len(base)], "jobs"), "per_page", "100", "include_retried_jobs", "true")
	for u != nil {
		var list []kiteJob
		h, err := s.read(u, &list)
		if ci.Is404(err) && len(out) == 0 {
			return have, nil // a server without the list: the jobs came with the build
		}
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
		u = next(h, u)
	}
	for _, j := range have {
		known := false
		for _, x := range out {
			known = known || x.ID == j.ID
		}
		if !known {
			out = append(out, j)
		}
	}
	return out, nil
}

// kiteLog gets a job's log as text, by either address, or from the document that quotes it.
func kiteLog(ctx context.Context, s *scan, plain, long, doc *url.URL) (*ci.Blob, error) {
	b, err := s.Client.Download(ctx, plain, "text/plain")
	if ci.Is404(err) {
		b, err = s.Client.Download(ctx, long, "text/plain")
	}
	if !ci.Is404(err) {
		return b, err
	}
	var x struct{ Content string }
	if err := s.decode(ctx, doc, &x); err != nil {
		return nil, err
	}
	return s.NewBlob(strings.NewReader(x.Content))
}

func kiteArtifacts(s *scan, base []string, at rules.Location, jobs map[string]rules.Location) error {
	u := s.url(append(base[:len(base):len(base)], "artifacts"), "per_page", "100")
	for u != nil {
		var list []struct {
			ID, Path, State string
			JobID           string `json:"job_id"`
		}
		h, err := s.read(u, &list)
		if err != nil {
			return fmt.Errorf("the list of artifacts: %w", err)
		}
		for _, a := range list {
			here, ok := jobs[a.JobID]
			if !ok {
				here = at
			}
			here.Origin = s.origin(append(base[:len(base):len(base)], "jobs", a.JobID, "artifacts", a.ID)...)
			here.Source, here.Path = "artifact", here.Path+"/artifacts/"+strings.Trim(strings.ReplaceAll(a.Path, "..", "_"), "/")
			if a.State == "deleted" || a.State == "expired" {
				if !s.Gap(here, ci.ErrExpired) {
					return errEnd
				}
				continue
			}
			u := s.url(append(base[:len(base):len(base)], "jobs", a.JobID, "artifacts", a.ID, "download"))
			if err := s.item(ci.Item{At: here, Key: "artifact/" + a.ID, Fetch: s.download(u, "")}); err != nil {
				return err
			}
		}
		u = next(h, u)
	}
	return nil
}
