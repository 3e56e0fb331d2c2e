package realtest

import (
	"context"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// recorder notes the connections and look-ups of names that a run begins: package
// net reports each, whoever dials.
type recorder struct {
	mu    sync.Mutex
	hosts map[string]int // HOST:PORT of connections, HOST of look-ups
}

func (r *recorder) note(host string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hosts == nil {
		r.hosts = map[string]int{}
	}
	r.hosts[host]++
}

func (r *recorder) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		ConnectStart: func(network, address string) {
			if network != "unix" {
				r.note(address)
			}
		},
		DNSStart: func(i httptrace.DNSStartInfo) { r.note(i.Host) },
	})
}

func (r *recorder) count() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.hosts {
		n += k
	}
	return n
}

// unnamed are the hosts that are not named. All names of this machine are one host.
func (r *recorder) unnamed(named map[string]bool) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, h := range slices.Sorted(maps.Keys(r.hosts)) {
		if !named[local(h)] && h != "localhost" {
			out = append(out, h)
		}
	}
	return out
}

func local(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (host == "localhost" || ip != nil && ip.IsLoopback()) {
		return "localhost:" + port
	}
	return address
}

var hostPort = regexp.MustCompile(`(?:localhost|127\.0\.0\.1|\[::1\]):\d{1,5}`)

// named are the hosts that the operator names: in the policy, on the command line and
// in the environment. The texts that are scanned name none.
func (o *operator) named(args []string) map[string]bool {
	o.t.Helper()
	texts := slices.Concat(args, slices.Collect(maps.Values(o.env)))
	_ = filepath.WalkDir(o.dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasSuffix(p, ".toml") {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			texts = append(texts, string(b))
		}
		return nil
	})
	out := map[string]bool{}
	for _, t := range texts {
		for _, h := range hostPort.FindAllString(t, -1) {
			out[local(h)] = true
		}
	}
	return out
}

// The recorder sees a connection to a host that the operator did not name, by a
// client of its own and through a redirect.
func TestTheRecorderSeesAnUnnamedHost(t *testing.T) {
	stray := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(stray.Close)
	app := httptest.NewServer(http.RedirectHandler(stray.URL, http.StatusFound))
	t.Cleanup(app.Close)
	o := newOperator(t)
	o.policy("[[instance]]\nprovider = \"webapp\"\nurl = \"" + app.URL + "\"\n")
	o.file("job.log", "GET "+stray.URL+"/me\n")
	r := &recorder{}
	q, err := http.NewRequestWithContext(r.watch(t.Context()), http.MethodGet, app.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	resp, err := client.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	u, _ := url.Parse(stray.URL)
	if got := r.unnamed(o.named(nil)); len(got) != 1 || got[0] != u.Host || r.count() != 2 {
		t.Errorf("%v of %v", got, r.hosts)
	}
}
