package serve

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quellhq/quell/scanners/ci/citest"
)

// The logs of a run that a webhook reports may come some seconds later: the job waits for them,
// not for the next sweep.
func TestLogsThatComeLateAreReadByTheSameJob(t *testing.T) {
	b := newBench(t)
	repo := &citest.Repo{Name: "a"}
	b.fake.Repos = []*citest.Repo{repo}
	var refused atomic.Int64
	b.fake.Fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		switch {
		case strings.HasSuffix(r.URL.Path, "/logs") && refused.Add(1) == 1:
			w.WriteHeader(http.StatusNotFound)
		case strings.HasSuffix(r.URL.Path, "/attempts/1/jobs"):
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"total_count":1,"jobs":[{"id":1,"status":"completed","conclusion":"success","runner_id":7}]}`)
		default:
			return false
		}
		return true
	}
	r := b.start()
	db := b.db()
	b.eventually("the first sweep", func() bool { return b.count(db, `SELECT count(*) FROM serve_repo WHERE read_at > 0`) == 1 })
	b.idle(db)
	repo.Runs = []*citest.Run{{ID: 1, Attempts: 1, Created: time.Now(), Logs: leaking(10)}}
	if got := deliver(t, r.url+"/hooks/acme", "workflow_run", delivery+"58", runEnded("o/a", 1, 1), hookSecret); got != 202 {
		t.Fatal(got)
	}
	b.idle(db)
	if n := b.count(db, `SELECT count(*) FROM serve_credential`); n != 1 || refused.Load() < 2 {
		t.Errorf("%d credentials after %d requests for logs", n, refused.Load())
	}
}

// An image whose registry refuses or fails is read again, and is never done unread.
func TestImageOfARegistryThatFailsIsReadAgain(t *testing.T) {
	for _, code := range []int{http.StatusUnauthorized, http.StatusInternalServerError, http.StatusTooManyRequests} {
		var asked atomic.Int64
		registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if asked.Add(1); code == http.StatusTooManyRequests {
				w.Header().Set("Retry-After", "3600")
			}
			w.WriteHeader(code)
		}))
		defer registry.Close()
		b := newBench(t)
		b.fake.Repos = []*citest.Repo{{Name: "a"}}
		b.more = `registry = "` + strings.TrimPrefix(registry.URL, "http://") + `"`
		r := b.start()
		db := b.db()
		body := `{"action":"published","package":{"name":"a","namespace":"o","package_type":"CONTAINER","package_version":{"container_metadata":{"tag":{"name":"v1"}}}},"repository":{"full_name":"o/a"}}`
		if got := deliver(t, r.url+"/hooks/acme", "package", delivery+"58", body, hookSecret); got != 202 {
			t.Fatal(got)
		}
		const image = `SELECT count(*) FROM river_job WHERE kind = 'scan' AND json_extract(args, '$.what') = 'image' AND `
		b.eventually("the first attempt", func() bool {
			return b.count(db, image+`(attempt > 0 OR state = 'scheduled') AND state <> 'running'`) == 1
		})
		if n := b.count(db, image+`state = 'completed'`); n != 0 {
			t.Errorf("%d: the job is done", code)
		}
		if code == http.StatusTooManyRequests {
			// The next attempt, and each other image, waits for the hour that the registry asked for.
			b.eventually("the wait", func() bool {
				return b.count(db, image+`state = 'scheduled' AND scheduled_at > datetime('now', '+50 minutes')`) == 1
			})
			n := asked.Load()
			other := strings.Replace(body, `"name":"v1"`, `"name":"v2"`, 1)
			if got := deliver(t, r.url+"/hooks/acme", "package", delivery+"59", other, hookSecret); got != 202 {
				t.Fatal(got)
			}
			b.eventually("the wait of another image", func() bool {
				return b.count(db, image+`state = 'scheduled' AND scheduled_at > datetime('now', '+50 minutes')`) == 2
			})
			if asked.Load() != n {
				t.Errorf("%d requests while the registry asked to wait", asked.Load()-n)
			}
		}
		r.stop()
	}
}

// A repository whose list of runs can't be read is not read: the next sweep goes as far back.
func TestListThatFailsIsNoSweep(t *testing.T) {
	b := newBench(t)
	b.fake.Repos = []*citest.Repo{{Name: "c", Refuse: http.StatusForbidden}}
	b.start()
	db := b.db()
	b.eventually("the scan", func() bool { return b.count(db, `SELECT count(*) FROM serve_repo WHERE gaps > 0`) == 1 })
	if n := b.count(db, `SELECT count(*) FROM serve_repo WHERE read_at > 0`); n != 0 {
		t.Error("it counts as read")
	}
}

// After an outage that is longer than look_back, the runs of all of it are compared.
func TestLookBackCoversAnOutage(t *testing.T) {
	b := newBench(t)
	b.more = `look_back = "1d"`
	repo := &citest.Repo{Name: "a"}
	b.fake.Repos = []*citest.Repo{repo}
	r := b.start()
	db := b.db()
	b.eventually("the first sweep", func() bool { return b.count(db, `SELECT count(*) FROM serve_repo WHERE read_at > 0`) == 1 })
	b.idle(db)
	r.stop()
	repo.Runs = []*citest.Run{{ID: 1, Attempts: 1, Created: time.Now().Add(-9 * day), Logs: leaking(10)}}
	for _, q := range []string{`UPDATE serve_target SET next = 0`, `UPDATE serve_repo SET read_at = read_at - 864000000`} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	b.fake.Fault = func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		r.Header.Del("If-None-Match")
		return false
	}
	b.start()
	b.eventually("the second sweep", func() bool {
		return b.count(db, `SELECT count(*) FROM serve_target WHERE name = 'acme' AND sweep = 2 AND page = 0`) == 1
	})
	b.idle(db)
	if n := b.count(db, `SELECT count(*) FROM serve_credential`); n != 1 {
		t.Errorf("%d credentials", n)
	}
}

// The author of a run controls its log, so a marker in it hides nothing.
func TestMarkerInALogHidesNothing(t *testing.T) {
	b := newBench(t)
	b.fake.Repos = []*citest.Repo{{Name: "a", Runs: []*citest.Run{{ID: 1, Attempts: 1, Created: time.Now(), Logs: func(int) map[string]string {
		return map[string]string{"0_build.txt": strings.TrimSuffix(lineOf(10), "\n") + " # gitleaks:allow quell:allow\n"}
	}}}}}
	b.start()
	db := b.db()
	b.eventually("the scan", func() bool { return b.count(db, `SELECT count(*) FROM serve_repo WHERE read_at > 0`) == 1 })
	if n := b.count(db, `SELECT count(*) FROM serve_credential`); n != 1 {
		t.Errorf("%d credentials", n)
	}
}
