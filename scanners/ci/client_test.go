package ci

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quellhq/quell/rules"
)

// However many goroutines ask, no more than MaxCalls requests are in flight, which is below the 100
// that GitHub allows.
func TestCallsInFlight(t *testing.T) {
	var now, most atomic.Int64
	fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(5 * time.Millisecond)
		fmt.Fprint(w, "{}")
	}))
	defer fake.Close()
	base, err := ParseBase(fake.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{Base: base}
	var wg sync.WaitGroup
	for n := range 300 {
		wg.Go(func() {
			var v any
			if _, err := c.JSON(t.Context(), c.At("a", fmt.Sprint(n)), &v); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := most.Load(); n > MaxCalls || n < MaxCalls/2 || MaxCalls > 100 {
		t.Errorf("%d requests at one time", n)
	}
}

// No header that may hold the credential goes along with a redirect to another port, whatever the
// client library set it as: Go's client keeps those it does not know on a redirect to the same
// host's name.
func TestCredentialsStayAtTheNamedPort(t *testing.T) {
	for _, header := range []string{"Authorization", "Private-Token", "Job-Token", "Cookie", "Circle-Token"} {
		t.Run(header, func(t *testing.T) {
			storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get(header) != "" {
					t.Errorf("%s at another port: %v", r.URL.Path, r.Header)
				}
				fmt.Fprint(w, "the log")
			}))
			defer storage.Close()
			got := 0
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get(header) != "" {
					got++
				}
				http.Redirect(w, r, storage.URL+"/x", http.StatusFound)
			}))
			defer api.Close()
			base, err := ParseBase(api.URL)
			if err != nil {
				t.Fatal(err)
			}
			c := &Client{Base: base, Auth: Header(header, "", rules.NewSecretString("the-token")), Backoff: time.Millisecond, Temp: t.TempDir()}
			b, err := c.Download(t.Context(), c.At("log"), "")
			if err != nil || b.Size != 7 || got != 1 {
				t.Fatalf("%v, the token was sent %d times", err, got)
			}
			_ = b.Close()
			// A document is not read elsewhere, and neither is it by a client library's request that
			// has the credential itself.
			var v any
			if _, err := c.JSON(t.Context(), c.At("doc"), &v); err == nil {
				t.Error("a document at another port was read")
			}
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, storage.URL+"/doc", nil)
			req.Header.Set(header, "the-token")
			if _, err := c.RoundTrip(req); err == nil {
				t.Error("an address at another port was read with the credential")
			}
		})
	}
}
