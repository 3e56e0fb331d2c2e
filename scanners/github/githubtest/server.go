// Package githubtest is the part of GitHub's REST API that quell uses, in memory and on
// loopback. Each request, and each response of its own, is checked against GitHub's published
// OpenAPI document.
package githubtest

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/quellhq/quell/scanners/contracttest"
)

// Server is a GitHub server with one repository.
type Server struct {
	*httptest.Server
	Owner, Repo string
	Token       string
	// Login is the user of the token; empty: the token is a job's own.
	Login string
	// Deny are the permissions that the token lacks: actions, contents, issues,
	// security-events, as read or write: "actions:write".
	Deny []string

	Jobs      []Job
	Logs      map[int]map[string]string // by attempt: the members of the zip
	Artifacts []Artifact
	Files     map[string]string // "REF:PATH" -> content
	Git       http.Handler      // /OWNER/REPO, over git's protocol

	mu       sync.Mutex
	Comments []Comment
	Sarifs   []Sarif
	Deleted  []int64 // runs whose logs were deleted
	// Uncounted are jobs and artifacts that lists count and do not have.
	Uncounted int
	// Fail is the status that answers paths with an end.
	Fail map[string]int
	// Cut are attempts whose archive ends before its end, and Damaged those with a wrong byte in
	// the first member.
	Cut, Damaged map[int]bool
	// Busy is how often the next requests are answered with 503.
	Busy int
	// Asked are the requests, as METHOD PATH.
	Asked []string

	t    testing.TB
	api  http.Handler
	log  map[int64]string
	fill *contracttest.Filler
}

// Job is a job of the current attempt.
type Job struct {
	ID         int64
	Name       string
	Status     string
	Conclusion string
	Log        []string // the responses in order; the last one repeats
	// Attempt is the only one whose list has the job; 0: every one does.
	Attempt int
	// Idle is a job that had no runner, and Steps are the conclusions of its steps; nil: what its
	// own conclusion implies.
	Idle   bool
	Steps  []string
	Runner string // empty: r
}

// steps are those of GitHub's answer.
func (j *Job) steps() []any {
	list := j.Steps
	switch {
	case list != nil || j.Idle || j.Status != "completed" || j.Conclusion == "skipped":
	case j.Conclusion == "cancelled":
		list = []string{"success", "cancelled", "success"}
	default:
		list = []string{"success", j.Conclusion, "success"}
	}
	out := []any{}
	for n, c := range list {
		name := fmt.Sprint("step ", n)
		if n > 0 && n == len(list)-1 {
			name = "Complete job"
		}
		out = append(out, map[string]any{"name": name, "status": "completed", "conclusion": c, "number": n + 1})
	}
	return out
}

// Artifact is a file that a run uploaded.
type Artifact struct {
	ID      int64
	Name    string
	Expired bool
	// Deleted is one that is listed, and gone when it is asked for.
	Deleted bool
	Members map[string]string
}

// Comment is a comment on a pull request.
type Comment struct {
	ID          int64
	Issue       int
	Login, Type string
	Body        string
}

// Sarif is an uploaded SARIF report, unpacked.
type Sarif struct {
	Ref, SHA string
	Doc      map[string]any
}

// New starts a server that ends with the test.
func New(t testing.TB, owner, repo, token string) *Server {
	t.Helper()
	s := &Server{Owner: owner, Repo: repo, Token: token, t: t, Logs: map[int]map[string]string{}, Files: map[string]string{}}
	s.api = contracttest.Handler(t, "github.json", http.HandlerFunc(s.answer))
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// With and without .git, as GitHub does.
	r.URL.Path = strings.Replace(r.URL.Path, "/"+s.Owner+"/"+s.Repo+".git/", "/"+s.Owner+"/"+s.Repo+"/", 1)
	if s.Git != nil && strings.HasPrefix(r.URL.Path, "/"+s.Owner+"/"+s.Repo+"/") {
		s.Git.ServeHTTP(w, r)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasPrefix(r.URL.Path, "/storage/") {
		s.storage(w, r)
		return
	}
	s.Asked = append(s.Asked, r.Method+" "+r.URL.Path)
	if s.Busy > 0 {
		s.Busy--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	for end, status := range s.Fail {
		if strings.HasSuffix(r.URL.Path, end) {
			refuse(w, status, http.StatusText(status))
			return
		}
	}
	s.api.ServeHTTP(w, r)
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, message string) {
	reply(w, status, map[string]string{"message": message, "documentation_url": "https://docs.github.com/rest"})
}

// storage is where logs and artifacts are kept: URLs with a signature that accept no token.
func (s *Server) storage(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" {
		s.t.Error("the token was sent to the storage")
	}
	if r.URL.Query().Get("sig") != "signature-of-the-storage" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	kind, id, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/storage/"), "/")
	n, _ := strconv.ParseInt(id, 10, 64)
	switch kind {
	case "attempt":
		b := zipped(s.Logs[int(n)])
		if s.Cut[int(n)] {
			b = b[:len(b)*2/3]
		}
		if s.Damaged[int(n)] {
			b[50] ^= 1
		}
		_, _ = w.Write(b)
	case "artifact":
		for _, a := range s.Artifacts {
			if a.ID == n {
				_, _ = w.Write(zipped(a.Members))
			}
		}
	case "job":
		_, _ = io.WriteString(w, s.log[n])
	}
}

func zipped(members map[string]string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	var names []string
	for n := range members {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		f, _ := z.Create(n)
		_, _ = io.WriteString(f, members[n])
	}
	_ = z.Close()
	return b.Bytes()
}

func (s *Server) moved(w http.ResponseWriter, kind string, id int64) {
	w.Header().Set("Location", fmt.Sprintf("%s/storage/%s/%d?sig=signature-of-the-storage", s.URL, kind, id))
	w.WriteHeader(http.StatusFound)
}

func (s *Server) may(w http.ResponseWriter, what string) bool {
	if slices.Contains(s.Deny, what) || strings.HasSuffix(what, ":write") && slices.Contains(s.Deny, strings.TrimSuffix(what, "write")+"read") {
		refuse(w, http.StatusForbidden, "Resource not accessible by integration")
		return false
	}
	return true
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	if got := r.Header.Get("Authorization"); got != "Bearer "+s.Token {
		refuse(w, http.StatusUnauthorized, "Bad credentials")
		return
	}
	num := func(name string) int64 { n, _ := strconv.ParseInt(r.PathValue(name), 10, 64); return n }
	path := strings.TrimPrefix(r.URL.Path, fmt.Sprintf("/repos/%s/%s/", s.Owner, s.Repo))
	switch {
	case path == "/user":
		if s.Login == "" {
			refuse(w, http.StatusForbidden, "Resource not accessible by integration")
			return
		}
		s.t.Error("the fake has no person to tell of")
	case strings.HasSuffix(path, "/jobs"):
		if s.may(w, "actions:read") {
			reply(w, http.StatusOK, s.jobs(w, r, num("run_id"), num("attempt_number")))
		}
	case strings.HasPrefix(path, "actions/jobs/"):
		if !s.may(w, "actions:read") {
			return
		}
		for k := range s.Jobs {
			j := &s.Jobs[k]
			if j.ID == num("job_id") && len(j.Log) > 0 {
				if s.log == nil {
					s.log = map[int64]string{}
				}
				s.log[j.ID] = j.Log[0]
				if len(j.Log) > 1 {
					j.Log = j.Log[1:]
				}
				s.moved(w, "job", j.ID)
				return
			}
		}
		refuse(w, http.StatusNotFound, "Not Found")
	case r.Method == http.MethodDelete && strings.HasSuffix(path, "/logs"):
		if s.may(w, "actions:write") {
			s.Deleted = append(s.Deleted, num("run_id"))
			w.WriteHeader(http.StatusNoContent)
		}
	case strings.HasSuffix(path, "/logs"):
		if !s.may(w, "actions:read") {
			return
		}
		n := num("attempt_number")
		if s.Logs[int(n)] == nil || slices.Contains(s.Deleted, num("run_id")) {
			refuse(w, http.StatusNotFound, "Not Found")
			return
		}
		s.moved(w, "attempt", n)
	case strings.Count(path, "/") == 2 && strings.HasPrefix(path, "actions/runs/"):
		if s.may(w, "actions:read") {
			last := 1
			for n := range s.Logs {
				last = max(last, n)
			}
			if s.fill == nil {
				s.fill = contracttest.NewFiller(s.t, "github.json")
			}
			reply(w, http.StatusOK, s.fill.Fill("workflow-run", map[string]any{"id": num("run_id"), "run_attempt": last, "status": "completed", "conclusion": "success", "created_at": "2026-11-01T10:00:00Z"}))
		}
	case strings.HasSuffix(path, "/artifacts"):
		if s.may(w, "actions:read") {
			reply(w, http.StatusOK, s.artifacts(w, r))
		}
	case strings.HasPrefix(path, "actions/artifacts/"):
		if n := num("artifact_id"); s.may(w, "actions:read") && slices.ContainsFunc(s.Artifacts, func(a Artifact) bool { return a.ID == n && a.Deleted }) {
			refuse(w, http.StatusGone, "Artifact has expired")
		} else if !slices.Contains(s.Deny, "actions:read") {
			s.moved(w, "artifact", num("artifact_id"))
		}
	case strings.HasPrefix(path, "contents/"):
		s.content(w, strings.TrimPrefix(path, "contents/"), r.URL.Query().Get("ref"))
	case strings.HasPrefix(path, "issues/"):
		s.comments(w, r)
	case path == "code-scanning/sarifs":
		s.sarif(w, r)
	default:
		refuse(w, http.StatusNotFound, "Not Found")
	}
}

func (s *Server) jobs(w http.ResponseWriter, r *http.Request, run, attempt int64) any {
	list := []any{}
	for _, j := range s.Jobs {
		if j.Attempt != 0 && int64(j.Attempt) != attempt {
			continue
		}
		var conclusion, completed any
		if j.Status == "completed" {
			conclusion, completed = j.Conclusion, "2026-11-01T10:10:00Z"
		}
		runner, name := any(1), any("r")
		if j.Runner != "" {
			name = j.Runner
		}
		if j.Idle {
			runner, name = nil, nil
		}
		list = append(list, map[string]any{"id": j.ID, "run_id": run, "run_url": s.URL, "run_attempt": attempt, "node_id": "n", "head_sha": strings.Repeat("a", 40), "url": s.URL, "html_url": s.URL + "/job/" + strconv.FormatInt(j.ID, 10),
			"status": j.Status, "conclusion": conclusion, "created_at": "2026-11-01T10:00:00Z", "started_at": fmt.Sprintf("2026-11-01T10:00:%02dZ", j.ID%60), "completed_at": completed, "name": j.Name, "steps": j.steps(),
			"check_run_url": s.URL, "labels": []string{"ubuntu-latest"}, "runner_id": runner, "runner_name": name, "runner_group_id": 1, "runner_group_name": "g", "workflow_name": "w", "head_branch": "main"})
	}
	return map[string]any{"total_count": len(list) + s.Uncounted, "jobs": page(w, r, list)}
}

// page is one page of a list, with the Link header of GitHub.
func page(w http.ResponseWriter, r *http.Request, list []any) []any {
	q := r.URL.Query()
	per, _ := strconv.Atoi(q.Get("per_page"))
	n, _ := strconv.Atoi(q.Get("page"))
	if per < 1 || per > 100 {
		per = 30
	}
	n = max(n, 1)
	if n*per < len(list) {
		q.Set("page", strconv.Itoa(n+1))
		w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?%s>; rel="next"`, r.Host, r.URL.Path, q.Encode()))
	}
	return list[min((n-1)*per, len(list)):min(n*per, len(list))]
}

func (s *Server) artifacts(w http.ResponseWriter, r *http.Request) any {
	list := []any{}
	for _, a := range s.Artifacts {
		list = append(list, map[string]any{"id": a.ID, "node_id": "n", "name": a.Name, "size_in_bytes": 1, "url": s.URL, "archive_download_url": s.URL, "expired": a.Expired,
			"created_at": "2026-11-01T10:00:00Z", "expires_at": "2027-01-01T10:00:00Z", "updated_at": "2026-11-01T10:00:00Z"})
	}
	return map[string]any{"total_count": len(list) + s.Uncounted, "artifacts": page(w, r, list)}
}

func (s *Server) content(w http.ResponseWriter, path, ref string) {
	if !s.may(w, "contents:read") {
		return
	}
	text, ok := s.Files[ref+":"+path]
	if !ok {
		refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	reply(w, http.StatusOK, map[string]any{"type": "file", "encoding": "base64", "size": len(text), "name": filepath.Base(path), "path": path, "content": base64.StdEncoding.EncodeToString([]byte(text)),
		"sha": strings.Repeat("b", 40), "url": s.URL, "git_url": s.URL, "html_url": s.URL, "download_url": s.URL, "_links": map[string]string{"git": s.URL, "self": s.URL, "html": s.URL}})
}

func (s *Server) comments(w http.ResponseWriter, r *http.Request) {
	shown := func(c Comment) map[string]any {
		user := map[string]any{"login": c.Login, "type": c.Type, "id": 1, "node_id": "n", "site_admin": false}
		for _, k := range []string{"avatar_url", "url", "html_url", "followers_url", "following_url", "gists_url", "starred_url", "subscriptions_url", "organizations_url", "repos_url", "events_url", "received_events_url"} {
			user[k] = s.URL
		}
		user["gravatar_id"] = ""
		return map[string]any{"id": c.ID, "node_id": "n", "url": s.URL, "html_url": s.URL, "issue_url": s.URL, "body": c.Body, "user": user, "author_association": "NONE", "created_at": "2026-11-01T10:00:00Z", "updated_at": "2026-11-01T10:00:00Z"}
	}
	if r.Method == http.MethodGet {
		list := []any{}
		issue, _ := strconv.Atoi(r.PathValue("issue_number"))
		for _, c := range s.Comments {
			if c.Issue == issue {
				list = append(list, shown(c))
			}
		}
		reply(w, http.StatusOK, list)
		return
	}
	if !s.may(w, "issues:write") {
		return
	}
	var in struct {
		Body string `json:"body"`
	}
	_ = json.NewDecoder(r.Body).Decode(&in)
	if len(in.Body) > 65536 {
		refuse(w, http.StatusUnprocessableEntity, "Body is too long")
		return
	}
	if r.Method == http.MethodPatch {
		id, _ := strconv.ParseInt(r.PathValue("comment_id"), 10, 64)
		for k := range s.Comments {
			if s.Comments[k].ID == id {
				s.Comments[k].Body = in.Body
				reply(w, http.StatusOK, shown(s.Comments[k]))
				return
			}
		}
		refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	issue, _ := strconv.Atoi(r.PathValue("issue_number"))
	c := Comment{ID: int64(100 + len(s.Comments)), Issue: issue, Login: "github-actions[bot]", Type: "Bot", Body: in.Body}
	s.Comments = append(s.Comments, c)
	w.Header().Set("Location", s.URL)
	reply(w, http.StatusCreated, shown(c))
}

func (s *Server) sarif(w http.ResponseWriter, r *http.Request) {
	if !s.may(w, "security-events:write") {
		return
	}
	var in struct {
		SHA   string `json:"commit_sha"`
		Ref   string `json:"ref"`
		Sarif string `json:"sarif"`
	}
	_ = json.NewDecoder(r.Body).Decode(&in)
	b, err := base64.StdEncoding.DecodeString(in.Sarif)
	var doc map[string]any
	if err == nil {
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(b)); err == nil {
			err = json.NewDecoder(z).Decode(&doc)
		}
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "the SARIF is not gzipped and base64-encoded JSON")
		return
	}
	s.Sarifs = append(s.Sarifs, Sarif{Ref: in.Ref, SHA: in.SHA, Doc: doc})
	reply(w, http.StatusAccepted, map[string]string{"id": "47177e22-5596-11eb-80a1-c1e54ef945c6", "url": s.URL})
}
