// Package citest has fakes of CI systems on loopback, which obey what the systems document,
// and can be made to fail.
package citest

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quellhq/quell/scanners/contracttest"
)

// GitHub is a GitHub with one organisation. Its logs and artifacts are kept at another port.
type GitHub struct {
	*httptest.Server
	Storage *httptest.Server
	Owner   string
	Token   string
	Repos   []*Repo
	Alerts  []Alert
	// Packages are the owner's.
	Packages []Package
	// Git serves repositories, wikis and the gists, which Gists lists by their ids; nil: none are.
	Git   *Git
	Gists []string
	// Cap is how many results any list of runs gives, filtered or not; 0: 1,000 of a filtered
	// one, as documented.
	Cap int
	// Fault may answer a request itself. It is called before anything else, also for the
	// storage, with how often the same path was asked for before.
	Fault func(w http.ResponseWriter, r *http.Request, n int) bool
	// Change is called before a request that changes something is carried out, and may answer it
	// itself.
	Change func(w http.ResponseWriter, r *http.Request) bool
	// Validate checks requests and answers against the OpenAPI document.
	Validate bool

	t    testing.TB
	mu   sync.Mutex
	n    map[string]int
	seen []string // counted requests of the API, as METHOD PATH?QUERY
	// Stored counts downloads by path of the storage.
	stored map[string]int
	// changed are the requests that changed something, as METHOD PATH, and comments their texts.
	changed  []string
	comments []string
	hold     time.Time // requests before are an error
	index    sync.Mutex
	byName   map[string]*Repo
	fill     *contracttest.Filler
}

// Repo is a repository. Runs are the newest first.
type Repo struct {
	Name      string
	Runs      []*Run
	Artifacts []*Artifact
	Caches    []*Cache
	// Uncounted are jobs and artifacts that lists count and do not have.
	Uncounted int
	// Refuse is the status that everything of it is answered with; 0: none.
	Refuse int

	once sync.Once
	byID map[int64]*Run
}

// run finds a run by its id; nil: there is none. A test that changes Runs starts before the
// first request or adds to the front, where it is looked for first.
func (x *Repo) run(id int64) *Run {
	for _, r := range x.Runs[:min(len(x.Runs), 64)] {
		if r.ID == id {
			return r
		}
	}
	x.once.Do(func() {
		x.byID = map[int64]*Run{}
		for _, r := range x.Runs {
			x.byID[r.ID] = r
		}
	})
	return x.byID[id]
}

// log is the log of a job, alone.
func (x *Repo) log(id int64) string {
	for _, run := range x.Runs {
		for _, j := range run.Jobs {
			if j.ID == id {
				return j.Log
			}
		}
	}
	return ""
}

// Run is a workflow run.
type Run struct {
	ID         int64
	Attempts   int
	Status     string // empty: completed
	Conclusion string // empty: success
	Created    time.Time
	// Logs gives the members of an attempt's archive; nil: it is gone.
	Logs func(attempt int) map[string]string
	Jobs []Job
	// Pull is the number of the pull request that it is of; 0: none. Branch is its branch.
	Pull   int
	Branch string
	// Upstream is set if the pull request is into another repository.
	Upstream bool
}

// Cache is one that a run stored.
type Cache struct {
	ID       int64
	Key, Ref string
	Created  time.Time
}

// Job is one of a run.
type Job struct {
	ID     int64
	Name   string
	Status string
	// Conclusion is that of a job that has ended; empty: success. Steps are those of its steps, of
	// which the last is the runner's.
	Conclusion string
	Steps      []string
	// Attempt is the only one whose list has the job; 0: every one does.
	Attempt int
	Log     string // empty: it has none
}

// Artifact is what a run uploaded.
type Artifact struct {
	ID      int64
	Name    string
	Run     int64
	Expired bool
	Members map[string]string
}

// Alert is one of secret scanning.
type Alert struct {
	Number       int
	Repo         string
	Type, Secret string
}

// Package is one of the owner's; Repo is the repository that it is linked to.
type Package struct{ Type, Name, Repo string }

// NewGitHub starts a fake that ends with the test.
func NewGitHub(t testing.TB, owner, token string) *GitHub {
	t.Helper()
	s := &GitHub{Owner: owner, Token: token, t: t, n: map[string]int{}, stored: map[string]int{}}
	var api http.Handler
	var once sync.Once
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The handler must see the fields as the test set them before this request. The lock
		// delays later changes until the request has been answered; see Set.
		turn := func() { s.mu.Lock(); defer s.mu.Unlock() }
		turn()
		defer turn()
		if s.Git != nil && s.Git.Asks(r) {
			s.Git.ServeHTTP(w, r)
			return
		}
		if !s.before(w, r, true) {
			return
		}
		if s.Validate {
			once.Do(func() {
				s.fill = contracttest.NewFiller(t, "github.json")
				api = contracttest.Handler(t, "github.json", http.HandlerFunc(s.answer))
			})
			r.URL.Path = strings.TrimPrefix(r.URL.Path, "/api/v3")
			api.ServeHTTP(w, r)
			return
		}
		s.answer(w, r)
	}))
	s.Storage = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the token was sent to the storage")
		}
		if s.before(w, r, false) {
			s.storage(w, r)
		}
	}))
	t.Cleanup(s.Server.Close)
	t.Cleanup(s.Storage.Close)
	return s
}

// Hold makes every request before a time an error.
func (s *GitHub) Hold(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = until
}

// Set changes the fake between requests.
func (s *GitHub) Set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// Seen gives the counted requests.
func (s *GitHub) Seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// Stored gives how often each log and artifact was downloaded.
func (s *GitHub) Stored() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int{}
	for k, v := range s.stored {
		out[k] = v
	}
	return out
}

// Changed gives the requests that changed something, and the comments that were made.
func (s *GitHub) Changed() (requests, comments []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.changed), slices.Clone(s.comments)
}

// Forget forgets what was asked for.
func (s *GitHub) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen, s.stored = nil, map[string]int{}
}

func (s *GitHub) before(w http.ResponseWriter, r *http.Request, api bool) bool {
	s.mu.Lock()
	n := s.n[r.URL.Path]
	s.n[r.URL.Path]++
	if time.Now().Before(s.hold) {
		s.t.Errorf("%s was asked for while the server asked to wait", r.URL.Path)
	}
	s.mu.Unlock()
	if s.Fault != nil && s.Fault(w, r, n) {
		return false
	}
	if !api {
		return true
	}
	if got := r.Header.Get("Authorization"); got != "Bearer "+s.Token {
		reply(w, http.StatusUnauthorized, map[string]string{"message": "Bad credentials"})
		return false
	}
	if tag := s.tag(r); tag != "" {
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return false
		}
		w.Header().Set("ETag", tag)
	}
	s.mu.Lock()
	s.seen = append(s.seen, r.Method+" "+r.URL.RequestURI())
	s.mu.Unlock()
	return true
}

// Address is the server's URL. A test whose client is another process asks for it after it has
// set the fields: no other event orders the two for the race detector.
func (s *GitHub) Address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.URL
}

// tag is the validator of a list of runs.
func (s *GitHub) tag(r *http.Request) string {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/api/v3"), "/")
	if len(parts) != 6 || parts[5] != "runs" {
		return ""
	}
	x := s.repo(parts[3])
	if x == nil || len(x.Runs) == 0 {
		return ""
	}
	return fmt.Sprintf(`"%d-%d-%s"`, len(x.Runs), x.Runs[0].ID, url.QueryEscape(r.URL.RawQuery))
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// repo finds a repository; nil: there is none. Many are found by an index.
func (s *GitHub) repo(name string) *Repo {
	if len(s.Repos) > 64 {
		s.index.Lock()
		defer s.index.Unlock()
		if len(s.byName) != len(s.Repos) {
			s.byName = map[string]*Repo{}
			for _, x := range s.Repos {
				s.byName[x.Name] = x
			}
		}
		return s.byName[name]
	}
	for _, x := range s.Repos {
		if x.Name == name {
			return x
		}
	}
	return nil
}

func notFound(w http.ResponseWriter) {
	reply(w, http.StatusNotFound, map[string]string{"message": "Not Found"})
}

// full adds what the OpenAPI document requires of an object.
func (s *GitHub) full(schema string, v map[string]any) map[string]any {
	if s.fill == nil {
		return v
	}
	return s.fill.Fill(schema, v)
}

// slice is one page of a list, with the Link header of GitHub.
func slice[T any](w http.ResponseWriter, r *http.Request, list []T) []T {
	q := r.URL.Query()
	per, _ := strconv.Atoi(q.Get("per_page"))
	page, _ := strconv.Atoi(q.Get("page"))
	if per < 1 || per > 100 {
		per = 30
	}
	page = max(page, 1)
	from, to := min((page-1)*per, len(list)), min(page*per, len(list))
	if to < len(list) {
		q.Set("page", strconv.Itoa(page+1))
		w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?%s>; rel="next"`, r.Host, r.URL.Path, q.Encode()))
	}
	return list[from:to]
}

func (s *GitHub) answer(w http.ResponseWriter, r *http.Request) {
	p := strings.Split(strings.Trim(strings.TrimPrefix(r.URL.Path, "/api/v3"), "/"), "/")
	switch {
	case len(p) == 3 && p[0] == "orgs" && p[1] == s.Owner && p[2] == "repos":
		out := []any{}
		for _, x := range slice(w, r, s.Repos) {
			out = append(out, s.repoDoc(x))
		}
		reply(w, http.StatusOK, out)
	case len(p) == 3 && p[0] == "orgs" && p[1] == s.Owner && p[2] == "packages":
		out := []any{}
		for n, x := range s.Packages {
			if x.Type == r.URL.Query().Get("package_type") {
				doc := s.full("package", map[string]any{"id": n + 1, "name": x.Name, "package_type": x.Type})
				if x.Repo != "" {
					doc["repository"] = s.full("minimal-repository", map[string]any{"name": x.Repo, "full_name": s.Owner + "/" + x.Repo})
				}
				out = append(out, doc)
			}
		}
		reply(w, http.StatusOK, slice(w, r, out))
	case len(p) == 3 && p[0] == "users" && p[1] == s.Owner && p[2] == "gists" && s.Git != nil:
		out := []any{}
		for _, id := range s.Gists {
			out = append(out, map[string]any{"id": id, "git_pull_url": s.URL + "/gist/" + id + ".git"})
		}
		reply(w, http.StatusOK, slice(w, r, out))
	case p[0] == "orgs" && p[1] == s.Owner && strings.HasSuffix(r.URL.Path, "/secret-scanning/alerts"):
		out := []any{}
		for _, a := range slice(w, r, s.Alerts) {
			out = append(out, s.full("organization-secret-scanning-alert", map[string]any{"number": a.Number, "secret_type": a.Type, "secret": a.Secret, "state": "open", "html_url": s.URL, "repository": s.full("simple-repository", map[string]any{"name": a.Repo, "full_name": s.Owner + "/" + a.Repo})}))
		}
		reply(w, http.StatusOK, out)
	case len(p) >= 3 && p[0] == "repos" && p[1] == s.Owner && s.repo(p[2]) != nil:
		x := s.repo(p[2])
		if x.Refuse != 0 {
			reply(w, x.Refuse, map[string]string{"message": "Resource not accessible by personal access token"})
			return
		}
		s.ofRepo(w, r, x, p[3:])
	default:
		notFound(w)
	}
}

func (s *GitHub) repoDoc(x *Repo) map[string]any {
	return s.full("minimal-repository", map[string]any{"id": len(x.Name) + 1000*slices.Index(s.Repos, x), "name": x.Name, "full_name": s.Owner + "/" + x.Name, "has_wiki": s.Git != nil, "owner": s.full("simple-user", map[string]any{"login": s.Owner})})
}

func (s *GitHub) runDoc(x *Repo, run *Run) map[string]any {
	status, conclusion := run.Status, any(run.Conclusion)
	if status == "" {
		status = "completed"
	}
	if conclusion == "" {
		conclusion = "success"
	}
	if status != "completed" {
		conclusion = nil
	}
	pulls := []any{}
	if run.Pull > 0 {
		branch := map[string]any{"ref": "x", "sha": "0", "repo": map[string]any{"id": 1, "url": s.URL + "/api/v3/repos/" + s.Owner + "/" + x.Name, "name": x.Name}}
		if run.Upstream {
			branch["repo"] = map[string]any{"id": 2, "url": s.URL + "/api/v3/repos/upstream/" + x.Name, "name": x.Name}
		}
		pulls = append(pulls, map[string]any{"id": 1, "number": run.Pull, "url": s.URL, "head": branch, "base": branch})
	}
	return s.full("workflow-run", map[string]any{"id": run.ID, "pull_requests": pulls, "head_branch": run.Branch, "updated_at": run.Created.Add(time.Minute).UTC().Format(time.RFC3339), "actor": s.full("simple-user", map[string]any{"login": "alice"}), "run_attempt": run.Attempts, "status": status, "conclusion": conclusion, "created_at": run.Created.UTC().Format(time.RFC3339),
		"html_url": fmt.Sprintf("https://github.com/%s/%s/actions/runs/%d", s.Owner, x.Name, run.ID)})
}

func (s *GitHub) ofRepo(w http.ResponseWriter, r *http.Request, x *Repo, p []string) {
	num := func(i int) int64 { n, _ := strconv.ParseInt(p[i], 10, 64); return n }
	find := x.run
	path := strings.Join(p, "/")
	if r.Method != http.MethodGet {
		if s.Change != nil && s.Change(w, r) {
			return
		}
		s.change(w, r, x, p)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case path == "":
		reply(w, http.StatusOK, s.full("full-repository", s.repoDoc(x)))
	case path == "actions/caches":
		out := []any{}
		for _, c := range x.Caches {
			if ref := r.URL.Query().Get("ref"); ref == "" || ref == c.Ref {
				out = append(out, map[string]any{"id": c.ID, "ref": c.Ref, "key": c.Key, "version": "v", "created_at": c.Created.UTC().Format(time.RFC3339), "last_accessed_at": c.Created.UTC().Format(time.RFC3339), "size_in_bytes": 7})
			}
		}
		reply(w, http.StatusOK, map[string]any{"total_count": len(out), "actions_caches": slice(w, r, out)})
	case path == "actions/runs":
		s.runs(w, r, x)
	case path == "actions/artifacts":
		out := []any{}
		for _, a := range slice(w, r, x.Artifacts) {
			out = append(out, s.artifactDoc(a))
		}
		reply(w, http.StatusOK, map[string]any{"total_count": len(x.Artifacts) + x.Uncounted, "artifacts": out})
	case len(p) == 4 && p[1] == "artifacts" && !slices.ContainsFunc(x.Artifacts, func(a *Artifact) bool { return a.ID == num(2) }):
		notFound(w)
	case len(p) == 4 && p[1] == "artifacts":
		s.moved(w, x, "artifact", p[2])
	case len(p) >= 3 && p[1] == "runs" && find(num(2)) == nil:
		notFound(w)
	case len(p) == 3 && p[1] == "runs":
		reply(w, http.StatusOK, s.runDoc(x, find(num(2))))
	case len(p) == 4 && p[1] == "runs" && p[3] == "artifacts":
		out := []any{}
		for _, a := range x.Artifacts {
			if a.Run == num(2) {
				out = append(out, s.artifactDoc(a))
			}
		}
		reply(w, http.StatusOK, map[string]any{"total_count": len(out) + x.Uncounted, "artifacts": slice(w, r, out)})
	case len(p) == 6 && p[5] == "jobs":
		out := []any{}
		for _, j := range find(num(2)).Jobs {
			if j.Attempt == 0 || int64(j.Attempt) == num(4) {
				out = append(out, s.jobDoc(j, num(2)))
			}
		}
		reply(w, http.StatusOK, map[string]any{"total_count": len(out) + x.Uncounted, "jobs": slice(w, r, out)})
	case len(p) == 4 && p[1] == "jobs" && p[3] == "logs" && x.log(num(2)) == "":
		notFound(w)
	case len(p) == 4 && p[1] == "jobs" && p[3] == "logs":
		s.moved(w, x, "job", p[2])
	case len(p) == 6 && p[5] == "logs":
		run := find(num(2))
		if run.Logs == nil || run.Logs(int(num(4))) == nil {
			reply(w, http.StatusGone, map[string]string{"message": "Gone"})
			return
		}
		s.moved(w, x, "logs", p[2]+"/"+p[4])
	default:
		notFound(w)
	}
}

// change carries out a request that changes something.
func (s *GitHub) change(w http.ResponseWriter, r *http.Request, x *Repo, p []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := int64(0)
	if len(p) > 2 {
		id, _ = strconv.ParseInt(p[2], 10, 64)
	}
	done := false
	switch {
	case r.Method == http.MethodDelete && len(p) == 4 && p[1] == "runs" && p[3] == "logs" && x.run(id) != nil:
		x.run(id).Logs, done = nil, true
	case r.Method == http.MethodDelete && len(p) == 3 && p[1] == "artifacts":
		x.Artifacts = slices.DeleteFunc(x.Artifacts, func(a *Artifact) bool { done = done || a.ID == id; return a.ID == id })
	case r.Method == http.MethodDelete && len(p) == 3 && p[1] == "caches":
		x.Caches = slices.DeleteFunc(x.Caches, func(c *Cache) bool { done = done || c.ID == id; return c.ID == id })
	case r.Method == http.MethodPost && len(p) == 3 && p[0] == "issues" && p[2] == "comments":
		var in struct{ Body string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		s.comments = append(s.comments, in.Body)
		s.changed = append(s.changed, r.Method+" "+r.URL.Path)
		reply(w, http.StatusCreated, s.full("issue-comment", map[string]any{"id": 1, "body": in.Body}))
		return
	}
	if !done {
		notFound(w)
		return
	}
	s.changed = append(s.changed, r.Method+" "+r.URL.Path)
	w.WriteHeader(http.StatusNoContent)
}

func (s *GitHub) jobDoc(j Job, run int64) map[string]any {
	var conclusion any
	if j.Status == "completed" {
		conclusion = j.Conclusion
		if j.Conclusion == "" {
			conclusion = "success"
		}
	}
	steps := []any{}
	for n, c := range j.Steps {
		name := fmt.Sprint("step ", n)
		if n == len(j.Steps)-1 {
			name = "Complete job"
		}
		steps = append(steps, map[string]any{"name": name, "status": "completed", "conclusion": c, "number": n + 1})
	}
	return s.full("job", map[string]any{"id": j.ID, "name": j.Name, "status": j.Status, "conclusion": conclusion, "runner_id": 7, "run_id": run, "steps": steps})
}

func (s *GitHub) artifactDoc(a *Artifact) map[string]any {
	return s.full("artifact", map[string]any{"id": a.ID, "name": a.Name, "expired": a.Expired, "workflow_run": map[string]any{"id": a.Run}, "expires_at": "2100-01-01T00:00:00Z"})
}

func (s *GitHub) runs(w http.ResponseWriter, r *http.Request, x *Repo) {
	list := x.Runs
	if c := r.URL.Query().Get("created"); c != "" {
		from, to, ok := strings.Cut(c, "..")
		a, errA := time.Parse(time.RFC3339, from)
		b, errB := time.Parse(time.RFC3339, to)
		if !ok || errA != nil || errB != nil {
			s.t.Errorf("created=%q", c)
		}
		list = nil
		for _, run := range x.Runs {
			if !run.Created.Before(a) && !run.Created.After(b) {
				list = append(list, run)
			}
		}
		list = list[:min(len(list), 1000)]
	}
	total := len(list)
	if s.Cap > 0 {
		list = list[:min(len(list), s.Cap)]
	}
	out := []any{}
	for _, run := range slice(w, r, list) {
		out = append(out, s.runDoc(x, run))
	}
	reply(w, http.StatusOK, map[string]any{"total_count": total, "workflow_runs": out})
}

func (s *GitHub) moved(w http.ResponseWriter, x *Repo, kind, id string) {
	w.Header().Set("Location", fmt.Sprintf("%s/%s/%s/%s?sig=signature-of-the-storage", s.Storage.URL, kind, x.Name, id))
	w.WriteHeader(http.StatusFound)
}

func (s *GitHub) storage(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("sig") != "signature-of-the-storage" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stored[strings.TrimPrefix(r.URL.Path, "/")]++
	p := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	x := s.repo(p[1])
	id, _ := strconv.ParseInt(p[2], 10, 64)
	switch p[0] {
	case "logs":
		n, _ := strconv.Atoi(p[3])
		if run := x.run(id); run != nil && run.Logs != nil {
			_, _ = w.Write(Zip(run.Logs(n)))
		}
	case "artifact":
		for _, a := range x.Artifacts {
			if a.ID == id {
				_, _ = w.Write(Zip(a.Members))
			}
		}
	case "job":
		_, _ = w.Write([]byte(x.log(id)))
	}
}

// Zip packs members.
func Zip(members map[string]string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	var names []string
	for n := range members {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		f, _ := z.Create(n)
		_, _ = f.Write([]byte(members[n]))
	}
	_ = z.Close()
	return b.Bytes()
}

// Cookie is a line of a log with the n-th made-up session.
func Cookie(n int) string {
	sum := sha256.Sum256([]byte(strconv.Itoa(n)))
	return "2026-11-01T10:00:00.0000000Z Cookie: sessionid=" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:20])) + "\n"
}

// Unzip gives the texts of all members of an archive.
func Unzip(b []byte) string {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return ""
	}
	var out strings.Builder
	for _, f := range z.File {
		if r, err := f.Open(); err == nil {
			_, _ = io.Copy(&out, r)
			_ = r.Close()
		}
	}
	return out.String()
}
