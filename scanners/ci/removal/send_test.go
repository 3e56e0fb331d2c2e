package removal

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/ci"
	"github.com/quellhq/quell/scanners/ci/citest"
)

// A GitLab job is copied with its artifacts, erased by one request, and gone after it: GitLab
// answers an erased log with an empty one, and artifacts with 404.
func TestGitLabJobIsErased(t *testing.T) {
	const token = "glpat-of-the-test"
	erased := false
	var sent []string
	fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Private-Token") != token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		switch r.Method + " " + r.URL.Path {
		case "GET /api/v4/projects/1/jobs/2":
			if erased {
				_, _ = io.WriteString(w, `{"id":2,"erased_at":"2026-11-01T10:00:00.000Z"}`)
				return
			}
			_, _ = io.WriteString(w, `{"id":2,"erased_at":null,"artifacts_file":{"filename":"artifacts.zip"}}`)
		case "GET /api/v4/projects/1/jobs/2/trace":
			if !erased {
				_, _ = io.WriteString(w, "the log")
			}
		case "GET /api/v4/projects/1/jobs/2/artifacts":
			if erased {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			_, _ = io.WriteString(w, "the artifacts")
		case "POST /api/v4/projects/1/jobs/2/erase":
			erased = true
			sent = append(sent, r.URL.Path)
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"id":2}`)
		default:
			t.Errorf("%s %s", r.Method, r.URL.Path)
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer fake.Close()
	s := server(t, "gitlab", fake.URL+"/api/v4")
	s.Client.Auth = ci.Header("Private-Token", "", rules.NewSecretString(token))
	r, err := s.Of(s.Client.Origin("gitlab", "projects", "1", "jobs", "2", "trace"))
	if err != nil {
		t.Fatal(err)
	}
	copied := func() ([]string, []error) { return copied(t, s, r) }
	if texts, failed := copied(); strings.Join(texts, ", ") != "the log, the artifacts" && strings.Join(texts, ", ") != "the artifacts, the log" || len(failed) > 0 {
		t.Errorf("%q %v", texts, failed)
	}
	if status, err := s.Send(t.Context(), r); err != nil || status != http.StatusCreated || len(sent) != 1 {
		t.Errorf("%d %v %q", status, err, sent)
	}
	texts, failed := copied()
	if strings.Join(texts, "") != "" {
		t.Errorf("%q", texts)
	}
	for _, err := range failed {
		if err != ci.ErrNothing && err != ci.ErrExpired {
			t.Errorf("%v", err)
		}
	}
	// A refusal is an error, and no other request is sent.
	s.Client.Auth = nil
	if _, err := s.Send(t.Context(), r); err == nil || len(sent) != 1 {
		t.Errorf("%v %q", err, sent)
	}
}

// copied is what the copy of a removal downloads, and what fails.
func copied(t *testing.T, s *Server, r *Removal) (texts []string, failed []error) {
	t.Helper()
	src, err := s.Copy(r)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex // calls may overlap
	src.Fetched = func(_ rules.Location, b *ci.Blob) error {
		mu.Lock()
		defer mu.Unlock()
		text, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size))
		texts = append(texts, string(text))
		return err
	}
	src.Failed = func(_ rules.Location, err error) {
		mu.Lock()
		defer mu.Unlock()
		failed = append(failed, err)
	}
	drain(t, src)
	return texts, failed
}

// A thing is gone only if the server states that, or answers 404 while it shows things of its kind:
// a token that lacks a scope, a page of a proxy and an empty answer are no deletion.
func TestWhatIsGone(t *testing.T) {
	const (
		job      = "/projects/1/jobs/2"
		artifact = "/repos/o/r/actions/artifacts/5"
		cache    = "/repos/o/r/actions/caches"
		kite     = "/organizations/o/pipelines/p/builds/7"
		erased   = `{"id":2,"erased_at":"2026-11-01T10:00:00.000Z"}`
		whole    = `{"id":2,"erased_at":null,"artifacts_file":{"filename":"a.zip"}}`
	)
	for _, c := range []struct {
		name, system, origin string
		answers              map[string]string // bodies by path; others are 404
		read                 bool
		gone                 bool
	}{
		{"GitLab, erased", "gitlab", job + "/trace", map[string]string{job: erased, job + "/trace": ""}, true, true},
		{"GitLab, an empty log of a job that is not erased", "gitlab", job + "/trace", map[string]string{job: `{"id":2,"erased_at":null}`, job + "/trace": ""}, true, false},
		{"GitLab, an empty log and no job", "gitlab", job + "/trace", map[string]string{job + "/trace": ""}, true, false},
		{"GitLab, no log, and the job is not erased", "gitlab", job + "/trace", map[string]string{job: `{"id":2}`}, true, false},
		{"GitLab, erased, and it still lists artifacts", "gitlab", job + "/trace", map[string]string{job: `{"id":2,"erased_at":"2026-11-01T10:00:00.000Z","artifacts_file":{"filename":"a.zip"}}`, job + "/trace": ""}, true, false},
		{"GitLab, artifacts that the job lists", "gitlab", job + "/artifacts", map[string]string{job: whole}, true, false},
		{"GitLab, artifacts that the job does not list", "gitlab", job + "/artifacts", map[string]string{job: erased}, true, true},
		{"GitLab, artifacts, and a job that is no document", "gitlab", job + "/artifacts", map[string]string{job: `[]`}, true, false},
		{"Gitea, an artifact, and the token may not list artifacts", "gitea", artifact, map[string]string{"/repos/o/r": `{}`}, true, false},
		{"Gitea, an artifact of a list that can be read", "gitea", artifact, map[string]string{"/repos/o/r": `{}`, "/repos/o/r/actions/artifacts": `{}`}, true, true},
		{"Gitea, a run, and the token may not list runs", "gitea", "/repos/o/r/actions/runs/5", map[string]string{"/repos/o/r": `{}`}, true, false},
		{"Gitea, a run", "gitea", "/repos/o/r/actions/runs/5", map[string]string{"/repos/o/r/actions/runs": `{}`}, true, true},
		{"GitHub, a cache, and the list can't be read", "github", cache + "/9", nil, true, false},
		{"GitHub, a cache that the list lacks", "github", cache + "/9", map[string]string{cache: `{"total_count":0,"actions_caches":[]}`}, true, true},
		{"TeamCity, a build that this token never read", "teamcity", "/app/rest/builds/id:4", map[string]string{"/app/rest/server": `{}`}, false, false},
		{"TeamCity, a build that it read", "teamcity", "/app/rest/builds/id:4", map[string]string{"/app/rest/server": `{}`}, true, true},
		{"Buildkite, a log without content", "buildkite", kite + "/jobs/a/log", map[string]string{kite + "/jobs/a/log": `{"url":"x","content":"","size":0,"header_times":[]}`}, true, true},
		{"Buildkite, a log with content", "buildkite", kite + "/jobs/a/log", map[string]string{kite + "/jobs/a/log": `{"url":"x","content":"x","size":1}`}, true, false},
		{"Travis, a log that was removed", "travis", "/job/8/log", map[string]string{"/job/8/log.txt": "Log removed by Alice at 2026-11-01 10:00:00 UTC"}, true, true},
		{"Travis, a log that prints it", "travis", "/job/8/log", map[string]string{"/job/8/log.txt": "Log removed by Alice at 2026-11-01\nmore"}, true, false},
		{"Woodpecker, a log without lines", "woodpecker", "/api/repos/1/logs/2/3", map[string]string{"/api/repos/1/logs/2/3": "[]\n"}, true, true},
		{"Woodpecker, a page to sign in at", "woodpecker", "/api/repos/1/logs/2/3", map[string]string{"/api/repos/1/logs/2/3": "<html>Sign in</html>"}, true, false},
		{"Jenkins, an empty answer", "jenkins", "/job/m/2", map[string]string{"/job/m/2/consoleText": "", "/job/m/api/json": `{}`}, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, ok := c.answers[r.URL.Path]
				if !ok {
					w.WriteHeader(http.StatusNotFound)
				}
				_, _ = io.WriteString(w, body)
			}))
			defer fake.Close()
			s := server(t, c.system, fake.URL)
			of := s.Of
			if strings.HasPrefix(c.origin, cache) {
				of = s.Cache
			}
			r, err := of(c.system + ":" + fake.URL + c.origin)
			if err != nil {
				t.Fatal(err)
			}
			texts, failed := copied(t, s, r)
			gone := len(texts) == 0
			for _, err := range failed {
				gone = gone && (errors.Is(err, ci.ErrNothing) || s.Gone(t.Context(), r, err, c.read))
			}
			if gone != c.gone {
				t.Errorf("gone: %v, with %q %v", gone, texts, failed)
			}
		})
	}
}

func drain(t *testing.T, src scanners.Source) {
	t.Helper()
	session, err := src.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	for a, err := range session.Artifacts(t.Context()) {
		if err == nil {
			_ = a.Parts(t.Context(), func(scanners.Artifact, io.Reader) error { return nil }, func(scanners.Gap) {})
		}
	}
	session.Finish(context.Background(), func(scanners.Gap) {})
}

// On each system everything that the request deletes is copied, one request deletes it, and then it
// is gone; before, and where the server refuses, it is not.
func TestEachSystemDeletes(t *testing.T) {
	const (
		kite  = "/organizations/o/pipelines/p/builds/7"
		azure = "/o/p/_apis/build/builds/6"
	)
	for _, c := range []struct {
		name, system, origin string
		before, after        map[string]string // bodies by path; others are 404
		request              string
		status               int
		copies               []string
	}{
		{"Buildkite, a log", "buildkite", kite + "/jobs/a/log",
			map[string]string{kite + "/jobs/a/log": `{"content":"the log","size":7}`}, map[string]string{kite + "/jobs/a/log": `{"content":"","size":0,"header_times":[]}`},
			"DELETE " + kite + "/jobs/a/log", 204, []string{`{"content":"the log","size":7}`}},
		{"Buildkite, an artifact", "buildkite", kite + "/jobs/a/artifacts/b",
			map[string]string{kite + "/jobs/a/artifacts/b/download": "the artifact", kite: "{}"}, map[string]string{kite: "{}"},
			"DELETE " + kite + "/jobs/a/artifacts/b", 204, []string{"the artifact"}},
		{"Travis", "travis", "/job/8/log",
			map[string]string{"/job/8/log.txt": "the log"}, map[string]string{"/job/8/log.txt": "Log removed by Alice at 2026-11-01 10:00:00 UTC"},
			"DELETE /job/8/log", 200, []string{"the log"}},
		{"Drone", "drone", "/api/repos/o/r/builds/1/logs/2/3",
			map[string]string{"/api/repos/o/r/builds/1/logs/2/3": `[{"pos":0,"out":"the log"}]`, "/api/repos/o/r/builds/1": "{}"}, map[string]string{"/api/repos/o/r/builds/1": "{}"},
			"DELETE /api/repos/o/r/builds/1/logs/2/3", 204, []string{`[{"pos":0,"out":"the log"}]`}},
		{"Woodpecker", "woodpecker", "/api/repos/1/logs/2/3",
			map[string]string{"/api/repos/1/logs/2/3": `[{"line":0,"data":"dGhlIGxvZw=="}]`}, map[string]string{"/api/repos/1/logs/2/3": "[]"},
			"DELETE /api/repos/1/logs/2/3", 204, []string{`[{"line":0,"data":"dGhlIGxvZw=="}]`}},
		{"Jenkins", "jenkins", "/job/m/2",
			map[string]string{"/job/m/2/consoleText": "the log", "/job/m/2/artifact/*zip*/archive.zip": "the artifacts", "/job/m/api/json": "{}"}, map[string]string{"/job/m/api/json": "{}"},
			"POST /job/m/2/doDelete", 302, []string{"the artifacts", "the log"}},
		{"TeamCity", "teamcity", "/app/rest/builds/id:4",
			map[string]string{"/downloadBuildLog.html": "the log", "/app/rest/builds/id:4/artifacts/archived": "the artifacts", "/app/rest/server": "{}"}, map[string]string{"/app/rest/server": "{}"},
			"DELETE /app/rest/builds/id:4", 204, []string{"the artifacts", "the log"}},
		{"Azure", "azure", azure,
			map[string]string{azure: `{"id":6,"status":"completed"}`, azure + "/timeline": `{"records":[]}`, azure + "/logs": `{"value":[{"id":1}]}`, azure + "/logs/1": "the log", azure + "/artifacts": `{"value":[]}`, "/o/p/_apis/build/definitions": "{}"},
			map[string]string{"/o/p/_apis/build/definitions": "{}"}, "DELETE " + azure, 204, []string{"the log"}},
		{"Gitea, a run", "gitea", "/repos/o/r/actions/runs/5",
			map[string]string{"/repos/o/r/actions/runs/5": `{"id":5,"status":"completed"}`, "/repos/o/r/actions/runs/5/jobs": `{"total_count":1,"jobs":[{"id":9,"name":"b","status":"completed","conclusion":"success"}]}`, "/repos/o/r/actions/jobs/9/logs": "the log", "/repos/o/r/actions/runs/5/artifacts": `{"total_count":1,"artifacts":[{"id":3,"name":"x"}]}`, "/repos/o/r/actions/artifacts/3/zip": "the artifact", "/repos/o/r/actions/runs": "{}"},
			map[string]string{"/repos/o/r/actions/runs": "{}"}, "DELETE /repos/o/r/actions/runs/5", 204, []string{"the artifact", "the log"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var mu sync.Mutex
			deleted, refuses := false, true
			var sent []string
			fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				if r.Header.Get("Authorization") != "Bearer the-token" {
					t.Errorf("%s %s without the token", r.Method, r.URL.Path)
				}
				if r.Method != http.MethodGet {
					if refuses {
						w.WriteHeader(http.StatusForbidden)
						return
					}
					sent, deleted = append(sent, r.Method+" "+r.URL.Path), true
					w.Header().Set("Location", "/elsewhere")
					w.WriteHeader(c.status)
					return
				}
				answers := c.before
				if deleted {
					answers = c.after
				}
				body, ok := answers[r.URL.Path]
				if !ok {
					w.WriteHeader(http.StatusNotFound)
				}
				_, _ = io.WriteString(w, body)
			}))
			defer fake.Close()
			s := server(t, c.system, fake.URL)
			s.Client.Auth = ci.Header("Authorization", "Bearer ", rules.NewSecretString("the-token"))
			r, err := s.Of(c.system + ":" + fake.URL + c.origin)
			if err != nil {
				t.Fatal(err)
			}
			read := func() (texts []string, failed []error) {
				texts, failed = copied(t, s, r)
				for i, x := range texts {
					if strings.HasPrefix(x, "PK") {
						texts[i] = citest.Unzip([]byte(x))
					}
				}
				slices.Sort(texts)
				return texts, failed
			}
			if texts, failed := read(); !slices.Equal(texts, c.copies) || len(failed) > 0 {
				t.Fatalf("the copy has %q, %v", texts, failed)
			}
			if _, err := s.Send(t.Context(), r); err == nil || !strings.Contains(err.Error(), "403") {
				t.Errorf("a refusal: %v", err)
			}
			if texts, failed := read(); !slices.Equal(texts, c.copies) || len(failed) > 0 {
				t.Errorf("after a refusal: %q, %v", texts, failed)
			}
			mu.Lock()
			refuses = false
			mu.Unlock()
			if status, err := s.Send(t.Context(), r); err != nil || status != c.status || len(sent) != 1 || sent[0] != c.request {
				t.Errorf("%d %v, sent %q", status, err, sent)
			}
			texts, failed := read()
			if len(texts) > 0 {
				t.Errorf("after the deletion: %q", texts)
			}
			for _, err := range failed {
				if !errors.Is(err, ci.ErrNothing) && !s.Gone(t.Context(), r, err, true) {
					t.Errorf("it does not count as gone: %v", err)
				}
			}
			if len(failed) == 0 || len(sent) != 1 {
				t.Errorf("%v, sent %q", failed, sent)
			}
		})
	}
}
