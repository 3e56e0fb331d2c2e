package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/scanners/ci"
)

func emptyStore(t *testing.T) *store.Store {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ledger.db")
	l, err := ledger.Open(t.Context(), file, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	s, err := store.Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// A registry that asks one worker to wait gets no request of another, and a job whose wait is long
// ends with its time.
func TestRegistriesAreLimitedTogether(t *testing.T) {
	st := emptyStore(t)
	var asked atomic.Int64
	after := "30"
	code := http.StatusTooManyRequests
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		w.WriteHeader(code)
	}))
	defer server.Close()
	get := func(host string, patience time.Duration) error {
		// Each worker has a transport of its own.
		c := &http.Client{Transport: registry{next: http.DefaultTransport, limits: st.Registries(), patience: patience}}
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.Replace(server.URL, "127.0.0.1", host, 1)+"/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.Do(q)
		if err == nil {
			_ = r.Body.Close()
		}
		return err
	}
	if err := get("127.0.0.1", time.Second); err != nil || asked.Load() != 1 {
		t.Fatal(err)
	}
	var wait *ci.WaitError
	if err := get("127.0.0.1", time.Second); !errors.As(err, &wait) || wait.For < 25*time.Second || wait.For > 30*time.Second || asked.Load() != 1 {
		t.Errorf("another worker: %v, %d requests", err, asked.Load())
	}
	// Another registry is not left alone. A short wait is waited for.
	after, code = "1", http.StatusServiceUnavailable
	if err := get("localhost", time.Second); err != nil || asked.Load() != 2 {
		t.Errorf("%v, %d requests", err, asked.Load())
	}
	begin := time.Now()
	after, code = "", http.StatusOK
	if err := get("localhost", 2*time.Second); err != nil || asked.Load() != 3 || time.Since(begin) < 800*time.Millisecond {
		t.Errorf("%v, %d requests after %s", err, asked.Load(), time.Since(begin))
	}
	// The rate is that of all.
	begin = time.Now()
	for range registryBurst + 8 {
		if err := get("localhost", time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if d := time.Since(begin); d < 500*time.Millisecond {
		t.Errorf("%d requests took %s", registryBurst+8, d)
	}
	list, err := st.Limits(t.Context())
	if err != nil || len(list) != 2 || list[0].Kind != "registry" || !strings.HasPrefix(list[0].Host, "127.0.0.1:") || list[0].Held < 20*time.Second || list[1].Held != 0 {
		t.Errorf("%+v %v", list, err)
	}
}

// deaf is an issuer that never answers, or that answers with 429.
type deaf struct {
	n      int
	status int // 0: no answer
}

// Do implements issuer.Doer.
func (d *deaf) Do(context.Context, *issuer.Instance, issuer.Request) (issuer.Response, error) {
	if d.n++; d.status != 0 {
		return issuer.Response{Status: d.status}, nil
	}
	return issuer.Response{}, context.DeadlineExceeded
}

// An issuer that one process gave up is left alone by the others.
func TestAnIssuerIsGivenUpTogether(t *testing.T) {
	for name, d := range map[string]*deaf{"no answer": {}, "429 without a time": {status: http.StatusTooManyRequests}} {
		t.Run(name, func(t *testing.T) {
			st := emptyStore(t)
			u, err := url.Parse("https://issuer.example")
			if err != nil {
				t.Fatal(err)
			}
			i := &issuer.Instance{URL: u}
			worker := func() *guard.Breaker {
				across := &guard.Across{Next: d, PerSecond: 1000}
				across.Use(st)
				return &guard.Breaker{Next: across, Again: 30 * time.Second, Across: across}
			}
			first, second := worker(), worker()
			for range 20 {
				_, err = first.Do(t.Context(), i, issuer.Request{Reads: true})
			}
			asked := d.n
			if !errors.Is(err, guard.ErrOpen) || asked > 5 {
				t.Fatalf("%v after %d requests", err, asked)
			}
			if _, err := second.Do(t.Context(), i, issuer.Request{Reads: true}); !errors.Is(err, guard.ErrWait) || d.n != asked {
				t.Errorf("another process: %v, %d more requests", err, d.n-asked)
			}
			list, err := st.Limits(t.Context())
			if err != nil || len(list) != 1 || fmt.Sprint(list[0].Kind, list[0].Host) != "issuerissuer.example" || list[0].Held < 20*time.Second {
				t.Errorf("%+v %v", list, err)
			}
		})
	}
}
