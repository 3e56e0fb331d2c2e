package serve

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quellhq/quell/scanners/ci/citest"
)

// Runs that end late, run again or come to an old repository are read by the next sweep; what
// was read before is not fetched again, whether or not something was found in it.
func TestSweepsReadWhatIsNewAndNothingTwice(t *testing.T) {
	b := newBench(t)
	b.more = `every = "1s"`
	late := &citest.Run{ID: 5, Attempts: 1, Created: time.Now().Add(-time.Hour), Status: "in_progress", Logs: leaking(50)}
	again := &citest.Run{ID: 6, Attempts: 1, Created: time.Now().Add(-20 * 24 * time.Hour), Logs: quiet}
	repo := &citest.Repo{Name: "a", Runs: []*citest.Run{late, {ID: 4, Attempts: 1, Created: time.Now().Add(-2 * time.Hour), Logs: leaking(40)}, again}}
	var mu sync.Mutex
	b.fake.Repos = []*citest.Repo{repo}
	b.fake.Fault = func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		mu.Lock()
		defer mu.Unlock()
		r.Header.Del("If-None-Match") // the fake's validator does not see what this test changes
		return false
	}
	b.start()
	db := b.db()
	b.eventually("the first sweep", func() bool { return b.count(db, `SELECT count(*) FROM serve_credential`) == 1 })
	b.eventually("a second sweep", func() bool {
		return b.count(db, `SELECT count(*) FROM river_job WHERE kind = 'scan' AND state = 'completed'`) >= 3
	})
	if got := b.fake.Stored(); got["logs/a/4/1"] != 1 || got["logs/a/6/1"] != 1 || got["logs/a/5/1"] != 0 {
		t.Errorf("fetched: %v", got)
	}
	mu.Lock()
	late.Status, again.Attempts, again.Logs = "", 2, func(n int) map[string]string {
		if n == 1 {
			return quiet(1)
		}
		return leaking(60)(1)
	}
	mu.Unlock()
	b.eventually("what came late", func() bool { return b.count(db, `SELECT count(*) FROM serve_credential`) == 3 })
	if got := b.fake.Stored(); got["logs/a/4/1"] != 1 || got["logs/a/6/1"] != 1 || got["logs/a/5/1"] != 1 || got["logs/a/6/2"] != 1 {
		t.Errorf("fetched: %v", got)
	}
}

// A page whose jobs can't be recorded is listed again; one that was recorded is not.
func TestTheListGoesOnWhereItEnded(t *testing.T) {
	b := newBench(t)
	for n := range 250 {
		b.fake.Repos = append(b.fake.Repos, &citest.Repo{Name: fmt.Sprintf("r%03d", n), Runs: []*citest.Run{{ID: int64(n + 1), Attempts: 1, Created: time.Now(), Logs: quiet}}})
	}
	var mu sync.Mutex
	broken := true
	b.fake.Fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		mu.Lock()
		defer mu.Unlock()
		if broken && strings.HasSuffix(r.URL.Path, "/orgs/o/repos") && r.URL.Query().Get("page") == "2" {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			broken = false
			return true
		}
		return false
	}
	b.start()
	db := b.db()
	b.eventually("the end of the list", func() bool {
		return b.count(db, `SELECT count(*) FROM serve_target WHERE name = 'acme' AND ended > 0`) == 1
	})
	pages := map[string]int{}
	for _, q := range b.fake.Seen() {
		if strings.Contains(q, "/orgs/o/repos") {
			pages[q[strings.Index(q, "page="):]]++
		}
	}
	for q, n := range pages {
		// The first page is listed again at the end: a push may have moved a repository there.
		want := 1
		if strings.HasPrefix(q, "page=1") {
			want = 2
		}
		if n != want {
			t.Errorf("%s was listed %d times", q, n)
		}
	}
	if n := b.count(db, `SELECT count(DISTINCT json_extract(args, '$.repo')) FROM river_job WHERE kind = 'scan'`); len(pages) != 3 || n != 250 {
		t.Errorf("%d pages, %d jobs", len(pages), n)
	}
	// The wait was no failed attempt.
	var snoozes string
	if err := db.QueryRowContext(t.Context(), `SELECT json(metadata) FROM river_job WHERE kind = 'enumerate'`).Scan(&snoozes); err != nil || !strings.Contains(snoozes, `"snoozes":1`) {
		t.Errorf("%s %v", snoozes, err)
	}
}

// A repository that moves to the first page while the pages are listed is read in that sweep.
func TestRepositoryThatMovesWhilePagesAreListed(t *testing.T) {
	b := newBench(t)
	var names []string
	for n := range 201 {
		names = append(names, fmt.Sprintf("r%03d", n))
	}
	var mu sync.Mutex
	moved := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/orgs/o/repos") {
			http.NotFound(w, r)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		if page == 2 && !moved {
			// r150 is pushed to: it is the first one now, and the second page begins with r099.
			moved = true
			names = append([]string{names[150]}, append(append([]string{}, names[:150]...), names[151:]...)...)
		}
		from, to := (page-1)*100, min(page*100, len(names))
		var out []map[string]any
		for i, n := range names[from:to] {
			out = append(out, map[string]any{"id": from + i + 1, "name": n, "owner": map[string]any{"login": "o"}})
		}
		if to < len(names) {
			w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?page=%d>; rel="next"`, r.Host, r.URL.Path, page+1))
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(out)
	}))
	t.Cleanup(server.Close)
	b.fake.URL = server.URL
	b.start()
	db := b.db()
	b.eventually("the end of the list", func() bool {
		return b.count(db, `SELECT count(*) FROM serve_target WHERE name = 'acme' AND ended > 0`) == 1
	})
	if n := b.count(db, `SELECT count(*) FROM serve_repo WHERE repo = 'o/r150'`); n != 1 || b.count(db, `SELECT count(*) FROM serve_repo`) != 201 {
		t.Errorf("%d of the one that moved, %d of 201", n, b.count(db, `SELECT count(*) FROM serve_repo`))
	}
}
