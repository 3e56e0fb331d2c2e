package serve

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quellhq/quell/scanners/ci/citest"
)

// smallDisk mounts a file system of its own. fill leaves a number of free bytes on it, room makes
// it empty but for what was written besides.
func smallDisk(t *testing.T, size string) (dir string, fill func(free int64), room func()) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a file system can't be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(dir, "filler")
	room = func() { _ = os.Remove(filler) }
	fill = func(free int64) {
		f, err := os.OpenFile(filler, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return // no room for its name
		}
		defer f.Close()
		for page := make([]byte, 4096); ; {
			var s syscall.Statfs_t
			if syscall.Statfs(dir, &s) != nil || int64(s.Bavail)*s.Bsize <= free {
				return
			}
			if _, err := f.Write(page); err != nil {
				return
			}
		}
	}
	return dir, fill, room
}

// The disk of the database, of temporary files and of the cache is full again and again. The process
// goes on by itself once there is room: no run is lost, none whose webhook was accepted, no session
// is ended twice, and the ledger is whole.
func TestAFullDiskLosesNothing(t *testing.T) {
	repos, rounds, full := 4, 5, 700*time.Millisecond
	switch {
	case os.Getenv("QUELL_CAMPAIGN") != "": // make campaign-serve
		repos, rounds, full = 12, 20, 3*time.Second
	case os.Getenv("QUELL_REAL") == "1":
		rounds = 8
	}
	b := newBench(t)
	dir, fill, room := smallDisk(t, "24m")
	b.state = filepath.Join(dir, "ledger.db")
	add := func(r *citest.Repo, id int, live bool) {
		if live {
			b.app.mu.Lock()
			b.app.live[session(10*id)] = true
			b.app.mu.Unlock()
		}
		b.fake.Set(func() {
			r.Runs = append([]*citest.Run{{ID: int64(id), Attempts: 1, Created: time.Now(), Logs: leaking(10 * id)}}, r.Runs...)
		})
	}
	leaks, live := 0, 0
	for i := range repos {
		r := &citest.Repo{Name: fmt.Sprintf("r%d", i)}
		for n := range 4 {
			add(r, 100*(i+1)+n, n%2 == 0)
			leaks, live = leaks+1, live+1-n%2
		}
		b.fake.Repos = append(b.fake.Repos, r)
	}
	hooked := &citest.Repo{Name: "hooked"}
	b.fake.Repos = append([]*citest.Repo{hooked}, b.fake.Repos...)
	b.fake.Fault = func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		if !strings.Contains(r.URL.Path, "/hooked") {
			time.Sleep(100 * time.Millisecond) // work is left until the last time
		}
		return false
	}
	b.head = "apply = true"
	policy, err := os.ReadFile(filepath.Join(b.home, "policy.toml"))
	if err == nil {
		err = os.WriteFile(filepath.Join(b.home, "policy.toml"), append(policy, "[kill]\nmax = 1000\n"...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.config()
	c, out := b.process("QUELL_TEST_LISTEN=127.0.0.1:0", "QUELL_TEST_STATE="+b.state, "TMPDIR="+dir, "XDG_CACHE_HOME="+filepath.Join(dir, "cache"))
	ended := make(chan struct{})
	go func() { _ = c.Wait(); close(ended) }()
	defer func() { _ = c.Process.Kill(); <-ended }()
	url := b.started()
	db := b.db()
	// No sweep of this test sees these runs: only their webhooks name them.
	b.eventually("a sweep", func() bool {
		return b.count(db, `SELECT count(*) FROM serve_repo WHERE repo = 'o/hooked' AND read_at > 0`) == 1
	})
	for i := range rounds {
		add(hooked, 5000+i, true)
	}
	_ = b.fake.Address() // they are visible from here on
	random := rand.New(rand.NewPCG(5, 6))
	accepted, refused := 0, 0
	deliver := func(id int) bool {
		body := fmt.Sprintf(`{"action":"completed","workflow_run":{"id":%d,"run_attempt":1},"repository":{"full_name":"o/hooked"}}`, id)
		m := hmac.New(sha256.New, []byte(hookSecret))
		m.Write([]byte(body))
		q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/hooks/acme", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("X-GitHub-Event", "workflow_run")
		q.Header.Set("X-GitHub-Delivery", fmt.Sprintf("72d3162e-cc78-11e3-81ab-4c9367%06d", id))
		q.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(m.Sum(nil)))
		q.Header.Set("Content-Type", "application/json")
		r, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if r.StatusCode == http.StatusAccepted {
			accepted++
			return true
		}
		if r.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("a delivery is answered with %d", r.StatusCode)
		}
		refused++
		return false
	}
	var again []int
	for i := range rounds {
		time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
		stop := time.Now().Add(full)
		for first := true; time.Now().Before(stop); time.Sleep(20 * time.Millisecond) {
			fill(int64(random.IntN(3)) * 4096) // what is freed is taken at once
			if first {
				if first = false; !deliver(5000 + i) {
					again = append(again, 5000+i)
				}
			}
		}
		room()
	}
	for _, id := range again { // as the server does that sent them
		b.eventually("a delivery", func() bool { return deliver(id) })
	}
	leaks, live = leaks+rounds, live+rounds
	const done = `SELECT (SELECT count(*) FROM serve_credential WHERE state <> '') + (SELECT count(*) FROM serve_credential WHERE outcome = 'Confirmed')`
	began := time.Now()
	for end := began.Add(3 * time.Minute); b.count(db, done) != leaks+live; time.Sleep(50 * time.Millisecond) {
		select {
		case <-ended:
			t.Fatalf("the process ended\n%s", out.String())
		default:
		}
		if time.Now().After(end) {
			_ = c.Process.Kill()
			<-ended
			t.Fatalf("%d of %d\n%s\n%s", b.count(db, done), leaks+live, out.String(), summaryOf(t, db))
		}
		// Attempts that failed wait up to an hour; here they need not.
		_, _ = db.ExecContext(t.Context(), `UPDATE river_job SET scheduled_at = created_at WHERE state IN ('retryable', 'scheduled')`)
	}
	b.idle(db)
	_ = c.Process.Kill()
	<-ended
	if refused == 0 && !strings.Contains(out.String(), "full") {
		t.Error("nothing failed: the disk was not full")
	}
	for s, n := range b.app.endedOnes() {
		if n != 1 {
			t.Errorf("%s… was ended %d times", s[:12], n)
		}
	}
	if n := len(b.app.endedOnes()); n != live {
		t.Errorf("%d of %d sessions were ended", n, live)
	}
	b.whole()
	t.Logf("%d times full for %s: %d deliveries accepted, %d refused and sent again, %d failed jobs logged; all %d leaks and %d kills %s after the last one", rounds, full, accepted, refused, strings.Count(out.String(), "job failed"), leaks, live, time.Since(began).Round(100*time.Millisecond))
}
