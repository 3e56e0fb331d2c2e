package serve

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/rules/testenv"
	"github.com/quellhq/quell/scanners/ci/citest"
)

// The counted requests of a day: 100 runs of each repository a month, half of them with an
// artifact, each reported by a webhook, and one sweep.
func TestRequestsOfADay(t *testing.T) {
	if os.Getenv("QUELL_REAL") != "1" {
		t.Skip("QUELL_REAL=1 runs it")
	}
	const repos, perMonth = 40 / testenv.Fewer, 100
	b := newBench(t)
	b.head, b.more = "workers = 8", `every = "240h"`
	created := func(i int) time.Time { return time.Now().Add(-time.Duration(i) * 30 * day / perMonth) }
	for n := range repos {
		r := &citest.Repo{Name: fmt.Sprintf("r%d", n)}
		for i := range perMonth {
			id := int64(n*1000 + perMonth - i)
			r.Runs = append(r.Runs, &citest.Run{ID: id, Attempts: 1, Created: created(i), Logs: quiet})
			if id%2 == 0 {
				r.Artifacts = append(r.Artifacts, &citest.Artifact{ID: id, Name: "x", Run: id, Members: map[string]string{"a": fmt.Sprint(id)}})
			}
		}
		b.fake.Repos = append(b.fake.Repos, r)
	}
	s := b.start()
	db := b.db()
	b.eventually("the first sweep", func() bool {
		return b.count(db, `SELECT count(*) FROM serve_repo WHERE read_at > 0`) == repos
	})
	b.idle(db)
	s.stop() // the fake's lists are changed while nothing reads them
	kinds := func() (string, int) {
		n := map[string]int{}
		for _, q := range b.fake.Seen() {
			switch {
			case strings.Contains(q, "/logs"):
				n["logs"]++
			case strings.Contains(q, "/zip"):
				n["artifacts"]++
			case strings.Contains(q, "/artifacts"):
				n["lists of artifacts"]++
			case strings.Contains(q, "/actions/runs"):
				n["lists of runs"]++
			default:
				n["lists of repositories"]++
			}
		}
		return fmt.Sprint(n), len(b.fake.Seen())
	}
	text, n := kinds()
	t.Logf("first sweep of %d repositories, %d runs: %d requests, %s", repos, repos*perMonth, n, text)
	b.fake.Forget()
	var ended []string
	fresh := 0
	for n, r := range b.fake.Repos {
		for i := range 3 + n%3/2 { // 3⅓ a day
			id := int64(n*1000 + perMonth + i + 1)
			r.Runs = append([]*citest.Run{{ID: id, Attempts: 1, Created: time.Now(), Logs: quiet}}, r.Runs...)
			if id%2 == 0 {
				r.Artifacts = append([]*citest.Artifact{{ID: id, Name: "x", Run: id, Members: map[string]string{"a": fmt.Sprint(id)}}}, r.Artifacts...)
			}
			ended = append(ended, runEnded("o/"+r.Name, int(id), 1))
			fresh++
		}
	}
	s = b.start()
	for i, body := range ended {
		if got := deliver(t, s.url+"/hooks/acme", "workflow_run", fmt.Sprintf("%s%06d", delivery, i), body, hookSecret); got != 202 {
			t.Fatal(got)
		}
	}
	b.idle(db)
	text, hooks := kinds()
	t.Logf("webhooks of %d runs: %d requests, %s", fresh, hooks, text)
	if _, err := db.ExecContext(t.Context(), `UPDATE serve_target SET next = 0 WHERE name = 'acme'`); err != nil {
		t.Fatal(err)
	}
	b.eventually("the second sweep", func() bool { return b.count(db, `SELECT sweep FROM serve_target WHERE name = 'acme'`) == 2 })
	b.eventually("its end", func() bool { return b.count(db, `SELECT page FROM serve_target WHERE name = 'acme'`) == 0 })
	b.idle(db)
	text, all := kinds()
	hour := float64(all) * 1000 / repos / 24
	t.Logf("a day with its sweep: %d requests, %s; of 1,000 repositories %.0f an hour", all, text, hour)
	// Few repositories share the list of an owner's repositories among fewer.
	if testenv.Fewer == 1 && hour > 320 {
		t.Errorf("%.0f requests an hour for 1,000 repositories, at most 320", hour)
	}
	for _, r := range b.fake.Repos {
		for _, x := range r.Runs {
			if b.fake.Stored()[fmt.Sprintf("logs/%s/%d/1", r.Name, x.ID)] == 0 && x.ID%1000 > perMonth {
				t.Errorf("run %d of %s was not read", x.ID, r.Name)
			}
		}
	}
}
