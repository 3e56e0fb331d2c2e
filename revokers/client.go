package revokers

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"
)

// maxBody is how much of an answer is read.
const maxBody = 1 << 20

// Client sends requests to pinned hosts. Every request opens a connection of
// its own, follows no redirect, and reaches private addresses only at
// instances that the operator named.
type Client struct {
	// Timeout bounds one request; zero means ten seconds.
	Timeout time.Duration
	// PerSecond bounds the requests to one host; zero means five.
	PerSecond float64

	mu       sync.Mutex
	limiters map[string]*rate.Limiter
}

// Answer is an issuer's response.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Errors that say why a request was not made.
var errPrivate = errors.New("a private address that the operator did not name")

// HTTP returns a client for one instance, for libraries that bring their own
// requests.
func (c *Client) HTTP(i *Instance) *http.Client {
	dial := &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		if i.Operator {
			return nil
		}
		ap, err := netip.ParseAddrPort(address)
		if err != nil || !public(ap.Addr()) {
			return errPrivate
		}
		return nil
	}}
	return &http.Client{
		Timeout: c.timeout(),
		Transport: &pinned{i.URL, c, &http.Transport{DialContext: dial.DialContext, DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: c.timeout(), MaxResponseHeaderBytes: 64 << 10}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (c *Client) timeout() time.Duration {
	if c.Timeout > 0 {
		return c.Timeout
	}
	return 10 * time.Second
}

// pinned refuses any request to another origin than the instance's.
type pinned struct {
	to     *url.URL
	client *Client
	next   http.RoundTripper
}

func (p *pinned) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != p.to.Scheme || r.URL.Host != p.to.Host {
		return nil, fmt.Errorf("%s is not the pinned host %s", r.URL.Host, p.to.Host)
	}
	if err := CheckURL(p.to); err != nil {
		return nil, err
	}
	if err := p.client.limiter(p.to.Host).Wait(r.Context()); err != nil {
		return nil, err
	}
	return p.next.RoundTrip(r)
}

func (c *Client) limiter(host string) *rate.Limiter {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.limiters == nil {
		c.limiters = map[string]*rate.Limiter{}
	}
	if c.limiters[host] == nil {
		perSecond := c.PerSecond
		if perSecond == 0 {
			perSecond = 5
		}
		if loopback(strings.Split(host, ":")[0]) {
			perSecond *= 20
		}
		c.limiters[host] = rate.NewLimiter(rate.Limit(perSecond), 4)
	}
	return c.limiters[host]
}

// public reports whether an address can belong to an issuer that serves the
// whole Internet.
func public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// special are ranges that IsGlobalUnicast lets through and that no public
// issuer has (RFC 6890, RFC 6598, RFC 2544, RFC 6052, RFC 3056).
var special = []netip.Prefix{
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"),
}

// Do sends one request and reads its answer. A 429 with a short Retry-After is
// waited for once.
func (c *Client) Do(ctx context.Context, i *Instance, method, path string, query url.Values, header http.Header, body any) (Answer, error) {
	for attempt := 0; ; attempt++ {
		a, err := c.once(ctx, i, method, path, query, header, body)
		if err != nil || a.Status != http.StatusTooManyRequests || attempt > 0 || method != http.MethodGet {
			return a, err
		}
		s, err := strconv.Atoi(a.Header.Get("Retry-After"))
		if err != nil || s < 0 || s > 10 {
			return a, nil
		}
		select {
		case <-ctx.Done():
			return a, nil
		case <-time.After(time.Duration(s) * time.Second):
		}
	}
}

func (c *Client) once(ctx context.Context, i *Instance, method, path string, query url.Values, header http.Header, body any) (Answer, error) {
	rel, err := url.Parse(path)
	if err != nil || rel.Host != "" || rel.Scheme != "" || !strings.HasPrefix(rel.Path, "/") {
		return Answer{}, fmt.Errorf("%s %s: the path is not one of this host", method, i.Host())
	}
	u := *i.URL
	base := strings.TrimRight(u.Path, "/")
	u.Path, u.RawPath, u.RawQuery = base+rel.Path, base+rel.EscapedPath(), rel.RawQuery
	if len(query) > 0 {
		u.RawQuery = query.Encode()
	}
	var in io.Reader
	kind := ""
	switch b := body.(type) {
	case nil:
	case url.Values:
		in, kind = strings.NewReader(b.Encode()), "application/x-www-form-urlencoded"
	default:
		j, err := json.Marshal(b)
		if err != nil {
			return Answer{}, errors.New("the body can't be written as JSON")
		}
		in, kind = bytes.NewReader(j), "application/json"
	}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), in)
	if err != nil {
		return Answer{}, fmt.Errorf("%s %s: the request can't be made", method, i.Host())
	}
	for k, v := range header {
		r.Header[k] = v
	}
	r.Header.Set("User-Agent", "quell")
	r.Header.Set("Cache-Control", "no-cache")
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	resp, err := c.HTTP(i).Do(r)
	if err != nil {
		return Answer{}, plain(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return Answer{}, plain(err)
	}
	return Answer{resp.StatusCode, resp.Header, b}, nil
}

// plain drops what an error of net/http quotes: the URL, and a header's value
// where one was bad.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var op *net.OpError
	var dns *net.DNSError
	switch {
	case errors.Is(err, errPrivate):
		return errPrivate
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &dns):
		return errors.New("the host's name does not resolve")
	case errors.As(err, &op):
		return fmt.Errorf("%s: %w", op.Op, op.Err)
	case strings.Contains(err.Error(), "invalid header field"):
		return errors.New("a value holds bytes that no header can")
	case strings.Contains(err.Error(), "certificate"), strings.Contains(err.Error(), "tls:"):
		return err
	case strings.Contains(err.Error(), "is not the pinned host"), strings.Contains(err.Error(), "only https"):
		return err
	}
	return errors.New("the exchange broke off")
}
