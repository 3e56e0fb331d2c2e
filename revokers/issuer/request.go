package issuer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Request is one HTTP request to an instance. Path is escaped and relative to
// the instance's URL.
type Request struct {
	Method string
	Path   string
	Query  url.Values
	Header http.Header
	// Body is nil, url.Values (sent as a form), Raw, or a value to send as JSON.
	Body any
	// Reads is set if the request changes nothing, so that it can be repeated.
	Reads bool
}

// Raw is a body that is sent as it is.
type Raw struct {
	Type  string
	Bytes []byte
}

// Response is an issuer's response. At most 1 MiB of the body is read.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
	Cut    bool // the body was longer than the 1 MiB that are read
}

// Doer sends requests to instances. Client implements it; package guard decorates it with
// limits, retries, an audit and a switch.
type Doer interface {
	Do(ctx context.Context, i *Instance, r Request) (Response, error)
}

// build creates the HTTP request. It returns an error if the path leads to another host or has
// dot segments.
func (r Request) build(ctx context.Context, i *Instance) (*http.Request, error) {
	rel, err := url.Parse(r.Path)
	switch {
	case err != nil || rel.Host != "" || rel.Scheme != "" || !strings.HasPrefix(rel.Path, "/"):
		return nil, fmt.Errorf("%s %s: the path does not belong to this host", r.Method, i.Host())
	case HasDotSegment(rel.EscapedPath()):
		return nil, fmt.Errorf("%s %s: the path contains a dot segment", r.Method, i.Host())
	}
	u := *i.URL
	base := strings.TrimRight(u.Path, "/")
	u.Path, u.RawPath, u.RawQuery = base+rel.Path, base+rel.EscapedPath(), rel.RawQuery
	u.RawQuery = MergeQuery(rel.RawQuery, r.Query)
	var in io.Reader
	kind := ""
	switch b := r.Body.(type) {
	case nil:
	case url.Values:
		in, kind = strings.NewReader(b.Encode()), "application/x-www-form-urlencoded"
	case Raw:
		in, kind = bytes.NewReader(b.Bytes), b.Type
	default:
		j, err := json.Marshal(b)
		if err != nil {
			return nil, errors.New("the body can't be encoded as JSON")
		}
		in, kind = bytes.NewReader(j), "application/json"
	}
	q, err := http.NewRequestWithContext(ctx, r.Method, u.String(), in)
	if err != nil {
		return nil, fmt.Errorf("%s %s: the request can't be built", r.Method, i.Host())
	}
	for k, v := range r.Header {
		q.Header[k] = v
	}
	if q.Header.Get("User-Agent") == "" { // some applications bind a session to it
		q.Header.Set("User-Agent", "quell")
	}
	q.Header.Set("Cache-Control", "no-cache")
	if kind != "" {
		q.Header.Set("Content-Type", kind)
	}
	return q, nil
}

// MergeQuery is a path's own query, as it is spelt, with added parameters. An
// added one replaces those of its name.
func MergeQuery(own string, added url.Values) string {
	if len(added) == 0 {
		return own
	}
	var out []string
	for p := range strings.SplitSeq(own, "&") {
		name, _, _ := strings.Cut(p, "=")
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		if p != "" && !added.Has(name) {
			out = append(out, p)
		}
	}
	return strings.Join(append(out, added.Encode()), "&")
}

// Transport is an http.RoundTripper by which a library sends its own requests through d. Every
// request goes to i or fails.
func Transport(d Doer, i *Instance) http.RoundTripper { return transport{d, i} }

type transport struct {
	d Doer
	i *Instance
}

func (t transport) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.URL.Scheme != t.i.URL.Scheme || q.URL.Host != t.i.URL.Host {
		return nil, fmt.Errorf("%s is not the pinned host %s", q.URL.Host, t.i.URL.Host)
	}
	path, ok := strings.CutPrefix(q.URL.EscapedPath(), strings.TrimRight(t.i.URL.Path, "/"))
	if !ok {
		return nil, fmt.Errorf("the path is outside of %s", t.i.URL.Host)
	}
	r := Request{Method: q.Method, Path: path, Query: q.URL.Query(), Header: q.Header.Clone(), Reads: q.Method == http.MethodGet || q.Method == http.MethodHead || q.Method == "LIST"}
	if q.Body != nil {
		defer q.Body.Close()
		b, err := io.ReadAll(io.LimitReader(q.Body, maxBody))
		if err != nil {
			return nil, errors.New("the request's body can't be read")
		}
		if len(b) > 0 {
			r.Body = Raw{q.Header.Get("Content-Type"), b}
		}
	}
	a, err := t.d.Do(q.Context(), t.i, r)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", a.Status, http.StatusText(a.Status)), StatusCode: a.Status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.Header, Body: io.NopCloser(bytes.NewReader(a.Body)), ContentLength: int64(len(a.Body)), Request: q,
	}, nil
}
