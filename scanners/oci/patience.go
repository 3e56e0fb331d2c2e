package oci

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/quellhq/quell/scanners"
)

// Time limits for a registry. The library repeats unanswered requests twice, so it gives up
// within a minute.
const (
	dialTime   = 10 * time.Second
	answerTime = 12 * time.Second
	// A body must deliver leastBytes in each bodyTime spent waiting for it.
	bodyTime   = 20 * time.Second
	leastBytes = 4 << 10
)

var errSlow = scanners.OfKind(scanners.GapLimitTime, errors.New("the registry sends next to nothing: given up"))

// patient returns a transport to registries that enforces these limits.
func patient() http.RoundTripper {
	next := remote.DefaultTransport
	if t, ok := next.(*http.Transport); ok {
		t = t.Clone()
		t.DialContext = (&net.Dialer{Timeout: dialTime, KeepAlive: 30 * time.Second}).DialContext
		t.TLSHandshakeTimeout, t.ResponseHeaderTimeout = dialTime, answerTime
		next = t
	}
	return patience{next}
}

type patience struct{ next http.RoundTripper }

func (p patience) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := p.next.RoundTrip(req)
	if err == nil && res.Body != nil {
		res.Body = &slowly{body: res.Body, left: bodyTime}
	}
	return res, err
}

// slowly fails a body that is too slow. Only the time within Read counts, because a scan can
// take any time between two reads.
type slowly struct {
	body  io.ReadCloser
	left  time.Duration
	n     int
	ended atomic.Bool
}

func (s *slowly) Read(b []byte) (int, error) {
	t := time.AfterFunc(s.left, func() {
		s.ended.Store(true)
		_ = s.body.Close()
	})
	start := time.Now()
	n, err := s.body.Read(b)
	t.Stop()
	if err != nil && err != io.EOF && s.ended.Load() {
		return n, errSlow
	}
	s.left -= time.Since(start)
	if s.n += n; s.n >= leastBytes {
		s.n, s.left = 0, bodyTime
	}
	if err == nil && s.left <= 0 {
		return n, errSlow
	}
	return n, err
}

func (s *slowly) Close() error { return s.body.Close() }
