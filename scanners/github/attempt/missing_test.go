package attempt_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	gh "github.com/google/go-github/v88/github"

	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/cilog"
	"github.com/quellhq/quell/scanners/github/attempt"
)

// job is one whose steps had these conclusions; "": the job succeeded in three steps.
func job(name, conclusion string, steps ...string) *gh.WorkflowJob {
	j := &gh.WorkflowJob{Name: &name, Status: gh.Ptr("completed"), Conclusion: &conclusion}
	for _, s := range steps {
		j.Steps = append(j.Steps, &gh.TaskStep{Conclusion: gh.Ptr(s)})
	}
	return j
}

func ok(names ...string) (jobs []*gh.WorkflowJob) {
	for _, n := range names {
		jobs = append(jobs, job(n, "success", "success", "success"))
	}
	return jobs
}

func whole(names ...string) (logs []cilog.JobLog) {
	for _, n := range names {
		logs = append(logs, cilog.JobLog{Name: n, Size: 9, Whole: true})
	}
	return logs
}

func folders(names ...string) (logs []cilog.JobLog) {
	for _, n := range names {
		logs = append(logs, cilog.JobLog{Name: n, Steps: true})
	}
	return logs
}

func TestMissingLogs(t *testing.T) {
	long := "test (ubuntu-24.04, 3.14t, --enable-experimental-jit, --with-thread-sanitizer, release) / " + strings.Repeat("run ", 20)
	var matrix, members []string
	for n := range 256 {
		matrix = append(matrix, fmt.Sprintf("build (linux, %d)", n))
		members = append(members, fmt.Sprintf("build (linux, %d)", n))
	}
	for name, c := range map[string]struct {
		jobs []*gh.WorkflowJob
		logs []cilog.JobLog
		want []string
		n    int
	}{
		"all are there":                           {ok("a", "b"), whole("b", "a"), nil, 0},
		"one is not":                              {ok("a", "b"), whole("a"), []string{"b"}, 1},
		"an archive without a log":                {ok("a", "b"), whole(), []string{"a", "b"}, 2},
		"an empty log":                            {ok("a"), []cilog.JobLog{{Name: "a", Whole: true}}, []string{"a"}, 1},
		"a skipped job has none":                  {append(ok("a"), job("b", "skipped")), whole("a"), nil, 0},
		"a job cancelled in the queue has none":   {append(ok("a"), job("b", "cancelled")), whole("a"), nil, 0},
		"a job cancelled before its first step":   {append(ok("a"), job("b", "cancelled", "cancelled", "skipped")), whole("a"), nil, 0},
		"a cancelled job that ran":                {append(ok("a"), job("b", "cancelled", "success", "cancelled")), whole("a"), []string{"b"}, 1},
		"a job that was never started":            {append(ok("a"), job("b", "failure")), whole("a"), nil, 0},
		"a timed out job":                         {append(ok("a"), job("b", "timed_out", "success", "failure")), whole("a"), []string{"b"}, 1},
		"a slash that is left out":                {ok("caller / build", "caller / test"), whole("caller  build", "caller  test"), nil, 0},
		"a slash that is replaced":                {ok("caller / build (x64, Release)"), whole("caller _ build (x64, Release)"), nil, 0},
		"a missing job of a called workflow":      {ok("caller / build", "caller / test"), whole("caller  build"), []string{"caller / test"}, 1},
		"a colon, quotes, an asterisk":            {ok(`lint: "go*" <x>?`), whole("lint go x"), nil, 0},
		"a name cut at 90":                        {ok(long, "b"), whole(strings.TrimSpace(strings.ReplaceAll(long, "/", "")[:90]), "b"), nil, 0},
		"names cut to one":                        {ok(long+"1", long+"2"), whole(long[:60], long[:60]), nil, 0},
		"names cut to one, of which one is not":   {ok(long+"1", long+"2"), whole(long[:60]), []string{long + "2"}, 1},
		"two jobs of one name":                    {ok("a", "a"), whole("a", "a"), nil, 0},
		"two jobs of one name, one log":           {ok("a", "a"), whole("a"), []string{"a"}, 1},
		"a name without letters":                  {ok("🚀", "🔥"), whole("🚀", "🔥"), nil, 0},
		"a cut surrogate pair":                    {ok(strings.Repeat("x", 89) + "🚀"), whole(strings.Repeat("x", 89) + "\uFFFD"), nil, 0},
		"letters of other scripts":                {ok("构建 / テスト"), whole("构建  テスト"), nil, 0},
		"a name that no rule explains":            {ok("a", "b"), whole("a", "xyz"), nil, 0},
		"an unexplained name and two jobs":        {ok("a", "b", "c"), whole("a", "xyz"), []string{"b", "c"}, 1},
		"folders alone":                           {ok("a", "b"), folders("a", "b"), nil, 0},
		"folders alone, one is not there":         {ok("a", "b"), folders("a"), []string{"b"}, 1},
		"a folder in place of the job's log":      {ok("a", "b"), append(whole("a"), folders("a", "b")...), nil, 0},
		"a folder with a number hides nothing":    {ok("dup", "dup", "x"), append(whole("dup", "dup"), folders("dup", "dup1")...), []string{"x"}, 1},
		"a cancelled job's log hides nothing":     {append(ok("a", "b"), job("c", "cancelled", "cancelled")), whole("a", "c"), []string{"b"}, 1},
		"a job that goes on needs none":           {append(ok("a"), &gh.WorkflowJob{Name: gh.Ptr("b"), Status: gh.Ptr("in_progress"), Steps: []*gh.TaskStep{{Conclusion: gh.Ptr("success")}}}), whole("a"), nil, 0},
		"a matrix of 256":                         {ok(matrix...), whole(members...), nil, 0},
		"a matrix of 256 without one":             {ok(matrix...), whole(members[:255]...), []string{"build (linux, 255)"}, 1},
		"more logs than jobs":                     {ok("a"), whole("a", "b", "c"), nil, 0},
		"no list of jobs":                         {nil, whole("a"), nil, 0},
		"a carried job, listed without its steps": {append(ok("a"), job("b", "success")), whole("a"), nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			missing, n := attempt.Missing(c.jobs, c.logs)
			var got []string
			for _, j := range missing {
				got = append(got, j.GetName())
			}
			if !slices.Equal(got, c.want) || n != c.n {
				t.Errorf("%q, %d; want %q, %d", got, n, c.want, c.n)
			}
		})
	}
}

// Entries that move to a page that was read before are found by the second look, each is given
// once, and a list that stays too short is an error.
func TestListsAreReadToTheirCount(t *testing.T) {
	for name, c := range map[string]struct {
		pages [][]int64 // in the order of requests
		total int
		want  []int64
		short bool
	}{
		"two pages":              {[][]int64{{1, 2}, {3}}, 3, []int64{1, 2, 3}, false},
		"an entry that moved":    {[][]int64{{1, 2}, {2}, {1, 2}, {3}}, 3, []int64{1, 2, 3}, false},
		"one is never listed":    {[][]int64{{1, 2}, {3}, {1, 2}, {3}}, 4, []int64{1, 2, 3}, true},
		"more than are counted":  {[][]int64{{1, 2}, {3}}, 2, []int64{1, 2, 3}, false},
		"a page without entries": {[][]int64{{1, 2}, {}, {1, 2}, {}}, 3, []int64{1, 2}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var got []int64
			asked := 0
			err := attempt.Each(func(o *gh.ListOptions) ([]int64, int, int, error) {
				next := 2
				if o.Page == 2 {
					next = 0
				}
				asked++
				return c.pages[asked-1], c.total, next, nil
			}, func(n int64) int64 { return n }, func(n int64) bool { got = append(got, n); return true })
			if !slices.Equal(got, c.want) || (err != nil) != c.short || err != nil && scanners.KindOf(err) != scanners.GapNotFetched || asked != len(c.pages) {
				t.Errorf("%d, %v, %d requests", got, err, asked)
			}
		})
	}
}
