package issuer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"
)

// maxBody is the number of bytes of a response that are read.
const maxBody = 1 << 20

// Network describes the route to an instance in a corporate network. It comes from the policy,
// never from the environment.
type Network struct {
	CA         *x509.CertPool   // replaces the system's roots
	ClientCert *tls.Certificate // presented to the instance
	Proxy      *url.URL
}

// Client sends requests to pinned hosts. It follows no redirects, and connects to private
// addresses only for instances that the operator named.
type Client struct {
	// Timeout is the limit for one request; zero means ten seconds.
	Timeout time.Duration

	mu         sync.Mutex
	transports map[key]*http.Transport
}

// key determines whether two instances can share connections.
type key struct {
	origin   string
	operator bool
	public   bool
	network  Network
}

var errPrivate = errors.New("a private address that the operator did not name")

// ErrPrivate reports whether a request was not sent because the host's name resolved to a
// private address.
func ErrPrivate(err error) bool { return errors.Is(err, errPrivate) }

func (c *Client) timeout() time.Duration {
	if c.Timeout > 0 {
		return c.Timeout
	}
	return 10 * time.Second
}

// transport returns the connections of an instance: shared ones, or a new one for a single
// request if the instance is Fresh.
func (c *Client) transport(i *Instance) *http.Transport {
	if i.fresh {
		return c.dialer(i)
	}
	k := key{i.Origin(), i.Operator, i.Public, i.Network}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transports == nil {
		c.transports = map[key]*http.Transport{}
	}
	if c.transports[k] == nil {
		c.transports[k] = c.dialer(i)
	}
	return c.transports[k]
}

func (c *Client) dialer(i *Instance) *http.Transport {
	// An operator who names a public host does not allow it to resolve to a private address. A
	// proxy is a name of the operator's too, and the only one that is dialled with it.
	checked := &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil || !public(ap.Addr()) {
			return errPrivate
		}
		return nil
	}}
	named := &net.Dialer{Timeout: checked.Timeout}
	t := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if p := i.Network.Proxy; p != nil && address == hostPort(p) || p == nil && i.Operator && !i.Public {
				return named.DialContext(ctx, network, address)
			}
			return checked.DialContext(ctx, network, address)
		},
		DisableKeepAlives:      i.fresh,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        10 * time.Second,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: i.Network.CA},
		TLSHandshakeTimeout:    5 * time.Second,
		ResponseHeaderTimeout:  c.timeout(),
		MaxResponseHeaderBytes: 64 << 10,
	}
	if i.Network.ClientCert != nil {
		t.TLSClientConfig.Certificates = []tls.Certificate{*i.Network.ClientCert}
	}
	if i.Network.Proxy != nil {
		t.Proxy = http.ProxyURL(i.Network.Proxy)
	}
	return t
}

// hostPort is the address of a proxy as net/http dials it.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// public reports whether a public issuer can have the address.
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

// special are ranges that IsGlobalUnicast includes and that no public issuer has (RFC 6890, RFC
// 6598, RFC 2544, RFC 6052, RFC 3056).
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"),
}

// Do implements Doer.
func (c *Client) Do(ctx context.Context, i *Instance, r Request) (Response, error) {
	if err := CheckURL(i.URL); err != nil {
		return Response{}, err
	}
	if p := i.Network.Proxy; p != nil && i.URL.Scheme == "http" && !Loopback(p.Hostname()) {
		return Response{}, errors.New("a request without TLS never goes through a proxy")
	}
	q, err := r.build(ctx, i)
	if err != nil {
		return Response{}, err
	}
	t := c.transport(i)
	if i.fresh {
		defer t.CloseIdleConnections()
	}
	h := &http.Client{
		Timeout:       c.timeout(),
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := h.Do(q)
	if err != nil {
		return Response{}, plain(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return Response{}, plain(err)
	}
	return Response{resp.StatusCode, resp.Header, b[:min(len(b), maxBody)], len(b) > maxBody}, nil
}

// ErrTimeout reports whether err is a timeout of the network or of the request.
func ErrTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// plain drops what an error of net/http quotes: the URL, and the value of an invalid header.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		if u.Timeout() {
			return fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
		}
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
	case strings.Contains(err.Error(), "Proxy Authentication Required"):
		return errors.New("the proxy asks for a user and a password")
	case strings.Contains(err.Error(), "invalid header field"):
		return errors.New("a value contains bytes that no header can")
	case strings.Contains(err.Error(), "certificate"), strings.Contains(err.Error(), "tls:"):
		return err
	case strings.Contains(err.Error(), "is not the pinned host"), strings.Contains(err.Error(), "only https"):
		return err
	}
	return errors.New("the connection broke off")
}
