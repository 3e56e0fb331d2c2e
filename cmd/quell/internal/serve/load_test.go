//go:build unix

package serve

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quellhq/quell/rules/testenv"
	"github.com/quellhq/quell/scanners/ci/citest"
)

// A sweep adds a job for each repository to a SQLite file, and all of them wait at once. The
// process is killed with all of them waiting and again in the middle. None is lost, and the lists
// of the web page answer while the queue drains.
func TestManyJobsThatWaitAtOnce(t *testing.T) {
	repos, workers, bar := 800/testenv.Fewer, 8, 5*time.Second // of a machine that runs other tests, and of the race detector
	if os.Getenv("QUELL_CAMPAIGN") != "" {
		repos, workers, bar = 100_000, 24, 100*time.Millisecond
	}
	b := newBench(t)
	b.withPeople(1)
	b.head = fmt.Sprintf("workers = %d\n", workers) + b.head
	b.more = "read = [\"logs\"]\n"
	leaks := 0
	for i := range repos {
		r := &citest.Repo{Name: fmt.Sprintf("r%06d", i)}
		if i%(repos/20) == 0 {
			leaks++
			r.Runs = []*citest.Run{{ID: int64(i + 1), Attempts: 1, Created: time.Now(), Logs: leaking(i + 1)}}
		}
		b.fake.Repos = append(b.fake.Repos, r)
	}
	open := make(chan struct{})
	var mu sync.Mutex
	listed := map[string]int{} // how often the runs of a repository were listed
	b.fake.Fault = func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		name, is := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/api/v3/repos/o/"), "/actions/runs")
		if !is {
			return false
		}
		select {
		case <-open:
		case <-r.Context().Done():
			return true
		}
		mu.Lock()
		defer mu.Unlock()
		listed[name]++
		return false
	}
	b.config()
	views := map[string][]time.Duration{}
	paths := []string{"/", "/incidents", "/plans", "/coverage", "/queue", "/search?q=express"}
	look := func(p *person, phase string) {
		for _, path := range paths {
			began := time.Now()
			p.get(path)
			views[phase+" "+path] = append(views[phase+" "+path], time.Since(began))
			if p.code != http.StatusOK {
				t.Fatalf("%s answers %d", path, p.code)
			}
		}
	}
	var c *exec.Cmd
	start := func() *person {
		c, _ = b.process("QUELL_TEST_LISTEN=127.0.0.1:0")
		return signIn(t, b.started(), aliceToken)
	}
	kill := func() { _ = c.Process.Kill(); _ = c.Wait() }
	p := start()
	defer func() { kill() }()
	db := b.db()
	// wait looks at the lists until a number is reached.
	wait := func(p *person, phase, query string, want int) time.Duration {
		began, last, moved := time.Now(), -1, time.Now()
		for ; ; time.Sleep(500 * time.Millisecond) {
			n := b.count(db, query)
			if n >= want {
				return time.Since(began)
			}
			if n > last {
				last, moved = n, time.Now()
			}
			if time.Since(moved) > time.Minute {
				t.Fatalf("%s: %d of %d\n%s", phase, n, want, summaryOf(t, db))
			}
			look(p, phase)
		}
	}
	const read = `SELECT count(*) FROM serve_repo WHERE read_at > 0`
	inserted := wait(p, "insert", `SELECT count(*) FROM river_job WHERE kind = 'scan'`, repos)
	kill()
	if n := b.count(db, `SELECT count(*) FROM river_job WHERE kind = 'scan' AND state IN ('available', 'running')`); n != repos {
		t.Fatalf("%d of %d jobs wait", n, repos)
	}
	p = start()
	look(p, "full")
	close(open)
	half := wait(p, "drain", read, repos/2)
	kill()
	p = start()
	rest := wait(p, "drain", read, repos)
	b.idle(db)
	look(p, "empty")
	kill()
	if n := b.count(db, read); n != repos {
		t.Errorf("%d of %d repositories were read", n, repos)
	}
	if n := b.count(db, `SELECT count(*) FROM serve_credential WHERE state <> ''`); n != leaks {
		t.Errorf("%d of %d leaks have a verdict", n, leaks)
	}
	if n := b.count(db, `SELECT count(*) FROM river_job WHERE state <> 'completed'`); n != 0 {
		t.Errorf("%d jobs are not done\n%s", n, summaryOf(t, db))
	}
	mu.Lock()
	defer mu.Unlock()
	twice := 0
	for _, r := range b.fake.Repos {
		if listed[r.Name] == 0 {
			t.Errorf("%s was not read", r.Name)
		} else if listed[r.Name] > 1 {
			twice++
		}
	}
	// River records the ends of jobs in batches: a kill repeats those of the last moment too.
	if twice > 150+4*workers {
		t.Errorf("%d repositories were read twice: more than the jobs that a kill interrupts", twice)
	}
	b.whole()
	t.Logf("%d jobs were added in %s, and done in %s (%.0f a second); %d of them twice", repos, inserted.Round(time.Millisecond), (half + rest).Round(time.Millisecond), float64(repos)/(half+rest).Seconds(), twice)
	for _, phase := range []string{"insert", "full", "drain", "empty"} {
		for _, path := range paths {
			d := views[phase+" "+path]
			if len(d) == 0 {
				continue
			}
			slices.Sort(d)
			t.Logf("%s: %s: median %s, p95 %s, most %s of %d", phase, path, d[len(d)/2].Round(100*time.Microsecond), d[len(d)*95/100].Round(100*time.Microsecond), d[len(d)-1].Round(100*time.Microsecond), len(d))
			if d[len(d)/2] > bar {
				t.Errorf("%s: %s takes %s, not %s", phase, path, d[len(d)/2], bar)
			}
		}
	}
}
