package run

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/detect"
	"github.com/quellhq/quell/scanners/files"
)

// toLoopback sends what is for an issuer's host to a server of this machine, and notes when.
type toLoopback struct {
	client *issuer.Client
	hosts  map[string]*url.URL

	mu   sync.Mutex
	sent map[string][]time.Time
	lost []string // hosts without a server
}

// Do implements issuer.Doer.
func (l *toLoopback) Do(ctx context.Context, i *issuer.Instance, r issuer.Request) (issuer.Response, error) {
	l.mu.Lock()
	u := l.hosts[i.Host()]
	if u == nil {
		l.lost = append(l.lost, i.Host())
		l.mu.Unlock()
		return issuer.Response{}, fmt.Errorf("no server stands for %s", i.Host())
	}
	l.sent[i.Host()] = append(l.sent[i.Host()], time.Now())
	l.mu.Unlock()
	c := *i
	c.URL, c.Operator, c.Public = u, true, false
	return l.client.Do(ctx, &c, r)
}

// hostFaults are what servers do instead of answering. They return true if they did.
var hostFaults = map[string]func(w http.ResponseWriter, r *rand.Rand, thief string) bool{
	"none": func(http.ResponseWriter, *rand.Rand, string) bool { return false },
	"429": func(w http.ResponseWriter, r *rand.Rand, _ string) bool {
		if r.IntN(3) > 0 {
			return false
		}
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	},
	"5xx": func(w http.ResponseWriter, r *rand.Rand, _ string) bool {
		if r.IntN(5) > 1 {
			return false
		}
		w.WriteHeader([]int{500, 502, 503, 504}[r.IntN(4)])
		return true
	},
	"slow": func(_ http.ResponseWriter, r *rand.Rand, _ string) bool {
		time.Sleep(time.Duration(r.IntN(400)) * time.Millisecond)
		return false
	},
	"HTML": func(w http.ResponseWriter, r *rand.Rand, _ string) bool {
		if r.IntN(2) == 0 {
			return false
		}
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader([]int{200, 401, 403}[r.IntN(3)])
		fmt.Fprint(w, "<html><title>Sign in to the guest network</title></html>")
		return true
	},
	"redirect": func(w http.ResponseWriter, r *rand.Rand, thief string) bool {
		if r.IntN(2) == 0 {
			return false
		}
		w.Header().Set("Location", thief+"/login")
		w.WriteHeader([]int{301, 302, 307, 308}[r.IntN(4)])
		return true
	},
	"reset": func(_ http.ResponseWriter, r *rand.Rand, _ string) bool {
		if r.IntN(5) > 1 {
			return false
		}
		panic(http.ErrAbortHandler)
	},
}

// Many findings of credentials of forty issuers, most of which answer badly: every verdict is
// right or Unknown, no host gets more requests than its rate allows, and no token is in a byte
// that leaves but in the one request about it. A long run has 10,000 findings of 500 credentials.
func TestFortyIssuersThatAnswerBadly(t *testing.T) {
	const hosts, perCredential = 40, 20
	each, long := 3, os.Getenv("QUELL_CAMPAIGN") != ""
	if long {
		each = 500 / hosts
	}
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	engine := detect.New(set)
	kinds := []string{"none", "429", "5xx", "slow", "HTML", "redirect", "reset"}
	seed := rand.NewChaCha8([32]byte{28})
	random := rand.New(seed)
	var stolen atomic.Int32
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	defer thief.Close()

	to := &toLoopback{client: &issuer.Client{Timeout: 2 * time.Second}, hosts: map[string]*url.URL{}, sent: map[string][]time.Time{}}
	owner, alive, fault := map[string]string{}, map[string]bool{}, map[string]string{} // by token; by host
	var lines []string
	var mu sync.Mutex
	var wrong []string
	for _, r := range set.Rules {
		f := newFakeIssuer(r)
		if f == nil || to.hosts[f.host] != nil || len(to.hosts) == hosts {
			continue
		}
		n := each
		if long && len(to.hosts) < 500%hosts {
			n++
		}
		leaked, creds := f.leaks(t, engine, n, seed)
		if len(leaked) < n {
			continue
		}
		for i, c := range creds {
			owner[c.Secret.Reveal()], alive[c.Secret.Reveal()] = f.host, i%2 == 0
			for range perCredential {
				lines = append(lines, leaked[i])
			}
		}
		kind := kinds[len(to.hosts)%len(kinds)]
		fault[f.host] = kind
		dice := rand.New(rand.NewPCG(uint64(len(to.hosts)), 1))
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			body, _ := io.ReadAll(q.Body)
			text := sentText(q.Method, q.RequestURI, q.Header, body)
			var about []string
			for token := range owner {
				if strings.Contains(text, token) {
					about = append(about, token)
				}
			}
			if len(about) > 1 || len(about) == 1 && owner[about[0]] != f.host {
				mu.Lock()
				wrong = append(wrong, fmt.Sprintf("%s gets a request with %d tokens of others", f.host, len(about)))
				mu.Unlock()
			}
			mu.Lock()
			own := rand.New(rand.NewPCG(dice.Uint64(), 1)) // the host's random source, for this request
			mu.Unlock()
			if hostFaults[kind](w, own, thief.URL) {
				return
			}
			a, _ := f.respond(q.Method, q.URL.Path, len(about) == 1 && alive[about[0]])
			for k, v := range a.Header {
				w.Header()[k] = v
			}
			w.WriteHeader(a.Status)
			_, _ = w.Write(a.Body)
		}))
		t.Cleanup(srv.Close)
		srv.Config.ErrorLog = nil
		if to.hosts[f.host], err = url.Parse(srv.URL); err != nil {
			t.Fatal(err)
		}
	}
	if len(to.hosts) != hosts {
		t.Fatalf("only %d issuers answer by one request", len(to.hosts))
	}
	random.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	dir := t.TempDir()
	file := filepath.Join(dir, "job.log")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\nStep done in 3 s\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	r, err := New(Options{
		Policy: filepath.Join(dir, "policy.toml"), Getenv: func(name string) string { return map[string]string{"HOME": dir}[name] },
		Doer:        &guard.Retry{Next: &guard.Breaker{Next: &guard.Limit{Next: to}}},
		Progress:    func(m string) { said.WriteString(m) },
		SparePolicy: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	count := map[string]int{}
	secrets := map[string]string{}
	findings := 0
	for token := range owner {
		secrets[r.Keys.Fingerprint.Fingerprint(rules.NewSecretString(token))] = token
	}
	var credentials []report.Credential
	verdicts := map[string]revokers.Verdict{}
	scanned, err := r.Scan(t.Context(), ScanOptions{Confidence: rules.Medium, Sources: []scanners.Source{files.Source{Name: "log", Targets: []string{file}}}}, recorder(func(e report.Event) error {
		text, err := json.Marshal(e)
		said.Write(text)
		switch e := e.(type) {
		case report.Finding:
			findings++
		case report.Credential:
			credentials = append(credentials, e)
		case report.Verdict:
			// Live at any instance, else Dead, is what counts.
			if has, ok := verdicts[e.Fingerprint]; !ok || has.Liveness == revokers.Unknown {
				verdicts[e.Fingerprint] = e.Verdict
			}
		}
		return err
	}))
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	decided, known := map[string]int{}, 0
	for _, c := range credentials {
		token, ok := secrets[c.Fingerprint]
		verdict, asked := verdicts[c.Fingerprint]
		if !ok {
			// A rule by name takes a part of a line along: no issuer knows it.
			if verdict.Liveness == revokers.Live {
				t.Errorf("%s of %s is live, and nothing issued it", c.Fingerprint, c.Rule)
			}
			continue
		}
		known++
		if !asked {
			t.Errorf("%s of %s was not asked about", c.Fingerprint, c.Rule)
			continue
		}
		host := owner[token]
		count[fault[host]+" "+verdict.Liveness.String()]++
		switch live := alive[token]; {
		case verdict.Liveness == revokers.Live && !live, verdict.Liveness == revokers.Dead && live:
			t.Errorf("%s (%s): %s, but alive is %v: %s", c.Rule, fault[host], verdict.Liveness, live, verdict.Detail)
		case verdict.Liveness == revokers.Live:
			decided[host]++
		case live && fault[host] == "none":
			t.Errorf("%s: %s %s of a live one at a sound issuer: %s", c.Rule, verdict.Liveness, verdict.Reason, verdict.Detail)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, w := range wrong {
		t.Error(w)
	}
	if stolen.Load() > 0 {
		t.Errorf("%d requests followed a redirect", stolen.Load())
	}
	for token := range owner {
		if strings.Contains(said.String(), token) {
			t.Error("a token is in an event or a message")
		}
	}
	requests := 0
	for host, times := range to.sent {
		requests += len(times)
		slices.SortFunc(times, func(a, b time.Time) int { return a.Compare(b) })
		for i := range times {
			for j := i + 20; j < len(times); j++ {
				// Five a second and four at once; a second for a machine that is busy.
				if most := 4 + 5*(times[j].Sub(times[i]).Seconds()+1); float64(j-i+1) > most {
					t.Fatalf("%s got %d requests in %s", host, j-i+1, times[j].Sub(times[i]))
				}
			}
		}
	}
	if len(to.lost) > 0 {
		t.Errorf("requests to %v", to.lost)
	}
	if known < len(owner)*98/100 || findings < perCredential*known || len(decided) < hosts/2 {
		t.Errorf("%d credentials of %d, %d findings; live ones were found at %d hosts", known, len(owner), findings, len(decided))
	}
	t.Logf("%d findings of %d credentials at %d hosts: %d requests in %s; %v; exit code %d", findings, known, hosts, requests, took.Round(time.Millisecond), count, scanned.Summary.ExitCode)
}
