package ci

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// maxWait is the longest that a server's request to wait is honoured. GitHub's limits are
// reset every hour; a longer wait is reported as incomplete.
const maxWait = 2 * time.Hour

// gate holds requests to one host back while the host asks to wait: after Retry-After, or
// while its limit has nothing left until the reset.
type gate struct {
	mu       sync.Mutex
	until    time.Time // nothing is sent before
	left     int       // requests that the host allows until reset; -1: not known
	reset    time.Time
	inflight int
	changed  chan struct{} // closed when an answer came
	waiting  func(time.Duration)
	patience time.Duration
}

func newGate(waiting func(time.Duration), patience time.Duration) *gate {
	if patience == 0 {
		patience = maxWait
	}
	return &gate{left: -1, changed: make(chan struct{}), waiting: waiting, patience: patience}
}

// WaitError is the error of a request that was not sent, since the server asks to wait
// longer than quell does.
type WaitError struct{ For time.Duration }

func (e *WaitError) Error() string {
	return fmt.Sprintf("the server asks to wait %s, which is longer than quell waits (hint: scan again later; with --state what was read is not read again)", e.For.Round(time.Second))
}

// enter waits until a request may be sent.
func (g *gate) enter(ctx context.Context) error {
	for {
		g.mu.Lock()
		now := time.Now()
		wait := g.until.Sub(now)
		var change chan struct{}
		if g.left >= 0 && g.reset.After(now) && g.left-g.inflight <= 0 {
			// Requests in flight may use up the remaining calls. Their answers show what remains.
			if g.inflight > 0 {
				change = g.changed
			}
			wait = max(wait, g.reset.Sub(now))
		}
		if wait <= 0 {
			g.inflight++
			g.mu.Unlock()
			return ctx.Err()
		}
		g.mu.Unlock()
		if wait > g.patience {
			return &WaitError{wait}
		}
		if change == nil && g.waiting != nil {
			g.waiting(wait)
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-change:
			t.Stop()
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}

// leave records the end of a request; res is nil if there was no answer. It returns how long the
// host asks to wait, if this answer is the first to ask; zero: it does not.
func (g *gate) leave(res *http.Response) (held time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inflight--
	if res != nil {
		before := g.closed()
		g.learn(res)
		if now := g.closed(); now.After(before) {
			held = max(0, time.Until(now))
		}
	}
	close(g.changed)
	g.changed = make(chan struct{})
	return held
}

// closed is the time before which the host gets no request, whatever is in flight.
func (g *gate) closed() time.Time {
	if g.left == 0 && g.reset.After(g.until) {
		return g.reset
	}
	return g.until
}

// learn reads the limits in an answer. Header names: GitHub X-RateLimit-*, GitLab,
// Buildkite and the IETF's draft RateLimit-*; the reset is in seconds since 1970, or from now.
func (g *gate) learn(res *http.Response) {
	now := time.Now()
	if d, ok := after(res, "Retry-After", now); ok && (res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusForbidden || res.StatusCode >= 500) {
		g.hold(now.Add(d))
	}
	left, err := strconv.Atoi(first(res.Header, "X-RateLimit-Remaining", "RateLimit-Remaining"))
	if err != nil {
		return
	}
	reset, ok := after(res, "X-RateLimit-Reset", now)
	if !ok {
		reset, ok = after(res, "RateLimit-Reset", now)
	}
	if ok {
		g.left, g.reset = left, now.Add(reset)
	}
}

func (g *gate) hold(until time.Time) {
	if until.After(g.until) {
		g.until = until
	}
}

// pause holds all requests back for d.
func (g *gate) pause(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hold(time.Now().Add(d))
}

func first(h http.Header, names ...string) string {
	for _, n := range names {
		if v := h.Get(n); v != "" {
			return v
		}
	}
	return ""
}

// after reads a header that names a time: seconds, seconds since 1970, or a date. A time of
// the server's clock is compared with the server's own Date.
func after(res *http.Response, name string, now time.Time) (time.Duration, bool) {
	v := res.Header.Get(name)
	if v == "" {
		return 0, false
	}
	server := now
	if d, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		server = d
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, t.Sub(server)), true
	}
	n, err := strconv.ParseFloat(v, 64)
	switch {
	case err != nil || n < 0 || n > 1e12:
		return 0, false
	case n > 1e9:
		return max(0, time.Unix(int64(n), 0).Sub(server)), true
	}
	return time.Duration(n * float64(time.Second)), true
}
