package guard

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/quellhq/quell/revokers/issuer"
)

// Shared is what several processes know together about a host.
type Shared interface {
	// Take takes the next place at a host to which perSecond requests a second may be sent, and burst
	// of them at once. wait is the time until that place. held is the rest of the time that the host
	// asked any of the processes to wait; then no place is taken.
	Take(ctx context.Context, host string, perSecond float64, burst int) (wait, held time.Duration, err error)
	// Hold records that a host asks to wait.
	Hold(ctx context.Context, host string, d time.Duration) error
}

// Across has several processes keep the limits of a host together: the rate of Limit, and the waits
// that the host asks for. Where what they share can't be read, a process keeps its own limits.
type Across struct {
	Next issuer.Doer
	// PerSecond is the rate for one host over all processes; zero means five.
	PerSecond float64
	// Patience is the longest wait for a host that asked for it; zero means ten seconds. A request
	// that only reads and would wait longer ends with ErrWait.
	Patience time.Duration

	shared atomic.Pointer[Shared]
}

// Use sets what is shared. Until then a process has its own limits alone.
func (a *Across) Use(s Shared) { a.shared.Store(&s) }

// Do implements issuer.Doer.
func (a *Across) Do(ctx context.Context, i *issuer.Instance, r issuer.Request) (issuer.Response, error) {
	p := a.shared.Load()
	if p == nil {
		return a.Next.Do(ctx, i, r)
	}
	if err := a.wait(ctx, *p, i, r.Reads); err != nil {
		return issuer.Response{}, err
	}
	res, err := a.Next.Do(ctx, i, r)
	if err == nil && IsThrottle(res) {
		if d, ok := RetryAfter(res.Header, time.Now()); ok {
			a.hold(ctx, i, d)
		}
	}
	return res, err
}

// hold has all processes leave a host alone.
func (a *Across) hold(ctx context.Context, i *issuer.Instance, d time.Duration) {
	if p := a.shared.Load(); p != nil {
		_ = (*p).Hold(context.WithoutCancel(ctx), i.Host(), d) // this process does by itself
	}
}

func (a *Across) wait(ctx context.Context, s Shared, i *issuer.Instance, reads bool) error {
	most := a.Patience
	if most == 0 {
		most = patience
	}
	for end := time.Now().Add(10 * most); ; {
		wait, held, err := s.Take(ctx, i.Host(), hostRate(i, a.PerSecond), burst)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return nil //nolint:nilerr // the limits of this process hold
		case held > most && reads:
			return ErrWait
		case held > 0 && time.Now().After(end):
			return nil // what ends a credential is not held back for longer
		}
		if d := max(wait, min(held, 10*most)); d > 0 {
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
