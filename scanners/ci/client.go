package ci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quellhq/quell/scanners"
)

const (
	// MaxCalls is how many requests are in flight at one time. GitHub's limit is 100.
	MaxCalls = 32
	// maxDocument is how many bytes of one JSON answer are read.
	maxDocument = 64 << 20
	// tries is how often a request is sent that fails with 5xx or without an answer.
	tries = 4
	// throttles is how often a request is sent again after the server asked to wait.
	throttles = 8
	// maxRedirects is how many redirects of one request are followed.
	maxRedirects = 5
)

// Client sends requests to one address that the operator named. The credential goes to that
// scheme, host and port alone: redirects to another host are followed without it, and only
// for downloads.
type Client struct {
	// Base is the API's address. Its path ends with a slash.
	Base *url.URL
	// Auth adds the credential to a request to Base's host; nil: there is none.
	Auth func(ctx context.Context, h http.Header) error
	// Renew is called after a 401 and reports whether Auth has a new credential now.
	Renew func(ctx context.Context) bool
	// Memory keeps the validators of conditional requests; nil: every request is whole.
	Memory scanners.Memory
	// Waiting is called when the server asks to wait; nil: nothing is shown.
	Waiting func(time.Duration)
	// Patience is the longest wait that is honoured when the server asks to wait; a request
	// that has to wait longer ends with a WaitError. Zero: two hours.
	Patience time.Duration
	// Temp is the folder for downloads; empty: the system's.
	Temp string
	// Backoff is the pause before a failed request is sent again, doubled each time;
	// zero: 500 ms.
	Backoff time.Duration
	// Shared is what several processes know together about hosts that ask to wait; nil: this process
	// knows them alone.
	Shared Holds
	// Calls is how many requests are in flight at one time; zero: MaxCalls.
	Calls int
	// Stall is how long an answer may be silent; zero: 30 seconds.
	Stall time.Duration

	once    sync.Once
	mu      sync.Mutex
	gates   map[string]*gate
	calls   chan struct{}
	http    *http.Client
	refused atomic.Pointer[Unauthorized]
	// failures counts requests in a row that were given up.
	failures atomic.Int32
}

// Holds are the hosts that asked one of several processes to wait.
type Holds interface {
	// Held is the rest of a host's wait; zero: none.
	Held(ctx context.Context, host string) (time.Duration, error)
	// Hold records that a host asks to wait.
	Hold(ctx context.Context, host string, d time.Duration) error
}

// maxFailures is how many requests in a row may fail before the server counts as down and is
// asked no more in this run. From half of it on, a request is sent once.
const maxFailures = 40

var errDown = errors.New("the server did not answer many requests in a row, and is asked no more in this run")

// Private reports whether no third party can read what is sent to u: https, or this machine.
func Private(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

// ParseBase checks an address that the operator names, and ends its path with a slash.
func ParseBase(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "":
		return nil, errors.New("not an address: https://HOST[:PORT][/PATH]")
	case u.User != nil:
		return nil, errors.New("a credential in an address can be read in the list of processes (hint: use the environment variable of the system)")
	case !Private(u):
		return nil, errors.New("plain http shows the token to everybody on the way (hint: use https)")
	}
	u.RawQuery, u.Fragment = "", ""
	u.Path = strings.TrimRight(u.Path, "/") + "/"
	u.RawPath = ""
	return u, nil
}

func (c *Client) setup() {
	c.once.Do(func() {
		c.gates = map[string]*gate{}
		calls := c.Calls
		if calls <= 0 {
			calls = MaxCalls
		}
		c.calls = make(chan struct{}, calls)
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = MaxCalls
		t.ResponseHeaderTimeout = c.stall()
		c.http = &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	})
}

func (c *Client) stall() time.Duration {
	if c.Stall > 0 {
		return c.Stall
	}
	return 30 * time.Second
}

func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// named reports whether u is at the address that the operator named.
func (c *Client) named(u *url.URL) bool { return origin(u) == origin(c.Base) }

func (c *Client) gate(u *url.URL) *gate {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := origin(u)
	if c.gates[o] == nil {
		c.gates[o] = newGate(c.Waiting, c.Patience)
	}
	return c.gates[o]
}

// StatusError is an answer that is no success.
type StatusError struct {
	Code int
	// Path is what was asked for, without a query.
	Path string
}

func (e *StatusError) Error() string {
	hint := ""
	switch {
	case e.Code == http.StatusForbidden:
		hint = " (hint: the token's scopes may lack it; docs/ci.md has the least ones)"
	case e.Code == http.StatusNotFound:
		hint = " (hint: it does not exist, or the token has no access to it)"
	}
	return fmt.Sprintf("the server answers %d to %s%s", e.Code, scanners.Clip(e.Path, 200), hint)
}

// Unauthorized is the server's refusal of the token, or of a request without one.
type Unauthorized struct{ Host string }

func (e *Unauthorized) Error() string {
	return fmt.Sprintf("%s answers 401: the token is missing, wrong or has expired (hint: docs/ci.md names the variable that holds it, and its scopes)", e.Host)
}

// errStall is the error of an answer that was silent for too long.
var errStall = errors.New("the answer stalled")

// Is404 and IsGone classify errors of requests.
func Is404(err error) bool { return status(err) == http.StatusNotFound }

// IsGone reports whether the server answered that a thing is no longer stored.
func IsGone(err error) bool { return status(err) == http.StatusGone }

// Refuses reports whether the server answered that the token may not read a thing.
func Refuses(err error) bool { return status(err) == http.StatusForbidden || Is404(err) }

// Status gives the code of the answer that an error is about; 0: it is about none.
func Status(err error) int { return status(err) }

func status(err error) int {
	var s *StatusError
	if errors.As(err, &s) {
		return s.Code
	}
	return 0
}

// At gives the address of a path below Base. Parts are escaped one by one.
func (c *Client) At(parts ...string) *url.URL {
	escaped := make([]string, len(parts))
	for i, p := range parts {
		escaped[i] = url.PathEscape(p)
	}
	u := *c.Base
	u.RawPath = u.EscapedPath() + strings.Join(escaped, "/")
	u.Path += strings.Join(parts, "/")
	return &u
}

// Origin gives a Location's Origin: what is at a path below Base.
func (c *Client) Origin(system string, parts ...string) string {
	return system + ":" + c.At(parts...).String()
}

// Below gives the parts of the path of an address below Base, unescaped; false: it is not below
// Base, or not spelt as At spells it.
func (c *Client) Below(address string) (parts []string, ok bool) {
	u, err := url.Parse(address)
	if err != nil || u.User != nil || !c.named(u) {
		return nil, false
	}
	rest, ok := strings.CutPrefix(u.EscapedPath(), c.Base.EscapedPath())
	if !ok {
		return nil, false
	}
	for _, p := range strings.Split(rest, "/") {
		p, err := url.PathUnescape(p)
		if err != nil || p == "" || p == "." || p == ".." {
			return nil, false
		}
		parts = append(parts, p)
	}
	return parts, c.At(parts...).String() == address
}

// Change sends one request that changes something, once: neither an error nor a redirect sends
// it again. It returns the answer's status, and of a JSON answer a short reason.
func (c *Client) Change(ctx context.Context, method string, u *url.URL, body []byte) (status int, reason string, err error) {
	c.setup()
	if !c.named(u) {
		return 0, "", fmt.Errorf("an address at another host (%s) gets no request: the token belongs to %s", u.Host, c.Base.Host)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return 0, "", errors.New("not an address")
	}
	req.Header.Set("Accept", "application/json")
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.send(req, true)
	if err != nil {
		return 0, "", clean(err)
	}
	defer res.Body.Close()
	var doc struct{ Message string }
	b, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if json.Unmarshal(b, &doc) == nil {
		reason = scanners.Clip(doc.Message, 200)
	}
	return res.StatusCode, reason, nil
}

// JSON gets a document from an address of the named host into v.
func (c *Client) JSON(ctx context.Context, u *url.URL, v any) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, errors.New("not an address")
	}
	req.Header.Set("Accept", "application/json")
	res, err := c.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return res.Header, &StatusError{res.StatusCode, u.Path}
	}
	if err := json.NewDecoder(res.Body).Decode(v); err != nil {
		return res.Header, fmt.Errorf("the server's answer to %s is not the JSON that its API documents", scanners.Clip(u.Path, 200))
	}
	return res.Header, nil
}

// RoundTrip implements http.RoundTripper for official clients: the answer is read to its end
// before it is returned, and a GET is repeated where that fails. A redirect within the named
// host is followed, any other is an error.
func (c *Client) RoundTrip(req *http.Request) (*http.Response, error) {
	c.setup()
	if !c.named(req.URL) {
		return nil, fmt.Errorf("an address at another host (%s) is not read: the token belongs to %s", req.URL.Host, c.Base.Host)
	}
	again := req.Method == http.MethodGet || req.Method == http.MethodHead
	var res *http.Response
	for hop := 0; ; hop++ {
		var body []byte
		err := c.attempts(req.Context(), again, func() (*http.Response, error) {
			r, err := c.send(req, true)
			if err != nil {
				return nil, err
			}
			defer r.Body.Close()
			b, err := io.ReadAll(io.LimitReader(r.Body, maxDocument+1))
			if err == nil && len(b) > maxDocument {
				return nil, final{scanners.OfKind(scanners.GapLimitMemory, fmt.Errorf("an answer of over %d MiB", maxDocument>>20))}
			}
			res, body = r, b
			return r, err
		})
		if err != nil {
			return nil, clean(err)
		}
		res.Body = io.NopCloser(bytes.NewReader(body))
		if res.StatusCode < 300 || res.StatusCode > 399 || res.StatusCode == http.StatusNotModified {
			break
		}
		to, err := req.URL.Parse(res.Header.Get("Location"))
		if err != nil || !again || hop == maxRedirects || !c.named(to) {
			return nil, errors.New("the server redirects to another host, which is not followed with the token (hint: name the address itself with --url)")
		}
		req = req.Clone(req.Context())
		req.URL = to
	}
	return res, nil
}

// attempts calls f until it succeeds or is refused: a server's wish to wait is honoured,
// faults are tried again.
func (c *Client) attempts(ctx context.Context, again bool, f func() (*http.Response, error)) error {
	pause := c.Backoff
	if pause == 0 {
		pause = 500 * time.Millisecond
	}
	faults, limits := 0, 0
	renewed := false
	for {
		if c.failures.Load() >= maxFailures {
			return errDown
		}
		res, err := f()
		var wait *WaitError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &wait), errors.As(err, new(*Unauthorized)), errors.As(err, new(*StatusError)), errors.As(err, new(final)):
			return err
		case err == nil && res.StatusCode == http.StatusUnauthorized && res.Request != nil && c.named(res.Request.URL) && res.Request.Header.Get(authorized) != "":
			if c.Renew != nil && !renewed && c.Renew(ctx) {
				renewed = true
				continue
			}
			e := &Unauthorized{c.Base.Host}
			c.refused.Store(e)
			return e
		case err == nil && throttled(res):
			if limits++; limits > throttles || !again {
				c.failures.Add(1)
				return &StatusError{res.StatusCode, pathOf(res)}
			}
			if res.Header.Get("Retry-After") == "" && res.Request != nil {
				// GitHub's documentation: at least a minute where no header names a time.
				d := time.Minute
				if res.StatusCode == http.StatusTooManyRequests {
					d = min(d, time.Second<<limits)
				}
				if !exhausted(res) || first(res.Header, "X-RateLimit-Reset", "RateLimit-Reset") == "" {
					c.gate(res.Request.URL).pause(d)
					c.hold(ctx, res.Request.URL, d)
				}
			}
			continue
		case err == nil && res.StatusCode < 500:
			c.failures.Store(0)
			return nil
		}
		faults++
		if errors.Is(err, errStall) {
			faults++ // silence takes long
		}
		if faults >= tries || !again || c.failures.Load() >= maxFailures/2 {
			c.failures.Add(1)
			if err == nil {
				err = &StatusError{res.StatusCode, pathOf(res)}
			}
			return err
		}
		t := time.NewTimer(pause << (faults - 1))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}

// final is an error that another attempt does not change.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

func pathOf(res *http.Response) string {
	if res.Request == nil {
		return ""
	}
	return res.Request.URL.Path
}

// authorized marks requests that carry the credential; it is removed before they are sent.
const authorized = "Quell-Authorized"

func exhausted(res *http.Response) bool {
	return first(res.Header, "X-RateLimit-Remaining", "RateLimit-Remaining") == "0"
}

// throttled reports whether an answer asks to wait.
func throttled(res *http.Response) bool {
	switch res.StatusCode {
	case http.StatusTooManyRequests:
		return true
	case http.StatusForbidden:
		return res.Header.Get("Retry-After") != "" || exhausted(res) || res.Header.Get(secondary) != ""
	case http.StatusServiceUnavailable:
		return res.Header.Get("Retry-After") != ""
	}
	return false
}

// secondary marks an answer whose body names GitHub's secondary limit.
const secondary = "Quell-Secondary-Limit"

// send sends one request once it may. The answer's body ends with an error if it stalls.
func (c *Client) send(req *http.Request, credential bool) (*http.Response, error) {
	c.setup()
	ctx := req.Context()
	if e := c.refused.Load(); e != nil && credential && c.named(req.URL) {
		return nil, e
	}
	g := c.gate(req.URL)
	select {
	case c.calls <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-c.calls }()
	if c.Shared != nil {
		// Where it can't be read, this process waits when the host asks it to.
		if d, err := c.Shared.Held(ctx, origin(req.URL)); err == nil && d > 0 {
			g.pause(d)
		}
	}
	if err := g.enter(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	out := req.Clone(ctx)
	if out.Header.Get("User-Agent") == "" || strings.HasPrefix(out.Header.Get("User-Agent"), "go-") {
		out.Header.Set("User-Agent", "quell")
	}
	with := credential && c.named(req.URL)
	if !with {
		for _, h := range []string{"Authorization", "Cookie", "Private-Token", "Job-Token"} {
			out.Header.Del(h)
		}
	} else if c.Auth != nil {
		if err := c.Auth(ctx, out.Header); err != nil {
			g.leave(nil)
			cancel(nil)
			return nil, err
		}
	}
	validators := with && c.condition(ctx, out)
	res, err := c.http.Do(out)
	c.hold(req.Context(), req.URL, g.leave(res))
	if err != nil {
		cancel(nil)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() && req.Context().Err() == nil {
			err = errStall
		}
		return nil, err
	}
	if with {
		res.Request.Header.Set(authorized, "yes")
	}
	res.Body = newSteady(res.Body, c.stall(), cancel)
	if res.StatusCode == http.StatusForbidden {
		b, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
		if bytes.Contains(bytes.ToLower(b), []byte("secondary rate limit")) || bytes.Contains(b, []byte("abuse detection")) {
			res.Header.Set(secondary, "yes")
		}
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(b), res.Body), res.Body}
	}
	if validators {
		// The request's own context: that of this attempt ends with the body.
		return c.validated(req.Context(), req, res)
	}
	return res, nil
}

// hold shares that the host of u asks to wait.
func (c *Client) hold(ctx context.Context, u *url.URL, d time.Duration) {
	if c.Shared != nil && d > 0 {
		_ = c.Shared.Hold(context.WithoutCancel(ctx), origin(u), d) // this process waits by itself
	}
}

// clean takes addresses out of an error: they may hold a signature.
func clean(err error) error {
	var at *url.Error
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// steady ends a body that stalls: nothing for the time of a stall, or less than a KiB a
// second for longer than two minutes.
type steady struct {
	r      io.ReadCloser
	stall  time.Duration
	timer  *time.Timer
	cancel context.CancelCauseFunc
	begin  time.Time
	n      int64
	over   atomic.Bool
}

const (
	minRate  = 1 << 10 // bytes a second
	slowTime = 2 * time.Minute
)

func newSteady(r io.ReadCloser, stall time.Duration, cancel context.CancelCauseFunc) *steady {
	s := &steady{r: r, stall: stall, cancel: cancel, begin: time.Now()}
	s.timer = time.AfterFunc(stall, func() { s.over.Store(true); cancel(errStall) })
	return s
}

func (s *steady) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.n += int64(n)
	took := time.Since(s.begin)
	switch {
	case s.over.Load():
		return n, errStall
	case err == nil && took > slowTime && float64(s.n) < took.Seconds()*minRate:
		s.cancel(errStall)
		return n, errStall
	case n > 0 && err == nil:
		s.timer.Reset(s.stall)
	}
	return n, err
}

func (s *steady) Close() error {
	s.timer.Stop()
	err := s.r.Close()
	s.cancel(nil)
	return err
}
