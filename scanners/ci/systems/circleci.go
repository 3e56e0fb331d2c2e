package systems

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners/ci"
)

// circleci reads CircleCI: pipelines and workflows by API v2, the output of steps by v1.1, since
// v2 has none.
func circleci() System {
	return System{Name: "circleci", Target: "gh/ORG[/REPO]…", About: "CircleCI: commands and output of the steps of all jobs with reruns, and artifacts", Address: "https://circleci.com", API: "api/",
		AddressEnv: []string{"CIRCLECI_URL"}, TokenEnv: []string{"CIRCLECI_TOKEN", "CIRCLE_TOKEN", "CIRCLECI_CLI_TOKEN"},
		Auth: func(_ string, token rules.Secret) func(context.Context, http.Header) error {
			return ci.Header("Circle-Token", "", token)
		}, Check: func(target string, o ci.Options) error {
			if err := words("VCS/ORG[/REPO]")(target, ci.Options{}); err != nil {
				return err
			}
			return nil
		}, list: listCircle}
}

type circleList[T any] struct {
	Items []T
	Next  string `json:"next_page_token"`
}

type circlePipeline struct {
	ID          string
	Number      int64
	State       string
	ProjectSlug string `json:"project_slug"`
	CreatedAt   string `json:"created_at"`
}

func listCircle(s *scan, target string) error {
	parts := strings.Split(target, "/")
	if s.Run != "" {
		var p circlePipeline
		if _, err := s.get(&p, []string{"v2", "pipeline", s.Run}); err != nil {
			return err
		}
		return circlePipelineOf(s, target, p)
	}
	path, query := []string{"v2", "pipeline"}, []string{"org-slug", target}
	if len(parts) == 3 {
		path, query = append([]string{"v2", "project"}, append(parts, "pipeline")...), nil
	}
	choosers := map[string]*chooser{}
	for token := ""; ; {
		var page circleList[circlePipeline]
		if _, err := s.get(&page, path, append(query[:len(query):len(query)], "page-token", token)...); err != nil {
			return fmt.Errorf("the list of pipelines: %w", err)
		}
		old, done := 0, 0
		for _, p := range page.Items {
			if s.again(p.ID) {
				continue
			}
			slug := p.ProjectSlug
			if slug == "" {
				slug = target
			}
			c := choosers[slug]
			if c == nil {
				c = &chooser{Options: s.Options}
				choosers[slug] = c
			}
			yes, end := c.take(parseTime(p.CreatedAt))
			if end {
				done++
				continue
			}
			if !yes {
				old++
				continue
			}
			if err := s.concerning(slug+"/pipelines/"+p.ID, circlePipelineOf(s, slug, p)); err != nil {
				return err
			}
		}
		if page.Next == "" || len(page.Items) == 0 || page.Next == token || old == len(page.Items) || len(parts) == 3 && done > 0 {
			return nil
		}
		token = page.Next
	}
}

func circlePipelineOf(s *scan, slug string, p circlePipeline) error {
	at := s.at(slug + "/pipelines/" + p.ID)
	at.Run, at.Origin = p.ID, s.origin("api", "v2", "pipeline", p.ID)
	attempts := map[string]int{}
	type workflow struct{ ID, Name, Status string }
	var flows []workflow
	for token := ""; ; {
		var page circleList[workflow]
		if _, err := s.get(&page, []string{"v2", "pipeline", p.ID, "workflow"}, "page-token", token); err != nil {
			return fmt.Errorf("the list of workflows: %w", err)
		}
		flows = append(flows, page.Items...)
		if page.Next == "" || page.Next == token {
			break
		}
		token = page.Next
	}
	open := false
	for k := len(flows) - 1; k >= 0; k-- { // the newest is first; a rerun is a workflow of the same name
		w := flows[k]
		attempts[w.Name]++
		open = open || !ended(w.Status)
		for token := ""; ; {
			var page circleList[circleJob]
			if _, err := s.get(&page, []string{"v2", "workflow", w.ID, "job"}, "page-token", token); err != nil {
				return fmt.Errorf("the list of jobs: %w", err)
			}
			for _, j := range page.Items {
				if j.Number == 0 || waits(j.Status) {
					continue // an approval, or a job that did not run
				}
				here := at
				here.Path = fmt.Sprintf("%s/jobs/%d", at.Path, j.Number)
				here.Job, here.Attempt = j.Name, attempts[w.Name]
				if err := circleJobOf(s, slug, j, here); err != nil {
					return err
				}
				open = open || !ended(j.Status)
			}
			if page.Next == "" || page.Next == token {
				break
			}
			token = page.Next
		}
	}
	if open {
		return s.notEnded(at, "the pipeline has not ended: it may write more")
	}
	return nil
}

type circleJob struct {
	Number       int64 `json:"job_number"`
	Name, Status string
}

func circleJobOf(s *scan, slug string, j circleJob, at rules.Location) error {
	if s.seen[slug+"#"+strconv.FormatInt(j.Number, 10)] { // a rerun from failed lists what it did not run again
		return nil
	}
	s.seen[slug+"#"+strconv.FormatInt(j.Number, 10)] = true
	key := fmt.Sprintf("%s/%d", slug, j.Number)
	if !ended(j.Status) {
		key = ""
	}
	if s.Logs {
		here := at
		here.Path += "/output.zip"
		err := s.item(ci.Item{At: here, Key: key, Read: readSteps, Fetch: func(ctx context.Context) (*ci.Blob, error) { return circleOutput(ctx, s, slug, j) }})
		if err != nil {
			return err
		}
	}
	if !s.Artifacts {
		return nil
	}
	parts := strings.Split(slug, "/")
	for token := ""; ; {
		var page circleList[struct {
			Path, URL string
			NodeIndex int `json:"node_index"`
		}]
		if _, err := s.get(&page, append(append([]string{"v2", "project"}, parts...), strconv.FormatInt(j.Number, 10), "artifacts"), "page-token", token); err != nil {
			return s.concerning(at.Path+"/artifacts", fmt.Errorf("the list of artifacts: %w", err))
		}
		for _, a := range page.Items {
			here := at
			here.Source, here.Path = "artifact", fmt.Sprintf("%s/artifacts/%d/%s", at.Path, a.NodeIndex, strings.Trim(strings.ReplaceAll(a.Path, "..", "_"), "/"))
			u, err := url.Parse(a.URL)
			if err != nil {
				return err
			}
			k := ""
			if key != "" {
				k = fmt.Sprintf("%s/artifact/%d/%s", key, a.NodeIndex, a.Path)
			}
			if err := s.item(ci.Item{At: here, Key: k, Fetch: func(ctx context.Context) (*ci.Blob, error) { return s.Storage(ctx, u) }}); err != nil {
				return err
			}
		}
		if page.Next == "" || page.Next == token {
			return nil
		}
		token = page.Next
	}
}

// circleOutput gets the commands and the output of a job. The addresses of outputs are signed.
func circleOutput(ctx context.Context, s *scan, slug string, j circleJob) (*ci.Blob, error) {
	parts := strings.Split(slug, "/")
	switch parts[0] {
	case "gh":
		parts[0] = "github"
	case "bb":
		parts[0] = "bitbucket"
	}
	var build struct {
		Steps []struct {
			Name    string
			Actions []struct {
				Name        string
				BashCommand string `json:"bash_command"`
				OutputURL   string `json:"output_url"`
				Truncated   bool
			}
		}
	}
	if err := s.decode(ctx, s.url(append(append([]string{"v1.1", "project"}, parts...), strconv.FormatInt(j.Number, 10))), &build); err != nil {
		return nil, err
	}
	var list []step
	for _, x := range build.Steps {
		for _, a := range x.Actions {
			var b strings.Builder
			if a.BashCommand != "" {
				b.WriteString(a.BashCommand + "\n")
			}
			if a.OutputURL != "" {
				u, err := url.Parse(a.OutputURL)
				if err != nil {
					return nil, errors.New("the output's address can't be read")
				}
				out, err := s.Storage(ctx, u)
				if err != nil {
					return nil, fmt.Errorf("the output of step %q: %w", a.Name, err)
				}
				text, err := whole(out)
				_ = out.Close()
				if err != nil {
					return nil, err
				}
				message, err := circleMessages(text)
				if err != nil {
					return nil, err
				}
				b.WriteString(message)
			}
			name := a.Name
			if name == "" {
				name = x.Name
			}
			list = append(list, step{job: j.Name, name: name, text: []byte(b.String()), cut: a.Truncated})
		}
	}
	return s.steps(list)
}

// circleMessages joins the messages of an output: their bounds may be anywhere in a line.
func circleMessages(text []byte) (string, error) {
	var list []struct{ Message string }
	if err := json.Unmarshal(text, &list); err != nil {
		return "", errors.New("the output is not the JSON that CircleCI documents")
	}
	var b strings.Builder
	for _, m := range list {
		b.WriteString(m.Message)
	}
	return b.String(), nil
}
