package systems

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/ci"
)

const azureVersion = "7.1"

// azure reads Azure Pipelines (learn.microsoft.com/rest/api/azure/devops/build).
func azure() System {
	return System{Name: "azure", Target: "ORG[/PROJECT]…", About: "Azure Pipelines: logs of all tasks with earlier attempts, and artifacts", Address: "https://dev.azure.com",
		AddressEnv: []string{"AZURE_DEVOPS_URL"}, TokenEnv: []string{"AZURE_DEVOPS_EXT_PAT", "SYSTEM_ACCESSTOKEN"},
		Auth: func(_ string, token rules.Secret) func(context.Context, http.Header) error {
			return ci.Basic("", token)
		},
		Check: words("ORG[/PROJECT]"), list: listAzure, clones: cloneAzure}
}

func azureError(s *scan, err error) error {
	// A token that is wrong or has expired is answered with 203 and the page to sign in.
	if ci.Status(err) == http.StatusNonAuthoritativeInfo {
		return &ci.Unauthorized{Host: s.Base.Host}
	}
	return err
}

func (s *scan) azure(v any, path []string, query ...string) (http.Header, error) {
	h, err := s.get(v, path, append(query, "api-version", azureVersion)...)
	return h, azureError(s, err)
}

func listAzure(s *scan, target string) error {
	n, err := azureProjects(s, target, func(org, project string) error {
		return s.concerning(org+"/"+project, azureProject(s, org, project))
	})
	if err != nil {
		return err
	}
	return s.none(target, n)
}

// azureProjects calls each for the projects of a target, and counts them.
func azureProjects(s *scan, target string, each func(org, project string) error) (n int, err error) {
	org, project, one := strings.Cut(target, "/")
	if one {
		return 1, each(org, project)
	}
	for token := ""; ; {
		var page struct{ Value []struct{ Name string } }
		h, err := s.azure(&page, []string{org, "_apis", "projects"}, "$top", "100", "continuationToken", token)
		if err != nil {
			return n, fmt.Errorf("the list of projects: %w", err)
		}
		for _, p := range page.Value {
			if s.again("project " + p.Name) {
				continue
			}
			n++
			if err := each(org, p.Name); err != nil {
				return n, err
			}
		}
		t := h.Get("X-Ms-Continuationtoken")
		if t == "" || t == token || len(page.Value) == 0 {
			return n, nil
		}
		token = t
	}
}

// cloneAzure lists the repositories of a target's projects, and the repository of each project's
// wiki, which the list does not have.
func cloneAzure(s *scan, target string, yield func(ci.Repository) bool) error {
	var failed []error
	_, err := azureProjects(s, target, func(org, project string) error {
		path := org + "/" + project
		var list struct {
			Value []struct {
				Name       string
				IsDisabled bool
			}
		}
		if _, err := s.azure(&list, []string{org, project, "_apis", "git", "repositories"}); err != nil {
			if errors.As(err, new(*ci.Unauthorized)) || s.ctx.Err() != nil {
				return err
			}
			failed = append(failed, s.unlisted(path, err))
			return nil
		}
		add := func(name string, optional bool) bool {
			return yield(ci.Repository{Name: path + "/" + ci.Clean(name), URL: s.Client.At(org, project, "_git", name), Optional: optional})
		}
		for _, r := range list.Value {
			if r.IsDisabled {
				failed = append(failed, s.unlisted(path+"/"+ci.Clean(r.Name), errDisabled))
				continue
			}
			if !add(r.Name, false) {
				return errEnd
			}
		}
		if !add(project+".wiki", true) {
			return errEnd
		}
		return nil
	})
	if errors.Is(err, errEnd) {
		return nil
	}
	return errors.Join(append(failed, err)...)
}

var errDisabled = scanners.OfKind(scanners.GapNotFetched, errors.New("the repository is disabled, and can't be read (hint: enable it in the project's settings)"))

type azureBuild struct {
	ID        int64
	Status    string
	QueueTime string
	// FinishTime is new after a retry, which keeps the id.
	FinishTime string
	Deleted    bool
}

func azureProject(s *scan, org, project string) error {
	base := []string{org, project, "_apis", "build", "builds"}
	if s.Run != "" {
		var b azureBuild
		if _, err := s.azure(&b, append(base[:5:5], s.Run)); err != nil {
			return fmt.Errorf("build %s: %w", s.Run, err)
		}
		return azureBuildOf(s, org, project, b)
	}
	c := chooser{Options: s.Options}
	for token := ""; ; {
		var page struct{ Value []azureBuild }
		h, err := s.azure(&page, base, "queryOrder", "queueTimeDescending", "$top", "200", "continuationToken", token)
		if err != nil {
			return fmt.Errorf("the list of builds: %w", err)
		}
		old := 0
		for _, b := range page.Value {
			id := strconv.FormatInt(b.ID, 10)
			if s.again(org + "/" + project + "/" + id) {
				continue
			}
			yes, end := c.take(parseTime(b.QueueTime))
			if end {
				return nil
			}
			if !yes {
				old++
				continue
			}
			if err := s.concerning(org+"/"+project+"/builds/"+id, azureBuildOf(s, org, project, b)); err != nil {
				return err
			}
		}
		t := h.Get("X-Ms-Continuationtoken")
		if t == "" || t == token || len(page.Value) == 0 || c.enough(len(page.Value), old) {
			return nil
		}
		token = t
	}
}

type azureRecord struct {
	ID, ParentID, Type, Name string
	Attempt                  int
	Log                      *struct{ ID int64 }
	PreviousAttempts         []struct {
		Attempt    int
		TimelineID string
	}
}

func azureBuildOf(s *scan, org, project string, b azureBuild) error {
	id := strconv.FormatInt(b.ID, 10)
	base := []string{org, project, "_apis", "build", "builds", id}
	at := s.at(org + "/" + project + "/builds/" + id)
	at.Run, at.Origin = id, s.origin(base...)
	open := !ended(b.Status)
	key := org + "/" + project + "/" + id + "/" + b.FinishTime
	if s.Logs {
		item := ci.Item{At: at, Key: key, Read: readSteps, Fetch: func(ctx context.Context) (*ci.Blob, error) { return azureLogs(ctx, s, base) }}
		item.At.Path += "/logs.zip"
		if open {
			item.Key = ""
		}
		if err := s.item(item); err != nil {
			return err
		}
	}
	if s.Artifacts {
		var list struct{ Value []struct{ Name string } }
		if _, err := s.azure(&list, append(base[:6:6], "artifacts")); err != nil {
			if err := s.concerning(at.Path+"/artifacts", fmt.Errorf("the list of artifacts: %w", err)); err != nil {
				return err
			}
		}
		for _, a := range list.Value {
			here := at
			here.Source, here.Path = "artifact", at.Path+"/artifacts/"+ci.Clean(a.Name)
			u := s.url(append(base[:6:6], "artifacts"), "artifactName", a.Name, "$format", "zip", "api-version", azureVersion)
			item := ci.Item{At: here, Key: key + "/artifact/" + a.Name, Fetch: s.download(u, "application/zip")}
			if open {
				item.Key = ""
			}
			if err := s.item(item); err != nil {
				return err
			}
		}
	}
	if open {
		return s.notEnded(at, "the build has not ended: it may write more")
	}
	return nil
}

// azureLogs gets all logs of a build. The timelines, those of earlier attempts too, name the job
// and the task of each.
func azureLogs(ctx context.Context, s *scan, base []string) (*ci.Blob, error) {
	records := map[int64]azureRecord{}
	jobs := map[string]azureRecord{}
	seen := map[string]bool{"": true}
	var timeline func(path []string) error
	timeline = func(path []string) error {
		var t struct{ Records []azureRecord }
		if err := s.decode(ctx, s.url(path, "api-version", azureVersion), &t); err != nil {
			return err
		}
		for _, r := range t.Records {
			jobs[r.ID] = r
			if r.Log != nil {
				records[r.Log.ID] = r
			}
			for _, p := range r.PreviousAttempts {
				if !seen[p.TimelineID] {
					seen[p.TimelineID] = true
					if err := timeline(append(base[:6:6], "timeline", p.TimelineID)); err != nil && !ci.Refuses(err) {
						return err
					}
				}
			}
		}
		return nil
	}
	if err := timeline(append(base[:6:6], "timeline")); err != nil && !ci.Refuses(err) {
		return nil, err
	}
	var logs struct{ Value []struct{ ID int64 } }
	if err := s.decode(ctx, s.url(append(base[:6:6], "logs"), "api-version", azureVersion), &logs); err != nil {
		return nil, azureError(s, err)
	}
	var list []step
	total := 0
	for _, l := range logs.Value {
		text, err := s.text(ctx, s.url(append(base[:6:6], "logs", strconv.FormatInt(l.ID, 10)), "api-version", azureVersion), "text/plain")
		if err != nil {
			return nil, fmt.Errorf("log %d: %w", l.ID, err)
		}
		if total += len(text); total > maxText {
			return nil, errTooLong
		}
		r, known := records[l.ID]
		x := step{job: "log", name: strconv.FormatInt(l.ID, 10), text: text}
		switch {
		case known && r.Type == "Task":
			x.job, x.name = azureJob(jobs, r), r.Name
		case known:
			x.job, x.name = r.Name, ""
		}
		if known && r.Attempt > 1 {
			x.job += fmt.Sprintf(" (attempt %d)", r.Attempt)
		}
		list = append(list, x)
	}
	return s.steps(list)
}

// azureJob gives the name of the job that a task belongs to.
func azureJob(all map[string]azureRecord, r azureRecord) string {
	for range 8 {
		p, ok := all[r.ParentID]
		if !ok {
			break
		}
		if r = p; r.Type == "Job" {
			return r.Name
		}
	}
	return "job"
}
