package realtest

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quellhq/quell/scanners/ci/citest"
)

// A worker is killed in the middle of a job, right after it has shown that it is there. Another
// one has done the job, and what follows from it, in less than a minute; before, it takes nothing.
func TestServeTakesOverWithinAMinute(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.fake.Repos = []*citest.Repo{{Name: "r0", Runs: []*citest.Run{c.leaking(1000, true)}}}
	var lists atomic.Int32
	c.fake.Fault = func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		if !strings.HasSuffix(r.URL.Path, "/actions/runs") || lists.Add(1) > 1 {
			return false
		}
		<-r.Context().Done() // the first one is never answered
		return true
	}
	first := c.start("apply = true", "")
	c.eventually(time.Minute, "the first job", func() bool { return lists.Load() == 1 })
	c.start("apply = true", "")
	c.eventually(time.Minute, "the second worker", func() bool { return c.number(`SELECT count(*) FROM serve_worker`) == 2 })
	const seen = `SELECT seen FROM serve_worker ORDER BY started LIMIT 1`
	last := c.number(seen)
	c.eventually(time.Minute, "a heartbeat", func() bool { return c.number(seen) != last })
	if n := lists.Load(); n != 1 || c.number(`SELECT count(*) FROM river_job WHERE kind = 'scan' AND state = 'running'`) != 1 {
		t.Fatalf("the job of a worker that is there was begun %d times", n)
	}
	c.kill(first)
	killed := time.Now()
	c.eventually(time.Minute, "the job of the worker that was killed", func() bool {
		return c.number(`SELECT count(*) FROM river_job WHERE kind = 'scan' AND state = 'completed'`) == 1
	})
	scan := time.Since(killed)
	c.eventually(time.Minute-scan, "the kill of what it finds", func() bool {
		return c.number(`SELECT count(*) FROM serve_credential WHERE outcome = 'Confirmed'`) == 1
	})
	t.Logf("the job was done %s after the kill, and the session was ended and proven dead %s after it", scan.Round(time.Millisecond), time.Since(killed).Round(time.Millisecond))
	c.endedOnce()
}
