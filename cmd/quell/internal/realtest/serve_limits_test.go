package realtest

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
	"github.com/quellhq/quell/scanners/ci/citest"
)

// The rate of a host is one for all connections to a database, and a clock that was set back does
// not hold requests for more than a minute.
func TestStoreKeepsOneRateForAllWorkers(t *testing.T) {
	address, db, _ := postgresLedger(t)
	var sent atomic.Int64
	var wg sync.WaitGroup
	const rate, burst, span = 40, 4, 2 * time.Second
	begin := time.Now()
	var stores []*store.Store
	for range 3 {
		s, err := store.Open(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		stores = append(stores, s)
	}
	end := time.Now().Add(span)
	for _, s := range stores {
		for range 2 {
			wg.Go(func() {
				for {
					wait, held, err := s.Take(t.Context(), "issuer.example", rate, burst)
					if err != nil || held != 0 {
						t.Errorf("held %s, %v", held, err)
						return
					}
					time.Sleep(wait)
					if time.Now().After(end) {
						return
					}
					sent.Add(1)
				}
			})
		}
	}
	wg.Wait()
	most := int64(rate*time.Since(begin).Seconds()) + burst
	if n := sent.Load(); n > most || n < rate*2*6/10 {
		t.Errorf("%d requests in %s at %d a second", n, span, rate)
	}
	if err := stores[0].Hold(t.Context(), "issuer.example", 3*time.Second); err != nil {
		t.Fatal(err)
	}
	if _, held, err := stores[1].Take(t.Context(), "issuer.example", rate, burst); err != nil || held < 2*time.Second || held > 3*time.Second {
		t.Errorf("held %s, %v", held, err)
	}
	h := stores[0].Holds("acme")
	if err := h.Hold(t.Context(), "https://api.example", time.Hour); err != nil {
		t.Fatal(err)
	}
	if d, err := stores[2].Holds("acme").Held(t.Context(), "https://api.example"); err != nil || d < 50*time.Minute {
		t.Errorf("%s %v", d, err)
	}
	if d, err := stores[2].Holds("other").Held(t.Context(), "https://api.example"); err != nil || d != 0 {
		t.Errorf("another token waits %s, %v", d, err)
	}
	// As if the clock had been set back by a day.
	if _, err := db.ExecContext(t.Context(), `UPDATE serve_limit SET held = 0, next = next + 86400000000::bigint`); err != nil {
		t.Fatal(err)
	}
	if wait, _, err := stores[0].Take(t.Context(), "issuer.example", rate, burst); err != nil || wait > time.Minute {
		t.Errorf("after the clock was set back it waits %s, %v", wait, err)
	}
	// kill.max is one for all workers, by the database's clock.
	var allowed atomic.Int64
	for i := range 24 {
		wg.Go(func() {
			ok, _, wait, err := stores[i%3].Reserve(t.Context(), fmt.Sprint("fp", i), 5)
			if err != nil || !ok && (wait <= 0 || wait > 24*time.Hour) {
				t.Errorf("wait %s, %v", wait, err)
			}
			if ok {
				allowed.Add(1)
			}
		})
	}
	wg.Wait()
	if allowed.Load() != 5 {
		t.Errorf("%d of at most 5 kills are allowed", allowed.Load())
	}
	if _, err := db.ExecContext(t.Context(), `UPDATE serve_kill SET at = at - 86400000`); err != nil {
		t.Fatal(err)
	}
	if ok, _, _, err := stores[0].Reserve(t.Context(), "fp-next-day", 5); err != nil || !ok {
		t.Errorf("a day later none is allowed: %v", err)
	}
}

// A host that asks one of three processes to wait gets no request of any of them.
func TestServeWorkersWaitTogether(t *testing.T) {
	c := newCluster(t)
	const wait, grace = 4 * time.Second, time.Second
	var mu sync.Mutex
	var forge []time.Time
	var throttledForge, throttledIssuer time.Time
	for i := range 30 {
		c.fake.Repos = append(c.fake.Repos, &citest.Repo{Name: fmt.Sprintf("r%d", i), Runs: []*citest.Run{c.leaking(100+i, false)}})
	}
	c.fake.Fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if !strings.Contains(r.URL.Path, "/actions/") {
			return false
		}
		mu.Lock()
		forge = append(forge, time.Now())
		refuse := throttledForge.IsZero() && len(forge) > 6
		if refuse {
			throttledForge = time.Now()
		}
		mu.Unlock()
		time.Sleep(100 * time.Millisecond)
		if refuse {
			w.Header().Set("Retry-After", "4")
			w.WriteHeader(http.StatusTooManyRequests)
		}
		return refuse
	}
	c.before = func(w http.ResponseWriter, _ *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if throttledForge.IsZero() || time.Since(throttledForge) < wait || !throttledIssuer.IsZero() {
			return false
		}
		throttledIssuer = time.Now()
		w.Header().Set("Retry-After", "4")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	}
	for range 3 {
		c.start("workers = 4", "")
	}
	c.eventually(2*time.Minute, "30 verdicts", func() bool { return c.number(`SELECT count(*) FROM serve_credential WHERE state <> ''`) == 30 })
	if n := c.number(`SELECT count(DISTINCT attempted_by[array_upper(attempted_by, 1)]) FROM river_job WHERE kind IN ('scan', 'probe')`); n < 2 {
		t.Fatalf("%d processes worked", n)
	}
	mu.Lock()
	defer mu.Unlock()
	count := func(what string, at time.Time, list []time.Time) {
		n, after := 0, 0
		for _, x := range list {
			switch d := x.Sub(at); {
			case d > grace && d < wait-50*time.Millisecond:
				n++
			case d >= wait:
				after++
			}
		}
		if at.IsZero() || n > 0 || after == 0 {
			t.Errorf("%s: %d requests while it asked to wait, %d later", what, n, after)
		}
	}
	count("the forge", throttledForge, forge)
	var issuer []time.Time
	for _, a := range c.requests() {
		issuer = append(issuer, a.at)
	}
	count("the issuer", throttledIssuer, issuer)
	c.clean()
}

// Processes with leave_kills need no admin credential and end nothing; one switch in the database
// stops the kills of the process that has it.
func TestServeKillsInOneWorkerAndOneSwitch(t *testing.T) {
	c := newCluster(t)
	for i := range 6 {
		c.fake.Repos = append(c.fake.Repos, &citest.Repo{Name: fmt.Sprintf("r%d", i), Runs: []*citest.Run{c.leaking(100+i, true)}})
	}
	const admin = "[[instance]]\nprovider = \"gitea\"\nurl = \"http://127.0.0.1:9\"\nadmin = \"env:ADMIN\"\n"
	for range 2 {
		c.start("apply = true\nleave_kills = true", admin)
	}
	count := func(where string) int { return c.number(`SELECT count(*) FROM serve_credential WHERE ` + where) }
	c.eventually(time.Minute, "six live sessions", func() bool { return count(`state = 'live'`) == 6 })
	for range 2 { // both may look for kills
		time.Sleep(time.Second)
		if n := c.number(`SELECT count(*) FROM river_job WHERE kind = 'kill' AND state = 'available'`); n != 6 || count(`outcome <> ''`) > 0 {
			t.Fatalf("%d kills wait\n%s", n, groups(t, c.db))
		}
	}
	c.first.quell(0, "serve", "--kills", "off")
	p := c.start("apply = true", admin)
	c.kill(p)
	p.o.env["ADMIN"] = "root1:made-up-admin-4711"
	p.o.secrets = append(p.o.secrets, p.o.env["ADMIN"])
	c.run(p)
	c.eventually(time.Minute, "six holds", func() bool { return count(`outcome = 'Held'`) == 6 })
	c.app.mu.Lock()
	if len(c.app.ended) > 0 {
		t.Errorf("%d sessions were ended while kills are off", len(c.app.ended))
	}
	c.app.mu.Unlock()
	c.first.quell(0, "serve", "--kills", "on")
	if _, err := c.db.ExecContext(t.Context(), `UPDATE serve_credential SET asked_at = 0`); err != nil {
		t.Fatal(err)
	}
	if _, err := c.db.ExecContext(t.Context(), `UPDATE serve_target SET next = 0 WHERE name = '_recheck'`); err != nil {
		t.Fatal(err)
	}
	c.eventually(time.Minute, "six kills", func() bool { return count(`outcome = 'Confirmed'`) == 6 })
	c.endedOnce()
	c.first.quell(0, "ledger", "--verify")
	c.clean()
}
