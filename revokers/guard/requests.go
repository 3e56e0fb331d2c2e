package guard

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/time/rate"

	"github.com/quellhq/quell/revokers/issuer"
)

// Limit limits the rate of requests per host.
type Limit struct {
	Next issuer.Doer
	// PerSecond is the rate for one host; zero means five.
	PerSecond float64

	mu    sync.Mutex
	hosts map[string]*lane
}

// lane is the queue of one host.
type lane struct {
	limiter *rate.Limiter
	patient chan struct{} // holds the one patient request that has a turn
}

type patientKey struct{}

// Patient returns a context whose requests let all others to the same host go first: looks that
// prove one kill must not delay the next kill.
func Patient(ctx context.Context) context.Context {
	return context.WithValue(ctx, patientKey{}, true)
}

// loopbackFactor raises the rate for this machine, whose servers are the operator's own.
const loopbackFactor = 40

// Do implements issuer.Doer.
func (l *Limit) Do(ctx context.Context, i *issuer.Instance, r issuer.Request) (issuer.Response, error) {
	if err := l.lane(i).wait(ctx); err != nil {
		return issuer.Response{}, err
	}
	return l.Next.Do(ctx, i, r)
}

// wait returns when it is the request's turn. At most one patient request has a place in the
// queue, so that others wait for one of them at most.
func (l *lane) wait(ctx context.Context) error {
	if ctx.Value(patientKey{}) != nil {
		select {
		case l.patient <- struct{}{}:
			defer func() { <-l.patient }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return l.limiter.Wait(ctx)
}

func (l *Limit) lane(i *issuer.Instance) *lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hosts == nil {
		l.hosts = map[string]*lane{}
	}
	if l.hosts[i.Host()] == nil {
		l.hosts[i.Host()] = &lane{rate.NewLimiter(rate.Limit(hostRate(i, l.PerSecond)), burst), make(chan struct{}, 1)}
	}
	return l.hosts[i.Host()]
}

// burst is how many requests a host gets at once.
const burst = 4

// hostRate is the number of requests that a host gets in a second; zero means five.
func hostRate(i *issuer.Instance, perSecond float64) float64 {
	if perSecond == 0 {
		perSecond = 5
	}
	if issuer.Loopback(i.URL.Hostname()) {
		perSecond *= loopbackFactor
	}
	return perSecond
}

// ErrOpen is returned for requests to an issuer while the breaker is open.
var ErrOpen = errors.New("the issuer was given up: it throttled or did not answer several times in a row")

// ErrWait is returned for requests to an issuer whose Retry-After is longer than Patience.
var ErrWait = errors.New("the issuer asks to wait")

// Breaker opens after 3 throttling answers in a row, or 5 timeouts, and honours Retry-After for
// all requests to the host.
type Breaker struct {
	Next issuer.Doer
	// Patience is the longest Retry-After to wait for; zero means ten seconds.
	Patience time.Duration
	// Again is how long a host that was given up is left alone; zero: for as long as the Breaker is
	// used, unless the host names a time.
	Again time.Duration
	// Across makes other processes wait for the host too; may be nil.
	Across *Across

	mu    sync.Mutex
	hosts map[string]*state
}

type state struct {
	throttled, silent int
	until             time.Time // no request before this time
}

// Limits of Breaker.
const (
	maxThrottled = 3
	maxSilent    = 5
)

// Do implements issuer.Doer. A request that does not only read passes an open breaker, so that
// a limit on probes never prevents a kill.
func (b *Breaker) Do(ctx context.Context, i *issuer.Instance, r issuer.Request) (issuer.Response, error) {
	if err := b.wait(ctx, i, r.Reads); err != nil {
		return issuer.Response{}, err
	}
	a, err := b.Next.Do(ctx, i, r)
	if b.answered(ctx, i, a, err) && b.Across != nil {
		b.Across.hold(ctx, i, b.Again)
	}
	return a, err
}

// answered counts an answer, and reports whether the host is given up from now on for Again.
func (b *Breaker) answered(ctx context.Context, i *issuer.Instance, a issuer.Response, err error) (gaveUp bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.hosts[i.Host()]
	switch {
	case err != nil && issuer.ErrTimeout(err) && ctx.Err() == nil:
		s.silent++
	case err != nil:
	case IsThrottle(a):
		s.throttled++
		s.silent = 0
		if w, ok := RetryAfter(a.Header, time.Now()); ok {
			if t := time.Now().Add(w); t.After(s.until) {
				s.until = t
			}
		}
	default:
		s.throttled, s.silent = 0, 0
	}
	now := time.Now()
	if b.Again > 0 && s.open() && !s.until.After(now) {
		s.until = now.Add(b.Again)
		return true
	}
	return false
}

func (s *state) open() bool { return s.throttled >= maxThrottled || s.silent >= maxSilent }

func (b *Breaker) wait(ctx context.Context, i *issuer.Instance, reads bool) error {
	b.mu.Lock()
	if b.hosts == nil {
		b.hosts = map[string]*state{}
	}
	s := b.hosts[i.Host()]
	if s == nil {
		s = &state{}
		b.hosts[i.Host()] = s
	}
	open := s.open()
	d := time.Until(s.until)
	b.mu.Unlock()
	most := b.Patience
	if most == 0 {
		most = patience
	}
	switch {
	case open && reads && d <= 0 && !s.until.IsZero():
		// The wait is over: one more failure opens it again.
		b.mu.Lock()
		s.throttled, s.silent, s.until = min(s.throttled, maxThrottled-1), min(s.silent, maxSilent-1), time.Time{}
		b.mu.Unlock()
		return nil
	case open && reads:
		return ErrOpen
	case d <= 0:
		return nil
	case d > most && reads:
		return ErrWait
	}
	t := time.NewTimer(min(d, 10*most))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// IsThrottle reports whether a response is a rate limit: 429, or a 403 whose content states it
// (GitHub's primary and secondary limits, and similar ones).
func IsThrottle(a issuer.Response) bool {
	if a.Status == http.StatusTooManyRequests {
		return true
	}
	return a.Status == http.StatusForbidden && (a.Header.Get("X-RateLimit-Remaining") == "0" || a.Header.Get("Retry-After") != "")
}

// RetryAfter reads Retry-After in seconds or as a date (RFC 9110, 10.2.3), or
// the time of GitHub's X-RateLimit-Reset.
func RetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.Atoi(v); err == nil && n >= 0 {
		return time.Duration(min(n, 24*60*60)) * time.Second, true
	}
	if t, err := http.ParseTime(v); err == nil {
		return min(max(t.Sub(now), 0), 24*time.Hour), true
	}
	if h.Get("X-RateLimit-Remaining") == "0" {
		if n, err := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64); err == nil {
			return min(max(time.Unix(n, 0).Sub(now), 0), 24*time.Hour), true
		}
	}
	return 0, false
}

// patience is the default of Breaker.Patience and the longest wait of Retry.
const patience = 10 * time.Second

// Retry repeats requests that only read after a broken connection, a 502, 503 or 504, or a
// short Retry-After. It never repeats an effect.
type Retry struct {
	Next issuer.Doer
	// Tries is the maximum number of requests; zero means two.
	Tries uint
}

var errAgain = errors.New("again")

// Do implements issuer.Doer.
func (t *Retry) Do(ctx context.Context, i *issuer.Instance, r issuer.Request) (issuer.Response, error) {
	if !r.Reads {
		return t.Next.Do(ctx, i, r)
	}
	tries := t.Tries
	if tries == 0 {
		tries = 2
	}
	var last issuer.Response
	var failed error
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 100 * time.Millisecond
	_, _ = backoff.Retry(ctx, func() (struct{}, error) {
		last, failed = t.Next.Do(ctx, i, r)
		switch {
		case errors.Is(failed, ErrOpen), errors.Is(failed, ErrWait), issuer.ErrPrivate(failed), failed != nil && issuer.ErrTimeout(failed):
			return struct{}{}, backoff.Permanent(failed)
		case failed != nil, last.Status == http.StatusBadGateway, last.Status == http.StatusServiceUnavailable, last.Status == http.StatusGatewayTimeout:
			return struct{}{}, errAgain
		}
		if w, ok := RetryAfter(last.Header, time.Now()); ok && IsThrottle(last) && w <= patience {
			// The breaker below waits as long as the issuer asks.
			return struct{}{}, errAgain
		}
		return struct{}{}, nil
	}, backoff.WithBackOff(b), backoff.WithMaxTries(tries))
	return last, failed
}

// ErrOffline is returned for every request with --offline.
var ErrOffline = errors.New("--offline forbids requests")

// Offline sends nothing.
type Offline struct{}

// Do implements issuer.Doer.
func (Offline) Do(context.Context, *issuer.Instance, issuer.Request) (issuer.Response, error) {
	return issuer.Response{}, ErrOffline
}
