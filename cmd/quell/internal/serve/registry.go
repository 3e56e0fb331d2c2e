package serve

import (
	"context"
	"net/http"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/scanners/ci"
)

// Requests a second to one registry over all workers, how many at once, and how long a registry that
// refuses for its limit is left alone if it names no time.
const (
	registryRate  = 10
	registryBurst = 20
	registryWait  = time.Minute
)

// registry keeps the requests of all workers to a registry within one rate, and sends none while it
// asks any of them to wait.
type registry struct {
	next     http.RoundTripper
	limits   store.Registries
	patience time.Duration
	asks     func(time.Duration) // gets each wait that is longer than patience; may be nil
}

func (g registry) refused(d time.Duration) {
	if g.asks != nil && d > g.patience {
		g.asks(d)
	}
}

// RoundTrip implements http.RoundTripper. Its error is a ci.WaitError if the wait is longer than
// patience: the job is snoozed.
func (g registry) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := g.wait(r.Context(), r.URL.Host); err != nil {
		return nil, err
	}
	res, err := g.next.RoundTrip(r)
	if err == nil && (guard.IsThrottle(issuer.Response{Status: res.StatusCode, Header: res.Header}) || res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") != "") {
		d, ok := guard.RetryAfter(res.Header, time.Now())
		if !ok {
			d = registryWait
		}
		g.refused(d)
		_ = g.limits.Hold(context.WithoutCancel(r.Context()), r.URL.Host, d) // the job is tried again later
	}
	return res, err
}

func (g registry) wait(ctx context.Context, host string) error {
	rate := float64(registryRate)
	for {
		wait, held, err := g.limits.Take(ctx, host, rate, registryBurst)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return nil //nolint:nilerr // the registry itself asks to wait
		case held > g.patience:
			g.refused(held)
			return &ci.WaitError{For: held}
		}
		if d := max(wait, held); d > 0 {
			t := time.NewTimer(d)
			select {
			case <-ctx.Done():
				t.Stop()
				return ctx.Err()
			case <-t.C:
			}
		}
		if held <= 0 {
			return nil
		}
	}
}
