package issuer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func instance(t *testing.T, address string) *Instance {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return &Instance{Provider: "made-up", URL: u, Operator: true, Settings: map[string]string{}}
}

func get(path string) Request { return Request{Method: http.MethodGet, Path: path, Reads: true} }

func TestRedirectsAreNotFollowed(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/me" {
			w.Header().Set("Location", other.URL+"/me")
			w.WriteHeader(307)
			return
		}
		elsewhere.Add(1)
	}))
	defer srv.Close()
	a, err := (&Client{}).Do(t.Context(), instance(t, srv.URL), get("/me"))
	if err != nil || a.Status != 307 || elsewhere.Load() != 0 {
		t.Errorf("%d, %v, %d requests elsewhere", a.Status, err, elsewhere.Load())
	}
}

func TestPathsStayAtTheirHost(t *testing.T) {
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = append(asked, r.RequestURI) }))
	defer srv.Close()
	in := instance(t, srv.URL+"/base/")
	for path, want := range map[string]string{
		"/me":                          "/base/me",
		"/a%2Fb":                       "/base/a%2Fb",
		"/a?x=1":                       "/base/a?x=1",
		"/...":                         "/base/...",
		"/%2e%2e/x":                    "",
		"/../x":                        "",
		"/a/.":                         "",
		"/a/%2E/b":                     "",
		"/.%2e/x":                      "",
		"//evil.example/x":             "",
		"https://evil.example/x":       "",
		"me":                           "",
		"@evil.example/":               "",
		"/%zz":                         "",
		"/a\r\nHost: evil.example":     "",
		"\\\\evil.example":             "",
		"http:evil.example":            "",
		"/a#../..":                     "/base/a",
		"/@evil.example:80/x?@/../y":   "/base/@evil.example:80/x?@/../y",
		"/user@evil.example/%2f..%2f/": "/base/user@evil.example/%2f..%2f/",
	} {
		asked = nil
		_, err := (&Client{}).Do(t.Context(), in, get(path))
		got := strings.Join(asked, " ")
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q asks %q, %v", path, got, err)
		}
	}
}

func TestPrivateAddressesNeedTheOperator(t *testing.T) {
	var asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer srv.Close()
	named := instance(t, srv.URL)
	for name, c := range map[string]struct {
		change func(*Instance)
		ok     bool
	}{
		"the operator named it":                           {func(*Instance) {}, true},
		"the file pins it":                                {func(i *Instance) { i.Operator = false }, false},
		"the operator named a public host of the file":    {func(i *Instance) { i.Public = true }, false},
		"a fresh connection of a pinned host is the same": {func(i *Instance) { i.Operator, i.fresh = false, true }, false},
	} {
		in := *named
		c.change(&in)
		asked.Store(0)
		_, err := (&Client{}).Do(t.Context(), &in, get("/"))
		if (err == nil) != c.ok || (asked.Load() > 0) != c.ok || !c.ok && !ErrPrivate(err) {
			t.Errorf("%s: %v, %d requests", name, err, asked.Load())
		}
	}
	for a, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "10.1.2.3": false, "172.16.0.1": false, "127.0.0.1": false, "169.254.169.254": false, "192.168.1.1": false, "100.64.0.1": false, "198.18.0.1": false,
		"::1": false, "fe80::1": false, "fd00::1": false, "::ffff:10.0.0.1": false, "64:ff9b::a00:1": false, "2002:a00:1::": false, "0.0.0.0": false, "224.0.0.1": false, "255.255.255.255": false,
	} {
		if public(netip.MustParseAddr(a)) != want {
			t.Errorf("%s: public is %v", a, !want)
		}
	}
}

// Two instances of one origin share connections only if both have the same permissions: a
// pinned host never uses the operator's connection.
func TestConnectionsAreNotSharedAcrossPermissions(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	c := &Client{}
	in := instance(t, srv.URL)
	if _, err := c.Do(t.Context(), in, get("/")); err != nil {
		t.Fatal(err)
	}
	pinned := *in
	pinned.Operator = false
	if _, err := c.Do(t.Context(), &pinned, get("/")); !ErrPrivate(err) {
		t.Errorf("a pinned host reached a private address: %v", err)
	}
}

func TestFreshRequestsHaveConnectionsOfTheirOwn(t *testing.T) {
	var opened atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") }))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	c, in := &Client{}, instance(t, srv.URL)
	for range 5 {
		if _, err := c.Do(t.Context(), in, get("/")); err != nil {
			t.Fatal(err)
		}
	}
	shared := opened.Swap(0)
	for range 5 {
		if _, err := c.Do(t.Context(), in.Fresh(), get("/")); err != nil {
			t.Fatal(err)
		}
	}
	if shared != 1 || opened.Load() != 5 {
		t.Errorf("%d connections for 5 requests, %d for 5 fresh ones", shared, opened.Load())
	}
}

func TestOnlyHTTPSLeavesTheMachine(t *testing.T) {
	for u, ok := range map[string]bool{
		"https://x.example": true, "http://127.0.0.1:1": true, "http://localhost": true, "http://LOCALHOST:1": true, "http://[::1]:1": true, "postgres://db": true,
		"http://x.example": false, "http://10.0.0.1": false, "http://localhost.evil.example": false, "http://127.0.0.1.evil.example": false, "ftp://x": false, "https://u:p@x": false, "https:///x": false, "http://[::ffff:127.0.0.1]": true,
	} {
		p, err := url.Parse(u)
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckURL(p); (err == nil) != ok {
			t.Errorf("%s: %v", u, err)
		}
	}
}

// Errors of net/http quote URLs and header values, which contain secrets.
func TestErrorsQuoteNoSecret(t *testing.T) {
	const secret = "s3cr3t-value"
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer srv.Close()
	closed := httptest.NewServer(nil)
	closed.Close()
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, secret)
	}))
	defer broken.Close()
	for name, c := range map[string]struct {
		to string
		r  Request
	}{
		"a hang-up":          {srv.URL, Request{Method: "GET", Path: "/" + secret, Query: url.Values{"t": {secret}}}},
		"no listener":        {closed.URL, Request{Method: "GET", Path: "/" + secret}},
		"a broken body":      {broken.URL, Request{Method: "GET", Path: "/" + secret}},
		"a header":           {srv.URL, Request{Method: "GET", Path: "/", Header: http.Header{"X-Token": {secret + "\r\nX-Injected: 1"}}}},
		"a path":             {srv.URL, Request{Method: "GET", Path: "/%zz" + secret}},
		"a dot segment":      {srv.URL, Request{Method: "GET", Path: "/../" + secret}},
		"a method":           {srv.URL, Request{Method: "GE T", Path: "/" + secret}},
		"a body of no JSON":  {srv.URL, Request{Method: "POST", Path: "/" + secret, Body: map[string]any{"x": func() {}}}},
		"a host that is not": {"https://made-up.invalid", Request{Method: "GET", Path: "/" + secret}},
	} {
		_, err := (&Client{}).Do(t.Context(), instance(t, c.to), c.r)
		if err == nil || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestASlowIssuerIsATimeOut(t *testing.T) {
	stop := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	}))
	defer srv.Close()
	defer close(stop)
	_, err := (&Client{Timeout: 30 * time.Millisecond}).Do(t.Context(), instance(t, srv.URL), get("/"))
	if !ErrTimeout(err) {
		t.Errorf("%v", err)
	}
	if ErrTimeout(errors.New("refused")) || ErrTimeout(nil) {
		t.Error("any error is a time-out")
	}
}

// The client reads at most 1 MiB of a response.
func TestLongResponsesAreCut(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			_, _ = w.Write(make([]byte, 1<<20))
		}
	}))
	defer srv.Close()
	a, err := (&Client{}).Do(t.Context(), instance(t, srv.URL), get("/"))
	if err != nil || len(a.Body) != maxBody {
		t.Errorf("%d bytes, %v", len(a.Body), err)
	}
}

func pool(srv *httptest.Server) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(srv.Certificate())
	return p
}

func TestTLSIsVerifiedWithTheInstancesOwnRoots(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	in := instance(t, srv.URL)
	if _, err := (&Client{}).Do(t.Context(), in, get("/")); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown authority: %v", err)
	}
	in.Network.CA = pool(srv)
	if _, err := (&Client{}).Do(t.Context(), in, get("/")); err != nil {
		t.Errorf("the instance's ca: %v", err)
	}
	_, port, err := net.SplitHostPort(in.URL.Host)
	if err != nil {
		t.Fatal(err)
	}
	other := instance(t, "https://localhost:"+port)
	other.Network.CA = in.Network.CA
	if _, err := (&Client{}).Do(t.Context(), other, get("/")); err == nil {
		t.Error("the certificate is of another name")
	}
}

func TestAClientCertificateIsPresented(t *testing.T) {
	var got int
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = len(r.TLS.PeerCertificates) }))
	srv.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	srv.StartTLS()
	defer srv.Close()
	in := instance(t, srv.URL)
	in.Network.CA = pool(srv)
	if _, err := (&Client{}).Do(t.Context(), in, get("/")); err == nil {
		t.Error("no certificate, and no error")
	}
	in.Network.ClientCert = &srv.TLS.Certificates[0]
	if _, err := (&Client{}).Do(t.Context(), in, get("/")); err != nil || got != 1 {
		t.Errorf("%d certificates, %v", got, err)
	}
}

// The proxy comes from the instance, never from the environment, and the address check applies
// to it.
func TestTheProxyIsTheInstances(t *testing.T) {
	var proxied []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxied = append(proxied, r.Method+" "+r.URL.String()+r.Host)
		w.WriteHeader(204)
	}))
	defer proxy.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("HTTPS_PROXY", proxy.URL)
	t.Setenv("ALL_PROXY", proxy.URL)
	in := instance(t, strings.Replace(srv.URL, "127.0.0.1", "localhost", 1))
	if _, err := (&Client{}).Do(t.Context(), in, get("/")); err != nil || len(proxied) != 0 {
		t.Errorf("the environment's proxy: %v, %v", proxied, err)
	}
	u, _ := url.Parse(proxy.URL)
	in.Network.Proxy = u
	if a, err := (&Client{}).Do(t.Context(), in, get("/x")); err != nil || a.Status != 204 || len(proxied) != 1 {
		t.Errorf("the instance's proxy: %v, %v", proxied, err)
	}
}

// The operator names a proxy, so it may have a private address, also on the way to a public
// host. Nothing else is dialled at one.
func TestTheAddressCheckKnowsTheProxyByItsName(t *testing.T) {
	var asked []string
	srv := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = append(asked, "server") }))
	defer srv.Close()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.Host)
		if r.Host == "refused.example:443" {
			w.WriteHeader(407)
			return
		}
		to, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		defer to.Close()
		from, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer from.Close()
		_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(to, from) }()
		_, _ = io.Copy(from, to)
	}))
	defer proxy.Close()
	u, err := url.Parse(strings.Replace(proxy.URL, "127.0.0.1", "localhost", 1))
	if err != nil {
		t.Fatal(err)
	}
	with := func(host string, p *url.URL) *Instance {
		return &Instance{Provider: "made-up", URL: &url.URL{Scheme: "https", Host: host}, Operator: true, Public: true, Network: Network{CA: pool(srv), Proxy: p}}
	}
	if _, err := (&Client{}).Do(t.Context(), with("example.com", u), get("/")); err != nil || strings.Join(asked, " ") != "CONNECT example.com:443 server" {
		t.Errorf("%q, %v", asked, err)
	}
	asked = nil
	if _, err := (&Client{}).Do(t.Context(), with(srv.Listener.Addr().String(), nil), get("/")); !ErrPrivate(err) || len(asked) != 0 {
		t.Errorf("without the proxy: %q, %v", asked, err)
	}
	if _, err := (&Client{}).Do(t.Context(), with("refused.example", u), get("/")); err == nil || !strings.Contains(err.Error(), "asks for a user and a password") {
		t.Errorf("a proxy that asks who it is: %v", err)
	}
	// Without TLS the proxy would read the credential.
	plainly := instance(t, "http://127.0.0.1:1")
	plainly.Network.Proxy = &url.URL{Scheme: "http", Host: "proxy.example:3128"}
	if _, err := (&Client{}).Do(t.Context(), plainly, get("/")); err == nil || !strings.Contains(err.Error(), "without TLS") {
		t.Errorf("a request without TLS: %v", err)
	}
}

// A library's requests go to the instance, below its path, or fail.
func TestTransportIsPinned(t *testing.T) {
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.RequestURI+" "+r.Header.Get("X-Token")+string(b))
		w.Header().Set("X-Reply", "1")
		w.WriteHeader(201)
	}))
	defer srv.Close()
	in := instance(t, srv.URL+"/base")
	h := &http.Client{Transport: Transport(&Client{}, in)}
	for _, to := range []string{"http://127.0.0.1:1/base/x", strings.Replace(srv.URL, "http:", "https:", 1) + "/base/x", strings.Replace(srv.URL, "127.0.0.1", "localhost", 1) + "/base/x", srv.URL + "/other", srv.URL + "/base/../x", srv.URL + "/basement/x"} {
		q, err := http.NewRequestWithContext(t.Context(), "GET", to, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := h.Do(q); err == nil {
			resp.Body.Close()
			t.Errorf("%s was sent", to)
		}
	}
	q, err := http.NewRequestWithContext(t.Context(), "PUT", srv.URL+"/base/a%2Fb?list=true", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("X-Token", "t")
	resp, err := h.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 201 || resp.Header.Get("X-Reply") != "1" || strings.Join(asked, ";") != "PUT /base/a%2Fb?list=true tbody" {
		t.Errorf("%d, %v", resp.StatusCode, asked)
	}
}

// Requests that only read can be repeated. A library's request with another method is an
// effect.
func TestTransportSeparatesReadsFromEffects(t *testing.T) {
	var reads []bool
	d := doer(func(r Request) { reads = append(reads, r.Reads) })
	in := instance(t, "https://issuer.example")
	for _, m := range []string{"GET", "HEAD", "LIST", "POST", "PUT", "DELETE", "PATCH"} {
		q, err := http.NewRequestWithContext(context.Background(), m, "https://issuer.example/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Transport(d, in).RoundTrip(q); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []bool{true, true, true, false, false, false, false} {
		if reads[i] != want {
			t.Errorf("request %d reads: %v", i, reads[i])
		}
	}
}

type doer func(Request)

func (d doer) Do(_ context.Context, _ *Instance, r Request) (Response, error) {
	d(r)
	return Response{Status: 200}, nil
}
