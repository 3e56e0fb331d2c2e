package systems_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
	"github.com/quellhq/quell/scanners/ci"
	"github.com/quellhq/quell/scanners/ci/citest"
	"github.com/quellhq/quell/scanners/ci/systems"
	"github.com/quellhq/quell/scanners/detect"
)

const token = "the-token-of-the-test"

// reply is what a fake answers to a path: a document, a text, or a redirect to the storage.
type reply any

type stored string // the storage, at another port, has this
type raw string    // as it is

// world is one system with two runs. Paths are without the base and, but for some, the query.
type world struct {
	system string
	target string
	// answers are by path, with its query where that decides.
	answers map[string]reply
	// found are the paths of findings, gaps what is not read.
	found, gaps []string
	run         string // of --run
	header      string // that holds the credential
	listPath    string // of the list of runs
	// secondary is the path of a log; its faults make one log incomplete.
	log string
}

type obj = map[string]any
type list = []any

var old, late = "2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"

func message(parts ...string) raw {
	var out list
	for _, p := range parts {
		out = append(out, obj{"type": "out", "message": p})
	}
	b, _ := json.Marshal(out)
	return raw(b)
}

func zipped(name, text string) string {
	return string(citest.Zip(map[string]string{name: text}))
}

// worlds are the shapes that the systems document.
func worlds() []world {
	c := func(n int) string { return "$ env\r\n" + citest.Cookie(n) }
	half := func(n int) []string { s := c(n); return []string{s[:70], s[70:]} }
	created := func(n int) string { return fmt.Sprintf("2026-11-0%dT10:00:00Z", n) }
	return []world{
		{system: "gitlab", target: "g/p", header: "Private-Token", run: "2", listPath: "/api/v4/projects/7/pipelines", log: "/api/v4/projects/7/jobs/21/trace",
			answers: map[string]reply{
				"/api/v4/projects/g%2Fp":       obj{"id": 7, "path_with_namespace": "g/p"},
				"/api/v4/projects/7/pipelines": list{obj{"id": 2, "status": "success", "created_at": created(2)}, obj{"id": 1, "status": "failed", "created_at": created(1)}},
				"/api/v4/projects/7/pipelines?order_by=id&page=1&per_page=100&sort=desc&source=parent_pipeline": list{obj{"id": 4, "status": "success", "created_at": created(2)}, obj{"id": 3, "status": "success", "created_at": created(2)}},
				"/api/v4/projects/7/pipelines/4/jobs":    list{obj{"id": 41, "name": "child", "status": "failed", "started_at": old}},
				"/api/v4/projects/7/pipelines/4/bridges": list{},
				"/api/v4/projects/7/jobs/41/trace":       raw(c(5)),
				"/api/v4/projects/7/pipelines/2":         obj{"id": 2, "status": "success"},
				"/api/v4/projects/7/pipelines/2/jobs":    list{obj{"id": 22, "name": "build", "status": "success", "started_at": old, "artifacts_file": obj{"filename": "a.zip"}, "artifacts_expire_at": late}, obj{"id": 21, "name": "build", "status": "failed", "started_at": old, "artifacts_expire_at": old}},
				"/api/v4/projects/7/pipelines/2/bridges": list{obj{"id": 5, "downstream_pipeline": obj{"id": 3, "project_id": 7, "status": "success"}}, obj{"id": 6, "downstream_pipeline": obj{"id": 9, "project_id": 8, "status": "success"}}},
				"/api/v4/projects/7/pipelines/3/jobs":    list{obj{"id": 31, "name": "child", "status": "success", "started_at": old}},
				"/api/v4/projects/7/pipelines/3/bridges": list{},
				"/api/v4/projects/7/pipelines/1/jobs":    list{obj{"id": 11, "name": "build", "status": "success", "started_at": old, "erased_at": old}},
				"/api/v4/projects/7/pipelines/1/bridges": list{},
				"/api/v4/projects/7/jobs/21/trace":       raw("section_start:1:step_script\r\x1b[0K" + c(1)),
				"/api/v4/projects/7/jobs/22/trace":       stored(c(2)),
				"/api/v4/projects/7/jobs/22/artifacts":   stored(zipped("a/.env", c(3))),
				"/api/v4/projects/7/jobs/31/trace":       raw(c(4)),
			},
			found: []string{"g/p/pipelines/2/jobs/21/trace.log", "g/p/pipelines/2/jobs/22/artifacts.zip!a/.env", "g/p/pipelines/2/jobs/22/trace.log", "g/p/pipelines/3/jobs/31/trace.log", "g/p/pipelines/4/jobs/41/trace.log"},
			gaps:  []string{"g/p/pipelines/1/jobs/11/trace.log: has expired", "g/p/pipelines/2/jobs/21/artifacts.zip: has expired"}},
		{system: "gitea", target: "o/r", header: "Authorization", run: "2", listPath: "/api/v1/repos/o/r/actions/runs", log: "/api/v1/repos/o/r/actions/jobs/21/logs",
			answers: map[string]reply{
				"/api/v1/repos/o/r/actions/runs":             obj{"total_count": 2, "workflow_runs": list{obj{"id": 2, "status": "completed", "created_at": created(2)}, obj{"id": 1, "status": "in_progress", "created_at": created(1)}}},
				"/api/v1/repos/o/r/actions/runs/2":           obj{"id": 2, "status": "completed"},
				"/api/v1/repos/o/r/actions/runs/2/jobs":      obj{"total_count": 1, "jobs": list{obj{"id": 21, "name": "build", "status": "completed", "conclusion": "success", "run_attempt": 1}}},
				"/api/v1/repos/o/r/actions/runs/1/jobs":      obj{"total_count": 1, "jobs": list{obj{"id": 11, "name": "wait", "status": "queued"}}},
				"/api/v1/repos/o/r/actions/runs/2/artifacts": obj{"total_count": 2, "artifacts": list{obj{"id": 5, "name": "dist"}, obj{"id": 6, "name": "old", "expired": true}}},
				"/api/v1/repos/o/r/actions/runs/1/artifacts": obj{"total_count": 0, "artifacts": list{}},
				"/api/v1/repos/o/r/actions/jobs/21/logs":     raw(c(1)),
				"/api/v1/repos/o/r/actions/artifacts/5/zip":  stored(zipped("a/.env", c(2))),
			},
			found: []string{"o/r/actions-run/2/artifacts/dist!a/.env", "o/r/actions-run/2/attempt-1/21_build.log"},
			gaps:  []string{"o/r/actions-run/1: the run has not ended", "o/r/actions-run/2/artifacts/old: has expired"}},
		{system: "jenkins", target: "", header: "Authorization", run: "2", listPath: "/job/folder/job/main/api/json", log: "/job/folder/job/main/2/consoleText",
			answers: map[string]reply{
				"/api/json":                                         obj{"jobs": list{obj{"name": "folder", "url": "http://elsewhere.example/job/folder"}}},
				"/job/folder/api/json":                              obj{"jobs": list{obj{"name": "main"}}},
				"/job/folder/job/main/api/json":                     obj{"allBuilds": list{obj{"number": 2, "timestamp": 1_790_000_000_000, "artifacts": list{obj{"relativePath": "a/.env"}}}, obj{"number": 1, "timestamp": 1_780_000_000_000, "building": true}}},
				"/job/folder/job/main/2/consoleText":                raw("Started by user\n" + c(1)),
				"/job/folder/job/main/1/consoleText":                raw("Started by user\n" + c(2)),
				"/job/folder/job/main/2/artifact/*zip*/archive.zip": raw(zipped("archive/a/.env", c(3))),
			},
			found: []string{"HOST/folder/main/builds/1/console.log", "HOST/folder/main/builds/2/archive.zip!archive/a/.env", "HOST/folder/main/builds/2/console.log"},
			gaps:  []string{"HOST/folder/main/builds/1: the build has not ended"}},
		{system: "circleci", target: "gh/o/r", header: "Circle-Token", run: "p2", listPath: "/api/v2/project/gh/o/r/pipeline", log: "/api/v1.1/project/github/o/r/21",
			answers: map[string]reply{
				"/api/v2/project/gh/o/r/pipeline":              obj{"items": list{obj{"id": "p2", "created_at": created(2), "project_slug": "gh/o/r"}}, "next_page_token": "t"},
				"/api/v2/project/gh/o/r/pipeline?page-token=t": obj{"items": list{obj{"id": "p1", "created_at": created(1), "project_slug": "gh/o/r"}}, "next_page_token": nil},
				"/api/v2/pipeline/p2":                          obj{"id": "p2"},
				"/api/v2/pipeline/p2/workflow":                 obj{"items": list{obj{"id": "w2", "name": "w", "status": "success"}, obj{"id": "w1", "name": "w", "status": "failed"}}},
				"/api/v2/pipeline/p1/workflow":                 obj{"items": list{obj{"id": "w0", "name": "w", "status": "running"}}},
				"/api/v2/workflow/w0/job":                      obj{"items": list{}},
				"/api/v2/workflow/w1/job":                      obj{"items": list{obj{"job_number": 21, "name": "build", "status": "failed"}}},
				"/api/v2/workflow/w2/job":                      obj{"items": list{obj{"job_number": 22, "name": "build", "status": "success"}, obj{"name": "hold", "status": "on_hold", "type": "approval"}}},
				"/api/v1.1/project/github/o/r/21":              obj{"steps": list{obj{"name": "env", "actions": list{obj{"name": "env", "bash_command": "env", "output_url": "STORAGE/21"}}}}},
				"/api/v1.1/project/github/o/r/22":              obj{"steps": list{obj{"name": "echo", "actions": list{obj{"name": "echo", "bash_command": "echo '" + c(2) + "'", "truncated": true}}}}},
				"STORAGE/21":                                   message(half(1)...),
				"/api/v2/project/gh/o/r/21/artifacts":          obj{"items": list{obj{"path": "a/.env", "node_index": 0, "url": "STORAGE/a"}}},
				"/api/v2/project/gh/o/r/22/artifacts":          obj{"items": list{}},
				"STORAGE/a":                                    raw(c(3)),
			},
			found: []string{"gh/o/r/pipelines/p2/jobs/21/artifacts/0/a/.env", "gh/o/r/pipelines/p2/jobs/21/output.zip!build/1_env.txt", "gh/o/r/pipelines/p2/jobs/22/output.zip!build/1_echo.txt"},
			gaps:  []string{"gh/o/r/pipelines/p1: the pipeline has not ended", "gh/o/r/pipelines/p2/jobs/22/output.zip: build: echo: the system keeps only a part"}},
		{system: "buildkite", target: "o/p", header: "Authorization", run: "2", listPath: "/v2/organizations/o/pipelines/p/builds", log: "/v2/organizations/o/jobs/j1/log.txt",
			answers: map[string]reply{
				"/v2/organizations/o/pipelines/p/builds":                                 list{obj{"number": 2, "state": "passed", "created_at": created(2), "pipeline": obj{"slug": "p"}}, obj{"number": 1, "state": "running", "created_at": created(1), "pipeline": obj{"slug": "p"}}},
				"/v2/organizations/o/pipelines/p/builds/2":                               obj{"number": 2, "state": "passed"},
				"/v2/organizations/o/pipelines/p/builds/2/jobs":                          list{obj{"id": "j1", "type": "script", "name": "build", "state": "failed"}, obj{"id": "j2", "type": "script", "name": "build", "state": "passed", "retries_count": 1}, obj{"id": "w", "type": "waiter"}},
				"/v2/organizations/o/pipelines/p/builds/1/jobs":                          list{obj{"id": "j3", "type": "script", "name": "build", "state": "scheduled"}},
				"/v2/organizations/o/jobs/j1/log.txt":                                    raw("\x1b_bk;t=1\a" + c(1)),
				"/v2/organizations/o/jobs/j2/log":                                        obj{"content": c(2), "size": 9},
				"/v2/organizations/o/pipelines/p/builds/2/artifacts":                     list{obj{"id": "a1", "job_id": "j2", "path": "a/.env", "state": "finished"}, obj{"id": "a2", "job_id": "j2", "path": "b", "state": "deleted"}},
				"/v2/organizations/o/pipelines/p/builds/1/artifacts":                     list{},
				"/v2/organizations/o/pipelines/p/builds/2/jobs/j2/artifacts/a1/download": stored(c(3)),
			},
			found: []string{"o/p/builds/2/jobs/j1/output.log", "o/p/builds/2/jobs/j2/artifacts/a/.env", "o/p/builds/2/jobs/j2/output.log"},
			gaps:  []string{"o/p/builds/1: the build has not ended", "o/p/builds/2/jobs/j2/artifacts/b: has expired"}},
		{system: "azure", target: "o/p", header: "Authorization", run: "2", listPath: "/o/p/_apis/build/builds", log: "/o/p/_apis/build/builds/2/logs/5",
			answers: map[string]reply{
				"/o/p/_apis/build/builds":                obj{"value": list{obj{"id": 2, "status": "completed", "queueTime": created(2)}}},
				"/o/p/_apis/build/builds/2":              obj{"id": 2, "status": "completed"},
				"/o/p/_apis/build/builds/2/timeline":     obj{"records": list{obj{"id": "j", "type": "Job", "name": "Build", "log": obj{"id": 6}}, obj{"id": "t", "parentId": "j", "type": "Task", "name": "Run tests", "log": obj{"id": 5}, "attempt": 2, "previousAttempts": list{obj{"attempt": 1, "timelineId": "old"}}}}},
				"/o/p/_apis/build/builds/2/timeline/old": obj{"records": list{obj{"id": "t0", "parentId": "j", "type": "Task", "name": "Run tests", "log": obj{"id": 4}, "attempt": 1}}},
				"/o/p/_apis/build/builds/2/logs":         obj{"value": list{obj{"id": 4}, obj{"id": 5}, obj{"id": 6}}},
				"/o/p/_apis/build/builds/2/logs/4":       raw(c(1)),
				"/o/p/_apis/build/builds/2/logs/5":       raw("2026-09-01T23:31:35.6707880Z ##[section]Starting: x\n" + citest.Cookie(2)),
				"/o/p/_apis/build/builds/2/logs/6":       raw("2026-09-01T23:31:35.6707880Z ##[section]Starting: x\n" + citest.Cookie(2)),
				"/o/p/_apis/build/builds/2/artifacts":    obj{"value": list{obj{"name": "drop"}}},
				"/o/p/_apis/build/builds/2/artifacts?%24format=zip&api-version=7.1&artifactName=drop": stored(zipped("drop/.env", c(3))),
			},
			found: []string{"o/p/builds/2/artifacts/drop!drop/.env", "o/p/builds/2/logs.zip!Build (attempt 2)/2_Run tests.txt", "o/p/builds/2/logs.zip!Build/1_Run tests.txt"}},
		{system: "bitbucket", target: "w/r", header: "Authorization", run: "2", listPath: "/2.0/repositories/w/r/pipelines/", log: "/2.0/repositories/w/r/pipelines/%7Bp2%7D/steps/%7Bs1%7D/log",
			answers: map[string]reply{
				"/2.0/repositories/w/r/pipelines/":                            obj{"values": list{obj{"uuid": "{p2}", "build_number": 2, "created_on": created(2), "state": obj{"name": "COMPLETED"}}}, "next": "BASE/2.0/repositories/w/r/pipelines/?page=2"},
				"/2.0/repositories/w/r/pipelines/?page=2":                     obj{"values": list{obj{"uuid": "{p1}", "build_number": 1, "created_on": created(1), "state": obj{"name": "COMPLETED"}}}},
				"/2.0/repositories/w/r/pipelines/2":                           obj{"uuid": "{p2}", "build_number": 2, "state": obj{"name": "COMPLETED"}},
				"/2.0/repositories/w/r/pipelines/%7Bp2%7D/steps/":             obj{"values": list{obj{"uuid": "{s1}", "name": "Build", "state": obj{"name": "COMPLETED"}}, obj{"uuid": "{s2}", "state": obj{"name": "PENDING"}}}},
				"/2.0/repositories/w/r/pipelines/%7Bp1%7D/steps/":             obj{"values": list{obj{"uuid": "{s0}", "name": "Build", "state": obj{"name": "COMPLETED"}}}},
				"/2.0/repositories/w/r/pipelines/%7Bp2%7D/steps/%7Bs1%7D/log": stored(c(1)),
				"/2.0/repositories/w/r/pipelines/%7Bp1%7D/steps/%7Bs0%7D/log": http.StatusNotFound,
			},
			found: []string{"w/r/pipelines/2/steps/s1.log"}, gaps: []string{"w/r/pipelines/1/steps/s0.log: the server answers 404"}},
		{system: "travis", target: "o/r", header: "Authorization", run: "2", listPath: "/repo/o%2Fr/builds", log: "/job/21/log.txt",
			answers: map[string]reply{
				"/repo/o%2Fr/builds": obj{"@pagination": obj{"is_last": true}, "builds": list{obj{"id": 2, "state": "passed", "started_at": created(2)}, obj{"id": 1, "state": "started", "started_at": created(1)}}},
				"/build/2/jobs":      obj{"jobs": list{obj{"id": 21, "number": "2.1", "state": "passed"}}},
				"/build/1/jobs":      obj{"jobs": list{obj{"id": 11, "number": "1.1", "state": "started"}}},
				"/job/21/log.txt":    raw("travis_fold:start:x\r\x1b[0K" + c(1)),
				"/job/11/log.txt":    raw("nothing"),
			},
			found: []string{"o/r/builds/2/jobs/21.log"}, gaps: []string{"o/r/builds/1: the build has not ended"}},
		{system: "teamcity", target: "Proj", header: "Authorization", run: "2", listPath: "/app/rest/builds", log: "/downloadBuildLog.html",
			answers: map[string]reply{
				"/app/rest/builds":                         obj{"build": list{obj{"id": 2, "state": "finished", "buildTypeId": "Proj_Build", "queuedDate": "20261102T100000+0000"}, obj{"id": 1, "state": "queued", "buildTypeId": "Proj_Build", "queuedDate": "20261101T100000+0000"}}},
				"/app/rest/builds/id:2":                    obj{"id": 2, "state": "finished", "buildTypeId": "Proj_Build"},
				"/downloadBuildLog.html":                   raw("[08:02:41]i:\t\t [Step 1/1] x\n" + c(1)),
				"/app/rest/builds/id:2/artifacts/children": obj{"file": list{obj{"name": "a"}}},
				"/app/rest/builds/id:2/artifacts/archived": raw(zipped("a/.env", c(2))),
			},
			found: []string{"Proj/builds/2/artifacts.zip!a/.env", "Proj/builds/2/build.log"}, gaps: []string{"Proj/builds/1: the build has not begun"}},
		{system: "drone", target: "o/r", header: "Authorization", run: "2", listPath: "/api/repos/o/r/builds", log: "/api/repos/o/r/builds/2/logs/1/1",
			answers: map[string]reply{
				"/api/repos/o/r/builds":            list{obj{"number": 2, "status": "success", "created": 1_790_000_000}, obj{"number": 1, "status": "running", "created": 1_780_000_000}},
				"/api/repos/o/r/builds/2":          obj{"status": "success", "stages": list{obj{"number": 1, "name": "default", "steps": list{obj{"number": 1, "name": "build", "status": "success"}, obj{"number": 2, "name": "x", "status": "skipped"}}}}},
				"/api/repos/o/r/builds/1":          obj{"status": "running", "stages": list{}},
				"/api/repos/o/r/builds/2/logs/1/1": list{obj{"pos": 0, "out": half(1)[0]}, obj{"pos": 1, "out": half(1)[1]}},
			},
			found: []string{"o/r/builds/2/1_default/1_build.log"}, gaps: []string{"o/r/builds/1: the build has not ended"}},
		{system: "woodpecker", target: "o/r", header: "Authorization", run: "2", listPath: "/api/repos/7/pipelines", log: "/api/repos/7/logs/2/91",
			answers: map[string]reply{
				"/api/repos/lookup/o/r":    obj{"id": 7, "full_name": "o/r"},
				"/api/repos/7/pipelines":   list{obj{"number": 2, "status": "success", "created": 1_790_000_000}},
				"/api/repos/7/pipelines/2": obj{"status": "success", "workflows": list{obj{"name": "w", "children": list{obj{"id": 91, "name": "build", "state": "success"}}}}},
				"/api/repos/7/logs/2/91":   list{obj{"line": 0, "data": base64.StdEncoding.EncodeToString([]byte("start"))}, obj{"line": 1, "data": base64.StdEncoding.EncodeToString([]byte(citest.Cookie(1)))}},
			},
			found: []string{"o/r/pipelines/2/w/91_build.log"}},
	}
}

// fake serves a world, and keeps what redirects name at another port.
type fake struct {
	world
	t       *testing.T
	api     *httptest.Server
	storage *httptest.Server
	fault   func(w http.ResponseWriter, r *http.Request, path string, n int) bool
	mu      sync.Mutex
	n       map[string]int
	asked   []string
	self    string // BASE of the answers, if it is not api's address
}

func newFake(t *testing.T, w world) *fake {
	f := &fake{world: w, t: t, n: map[string]int{}}
	f.api = httptest.NewServer(http.HandlerFunc(f.serve))
	f.storage = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, v := range r.Header {
			if strings.Contains(strings.Join(v, " "), token) || name == f.header {
				t.Errorf("the token was sent to another port, as %s", name)
			}
		}
		if k := r.URL.Query().Get("of"); k != "" {
			if x, ok := f.answers[k].(stored); ok {
				_, _ = w.Write([]byte(x))
				return
			}
		}
		f.write(w, "", f.answers["STORAGE"+r.URL.Path])
	}))
	t.Cleanup(f.api.Close)
	t.Cleanup(f.storage.Close)
	return f
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	f.mu.Lock()
	n := f.n[path]
	f.n[path]++
	f.asked = append(f.asked, path)
	f.mu.Unlock()
	if f.fault != nil && f.fault(w, r, path, n) {
		return
	}
	if !strings.Contains(r.Header.Get(f.header), token) {
		basic, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.Header.Get(f.header), "Basic "))
		if !strings.Contains(string(basic), token) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
	}
	answer, ok := f.answers[path+"?"+r.URL.RawQuery]
	key := path + "?" + r.URL.RawQuery
	if !ok {
		key = path
		answer, ok = f.answers[path]
		// A second page of what has none.
		if page := r.URL.Query().Get("page"); ok && page != "" && page != "1" || strings.Contains(r.URL.Query().Get("locator"), "start:100") || strings.Contains(r.URL.Query().Get("tree"), "{100,") {
			switch answer.(type) {
			case list:
				answer = list{}
			case obj:
				answer = obj{}
			}
		}
	}
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if _, ok := answer.(stored); ok {
		status := http.StatusFound
		if f.system == "bitbucket" {
			status = http.StatusTemporaryRedirect
		}
		http.Redirect(w, r, f.storage.URL+"/x?of="+url.QueryEscape(key), status)
		return
	}
	f.write(w, path, answer)
}

func (f *fake) write(w http.ResponseWriter, path string, answer reply) {
	switch x := answer.(type) {
	case int:
		w.WriteHeader(x)
	case raw:
		_, _ = w.Write([]byte(x))
	default:
		f.official(path, answer)
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		_ = e.Encode(answer)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(strings.NewReplacer("STORAGE", f.storage.URL, "BASE", cmp.Or(f.self, f.api.URL), "USER", strings.Replace(cmp.Or(f.self, f.api.URL), "//", "//alice@", 1)).Replace(b.String())))
	}
}

type memory struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (m *memory) Get(_ context.Context, key string) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.m[key]
	return b, ok
}

func (m *memory) Put(_ context.Context, key string, value []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.m[key] = value
}

var detector = sync.OnceValue(func() *detect.Engine {
	set, err := rules.Builtin()
	if err != nil {
		panic(err)
	}
	return detect.New(set)
})

func (f *fake) scan(o ci.Options, mem scanners.Memory) (found []rules.Location, gaps []string, err error) {
	f.t.Helper()
	i := slices.IndexFunc(systems.All(), func(s systems.System) bool { return s.Name == f.system })
	s := systems.All()[i]
	if s.NoArtifacts != "" {
		o.Artifacts = false
	}
	target := f.target
	base, err := s.Base(f.api.URL)
	if s.AddressTarget {
		target = f.api.URL
		base, err = s.Common([]string{target})
	}
	if err != nil {
		f.t.Fatal(err)
	}
	c := &ci.Client{Base: base, Auth: s.Auth("", rules.NewSecretString(token)), Memory: mem, Backoff: time.Millisecond, Stall: 300 * time.Millisecond, Temp: f.t.TempDir()}
	src, err := s.New(c, mem, o, []string{target})
	if err != nil {
		f.t.Fatal(err)
	}
	var mu sync.Mutex
	p := scanners.Pool{Detector: detector(), Workers: 2, Unpacker: archive.New(archive.DefaultLimits)}
	_, err = p.Run(f.t.Context(), src, func(x rules.Finding) {
		mu.Lock()
		defer mu.Unlock()
		found = append(found, x.Location)
	}, func(g scanners.Gap) {
		mu.Lock()
		defer mu.Unlock()
		gaps = append(gaps, g.Error())
	})
	slices.SortFunc(found, func(a, b rules.Location) int { return strings.Compare(a.Path, b.Path) })
	slices.Sort(gaps)
	return found, gaps, err
}

// check compares with what a world holds.
func (f *fake) check(found []rules.Location, gaps []string, err error) {
	f.t.Helper()
	var paths []string
	for _, l := range found {
		paths = append(paths, strings.Replace(l.Path, strings.TrimPrefix(f.api.URL, "http://"), "HOST", 1))
		if l.System != f.system || l.Run == "" || !strings.Contains(l.Path, l.Run) {
			f.t.Errorf("%+v", l)
		}
	}
	ok := slices.Equal(paths, f.found) && len(gaps) == len(f.gaps)
	for i := 0; ok && i < len(gaps); i++ {
		ok = strings.HasPrefix(strings.Replace(gaps[i], strings.TrimPrefix(f.api.URL, "http://"), "HOST", 1), f.gaps[i])
	}
	if !ok || err != nil {
		f.t.Errorf("found %q\nnot read %q\n%v", paths, gaps, err)
	}
}

var everything = ci.Options{Logs: true, Artifacts: true}

// Every system passes.
func TestSystems(t *testing.T) {
	for _, w := range worlds() {
		t.Run(w.system, func(t *testing.T) {
			t.Parallel()
			each := func(name string, run func(t *testing.T, f *fake)) {
				t.Run(name, func(t *testing.T) { run(t, newFake(t, w)) })
			}
			each("all is read", func(_ *testing.T, f *fake) { f.check(f.scan(everything, nil)) })
			each("one run", func(t *testing.T, f *fake) {
				o := everything
				o.Run = f.run
				found, _, err := f.scan(o, nil)
				if err != nil || len(found) == 0 || slices.ContainsFunc(found, func(l rules.Location) bool { return l.Run != f.run && !(f.system == "gitlab" && l.Run == "3") }) {
					t.Errorf("%+v %v", found, err)
				}
			})
			each("the newest run", func(t *testing.T, f *fake) {
				o := everything
				o.Runs = 1
				found, gaps, err := f.scan(o, nil)
				if err != nil || len(found) == 0 || slices.ContainsFunc(append(gaps, found[0].Path), func(p string) bool {
					return strings.Contains(p, "/1/") || strings.Contains(p, "/1:") || strings.Contains(p, "/p1")
				}) {
					t.Errorf("%q %q %v", found[0].Path, gaps, err)
				}
			})
			each("too old", func(t *testing.T, f *fake) {
				o := everything
				o.Since = time.Now().Add(100 * 24 * 365 * time.Hour)
				if found, gaps, err := f.scan(o, nil); len(found) > 0 || len(gaps) > 0 || err != nil {
					t.Errorf("%v %q %v", found, gaps, err)
				}
			})
			each("a second scan reports the same and reads less", func(t *testing.T, f *fake) {
				mem := &memory{m: map[string][]byte{}}
				f.check(f.scan(everything, mem))
				f.check(f.scan(everything, mem))
			})
			each("5xx once", func(_ *testing.T, f *fake) {
				f.fault = func(w http.ResponseWriter, _ *http.Request, _ string, n int) bool {
					if n == 0 {
						w.WriteHeader(http.StatusBadGateway)
					}
					return n == 0
				}
				f.check(f.scan(everything, nil))
			})
			each("reset once", func(_ *testing.T, f *fake) {
				f.fault = func(w http.ResponseWriter, _ *http.Request, _ string, n int) bool {
					if n == 0 {
						c, _, _ := w.(http.Hijacker).Hijack()
						_ = c.Close()
					}
					return n == 0
				}
				f.check(f.scan(everything, nil))
			})
			each("throttled once", func(_ *testing.T, f *fake) {
				f.fault = func(w http.ResponseWriter, _ *http.Request, p string, n int) bool {
					if n == 0 && p == f.log {
						w.Header().Set("Retry-After", "1")
						w.WriteHeader(http.StatusTooManyRequests)
						return true
					}
					return false
				}
				f.check(f.scan(everything, nil))
			})
			each("a log that stalls", func(t *testing.T, f *fake) {
				f.fault = func(w http.ResponseWriter, r *http.Request, p string, _ int) bool {
					if p != f.log {
						return false
					}
					_, _ = w.Write([]byte("begin"))
					_ = http.NewResponseController(w).Flush()
					<-r.Context().Done()
					return true
				}
				if _, gaps, err := f.scan(everything, nil); err != nil || len(gaps) != len(f.gaps)+1 || !strings.Contains(strings.Join(gaps, "\n"), "stalled") {
					t.Errorf("%q %v", gaps, err)
				}
			})
			each("a list that redirects to another port", func(t *testing.T, f *fake) {
				f.fault = func(w http.ResponseWriter, r *http.Request, p string, _ int) bool {
					if p == f.listPath {
						http.Redirect(w, r, f.storage.URL+"/list", http.StatusTemporaryRedirect)
					}
					return p == f.listPath
				}
				if _, gaps, err := f.scan(everything, nil); err != nil || len(gaps) != 1 || !strings.Contains(gaps[0], "redirects to another host") {
					t.Errorf("%q %v", gaps, err)
				}
			})
			each("a project that refuses", func(t *testing.T, f *fake) {
				f.fault = func(w http.ResponseWriter, r *http.Request, p string, _ int) bool {
					if p == f.listPath {
						w.WriteHeader(http.StatusForbidden)
					}
					return p == f.listPath
				}
				if _, gaps, err := f.scan(everything, nil); err != nil || len(gaps) != 1 || !strings.Contains(gaps[0], "403") {
					t.Errorf("%q %v", gaps, err)
				}
			})
			each("a refused token", func(t *testing.T, f *fake) {
				f.fault = func(w http.ResponseWriter, r *http.Request, p string, _ int) bool {
					w.WriteHeader(http.StatusUnauthorized)
					return true
				}
				var fatal *scanners.Fatal
				if _, gaps, err := f.scan(everything, nil); !asFatal(err, &fatal) || len(gaps) > 0 || len(f.asked) > 2 {
					t.Errorf("%q %v, %d requests", gaps, err, len(f.asked))
				}
			})
		})
	}
}

func asFatal(err error, to **scanners.Fatal) bool {
	f, ok := err.(*scanners.Fatal)
	*to = f
	return ok
}
