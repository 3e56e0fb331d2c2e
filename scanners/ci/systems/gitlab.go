package systems

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners/ci"

	"context"
)

// gitlab reads GitLab (docs.gitlab.com/api) by GitLab's own client.
func gitlab() System {
	return System{Name: "gitlab", Target: "GROUP[/PROJECT]…", About: "GitLab: traces of all jobs with retries and child pipelines, and artifacts",
		Address: "https://gitlab.com", AddressEnv: []string{"CI_API_V4_URL", "GITLAB_URL", "CI_SERVER_URL"}, API: "api/v4/", TokenEnv: []string{"GITLAB_TOKEN"},
		Auth: func(_ string, token rules.Secret) func(context.Context, http.Header) error {
			return ci.Header("Private-Token", "", token)
		},
		Check: func(target string, o ci.Options) error {
			t := strings.Trim(target, "/")
			if t == "" || strings.Contains(t, "//") || strings.Contains(t, "..") {
				return fmt.Errorf("%q is not GROUP or GROUP/PROJECT", target)
			}
			if o.Run != "" && !strings.Contains(t, "/") && !number(t) {
				return fmt.Errorf("--run names a pipeline of one project: GROUP/PROJECT instead of %q", target)
			}
			return nil
		}, list: listGitLab, clones: cloneGitLab, packages: packagesGitLab, page: pageGitLab}
}

func number(s string) bool {
	_, err := strconv.ParseInt(s, 10, 64)
	return err == nil
}

// labScan reads the projects of one target.
type labScan struct {
	*scan
	api      *gl.Client
	projects map[int64]*gl.Project // those within the target
}

// labError turns an error of the client library into one of package ci.
func labError(err error) error {
	var answer *gl.ErrorResponse
	switch {
	case errors.Is(err, gl.ErrNotFound):
		return &ci.StatusError{Code: http.StatusNotFound}
	case errors.As(err, &answer) && answer.Response != nil:
		p := ""
		if answer.Response.Request != nil {
			p = answer.Response.Request.URL.Path
		}
		return &ci.StatusError{Code: answer.Response.StatusCode, Path: p}
	}
	var at *url.Error
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

func newLab(s *scan) (*labScan, error) {
	api, err := gl.NewClient("", gl.WithBaseURL(s.Base.String()), gl.WithHTTPClient(&http.Client{Transport: s.Client}), gl.WithoutRetries(), gl.WithUserAgent("quell"), gl.WithCustomLimiter(unlimited{}))
	if err != nil {
		return nil, err
	}
	return &labScan{s, api, map[int64]*gl.Project{}}, nil
}

func cloneGitLab(s *scan, target string, yield func(ci.Repository) bool) error {
	x, err := newLab(s)
	if err == nil {
		err = x.find(target)
	}
	if err != nil {
		return err
	}
	var failed []error
	for _, p := range x.sorted() {
		if !yield(ci.Repository{Name: p.PathWithNamespace, URL: s.web(p.PathWithNamespace + ".git")}) ||
			!yield(ci.Repository{Name: p.PathWithNamespace + ".wiki", URL: s.web(p.PathWithNamespace + ".wiki.git"), Optional: true}) {
			return nil
		}
		if p.SnippetsAccessLevel == gl.DisabledAccessControl {
			continue
		}
		ended, err := x.snippets(yield, p.PathWithNamespace, func(o gl.ListOptions) ([]*gl.Snippet, *gl.Response, error) {
			return x.api.ProjectSnippets.ListSnippets(p.ID, &gl.ListProjectSnippetsOptions{ListOptions: o}, gl.WithContext(s.ctx))
		})
		if ended {
			return nil
		}
		// A server that does not show whether snippets are switched off answers 403 where they are.
		if err != nil && (p.SnippetsAccessLevel != "" || !ci.Refuses(err)) {
			failed = append(failed, s.unlisted(p.PathWithNamespace+"/snippets", err))
		}
	}
	if err := x.personal(target, yield); err != nil {
		failed = append(failed, s.unlisted(target+"/snippets", err))
	}
	return errors.Join(failed...)
}

// personal lists the snippets of a person that are in no project. The API lists those of the
// token's own user alone.
func (x *labScan) personal(target string, yield func(ci.Repository) bool) error {
	if strings.Contains(target, "/") || number(target) {
		return nil
	}
	me, _, err := x.api.Users.CurrentUser(gl.WithContext(x.ctx))
	if err = labError(err); err != nil && !ci.Refuses(err) {
		return err
	}
	if err != nil || !strings.EqualFold(me.Username, target) {
		return nil // a group's or a project's token has a user of its own
	}
	_, err = x.snippets(yield, target, func(o gl.ListOptions) ([]*gl.Snippet, *gl.Response, error) {
		return x.api.Snippets.ListSnippets(&gl.ListSnippetsOptions{ListOptions: o}, gl.WithContext(x.ctx))
	})
	return err
}

// snippets adds the repositories of a list of snippets. Those of a project are at the project's
// address, and the list of a person's has them too.
func (x *labScan) snippets(yield func(ci.Repository) bool, of string, list func(gl.ListOptions) ([]*gl.Snippet, *gl.Response, error)) (ended bool, err error) {
	err = pages(func(o gl.ListOptions) (*gl.Response, int, error) {
		found, res, err := list(o)
		if err = noNull(found, err); err != nil {
			return res, 0, err
		}
		for _, n := range found {
			id := strconv.FormatInt(n.ID, 10)
			if x.again("snippet " + id) {
				continue
			}
			u := x.web("snippets", id+".git")
			if p := x.projects[n.ProjectID]; p != nil {
				u = x.web(p.PathWithNamespace, "snippets", id+".git")
			} else if n.ProjectID != 0 {
				continue // of a project outside of the target
			}
			if ended = !yield(ci.Repository{Name: of + "/snippets/" + id, URL: u}); ended {
				return res, -1, nil
			}
		}
		return res, len(found), nil
	})
	return ended, err
}

func listGitLab(s *scan, target string) error {
	x, err := newLab(s)
	if err != nil {
		return err
	}
	if err := x.find(target); err != nil {
		return err
	}
	list := x.sorted()
	for _, p := range list {
		if err := s.concerning(p.PathWithNamespace, x.project(p)); err != nil {
			return err
		}
	}
	return s.none(target, len(list))
}

// sorted gives the projects in the order of their ids.
func (x *labScan) sorted() (out []*gl.Project) {
	for _, p := range x.projects {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *gl.Project) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// unlimited leaves limits to ci.Client.
type unlimited struct{}

func (unlimited) Wait(context.Context) error { return nil }

// pages calls list for all pages of a list.
func pages(list func(o gl.ListOptions) (*gl.Response, int, error)) error {
	o := gl.ListOptions{PerPage: 100, Page: 1}
	for {
		res, n, err := list(o)
		if err != nil {
			return labError(err)
		}
		switch {
		case n < 0, res.NextPage == 0 && (n < 100 || res.Header.Get("X-Next-Page") != "" || res.Header.Get("X-Total-Pages") != ""):
			return nil
		case res.NextPage != 0:
			o.Page = res.NextPage
		case n == 0:
			return nil
		default: // a server without the headers
			o.Page++
		}
	}
}

// noNull reports a list that has a null in place of an element; err comes first.
func noNull[T any](list []*T, err error) error {
	if err == nil && slices.Contains(list, nil) {
		return errors.New("a list of the server has a null, which its API does not document")
	}
	return err
}

// find lists the projects of a target: one, a group's with its subgroups', or a person's.
func (x *labScan) find(target string) error {
	with := gl.WithContext(x.ctx)
	if strings.Contains(target, "/") || number(target) {
		p, _, err := x.api.Projects.GetProject(target, nil, with)
		if err == nil {
			x.projects[p.ID] = p
			return nil
		}
		if err = labError(err); !ci.Is404(err) {
			return err
		}
	}
	take := func(list []*gl.Project, res *gl.Response, err error) (*gl.Response, int, error) {
		if err = noNull(list, err); err != nil {
			return res, 0, err
		}
		for _, p := range list {
			x.projects[p.ID] = p
		}
		return res, len(list), nil
	}
	err := pages(func(o gl.ListOptions) (*gl.Response, int, error) {
		return take(x.api.Groups.ListGroupProjects(target, &gl.ListGroupProjectsOptions{ListOptions: o, IncludeSubGroups: gl.Ptr(true), OrderBy: gl.Ptr("id")}, with))
	})
	if ci.Is404(err) && !strings.Contains(target, "/") {
		err = pages(func(o gl.ListOptions) (*gl.Response, int, error) {
			return take(x.api.Projects.ListUserProjects(target, &gl.ListProjectsOptions{ListOptions: o}, with))
		})
	}
	if err != nil {
		return fmt.Errorf("the list of projects: %w", err)
	}
	return nil
}

func pageGitLab(s *scan, target string, page int) (list []ci.Repo, next int, err error) {
	x, err := newLab(s)
	if err != nil {
		return nil, 0, err
	}
	with := gl.WithContext(s.ctx)
	if page == 1 && (strings.Contains(target, "/") || number(target)) {
		p, _, err := x.api.Projects.GetProject(target, nil, with)
		if err == nil {
			return []ci.Repo{{Name: p.PathWithNamespace, Public: p.Visibility == gl.PublicVisibility}}, 0, nil
		}
		if err = labError(err); !ci.Is404(err) {
			return nil, 0, err
		}
	}
	o := gl.ListOptions{PerPage: 100, Page: int64(page)}
	projects, res, err := x.api.Groups.ListGroupProjects(target, &gl.ListGroupProjectsOptions{ListOptions: o, IncludeSubGroups: gl.Ptr(true), OrderBy: gl.Ptr("id")}, with)
	if ci.Is404(labError(err)) && !strings.Contains(target, "/") {
		projects, res, err = x.api.Projects.ListUserProjects(target, &gl.ListProjectsOptions{ListOptions: o}, with)
	}
	if err = noNull(projects, err); err != nil {
		return nil, 0, fmt.Errorf("the list of projects: %w", labError(err))
	}
	for _, p := range projects {
		list = append(list, ci.Repo{Name: p.PathWithNamespace, Public: p.Visibility == gl.PublicVisibility})
	}
	return list, int(res.NextPage), nil
}

func (x *labScan) project(p *gl.Project) error {
	with := gl.WithContext(x.ctx)
	if x.Run != "" {
		id, err := strconv.ParseInt(x.Run, 10, 64)
		if err != nil {
			return fmt.Errorf("--run %q is not the number of a pipeline", x.Run)
		}
		pipeline, _, err := x.api.Pipelines.GetPipeline(p.ID, id, with)
		if err != nil {
			return fmt.Errorf("pipeline %d: %w", id, labError(err))
		}
		return x.pipeline(p, id, pipeline.Status)
	}
	c := chooser{Options: x.Options}
	oldest := int64(0)
	err := pages(func(o gl.ListOptions) (*gl.Response, int, error) {
		list, res, err := x.api.Pipelines.ListProjectPipelines(p.ID, &gl.ListProjectPipelinesOptions{ListOptions: o, OrderBy: gl.Ptr("id"), Sort: gl.Ptr("desc")}, with)
		if err = noNull(list, err); err != nil {
			return res, 0, fmt.Errorf("the list of pipelines: %w", labError(err))
		}
		old := 0
		for _, pipeline := range list {
			if x.seen[labKey(p.ID, pipeline.ID)] {
				continue
			}
			created := time.Time{}
			if pipeline.CreatedAt != nil {
				created = *pipeline.CreatedAt
			}
			yes, end := c.take(created)
			if end {
				return res, -1, nil
			}
			if !yes {
				old++
				continue
			}
			oldest = pipeline.ID
			if err := x.concerning(fmt.Sprintf("%s/pipelines/%d", p.PathWithNamespace, pipeline.ID), x.pipeline(p, pipeline.ID, pipeline.Status)); err != nil {
				return res, 0, err
			}
		}
		if c.enough(len(list), old) {
			return res, -1, nil
		}
		return res, len(list), nil
	})
	if err != nil {
		return err
	}
	return x.children(p, oldest)
}

// children lists the child pipelines of a project that no list of trigger jobs had: GitLab lists of
// a trigger job that was retried the last one alone. Those before the oldest pipeline that was read
// are left out.
func (x *labScan) children(p *gl.Project, oldest int64) error {
	if oldest == 0 {
		return nil
	}
	return pages(func(o gl.ListOptions) (*gl.Response, int, error) {
		list, res, err := x.api.Pipelines.ListProjectPipelines(p.ID, &gl.ListProjectPipelinesOptions{ListOptions: o, Source: gl.Ptr("parent_pipeline"), OrderBy: gl.Ptr("id"), Sort: gl.Ptr("desc")}, gl.WithContext(x.ctx))
		if err = noNull(list, err); err != nil {
			return res, 0, fmt.Errorf("the list of child pipelines: %w", labError(err))
		}
		for _, c := range list {
			if c.ID < oldest {
				return res, -1, nil
			}
			if c.CreatedAt != nil && x.Old(*c.CreatedAt) {
				continue
			}
			if err := x.concerning(fmt.Sprintf("%s/pipelines/%d", p.PathWithNamespace, c.ID), x.pipeline(p, c.ID, c.Status)); err != nil {
				return res, 0, err
			}
		}
		return res, len(list), nil
	})
}

func labKey(project, pipeline int64) string { return fmt.Sprintf("%d/%d", project, pipeline) }

// pipeline lists the jobs of a pipeline, and those of the pipelines that it started.
func (x *labScan) pipeline(p *gl.Project, id int64, status string) error {
	if x.again(labKey(p.ID, id)) {
		return nil
	}
	with := gl.WithContext(x.ctx)
	at := x.at(fmt.Sprintf("%s/pipelines/%d", p.PathWithNamespace, id))
	at.Run = strconv.FormatInt(id, 10)
	var jobs []*gl.Job
	err := pages(func(o gl.ListOptions) (*gl.Response, int, error) {
		list, res, err := x.api.Jobs.ListPipelineJobs(p.ID, id, &gl.ListJobsOptions{ListOptions: o, IncludeRetried: gl.Ptr(true)}, with)
		jobs = append(jobs, list...)
		return res, len(list), noNull(list, err)
	})
	if err != nil {
		return fmt.Errorf("the list of jobs: %w", err)
	}
	slices.SortFunc(jobs, func(a, b *gl.Job) int { return int(a.ID - b.ID) })
	attempts := map[string]int{}
	open := !ended(status)
	for _, j := range jobs {
		attempts[j.Name]++
		here := at
		here.Path, here.Job, here.Attempt = fmt.Sprintf("%s/jobs/%d", at.Path, j.ID), j.Name, attempts[j.Name]
		if j.WebURL != "" {
			here.Notes = map[string]string{"url": j.WebURL}
		}
		more, err := x.job(p, j, here)
		if err != nil {
			return err
		}
		open = open || more
	}
	if open {
		if err := x.notEnded(at, "the pipeline has not ended: it may write more"); err != nil {
			return err
		}
	}
	return pages(func(o gl.ListOptions) (*gl.Response, int, error) {
		list, res, err := x.api.Jobs.ListPipelineBridges(p.ID, id, &gl.ListJobsOptions{ListOptions: o}, with)
		if err = noNull(list, err); err != nil {
			return res, 0, fmt.Errorf("the list of child pipelines: %w", labError(err))
		}
		for _, b := range list {
			d := b.DownstreamPipeline
			if d == nil || d.ID == 0 {
				continue
			}
			child := x.projects[d.ProjectID]
			if d.ProjectID == 0 {
				child = p
			}
			if child == nil {
				continue // in a project outside of the target
			}
			if err := x.concerning(fmt.Sprintf("%s/pipelines/%d", child.PathWithNamespace, d.ID), x.pipeline(child, d.ID, d.Status)); err != nil {
				return res, 0, err
			}
		}
		return res, len(list), nil
	})
}

// job lists what a job left, and reports whether it may write more.
func (x *labScan) job(p *gl.Project, j *gl.Job, at rules.Location) (open bool, err error) {
	if waits(j.Status) || j.StartedAt == nil && (j.Status == "canceled" || j.Status == "skipped") {
		return false, nil
	}
	key := fmt.Sprintf("job/%d", j.ID)
	if open = !ended(j.Status); open {
		key = ""
	}
	base := []string{"projects", strconv.FormatInt(p.ID, 10), "jobs", strconv.FormatInt(j.ID, 10)}
	path := at.Path
	gone := func(l rules.Location) error {
		if !x.Gap(l, ci.ErrExpired) {
			return errEnd
		}
		return nil
	}
	if x.Logs {
		at.Path, at.Origin = path+"/trace.log", x.origin(append(base[:4:4], "trace")...)
		if j.ErasedAt != nil {
			err = gone(at)
		} else {
			err = x.item(ci.Item{At: at, Key: key, Fetch: x.download(x.url(append(base[:4:4], "trace")), "")})
		}
		if err != nil {
			return open, err
		}
	}
	if !x.Artifacts {
		return open, nil
	}
	at.Path, at.Source, at.Origin = path+"/artifacts.zip", "artifact", x.origin(append(base[:4:4], "artifacts")...)
	has := j.ArtifactsFile.Filename != ""
	expired := j.ArtifactsExpireAt != nil && j.ArtifactsExpireAt.Before(time.Now())
	switch {
	case j.ErasedAt != nil && (has || j.ArtifactsExpireAt != nil):
		return open, gone(at)
	case expired && !has:
		return open, gone(at)
	case !has:
		return open, nil
	}
	if key != "" {
		key += "/artifacts"
	}
	fetch := x.download(x.url(append(base[:4:4], "artifacts")), "")
	return open, x.item(ci.Item{At: at, Key: key, Fetch: func(ctx context.Context) (*ci.Blob, error) {
		b, err := fetch(ctx)
		if expired && ci.Is404(err) {
			// The artifacts of the newest pipelines are kept beyond their time.
			return nil, ci.ErrExpired
		}
		return b, err
	}})
}
