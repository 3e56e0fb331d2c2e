package github_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/scanners/ci"
	"github.com/quellhq/quell/scanners/ci/citest"
)

const ended = "2026-11-01T10:00:01.0000000Z Cleaning up orphan processes\n"

func members(list ...string) func(int) map[string]string {
	return func(int) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(list); i += 2 {
			m[list[i]] = list[i+1]
		}
		return m
	}
}

// The archive of an attempt is compared with its jobs. What GitHub does not give is reported by
// each scan, also by those that remember what was read.
func TestArchivesThatLackLogs(t *testing.T) {
	ran := []string{"success", "success", "success"}
	const root = "o/r/actions-run/9"
	for name, c := range map[string]struct {
		run    citest.Run
		change func(*setup)
		paths  []string
		gaps   []string
	}{
		"all are there": {citest.Run{Jobs: []citest.Job{{ID: 1, Name: "a / b", Status: "completed", Steps: ran}, {ID: 2, Name: "skipped", Status: "completed", Conclusion: "skipped"}},
			Logs: members("0_a _ b.txt", citest.Cookie(1)+ended)}, nil, []string{root + "/attempt-1!0_a _ b.txt"}, nil},
		"one is given alone": {citest.Run{Jobs: []citest.Job{{ID: 1, Name: "a", Status: "completed", Steps: ran}, {ID: 2, Name: "b", Status: "completed", Steps: ran, Log: citest.Cookie(2) + ended}},
			Logs: members("0_a.txt", citest.Cookie(1)+ended)}, nil, []string{root + "/attempt-1!0_a.txt", root + "/attempt-1!b.txt"}, nil},
		"one is gone": {citest.Run{Jobs: []citest.Job{{ID: 1, Name: "a", Status: "completed", Steps: ran}, {ID: 2, Name: "b", Status: "completed", Steps: ran}},
			Logs: members("0_a.txt", "nothing\n"+ended)}, nil, nil, []string{"attempt-1!b.txt: the archive of the attempt's logs lacks it"}},
		"one is cut": {citest.Run{Jobs: []citest.Job{{ID: 1, Name: "a", Status: "completed", Steps: ran, Log: "a line\n" + citest.Cookie(1) + ended}},
			Logs: members("0_a.txt", "a line\n")}, nil, []string{root + "/attempt-1!a.txt"}, nil},
		"one is cut, and not given alone": {citest.Run{Jobs: []citest.Job{{ID: 1, Name: "a", Status: "completed", Steps: ran}},
			Logs: members("0_a.txt", "a line\n")}, nil, nil, []string{"attempt-1!a.txt: it has no end in the archive"}},
		"a runner that writes no end": {citest.Run{Jobs: []citest.Job{{ID: 1, Name: "a", Status: "completed", Steps: ran, Log: "a line\n"}},
			Logs: members("0_a.txt", "a line\n")}, nil, nil, nil},
		"steps in folders alone": {citest.Run{Jobs: []citest.Job{{ID: 1, Name: "a", Status: "completed", Steps: ran}, {ID: 2, Name: "b", Status: "completed", Steps: ran}},
			Logs: members("a/1_Set up job.txt", citest.Cookie(1), "b/1_Set up job.txt", "nothing\n")}, nil, []string{root + "/attempt-1!a/1_Set up job.txt"}, nil},
		"a job that is not run again": {citest.Run{Attempts: 2, Jobs: []citest.Job{{ID: 1, Name: "a", Status: "completed", Steps: ran}, {ID: 2, Name: "b", Status: "completed", Conclusion: "failure", Steps: ran, Attempt: 1}, {ID: 3, Name: "b", Status: "completed", Steps: ran, Attempt: 2}},
			Logs: func(n int) map[string]string {
				if n == 1 {
					return map[string]string{"0_a.txt": citest.Cookie(1) + ended, "1_b.txt": ended}
				}
				return map[string]string{"0_b.txt": citest.Cookie(2) + ended}
			}}, nil, []string{root + "/attempt-1!0_a.txt", root + "/attempt-2!0_b.txt"}, nil},
		"a list that is shorter than its count": {citest.Run{Jobs: []citest.Job{{ID: 1, Name: "a", Status: "completed", Steps: ran}}, Logs: members("0_a.txt", "nothing\n"+ended)},
			func(s *setup) { s.fake.Repos[0].Uncounted = 1 }, nil, []string{"attempt-1: the list of jobs, which the logs are compared with: GitHub counts 2 and lists 1", "the list of artifacts"}},
		"a list that is refused": {citest.Run{Logs: members("0_a.txt", "nothing\n"+ended)}, func(s *setup) {
			s.fake.Fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
				refuse := strings.HasSuffix(r.URL.Path, "/jobs")
				if refuse {
					w.WriteHeader(http.StatusForbidden)
				}
				return refuse
			}
		}, nil, []string{"attempt-1: the list of jobs"}},
		"a job that was cancelled at its start, of a run that goes on": {citest.Run{Status: "in_progress", Jobs: []citest.Job{{ID: 1, Name: "a", Status: "completed", Conclusion: "cancelled", Steps: []string{"cancelled"}}, {ID: 2, Name: "b", Status: "in_progress"}}},
			nil, nil, []string{"attempt-1: the run has not ended: the logs of 1 jobs are not read"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := prepare(t)
			s.cfg.Options = ci.Options{Logs: true, Artifacts: true, Run: "9"}
			c.run.ID, c.run.Attempts, c.run.Created = 9, max(c.run.Attempts, 1), at(9)
			s.fake.Repos = []*citest.Repo{{Name: "r", Runs: []*citest.Run{&c.run}}}
			if c.change != nil {
				c.change(s)
			}
			for range 2 {
				found, gaps, err := s.run()
				ok := err == nil && slices.Equal(paths(found), c.paths) && len(gaps) == len(c.gaps)
				for _, want := range c.gaps {
					ok = ok && slices.ContainsFunc(gaps, func(g string) bool { return strings.Contains(g, want) })
				}
				if !ok {
					t.Errorf("read %q\nwant %q\nnot read %q\nwant %q\n%v", paths(found), c.paths, gaps, c.gaps, err)
				}
			}
		})
	}
}
