package guard_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/issuer"
)

// doer answers the nth request, counted from 1.
type doer struct {
	n      int
	at     []time.Time
	answer func(n int) (issuer.Response, error)
}

func (d *doer) Do(_ context.Context, _ *issuer.Instance, _ issuer.Request) (issuer.Response, error) {
	d.n++
	d.at = append(d.at, time.Now())
	return d.answer(d.n)
}

func always(status int, header ...string) func(int) (issuer.Response, error) {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return func(int) (issuer.Response, error) { return issuer.Response{Status: status, Header: h}, nil }
}

func host(name string) *issuer.Instance {
	return &issuer.Instance{Provider: "made-up", URL: &url.URL{Scheme: "https", Host: name}}
}

var read, effect = issuer.Request{Method: "GET", Path: "/", Reads: true}, issuer.Request{Method: "POST", Path: "/"}

func TestLimitSpacesTheRequestsOfEachHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &doer{answer: always(200)}
		l := &guard.Limit{Next: d}
		start := time.Now()
		for range 14 {
			if _, err := l.Do(t.Context(), host("a.example"), read); err != nil {
				t.Fatal(err)
			}
		}
		// Four at once, then five per second.
		if took := time.Since(start); took < 2*time.Second || took > 2100*time.Millisecond {
			t.Errorf("14 requests took %s", took)
		}
		start = time.Now()
		if _, err := l.Do(t.Context(), host("b.example"), read); err != nil || time.Since(start) > 0 {
			t.Errorf("another host waited %s, %v", time.Since(start), err)
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		n := d.n
		if _, err := l.Do(ctx, host("a.example"), read); err == nil || d.n != n {
			t.Errorf("an interrupted run sent a request: %v", err)
		}
	})
}

func TestBreakerGivesAnIssuerUp(t *testing.T) {
	late := func(int) (issuer.Response, error) { return issuer.Response{}, context.DeadlineExceeded }
	for name, c := range map[string]struct {
		answer   func(int) (issuer.Response, error)
		requests int // for ten reads
	}{
		"after three 429 in a row":               {always(429), 3},
		"after three 403 that name a limit":      {always(403, "X-RateLimit-Remaining", "0"), 3},
		"not after 403 that name no limit":       {always(403), 10},
		"after five time-outs in a row":          {late, 5},
		"not after 401":                          {always(401), 10},
		"not after 503":                          {always(503), 10},
		"not after connections that were cut":    {func(int) (issuer.Response, error) { return issuer.Response{}, errors.New("cut") }, 10},
		"not if an answer is between the limits": {func(n int) (issuer.Response, error) { return always(map[bool]int{true: 200, false: 429}[n%3 == 0])(n) }, 10},
		"not if an answer is between time-outs": {func(n int) (issuer.Response, error) {
			if n%5 == 0 {
				return issuer.Response{Status: 200}, nil
			}
			return late(n)
		}, 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &doer{answer: c.answer}
				b := &guard.Breaker{Next: d}
				var last error
				for range 10 {
					_, last = b.Do(t.Context(), host("a.example"), read)
				}
				if d.n != c.requests || c.requests < 10 && !errors.Is(last, guard.ErrOpen) {
					t.Errorf("%d requests, %v", d.n, last)
				}
				if c.requests == 10 {
					return
				}
				// A kill is sent despite the open breaker, and other hosts are not affected.
				d.answer = always(200)
				if a, err := b.Do(t.Context(), host("a.example"), effect); err != nil || a.Status != 200 {
					t.Errorf("an effect: %v", err)
				}
				if _, err := b.Do(t.Context(), host("b.example"), read); err != nil {
					t.Errorf("another host: %v", err)
				}
			})
		})
	}
}

// Interrupting the run does not count as a timeout of the issuer.
func TestAnInterruptedRunOpensNoBreaker(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	d := &doer{answer: func(int) (issuer.Response, error) { return issuer.Response{}, context.DeadlineExceeded }}
	b := &guard.Breaker{Next: d}
	for range 9 {
		_, _ = b.Do(ctx, host("a.example"), read)
	}
	d.answer = always(200)
	if _, err := b.Do(t.Context(), host("a.example"), read); err != nil {
		t.Error(err)
	}
}

func TestRetryAfterHoldsForAllRequestsOfTheHost(t *testing.T) {
	for name, header := range map[string]func(time.Time) string{
		"in seconds": func(time.Time) string { return "7" },
		"as a date":  func(now time.Time) string { return now.Add(7 * time.Second).UTC().Format(http.TimeFormat) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				d := &doer{answer: func(n int) (issuer.Response, error) {
					if n == 1 {
						return always(429, "Retry-After", header(start))(n)
					}
					return always(200)(n)
				}}
				b := &guard.Breaker{Next: d}
				for _, r := range []issuer.Request{read, read, effect} {
					if _, err := b.Do(t.Context(), host("a.example"), r); err != nil {
						t.Fatal(err)
					}
				}
				if first := d.at[1].Sub(start); first < 6*time.Second || first > 7*time.Second || d.at[2].Before(d.at[1]) {
					t.Errorf("the next request was sent after %s", first)
				}
				at := time.Now()
				if _, err := b.Do(t.Context(), host("b.example"), read); err != nil || time.Since(at) > 0 {
					t.Errorf("another host waited %s, %v", time.Since(at), err)
				}
			})
		})
	}
}

// The breaker does not wait for a Retry-After beyond its patience; it expires nevertheless.
func TestALongRetryAfterIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &doer{answer: always(429, "Retry-After", "3600")}
		b := &guard.Breaker{Next: d}
		start := time.Now()
		for range 5 {
			_, _ = b.Do(t.Context(), host("a.example"), read)
		}
		if _, err := b.Do(t.Context(), host("a.example"), read); !errors.Is(err, guard.ErrWait) || d.n != 1 || time.Since(start) > 0 {
			t.Errorf("%d requests in %s: %v", d.n, time.Since(start), err)
		}
		time.Sleep(time.Hour)
		d.answer = always(200)
		if _, err := b.Do(t.Context(), host("a.example"), read); err != nil || d.n != 2 {
			t.Errorf("after the wait: %v", err)
		}
	})
}

// A process that does not end asks an issuer again that it gave up: once, and then as long as it
// answers.
func TestAnIssuerThatWasGivenUpIsAskedAgain(t *testing.T) {
	for _, again := range []time.Duration{0, 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			down := true
			d := &doer{answer: func(int) (issuer.Response, error) {
				if down {
					return issuer.Response{}, context.DeadlineExceeded
				}
				return issuer.Response{Status: 200}, nil
			}}
			b := &guard.Breaker{Next: d, Again: again}
			ask := func(n int) (err error) {
				for range n {
					_, err = b.Do(t.Context(), host("a.example"), read)
				}
				return err
			}
			if err := ask(20); !errors.Is(err, guard.ErrOpen) || d.n != 5 {
				t.Fatalf("%v, %d requests", err, d.n)
			}
			time.Sleep(31 * time.Second)
			want := 5
			if again > 0 {
				want = 6
			}
			if err := ask(20); !errors.Is(err, guard.ErrOpen) || d.n != want {
				t.Errorf("again %s: %v, %d requests", again, err, d.n)
			}
			down = false
			time.Sleep(31 * time.Second)
			if err := ask(20); (err == nil) != (again > 0) || again > 0 && d.n != 26 {
				t.Errorf("again %s, once it answers: %v, %d requests", again, err, d.n)
			}
		})
	}
}

// After the issuer's wait is over, the breaker tries again, and opens at once if the issuer
// throttles again.
func TestAnIssuerRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &doer{answer: always(429, "Retry-After", "5")}
		b := &guard.Breaker{Next: d}
		for range 3 {
			_, _ = b.Do(t.Context(), host("a.example"), read)
		}
		if _, err := b.Do(t.Context(), host("a.example"), read); !errors.Is(err, guard.ErrOpen) || d.n != 3 {
			t.Fatalf("%d requests: %v", d.n, err)
		}
		time.Sleep(6 * time.Second)
		_, _ = b.Do(t.Context(), host("a.example"), read)
		if _, err := b.Do(t.Context(), host("a.example"), read); d.n != 4 {
			t.Errorf("throttled again: %d requests, %v", d.n, err)
		}
		time.Sleep(6 * time.Second)
		d.answer = always(200)
		for range 5 {
			if _, err := b.Do(t.Context(), host("a.example"), read); err != nil {
				t.Errorf("it answers again: %v", err)
			}
		}
	})
}

func TestRetryRepeatsReadsAlone(t *testing.T) {
	cut := func(int) (issuer.Response, error) { return issuer.Response{}, errors.New("cut") }
	for name, c := range map[string]struct {
		r        issuer.Request
		answer   func(int) (issuer.Response, error)
		requests int
	}{
		"a read whose connection was cut":    {read, cut, 2},
		"a read with 502":                    {read, always(502), 2},
		"a read with 503":                    {read, always(503), 2},
		"a read with 504":                    {read, always(504), 2},
		"a read with 500":                    {read, always(500), 1},
		"a read with 401":                    {read, always(401), 1},
		"a throttled read with a short wait": {read, always(429, "Retry-After", "1"), 2},
		"a throttled read with a long wait":  {read, always(429, "Retry-After", "3600"), 1},
		"a throttled read":                   {read, always(429), 1},
		"a read that timed out":              {read, func(int) (issuer.Response, error) { return issuer.Response{}, context.DeadlineExceeded }, 1},
		"a read of an issuer given up":       {read, func(int) (issuer.Response, error) { return issuer.Response{}, guard.ErrOpen }, 1},
		"an effect whose connection was cut": {effect, cut, 1},
		"an effect with 503":                 {effect, always(503), 1},
		"an effect that is throttled":        {effect, always(429, "Retry-After", "1"), 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &doer{answer: c.answer}
				got, err := (&guard.Retry{Next: d}).Do(t.Context(), host("a.example"), c.r)
				want, wantErr := c.answer(1)
				if d.n != c.requests || got.Status != want.Status || !errors.Is(err, wantErr) && (err == nil) != (wantErr == nil) {
					t.Errorf("%d requests, %d, %v", d.n, got.Status, err)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		d := &doer{answer: func(n int) (issuer.Response, error) {
			if n == 1 {
				return cut(n)
			}
			return always(200)(n)
		}}
		if a, err := (&guard.Retry{Next: d}).Do(t.Context(), host("a.example"), read); err != nil || a.Status != 200 {
			t.Errorf("the second answer: %d, %v", a.Status, err)
		}
	})
}

func TestRetryAfterIsRead(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		header []string
		want   time.Duration
		ok     bool
	}{
		"seconds":                      {[]string{"Retry-After", "90"}, 90 * time.Second, true},
		"spaces":                       {[]string{"Retry-After", " 90 "}, 90 * time.Second, true},
		"a date":                       {[]string{"Retry-After", "Mon, 30 Nov 2026 12:02:00 GMT"}, 2 * time.Minute, true},
		"a date that has passed":       {[]string{"Retry-After", "Mon, 30 Nov 2026 11:00:00 GMT"}, 0, true},
		"a negative number":            {[]string{"Retry-After", "-5"}, 0, false},
		"words":                        {[]string{"Retry-After", "soon"}, 0, false},
		"more than a day":              {[]string{"Retry-After", "999999999"}, 24 * time.Hour, true},
		"a number that overflows":      {[]string{"Retry-After", "9223372036854775807"}, 24 * time.Hour, true},
		"GitHub's reset":               {[]string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1796040060"}, time.Minute, true},
		"GitHub's reset, some is left": {[]string{"X-RateLimit-Remaining", "9", "X-RateLimit-Reset", "1796040060"}, 0, false},
		"nothing":                      {nil, 0, false},
	} {
		a, _ := always(429, c.header...)(1)
		got, ok := guard.RetryAfter(a.Header, now)
		if got != c.want || ok != c.ok {
			t.Errorf("%s: %s %v", name, got, ok)
		}
	}
}

func TestOfflineSendsNothing(t *testing.T) {
	for _, r := range []issuer.Request{read, effect} {
		if _, err := (guard.Offline{}).Do(t.Context(), host("a.example"), r); !errors.Is(err, guard.ErrOffline) {
			t.Error(err)
		}
	}
}

// stamps notes the order of requests.
type stamps struct {
	mu    sync.Mutex
	order []string
}

func (s *stamps) Do(_ context.Context, _ *issuer.Instance, r issuer.Request) (issuer.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.order = append(s.order, r.Path)
	return issuer.Response{Status: 200}, nil
}

func (s *stamps) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}

// A hundred looks that wait for a host's limit let a kill go before all of them but one.
func TestPatientRequestsLetOthersGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stamps{}
		l := &guard.Limit{Next: s, PerSecond: 1}
		in := &issuer.Instance{URL: &url.URL{Scheme: "https", Host: "issuer.example"}}
		var wg sync.WaitGroup
		for range 100 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				_, _ = l.Do(guard.Patient(t.Context()), in, issuer.Request{Path: "/look"})
			}()
		}
		time.Sleep(10 * time.Second)
		before := len(s.seen())
		if _, err := l.Do(t.Context(), in, issuer.Request{Path: "/kill"}); err != nil {
			t.Fatal(err)
		}
		if after := slices.Index(s.seen(), "/kill") - before; after > 2 {
			t.Errorf("%d looks went before the kill", after)
		}
		wg.Wait()
		if n := len(s.seen()); n != 101 {
			t.Errorf("%d requests", n)
		}
	})
}
