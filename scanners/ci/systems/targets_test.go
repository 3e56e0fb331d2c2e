package systems_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/ci"
	"github.com/quellhq/quell/scanners/ci/citest"
	"github.com/quellhq/quell/scanners/ci/systems"
)

// ofSystem gives the world of a system.
func ofSystem(t *testing.T, name string) world {
	t.Helper()
	all := worlds()
	i := slices.IndexFunc(all, func(w world) bool { return w.system == name })
	if i < 0 {
		t.Fatalf("no world of %s", name)
	}
	return all[i]
}

// A run that was started again under its old id is read again.
func TestRerunsAreReadAgain(t *testing.T) {
	for system, c := range map[string]struct {
		log   string
		rerun func(answers map[string]reply)
	}{
		"azure": {"/o/p/_apis/build/builds/2/logs/", func(a map[string]reply) {
			for _, b := range a["/o/p/_apis/build/builds"].(obj)["value"].(list) {
				b.(obj)["finishTime"] = "2026-11-05T10:00:00Z"
			}
		}},
		"travis": {"/job/21/log.txt", func(a map[string]reply) {
			for _, j := range a["/build/2/jobs"].(obj)["jobs"].(list) {
				j.(obj)["finished_at"] = "2026-11-05T10:00:00Z"
			}
		}},
	} {
		t.Run(system, func(t *testing.T) {
			f := newFake(t, ofSystem(t, system))
			session := map[string]reply{}
			for p := range f.answers {
				if strings.HasPrefix(p, c.log) {
					session[p], f.answers[p] = f.answers[p], raw("nothing")
				}
			}
			if len(session) == 0 {
				t.Fatal("the world has no such log")
			}
			o, mem := ci.Options{Logs: true}, &memory{m: map[string][]byte{}}
			if found, _, err := f.scan(o, mem); err != nil || len(found) > 0 {
				t.Fatalf("%v %v", found, err)
			}
			f.asked = nil
			if _, _, err := f.scan(o, mem); err != nil || slices.ContainsFunc(f.asked, func(p string) bool { return strings.HasPrefix(p, c.log) }) {
				t.Fatalf("read again without a rerun: %q %v", f.asked, err)
			}
			c.rerun(f.answers)
			for p, x := range session {
				f.answers[p] = x
			}
			if found, gaps, err := f.scan(o, mem); err != nil || len(found) == 0 {
				t.Errorf("the rerun is not read: %q %v", gaps, err)
			}
		})
	}
}

// A target whose repositories can't be listed, or that has none, is reported by its name, and
// the others are read.
func TestTargetsOfRepositoriesAreListedOneByOne(t *testing.T) {
	for system, answers := range map[string]map[string]reply{
		"gitlab": {
			"/api/v4/groups/none/projects": list{},
			"/api/v4/groups/bad/projects":  403,
			"/api/v4/groups/null/projects": list{nil},
			"/api/v4/groups/good/projects": list{obj{"id": 7, "path_with_namespace": "good/p"}},
		},
		"gitea": {
			"/api/v1/orgs/none/repos": list{},
			"/api/v1/orgs/bad/repos":  403,
			"/api/v1/orgs/null/repos": 403,
			"/api/v1/orgs/good/repos": list{obj{"name": "p", "full_name": "good/p"}},
		},
	} {
		t.Run(system, func(t *testing.T) {
			w := ofSystem(t, system)
			w.answers = answers
			f := newFake(t, w)
			i := slices.IndexFunc(systems.All(), func(s systems.System) bool { return s.Name == system })
			s := systems.All()[i]
			base, err := s.Base(f.api.URL)
			if err != nil {
				t.Fatal(err)
			}
			c := &ci.Client{Base: base, Auth: s.Auth("", rules.NewSecretString(token)), Backoff: time.Millisecond}
			targets := []string{"none", "bad", "null", "good"}
			src, err := s.New(c, nil, ci.Options{}, targets)
			if err != nil {
				t.Fatal(err)
			}
			s.Clones(src, t.TempDir(), targets)
			open, err := src.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			read, gaps := 0, []string{}
			for _, err := range open.Sources(t.Context()) {
				if err == nil {
					read++
					continue
				}
				gaps = append(gaps, err.Error())
				if strings.HasPrefix(err.Error(), "none: ") && scanners.KindOf(err) != scanners.GapMissing {
					t.Errorf("%v is of kind %s", err, scanners.KindOf(err))
				}
			}
			if read != 2 || len(gaps) != 3 || !strings.HasPrefix(gaps[0], "none: ") || !strings.HasPrefix(gaps[1], "bad: ") || !strings.HasPrefix(gaps[2], "null: ") {
				t.Errorf("%d repositories, %q", read, gaps)
			}
		})
	}
}

// A null in a list is an error of that list, and the rest is read.
func TestNullInAList(t *testing.T) {
	for _, p := range []string{"/api/v4/projects/7/pipelines", "/api/v4/projects/7/pipelines/2/jobs", "/api/v4/projects/7/pipelines/2/bridges"} {
		f := newFake(t, ofSystem(t, "gitlab"))
		f.answers[p] = list{nil}
		if _, gaps, err := f.scan(everything, nil); err != nil || !strings.Contains(strings.Join(gaps, "\n"), "null") || strings.Contains(strings.Join(gaps, "\n"), "panic") {
			t.Errorf("%s: %q %v", p, gaps, err)
		}
	}
}

// A server that shows nothing of what was asked for is reported: it gives no error.
func TestJenkinsThatShowsNothing(t *testing.T) {
	f := newFake(t, ofSystem(t, "jenkins"))
	o := everything
	o.Run = "77"
	if _, gaps, err := f.scan(o, nil); err != nil || len(gaps) != 1 || !strings.Contains(gaps[0], "no build of this number") {
		t.Errorf("%q %v", gaps, err)
	}
	f.answers["/api/json"] = obj{"jobs": list{}}
	if _, gaps, err := f.scan(everything, nil); err != nil || len(gaps) != 1 || !strings.Contains(gaps[0], "no job or build") {
		t.Errorf("%q %v", gaps, err)
	}
}

// A link to the next page that is at another port is not read, and that is reported; the storage of
// the fake fails the test if it gets the token.
func TestNextPagesElsewhere(t *testing.T) {
	for system, link := range map[string]func(f *fake){
		"bitbucket": func(f *fake) {
			f.answers[f.listPath] = obj{"values": f.answers[f.listPath].(obj)["values"], "next": "STORAGE/2.0/repositories/w/r/pipelines/?page=2"}
		},
		"buildkite": func(f *fake) {
			f.fault = func(w http.ResponseWriter, _ *http.Request, p string, _ int) bool {
				if p == f.listPath {
					w.Header().Set("Link", "<"+f.storage.URL+p+`?page=2>; rel="next"`)
				}
				return false
			}
		},
	} {
		f := newFake(t, ofSystem(t, system))
		link(f)
		found, gaps, err := f.scan(everything, nil)
		if err != nil || len(found) == 0 || !strings.Contains(strings.Join(gaps, "\n"), "another host") {
			t.Errorf("%s: %d findings, %q %v", system, len(found), gaps, err)
		}
	}
}

// A group's projects and a project's pipelines are listed to their ends. A pipeline that another
// project started is read where its project is within the target.
func TestManyProjectsAndPipelines(t *testing.T) {
	w := ofSystem(t, "gitlab")
	w.target, w.answers = "g", map[string]reply{}
	page := func(r *http.Request, all list) list {
		n, _ := strconv.Atoi(r.URL.Query().Get("page"))
		from := min((max(n, 1)-1)*100, len(all))
		return all[from:min(from+100, len(all))]
	}
	var projects, pipelines list
	for n := range 1000 {
		projects = append(projects, obj{"id": n + 1, "path_with_namespace": fmt.Sprintf("g/p%d", n+1)})
		w.answers[fmt.Sprintf("/api/v4/projects/%d/pipelines", n+1)] = list{}
	}
	for n := 2500; n > 0; n-- {
		pipelines = append(pipelines, obj{"id": n, "status": "success", "created_at": "2026-11-01T10:00:00Z"})
		w.answers[fmt.Sprintf("/api/v4/projects/1000/pipelines/%d/jobs", n)] = list{obj{"id": 10_000 + n, "name": "build", "status": "success", "started_at": old}}
		w.answers[fmt.Sprintf("/api/v4/projects/1000/pipelines/%d/bridges", n)] = list{}
		w.answers[fmt.Sprintf("/api/v4/projects/1000/jobs/%d/trace", 10_000+n)] = raw("nothing")
	}
	w.answers["/api/v4/projects/1000/jobs/10001/trace"] = raw(citest.Cookie(1))
	w.answers["/api/v4/projects/1000/pipelines/7/bridges"] = list{
		obj{"id": 1, "downstream_pipeline": obj{"id": 90_000, "project_id": 500, "status": "success"}},
		obj{"id": 2, "downstream_pipeline": obj{"id": 90_001, "project_id": 2000, "status": "success"}},
	}
	w.answers["/api/v4/projects/500/pipelines/90000/jobs"] = list{obj{"id": 90_002, "name": "child", "status": "success", "started_at": old}}
	w.answers["/api/v4/projects/500/pipelines/90000/bridges"] = list{}
	w.answers["/api/v4/projects/500/jobs/90002/trace"] = raw(citest.Cookie(2))
	f := newFake(t, w)
	f.fault = func(rw http.ResponseWriter, r *http.Request, p string, _ int) bool {
		switch {
		case p == "/api/v4/groups/g/projects":
			f.write(rw, p, page(r, projects))
		case p == "/api/v4/projects/1000/pipelines" && r.URL.Query().Get("source") == "":
			f.write(rw, p, page(r, pipelines))
		default:
			return false
		}
		return true
	}
	found, gaps, err := f.scan(ci.Options{Logs: true}, nil)
	var paths []string
	for _, l := range found {
		paths = append(paths, l.Path)
	}
	if want := []string{"g/p1000/pipelines/1/jobs/10001/trace.log", "g/p500/pipelines/90000/jobs/90002/trace.log"}; err != nil || len(gaps) > 0 || !slices.Equal(paths, want) {
		t.Errorf("%q %q %v", paths, gaps, err)
	}
	if f.n["/api/v4/projects/2000/pipelines/90001/jobs"] > 0 {
		t.Error("a pipeline of a project outside of the target was read")
	}
	for n := 1; n <= 2500; n++ {
		if f.n[fmt.Sprintf("/api/v4/projects/1000/jobs/%d/trace", 10_000+n)] != 1 {
			t.Fatalf("pipeline %d was not read once", n)
		}
	}
}
