package realtest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quellhq/quell/scanners/ci/citest"
)

// campaign is how long a campaign of quell serve runs; zero: this is an ordinary test.
func campaign(t *testing.T) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(os.Getenv("QUELL_CAMPAIGN"))
	if err != nil {
		return 0
	}
	return d
}

// Jobs that wait for a forge are done faster by more processes, almost in proportion.
func TestServeThroughputOfWorkers(t *testing.T) {
	if campaign(t) == 0 {
		t.Skip("make campaign-serve")
	}
	const repos, delay = 96, 400 * time.Millisecond
	var one time.Duration
	for _, n := range []int{1, 2, 4, 8} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := newCluster(t)
			for i := range repos {
				c.fake.Repos = append(c.fake.Repos, &citest.Repo{Name: fmt.Sprintf("r%d", i), Runs: []*citest.Run{c.leaking(1000+i, false)}})
			}
			var mu sync.Mutex
			var first, last time.Time
			open := make(chan struct{})
			c.fake.Fault = func(_ http.ResponseWriter, r *http.Request, _ int) bool {
				<-open
				time.Sleep(delay)
				mu.Lock()
				defer mu.Unlock()
				if strings.Contains(r.URL.Path, "/repos/o/") && first.IsZero() {
					first = time.Now().Add(-delay)
				}
				last = time.Now()
				return false
			}
			for range n {
				c.start("", "")
			}
			c.eventually(2*time.Minute, "the start of all processes", func() bool {
				for _, p := range c.procs {
					if !strings.Contains(p.out.String(), "http://127.0.0.1") {
						return false
					}
				}
				return true
			})
			close(open)
			c.eventually(5*time.Minute, "all scans", func() bool { return c.number(`SELECT count(*) FROM serve_repo WHERE read_at > 0`) == repos })
			mu.Lock()
			took := last.Sub(first)
			mu.Unlock()
			if n == 1 {
				one = took
			}
			ratio := float64(one) / float64(took)
			t.Logf("%d processes: %s, %.2f times as fast as one", n, took.Round(10*time.Millisecond), ratio)
			if want := map[int]float64{1: 1, 2: 1.8, 4: 3.4, 8: 6}[n]; ratio < want {
				t.Errorf("%d processes are %.2f times as fast as one, not %.1f", n, ratio, want)
			}
		})
	}
}

var serveAddress = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// A webhook leads to a verdict and to a kill that the issuer has accepted, with 200 ms of
// latency and one answer of a hundred that asks to wait, at the forge and at the issuer.
func TestServeLatencyOfWebhooks(t *testing.T) {
	hooks := 12
	if campaign(t) > 0 {
		hooks = 200
	}
	c := newCluster(t)
	repo := &citest.Repo{Name: "r0"}
	c.fake.Repos = []*citest.Repo{repo}
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(5, 6))
	throttled := 0
	slow := func(w http.ResponseWriter) bool {
		time.Sleep(200 * time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		if random.IntN(100) > 0 {
			return false
		}
		throttled++
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	}
	c.fake.Fault = func(w http.ResponseWriter, _ *http.Request, _ int) bool { return slow(w) }
	c.before = func(w http.ResponseWriter, _ *http.Request) bool { return slow(w) }
	p := c.start("apply = true\nworkers = 8", "")
	c.start("apply = true\nworkers = 8", "")
	c.eventually(time.Minute, "the first sweep", func() bool { return c.number(`SELECT count(*) FROM serve_repo WHERE read_at > 0`) == 1 })
	var runs []*citest.Run
	for i := range hooks {
		runs = append(runs, c.leaking(5000+i, true))
	}
	repo.Runs = runs
	hook := serveAddress.FindString(p.out.String()) + "/hooks/acme"
	_ = c.fake.Address() // the runs are visible from here on
	sent := make([]time.Time, hooks)
	verdicts := make(chan []time.Time)
	go func() {
		var at []time.Time
		for end := time.Now().Add(5 * time.Minute); len(at) < hooks && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			for n := c.number(`SELECT count(*) FROM serve_credential WHERE state <> ''`); len(at) < n; {
				at = append(at, time.Now())
			}
		}
		verdicts <- at
	}()
	for i := range hooks {
		body := fmt.Sprintf(`{"action":"completed","workflow_run":{"id":%d,"run_attempt":1},"repository":{"full_name":"o/r0"}}`, 5000+i)
		m := hmac.New(sha256.New, []byte(p.o.env["HOOK_SECRET"]))
		m.Write([]byte(body))
		q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, hook, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("X-GitHub-Event", "workflow_run")
		q.Header.Set("X-GitHub-Delivery", fmt.Sprintf("72d3162e-cc78-11e3-81ab-4c9367%06d", i))
		q.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(m.Sum(nil)))
		q.Header.Set("Content-Type", "application/json")
		sent[i] = time.Now()
		r, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if r.StatusCode != http.StatusAccepted {
			t.Fatalf("the delivery is answered with %d", r.StatusCode)
		}
		time.Sleep(500 * time.Millisecond)
	}
	at := <-verdicts
	c.eventually(5*time.Minute, "all kills", func() bool {
		return c.number(`SELECT count(*) FROM serve_credential WHERE outcome = 'Confirmed'`) == hooks
	})
	var toVerdict, toKill []time.Duration
	for i := range at { // jobs are worked on in the order of their webhooks
		toVerdict = append(toVerdict, at[i].Sub(sent[i]))
	}
	accepted := map[string]time.Time{}
	for _, a := range c.requests() {
		if a.path == "/logout" {
			accepted[a.sid] = a.at.Add(200 * time.Millisecond)
		}
	}
	for i := range hooks {
		toKill = append(toKill, accepted[serveSession(5000+i)].Sub(sent[i]))
	}
	slices.Sort(toVerdict)
	slices.Sort(toKill)
	pick := func(d []time.Duration, p int) time.Duration { return d[(len(d)-1)*p/100].Round(10 * time.Millisecond) }
	t.Logf("%d webhooks, %d answers that ask to wait: to a verdict median %s, p99 %s; to an accepted kill median %s, p99 %s, most %s", hooks, throttled,
		pick(toVerdict, 50), pick(toVerdict, 99), pick(toKill, 50), pick(toKill, 99), pick(toKill, 100))
	if len(at) != hooks || pick(toVerdict, 50) >= 2*time.Second || pick(toKill, 99) > 30*time.Second || toKill[0] < 0 {
		t.Errorf("%d of %d verdicts; the bars are 2s (median) and 30s (p99)", len(at), hooks)
	}
	c.endedOnce()
}

// Random processes and PostgreSQL are ended by SIGKILL every two seconds, and the clocks of machines
// jump by up to three days. No run is lost, no session is ended twice, the ledger is whole, and all
// of it goes on by itself.
func TestServeSurvivesKills(t *testing.T) {
	span := campaign(t)
	if span == 0 {
		t.Skip("make campaign-serve; TestServeOnPostgres is its short form")
	}
	c := newCluster(t)
	repos := 10 + int(span.Seconds()/2)
	for i := range repos {
		r := &citest.Repo{Name: fmt.Sprintf("r%d", i)}
		for n := 8; n > 0; n-- {
			id := 1000 + 10*i + n
			if n%3 == 0 {
				r.Runs = append(r.Runs, c.leaking(id, id%2 == 0))
				continue
			}
			r.Runs = append(r.Runs, &citest.Run{ID: int64(id), Attempts: 1, Created: time.Now().Add(-time.Duration(n) * time.Minute), Logs: func(int) map[string]string {
				return map[string]string{"0_build.txt": "2026-11-01T10:00:00.0000000Z nothing\n"}
			}})
		}
		c.fake.Repos = append(c.fake.Repos, r)
	}
	c.fake.Fault = func(http.ResponseWriter, *http.Request, int) bool {
		time.Sleep(600 * time.Millisecond) // work is left until the last kill
		return false
	}
	leaks := len(c.secrets) - 1
	c.exe = clocked(t)
	for range 4 {
		c.start("apply = true", "")
	}
	c.eventually(time.Minute, "the start of a process", func() bool { return serveAddress.MatchString(c.procs[0].out.String()) })
	const ahead = 50 * time.Hour
	c.procs[0].jump(ahead)
	c.eventually(10*time.Second, "a jump of the clock", func() bool { return (time.Until(c.procs[0].clock()) - ahead).Abs() < time.Minute })
	var data string
	if err := c.db.QueryRowContext(t.Context(), `SHOW data_directory`).Scan(&data); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(7, uint64(time.Now().UnixNano())))
	kills, servers, jumps := 0, 0, 0
	for end := time.Now().Add(span); time.Now().Before(end); kills++ {
		time.Sleep(2 * time.Second)
		if random.IntN(3) == 0 {
			jumps++
			c.procs[random.IntN(len(c.procs))].jump(anyJump(random))
		}
		if random.IntN(5) == 0 {
			servers++
			pid, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
			if err == nil {
				err = exec.CommandContext(t.Context(), "kill", "-9", strings.Fields(string(pid))[0]).Run()
			}
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(random.IntN(1500)) * time.Millisecond)
			c.restart()
			continue
		}
		p := c.procs[random.IntN(len(c.procs))]
		c.kill(p)
		c.run(p)
	}
	for _, p := range c.procs {
		p.jump(0)
	}
	done := c.number(`SELECT count(*) FROM serve_credential WHERE state <> ''`)
	ended := time.Now()
	const all = `SELECT (SELECT count(*) FROM serve_credential WHERE state <> '') + (SELECT count(*) FROM serve_credential WHERE outcome = 'Confirmed')`
	c.eventually(span/2+5*time.Minute, "all verdicts and kills", func() bool { return c.number(all) == leaks+c.live })
	t.Logf("%d kills of processes, %d of PostgreSQL, %d jumps of clocks; %d of %d verdicts by then, the rest and %d kills of sessions %s later", kills-servers, servers, jumps, done, leaks, c.live, time.Since(ended).Round(time.Second))
	c.endedOnce()
	for _, r := range c.fake.Repos {
		for _, x := range r.Runs {
			if c.fake.Stored()[fmt.Sprintf("logs/%s/%d/1", r.Name, x.ID)] == 0 {
				t.Errorf("run %d of %s was not read", x.ID, r.Name)
			}
		}
	}
	for _, p := range c.procs {
		c.kill(p)
	}
	c.first.quell(0, "ledger", "--verify")
	c.clean()
}
