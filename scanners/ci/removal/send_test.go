package removal

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/ci"
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
			_, _ = io.WriteString(w, `{"id":2}`)
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
	copied := func() (texts []string, failed []error) {
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
		if err != ci.ErrNothing {
			t.Errorf("%v", err)
		}
	}
	// A refusal is an error, and no other request is sent.
	s.Client.Auth = nil
	if _, err := s.Send(t.Context(), r); err == nil || len(sent) != 1 {
		t.Errorf("%v %q", err, sent)
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
