package serve

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/serve/webhook"
	"github.com/quellhq/quell/scanners/ci/citest"
)

// deliver sends a signed webhook and returns the status.
func deliver(t *testing.T, url, event, id, body, secret string) int {
	t.Helper()
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(body))
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("X-GitHub-Event", event)
	q.Header.Set("X-GitHub-Delivery", id)
	q.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(m.Sum(nil)))
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	_, _ = io.Copy(io.Discard, r.Body)
	return r.StatusCode
}

const delivery = "72d3162e-cc78-11e3-81ab-4c9367dc09"

func runEnded(repo string, id, attempt int) string {
	return fmt.Sprintf(`{"action":"completed","workflow_run":{"id":%d,"run_attempt":%d},"repository":{"full_name":%q}}`, id, attempt, repo)
}

// A delivery leads to a verdict without a sweep, with one request to the API; the same one again,
// or one that is not signed, adds nothing.
func TestWebhookLeadsToAVerdict(t *testing.T) {
	b := newBench(t, 10)
	repo := &citest.Repo{Name: "a"}
	b.fake.Repos = []*citest.Repo{repo}
	r := b.start()
	db := b.db()
	b.eventually("the first sweep", func() bool { return b.count(db, `SELECT count(*) FROM serve_repo WHERE read_at > 0`) == 1 })
	b.idle(db)
	repo.Runs = append(repo.Runs, &citest.Run{ID: 1, Attempts: 1, Created: time.Now(), Logs: leaking(10)})
	b.fake.Forget()
	hook := r.url + "/hooks/acme"
	for name, got := range map[string]int{
		"another secret":   deliver(t, hook, "workflow_run", delivery+"51", runEnded("o/a", 1, 1), "wrong"),
		"no such target":   deliver(t, r.url+"/hooks/other", "workflow_run", delivery+"52", runEnded("o/a", 1, 1), hookSecret),
		"malformed":        deliver(t, hook, "workflow_run", delivery+"53", `{`, hookSecret),
		"another owner":    deliver(t, hook, "workflow_run", delivery+"54", runEnded("stranger/a", 1, 1), hookSecret),
		"too long":         deliver(t, hook, "workflow_run", delivery+"55", string(make([]byte, webhook.MaxBody+1)), hookSecret),
		"what is not read": deliver(t, hook, "push", delivery+"56", `{"after":"6113728f27ae82c7b1a177c8d03f9e96e0adf246","repository":{"full_name":"o/a"}}`, hookSecret),
	} {
		want := map[string]int{"another secret": 401, "no such target": 404, "malformed": 400, "another owner": 202, "too long": 413, "what is not read": 202}[name]
		if got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	if n := b.count(db, `SELECT count(*) FROM serve_delivery`) + b.count(db, idleJobs); n != 0 {
		t.Errorf("%d deliveries or jobs of what is refused", n)
	}
	start := time.Now()
	for range 2 {
		if got := deliver(t, hook, "workflow_run", delivery+"58", runEnded("o/a", 1, 1), hookSecret); got != http.StatusAccepted {
			t.Errorf("%d", got)
		}
	}
	b.eventually("the verdict", func() bool { return b.count(db, `SELECT count(*) FROM serve_credential WHERE state = 'live'`) == 1 })
	t.Logf("webhook to verdict: %s", time.Since(start).Round(10*time.Millisecond))
	b.idle(db)
	if got := b.fake.Seen(); len(got) != 1 || b.fake.Stored()["logs/a/1/1"] != 1 {
		t.Errorf("requests %q, downloads %v", got, b.fake.Stored())
	}
	if n := b.count(db, `SELECT count(*) FROM river_job WHERE kind = 'scan' AND priority = 1`); n != 1 {
		t.Errorf("%d jobs of one delivery", n)
	}
	b.clean(db, session(10))
}

func TestMetricsAreForThisMachineOrTheToken(t *testing.T) {
	b := newBench(t)
	b.fake.Repos = []*citest.Repo{{Name: "a"}}
	r := b.start()
	ask := func(url string, h ...string) int {
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(h); i += 2 {
			q.Header.Set(h[i], h[i+1])
		}
		a, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		_ = a.Body.Close()
		return a.StatusCode
	}
	if got := ask(r.url); got != 200 {
		t.Errorf("here: %d", got)
	}
	if got := ask(r.url, "X-Forwarded-For", "192.0.2.1"); got != 403 {
		t.Errorf("through a proxy: %d", got)
	}
	r.stop()
	b.head, b.env["METRICS"] = `metrics_token = "env:METRICS"`, "made-up-token-of-metrics"
	r = b.start()
	if got := ask(r.url); got != 401 {
		t.Errorf("without the token: %d", got)
	}
	if got := ask(r.url, "Authorization", "Bearer made-up-token-of-metrics", "X-Forwarded-For", "192.0.2.1"); got != 200 {
		t.Errorf("with the token: %d", got)
	}
}
