package github_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/scanners/github/githubtest"
)

// done is a job that ran, with its log by itself.
func done(id int64, name string, log ...string) githubtest.Job {
	return githubtest.Job{ID: id, Name: name, Status: "completed", Conclusion: "success", Log: log}
}

// Each situation of a run gives all that GitHub has of it, and reports the rest.
func TestRunsThatAreNotWhole(t *testing.T) {
	const root = "actions-run/7"
	for name, c := range map[string]struct {
		change func(*githubtest.Server, *source)
		paths  []string
		gaps   []string // what each contains
	}{
		"an archive with all logs": {func(s *githubtest.Server, _ *source) {
			s.Jobs = []githubtest.Job{done(1, "build"), done(2, "caller / test (x64)")}
			s.Logs[1] = map[string]string{"0_build.txt": line(0) + end, "1_caller  test (x64).txt": line(1) + end}
		}, []string{root + "/attempt-1!0_build.txt", root + "/attempt-1!1_caller  test (x64).txt"}, nil},
		"a log that the archive lacks is fetched alone": {func(s *githubtest.Server, _ *source) {
			s.Jobs = []githubtest.Job{done(1, "build"), done(2, "caller / test", line(1)+end)}
			s.Logs[1] = map[string]string{"0_build.txt": line(0) + end}
		}, []string{root + "/attempt-1!0_build.txt", root + "/attempt-1!caller _ test.txt"}, nil},
		"a log that GitHub has no more": {func(s *githubtest.Server, _ *source) {
			s.Jobs = []githubtest.Job{done(1, "build"), done(2, "test")}
			s.Logs[1] = map[string]string{"0_build.txt": line(0) + end}
		}, []string{root + "/attempt-1!0_build.txt"}, []string{"attempt-1!test.txt: the archive of the attempt's logs lacks it"}},
		"a log that is cut in the archive": {func(s *githubtest.Server, _ *source) {
			s.Jobs = []githubtest.Job{done(1, "build", "a line\n"+line(0)+end), done(2, "test")}
			s.Logs[1] = map[string]string{"0_build.txt": "a line\n", "1_test.txt": line(1) + end}
		}, []string{root + "/attempt-1!1_test.txt", root + "/attempt-1!build.txt"}, nil},
		"a log that is cut in the archive, as its steps are": {func(s *githubtest.Server, _ *source) {
			s.Jobs = []githubtest.Job{done(1, "build", "a line\n"+line(0)+end), done(2, "empty", line(1)+end)}
			s.Logs[1] = map[string]string{"0_build.txt": "a line\n", "build/1_Set up job.txt": "a line\n", "1_empty.txt": ""}
		}, []string{root + "/attempt-1!build.txt", root + "/attempt-1!empty.txt"}, nil},
		"a whole log whose steps are there": {func(s *githubtest.Server, _ *source) {
			s.Jobs = []githubtest.Job{done(1, "build")}
			s.Logs[1] = map[string]string{"0_build.txt": line(0) + end, "build/1_Set up job.txt": line(0), "build/3_Complete job.txt": end}
		}, []string{root + "/attempt-1!build/1_Set up job.txt"}, nil},
		"a log that is cut in the archive, and alone later": {func(s *githubtest.Server, _ *source) {
			s.Jobs = []githubtest.Job{done(1, "build", "a line\n"+line(0)+strings.Repeat("a line\n", 20))}
			s.Logs[1] = map[string]string{"0_build.txt": "a line\n"}
		}, []string{root + "/attempt-1!build.txt"}, []string{"build.txt: it has no end"}},
		"a log that is cut in the archive, and not given alone": {func(s *githubtest.Server, _ *source) {
			s.Jobs = []githubtest.Job{done(1, "build")}
			s.Logs[1] = map[string]string{"0_build.txt": line(0)}
		}, []string{root + "/attempt-1!0_build.txt"}, []string{"build.txt: it has no end in the archive"}},
		"a runner that writes no end": {func(s *githubtest.Server, _ *source) {
			s.Jobs = []githubtest.Job{done(1, "build", line(0))}
			s.Logs[1] = map[string]string{"0_build.txt": line(0)}
		}, []string{root + "/attempt-1!0_build.txt"}, nil},
		"two jobs of one name, of which one is cut": {func(s *githubtest.Server, _ *source) {
			s.Jobs = []githubtest.Job{done(1, "m", "a line\n"+line(0)+end), done(2, "m", line(1)+end)}
			s.Logs[1] = map[string]string{"0_m.txt": "a line\n", "1_m.txt": line(1) + end}
		}, []string{root + "/attempt-1!1_m.txt", root + "/attempt-1!2_m.txt", root + "/attempt-1!m.txt"}, nil},
		"a cancelled job, cut by its runner's end": {func(s *githubtest.Server, _ *source) {
			s.Jobs = []githubtest.Job{{ID: 1, Name: "build", Status: "completed", Conclusion: "cancelled", Steps: []string{"success", "cancelled"}}}
			s.Logs[1] = map[string]string{"0_build.txt": line(0)}
		}, []string{root + "/attempt-1!0_build.txt"}, nil},
		"a log with many lines after its end": {func(s *githubtest.Server, _ *source) {
			s.Jobs = []githubtest.Job{done(1, "build")}
			s.Logs[1] = map[string]string{"0_build.txt": line(0) + end + strings.Repeat("2026-11-01T10:00:01.0000000Z Terminate orphan process: pid (14573) (chrome)\n", 300)}
		}, []string{root + "/attempt-1!0_build.txt"}, nil},
		"jobs without logs": {func(s *githubtest.Server, _ *source) {
			s.Jobs = []githubtest.Job{done(1, "build"), {ID: 2, Name: "skipped", Status: "completed", Conclusion: "skipped", Idle: true}, {ID: 3, Name: "cancelled in the queue", Status: "completed", Conclusion: "cancelled", Idle: true},
				{ID: 4, Name: "cancelled at its start", Status: "completed", Conclusion: "cancelled", Steps: []string{"cancelled"}}, {ID: 5, Name: "no runner", Status: "completed", Conclusion: "failure", Idle: true}}
			s.Logs[1] = map[string]string{"0_build.txt": line(0) + end}
		}, []string{root + "/attempt-1!0_build.txt"}, nil},
		"failed jobs run again, all listed": {func(s *githubtest.Server, src *source) {
			src.Attempt = 2
			s.Jobs = []githubtest.Job{done(1, "build"), {ID: 2, Name: "test", Status: "completed", Conclusion: "failure", Attempt: 1}, {ID: 3, Name: "test", Status: "completed", Conclusion: "success", Attempt: 2}}
			s.Logs[1] = map[string]string{"0_build.txt": line(0) + end, "1_test.txt": line(1) + end}
			s.Logs[2] = map[string]string{"0_test.txt": line(2) + end}
		}, []string{root + "/attempt-1!0_build.txt", root + "/attempt-1!1_test.txt", root + "/attempt-2!0_test.txt"}, nil},
		"a job of a later attempt is missing": {func(s *githubtest.Server, src *source) {
			src.Attempt = 2
			s.Jobs = []githubtest.Job{done(1, "build"), {ID: 3, Name: "test", Status: "completed", Conclusion: "success", Attempt: 2}}
			s.Logs[1] = map[string]string{"0_build.txt": line(0) + end}
			s.Logs[2] = map[string]string{"0_build.txt": line(1) + end}
		}, []string{root + "/attempt-1!0_build.txt", root + "/attempt-2!0_build.txt"}, []string{"attempt-2!test.txt"}},
		"a list of jobs on three pages": {func(s *githubtest.Server, _ *source) {
			s.Logs[1] = map[string]string{}
			for n := range 250 {
				s.Jobs = append(s.Jobs, done(int64(n+1), fmt.Sprintf("m (%d)", n), line(2)+end))
				if n != 249 {
					s.Logs[1][fmt.Sprintf("%d_m (%d).txt", n, n)] = "nothing\n" + end
				}
			}
		}, []string{root + "/attempt-1!m (249).txt"}, nil},
		"a list that is shorter than its count": {func(s *githubtest.Server, _ *source) {
			s.Jobs, s.Uncounted = []githubtest.Job{done(1, "build")}, 1
			s.Logs[1] = map[string]string{"0_build.txt": line(0) + end}
		}, []string{root + "/attempt-1!0_build.txt"}, []string{"the list of jobs, which the logs are compared with: GitHub counts 2 and lists 1"}},
		"a list of jobs that is refused": {func(s *githubtest.Server, _ *source) {
			s.Fail = map[string]int{"/attempts/1/jobs": http.StatusForbidden}
			s.Logs[1] = map[string]string{"0_build.txt": line(0) + end}
		}, []string{root + "/attempt-1!0_build.txt"}, []string{"the list of jobs, which the logs are compared with: GitHub answers 403"}},
		"an archive that is cut": {func(s *githubtest.Server, _ *source) {
			s.Jobs, s.Cut = []githubtest.Job{done(1, "build")}, map[int]bool{1: true}
			s.Logs[1] = map[string]string{"0_build.txt": strings.Repeat("a line\n", 200) + line(0) + end, "1_test.txt": line(1) + end}
		}, nil, []string{"damaged zip"}},
		"a member that is damaged": {func(s *githubtest.Server, _ *source) {
			s.Jobs, s.Damaged = []githubtest.Job{done(1, "build")}, map[int]bool{1: true}
			s.Logs[1] = map[string]string{"0_build.txt": strings.Repeat("a line\n", 200) + end, "1_test.txt": line(1) + end}
		}, []string{root + "/attempt-1!1_test.txt"}, []string{"0_build.txt"}},
		"logs that are deleted": {func(s *githubtest.Server, _ *source) {
			s.Jobs = []githubtest.Job{done(1, "build")}
		}, nil, []string{"attempt-1: is gone"}},
		"logs that have expired": {func(s *githubtest.Server, _ *source) {
			s.Jobs, s.Fail = []githubtest.Job{done(1, "build")}, map[string]int{"/attempts/1/logs": http.StatusGone}
		}, nil, []string{"attempt-1: is gone"}},
		"artifacts that expired, were deleted, or are counted alone": {func(s *githubtest.Server, src *source) {
			src.Uploads, s.Uncounted = true, 1
			s.Logs[1] = map[string]string{"0_build.txt": ""}
			s.Artifacts = []githubtest.Artifact{{ID: 1, Name: "old", Expired: true}, {ID: 2, Name: "gone", Deleted: true}, {ID: 3, Name: "dist", Members: map[string]string{"env": line(3)}}}
		}, []string{root + "/artifacts/dist!env"}, []string{"artifacts/old: the artifact has expired", "artifacts/gone: is gone", "artifacts: GitHub counts 4 and lists 3", "the list of jobs"}},
		"artifacts on three pages": {func(s *githubtest.Server, src *source) {
			src.Uploads = true
			s.Logs[1] = map[string]string{"0_build.txt": ""}
			for n := range 201 {
				s.Artifacts = append(s.Artifacts, githubtest.Artifact{ID: int64(n + 1), Name: fmt.Sprint("a", n), Members: map[string]string{"x": "nothing"}})
			}
			s.Artifacts[200].Members = map[string]string{"env": line(3)}
		}, []string{root + "/artifacts/a200!env"}, nil},
		"a token without actions: read": {func(s *githubtest.Server, src *source) {
			src.Uploads, s.Deny = true, []string{"actions:read"}
			s.Logs[1] = map[string]string{"0_build.txt": line(0) + end}
		}, nil, []string{"attempt-1: GitHub answers 403", "artifacts: GitHub answers 403"}},
		"a running run: jobs without logs": {func(s *githubtest.Server, src *source) {
			src.Running, src.Runner = true, "mine"
			s.Jobs = []githubtest.Job{done(1, "build", line(0)+end), {ID: 2, Name: "cancelled in the queue", Status: "completed", Conclusion: "cancelled", Idle: true},
				{ID: 3, Name: "cancelled at its start", Status: "completed", Conclusion: "cancelled", Steps: []string{"cancelled"}}, {ID: 4, Name: "quell", Status: "in_progress", Runner: "mine"}}
		}, []string{root + "/attempt-1/build.txt"}, nil},
		"a running run: a log with many lines after its end": {func(s *githubtest.Server, src *source) {
			src.Running = true
			s.Jobs = []githubtest.Job{done(1, "build", line(0)+end+strings.Repeat("2026-11-01T10:00:01.0000000Z Terminate orphan process: pid (14573) (chrome)\n", 300))}
		}, []string{root + "/attempt-1/build.txt"}, nil},
		"a running run: a matrix goes on": {func(s *githubtest.Server, src *source) {
			src.Running, src.Runner = true, "mine"
			s.Jobs = []githubtest.Job{{ID: 1, Name: "m (1)", Status: "in_progress", Runner: "a"}, {ID: 2, Name: "m (2)", Status: "queued", Idle: true}, {ID: 3, Name: "quell", Status: "in_progress", Runner: "mine"}}
		}, nil, []string{"2 jobs have not ended"}},
		"a running run: its own job is not listed": {func(s *githubtest.Server, src *source) {
			src.Running, src.Runner = true, "mine"
			s.Jobs = []githubtest.Job{{ID: 1, Name: "build", Status: "in_progress", Runner: "a"}}
		}, nil, []string{"1 jobs have not ended"}},
		"a running run: only a queued job is listed": {func(s *githubtest.Server, src *source) {
			src.Running = true
			s.Jobs = []githubtest.Job{{ID: 1, Name: "build", Status: "queued", Idle: true}}
		}, nil, []string{"1 jobs have not ended"}},
		"a running run: a list that is shorter than its count": {func(s *githubtest.Server, src *source) {
			src.Running, s.Uncounted = true, 2
			s.Jobs = []githubtest.Job{{ID: 1, Name: "quell", Status: "in_progress"}}
		}, nil, []string{"GitHub counts 3 and lists 1"}},
		"a running run: no attempt of this number": {func(s *githubtest.Server, src *source) {
			src.Running, s.Fail = true, map[string]int{"/attempts/1/jobs": http.StatusNotFound}
		}, nil, []string{"attempt-1: GitHub answers 404"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, src := setup(t)
			src.Attempt = 1
			c.change(s, src)
			paths, gaps := run(t, src)
			ok := slices.Equal(paths, c.paths) && len(gaps) == len(c.gaps)
			for _, want := range c.gaps {
				ok = ok && slices.ContainsFunc(gaps, func(g string) bool { return strings.Contains(g, want) })
			}
			if !ok {
				t.Errorf("read %q\nwant %q\nnot read %q\nwant %q", paths, c.paths, gaps, c.gaps)
			}
		})
	}
}
