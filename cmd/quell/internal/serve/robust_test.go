package serve

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/serve/webhook"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners/ci/citest"
)

// An entry that can't be listed is tried again by itself, is shown, and the sweep counts as ended
// once it was listed.
func TestAnEntryThatFailsIsListedAgainByItself(t *testing.T) {
	b := newBench(t)
	b.fake.Repos = []*citest.Repo{{Name: "a"}}
	var down atomic.Bool
	var good, bad atomic.Int64
	down.Store(true)
	b.fake.Fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		switch {
		case strings.Contains(r.URL.Path, "/orgs/o/repos"):
			good.Add(1)
		case strings.Contains(r.URL.Path, "/gone/"):
			if bad.Add(1); down.Load() {
				w.WriteHeader(http.StatusForbidden)
			} else {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, "[]")
			}
			return true
		}
		return false
	}
	o := b.options()
	o.Config.Target[0].Of = []string{"gone", "o"}
	r := b.startWith(o)
	db := b.db()
	b.eventually("the failure", func() bool {
		return b.count(db, `SELECT count(*) FROM serve_target WHERE error LIKE 'gone: %' AND page = 0`) == 1
	})
	if n := b.count(db, `SELECT count(*) FROM serve_target WHERE name = 'acme' AND ended > 0`); n != 0 {
		t.Error("the sweep counts as ended")
	}
	if m := get(t, r.url+"/metrics"); !strings.Contains(m, `quell_unlisted{target="acme"} 1`) {
		t.Error("the metrics don't show it")
	}
	listed := good.Load()
	down.Store(false)
	b.eventually("the entry is listed", func() bool {
		_, _ = db.ExecContext(t.Context(), `UPDATE river_job SET scheduled_at = created_at WHERE kind = 'enumerate' AND state = 'retryable'`)
		return b.count(db, `SELECT count(*) FROM serve_target WHERE name = 'acme' AND error = '' AND ended > 0`) == 1
	})
	if good.Load() != listed {
		t.Errorf("the other entry was listed %d times more", good.Load()-listed)
	}
}

// A package is read only if it is the target's own, whatever repository it is linked to.
func TestImagesOfOthersAreNotRead(t *testing.T) {
	s := &Server{}
	x := &source{Target: &Target{Name: "acme", System: "github", Of: []string{"acme"}}}
	for ref, want := range map[string]string{"acme/X:V1": "ghcr.io/acme/x:V1", "Acme/x@sha256:" + strings.Repeat("0", 64): "ghcr.io/acme/x@sha256:" + strings.Repeat("0", 64), "victim/y:v1": ""} {
		a, ok := s.scanOf(x, webhook.Event{Kind: webhook.Package, ID: "12345678", Repo: "acme/x", Ref: ref})
		if ok != (want != "") || ok && (a.Ref != want || a.Event == "") {
			t.Errorf("%s: %+v %v", ref, a, ok)
		}
	}
}

// A signed body counts once, for any delivery id in the header.
func TestReplayWithAnotherIDAddsNothing(t *testing.T) {
	b := newBench(t)
	b.fake.Repos = []*citest.Repo{{Name: "a", Runs: []*citest.Run{{ID: 1, Attempts: 1, Created: time.Now(), Logs: quiet}}}}
	r := b.start()
	db := b.db()
	for i := range 3 {
		if got := deliver(t, r.url+"/hooks/acme", "workflow_run", fmt.Sprint(delivery, 60+i), runEnded("o/a", 1, 1), hookSecret); got != 202 {
			t.Fatal(got)
		}
		b.idle(db)
	}
	if n := b.count(db, `SELECT count(*) FROM river_job WHERE kind = 'scan' AND priority = 1`); n != 1 {
		t.Errorf("%d jobs", n)
	}
}

// Senders that trickle long bodies don't keep deliveries out; one without the form of a signature
// is refused before its body is read.
func TestTricklingBodiesHoldNoDeliveryUp(t *testing.T) {
	b := newBench(t)
	b.fake.Repos = []*citest.Repo{{Name: "a"}}
	r := b.start()
	host := strings.TrimPrefix(r.url, "http://")
	for i := range 12 {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		signature := "X-Hub-Signature-256: sha256=" + strings.Repeat("0", 64) + "\r\n"
		if i == 0 {
			signature = ""
		}
		fmt.Fprintf(c, "POST /hooks/acme HTTP/1.1\r\nHost: x\r\n%sContent-Length: 20000000\r\n\r\n{", signature)
		if i == 0 {
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
			answer := make([]byte, 16)
			if _, err := io.ReadFull(c, answer); err != nil || !bytes.Contains(answer, []byte("401")) {
				t.Errorf("%q %v", answer, err)
			}
		}
	}
	start := time.Now()
	if got := deliver(t, r.url+"/hooks/acme", "workflow_run", delivery+"58", runEnded("o/a", 1, 1), hookSecret); got != 202 || time.Since(start) > 5*time.Second {
		t.Errorf("%d after %s", got, time.Since(start))
	}
	if webhook.Formed("gitlab", rules.NewSecretString("s3cret"), http.Header{"X-Gitlab-Token": {"other"}}) {
		t.Error("another token of GitLab has the form")
	}
}

// While jobs end, the worker still shows that it is there.
func TestBeatsGoOnWhileItStops(t *testing.T) {
	b := newBench(t)
	b.fake.Repos = []*citest.Repo{{Name: "a"}}
	release := make(chan struct{})
	var waiting atomic.Bool
	b.fake.Fault = func(_ http.ResponseWriter, _ *http.Request, _ int) bool {
		waiting.Store(true)
		<-release
		return false
	}
	r := b.start()
	db := b.db()
	b.eventually("a request", waiting.Load)
	done := make(chan struct{})
	go func() { r.stop(); close(done) }()
	time.Sleep(400 * time.Millisecond) // it has begun to stop
	seen := b.count(db, `SELECT max(seen) FROM serve_worker`)
	time.Sleep(time.Second)
	if again := b.count(db, `SELECT max(seen) FROM serve_worker`); again <= seen {
		t.Error("it is silent while its job runs")
	}
	close(release)
	<-done
}

func TestNumbersOfGroupsAndWebhooks(t *testing.T) {
	target := Target{Name: "x", System: "gitlab", Of: []string{"4711"}, Token: "env:T"}
	if err := target.check(); err != nil {
		t.Error(err)
	}
	target.Webhook = "env:W"
	if err := target.check(); err == nil {
		t.Error("a number is accepted, though no webhook names it")
	}
}

// Recipients without the installation's own key would make every finding one that no job can open.
func TestRecipientsWithoutTheOwnKeyAreRefused(t *testing.T) {
	b := newBench(t)
	text := "recipients = [\"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\"]\n"
	b.prependPolicy(text)
	if err := Check(b.options()); err == nil || !strings.Contains(err.Error(), "recipients") {
		t.Errorf("%v", err)
	}
}
