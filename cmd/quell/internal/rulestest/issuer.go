package rulestest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/quellhq/quell/revokers/interp"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
)

// server is a case's issuer. It gives the case's replies to the case's own
// credential, and one refusal to credentials that were never issued.
type server struct {
	http *httptest.Server
	home string // the host that is not written in front of a path

	mu       sync.Mutex
	replies  []rules.Reply
	never    rules.Reply
	asked    bool         // the request is about a credential that was never issued
	anything *rules.Reply // what everybody gets
	host     string
	expand   func(string) string
	requests []string
	problems []string
}

func newServer(home string, replies []rules.Reply, never rules.Reply, expand func(string) string) *server {
	s := &server{home: home, replies: slices.Clone(replies), never: never, expand: expand}
	s.http = httptest.NewServer(s)
	return s
}

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		s.problems = append(s.problems, "a request's body can't be read")
	}
	reply := s.reply(r, body)
	for k, v := range reply.Header {
		w.Header().Set(k, s.expand(v))
	}
	out := []byte(s.expand(reply.Body))
	if reply.JSON != nil {
		if w.Header().Get("Content-Type") == "" {
			w.Header().Set("Content-Type", "application/json")
		}
		out, _ = json.Marshal(expandJSON(reply.JSON, s.expand))
	}
	w.WriteHeader(reply.Status)
	_, _ = w.Write(out)
}

// response is a reply as a client sees it.
func response(r rules.Reply) issuer.Response {
	a := issuer.Response{Status: r.Status, Header: http.Header{}, Body: []byte(r.Body)}
	for k, v := range r.Header {
		a.Header.Set(k, v)
	}
	if r.JSON != nil {
		a.Body, _ = json.Marshal(r.JSON)
	}
	return a
}

func expandJSON(v any, expand func(string) string) any {
	switch v := v.(type) {
	case string:
		return expand(v)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = expandJSON(e, expand)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = expandJSON(e, expand)
		}
		return out
	}
	return v
}

func (s *server) reply(r *http.Request, body []byte) rules.Reply {
	switch {
	case s.anything != nil:
		return *s.anything
	case s.asked:
		return s.never
	}
	line := r.Method + " " + r.URL.Path
	if s.host != s.home {
		line = r.Method + " " + s.host + r.URL.Path
	}
	s.requests = append(s.requests, line)
	i := slices.IndexFunc(s.replies, func(p rules.Reply) bool { return (p.On != "" || p.When != nil) && s.fits(p, line, r, body) })
	if i < 0 {
		i = slices.IndexFunc(s.replies, func(p rules.Reply) bool { return p.On == "" && p.When == nil })
	}
	if i < 0 {
		s.problems = append(s.problems, "no reply fits "+line)
		return rules.Reply{Status: http.StatusNotImplemented}
	}
	p := s.replies[i]
	s.replies = slices.Delete(s.replies, i, i+1)
	return p
}

// fits reports whether a reply is for this request.
func (s *server) fits(p rules.Reply, line string, r *http.Request, body []byte) bool {
	if p.On != "" && s.expand(p.On) != line {
		return false
	}
	if p.When == nil {
		return true
	}
	for k, v := range p.When.Header {
		if r.Header.Get(k) != s.expand(v) {
			return false
		}
	}
	for k, v := range p.When.Query {
		if r.URL.Query().Get(k) != s.expand(v) {
			return false
		}
	}
	if p.When.Body != "" && !bytes.Contains(body, []byte(s.expand(p.When.Body))) {
		return false
	}
	if len(p.When.JSON) == 0 {
		return true
	}
	want, _ := expandJSON(p.When.JSON, s.expand).(map[string]any)
	return interp.MatchJSON(want, body)
}

// Do implements issuer.Doer: it sends every request to the server, and notes
// for which host it was.
func (s *server) Do(ctx context.Context, i *issuer.Instance, r issuer.Request) (issuer.Response, error) {
	u, err := url.Parse(s.http.URL)
	if err != nil {
		return issuer.Response{}, err
	}
	s.mu.Lock()
	s.host = i.Host()
	s.mu.Unlock()
	c := *i
	c.URL, c.Operator = u, true
	c.URL.Path = i.URL.Path
	a, err := (&issuer.Client{}).Do(ctx, &c, r)
	if err != nil {
		return a, err
	}
	// An address of the instance in a response is the server's own.
	for _, h := range []string{"Location", "Link"} {
		for n, v := range a.Header[h] {
			a.Header[h][n] = strings.ReplaceAll(v, u.Scheme+"://"+u.Host, i.URL.Scheme+"://"+i.Host())
		}
	}
	return a, nil
}

func (s *server) ask(never bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = never
}

// refuse is the dead answer that the probe's own arms describe.
func refuse(p *rules.Probe) rules.Reply {
	out := rules.Reply{Status: http.StatusUnauthorized}
	if p == nil {
		return out
	}
	for _, a := range slices.Backward(p.When) {
		if a.Then != "dead" || a.Location != "" || len(rules.Vars(a.Body)) > 0 {
			continue
		}
		out = rules.Reply{Status: a.Status[0], Body: a.Body, Header: map[string]string{}}
		for name, w := range a.Header {
			out.Header[name] = fmt.Sprint(example(w))
		}
		if len(a.JSON) > 0 {
			doc := map[string]any{}
			for path, w := range a.JSON {
				if v := example(w); v != nil {
					put(doc, strings.Split(path, "."), v)
				}
			}
			out.JSON = doc
		}
	}
	return out
}

// example is a value for which a condition holds.
func example(w any) any {
	switch w := w.(type) {
	case []any:
		return w[0]
	case map[string]any:
		for _, k := range []string{"prefix", "suffix", "contains"} {
			if v := w[k]; v != nil {
				return example(v)
			}
		}
		switch {
		case w["has"] != nil:
			return []any{w["has"]}
		case w["present"] != nil:
			return "x"
		}
		return nil
	}
	return w
}

// put sets the value at a path; a number or * on the way makes a list of one.
func put(doc map[string]any, path []string, v any) {
	if len(path) == 1 {
		doc[path[0]] = v
		return
	}
	if _, err := strconv.Atoi(path[1]); err == nil || path[1] == "*" {
		if len(path) == 2 {
			doc[path[0]] = []any{v}
			return
		}
		list, _ := doc[path[0]].([]any)
		if len(list) == 0 {
			list = []any{map[string]any{}}
		}
		inner, _ := list[0].(map[string]any)
		put(inner, path[2:], v)
		doc[path[0]] = list
		return
	}
	inner, ok := doc[path[0]].(map[string]any)
	if !ok {
		inner = map[string]any{}
		doc[path[0]] = inner
	}
	put(inner, path[1:], v)
}
